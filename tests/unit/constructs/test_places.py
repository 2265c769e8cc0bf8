"""Jobs in other partitions, stacks, stages and accounts."""

import json

import aws_cdk as cdk
import aws_cdk.aws_iam as iam
import aws_cdk.aws_kms as kms
import aws_cdk.aws_s3 as s3
from aws_cdk.assertions import Template
from batch_segment_handler.contract import RESOURCE_TYPE
from cdk_personalize_segments import BatchSegmentInput, BatchSegmentJob, BatchSegmentStorage, SegmentQuery
from support.constants import ACCOUNT, REGION
from support.templates import (
    ENVIRONMENT,
    add_job,
    job_properties,
    only_resource,
    policy_statements,
    resources,
    warnings,
)


def test_every_arn_has_the_partition_of_the_stack() -> None:
    app = cdk.App()
    stack = cdk.Stack(app, "China", env=cdk.Environment(account=ACCOUNT, region="cn-north-1"))
    version = f"arn:aws-cn:personalize:cn-north-1:{ACCOUNT}:solution/films/0123abcd"
    BatchSegmentJob(
        stack,
        "Job",
        solution_version_arn=version,
        job_input=BatchSegmentInput.from_queries([SegmentQuery.items_like("1")]),
        wait_for_completion=cdk.Duration.minutes(10),
    )
    assert "arn:aws:" not in str([resources(stack, "AWS::IAM::Role"), resources(stack, "AWS::IAM::Policy")])


def test_jobs_in_nested_stacks_have_a_provider_of_their_own(stack: cdk.Stack) -> None:
    nested = cdk.NestedStack(stack, "Nested")
    add_job(stack, "ComedyFans")
    add_job(nested, "ComedyFans")
    assert len(resources(stack, RESOURCE_TYPE)) == len(resources(nested, RESOURCE_TYPE)) == 1
    assert any("HandlerPolicy" in name for name in resources(nested, "AWS::IAM::Policy"))


def test_a_job_in_a_stage_has_a_name_of_its_own(app: cdk.App) -> None:
    stacks = []
    for name in ("Beta", "Prod"):
        stage = cdk.Stage(app, name, env=ENVIRONMENT)
        stacks.append(cdk.Stack(stage, "Demo"))
        add_job(stacks[-1], "ComedyFans")
    prefixes = {only_resource(stack, RESOURCE_TYPE)["JobNamePrefix"] for stack in stacks}
    assert len(prefixes) == 2


def test_an_output_bucket_is_used_in_another_stack(app: cdk.App, stack: cdk.Stack) -> None:
    made = add_job(stack, "ComedyFans")
    other = cdk.Stack(app, "Other", env=ENVIRONMENT)
    reader = iam.Role(other, "Reader", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
    made.grant_read_segments(reader)
    cdk.CfnOutput(other, "Uri", value=made.output_uri)
    assert len(policy_statements(other, "ReaderDefault")) == 2
    assert "<import " in str(policy_statements(other, "ReaderDefault"))
    assert "Fn::ImportValue" in Template.from_stack(other).to_json()["Outputs"]["Uri"]["Value"]


def test_a_storage_of_another_stack_is_shared(app: cdk.App, stack: cdk.Stack) -> None:
    storage = BatchSegmentStorage(stack, "Storage")
    other = cdk.Stack(app, "Other", env=ENVIRONMENT)
    add_job(other, "ComedyFans", storage=storage)
    assert len(resources(stack, RESOURCE_TYPE)) == 0
    assert "<import " in only_resource(other, RESOURCE_TYPE)["RoleArn"]
    assert "<import " in job_properties(other)["OutputPath"]
    statements = policy_statements(stack, "StorageRole")
    assert [statement["Action"] for statement in statements] == [
        "s3:ListBucket",
        "s3:GetObject",
        "s3:ListBucket",
        "s3:PutObject",
    ]


def test_omits_the_account_condition_in_another_environment(app: cdk.App, stack: cdk.Stack) -> None:
    theirs = cdk.Stack(app, "Theirs", env=cdk.Environment(account="210987654321", region=REGION))
    bucket = s3.Bucket(theirs, "Bucket", bucket_name="theirs")
    made = add_job(stack, "ComedyFans", storage=BatchSegmentStorage(stack, "Storage", output_bucket=bucket))
    statements = policy_statements(stack, "StorageRole")
    reaching = [statement for statement in statements if "theirs" in str(statement)]
    assert [statement["Action"] for statement in reaching] == ["s3:ListBucket", "s3:PutObject"]
    assert all("Condition" not in statement for statement in reaching)
    assert job_properties(stack)["OutputPath"] == "s3://theirs/segments/"
    assert made.output_bucket is bucket


def foreign_bucket(stack: cdk.Stack) -> s3.IBucket:
    key = kms.Key.from_key_arn(stack, "TheirKey", f"arn:aws:kms:{REGION}:210987654321:key/1a2b")
    return s3.Bucket.from_bucket_attributes(
        stack, "Theirs", bucket_arn="arn:aws:s3:::theirs", account="210987654321", region=REGION, encryption_key=key
    )


def test_warns_of_permissions_to_check_input_of_another_account(stack: cdk.Stack) -> None:
    add_job(stack, "ComedyFans", job_input=BatchSegmentInput.from_bucket(foreign_bucket(stack), "in/"))
    of_key, of_bucket = sorted(text for text in warnings(stack) if "imported" in text)[::-1]
    if "the bucket theirs" in of_key:
        of_key, of_bucket = of_bucket, of_key
    root = {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}
    listed = json.loads(of_bucket[of_bucket.index(": [") + 2 : of_bucket.rindex("}]") + 2])
    assert [one for one in listed if one["Principal"] == root] == [
        {
            "Action": "s3:ListBucket",
            "Condition": {"StringLike": {"s3:prefix": "in/"}},
            "Effect": "Allow",
            "Principal": root,
            "Resource": "arn:aws:s3:::theirs",
        },
        {"Action": "s3:GetObject", "Effect": "Allow", "Principal": root, "Resource": "arn:aws:s3:::theirs/in/*"},
    ]
    listed = json.loads(of_key[of_key.index(": [") + 2 : of_key.rindex("}]") + 2])
    assert {"Action": "kms:Decrypt", "Effect": "Allow", "Principal": root, "Resource": "*"} in listed


def test_warns_of_permissions_to_write_input_to_another_account(stack: cdk.Stack) -> None:
    add_job(stack, "ComedyFans", storage=BatchSegmentStorage(stack, "Storage", input_bucket=foreign_bucket(stack)))
    (text,) = [one for one in warnings(stack) if "the bucket theirs" in one]
    assert '"Action": "s3:PutObject"' in text
    assert f'"Principal": {{"AWS": "arn:aws:iam::{ACCOUNT}:root"}}' in text


def test_unchecked_foreign_input_needs_no_handler_access(stack: cdk.Stack) -> None:
    add_job(
        stack, "ComedyFans", job_input=BatchSegmentInput.from_bucket(foreign_bucket(stack), "in/", validate_input=False)
    )
    assert not [
        text for text in warnings(stack) if f'"AWS": "arn:aws:iam::{ACCOUNT}:root"' in text and "bucket theirs" in text
    ]
