"""A workflow runs on the local AWS with the permissions of its stack: state machine, functions, jobs and events."""

import datetime
import itertools
from typing import Any

import aws_cdk as cdk
import pytest
from cdk_personalize_segments import BatchSegmentWorkflow
from deploy.run_scenarios import RUN_SCENARIOS, RunScenario
from personalize_local.faults import Faults
from personalize_local.gateway import LocalAws
from support.constants import CREATED
from support.event_schema import faults_of
from support.local import Clients, seeded_arn
from support.segments import segments_at
from support.stacks import RealStack
from support.templates import new_audience
from support.workflows import RealWorkflow

AUDIENCES = {"comedy": ("1", "2"), "drama": ("3",)}
_SECONDS = itertools.count()


def new_time() -> str:
    """Returns a scheduled time that no other run uses."""
    start = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    return (start + datetime.timedelta(seconds=next(_SECONDS))).isoformat()


def new_workflow(aws: LocalAws, client: Clients, name: str, **props: Any) -> RealWorkflow:
    """Deploys a workflow with a separate run for each scheduled time."""
    audiences = [new_audience(audience, *items) for audience, items in AUDIENCES.items()]

    def build(stack: cdk.Stack) -> BatchSegmentWorkflow:
        solution = seeded_arn(aws, "ITEM_AFFINITY_SOLUTION")
        given = {"audiences": audiences, "solution_arn": solution, "only_new_versions": False, **props}
        return BatchSegmentWorkflow(stack, "Weekly", **given)

    workflow = RealWorkflow(RealStack(aws, client, name), client)
    outcome = workflow.deploy(build)
    assert outcome.status == CREATED, outcome.said
    return workflow


@pytest.fixture(scope="session")
def workflow(aws: LocalAws, client: Clients) -> RealWorkflow:
    """The workflow of the tests in this file, deployed once."""
    return new_workflow(aws, client, "Runs")


@pytest.fixture(scope="session")
def short_workflow(aws: LocalAws, client: Clients) -> RealWorkflow:
    """The same workflow with a timeout of eight seconds."""
    return new_workflow(aws, client, "ShortRuns", timeout=cdk.Duration.seconds(8))


@pytest.mark.parametrize("scenario", RUN_SCENARIOS, ids=lambda scenario: scenario.name)
def test_scenario_of_a_run(
    scenario: RunScenario, request: pytest.FixtureRequest, faults: Faults, workflow: RealWorkflow
) -> None:
    used = request.getfixturevalue("short_workflow") if scenario.is_short else workflow
    at, before = new_time(), len(used.stack.jobs)
    faults.inject(*scenario.faults)
    run = used.run(run=at)
    faults.clear()
    assert len(used.stack.jobs) - before == scenario.bill, run.events
    assert [fault for event in run.events for fault in faults_of(event)] == []
    completed = run.completed
    if scenario.is_prepared:
        assert run.status == "SUCCEEDED", run.execution
        total = len(AUDIENCES)
        counts = (completed["total"], completed["succeeded"], completed["failed"])
        assert counts == (total, total - scenario.failed, scenario.failed)
        failed = [detail for detail in run.audiences.values() if detail["status"] == "FAILED"]
        assert len(run.audiences) == total
        assert len(failed) == scenario.failed
        assert [detail["reason"] for detail in failed if scenario.says not in detail["reason"]] == []
    else:
        assert run.status == "FAILED"
        assert run.audiences == {}
        assert scenario.says in completed["reason"]
    assert completed["status"] == ("FAILED" if scenario.failed or not scenario.is_prepared else "SUCCEEDED")

    again = used.run(run=at)
    assert again.completed["status"] == "SUCCEEDED", again.events
    assert len(used.stack.jobs) - before == scenario.in_the_end


def test_a_run_writes_the_segments_of_all_audiences(workflow: RealWorkflow, client: Clients) -> None:
    run = workflow.run(run=new_time())
    for name, items in AUDIENCES.items():
        (segments,) = segments_at(client, run.audiences[name]["outputUri"]).values()
        assert [segment.query for segment in segments] == [{"itemId": item} for item in items]
        assert all(segment.user_ids for segment in segments)
