"""Template snapshots, which show changes in review. ``pytest --snapshot-update`` updates them."""

import json
import re
from collections.abc import Callable

import aws_cdk as cdk
import aws_cdk.aws_kms as kms
import aws_cdk.aws_scheduler as scheduler
import pytest
from aws_cdk.assertions import Template
from cdk_personalize_segments import (
    Audience,
    BatchSegmentInput,
    BatchSegmentJob,
    BatchSegmentStorage,
    BatchSegmentWorkflow,
    SegmentQuery,
    SegmentsTable,
)
from support.constants import FILTER, SOLUTION, VERSION
from support.templates import ENVIRONMENT
from syrupy.assertion import SnapshotAssertion
from syrupy.extensions.json import JSONSnapshotExtension


def one_job(stack: cdk.Stack) -> None:
    queries = BatchSegmentInput.from_queries([SegmentQuery.items_like("105")])
    BatchSegmentJob(stack, "Job", solution_version_arn=VERSION, job_input=queries)


def everything(stack: cdk.Stack) -> None:
    storage = BatchSegmentStorage(
        stack, "Storage", encryption_key=kms.Key(stack, "Key"), versioned=True, strict_conditions=True
    )
    job = BatchSegmentJob(
        stack,
        "Job",
        solution_arn=SOLUTION,
        filter_arn=FILTER,
        num_results=1000,
        job_input=BatchSegmentInput.from_bucket(storage.input_bucket, "today/"),
        storage=storage,
        tags={"team": "growth"},
        trigger="1",
        wait_for_completion=cdk.Duration.minutes(30),
    )
    job.on_segments_written("Written")


def workflow(stack: cdk.Stack) -> None:
    audience = Audience("fans", BatchSegmentInput.from_queries([SegmentQuery.items_like("105")]), filter_arn=FILTER)
    made = BatchSegmentWorkflow(
        stack,
        "Weekly",
        solution_arn=SOLUTION,
        audiences=[audience],
        schedule=scheduler.ScheduleExpression.expression("rate(7 days)"),
        tags={"team": "growth"},
    )
    made.on_failed("Failed")
    SegmentsTable(stack, "Table", workflow=made)


def watched_job(stack: cdk.Stack) -> None:
    queries = BatchSegmentInput.from_queries([SegmentQuery.items_like("105")])
    BatchSegmentJob(stack, "Job", solution_version_arn=VERSION, job_input=queries).on_completed("Completed")


@pytest.mark.parametrize("build", [one_job, everything, workflow, watched_job], ids=lambda build: build.__name__)
def test_a_template_matches_its_snapshot(snapshot: SnapshotAssertion, build: Callable[[cdk.Stack], None]) -> None:
    stack = cdk.Stack(cdk.App(analytics_reporting=False), "Demo", env=ENVIRONMENT)
    build(stack)
    written = json.dumps(Template.from_stack(stack).to_json())
    # Asset hashes, and the code of CDK's provider framework, change with every release.
    masked = re.sub(r"\b[0-9a-f]{64}\b", "<asset>", written)
    assert json.loads(masked) == snapshot(extension_class=JSONSnapshotExtension)
