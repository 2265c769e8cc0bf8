"""The outcome of real deployments when faults are injected into the service.

Each scenario deploys with a fault, checks the stack's status, the number of jobs (the bill) and the messages, and then
deploys the same again without the fault.
"""

import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import aws_cdk as cdk
import aws_cdk.aws_sqs as sqs
import pytest
from batch_segment_handler.contract import RESOURCE_TYPE
from cdk_personalize_segments import BatchSegmentInput, BatchSegmentJob, SegmentQuery
from deploy.scenarios import DENIED, SCENARIOS, WAIT, Scenario, fails
from personalize_local.faults import ANY, JOB, Fault, Faults
from personalize_local.gateway import LocalAws
from personalize_local.models import Job
from support.constants import CREATED, DELETED, NOT_CREATED, ROLLED_BACK, UPDATED
from support.local import Clients, seeded_arn, wait_until
from support.stacks import Build, RealStack
from support.templates import add_job, resource_names

QUERIES = BatchSegmentInput.from_queries([SegmentQuery.items_like("1")])
#: Creates builders of stacks with one job, from the job's properties.
Builder = Callable[..., Build]


@pytest.fixture
def build(aws: LocalAws) -> Builder:
    """Creates builders of stacks with one job."""

    def build(**props: Any) -> Build:
        if "filter_arn" in props:
            props["filter_arn"] = seeded_arn(aws, props["filter_arn"])
        version = seeded_arn(aws, "ITEM_AFFINITY_VERSION")
        return lambda stack: add_job(stack, solution_version_arn=version, job_input=QUERIES, **props)

    return build


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_scenario(scenario: Scenario, stack: RealStack, build: Builder, faults: Faults) -> None:
    if scenario.before is not None:
        assert stack.deploy(build(**scenario.before)).status == CREATED
    faults.inject(*scenario.faults)
    done = stack.deploy(build(**scenario.props))
    faults.clear()
    assert done.status == scenario.status, done.said
    assert scenario.says in done.said
    assert all(len(reason.encode()) < 4096 for reason in done.reasons)
    assert len(stack.jobs) == scenario.bill

    if done.status == NOT_CREATED:
        assert stack.destroy().status == DELETED
    again = stack.deploy(build(**scenario.props))
    assert again.status in (CREATED, UPDATED), again.said
    assert len(stack.jobs) == scenario.in_the_end


# -- deleting


def test_destroy_calls_nothing_and_cannot_fail(stack: RealStack, build: Builder, faults: Faults, aws: LocalAws) -> None:
    assert stack.deploy(build(tags={"team": "growth"})).status == CREATED
    faults.inject(Fault(ANY, "ServiceUnavailable", status=503, times=None))
    before = len(aws.personalize.calls)
    assert stack.destroy().status == DELETED
    assert len(aws.personalize.calls) == before
    assert len(stack.jobs) == 1


def test_destroy_does_not_wait_for_a_running_job(
    stack: RealStack, build: Builder, aws: LocalAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aws.personalize, "in_progress_seconds", 5)
    assert stack.deploy(build()).status == CREATED
    assert stack.destroy().status == DELETED
    (arn,) = stack.jobs
    assert aws.personalize.jobs[arn].in_flight


# -- waiting


