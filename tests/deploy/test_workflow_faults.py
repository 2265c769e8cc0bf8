"""Runs with a broken stack: each audience and each run still has an event, and no run gets stuck."""

import json
import re
from collections.abc import Callable, Iterator

import aws_cdk as cdk
import aws_cdk.aws_s3 as s3
import pytest
from cdk_personalize_segments import Audience, BatchSegmentInput, BatchSegmentWorkflow
from personalize_local.faults import Fault, Faults
from personalize_local.gateway import LocalAws
from support.constants import CREATED
from support.event_schema import faults_of
from support.local import Clients, seeded_arn, wait_until
from support.stacks import RealStack
from support.templates import new_audience
from support.workflows import RealWorkflow, Run

#: Denies an action to a role until the test ends.
Deny = Callable[..., None]


@pytest.fixture(scope="session")
def workflow(aws: LocalAws, client: Clients) -> RealWorkflow:
    def build(stack: cdk.Stack) -> BatchSegmentWorkflow:
        empty = s3.Bucket(stack, "Empty")
        audiences = [
            new_audience("comedy", "1"),
            new_audience("adults", "1", filter_arn=seeded_arn(aws, "FILTER")),
            Audience("missing", BatchSegmentInput.from_bucket(empty, "queries/")),
        ]
        solution = seeded_arn(aws, "ITEM_AFFINITY_SOLUTION")
        return BatchSegmentWorkflow(
            stack, "Weekly", audiences=audiences, solution_arn=solution, only_new_versions=False
        )

    workflow = RealWorkflow(RealStack(aws, client, "BrokenRuns"), client)
    outcome = workflow.deploy(build)
    assert outcome.status == CREATED, outcome.said
    return workflow


@pytest.fixture
def deny(workflow: RealWorkflow, client: Clients) -> Iterator[Deny]:
    """Denies an action to the role whose logical ID contains a text."""
    denied: list[str] = []

    def deny(role: str, action: str, resource: str = "*") -> None:
        (name,) = [one for one in workflow.stack.resources_of("AWS::IAM::Role") if role in one]
        statement = {"Effect": "Deny", "Action": action, "Resource": resource}
        document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        client("iam").put_role_policy(RoleName=name, PolicyName="Broken", PolicyDocument=document)
        denied.append(name)

    yield deny
    for name in denied:
        client("iam").delete_role_policy(RoleName=name, PolicyName="Broken")


def reasons_of(run: Run) -> dict[str, str]:
    """Returns the reasons of the failed audiences."""
    assert [fault for event in run.events for fault in faults_of(event)] == []
    return {name: detail["reason"] for name, detail in run.audiences.items() if detail["status"] == "FAILED"}


def test_missing_queries_fail_their_audience_alone(workflow: RealWorkflow) -> None:
    run = workflow.run()
    assert list(reasons_of(run)) == ["missing"]
    assert "segment_input" in reasons_of(run)["missing"]
    assert (run.completed["succeeded"], run.completed["failed"]) == (2, 1)


def test_a_deleted_filter_fails_its_audience(workflow: RealWorkflow, faults: Faults) -> None:
    faults.inject(Fault("DescribeFilter", "ResourceNotFoundException", "no such filter", times=None))
    run = workflow.run()
    assert sorted(reasons_of(run)) == ["adults", "missing"]
    assert "no such filter" in reasons_of(run)["adults"]


def test_unreadable_output_fails_the_audience(workflow: RealWorkflow, deny: Deny) -> None:
    deny("Describe", "s3:GetObject")
    run = workflow.run()
    reason = reasons_of(run)["comedy"]
    assert "cannot be read" in reason
    assert "AccessDenied" in reason
    assert "is complete and is billed" in reason
    assert run.completed["failed"] == 3


def test_expired_queries_fail_the_audience(workflow: RealWorkflow, deny: Deny) -> None:
    # As if a lifecycle rule had deleted the objects of the bootstrap bucket.
    deny("Start", "s3:GetObject")
    assert "AccessDenied" in reasons_of(workflow.run())["comedy"]


def test_an_unreadable_manifest_fails_the_run(workflow: RealWorkflow, deny: Deny) -> None:
    deny("StateMachine", "s3:GetObject")
    run = workflow.run()
    assert (run.status, run.audiences) == ("FAILED", {})
    assert reasons_of(run) == {}
    assert run.completed["status"] == "FAILED"
    assert "States.ItemReaderFailed" in run.completed["reason"]


# MiniStack's messages. The second one appears if the process exits before its error is read.
BROKEN = re.compile("No module named 'nothing'|Worker process exited immediately")


@pytest.fixture
def broken(workflow: RealWorkflow, client: Clients) -> Iterator[Callable[[str], None]]:
    """Breaks functions until the test ends, like a deployment of faulty code."""
    handlers: dict[str, str] = {}

    def break_function(containing: str) -> None:
        (name,) = [one for one in workflow.stack.resources_of("AWS::Lambda::Function") if containing in one]
        handlers[name] = client("lambda").get_function_configuration(FunctionName=name)["Handler"]
        client("lambda").update_function_configuration(FunctionName=name, Handler="nothing.nothing")

    yield break_function
    for name, handler in handlers.items():
        client("lambda").update_function_configuration(FunctionName=name, Handler=handler)


def test_a_broken_start_function_fails_the_run(workflow: RealWorkflow, broken: Callable[[str], None]) -> None:
    broken("Start")
    run = workflow.run()
    assert (run.status, run.audiences, reasons_of(run)) == ("FAILED", {}, {})
    assert BROKEN.search(run.completed["reason"])


def test_a_broken_describe_function_fails_each_audience(workflow: RealWorkflow, broken: Callable[[str], None]) -> None:
    broken("Describe")
    run = workflow.run()
    # The state machine publishes the faults itself, but cannot count the audiences.
    assert sorted(reasons_of(run)) == ["adults", "comedy", "missing"]
    assert BROKEN.search(reasons_of(run)["comedy"])
    assert run.status == "FAILED"
    assert run.completed["reason"]


def test_a_run_that_cannot_publish_ends(workflow: RealWorkflow, deny: Deny, client: Clients) -> None:
    deny("StateMachine", "events:PutEvents")
    run = workflow.run()
    assert (run.status, run.events) == ("FAILED", [])
    assert "events:PutEvents" in run.execution["cause"]


def test_two_executions_of_a_run_at_once_start_its_jobs_once(workflow: RealWorkflow) -> None:
    before = len(workflow.stack.jobs)
    at = "2026-11-30T03:00:00Z"
    executions = [workflow.start(run=at) for _ in range(3)]
    ended = [workflow.wait(execution) for execution in executions]
    assert [execution["status"] for execution in ended] == ["SUCCEEDED"] * 3
    events = workflow.events()
    assert [fault for event in events for fault in faults_of(event)] == []
    assert len([event for event in events if "total" in event["detail"]]) == 3
    assert len(workflow.stack.jobs) - before == 2


def test_a_stopped_run_continues_with_its_jobs(
    workflow: RealWorkflow, aws: LocalAws, client: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aws.personalize, "in_progress_seconds", 2)
    before = len(workflow.stack.jobs)
    at = "2026-12-07T03:00:00Z"
    execution = workflow.start(run=at)
    wait_until(lambda: len(workflow.stack.jobs) - before == 2)
    client("stepfunctions").stop_execution(executionArn=execution, cause="by hand")
    assert workflow.wait(execution)["status"] == "ABORTED"
    workflow.events()
    run = workflow.run(run=at)
    assert list(reasons_of(run)) == ["missing"]
    assert len(workflow.stack.jobs) - before == 2
