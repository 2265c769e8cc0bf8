"""The permissions of the handler and of CDK's provider framework."""

import json
from typing import Any

import aws_cdk as cdk
import aws_cdk.aws_kms as kms
import aws_cdk.aws_s3 as s3
import pytest
from batch_segment_handler.contract import RESOURCE_TYPE
from cdk_personalize_segments import BatchSegmentInput, BatchSegmentStorage, SegmentQuery
from support.constants import ACCOUNT, FILTER, REGION, SOLUTION, VERSION
from support.templates import (
    ENVIRONMENT,
    add_job,
    job_properties,
    only_resource,
    policy_statements,
    readable,
    resources,
)

JOBS = "arn:<AWS::Partition>:personalize:eu-west-1:123456789012:batch-segment-job"
BUCKET = "ComedyFansStorageInputBucket1B8156CD"
OURS = {"StringEquals": {"aws:ResourceAccount": ACCOUNT}}
OUTPUT = "ComedyFansStorageOutputBucket44E8F37D"


def allowed(actions: list[str], resources: list[str], **more: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": actions, "Resource": resources, **more}


def test_the_handlers_policy_has_exactly_the_needed_statements(stack: cdk.Stack) -> None:
    made = add_job(stack, "ComedyFans")
    jobs = f"{JOBS}/Demo-f959b00b-*"
    role = stack.resolve(made.role.role_arn)["Fn::GetAtt"][0]
    assert policy_statements(stack, "HandlerPolicy") == [
        allowed(["personalize:DescribeBatchSegmentJob", "personalize:UntagResource"], [jobs]),
        allowed(["personalize:CreateBatchSegmentJob"], [jobs, VERSION]),
        allowed(["personalize:TagResource"], [jobs], Condition={"Null": {"aws:TagKeys": "true"}}),
        allowed(["personalize:DescribeSolutionVersion"], [VERSION]),
        allowed(["personalize:DescribeRecipe"], ["arn:<AWS::Partition>:personalize:::recipe/*"]),
        allowed(["cloudformation:DescribeStacks"], ["<AWS::StackId>"]),
        allowed(
            ["iam:PassRole"],
            [f"<{role}.Arn>"],
            Condition={"StringEquals": {"iam:PassedToService": "personalize.amazonaws.com"}},
        ),
        allowed(
            ["s3:GetObject"],
            [f"arn:<AWS::Partition>:s3:::cdk-hnb659fds-assets-{ACCOUNT}-{REGION}/*.queries-f959b00b"],
            Condition=OURS,
        ),
        allowed(["s3:PutObject"], [f"<{BUCKET}.Arn>/queries/Demo-f959b00b-*/*"], Condition=OURS),
    ]


@pytest.mark.parametrize(("location", "objects"), [("audiences/", "audiences/*"), ("today.jsonl", "today.jsonl")])
def test_grants_the_handler_read_access_to_input_in_s3(stack: cdk.Stack, location: str, objects: str) -> None:
    key = kms.Key(stack, "Key")
    bucket = s3.Bucket(stack, "Bucket", encryption_key=key)
    add_job(stack, "ComedyFans", job_input=BatchSegmentInput.from_bucket(bucket, location))
    arn = readable(stack.resolve(bucket.bucket_arn))
    assert [
        statement for statement in policy_statements(stack, "HandlerPolicy") if "s3:" in str(statement["Action"])
    ] == [
        allowed(["s3:ListBucket"], [arn], Condition={"StringLike": {"s3:prefix": [location]}, **OURS}),
        allowed(["s3:GetObject"], [f"{arn}/{objects}"], Condition=OURS),
    ]
    via_s3 = {"StringLike": {"kms:ViaService": f"s3.{REGION}.amazonaws.com*"}}
    key_arn = readable(stack.resolve(key.key_arn))
    assert allowed(["kms:Decrypt"], [key_arn], Condition=via_s3) in policy_statements(stack, "HandlerPolicy")


def test_without_validation_the_handler_gets_no_access_to_input(
    stack: cdk.Stack,
) -> None:
    add_job(
        stack,
        "ComedyFans",
        job_input=BatchSegmentInput.from_bucket(s3.Bucket(stack, "Bucket"), "in/", validate_input=False),
    )
    assert "s3:" not in str([statement["Action"] for statement in policy_statements(stack, "HandlerPolicy")])
    assert "ValidateInput" not in only_resource(stack, RESOURCE_TYPE)


@pytest.mark.parametrize(
    ("props", "action", "resource"),
    [
        ({"filter_arn": FILTER}, "personalize:DescribeFilter", FILTER),
        ({"solution_arn": SOLUTION}, "personalize:ListSolutionVersions", "*"),
    ],
)
def test_grants_a_permission_only_with_its_property(
    stack: cdk.Stack, props: dict[str, Any], action: str, resource: Any
) -> None:
    bare = cdk.Stack(cdk.App(), "Bare", env=ENVIRONMENT)
    add_job(bare, "ComedyFans")
    assert action not in str(policy_statements(bare, "HandlerPolicy"))
    add_job(stack, "ComedyFans", **props)
    assert allowed([action], [resource]) in policy_statements(stack, "HandlerPolicy")


def test_grants_access_to_every_version_of_a_solution(stack: cdk.Stack) -> None:
    add_job(stack, "ComedyFans", solution_arn=SOLUTION)
    assert job_properties(stack)["SolutionArn"] == SOLUTION
    jobs = f"{JOBS}/Demo-f959b00b-*"
    statements = policy_statements(stack, "HandlerPolicy")
    assert allowed(["personalize:DescribeSolutionVersion"], [f"{SOLUTION}/*"]) in statements
    assert allowed(["personalize:CreateBatchSegmentJob"], [jobs, f"{SOLUTION}/*"]) in statements


def test_tags_of_a_scope_reach_the_job_and_its_permission(app: cdk.App, stack: cdk.Stack) -> None:
    add_job(stack, "ComedyFans", tags={"team": "growth"})
    cdk.Tags.of(app).add("stage", "prod")
    assert only_resource(stack, RESOURCE_TYPE)["Tags"] == [
        {"key": "stage", "value": "prod"},
        {"key": "team", "value": "growth"},
    ]
    jobs = f"{JOBS}/Demo-f959b00b-*"
    condition = {"ForAllValues:StringEquals": {"aws:TagKeys": ["stage", "team"]}}
    statements = policy_statements(stack, "HandlerPolicy")
    assert allowed(["personalize:TagResource"], [jobs], Condition=condition) in statements
    assert allowed(["personalize:CreateBatchSegmentJob"], [jobs, VERSION], Condition=condition) in statements


def test_without_tags_there_is_no_permission_to_set_them(stack: cdk.Stack) -> None:
    add_job(stack, "ComedyFans")
    (tagging,) = [
        one for one in policy_statements(stack, "HandlerPolicy") if one["Action"] == ["personalize:TagResource"]
    ]
    assert tagging["Condition"] == {"Null": {"aws:TagKeys": "true"}}


def test_the_handler_can_create_only_the_explicit_name(stack: cdk.Stack) -> None:
    add_job(stack, "ComedyFans", job_name="spring-sale")
    creating = next(
        s for s in policy_statements(stack, "HandlerPolicy") if s["Action"] == ["personalize:CreateBatchSegmentJob"]
    )
    assert creating["Resource"] == [f"{JOBS}/spring-sale", VERSION]


def test_the_framework_can_only_call_the_handler_and_log(stack: cdk.Stack) -> None:
    add_job(stack, "ComedyFans")
    (handler,) = [name for name in resources(stack, "AWS::Lambda::Function") if "ProviderHandler" in name]
    (logs,) = [name for name in resources(stack, "AWS::Logs::LogGroup") if "FrameworkLogs" in name]
    role = only_resource(stack, "AWS::IAM::Role", "FrameworkRole")
    assert "ManagedPolicyArns" not in role
    assert [policy["PolicyDocument"]["Statement"] for policy in role["Policies"]] == [
        [
            {
                "Action": ["logs:CreateLogStream", "logs:PutLogEvents"],
                "Effect": "Allow",
                "Resource": f"<{logs}.Arn>",
            },
            {
                "Action": ["lambda:InvokeFunction", "lambda:GetFunction"],
                "Effect": "Allow",
                "Resource": f"<{handler}.Arn>",
            },
        ]
    ]


def test_the_is_complete_function_can_only_read(stack: cdk.Stack) -> None:
    add_job(stack, "ComedyFans", wait_for_completion=cdk.Duration.minutes(30))
    assert policy_statements(stack, "IsCompletePolicy") == [
        allowed(["cloudformation:DescribeStacks"], ["<AWS::StackId>"]),
        allowed(["personalize:DescribeBatchSegmentJob"], [f"{JOBS}/Demo-f959b00b-*"]),
        allowed(
            ["s3:ListBucket"],
            [f"<{OUTPUT}.Arn>"],
            Condition={"StringLike": {"s3:prefix": ["segments/Demo-f959b00b-*/"]}, **OURS},
        ),
        allowed(["s3:GetObject"], [f"<{OUTPUT}.Arn>/segments/Demo-f959b00b-*/*"], Condition=OURS),
    ]


def test_the_handlers_policy_does_not_grow_with_further_jobs() -> None:
    lengths = []
    for number in (1, 12):
        stack = cdk.Stack(cdk.App(), f"Stack{number:02}", env=ENVIRONMENT)
        storage = BatchSegmentStorage(stack, "Storage")
        jobs = [
            add_job(
                stack,
                f"Job{index:02}",
                storage=storage,
                job_input=BatchSegmentInput.from_queries([SegmentQuery.items_like(str(index))]),
                wait_for_completion=cdk.Duration.minutes(30),
            )
            for index in range(number)
        ]
        assert len(jobs) == number
        lengths.append(
            [len(json.dumps(only_resource(stack, "AWS::IAM::Policy", name))) for name in ("HandlerP", "IsCompleteP")]
        )
    assert lengths[0] == lengths[1]


def test_rejects_more_jobs_than_fit_into_the_policy_of_a_role(app: cdk.App) -> None:
    stack = cdk.Stack(app, "TooMany", env=ENVIRONMENT)
    storage = BatchSegmentStorage(stack, "Storage")
    job_input = BatchSegmentInput.from_bucket(storage.input_bucket, "in/")

    def jobs(number: int) -> None:
        for index in range(number):
            add_job(stack, f"Job{index}", storage=storage, job_input=job_input, job_name=f"{index:03}-{'x' * 59}")

    with pytest.raises(ValueError, match=r"^too many jobs for one stack: the policy of the handler function has about"):
        jobs(80)
