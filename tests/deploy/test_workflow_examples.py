"""The apps with a workflow in ``examples``, deployed unchanged."""

import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import aws_cdk as cdk
import pytest
from cdk_personalize_segments import Audience
from personalize_local.faults import JOB, Fault, Faults
from personalize_local.gateway import LocalAws
from support.athena import query
from support.constants import CREATED
from support.event_schema import faults_of
from support.examples import EXAMPLES, app_of
from support.local import Clients, seeded_arn, split_s3_uri
from support.segments import segments_at
from support.stacks import RealStack
from support.workflows import RealWorkflow


class ExampleWorkflow(RealWorkflow):
    """The workflow of an example."""

    def create(self, make: Callable[[cdk.App], Any]) -> None:
        """Creates the example's stack."""
        outcome = self.stack.deploy_app(make)
        assert outcome.status == CREATED, outcome.said
        self.outputs = {**outcome.outputs, "Machine": outcome.outputs["StateMachine"]}

    def fire(self) -> dict[str, Any]:
        """Fires the schedule, and returns the execution when it has ended."""
        (schedule,) = self.stack.resources_of("AWS::Scheduler::Schedule")
        before = self._executions()
        self.stack.aws.tick(schedule)
        (execution,) = self._executions() - before
        return self.wait(execution, timeout=120)

    def _executions(self) -> set[str]:
        pages = self._client("stepfunctions").get_paginator("list_executions")
        found = pages.paginate(stateMachineArn=self.outputs["Machine"])
        return {execution["executionArn"] for page in found for execution in page["executions"]}


@pytest.fixture
def workflow(stack: RealStack, client: Clients) -> ExampleWorkflow:
    return ExampleWorkflow(stack, client)


def test_weekly_refreshes_its_audiences_after_each_training(
    workflow: ExampleWorkflow, aws: LocalAws, client: Clients, train: Callable[[], str]
) -> None:
    solution = seeded_arn(aws, "ITEM_ATTRIBUTE_AFFINITY_SOLUTION")
    stack = workflow.stack
    workflow.create(lambda app: app_of("weekly").WeeklyStack(app, stack.name, solution_arn=solution))

    first = workflow.fire()
    assert first["status"] == "SUCCEEDED", first
    assert len(stack.jobs) == 3
    # No new solution version: the schedule fires, and no job is billed.
    assert workflow.fire()["status"] == "SUCCEEDED"
    assert len(stack.jobs) == 3
    version = train()
    assert workflow.fire()["status"] == "SUCCEEDED"
    jobs = [aws.personalize.jobs[arn] for arn in stack.jobs]
    assert [job.status for job in jobs] == ["ACTIVE"] * 6
    assert [job.request["solutionVersionArn"] == version for job in jobs] == [False] * 3 + [True] * 3

    found = segments_at(client, workflow.outputs["Segments"])
    by_audience: dict[str, list[int]] = {}
    for key, segments in found.items():
        audience, run, _job, _file = key.split("/")
        assert run.startswith("run=")
        by_audience.setdefault(audience, []).append(len(segments))
        assert all(segment.user_ids for segment in segments)
    assert by_audience == {
        "audience=comedy-fans": [1, 1],
        "audience=drama-fans": [1, 1],
        "audience=classics-fans": [2, 2],
    }


def test_spreadsheet_has_three_hundred_audiences() -> None:
    audiences = Audience.list_from_csv(app_of("spreadsheet").AUDIENCES)
    assert len(audiences) == 300


