"""Deployments on a service that answers otherwise than assumed, one unpublished answer turned round at a time."""

import dataclasses
import functools
import time
from collections.abc import Callable, Iterator
from typing import Any

import aws_cdk as cdk
import aws_cdk.aws_iam as iam
import pytest
from cdk_personalize_segments import BatchSegmentInput, BatchSegmentJob, SegmentQuery
from personalize_local.behavior import Behavior
from personalize_local.gateway import LocalAws
from personalize_segments_reader import Segment, read_segments
from stacks import RealStack

pytestmark = pytest.mark.slow

CREATED, UPDATED, ROLLED_BACK = "CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE"
Build = Callable[[cdk.Stack], None]

#: Each answer that is not the default.
OTHER: dict[str, dict[str, Any]] = {
    "an unknown job is invalid input": {"unknown_job_error": "InvalidInputException"},
    "a version that is not ready is invalid input": {"unready_error": "InvalidInputException"},
    "paths lose their trailing slash": {"echoes_trailing_slash": False},
    "absent ARNs are empty": {"echoes_absent_arns": True},
    "an omitted number stays omitted": {"echoes_default_results": False},
    "an omitted number is 10": {"default_results": 10},
    "statuses are in the documented words": {"statuses": "documented"},
    "the check object is written as the job runs": {"check_object": "running"},
    "the check object is never written": {"check_object": "never"},
    "segments are in the documented form": {"output_format": "documented"},
    "access is checked as the job runs": {"checks_access": "running", "check_object": "running"},
    "the output is not listed": {"lists_output": False},
    "requests to S3 do not carry their source": {"sends_source": False},
    "creating is authorized on the solution version too": {"authorizes_solution_version": True},
    "tagging is authorized without tags": {"authorizes_tagging": "always"},
    "an output without a slash is refused": {"refuses_output_without_slash": True},
}
#: Those that show in a job's description, with which a job of an explicit name is compared.
DESCRIBED = [
    name
    for name, answers in OTHER.items()
    if answers.keys() & {"unknown_job_error", "default_results", "statuses"} or min(answers).startswith("echoes_")
]


#: Those that a deployment meets only if it waits for the job, which takes twice as long.
WAITS = {"statuses", "check_object", "output_format", "checks_access"}


