"""The local Personalize enforces the permissions of the service role and of the caller.

https://docs.aws.amazon.com/personalize/latest/dg/granting-personalize-s3-access.html
https://docs.aws.amazon.com/personalize/latest/dg/cross-service-confused-deputy-prevention.html
https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonpersonalize.html
"""

import json
from collections.abc import Callable
from typing import Any

import pytest
from unit.local.job_fixture import CREATE, PASS, JobFixture, allow, assert_lacks_permission, create, rejected


@pytest.mark.parametrize("missing", range(4))
def test_requires_each_statement_of_the_service_role(jobs: JobFixture, missing: int) -> None:
    jobs.put('{"itemId": "1"}')
    jobs.allow_role([statement for index, statement in enumerate(jobs.statements()) if index != missing])
    assert_lacks_permission(jobs, f"role {jobs.role}")


@pytest.mark.parametrize("missing", range(4))
def test_requires_each_statement_of_the_bucket_policies(jobs: JobFixture, missing: int) -> None:
    jobs.put('{"itemId": "1"}')
    bucket = jobs.input if missing < 2 else jobs.output
    own = jobs.statements()[:2] if missing < 2 else jobs.statements()[2:]
    jobs.allow_service(bucket, [statement for statement in own if statement != jobs.statements()[missing]])
    assert_lacks_permission(jobs, f"fix bucket policy on {bucket}")


@pytest.mark.parametrize(
    "condition",
    [
        {"StringEquals": {"aws:SourceAccount": "210987654321"}},
        {"ArnLike": {"aws:SourceArn": "arn:aws:personalize:us-east-1:123456789012:*"}},
    ],
)
def test_evaluates_the_conditions_of_the_trust_policy(jobs: JobFixture, condition: dict[str, Any]) -> None:
    jobs.put('{"itemId": "1"}')
    jobs.iam.update_assume_role_policy(RoleName=jobs.role_name, PolicyDocument=json.dumps(jobs.trust(**condition)))
    assert create(jobs)[1] == f"Role {jobs.role} cannot be assumed: fix its trust policy"


# A condition operator with a colon cannot be a keyword argument.
TAG_ONLY_X = allow(["personalize:TagResource"]) | {"Condition": {"ForAllValues:StringEquals": {"aws:TagKeys": ["x"]}}}


@pytest.mark.parametrize(
    ("statements", "tags", "missing"),
    [
        ([PASS], [], "personalize:CreateBatchSegmentJob"),
        ([CREATE], [], "iam:PassRole"),
        (
            [CREATE, allow(["iam:PassRole"], StringEquals={"iam:PassedToService": "sagemaker.amazonaws.com"})],
            [],
            "iam:PassRole",
        ),
        ([CREATE, PASS], [{"tagKey": "a", "tagValue": "b"}], "personalize:TagResource"),
        (
            [CREATE, PASS, TAG_ONLY_X],
            [{"tagKey": "a", "tagValue": "b"}],
            "personalize:TagResource",
        ),
        (
            [allow(["personalize:CreateBatchSegmentJob"], "arn:aws:personalize:*:*:batch-segment-job/other-*"), PASS],
            [],
            "personalize:CreateBatchSegmentJob",
        ),
    ],
)
def test_denies_a_caller_without_permission_and_names_it(
    jobs: JobFixture,
    caller: Callable[..., Any],
    statements: list[dict[str, Any]],
    tags: list[dict[str, str]],
    missing: str,
) -> None:
    request = jobs.request() | ({"tags": tags} if tags else {})
    code, message = rejected(caller(*statements).create_batch_segment_job, **request)
    assert code == "AccessDeniedException"
    assert f"is not authorized to perform: {missing} on resource: " in message


def test_allows_a_caller_with_permissions(jobs: JobFixture, caller: Callable[..., Any]) -> None:
    jobs.put('{"itemId": "1"}')
    personalize = caller(CREATE, PASS, allow(["personalize:TagResource", "personalize:ListTagsForResource"]))
    arn = personalize.create_batch_segment_job(**jobs.request(tags=[{"tagKey": "a", "tagValue": "b"}]))
    tags = personalize.list_tags_for_resource(resourceArn=arn["batchSegmentJobArn"])["tags"]
    assert tags == [{"tagKey": "a", "tagValue": "b"}]


@pytest.mark.parametrize(
    ("operation", "parameters"),
    [
        ("describe_batch_segment_job", {"batchSegmentJobArn": "batch-segment-job/x"}),
        ("describe_solution", {"solutionArn": "solution/films-item-affinity"}),
        ("describe_solution_version", {"solutionVersionArn": "solution/films-item-affinity/0001"}),
        ("list_solution_versions", {"solutionArn": "solution/films-item-affinity"}),
        ("describe_filter", {"filterArn": "filter/adults"}),
        ("untag_resource", {"resourceArn": "batch-segment-job/x", "tagKeys": ["a"]}),
        ("list_tags_for_resource", {"resourceArn": "batch-segment-job/x"}),
    ],
)
def test_authorizes_every_operation(
    jobs: JobFixture, caller: Callable[..., Any], operation: str, parameters: dict[str, Any]
) -> None:
    arn_prefix = f"arn:aws:personalize:{jobs.aws.region}:{jobs.aws.account}:"
    given = {key: arn_prefix + value if isinstance(value, str) else value for key, value in parameters.items()}
    assert rejected(getattr(caller(CREATE), operation), **given)[0] == "AccessDeniedException"


def test_rejects_a_wrong_signature(jobs: JobFixture, client: Callable[..., Any]) -> None:
    jobs.iam.create_user(UserName=jobs.role_name)
    key = jobs.iam.create_access_key(UserName=jobs.role_name)["AccessKey"]["AccessKeyId"]
    personalize = client("personalize", aws_access_key_id=key, aws_secret_access_key="wrong")
    assert rejected(personalize.list_batch_segment_jobs)[0] == "SignatureDoesNotMatch"
