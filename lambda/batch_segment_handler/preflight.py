"""Checks the solution version, recipe and filter before a job is created, with a clear error for each.

Accepts a solution version or filter that is still being created: the handler retries the ResourceInUseException of
CreateBatchSegmentJob.
"""

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from . import clients, limits, log
from .contract import FlatProperties
from .descriptions import ACTIVE, failure_reason, has_failed, status_of
from .errors import JobError, UnavailableError
from .expressions import filter_placeholders
from .limits import QueryKind
from .retries import RetryBudget, call_with_retries
from .text import printable

_NEVER = datetime.datetime.min.replace(tzinfo=datetime.UTC)
_USER_SEGMENTATION = "USER_SEGMENTATION"


@dataclass(frozen=True)
class Preflight:
    """The requirements of the solution version and the filter for queries.

    Attributes:
        solution_version_arn: The solution version.
        kind: The key that the recipe's queries have; None for an unknown recipe.
        placeholders: The filter's placeholders, and whether every query must have a value for them; None if they are
            not known.
    """

    solution_version_arn: str
    kind: QueryKind | None
    placeholders: Mapping[str, bool] | None


def check(properties: FlatProperties, budget: RetryBudget) -> Preflight:
    """Checks the solution version, its recipe and the filter.

    Raises:
        JobError: The solution version, recipe or filter cannot be used for segments.
        ClientError: Another error of the service, for example ResourceNotFoundException.
    """
    prop, arn, version = solution_version(properties, budget)
    return Preflight(
        arn,
        _kind(prop, arn, version.get("recipeArn") or "", budget),
        _placeholders(properties.get("FilterArn"), budget),
    )


def solution_version(properties: FlatProperties, budget: RetryBudget) -> tuple[str, str, Mapping[str, Any]]:
    """Finds the solution version: the given one, or the latest ACTIVE one of the solution.

    Returns:
        The property that names it, its ARN, and its description.

    Raises:
        JobError: The solution has no ACTIVE version, or the solution version failed.
        ClientError: Another error of the service, for example ResourceNotFoundException.
    """
    prop, arn = "solution_version_arn", properties.get("SolutionVersionArn")
    if arn is None:
        prop, arn = "solution_arn", _latest_version(properties["SolutionArn"], budget)
    response = call_with_retries(
        clients.personalize().describe_solution_version, budget, member="solutionVersion", solutionVersionArn=arn
    )
    version = response["solutionVersion"]
    _require_not_failed(prop, arn, version)
    return prop, arn, version


def _latest_version(solution_arn: str, budget: RetryBudget) -> str:
    versions, tokens = [], set()
    request = {"solutionArn": solution_arn}
    while True:
        response = call_with_retries(
            clients.personalize().list_solution_versions, budget, member="solutionVersions", **request
        )
        versions += [version for version in response["solutionVersions"] if status_of(version) == ACTIVE]
        token = response.get("nextToken")
        if not token:
            break
        if token in tokens or budget.is_over:
            raise UnavailableError(
                f"solution_arn: the list of versions of {printable(solution_arn)} does not end. Deploy again later, or "
                "pass solution_version_arn"
            )
        tokens.add(token)
        request["nextToken"] = token
    if not versions:
        raise JobError(f"solution_arn: {printable(solution_arn)} has no ACTIVE version; train one first")
    latest = max(versions, key=lambda version: version.get("creationDateTime") or _NEVER)
    log.event("took latest version", solution=solution_arn, version=latest["solutionVersionArn"])
    return latest["solutionVersionArn"]


def _kind(prop: str, version_arn: str, recipe_arn: str, budget: RetryBudget) -> QueryKind | None:
    kind = limits.QUERY_KIND_BY_RECIPE.get(recipe_arn.rpartition("/")[2])
    if kind is None and recipe_arn:
        # Either not a recipe for segments, or a recipe that is newer than this code.
        response = call_with_retries(
            clients.personalize().describe_recipe, budget, member="recipe", recipeArn=recipe_arn
        )
        recipe = response["recipe"]
        if recipe.get("recipeType") != _USER_SEGMENTATION:
            raise JobError(
                f"{prop}: {printable(version_arn)} uses the recipe {printable(recipe_arn.rpartition('/')[2])} of type "
                f"{printable(recipe.get('recipeType'))}, expected a recipe of type {_USER_SEGMENTATION}: "
                f"{' or '.join(limits.QUERY_KIND_BY_RECIPE)}"
            )
    return kind


def _placeholders(filter_arn: str | None, budget: RetryBudget) -> Mapping[str, bool] | None:
    if filter_arn is None:
        return {}
    response = call_with_retries(clients.personalize().describe_filter, budget, member="filter", filterArn=filter_arn)
    description = response["filter"]
    _require_not_failed("filter_arn", filter_arn, description)
    expression = description.get("filterExpression")
    # Every filter has an expression; without one in the response, the placeholders are not known.
    return filter_placeholders(expression) if expression else None


def _require_not_failed(prop: str, arn: str, description: Mapping[str, Any]) -> None:
    status = status_of(description)
    if has_failed(status):
        raise JobError(
            f"{prop}: {printable(arn)} has the status {status} ({failure_reason(description)}), expected {ACTIVE}"
        )
