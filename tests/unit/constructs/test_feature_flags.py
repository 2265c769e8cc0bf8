"""A library cannot choose its users' feature flags: stacks are the same with all of them and with none."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import aws_cdk.aws_kms as kms
import pytest
from aws_cdk.assertions import Template
from cdk_personalize_segments import BatchSegmentInput, BatchSegmentJob, BatchSegmentStorage, SegmentQuery
from support import ENVIRONMENT, FILTER, SOLUTION, readable

ROOT = Path(__file__).parents[3]
RECOMMENDED = {
    name: value for name, value in json.loads((ROOT / "cdk.json").read_text())["context"].items() if "/" in name
}
OURS = ("Custom::PersonalizeBatchSegmentJob", "AWS::IAM::Policy", "AWS::IAM::Role", "AWS::S3::BucketPolicy")


def template(flags: dict) -> dict:
    app = cdk.App(context=flags, analytics_reporting=False)
    stack = cdk.Stack(app, "Demo", env=ENVIRONMENT)
    storage = BatchSegmentStorage(stack, "Storage", encryption_key=kms.Key(stack, "Key"), versioned=True)
    inline = BatchSegmentInput.from_queries([SegmentQuery.items_like("105")])
    job = BatchSegmentJob(
        stack,
        "Job",
        solution_arn=SOLUTION,
        filter_arn=FILTER,
        job_input=inline,
        storage=storage,
        tags={"team": "growth"},
        wait_for_completion=cdk.Duration.minutes(30),
    )
    job.on_segments_written("Written")
    written: dict = Template.from_stack(stack).to_json()
    return written


def plain(resource: dict) -> Any:
    """A resource with the partition written out and statements taken apart, since flags write it and merge them."""
    return apart(json.loads(json.dumps(readable(resource)).replace("<AWS::Partition>", "aws")))


def apart(value: Any) -> Any:
    match value:
        case {"Statement": statements}:
            return sorted(json.dumps(one) for one in single_permissions(statements))
        case dict():
            return {key: apart(part) for key, part in value.items()}
        case list():
            return [apart(part) for part in value]
        case _:
            return value


def single_permissions(statements: list[dict]) -> Iterator[list]:
    for statement in statements:
        rest = {key: value for key, value in statement.items() if key not in ("Action", "Resource")}
        for action in listed(statement["Action"]):
            for resource in listed(statement.get("Resource", "")):
                yield [rest, action, resource]


def listed(value: Any) -> list:
    return value if isinstance(value, list) else [value]


@pytest.fixture(scope="module")
def without() -> dict:
    return template({})


@pytest.mark.parametrize("value", ["recommended", True], ids=["those of cdk init", "all of them on"])
def test_stacks_are_the_same_with_feature_flags(without: Any, value: bool | str) -> None:
    flags = RECOMMENDED if value == "recommended" else dict.fromkeys(RECOMMENDED, True)
    assert len(flags) > 50
    made = template(flags)
    assert made["Resources"].keys() == without["Resources"].keys()
    for logical_id, resource in without["Resources"].items():
        if resource["Type"] in OURS:
            assert plain(made["Resources"][logical_id]) == plain(resource), logical_id
