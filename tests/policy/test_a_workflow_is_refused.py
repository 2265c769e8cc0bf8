"""Least privilege, part 2, for the principals of a workflow: calls that no path needs are denied."""

import json
from collections.abc import Callable
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from policy.examples import WORKS
from policy.workflow_examples import WorkflowExample
from policy.world import OTHER_NAME
from support.local import role_session, seeded_arn

#: Calls an AWS service as a principal of the stack.
Call = Callable[[Any, WorkflowExample], Any]
START, DESCRIBE, MACHINE, SCHEDULE = "StartRole", "DescribeRole", "WeeklyStateMachineRole", "WeeklyScheduleRole"


def job_arn(name: str, stack: WorkflowExample) -> str:
    return f"arn:aws:personalize:{stack.aws.region}:{stack.aws.account}:batch-segment-job/{name}"


def create_job(name: str, tag: str) -> Call:
    """Creates a job of the newest run again with another name and tag."""

    def call(personalize: Any, stack: WorkflowExample) -> Any:
        arn = stack.job
        request = {**stack.aws.personalize.jobs[arn].request, "tags": [{"tagKey": tag, "tagValue": "1"}]}
        request["jobName"] = name or arn.rpartition("/")[2][:-1] + "x"
        return personalize.create_batch_segment_job(**request)

    return call


def put_event(source: str) -> Call:
    def call(events: Any, stack: WorkflowExample) -> Any:
        return events.put_events(Entries=[{"Source": source, "DetailType": "Test", "Detail": "{}"}])

    return call


def segments_bucket(stack: WorkflowExample) -> str:
    key = next(key for key in stack.physical_ids if "OutputBucket" in key and "Policy" not in key)
    return stack.physical_ids[key]


def start_run(states: Any, stack: WorkflowExample) -> Any:
    (machine,) = [name for name in stack.physical_ids.values() if ":stateMachine:" in name]
    return states.start_execution(stateMachineArn=machine, input=json.dumps({"run": "2025-01-01T00:00:00Z"}))


REFUSED: dict[str, tuple[str, str, Call]] = {
    "start describes a job of another stack": (
        START,
        "personalize",
        lambda client, stack: client.describe_batch_segment_job(batchSegmentJobArn=job_arn(OTHER_NAME, stack)),
    ),
    "start creates a job of another stack": (START, "personalize", create_job(OTHER_NAME, "team")),
    "start sets another tag": (START, "personalize", create_job("", "cost")),
    "start describes another filter": (
        START,
        "personalize",
        lambda client, stack: client.describe_filter(filterArn=seeded_arn(stack.aws, "FILTER")),
    ),
    "start reads segments": (
        START,
        "s3",
        lambda client, stack: client.get_object(Bucket=segments_bucket(stack), Key="segments/audience=in-s3/a"),
    ),
    "start starts a run": (START, "stepfunctions", start_run),
    "describe creates a job": (DESCRIBE, "personalize", create_job("", "team")),
    "describe writes segments": (
        DESCRIBE,
        "s3",
        lambda client, stack: client.put_object(Bucket=segments_bucket(stack), Key="segments/audience=in-s3/a"),
    ),
    "describe lists other segments": (
        DESCRIBE,
        "s3",
        lambda client, stack: client.list_objects_v2(Bucket=segments_bucket(stack), Prefix="other/"),
    ),
    "describe lists tables": (DESCRIBE, "glue", lambda client, stack: client.get_databases()),
    "the state machine publishes another source's events": (MACHINE, "events", put_event("aws.ec2")),
    "the state machine reads segments": (
        MACHINE,
        "s3",
        lambda client, stack: client.get_object(Bucket=segments_bucket(stack), Key="segments/audience=in-s3/a"),
    ),
    "the state machine creates a job": (MACHINE, "personalize", create_job("", "team")),
    "the schedule calls a function": (
        SCHEDULE,
        "lambda",
        lambda client, stack: client.invoke(
            FunctionName=next(name for key, name in stack.physical_ids.items() if "ProviderStart" in key)
        ),
    ),
    "the schedule publishes events": (SCHEDULE, "events", put_event("cdk-personalize-segments")),
}
#: The same calls with only the denied part changed.
ALLOWED: dict[str, tuple[str, str, Call]] = {
    "start creates a job of the stack": (START, "personalize", create_job("", "team")),
    "start describes the filter": (
        START,
        "personalize",
        lambda client, stack: client.describe_filter(filterArn=seeded_arn(stack.aws, "FILTER_WITH_PLACEHOLDER")),
    ),
    "describe lists segments": (
        DESCRIBE,
        "s3",
        lambda client, stack: client.list_objects_v2(Bucket=segments_bucket(stack), Prefix="segments/audience=in-s3/"),
    ),
    "the state machine publishes events": (MACHINE, "events", put_event("cdk-personalize-segments")),
    "the schedule starts a run": (SCHEDULE, "stepfunctions", start_run),
}


@pytest.fixture(scope="session")
def stack(deployed_workflow: WorkflowExample) -> WorkflowExample:
    """The workflow after a run."""
    assert deployed_workflow.a_scheduled_run() == WORKS
    return deployed_workflow


def session(stack: WorkflowExample, role: str, service: str) -> Any:
    (name,) = [name for key, name in stack.physical_ids.items() if role in key and "Policy" not in key]
    arn = f"arn:aws:iam::{stack.aws.account}:role/{name}"
    return boto3.Session(region_name=stack.aws.region, **role_session(arn)).client(  # type: ignore[call-overload]
        service, endpoint_url=stack.aws.endpoint_url, config=Config(retries={"total_max_attempts": 1})
    )


@pytest.mark.parametrize(("role", "service", "call"), REFUSED.values(), ids=REFUSED)
def test_refuses(
    stack: WorkflowExample, record_property: Callable[[str, object], None], role: str, service: str, call: Call
) -> None:
    with pytest.raises(ClientError) as refused:
        call(session(stack, role, service), stack)
    assert refused.value.response["Error"]["Code"] in ("AccessDenied", "AccessDeniedException")
    record_property("refused", 1)


@pytest.mark.parametrize(("role", "service", "call"), ALLOWED.values(), ids=ALLOWED)
def test_allows(
    stack: WorkflowExample, record_property: Callable[[str, object], None], role: str, service: str, call: Call
) -> None:
    call(session(stack, role, service), stack)
    record_property("allowed", 1)