def test_a_timed_out_wait_says_that_the_job_is_still_running(
    stack: RealStack, build: Builder, aws: LocalAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Much longer than a function takes to start on a busy machine.
    monkeypatch.setattr(aws.personalize, "in_progress_seconds", 20)
    done = stack.deploy(build(wait_for_completion=cdk.Duration.seconds(1)))
    assert done.status == NOT_CREATED
    (arn,) = stack.jobs
    assert (
        "is CREATE IN_PROGRESS after 1 seconds. The job is still running and will be billed. Check it with: aws"
        in done.said
    )
    assert arn in done.said
    assert aws.personalize.jobs[arn].in_flight


def test_unknown_status_counts_as_in_progress(
    stack: RealStack, build: Builder, aws: LocalAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aws.personalize, "in_progress_seconds", 1)
    set_status = Job.set_status
    words = {"CREATE IN_PROGRESS": "CREATE REHEARSING"}
    monkeypatch.setattr(Job, "set_status", lambda job, status: set_status(job, words.get(str(status), str(status))))
    assert stack.deploy(build(**WAIT)).status == CREATED


# -- several resources in a stack


def test_seven_jobs_of_one_stack_queue_for_five_slots(
    stack: RealStack, aws: LocalAws, client: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aws.personalize, "in_progress_seconds", 0.5)
    version = seeded_arn(aws, "ITEM_AFFINITY_VERSION")

    def build(scope: cdk.Stack) -> None:
        storage = None
        for number in range(7):
            queries = BatchSegmentInput.from_queries([SegmentQuery.items_like(str(number + 1))])
            job = add_job(scope, f"Job{number}", job_input=queries, solution_version_arn=version, storage=storage)
            storage = job.storage

    done = stack.deploy(build)
    assert done.status == CREATED, done.said
    assert len(stack.jobs) == 7


def test_dependent_jobs_run_one_after_the_other(stack: RealStack, aws: LocalAws) -> None:
    version = seeded_arn(aws, "ITEM_AFFINITY_VERSION")

    def build(scope: cdk.Stack) -> None:
        before: BatchSegmentJob | None = None
        for number in range(3):
            queries = BatchSegmentInput.from_queries([SegmentQuery.items_like(str(number + 1))])
            job = add_job(
                scope,
                f"Job{number}",
                job_input=queries,
                solution_version_arn=version,
                storage=None if before is None else before.storage,
                **WAIT,
            )
            if before is not None:
                job.node.add_dependency(before)
            before = job

    assert stack.deploy(build).status == CREATED
    jobs = [aws.personalize.jobs[arn] for arn in stack.jobs]
    assert len(jobs) == 3
    assert all(first.updated < second.created for first, second in itertools.pairwise(jobs))


def with_a_sibling_that_fails(build: Build) -> Build:
    def both(scope: cdk.Stack) -> None:
        build(scope)
        version = f"arn:aws:personalize:eu-west-1:{scope.account}:solution/none/0001"
        job = cast(BatchSegmentJob, scope.node.find_child("Job"))
        sibling = add_job(scope, "Sibling", solution_version_arn=version, storage=job.storage)
        sibling.node.add_dependency(job)

    return both


def test_adopts_the_job_of_an_update_that_a_sibling_rolled_back(stack: RealStack, build: Builder) -> None:
    assert stack.deploy(build()).status == CREATED
    first = stack.resource("JobB")
    done = stack.deploy(with_a_sibling_that_fails(build(trigger="2")))
    assert done.status == ROLLED_BACK
    assert "solution/none/0001 does not exist" in done.said
    assert len(stack.jobs) == 2
    assert stack.deploy(build(trigger="2", tags={"a": "b"})).status == UPDATED
    assert len(stack.jobs) == 2
    assert stack.resource("JobB") == stack.jobs[1] != first


def test_deletes_a_new_stack_that_a_sibling_rolled_back(stack: RealStack, build: Builder) -> None:
    done = stack.deploy(with_a_sibling_that_fails(build()))
    assert done.status == NOT_CREATED
    assert len(stack.jobs) == 1
    assert stack.destroy().status == DELETED


def test_adopts_the_job_of_a_canceled_update(
    stack: RealStack, build: Builder, aws: LocalAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert stack.deploy(build(**WAIT)).status == CREATED
    first = stack.jobs[0]
    monkeypatch.setattr(aws.personalize, "in_progress_seconds", 1.5)

    def cancel() -> None:
        wait_until(lambda: len(stack.jobs) == 2, timeout=120)
        stack.cancel_update()

    def with_a_resource_after_it(scope: cdk.Stack) -> None:
        # MiniStack checks for a cancellation before each resource.
        build(trigger="2", **WAIT)(scope)
        sqs.Queue(scope, "After").node.add_dependency(scope.node.find_child("Job"))

    with ThreadPoolExecutor(1) as pool:
        canceled = pool.submit(cancel)
        done = stack.deploy(with_a_resource_after_it)
        canceled.result()
    assert done.status == ROLLED_BACK, done.said
    assert stack.resource("JobWaiting") == first
    monkeypatch.setattr(aws.personalize, "in_progress_seconds", 0.1)
    assert stack.deploy(build(trigger="2", **WAIT)).status == UPDATED
    assert len(stack.jobs) == 2


def test_update_without_identity_change_keeps_the_job(stack: RealStack, build: Builder) -> None:
    assert stack.deploy(build()).status == CREATED
    (arn,) = stack.jobs
    for props in ({"tags": {"a": "b"}}, WAIT, {}):
        assert stack.deploy(build(**props)).status == UPDATED
        assert stack.jobs == [arn]


def test_adding_or_removing_a_wait_adopts_the_job(stack: RealStack, build: Builder) -> None:
    assert stack.deploy(build()).status == CREATED
    (arn,) = stack.jobs
    for props in (WAIT, {}, WAIT):
        assert stack.deploy(build(**props)).status == UPDATED
        assert stack.resource("JobWaiting" if props else "JobB") == arn
        assert stack.jobs == [arn]


def test_the_local_aws_rejects_a_changed_service_token(stack: RealStack, build: Builder) -> None:
    template = stack.template(build())
    assert stack.deploy_template(template).status == CREATED
    (job,) = resource_names(template, RESOURCE_TYPE)
    (handler,) = resource_names(template, "AWS::Lambda::Function", "ProviderHandler")
    template["Resources"][job]["Properties"]["ServiceToken"] = {"Fn::GetAtt": [handler, "Arn"]}
    done = stack.deploy_template(template)
    assert done.status == ROLLED_BACK
    assert "Modifying service token is not allowed." in done.said


def test_a_rollback_to_a_failed_job_starts_nothing(
    stack: RealStack, build: Builder, faults: Faults, aws: LocalAws
) -> None:
    faults.inject(Fault(JOB, message="no data"))
    assert stack.deploy(build()).status == CREATED
    (failed,) = stack.jobs
    wait_until(lambda: not aws.personalize.jobs[failed].in_flight)
    done = stack.deploy(with_a_sibling_that_fails(build(trigger="2")))
    assert done.status == ROLLED_BACK
    assert len(stack.jobs) == 2


def test_a_rollback_to_a_missing_job_starts_nothing(stack: RealStack, build: Builder, aws: LocalAws) -> None:
    assert stack.deploy(build()).status == CREATED
    (first,) = stack.jobs
    job = aws.personalize.jobs.pop(first)
    done = stack.deploy(with_a_sibling_that_fails(build(trigger="2")))
    assert done.status == ROLLED_BACK, done.said
    assert len(stack.jobs) == 1
    assert stack.resource("JobB") == first == job.arn


def test_does_not_retry_an_explicit_deny_and_names_the_policy(stack: RealStack, build: Builder, faults: Faults) -> None:
    # A second attempt would succeed.
    faults.inject(fails("AccessDeniedException", f"{DENIED} with an explicit deny in a session policy", times=1))
    done = stack.deploy(build())
    assert done.status == NOT_CREATED
    assert "CreateBatchSegmentJob is explicitly denied by a session policy. Change the Deny statement" in done.said
    assert " Log group: " in done.said


def test_names_the_difference_when_an_explicit_name_is_taken(stack: RealStack, build: Builder) -> None:
    name = f"{stack.name}-mine"
    assert stack.deploy(build(job_name=name)).status == CREATED
    done = stack.deploy(build(job_name=name, num_results=7))
    assert done.status == ROLLED_BACK
    assert f"job_name: '{name}' is taken by another job" in done.said
    assert "which differs in num_results. Names cannot be reused: choose another" in done.said
    assert stack.deploy(build(job_name=f"{name}-2", num_results=7)).status == UPDATED
    assert len(stack.jobs) == 2


def test_another_resource_in_the_update_keeps_the_job(stack: RealStack, build: Builder) -> None:
    assert stack.deploy(build()).status == CREATED

    def more(scope: cdk.Stack) -> None:
        build()(scope)
        sqs.Queue(scope, "Queue")

    assert stack.deploy(more).status == UPDATED
    assert len(stack.jobs) == 1
