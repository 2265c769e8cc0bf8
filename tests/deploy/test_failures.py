"""What becomes of a stack when something goes wrong: real deployments, with failures injected into the service.

Each scenario deploys with a failure, looks at the stack's state, at how many jobs were created (the bill) and at what
was said, and then deploys the same again without it.
"""

import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import aws_cdk as cdk
import aws_cdk.aws_sqs as sqs
import pytest
from cdk_personalize_segments import BatchSegmentInput, BatchSegmentJob, SegmentQuery
from personalize_local.faults import ANY, JOB, Fault
from personalize_local.gateway import LocalAws
from personalize_local.models import Job
from stacks import RealStack
from support import wait_until

QUERIES = [SegmentQuery.items_like("1")]
WAIT = {"wait_for_completion": cdk.Duration.minutes(30)}
ADULTS = {"filter_arn": "FILTER"}
PRIVILEGES = "Insufficient privileges for accessing data in S3. Please look at the guide and fix bucket policy on input"
DENIED = "User: someone is not authorized to perform: personalize:CreateBatchSegmentJob"
CREATE = "CreateBatchSegmentJob"
DESCRIBE = "DescribeBatchSegmentJob"
VERSION = "DescribeSolutionVersion"

CREATED, REFUSED = "CREATE_COMPLETE", "ROLLBACK_COMPLETE"
UPDATED, ROLLED_BACK = "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE"


def fails(code: str, message: str = "no", operation: str = CREATE, times: int | None = None, **more: Any) -> Fault:
    return Fault(operation, code, message, times=times, **more)


@dataclass
class Scenario:
    """One deployment in which something goes wrong.

    Attributes:
        name: What the test is called.
        faults: What goes wrong.
        status: What the stack ends with.
        bill: How many jobs were created until then.
        says: What the deployment's messages have in them.
        props: The job's properties in that deployment.
        before: The job's properties in a deployment before it; None if the stack is new.
        in_the_end: How many jobs there are after the same deployment without the failure.
    """

    name: str
    faults: list[Fault]
    status: str
    bill: int
    says: str = ""
    props: dict[str, Any] = field(default_factory=dict)
    before: dict[str, Any] | None = None
    in_the_end: int = 1


def creating(name: str, *faults: Fault, **outcome: Any) -> Scenario:
    return Scenario(f"create: {name}", list(faults), **outcome)


def replacing(name: str, *faults: Fault, **outcome: Any) -> Scenario:
    props = {"trigger": "2", **outcome.pop("props", {})}
    outcome = {"in_the_end": 2, "before": {}, **outcome}
    return Scenario(f"replace: {name}", list(faults), props=props, **outcome)


def tagging(name: str, *faults: Fault, **outcome: Any) -> Scenario:
    outcome = {"bill": 1, "before": {"tags": {"team": "growth", "gone": "1"}}, **outcome}
    return Scenario(f"tags: {name}", list(faults), props={"tags": {"team": "loyalty"}}, **outcome)


PASSES: dict[str, Any] = {"status": CREATED, "bill": 1}
STOPS: dict[str, Any] = {"status": REFUSED, "bill": 0}
REPLACED: dict[str, Any] = {"status": UPDATED, "bill": 2}
KEPT: dict[str, Any] = {"status": ROLLED_BACK, "bill": 1}