@pytest.fixture
def behave(aws: LocalAws, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Turns an answer round until the test is over."""

    def behave(name: str) -> None:
        behavior = dataclasses.replace(aws.personalize.behavior, **OTHER[name])
        monkeypatch.setattr(aws.personalize, "behavior", behavior)

    return behave


@pytest.fixture
def build(aws: LocalAws) -> Callable[..., Build]:
    """Makes stacks with one job that is waited for, and with a resource after it that fails, if asked for."""

    def build(*, fails: bool = False, waits: bool = True, **props: Any) -> Build:
        version = aws.environment()["PERSONALIZE_LOCAL_ITEM_ATTRIBUTE_AFFINITY_VERSION_ARN"]

        def build(stack: cdk.Stack) -> None:
            job = BatchSegmentJob(
                stack,
                "Job",
                job_input=BatchSegmentInput.from_queries([SegmentQuery.where(GENRES="Comedy")]),
                solution_version_arn=version,
                wait_for_completion=cdk.Duration.minutes(30) if waits else None,
                **props,
            )
            cdk.CfnOutput(stack, "Segments", value=job.output_uri)
            cdk.CfnOutput(stack, "Status", value=job.status)
            if fails:
                statement = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}
                document = {"Version": "2012-10-17", "Statement": [statement]}
                policy = iam.CfnPolicy(stack, "Fails", policy_name="none", policy_document=document, roles=["none"])
                policy.node.add_dependency(job)

        return build

    return build


@pytest.fixture
def segments_at(client: Callable[[str], Any]) -> Callable[[str], list[Segment]]:
    """Reads segments as the page on reading them shows."""
    s3 = client("s3")

    def segments_at(output_uri: str) -> Iterator[Segment]:
        bucket, _, prefix = output_uri.removeprefix("s3://").partition("/")
        for found in s3.list_objects_v2(Bucket=bucket, Prefix=prefix)["Contents"]:
            if found["Key"].endswith(".out"):
                yield from read_segments(s3.get_object(Bucket=bucket, Key=found["Key"])["Body"].iter_lines())

    return lambda output_uri: list(segments_at(output_uri))


def test_every_answer_is_turned_round() -> None:
    turned = {name for answers in OTHER.values() for name in answers}
    assert turned == {field.name for field in dataclasses.fields(Behavior)}
    default = Behavior()
    assert all(getattr(default, name) != value for answers in OTHER.values() for name, value in answers.items())


def ends(job: Any) -> None:
    """Waits until a job is ACTIVE."""
    for _ in range(3000):
        if not job.in_flight:
            break
        time.sleep(0.01)
    assert job.status == "ACTIVE", job.failure_reason


def resource_of(stack: Any) -> str:
    """The job that the stack's resource stands for."""
    (arn,) = stack.resources_of("Custom::PersonalizeBatchSegmentJob")
    return arn


@pytest.mark.parametrize("answer", OTHER)
def test_a_job_is_created_tagged_replaced_and_rolled_back(
    answer: Any,
    stack: RealStack,
    build: Callable[..., Any],
    aws: LocalAws,
    behave: Callable[[str], None],
    segments_at: Callable[[str], list[Segment]],
) -> None:
    behave(answer)
    build = functools.partial(build, waits=bool(WAITS & OTHER[answer].keys()))
    done = stack.deploy(build())
    assert done.status == CREATED, done.said
    (first,) = stack.jobs
    ends(aws.personalize.jobs[first])
    (segment,) = segments_at(done.outputs["Segments"])
    assert segment.query == {"itemAttributes": 'ITEMS.GENRES = "Comedy"'}
    assert (len(segment.user_ids), segment.error) == (aws.personalize.behavior.default_results, None)

    done = stack.deploy(build(tags={"team": "growth"}))
    assert done.status == UPDATED, done.said
    assert aws.personalize.jobs[first].tags == {"team": "growth"}
    assert stack.jobs == [first]

    done = stack.deploy(build(num_results=7))
    assert done.status == UPDATED, done.said
    assert len(stack.jobs) == 2
    ends(aws.personalize.jobs[stack.jobs[1]])
    (segment,) = segments_at(done.outputs["Segments"])
    assert len(segment.user_ids) == 7

    done = stack.deploy(build())
    assert done.status == UPDATED, done.said
    assert len(stack.jobs) == 2
    assert resource_of(stack) == first

    done = stack.deploy(build(fails=True, num_results=8))
    assert done.status == ROLLED_BACK, done.said
    assert len(stack.jobs) == 3
    assert resource_of(stack) == first


@pytest.mark.parametrize("answer", DESCRIBED)
def test_a_job_of_an_explicit_name_is_kept_when_nothing_that_defines_it_changes(
    answer: Any, stack: RealStack, build: Callable[..., Any], aws: LocalAws, behave: Callable[[str], None]
) -> None:
    behave(answer)
    build = functools.partial(build, waits=False)
    name = f"{stack.name}-mine"
    done = stack.deploy(build(job_name=name))
    assert done.status == CREATED, done.said
    (first,) = stack.jobs

    done = stack.deploy(build(job_name=name, tags={"team": "growth"}))
    assert done.status == UPDATED, done.said
    assert aws.personalize.jobs[first].tags == {"team": "growth"}

    done = stack.deploy(build(job_name=f"{name}-2", num_results=7))
    assert done.status == UPDATED, done.said
    done = stack.deploy(build(job_name=name))
    assert done.status == UPDATED, done.said
    assert len(stack.jobs) == 2
    assert resource_of(stack) == first

    done = stack.deploy(build(job_name=name, num_results=7))
    assert done.status == ROLLED_BACK, done.said
    assert f"job_name: '{name}' is taken by another job" in done.said
    assert len(stack.jobs) == 2
    assert resource_of(stack) == first


# -- where the deployment cannot succeed, it says why


def test_a_policy_that_is_missing_as_the_job_runs_fails_a_deployment_that_waits(
    stack: RealStack, build: Callable[..., Any], behave: Callable[[str], None], client: Callable[[str], Any]
) -> None:
    behave("access is checked as the job runs")
    done = stack.deploy(build())
    assert done.status == CREATED, done.said
    (bucket,) = [name for name in stack.resources_of("AWS::S3::Bucket") if "input" in name.lower()]
    client("s3").delete_bucket_policy(Bucket=bucket)
    done = stack.deploy(build(trigger="2"))
    assert done.status == ROLLED_BACK
    assert "ended CREATE FAILED: Insufficient privileges for accessing data in S3." in done.said
    assert f"fix bucket policy on {bucket} (s3:ListBucket)" in done.said


@pytest.mark.parametrize("answer", ["a version that is not ready is invalid input", None])
def test_a_solution_version_that_is_not_ready_is_named(
    answer: str | None, stack: RealStack, aws: LocalAws, behave: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    if answer is not None:
        behave(answer)
    version = aws.environment()["PERSONALIZE_LOCAL_VERSION_IN_PROGRESS_ARN"]

    def build(scope: cdk.Stack) -> None:
        queries = BatchSegmentInput.from_queries([SegmentQuery.items_like("1")])
        BatchSegmentJob(scope, "Job", job_input=queries, solution_version_arn=version)

    done = stack.deploy(build)
    assert done.status == "ROLLBACK_COMPLETE"
    assert version in done.said
    assert stack.jobs == []
