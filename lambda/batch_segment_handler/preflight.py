"""Checks solution version, recipe and filter before a job is created, with one clear error each.

A solution version or a filter that is still being created is left to CreateBatchSegmentJob, whose
ResourceInUseException is retried.
"""

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from . import clients, limits
from .expressions import filter_placeholders
from .failures import JobError, Patience, call
from .limits import QueryKind
from .log import log
from .text import printable, shorten

ACTIVE = "ACTIVE"
_FAILED = "FAILED"
_MAX_REASON_LENGTH = 1200
_NEVER = datetime.datetime.min.replace(tzinfo=datetime.UTC)
_USER_SEGMENTATION = "USER_SEGMENTATION"


@dataclass(frozen=True)
class Preflight:
    """What the solution version and the filter ask of the queries.

    Attributes:
        solution_version_arn: The solution version.
        kind: The key that the recipe's queries have; None for a recipe that is newer than this code.
        placeholders: The filter's placeholders, and whether every query has to give a value for them; None if the
            filter does not say.
    """

    solution_version_arn: str
    kind: QueryKind | None
    placeholders: Mapping[str, bool] | None


def check(properties: Mapping[str, Any], patience: Patience) -> Preflight:
    """Checks the solution version, its recipe and the filter.

    Args:
        properties: The resource's properties.
        patience: How long the deployment may wait for what passes by itself.

    Raises:
        JobError: The solution version, its recipe or the filter cannot make segments.
        ClientError: The service's own words, for example ResourceNotFoundException.
    """
    prop, arn = "solution_version_arn", properties.get("SolutionVersionArn")
    if arn is None:
        prop, arn = "solution_arn", _latest_version(properties["SolutionArn"], patience)
    answer = call(
        clients.personalize().describe_solution_version, patience, member="solutionVersion", solutionVersionArn=arn
    )
    version = answer["solutionVersion"]
    _refuse_failed(prop, arn, version)
    return Preflight(
        arn,
        _kind(prop, arn, version.get("recipeArn") or "", patience),
        _placeholders(properties.get("FilterArn"), patience),
    )


def status_of(description: Mapping[str, Any]) -> str:
    """Returns the status of a job, solution version or filter in capitals; "" if the description has none.

    Every word but ACTIVE and those that end with FAILED means in progress: the documentation writes "PENDING" and "IN
    PROGRESS" (https://docs.aws.amazon.com/personalize/latest/dg/API_BatchSegmentJob.html), AWS's recorded runs have
    "CREATE PENDING" and "CREATE IN_PROGRESS".
    """
    return printable(description.get("status") or "", 50).upper()


def has_failed(status: str) -> bool:
    """Returns whether a job, solution version or filter with this status will never be ACTIVE."""
    return status.upper().endswith(_FAILED)


def failure_reason(description: Mapping[str, Any]) -> str:
    """Returns the service's words for why something failed, escaped and cut."""
    reason = printable(description.get("failureReason") or "no reason given", _MAX_REASON_LENGTH)
    return shorten(reason, _MAX_REASON_LENGTH)


def _latest_version(solution_arn: str, patience: Patience) -> str:
    versions = []
    request = {"solutionArn": solution_arn}
    while True:
        answer = call(clients.personalize().list_solution_versions, patience, member="solutionVersions", **request)
        versions += [version for version in answer["solutionVersions"] if status_of(version) == ACTIVE]
        if not answer.get("nextToken"):
            break
        request["nextToken"] = answer["nextToken"]
    if not versions:
        raise JobError(f"solution_arn: {printable(solution_arn)} has no ACTIVE version; train one first")
    latest = max(versions, key=lambda version: version.get("creationDateTime") or _NEVER)
    log("took latest version", solution=solution_arn, version=latest["solutionVersionArn"])
    return latest["solutionVersionArn"]


def _kind(prop: str, version_arn: str, recipe_arn: str, patience: Patience) -> QueryKind | None:
    kind = limits.QUERY_KIND_BY_RECIPE.get(recipe_arn.rpartition("/")[2])
    if kind is None and recipe_arn:
        # Unknown here: either not a recipe for segments, or a recipe that is newer than this code.
        answer = call(clients.personalize().describe_recipe, patience, member="recipe", recipeArn=recipe_arn)
        recipe = answer["recipe"]
        if recipe.get("recipeType") != _USER_SEGMENTATION:
            raise JobError(
                f"{prop}: {printable(version_arn)} uses the recipe {printable(recipe_arn.rpartition('/')[2])} of type "
                f"{printable(recipe.get('recipeType'))}, expected a recipe of type {_USER_SEGMENTATION}: "
                f"{' or '.join(limits.QUERY_KIND_BY_RECIPE)}"
            )
    return kind


def _placeholders(filter_arn: str | None, patience: Patience) -> Mapping[str, bool] | None:
    if filter_arn is None:
        return {}
    answer = call(clients.personalize().describe_filter, patience, member="filter", filterArn=filter_arn)
    description = answer["filter"]
    _refuse_failed("filter_arn", filter_arn, description)
    expression = description.get("filterExpression")
    # A filter without an expression is none; an empty answer says nothing.
    return filter_placeholders(expression) if expression else None


def _refuse_failed(prop: str, arn: str, description: Mapping[str, Any]) -> None:
    status = status_of(description)
    if has_failed(status):
        raise JobError(
            f"{prop}: {printable(arn)} has the status {status} ({failure_reason(description)}), expected {ACTIVE}"
        )
