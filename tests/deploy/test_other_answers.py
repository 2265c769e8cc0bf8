"""Deployments to a service with other behavior than assumed: one undocumented behavior is changed at a time."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import aws_cdk as cdk
import pytest
from cdk_personalize_segments import BatchSegmentInput, BatchSegmentJob, SegmentQuery
from personalize_local.behavior import Behavior
from personalize_local.gateway import LocalAws
from support.constants import CREATED, NOT_CREATED, ROLLED_BACK, UPDATED
from support.local import Clients, seeded_arn, wait_until
from support.segments import segments_at
from support.stacks import Build, RealStack, add_failing_resource

pytestmark = pytest.mark.slow

#: Each behavior that differs from the default.
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
#: Behaviors that change a job's description, which is compared if the job has an explicit name.
DESCRIBED = [
    name
    for name, answers in OTHER.items()
    if answers.keys() & {"unknown_job_error", "default_results", "statuses"} or min(answers).startswith("echoes_")
]


#: Behaviors that only a waiting deployment meets. Waiting doubles the time of the test.
WAITS = {"statuses", "check_object", "output_format", "checks_access"}


@pytest.fixture
def behave(aws: LocalAws, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Changes a behavior until the test ends."""

    def behave(name: str) -> None:
        behavior = dataclasses.replace(aws.personalize.behavior, **OTHER[name])
        monkeypatch.setattr(aws.personalize, "behavior", behavior)

    return behave


@pytest.fixture
def build(aws: LocalAws) -> Callable[..., Build]:
    """Creates builders of stacks with one waiting job, and with a failing resource after it if `fails`."""

    def build(*, fails: bool = False, waits: bool = True, **props: Any) -> Build:
        version = seeded_arn(aws, "ITEM_ATTRIBUTE_AFFINITY_VERSION")

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
                add_failing_resource(stack, job)

        return build

    return build


def test_every_answer_is_inverted() -> None:
    turned = {name for answers in OTHER.values() for name in answers}
    assert turned == {field.name for field in dataclasses.fields(Behavior)}
    default = Behavior()
    assert all(getattr(default, name) != value for answers in OTHER.values() for name, value in answers.items())


def ends(job: Any) -> None:
    """Waits until a job is ACTIVE."""
    wait_until(lambda: not job.in_flight)
    assert job.status == "ACTIVE", job.failure_reason


@pytest.mark.parametrize("answer", OTHER)
def test_creates_tags_replaces_and_rolls_back_a_job(
    answer: str,
    stack: RealStack,
    build: Callable[..., Any],
    aws: LocalAws,
    behave: Callable[[str], None],
    client: Clients,
) -> None:
    behave(answer)
    build = functools.partial(build, waits=bool(WAITS & OTHER[answer].keys()))
    done = stack.deploy(build())
    assert done.status == CREATED, done.said
    (first,) = stack.jobs
    ends(aws.personalize.jobs[first])
    ((segment,),) = segments_at(client, done.outputs["Segments"]).values()
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
    ((segment,),) = segments_at(client, done.outputs["Segments"]).values()
    assert len(segment.user_ids) == 7

    done = stack.deploy(build())
    assert done.status == UPDATED, done.said
    assert len(stack.jobs) == 2
    assert stack.job_resource == first

    done = stack.deploy(build(fails=True, num_results=8))
    assert done.status == ROLLED_BACK, done.said
    assert len(stack.jobs) == 3
    assert stack.job_resource == first


@pytest.mark.parametrize("answer", DESCRIBED)
def test_keeps_a_job_of_an_explicit_name_without_identity_change(
    answer: str, stack: RealStack, build: Callable[..., Any], aws: LocalAws, behave: Callable[[str], None]
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
    assert stack.job_resource == first

    done = stack.deploy(build(job_name=name, num_results=7))
    assert done.status == ROLLED_BACK, done.said
    assert f"job_name: '{name}' is taken by another job" in done.said
    assert len(stack.jobs) == 2
    assert stack.job_resource == first


# -- failures that the behavior causes, with their message


def test_a_policy_missing_at_run_time_fails_a_waiting_deployment(
    stack: RealStack, build: Callable[..., Any], behave: Callable[[str], None], client: Clients
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
def test_names_a_solution_version_that_is_not_ready(
    answer: str | None, stack: RealStack, aws: LocalAws, behave: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    if answer is not None:
        behave(answer)
    version = seeded_arn(aws, "VERSION_IN_PROGRESS")

    def build(scope: cdk.Stack) -> None:
        queries = BatchSegmentInput.from_queries([SegmentQuery.items_like("1")])
        BatchSegmentJob(scope, "Job", job_input=queries, solution_version_arn=version)

    done = stack.deploy(build)
    assert done.status == NOT_CREATED
    assert version in done.said
    assert stack.jobs == []