SCENARIOS = [
    # -- CreateBatchSegmentJob, on a new resource
    creating("nothing goes wrong", **PASSES),
    creating(
        "a bad parameter",
        fails("InvalidInputException", "numResults is odd"),
        **STOPS,
        says="num_results: numResults is odd (InvalidInputException). Sent: solution_version_arn arn:",
    ),
    creating("a policy that has not propagated", fails("InvalidInputException", PRIVILEGES, times=3), **PASSES),
    creating(
        "a policy that is missing",
        fails("InvalidInputException", PRIVILEGES),
        **STOPS,
        says=f"a permission is missing (CreateBatchSegmentJob: InvalidInputException: {PRIVILEGES}; ",
    ),
    creating(
        "a role that cannot be assumed yet",
        fails("InvalidInputException", "The role cannot be assumed", times=2),
        **PASSES,
    ),
    creating("our own policy has not propagated", fails("AccessDeniedException", DENIED, times=3), **PASSES),
    creating(
        "our own policy is missing",
        fails("AccessDeniedException", DENIED),
        **STOPS,
        says=f"AccessDeniedException: {DENIED}",
    ),
    creating("five jobs in flight for a while", fails("LimitExceededException", "5 jobs", times=4), **PASSES),
    creating(
        "five jobs in flight for too long",
        fails("LimitExceededException", "5 jobs"),
        **STOPS,
        says="Amazon Personalize runs 5 batch segment jobs at once, and the limit is reached (Create",
    ),
    creating("a solution version in use for a while", fails("ResourceInUseException", "in use", times=2), **PASSES),
    creating(
        "a solution version in use for too long",
        fails("ResourceInUseException", "in use"),
        **STOPS,
        says="the solution version or the filter is still being created (CreateBatchSegmentJob: ResourceInUse",
    ),
    creating(
        "something that does not exist",
        fails("ResourceNotFoundException", "no such thing"),
        **STOPS,
        says="does not exist in this region and account (ResourceNotFoundException: no such thing). Check the ARN",
    ),
    creating(
        "a name that is taken by nobody",
        fails("ResourceAlreadyExistsException", "exists"),
        **STOPS,
        says="exists according to CreateBatchSegmentJob, but DescribeBatchSegmentJob does not find it (",
    ),
    creating("too many tags", fails("TooManyTagsException", "51 tags"), **STOPS, says="tags: expected at most 50"),
    creating(
        "an error that nobody knows",
        fails("TeapotException", "short and stout"),
        **STOPS,
        says="failed with TeapotException: short and stout",
    ),
    creating("throttling for a while", fails("ThrottlingException", "Rate exceeded", times=6), **PASSES),
    creating(
        "throttling for ever",
        fails("ThrottlingException", "Rate exceeded"),
        **STOPS,
        says="AWS returned an unexpected response or none (CreateBatchSegmentJob: ThrottlingException: Rate exceeded; ",
    ),
    creating("a server error for a while", fails("InternalServerError", "oops", times=6, status=500), **PASSES),
    creating(
        "a server error for ever",
        fails("ServiceUnavailable", "oops", status=503),
        **STOPS,
        says="ServiceUnavailable: oops; ",
    ),
    creating("a connection that is cut before the work", Fault(CREATE, reset=True, times=5), **PASSES),
    creating("an answer that is lost", Fault(CREATE, reset=True, after=True), **PASSES),
    creating("answers that are lost again and again", Fault(CREATE, reset=True, after=True, times=5), **PASSES),
    creating("an answer that is no answer", Fault(CREATE, malformed=True, after=True), **PASSES),
    creating(
        "an error after the work was done",
        fails("InternalServerError", "oops", times=1, status=500, after=True),
        **PASSES,
    ),
    creating("an answer that takes a while", Fault(CREATE, delay=0.5), **PASSES),
    # -- what is asked before
    creating("looking for the job is throttled", fails("ThrottlingException", operation=DESCRIBE, times=5), **PASSES),
    creating(
        "looking for the job is denied",
        fails("AccessDeniedException", DENIED, DESCRIBE),
        **STOPS,
        says="a permission is missing (DescribeBatchSegmentJob: AccessDeniedException: ",
    ),
    creating("looking for the job is cut off", Fault(DESCRIBE, reset=True, times=5), **PASSES),
    creating("looking for the job gets nonsense", Fault(DESCRIBE, malformed=True, times=2), **PASSES),
    creating(
        "the solution version does not exist",
        fails("ResourceNotFoundException", "no such version", VERSION),
        **STOPS,
        says="does not exist in this region and account (ResourceNotFoundException: no such version)",
    ),
    creating(
        "the solution version is denied for a while", fails("AccessDeniedException", DENIED, VERSION, times=3), **PASSES
    ),
    creating(
        "the filter does not exist",
        fails("ResourceNotFoundException", "no such filter", "DescribeFilter"),
        props=ADULTS,
        **STOPS,
        says="filter_arn: arn:aws:personalize:",
    ),
    creating(
        "everything fails now and then",
        Fault(ANY, "InternalServerError", status=500, times=None, probability=0.4),
        **PASSES,
    ),
    # -- the job itself
    creating("the job fails and was not waited for", Fault(JOB, message="no data"), **PASSES),
    creating(
        "the job fails and was waited for",
        Fault(JOB, message="no data"),
        props=WAIT,
        status=REFUSED,
        bill=1,
        says="ended CREATE FAILED: no data",
        in_the_end=2,
    ),
    creating(
        "the job fails with a novel for a reason",
        Fault(JOB, message="long " * 20_000),
        props=WAIT,
        status=REFUSED,
        bill=1,
        says="ended CREATE FAILED: long long",
        in_the_end=2,
    ),
    creating("waiting is throttled", fails("ThrottlingException", operation=DESCRIBE, times=30), props=WAIT, **PASSES),
    # -- another job for the same resource
    replacing("nothing goes wrong", **REPLACED),
    replacing("a bad parameter", fails("InvalidInputException", "numResults is odd"), **KEPT, says="numResults is odd"),
    replacing("a policy that is missing", fails("InvalidInputException", PRIVILEGES), **KEPT, says=PRIVILEGES),
    replacing(
        "five jobs in flight for too long",
        fails("LimitExceededException", "5 jobs"),
        **KEPT,
        says="Amazon Personalize runs 5 batch segment jobs at once, and the limit is reached (Create",
    ),
    replacing("an answer that is lost", Fault(CREATE, reset=True, after=True, times=5), **REPLACED),
    replacing(
        "everything fails for ever",
        Fault(ANY, "ServiceUnavailable", status=503, times=3000),
        status=ROLLED_BACK,
        bill=1,
        says="ServiceUnavailable",
    ),
    replacing(
        "the other job fails and was waited for: the next deployment is its next attempt",
        Fault(JOB, message="no data"),
        props=WAIT,
        before=WAIT,
        status=ROLLED_BACK,
        bill=2,
        says="ended CREATE FAILED: no data",
        in_the_end=3,
    ),
    # -- tags, in place
    tagging("nothing goes wrong", status=UPDATED),
    tagging("throttling for a while", fails("ThrottlingException", operation="TagResource", times=6), status=UPDATED),
    tagging("denied for a while", fails("AccessDeniedException", DENIED, "UntagResource", times=2), status=UPDATED),
    tagging(
        "denied",
        fails("AccessDeniedException", DENIED, "TagResource", times=40),
        status=ROLLED_BACK,
        says="a permission is missing (TagResource: AccessDeniedException: ",
    ),
    tagging(
        "too many",
        fails("TooManyTagsException", "51", "TagResource", times=1),
        status=ROLLED_BACK,
        says="tags: expected at most 50",
    ),
]


