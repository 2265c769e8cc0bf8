"""Least privilege, part 2: calls that no path needs are denied, for each principal in its own session.

Each denied call has an allowed counterpart that differs from it in one point, which proves the reason of the denial.
`test_every_permission_is_needed` is part 1.
"""

import functools
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError
from personalize_local.gateway import DEFAULT_ACCOUNT, DEFAULT_REGION
from policy.attempts import ALLOWED, APP, REFUSED, STRICT, Attempt
from policy.examples import Deployments
from policy.world import JOB, OTHER_ACCOUNT, OTHER_BUCKET, World, Worlds
from support.local import Clients

RecordProperty = Callable[[str, object], None]


@pytest.fixture(scope="session")
def world(deployed: Deployments, client: Clients) -> Worlds:
    region = {"LocationConstraint": client("s3").meta.region_name}
    client("s3").create_bucket(Bucket=OTHER_BUCKET, CreateBucketConfiguration=region)
    return functools.cache(lambda example: World(deployed(example), client))


@pytest.mark.parametrize("attempt", REFUSED, ids=lambda attempt: attempt.name)
def test_refused(world: Worlds, record_property: RecordProperty, attempt: Attempt) -> None:
    around = world(attempt.example)
    with pytest.raises(ClientError) as refused:
        attempt.call(around.session(attempt.role, attempt.service), around)
    assert refused.value.response["Error"]["Code"] in ("AccessDenied", "AccessDeniedException")
    record_property("refused", 1)


@pytest.mark.parametrize("attempt", ALLOWED, ids=lambda attempt: attempt.name)
def test_allowed(world: Worlds, record_property: RecordProperty, attempt: Attempt) -> None:
    around = world(attempt.example)
    attempt.call(around.session(attempt.role, attempt.service), around)
    record_property("allowed", 1)


OTHER_SOURCES: dict[str, dict[str, Any]] = {
    "another_account": {"account": OTHER_ACCOUNT},
    "a_job_of_another_account": {"source": f"arn:aws:personalize:{DEFAULT_REGION}:{OTHER_ACCOUNT}:{JOB}/a"},
    "a_job_of_another_region": {"source": f"arn:aws:personalize:us-east-1:{DEFAULT_ACCOUNT}:{JOB}/a"},
    "a_resource_of_another_service": {"source": f"arn:aws:sagemaker:{DEFAULT_REGION}:{DEFAULT_ACCOUNT}:training-job/a"},
    "no_source": {"account": "", "source": ""},
    "another_service": {"service": "lambda.amazonaws.com"},
}


@pytest.mark.parametrize("source", OTHER_SOURCES.values(), ids=OTHER_SOURCES)
def test_the_service_role_is_not_assumed_for(
    world: Worlds, record_property: RecordProperty, source: dict[str, Any]
) -> None:
    around = world(APP)
    question = (around.trust(), "sts:AssumeRole", around.request["roleArn"])
    assert around.service_may(*question)
    assert not around.service_may(*question, **source)
    record_property("refused", 1)


@pytest.mark.parametrize("source", OTHER_SOURCES.values(), ids=OTHER_SOURCES)
@pytest.mark.parametrize("what", ["lists_input", "reads_input", "lists_output", "writes_output"])
def test_buckets_with_strict_conditions_refuse(
    world: Worlds, record_property: RecordProperty, source: dict[str, Any], what: str
) -> None:
    around = world(STRICT)
    question, context = in_bucket(around, what)
    assert around.service_may(*question, **context)
    assert not around.service_may(*question, **{**context, **source})
    record_property("refused", 1)


OTHERWISE = {"another_service": {"service": "lambda.amazonaws.com"}, "plain_http": {"secure": False}}


@pytest.mark.parametrize("how", OTHERWISE.values(), ids=OTHERWISE)
@pytest.mark.parametrize("what", ["lists_input", "reads_input", "lists_output", "writes_output"])
def test_buckets_refuse(world: Worlds, record_property: RecordProperty, how: dict[str, Any], what: str) -> None:
    around = world(APP)
    question, context = in_bucket(around, what)
    assert around.service_may(*question, **context)
    assert not around.service_may(*question, **{**context, **how})
    record_property("refused", 1)


@pytest.mark.parametrize(
    ("bucket", "action", "key"),
    [
        ("input", "s3:PutObject", "queries/a.jsonl"),
        ("input", "s3:DeleteObject", "queries/a.jsonl"),
        ("input", "s3:GetObject", "other/a.jsonl"),
        ("output", "s3:GetObject", "segments/a/a.out"),
        ("output", "s3:DeleteObject", "segments/a/a.out"),
        ("output", "s3:PutObject", "other/a.out"),
    ],
)
def test_buckets_refuse_personalize_unneeded_actions(
    world: Worlds, record_property: RecordProperty, bucket: str, action: str, key: str
) -> None:
    around = world(APP)
    name = getattr(around, bucket)
    assert not around.service_may(around.bucket_policy(name), action, f"arn:aws:s3:::{name}/{key}")
    record_property("refused", 1)


def in_bucket(around: World, what: str) -> tuple[tuple[Any, str, str], dict[str, Any]]:
    """Returns the arguments of `World.service_may` for a request of the service to a bucket."""
    bucket = around.input if what.endswith("input") else around.output
    prefix = f"{around.staged.rpartition('/')[0]}/" if what.endswith("input") else around.folder
    action = {"lists": "s3:ListBucket", "reads": "s3:GetObject", "writes": "s3:PutObject"}[what.partition("_")[0]]
    resource = f"arn:aws:s3:::{bucket}" + ("" if action == "s3:ListBucket" else f"/{prefix}a.jsonl")
    return (around.bucket_policy(bucket), action, resource), {"prefix": prefix}
