"""The local Personalize supports each alternative in `Behavior` of the service's undocumented behavior."""

import dataclasses
import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from personalize_local.behavior import Behavior
from personalize_local.gateway import LocalAws
from support.local import wait_until
from unit.local.job_fixture import COMEDY, CREATE, PASS, JobFixture, allow, create, rejected


@pytest.fixture
def behave(local_aws: LocalAws, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Changes undocumented behavior until the test ends."""

    def change(**changes: Any) -> None:
        behavior = dataclasses.replace(local_aws.personalize.behavior, **changes)
        monkeypatch.setattr(local_aws.personalize, "behavior", behavior)

    return change


def test_documents_every_behavior() -> None:
    documented = re.findall(r"^        (\w+): ", Behavior.__doc__ or "", re.M)
    assert documented == [field.name for field in dataclasses.fields(Behavior)]
    assert Behavior() == Behavior()


@pytest.mark.parametrize("code", ["ResourceNotFoundException", "InvalidInputException"])
def test_answers_an_unknown_job_with_either_error(jobs: JobFixture, behave: Callable[..., None], code: str) -> None:
    behave(unknown_job_error=code)
    arn = f"arn:aws:personalize:{jobs.aws.region}:{jobs.aws.account}:batch-segment-job/none"
    assert rejected(jobs.personalize.describe_batch_segment_job, batchSegmentJobArn=arn) == (
        code,
        f"Batch segment job {arn} does not exist.",
    )


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, {"numResults": 25}),
        ({"echoes_default_results": False}, {"numResults": None}),
        ({"default_results": 3}, {"numResults": 3}),
        ({"echoes_absent_arns": True}, {"numResults": 25, "filterArn": ""}),
    ],
)
def test_descriptions_show_or_omit_defaults(
    jobs: JobFixture, behave: Callable[..., None], changes: dict[str, Any], expected: dict[str, Any]
) -> None:
    behave(**changes)
    jobs.put('{"itemId": "1"}')
    job = jobs.run()
    assert {key: job.get(key) for key in expected} == expected
    assert ("filterArn" in job) == ("filterArn" in expected)
    for location in (job["jobInput"]["s3DataSource"], job["jobOutput"]["s3DataDestination"]):
        assert location.get("kmsKeyArn") == expected.get("filterArn")
    (record,) = jobs.results()
    assert len(record["output"]["usersList"]) == changes.get("default_results", 25)


@pytest.mark.parametrize(("echoes", "end"), [(True, "/"), (False, "")])
def test_descriptions_keep_or_drop_the_trailing_slash(
    jobs: JobFixture, behave: Callable[..., None], echoes: bool, end: str
) -> None:
    behave(echoes_trailing_slash=echoes)
    jobs.put('{"itemId": "1"}')
    job = jobs.run()
    assert job["jobInput"]["s3DataSource"]["path"] == f"s3://{jobs.input}/in{end}"
    assert job["jobOutput"]["s3DataDestination"]["path"] == f"s3://{jobs.output}/out{end}"


def test_can_show_documented_statuses(jobs: JobFixture, behave: Callable[..., None], local_aws: LocalAws) -> None:
    behave(statuses="documented")
    jobs.put('{"itemId": "1"}')
    arn = jobs.personalize.create_batch_segment_job(**jobs.request())["batchSegmentJobArn"]
    seen: list[str] = []

    def is_active() -> bool:
        status = jobs.personalize.describe_batch_segment_job(batchSegmentJobArn=arn)["batchSegmentJob"]["status"]
        seen.extend({status} - set(seen))
        return bool(status == "ACTIVE")

    wait_until(is_active)
    assert seen == ["PENDING", "IN PROGRESS", "ACTIVE"]
    version = local_aws.environment()["PERSONALIZE_LOCAL_VERSION_IN_PROGRESS_ARN"]
    described = jobs.personalize.describe_solution_version(solutionVersionArn=version)["solutionVersion"]
    assert described["status"] == "IN PROGRESS"


@pytest.mark.parametrize(
    ("when", "created", "ended"),
    [
        ("created", ["out/_CHECK"], ["out/_CHECK", "out/queries.jsonl.out"]),
        ("running", [], ["out/_CHECK", "out/queries.jsonl.out"]),
        ("never", [], ["out/queries.jsonl.out"]),
    ],
)
def test_writes_the_check_object_in_either_phase_or_never(
    jobs: JobFixture,
    behave: Callable[..., None],
    local_aws: LocalAws,
    monkeypatch: pytest.MonkeyPatch,
    when: str,
    created: list[str],
    ended: list[str],
) -> None:
    behave(check_object=when)
    monkeypatch.setattr(local_aws.personalize, "pending_seconds", 0.5)
    jobs.put('{"itemId": "1"}')

    def keys() -> list[str]:
        return [found["Key"] for found in jobs.s3.list_objects_v2(Bucket=jobs.output).get("Contents", [])]

    arn = jobs.personalize.create_batch_segment_job(**jobs.request())["batchSegmentJobArn"]
    assert keys() == created
    assert jobs.end(arn)["status"] == "ACTIVE"
    assert keys() == ended


def test_can_write_segments_in_the_documented_format(jobs: JobFixture, behave: Callable[..., None]) -> None:
    behave(output_format="documented")
    jobs.put('{"itemId": "1"}\n{"itemId": "none"}')
    jobs.run(numResults=1)
    assert jobs.results() == [
        {"input": {"itemId": "1"}, "output": {"recommendedUsers": ["user-270"]}},
        {"input": {"itemId": "none"}, "output": {"recommendedUsers": []}},
    ]
    jobs.put(COMEDY)
    jobs.run(recipe="item-attribute-affinity", numResults=1)
    (record,) = jobs.results()
    assert record == {**json.loads(COMEDY), "output": {"recommendedUsers": record["output"]["recommendedUsers"]}}
    assert len(record["output"]["recommendedUsers"]) == 1


@pytest.mark.parametrize("missing", range(4))
def test_can_check_access_while_the_job_runs(jobs: JobFixture, behave: Callable[..., None], missing: int) -> None:
    behave(checks_access="running", check_object="running")
    jobs.put('{"itemId": "1"}')
    assert jobs.run()["status"] == "ACTIVE"
    jobs.allow_role([statement for index, statement in enumerate(jobs.statements()) if index != missing])
    job = jobs.run()
    assert job["status"] == "CREATE FAILED"
    action, _ = jobs.statements()[missing]
    assert action in job["failureReason"]


def test_can_check_the_trust_policy_while_the_job_runs(jobs: JobFixture, behave: Callable[..., None]) -> None:
    behave(checks_access="running", check_object="running")
    jobs.put('{"itemId": "1"}')
    trust = jobs.trust(StringEquals={"aws:SourceAccount": "210987654321"})
    jobs.iam.update_assume_role_policy(RoleName=jobs.role_name, PolicyDocument=json.dumps(trust))
    job = jobs.run()
    assert (job["status"], job["failureReason"]) == (
        "CREATE FAILED",
        f"Role {jobs.role} cannot be assumed: fix its trust policy",
    )


@pytest.mark.parametrize(("lists", "expected"), [(True, "s3:ListBucket"), (False, None)])
def test_can_require_listing_the_output(
    jobs: JobFixture, behave: Callable[..., None], lists: bool, expected: str | None
) -> None:
    behave(lists_output=lists)
    jobs.put('{"itemId": "1"}')
    without = [statement for index, statement in enumerate(jobs.statements()) if index != 2]
    jobs.allow_role(without)
    jobs.allow_service(jobs.output, without[2:])
    if expected is None:
        assert jobs.run()["status"] == "ACTIVE"
    else:
        code, message = create(jobs)
        assert (code, expected in message) == ("InvalidInputException", True)


SOURCE = {"StringEquals": {"aws:SourceAccount": "123456789012"}}
SOURCE_IF_EXISTS = {"StringEqualsIfExists": {"aws:SourceAccount": "123456789012"}}
OTHER_SOURCE_IF_EXISTS = {"StringEqualsIfExists": {"aws:SourceAccount": "210987654321"}}


@pytest.mark.parametrize(
    ("sends", "condition", "allowed"),
    [
        (True, SOURCE, True),
        (False, SOURCE, False),
        (True, SOURCE_IF_EXISTS, True),
        (False, SOURCE_IF_EXISTS, True),
        (True, OTHER_SOURCE_IF_EXISTS, False),
        (False, OTHER_SOURCE_IF_EXISTS, True),
    ],
)
def test_can_omit_the_source_of_requests_to_s3(
    jobs: JobFixture, behave: Callable[..., None], sends: bool, condition: dict[str, Any], allowed: bool
) -> None:
    behave(sends_source=sends)
    jobs.put('{"itemId": "1"}')
    document = [
        {
            "Effect": "Allow",
            "Principal": {"Service": "personalize.amazonaws.com"},
            "Action": action,
            "Resource": arn,
            "Condition": condition,
        }
        for action, arn in jobs.statements()[:2]
    ]
    policy = json.dumps({"Version": "2012-10-17", "Statement": document})
    jobs.s3.put_bucket_policy(Bucket=jobs.input, Policy=policy)
    if allowed:
        assert jobs.run()["status"] == "ACTIVE"
    else:
        code, message = create(jobs)
        assert (code, f"fix bucket policy on {jobs.input}" in message) == ("InvalidInputException", True)


@pytest.mark.parametrize(
    ("parameter", "seed"),
    [
        ("solutionVersionArn", "PERSONALIZE_LOCAL_VERSION_IN_PROGRESS_ARN"),
        ("filterArn", "PERSONALIZE_LOCAL_FILTER_IN_PROGRESS_ARN"),
    ],
)
def test_can_reject_an_unready_resource_as_invalid_input(
    jobs: JobFixture, behave: Callable[..., None], local_aws: LocalAws, parameter: str, seed: str
) -> None:
    behave(unready_error="InvalidInputException")
    arn = local_aws.environment()[seed]
    code, message = create(jobs, **{parameter: arn})
    assert (code, message.endswith(f"{arn} is CREATE IN_PROGRESS")) == ("InvalidInputException", True)


@pytest.mark.parametrize("needed", [False, True])
def test_can_authorize_the_solution_version(
    jobs: JobFixture, behave: Callable[..., None], caller: Callable[..., Any], needed: bool
) -> None:
    behave(authorizes_solution_version=needed)
    jobs.put('{"itemId": "1"}')
    only_on_jobs = allow(["personalize:CreateBatchSegmentJob"], "arn:aws:personalize:*:*:batch-segment-job/*")
    personalize = caller(only_on_jobs, PASS)
    if needed:
        code, message = rejected(personalize.create_batch_segment_job, **jobs.request())
        assert code == "AccessDeniedException"
        assert message.partition(" on resource: ")[2].startswith(jobs.request()["solutionVersionArn"])
    else:
        assert personalize.create_batch_segment_job(**jobs.request())["batchSegmentJobArn"]


@pytest.mark.parametrize("when", ["with tags", "always"])
def test_can_authorize_tagging_without_tags(
    jobs: JobFixture, behave: Callable[..., None], caller: Callable[..., Any], when: str
) -> None:
    behave(authorizes_tagging=when)
    jobs.put('{"itemId": "1"}')
    personalize = caller(CREATE, PASS)
    if when == "always":
        code, message = rejected(personalize.create_batch_segment_job, **jobs.request())
        assert (code, "perform: personalize:TagResource on" in message) == ("AccessDeniedException", True)
    else:
        assert personalize.create_batch_segment_job(**jobs.request())["batchSegmentJobArn"]


def test_can_reject_an_output_without_a_trailing_slash(jobs: JobFixture, behave: Callable[..., None]) -> None:
    jobs.put('{"itemId": "1"}')
    output = {"s3DataDestination": {"path": f"s3://{jobs.output}/out"}}
    assert jobs.run(jobOutput=output)["status"] == "ACTIVE"
    behave(refuses_output_without_slash=True)
    assert create(jobs, jobOutput=output) == (
        "InvalidInputException",
        f"Invalid S3 output path s3://{jobs.output}/out: it must end with /",
    )
    assert jobs.run()["status"] == "ACTIVE"