@pytest.fixture
def build(aws: LocalAws) -> Callable[..., Callable[[cdk.Stack], None]]:
    """Makes stacks with one job."""

    def build(**props: Any) -> Callable[[cdk.Stack], None]:
        if "filter_arn" in props:
            props["filter_arn"] = aws.environment()[f"PERSONALIZE_LOCAL_{props['filter_arn']}_ARN"]
        version = aws.environment()["PERSONALIZE_LOCAL_ITEM_AFFINITY_VERSION_ARN"]
        job_input = BatchSegmentInput.from_queries(QUERIES)

        def build(stack: cdk.Stack) -> None:
            BatchSegmentJob(stack, "Job", job_input=job_input, **{"solution_version_arn": version, **props})

        return build

    return build


@pytest.fixture
def faults(aws: LocalAws) -> Iterator[Any]:
    yield aws.faults
    aws.faults.clear()


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_scenario(scenario: Any, stack: RealStack, build: Callable[..., Any], faults: Any) -> None:
    if scenario.before is not None:
        assert stack.deploy(build(**scenario.before)).status == CREATED
    faults.inject(*scenario.faults)
    done = stack.deploy(build(**scenario.props))
    faults.clear()
    assert done.status == scenario.status, done.said
    assert scenario.says in done.said
    assert all(len(reason.encode()) < 4096 for reason in done.reasons)
    assert len(stack.jobs) == scenario.bill

    if done.status == REFUSED:
        assert stack.destroy().status == "DELETE_COMPLETE"
    again = stack.deploy(build(**scenario.props))
    assert again.status in (CREATED, UPDATED), again.said
    assert len(stack.jobs) == scenario.in_the_end