@pytest.mark.parametrize("step", [10, pytest.param(1, marks=pytest.mark.slow)], ids=["30", "300"])
def test_spreadsheet_refreshes_five_audiences_at_a_time(
    workflow: ExampleWorkflow, aws: LocalAws, client: Clients, step: int
) -> None:
    # 300 audiences take 90 seconds.
    example, solution = app_of("spreadsheet"), seeded_arn(aws, "ITEM_ATTRIBUTE_AFFINITY_SOLUTION")
    audiences = Audience.list_from_csv(example.AUDIENCES)[::step]
    refused = aws.personalize.refused_creates["LimitExceededException"]
    stack = workflow.stack
    workflow.create(lambda app: example.SpreadsheetStack(app, stack.name, solution_arn=solution, audiences=audiences))
    ended = workflow.fire()
    assert ended["status"] == "SUCCEEDED", ended
    jobs = [aws.personalize.jobs[arn] for arn in stack.jobs]
    assert [job.status for job in jobs] == ["ACTIVE"] * len(audiences)
    assert aws.personalize.refused_creates["LimitExceededException"] == refused
    found = segments_at(client, workflow.outputs["Segments"])
    assert {key.split("/")[0].removeprefix("audience=") for key in found} == {audience.name for audience in audiences}


def test_a_failure_is_queued_and_latest_keeps_the_earlier_run(
    workflow: ExampleWorkflow, aws: LocalAws, client: Clients, faults: Faults, train: Callable[[], str]
) -> None:
    solution = seeded_arn(aws, "ITEM_ATTRIBUTE_AFFINITY_SOLUTION")
    stack = workflow.stack
    workflow.create(lambda app: app_of("failure").FailureStack(app, stack.name, solution_arn=solution))
    workflow.outputs["Events"] = workflow.outputs["QueueUrl"]
    sql = (EXAMPLES / "failure" / "overlap.sql").read_text()

    def overlap() -> list[list[str | None]]:
        return query(client, sql, workflow.outputs["Database"], workflow.outputs["Results"])

    def users_of(job: str) -> set[str]:
        output = aws.personalize.jobs[job].request["jobOutput"]["s3DataDestination"]["path"]
        ((segment,),) = segments_at(client, output).values()
        return set(segment.user_ids)

    # The third audience has no queries yet.
    assert workflow.fire()["status"] == "SUCCEEDED"
    (missing,) = workflow.events()
    assert faults_of(missing) == []
    assert missing["detail"]["audience"] == "campaign"
    assert missing["detail"]["jobNames"] == []
    assert workflow.outputs["Uploads"] in missing["detail"]["reason"]
    comedy, drama = map(users_of, sorted(stack.jobs))
    assert 0 < len(comedy & drama) < len(comedy)
    expected = [[str(len(comedy)), str(len(drama)), str(len(comedy & drama))]]
    assert overlap() == expected

    # The same run again: only the failed audience gets a job.
    bucket, prefix = split_s3_uri(workflow.outputs["Uploads"])
    queries = b'{"itemAttributes": "ITEMS.GENRES = \\"Romance\\""}\n'
    client("s3").put_object(Bucket=bucket, Key=f"{prefix}spring.jsonl", Body=queries)
    assert workflow.run().status == "SUCCEEDED"
    assert len(stack.jobs) == 3

    # A job fails in the next week. The audience keeps the segments of this week.
    train()
    faults.inject(Fault(JOB, message="an internal error"))
    assert workflow.fire()["status"] == "SUCCEEDED"
    (failed,) = [arn for arn in stack.jobs if aws.personalize.jobs[arn].status == "CREATE FAILED"]
    report = f"import report; report.STACK = {stack.name!r}; report.main()"
    printed = subprocess.run(
        [sys.executable, "-c", report],
        cwd=EXAMPLES / "failure",
        env=aws.environment() | {"PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    job = failed.rpartition("/")[2]
    assert re.fullmatch(
        rf"failed: (comedy-fans|drama-fans|campaign): the job {job} ended CREATE FAILED: an internal error\n"
        rf"comedy_fans: {len(comedy)}, drama_fans: {len(drama)}, fans_of_both: {len(comedy & drama)}\n",
        printed,
    )
    assert workflow.run().status == "SUCCEEDED"
    assert stack.jobs[6:] == [f"{failed}-2"]
    assert overlap() == expected
