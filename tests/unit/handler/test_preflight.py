"""Checks before a job is created. Requests and responses conform to botocore's model."""

from typing import Any

import pytest
from batch_segment_handler import preflight
from batch_segment_handler.errors import JobError, UnavailableError
from batch_segment_handler.expressions import filter_placeholders
from batch_segment_handler.retries import RetryBudget
from botocore.stub import Stubber
from support.constants import FILTER, SOLUTION, VERSION
from support.timing import assert_linear

RECIPE = "arn:aws:personalize:::recipe/"


def version_of(personalize: Stubber, recipe: str) -> None:
    personalize.add_response(
        "describe_solution_version",
        {"solutionVersion": {"solutionVersionArn": VERSION, "status": "ACTIVE", "recipeArn": f"{RECIPE}{recipe}"}},
        {"solutionVersionArn": VERSION},
    )


def filter_is(personalize: Stubber, expression: str | None, status: str = "ACTIVE", **more: str) -> None:
    if expression is not None:
        more["filterExpression"] = expression
    personalize.add_response(
        "describe_filter", {"filter": {"filterArn": FILTER, "status": status, **more}}, {"filterArn": FILTER}
    )


def recipe_is(personalize: Stubber, name: str, type: str) -> None:
    personalize.add_response(
        "describe_recipe", {"recipe": {"name": name, "recipeType": type}}, {"recipeArn": f"{RECIPE}{name}"}
    )


def check(**properties: Any) -> preflight.Preflight:
    given: Any = {"SolutionVersionArn": VERSION, **properties}
    return preflight.check(given, RetryBudget(60))


@pytest.mark.parametrize(
    ("recipe", "kind"), [("aws-item-affinity", "itemId"), ("aws-item-attribute-affinity", "itemAttributes")]
)
def test_recipe_determines_the_kind_of_query(personalize: Stubber, recipe: str, kind: Any) -> None:
    version_of(personalize, recipe)
    assert check() == preflight.Preflight(VERSION, kind, {})


def test_rejects_a_recipe_of_another_type(personalize: Stubber) -> None:
    version_of(personalize, "aws-user-personalization")
    recipe_is(personalize, "aws-user-personalization", "USER_PERSONALIZATION")
    with pytest.raises(JobError) as refused:
        check()
    assert str(refused.value) == (
        f"solution_version_arn: {VERSION} uses the recipe aws-user-personalization of type USER_PERSONALIZATION, "
        "expected a recipe of type USER_SEGMENTATION: aws-item-affinity or aws-item-attribute-affinity"
    )


def test_unknown_segmentation_recipe_allows_either_kind_of_query(personalize: Stubber) -> None:
    version_of(personalize, "aws-item-affinity-v3")
    recipe_is(personalize, "aws-item-affinity-v3", "USER_SEGMENTATION")
    assert check().kind is None


def test_version_without_a_recipe_allows_either_kind_of_query(personalize: Stubber) -> None:
    personalize.add_response(
        "describe_solution_version",
        {"solutionVersion": {"solutionVersionArn": VERSION, "status": "ACTIVE"}},
        {"solutionVersionArn": VERSION},
    )
    assert check().kind is None


@pytest.mark.parametrize(
    ("expression", "placeholders"),
    [
        ("INCLUDE UserID WHERE Users.AGE >= 18", {}),
        ("INCLUDE UserID WHERE Users.COUNTRY IN ($COUNTRY) AND Users.PLAN = $PLAN", {"COUNTRY": True, "PLAN": True}),
        ("EXCLUDE UserID WHERE Users.COUNTRY IN ($COUNTRY)", {"COUNTRY": False}),
        (None, None),
    ],
)
def test_filter_determines_the_required_values(
    personalize: Stubber, expression: str | None, placeholders: dict[str, Any] | None
) -> None:
    version_of(personalize, "aws-item-affinity")
    filter_is(personalize, expression)
    assert check(FilterArn=FILTER).placeholders == placeholders


def test_rejects_a_failed_filter(personalize: Stubber) -> None:
    version_of(personalize, "aws-item-affinity")
    filter_is(personalize, "INCLUDE UserID WHERE Users.X = 1", status="CREATE FAILED", failureReason="no such column")
    with pytest.raises(JobError) as refused:
        check(FilterArn=FILTER)
    assert str(refused.value) == (
        f"filter_arn: {FILTER} has the status CREATE FAILED (no such column), expected ACTIVE"
    )


def test_accepts_a_filter_that_is_still_being_created(personalize: Stubber) -> None:
    version_of(personalize, "aws-item-affinity")
    filter_is(personalize, "INCLUDE UserID WHERE Users.AGE >= 18", status="CREATE IN_PROGRESS")
    assert check(FilterArn=FILTER).placeholders == {}


@pytest.mark.parametrize(("tokens", "seconds"), [(["a", "b", "a"], 60), (["a"], 0)])
def test_ends_a_list_of_versions_that_does_not_end(personalize: Stubber, tokens: list[str], seconds: int) -> None:
    request = {"solutionArn": SOLUTION}
    for token in tokens:
        personalize.add_response("list_solution_versions", {"solutionVersions": [], "nextToken": token}, dict(request))
        request["nextToken"] = token
    with pytest.raises(UnavailableError) as refused:
        preflight.check({"SolutionArn": SOLUTION}, RetryBudget(seconds))
    assert str(refused.value) == (
        f"solution_arn: the list of versions of {SOLUTION} does not end. Deploy again later, or pass "
        "solution_version_arn"
    )


def test_parses_a_hostile_filter_in_linear_time() -> None:
    def find(expression: str) -> None:
        assert filter_placeholders(expression) == {"A": True}

    # Quadratic time would be seconds.
    assert_linear(find, lambda length: "INCLUDE UserID WHERE Users.A IN ($A) " + '"' + '\\"' * length, 16_000)