# -- deleting


def test_destroying_calls_nothing_and_cannot_fail(
    stack: RealStack, build: Callable[..., Any], faults: Any, aws: LocalAws
) -> None:
    assert stack.deploy(build(tags={"team": "growth"})).status == CREATED
    faults.inject(Fault(ANY, "ServiceUnavailable", status=503, times=None))
    before = len(aws.personalize.calls)
    assert stack.destroy().status == "DELETE_COMPLETE"
    assert len(aws.personalize.calls) == before
    assert len(stack.jobs) == 1


def test_destroying_does_not_wait_for_a_job_that_runs(
    stack: RealStack, build: Callable[..., Any], aws: LocalAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aws.personalize, "in_progress_seconds", 5)
    assert stack.deploy(build()).status == CREATED
    assert stack.destroy().status == "DELETE_COMPLETE"
    (arn,) = stack.jobs
    assert aws.personalize.jobs[arn].in_flight


# -- waiting


def test_a_wait_that_is_over_fails_the_deployment_and_says_that_the_job_goes_on(
    stack: RealStack, build: Callable[..., Any], aws: LocalAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Far longer than a function takes to start on a busy machine.
    monkeypatch.setattr(aws.personalize, "in_progress_seconds", 20)
    done = stack.deploy(build(wait_for_completion=cdk.Duration.seconds(1)))
    assert done.status == REFUSED
    (arn,) = stack.jobs
    assert (
        "is CREATE IN_PROGRESS after 1 seconds. The job is still running and will be billed. Check it with: aws"
        in done.said
    )
    assert arn in done.said
    assert aws.personalize.jobs[arn].in_flight


def test_a_word_for_a_status_that_nobody_knows_counts_as_in_progress(
    stack: RealStack, build: Callable[..., Any], aws: LocalAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aws.personalize, "in_progress_seconds", 1)
    set_status = Job.set_status
    words = {"CREATE IN_PROGRESS": "CREATE REHEARSING"}
    monkeypatch.setattr(Job, "set_status", lambda job, status: set_status(job, words.get(status, status)))
    assert stack.deploy(build(**WAIT)).status == CREATED


# -- what cannot be one job's fault


def test_seven_jobs_of_one_stack_queue_for_the_five_that_may_run(
    stack: RealStack, aws: LocalAws, client: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aws.personalize, "in_progress_seconds", 0.5)
    version = aws.environment()["PERSONALIZE_LOCAL_ITEM_AFFINITY_VERSION_ARN"]

    def build(scope: cdk.Stack) -> None:
        storage = None
        for number in range(7):
            queries = BatchSegmentInput.from_queries([SegmentQuery.items_like(str(number + 1))])
            job = BatchSegmentJob(
                scope, f"Job{number}", job_input=queries, solution_version_arn=version, storage=storage
            )
            storage = job.storage

    done = stack.deploy(build)
    assert done.status == CREATED, done.said
    assert len(stack.jobs) == 7


def test_jobs_that_depend_on_each_other_run_one_after_the_other(stack: RealStack, aws: LocalAws) -> None:
    version = aws.environment()["PERSONALIZE_LOCAL_ITEM_AFFINITY_VERSION_ARN"]

    def build(scope: cdk.Stack) -> None:
        before = None
        for number in range(3):
            queries = BatchSegmentInput.from_queries([SegmentQuery.items_like(str(number + 1))])
            job = BatchSegmentJob(
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


def with_a_sibling_that_fails(build: Callable[[cdk.Stack], None]) -> Callable[[cdk.Stack], None]:
    def both(scope: cdk.Stack) -> None:
        build(scope)
        version = f"arn:aws:personalize:eu-west-1:{scope.account}:solution/none/0001"
        job = scope.node.find_child("Job")
        sibling = BatchSegmentJob(
            scope,
            "Sibling",
            job_input=BatchSegmentInput.from_queries(QUERIES),
            solution_version_arn=version,
            storage=job.storage,
        )
        sibling.node.add_dependency(job)

    return both


def test_a_job_that_was_replaced_beside_a_sibling_that_fails_is_adopted_the_next_time(
    stack: RealStack, build: Callable[..., Any]
) -> None:
    assert stack.deploy(build()).status == CREATED
    first = stack.resource("JobB")
    done = stack.deploy(with_a_sibling_that_fails(build(trigger="2")))
    assert done.status == ROLLED_BACK
    assert "solution/none/0001 does not exist" in done.said
    assert len(stack.jobs) == 2
    assert stack.deploy(build(trigger="2", tags={"a": "b"})).status == UPDATED
    assert len(stack.jobs) == 2
    assert stack.resource("JobB") == stack.jobs[1] != first


def test_a_new_stack_whose_sibling_fails_is_rolled_back_and_can_be_deleted(
    stack: RealStack, build: Callable[..., Any]
) -> None:
    done = stack.deploy(with_a_sibling_that_fails(build()))
    assert done.status == REFUSED
    assert len(stack.jobs) == 1
    assert stack.destroy().status == "DELETE_COMPLETE"


def test_an_update_that_is_cancelled_in_the_middle_is_rolled_back_and_its_job_adopted_later(
    stack: RealStack, build: Callable[..., Any], aws: LocalAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert stack.deploy(build(**WAIT)).status == CREATED
    first = stack.jobs[0]
    monkeypatch.setattr(aws.personalize, "in_progress_seconds", 1.5)

    def cancel() -> None:
        wait_until(lambda: len(stack.jobs) == 2, timeout=120)
        stack.cancel_update()

    def with_a_resource_after_it(scope: cdk.Stack) -> None:
        # MiniStack looks before each resource whether it is to go on.
        build(trigger="2", **WAIT)(scope)
        sqs.Queue(scope, "After").node.add_dependency(scope.node.find_child("Job"))

    with ThreadPoolExecutor(1) as pool:
        cancelled = pool.submit(cancel)
        done = stack.deploy(with_a_resource_after_it)
        cancelled.result()
    assert done.status == ROLLED_BACK, done.said
    assert stack.resource("JobWaiting") == first
    monkeypatch.setattr(aws.personalize, "in_progress_seconds", 0.1)
    assert stack.deploy(build(trigger="2", **WAIT)).status == UPDATED
    assert len(stack.jobs) == 2


def test_what_does_not_define_the_job_starts_nothing(stack: RealStack, build: Callable[..., Any]) -> None:
    assert stack.deploy(build()).status == CREATED
    (arn,) = stack.jobs
    for props in ({"tags": {"a": "b"}}, WAIT, {}):
        assert stack.deploy(build(**props)).status == UPDATED
        assert stack.jobs == [arn]


def test_a_wait_that_is_added_or_taken_away_adopts_the_job_under_another_logical_id(
    stack: RealStack, build: Callable[..., Any]
) -> None:
    assert stack.deploy(build()).status == CREATED
    (arn,) = stack.jobs
    for props in (WAIT, {}, WAIT):
        assert stack.deploy(build(**props)).status == UPDATED
        assert stack.resource("JobWaiting" if props else "JobB") == arn
        assert stack.jobs == [arn]


def test_the_local_aws_refuses_a_changed_service_token_as_cloudformation_does(
    stack: RealStack, build: Callable[..., Any]
) -> None:
    template = stack.template(build())
    assert stack.deploy_template(template).status == CREATED
    (resource,) = [made for made in template["Resources"].values() if made["Type"].startswith("Custom::Personalize")]
    (handler,) = [
        name
        for name, made in template["Resources"].items()
        if made["Type"] == "AWS::Lambda::Function" and "ProviderHandler" in name
    ]
    resource["Properties"]["ServiceToken"] = {"Fn::GetAtt": [handler, "Arn"]}
    done = stack.deploy_template(template)
    assert done.status == ROLLED_BACK
    assert "Modifying service token is not allowed." in done.said


def test_a_rollback_to_a_job_that_failed_starts_nothing(
    stack: RealStack, build: Callable[..., Any], faults: Any, aws: LocalAws
) -> None:
    faults.inject(Fault(JOB, message="no data"))
    assert stack.deploy(build()).status == CREATED
    (failed,) = stack.jobs
    wait_until(lambda: not aws.personalize.jobs[failed].in_flight)
    done = stack.deploy(with_a_sibling_that_fails(build(trigger="2")))
    assert done.status == ROLLED_BACK
    assert len(stack.jobs) == 2


def test_a_rollback_whose_old_job_is_gone_starts_nothing(
    stack: RealStack, build: Callable[..., Any], aws: LocalAws
) -> None:
    assert stack.deploy(build()).status == CREATED
    (first,) = stack.jobs
    job = aws.personalize.jobs.pop(first)
    done = stack.deploy(with_a_sibling_that_fails(build(trigger="2")))
    assert done.status == ROLLED_BACK, done.said
    assert len(stack.jobs) == 1
    assert stack.resource("JobB") == first == job.arn


def test_an_explicit_denial_is_not_retried_and_names_the_policy(
    stack: RealStack, build: Callable[..., Any], faults: Any
) -> None:
    # A second attempt would succeed.
    faults.inject(fails("AccessDeniedException", f"{DENIED} with an explicit deny in a session policy", times=1))
    done = stack.deploy(build())
    assert done.status == REFUSED
    assert "CreateBatchSegmentJob is explicitly denied by a session policy. Change the Deny statement" in done.said
    assert " Log group: " in done.said


def test_an_explicit_name_that_is_taken_fails_and_says_why(stack: RealStack, build: Callable[..., Any]) -> None:
    name = f"{stack.name}-mine"
    assert stack.deploy(build(job_name=name)).status == CREATED
    done = stack.deploy(build(job_name=name, num_results=7))
    assert done.status == ROLLED_BACK
    assert f"job_name: '{name}' is taken by another job" in done.said
    assert "which differs in num_results. Names are never freed by the service" in done.said
    assert stack.deploy(build(job_name=f"{name}-2", num_results=7)).status == UPDATED
    assert len(stack.jobs) == 2


def test_an_unrelated_resource_changes_nothing(stack: RealStack, build: Callable[..., Any]) -> None:
    assert stack.deploy(build()).status == CREATED

    def more(scope: cdk.Stack) -> None:
        build()(scope)
        sqs.Queue(scope, "Queue")

    assert stack.deploy(more).status == UPDATED
    assert len(stack.jobs) == 1
