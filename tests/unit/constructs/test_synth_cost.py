"""The cost of a synthesis in resources and in jsii calls, whose number is the same on every machine."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import aws_cdk as cdk
import aws_cdk.aws_scheduler as scheduler
import pytest
from cdk_personalize_segments import Audience, BatchSegmentInput, BatchSegmentWorkflow, SegmentQuery
from support.constants import SOLUTION

PROGRAM = Path(__file__).parents[3] / "benchmarks" / "synth.py"


@pytest.fixture(scope="module")
def synth() -> ModuleType:
    """The stacks and counters of the benchmark."""
    spec = importlib.util.spec_from_file_location("synth", PROGRAM)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_first_job_takes_at_most_10_percent_more_calls(synth: ModuleType) -> None:
    assert synth.calls(synth.with_library) <= 1.1 * synth.calls(synth.hand_wired)


@pytest.mark.parametrize("inline", [False, True])
def test_a_further_job_takes_at_most_twice_as_many_calls(synth: ModuleType, inline: bool) -> None:
    of_job = synth.calls_of_further_job(lambda number: synth.many_jobs(number, inline=inline))
    assert of_job <= 2 * synth.calls_of_further_job(synth.many_bare)


def test_a_job_adds_at_most_16_resources_and_a_further_job_1(synth: ModuleType) -> None:
    first, second, third = (
        synth.resource_count(build)
        for build in (synth.with_library, synth.many_jobs(1, inline=True), synth.many_jobs(2, inline=True))
    )
    assert first <= 16
    assert third - second == 1


def test_sixty_jobs_of_one_stack_synthesize(synth: ModuleType) -> None:
    jobs = synth.MANY_JOBS
    assert jobs == 60
    # `many_jobs` adds these jobs to the first job, which has its own storage.
    assert synth.resource_count(synth.many_jobs(jobs - 1, inline=True)) == synth.resource_count(
        synth.many_jobs(1, inline=True)
    ) + (jobs - 2)


@pytest.fixture
def workflow_of() -> Callable[[int], Callable[[cdk.Stack], None]]:
    """Returns a function that takes a number of audiences and returns the builder of their workflow."""

    def of(number: int) -> Callable[[cdk.Stack], None]:
        def build(stack: cdk.Stack) -> None:
            queries = [SegmentQuery.items_like(str(item)) for item in range(10)]
            audiences = [Audience(f"a{one}", BatchSegmentInput.from_queries(queries)) for one in range(number)]
            schedule = scheduler.ScheduleExpression.expression("rate(7 days)")
            BatchSegmentWorkflow(stack, "Weekly", solution_arn=SOLUTION, audiences=audiences, schedule=schedule)

        return build

    return of


def test_300_audiences_take_as_many_calls_as_one(
    synth: ModuleType, workflow_of: Callable[[int], Callable[[cdk.Stack], None]]
) -> None:
    assert synth.calls(workflow_of(300)) == synth.calls(workflow_of(1))


def test_300_audiences_add_as_many_resources_as_one(
    synth: ModuleType, workflow_of: Callable[[int], Callable[[cdk.Stack], None]]
) -> None:
    assert synth.resource_count(workflow_of(300)) == synth.resource_count(workflow_of(1))
