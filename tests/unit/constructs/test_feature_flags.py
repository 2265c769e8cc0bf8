"""A library cannot choose its users' feature flags, so templates must be equal with all flags and without any."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import aws_cdk.aws_kms as kms
import aws_cdk.aws_scheduler as scheduler
import pytest
from aws_cdk.assertions import Template
from cdk_personalize_segments import BatchSegmentStorage, SegmentsTable
from support.constants import FILTER, SOLUTION
from support.templates import ENVIRONMENT, add_job, add_workflow, as_list, readable

ROOT = Path(__file__).parents[3]
RECOMMENDED = {
    name: value for name, value in json.loads((ROOT / "cdk.json").read_text())["context"].items() if "/" in name
}


def template(flags: dict[str, Any]) -> dict[str, Any]:
    app = cdk.App(context=flags, analytics_reporting=False)
    stack = cdk.Stack(app, "Demo", env=ENVIRONMENT)
    storage = BatchSegmentStorage(stack, "Storage", encryption_key=kms.Key(stack, "Key"), versioned=True)
    job = add_job(
        stack,
        solution_version_arn=None,
        solution_arn=SOLUTION,
        filter_arn=FILTER,
        storage=storage,
        tags={"team": "growth"},
        wait_for_completion=cdk.Duration.minutes(30),
    )
    job.on_segments_written("Written")
    job.on_failed("Failed")
    schedule = scheduler.ScheduleExpression.rate(cdk.Duration.days(7))
    workflow = add_workflow(stack, storage=storage, schedule=schedule, tags={"team": "growth"})
    workflow.on_failed("Failed")
    SegmentsTable(stack, "Table", workflow=workflow)
    return dict(Template.from_stack(stack).to_json())


def normalized(value: Any) -> Any:
    """Returns a template with a literal partition and one statement for each action and resource."""
    return _split(json.loads(json.dumps(readable(value)).replace("<AWS::Partition>", "aws")))


def _split(value: Any) -> Any:
    match value:
        case {"Statement": statements}:
            return sorted(json.dumps(one) for one in _single_permissions(statements))
        case dict():
            return {key: _split(part) for key, part in value.items()}
        case list():
            return [_split(part) for part in value]
        case _:
            return value


def _single_permissions(statements: list[dict[str, Any]]) -> Iterator[list[Any]]:
    for statement in statements:
        rest = {key: value for key, value in statement.items() if key not in ("Action", "Resource")}
        for action in as_list(statement["Action"]):
            for resource in as_list(statement.get("Resource", "")):
                yield [rest, action, resource]


def differences(one: Any, other: Any, path: str = "") -> Iterator[str]:
    """Yields the paths at which two templates differ."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in sorted(one.keys() | other.keys()):
            yield from differences(one.get(key), other.get(key), f"{path}/{key}")
    elif one != other:
        yield f"{path}: {one!r}, {other!r}"


@pytest.fixture(scope="module")
def without() -> dict[str, Any]:
    return template({})


@pytest.mark.parametrize(
    "flags", [RECOMMENDED, dict.fromkeys(RECOMMENDED, True)], ids=["those of cdk init", "all of them on"]
)
def test_templates_are_equal_with_and_without_feature_flags(without: dict[str, Any], flags: dict[str, Any]) -> None:
    assert len(flags) > 50
    assert list(differences(normalized(template(flags)), normalized(without))) == []
