"""Random runs from a seed with faults, redeliveries, trainings and other jobs, with invariants after each step."""

import os
import random
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import aws_cdk as cdk
import pytest
from batch_segment_handler.workflow_contract import RUN_COMPLETED
from cdk_personalize_segments import BatchSegmentWorkflow
from personalize_local.faults import ANY, JOB, Fault, Faults
from personalize_local.gateway import LocalAws
from personalize_local.models import Job
from support.constants import CREATED
from support.event_schema import faults_of
from support.local import Clients, seeded_arn
from support.stacks import RealStack
from support.templates import add_job, new_audience
from support.workflows import RealWorkflow

FIXED_SEED = 20261126
MAX_IN_FLIGHT = 5
FAULTS = [
    Fault("CreateBatchSegmentJob", "InvalidInputException", "numResults is odd"),
    Fault("CreateBatchSegmentJob", "ThrottlingException", times=6),
    Fault("CreateBatchSegmentJob", "LimitExceededException", times=8),
    Fault("CreateBatchSegmentJob", reset=True, after=True, times=5),
    Fault("CreateBatchSegmentJob", malformed=True, after=True),
    Fault("DescribeBatchSegmentJob", "AccessDeniedException", times=4),
    Fault("ListSolutionVersions", "ResourceNotFoundException"),
    Fault(ANY, "InternalServerError", status=500, times=None, probability=0.3),
    Fault(JOB, message="no data", times=2),
]


@dataclass
class WorkflowSoak:
    """Two stacks with workflows, one of them with a job too, and the steps that have been taken.

    Attributes:
        workflows: The workflows. The first has a run for each time, the second for each solution version.
        aws: The local AWS.
        seed: The seed, which makes the steps repeatable.
        part: The part. Each part of a seed has different steps.
    """

    workflows: list[RealWorkflow]
    aws: LocalAws
    seed: int
    part: int
    _history: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._random = random.Random(f"{self.seed} {self.part}")
        # Ignore the jobs of other tests.
        self.aws.personalize.max_in_flight = 0

    def run(self, steps: int) -> None:
        """Takes steps, and checks the runs after each step."""
        for _ in range(steps):
            self._step()

    def _step(self) -> None:
        if self._random.random() < 0.3:
            self._history.append(f"train {self.aws.train('films-item-affinity')}")
        if self._random.random() < 0.6:
            fault = replace(self._random.choice(FAULTS))
            self._history.append(str(fault))
            self.aws.faults.inject(fault)
        started: list[tuple[RealWorkflow, str]] = []
        for workflow in self._random.choices(self.workflows, k=self._random.randint(1, 3)):
            at = f"2026-11-{self._random.randint(1, 4):02}T03:00:00Z"
            self._history.append(f"run {at} of {workflow.stack.name}")
            started.append((workflow, workflow.start(run=at)))
        ended = [workflow.wait(execution, timeout=120) for workflow, execution in started]
        self.aws.faults.clear()
        for workflow in self.workflows:
            executions = [
                one for one in ended if f":{workflow.outputs['Machine'].split(':')[-1]}:" in one["executionArn"]
            ]
            self._check_events(workflow, executions)
            self._check_bill(workflow)
        self._hold(self.aws.personalize.max_in_flight <= MAX_IN_FLIGHT, "more than five jobs were in flight")

    def _check_events(self, workflow: RealWorkflow, executions: list[dict[str, Any]]) -> None:
        events = workflow.events()
        for event in events:
            self._hold(faults_of(event) == [], f"the event is not as documented: {event}")
        completed = [event["detail"] for event in events if event["detail-type"] == RUN_COMPLETED]
        published = Counter(detail["executionArn"] for detail in completed)
        expected = Counter(execution["executionArn"] for execution in executions)
        self._hold(published == expected, f"the runs {expected} published {published}")
        total = sum(detail["total"] for detail in completed)
        self._hold(len(events) - len(completed) == total, f"{total} audiences published {len(events)} events")

    def _check_bill(self, workflow: RealWorkflow) -> None:
        # An audience is billed once for each run, and again after each failure of its job.
        attempts: dict[str, list[Job]] = {}
        for arn in workflow.stack.jobs:
            attempts.setdefault(re.sub(r"-\d{1,2}$", "", arn), []).append(self.aws.personalize.jobs[arn])
        for first, of_run in attempts.items():
            billed = [job for job in of_run if job.status != "CREATE FAILED" and job.fault is None]
            self._hold(len(billed) <= 1, f"{first} was billed {len(billed)} times")

    def _hold(self, condition: bool, failure: str) -> None:
        repeat = f"SOAK_SEED={self.seed}, part {self.part}"
        assert condition, f"{failure}; {repeat}, the last steps: {self._history[-8:]}"


@pytest.fixture
def soak(
    aws: LocalAws, client: Clients, stack: RealStack, faults: Faults
) -> Iterator[Callable[[int, int], WorkflowSoak]]:
    """Creates a soak from a seed and a part."""
    versions = aws.personalize.catalog.versions

    def workflow(name: str, **options: Any) -> RealWorkflow:
        def build(scope: cdk.Stack) -> BatchSegmentWorkflow:
            audiences = [new_audience(f"fans-{number}", str(number)) for number in range(1, 5)]
            if not options["only_new_versions"]:
                add_job(scope, solution_version_arn=seeded_arn(aws, "ITEM_AFFINITY_VERSION"))
            solution = seeded_arn(aws, "ITEM_AFFINITY_SOLUTION")
            return BatchSegmentWorkflow(scope, "Weekly", audiences=audiences, solution_arn=solution, **options)

        made = RealWorkflow(RealStack(aws, client, f"{stack.name}{name}"), client)
        outcome = made.deploy(build)
        assert outcome.status == CREATED, outcome.said
        return made

    workflows = [workflow("Times", only_new_versions=False), workflow("Versions", only_new_versions=True)]
    yield lambda seed, part: WorkflowSoak(workflows, aws, seed, part)
    aws.personalize.catalog.versions = versions


def test_every_invariant_of_runs_holds_over_6_fixed_steps(soak: Callable[[int, int], WorkflowSoak]) -> None:
    soak(FIXED_SEED, 0).run(6)


@pytest.mark.soak
@pytest.mark.parametrize("part", range(4))
def test_workflow_soak(soak: Callable[[int, int], WorkflowSoak], part: int) -> None:
    soak(int(os.environ.get("SOAK_SEED") or random.randrange(10**6)), part).run(25)
