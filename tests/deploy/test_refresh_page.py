"""The page on refreshing segments is right about the jobs that a run starts and the jobs that it adopts."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import aws_cdk as cdk
import pytest
from cdk_personalize_segments import BatchSegmentWorkflow
from personalize_local.faults import JOB, Fault, Faults
from personalize_local.gateway import LocalAws
from support.constants import CREATED, UPDATED
from support.event_schema import faults_of
from support.local import Clients, seeded_arn
from support.stacks import RealStack
from support.templates import new_audience
from support.workflows import RealWorkflow, Run


@dataclass(frozen=True)
class App:
    """A workflow with audiences."""

    solution: str
    id: str = "Weekly"
    audiences: dict[str, dict[str, Any]] = field(default_factory=lambda: {"comedy": {}, "drama": {}})
    options: dict[str, Any] = field(default_factory=dict)

    def __call__(self, stack: cdk.Stack) -> BatchSegmentWorkflow:
        audiences = [
            new_audience(name, *given.get("items", ["1"]), **{key: given[key] for key in given.keys() - {"items"}})
            for name, given in self.audiences.items()
        ]
        return BatchSegmentWorkflow(stack, self.id, audiences=audiences, solution_arn=self.solution, **self.options)


@pytest.fixture
def workflow(stack: RealStack, client: Clients) -> RealWorkflow:
    return RealWorkflow(stack, client)


@pytest.fixture
def app(aws: LocalAws) -> App:
    return App(seeded_arn(aws, "ITEM_AFFINITY_SOLUTION"))


@pytest.fixture
def new_jobs(stack: RealStack, aws: LocalAws) -> Callable[[], list[str]]:
    """Lists the folders of audiences that new jobs write to."""
    seen: set[str] = set()

    def new() -> list[str]:
        jobs = {arn: aws.personalize.jobs[arn] for arn in stack.jobs if arn not in seen}
        seen.update(jobs)
        paths = [job.request["jobOutput"]["s3DataDestination"]["path"] for job in jobs.values()]
        return sorted(path.split("audience=")[1].split("/")[0] for path in paths)

    return new


def succeeds(run: Run) -> bool:
    assert [fault for event in run.events for fault in faults_of(event)] == []
    return bool(run.completed["status"] == "SUCCEEDED")


def test_a_change_costs_what_the_page_says(
    workflow: RealWorkflow, aws: LocalAws, app: App, new_jobs: Callable[[], list[str]]
) -> None:
    assert workflow.deploy(app).status == CREATED
    assert succeeds(workflow.run())
    assert new_jobs() == ["comedy", "drama"]
    adults = seeded_arn(aws, "FILTER")
    changes: list[tuple[App, list[str]]] = [
        (replace(app, options={"max_concurrency": 1, "timeout": cdk.Duration.hours(2), "tags": {"a": "b"}}), []),
        (replace(app, audiences={**app.audiences, "action": {}}), ["action"]),
        (replace(app, audiences={"comedy": {}}), []),
        (replace(app, audiences={"comedy": {"items": ["2"]}, "drama": {}}), ["comedy"]),
        (replace(app, audiences={"comedy": {"num_results": 5}, "drama": {}}), ["comedy"]),
        (replace(app, audiences={"comedy": {}, "drama": {"filter_arn": adults}}), ["drama"]),
        (replace(app, audiences={"comedy": {}, "tragedy": {}}), ["tragedy"]),
        (app, []),
        (replace(app, id="Daily"), ["comedy", "drama"]),
    ]
    for changed, expected in changes:
        outcome = workflow.deploy(changed)
        assert outcome.status == UPDATED, outcome.said
        assert succeeds(workflow.run())
        assert new_jobs() == expected, changed


def test_a_run_with_an_earlier_key_continues(
    workflow: RealWorkflow, app: App, new_jobs: Callable[[], list[str]], faults: Faults
) -> None:
    assert workflow.deploy(replace(app, options={"only_new_versions": False})).status == CREATED
    faults.inject(Fault(JOB, message="an internal error"))
    first = workflow.run(run="2026-11-30T03:00:00Z")
    assert not succeeds(first)
    (failed,) = [name for name, detail in first.audiences.items() if detail["status"] == "FAILED"]
    assert new_jobs() == ["comedy", "drama"]
    again = workflow.run(run="2026-11-30T03:00:00Z")
    assert succeeds(again)
    assert {first.completed["run"], again.completed["run"]} == {"20261130T030000Z"}
    assert new_jobs() == [failed]
    assert again.audiences[failed]["jobNames"][0].endswith("-2")
    # The events of the other audiences are published again.
    (other,) = {"comedy", "drama"} - {failed}
    assert again.audiences[other] == first.audiences[other]
    # A run without a key has a new one, so all jobs run again.
    assert succeeds(workflow.run())
    assert new_jobs() == ["comedy", "drama"]
