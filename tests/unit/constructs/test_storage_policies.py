"""The statements that a storage adds to the role, the bucket policies and the key policy."""

import json
from typing import Any

import aws_cdk as cdk
import aws_cdk.aws_iam as iam
import aws_cdk.aws_kms as kms
import aws_cdk.aws_s3 as s3
import pytest
from batch_segment_handler.contract import RESOURCE_TYPE
from cdk_personalize_segments import BatchSegmentInput, BatchSegmentJob, BatchSegmentStorage
from support.constants import ACCOUNT, REGION
from support.templates import add_job, job_properties, only_resource, policy_statements, resources, warnings

OURS_ONLY = "Demo-f959b00b-*/*"
INPUT = "<StorageInputBucket0767FBBB.Arn>"
OUTPUT = "<StorageOutputBucketCD2EEB3A.Arn>"
OURS = {"StringEquals": {"aws:ResourceAccount": ACCOUNT}}
SERVICE = {"Service": "personalize.amazonaws.com"}


def add_job_on(storage: BatchSegmentStorage, id: str = "Job", **props: Any) -> BatchSegmentJob:
    return add_job(cdk.Stack.of(storage), id, storage=storage, **props)


def policy_of(stack: cdk.Stack, bucket: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = only_resource(stack, "AWS::S3::BucketPolicy", bucket)["PolicyDocument"]["Statement"]
    return found


def allowed(action: str | list[str], resource: str | list[str], **more: dict[str, Any]) -> dict[str, Any]:
    return {"Action": action, "Effect": "Allow", "Resource": resource, **more}


def allowed_to_service(action: str | list[str], resource: str | list[str], **more: dict[str, Any]) -> dict[str, Any]:
    condition = {"StringEqualsIfExists": {"aws:SourceAccount": ACCOUNT}}
    return {
        "Action": action,
        "Condition": condition,
        "Effect": "Allow",
        "Principal": SERVICE,
        "Resource": resource,
        **more,
    }


def only_over_tls(bucket: str) -> dict[str, Any]:
    return {
        "Action": "s3:*",
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        "Effect": "Deny",
        "Principal": {"AWS": "*"},
        "Resource": [bucket, f"{bucket}/*"],
    }


def test_the_role_trusts_personalize_of_this_account_and_region(stack: cdk.Stack) -> None:
    BatchSegmentStorage(stack, "Storage")
    assert only_resource(stack, "AWS::IAM::Role")["AssumeRolePolicyDocument"]["Statement"] == [
        {
            "Action": "sts:AssumeRole",
            "Condition": {
                "StringEquals": {"aws:SourceAccount": ACCOUNT},
                "ArnLike": {"aws:SourceArn": f"arn:<AWS::Partition>:personalize:{REGION}:{ACCOUNT}:*"},
            },
            "Effect": "Allow",
            "Principal": SERVICE,
        }
    ]


def test_role_and_bucket_policies_have_exactly_these_statements(stack: cdk.Stack) -> None:
    storage = BatchSegmentStorage(stack, "Storage")
    add_job_on(storage)
    add_job_on(storage, "Again")
    role = only_resource(stack, "AWS::IAM::Role", "StorageRole")
    assert set(role) == {"AssumeRolePolicyDocument", "Description"}
    assert policy_statements(stack, "StorageRole") == [
        allowed("s3:ListBucket", INPUT, Condition=OURS),
        allowed("s3:GetObject", f"{INPUT}/queries/{OURS_ONLY}", Condition=OURS),
        allowed("s3:ListBucket", OUTPUT, Condition=OURS),
        allowed("s3:PutObject", f"{OUTPUT}/segments/{OURS_ONLY}", Condition=OURS),
    ]
    assert policy_of(stack, "InputBucket") == [
        only_over_tls(INPUT),
        allowed_to_service("s3:ListBucket", INPUT),
        allowed_to_service("s3:GetObject", f"{INPUT}/queries/{OURS_ONLY}"),
    ]
    assert policy_of(stack, "OutputBucket") == [
        only_over_tls(OUTPUT),
        allowed_to_service("s3:ListBucket", OUTPUT),
        allowed_to_service("s3:PutObject", f"{OUTPUT}/segments/{OURS_ONLY}"),
    ]


def test_a_storage_without_jobs_grants_nothing(stack: cdk.Stack) -> None:
    BatchSegmentStorage(stack, "Storage")
    assert policy_of(stack, "InputBucket") == [only_over_tls(INPUT)]
    assert policy_of(stack, "OutputBucket") == [only_over_tls(OUTPUT)]


@pytest.mark.parametrize(("key_or_prefix", "pattern"), [("a/today.jsonl", "a/today.jsonl"), ("a/today/", "a/today/*")])
def test_grants_read_access_to_the_inputs_key_or_prefix(stack: cdk.Stack, key_or_prefix: str, pattern: str) -> None:
    bucket = s3.Bucket(stack, "Mine")
    storage = BatchSegmentStorage(stack, "Storage", input_bucket=bucket)
    add_job_on(storage, job_input=BatchSegmentInput.from_bucket(bucket, key_or_prefix))
    (mine,) = [name for name in resources(stack, "AWS::S3::Bucket") if name.startswith("Mine")]
    assert policy_of(stack, "MinePolicy") == [
        allowed_to_service("s3:ListBucket", f"<{mine}.Arn>"),
        allowed_to_service("s3:GetObject", f"<{mine}.Arn>/{pattern}"),
    ]


def test_one_bucket_for_input_and_output_is_listed_once(stack: cdk.Stack) -> None:
    bucket = s3.Bucket(stack, "Both")
    add_job_on(BatchSegmentStorage(stack, "Storage", input_bucket=bucket, output_bucket=bucket))
    assert [statement["Action"] for statement in policy_of(stack, "BothPolicy")] == [
        "s3:ListBucket",
        "s3:GetObject",
        "s3:PutObject",
    ]


def test_adds_statements_to_a_given_role_before_the_job(stack: cdk.Stack) -> None:
    role = iam.Role(stack, "Mine", assumed_by=iam.ServicePrincipal("personalize.amazonaws.com"))
    add_job_on(BatchSegmentStorage(stack, "Storage", role=role))
    (policy,) = [name for name in resources(stack, "AWS::IAM::Policy") if name.startswith("Mine")]
    statements = policy_statements(stack, "Mine")
    assert [statement["Action"] for statement in statements] == [
        "s3:ListBucket",
        "s3:GetObject",
        "s3:ListBucket",
        "s3:PutObject",
    ]
    (job,) = resources(stack, RESOURCE_TYPE).values()
    assert policy in job["DependsOn"]


def test_warns_with_the_statements_to_add_by_hand(stack: cdk.Stack) -> None:
    bucket = s3.Bucket.from_bucket_name(stack, "Theirs", "theirs")
    add_job_on(BatchSegmentStorage(stack, "Storage", input_bucket=bucket))
    statement = json.dumps(allowed_to_service("s3:GetObject", f"arn:aws:s3:::theirs/queries/{OURS_ONLY}"))
    assert any(
        text.startswith("cannot modify the policy of the bucket theirs because it is imported. Add these statements")
        and statement in text
        and text.endswith("[ack: cdk-personalize-segments:bucketPolicy]")
        for text in warnings(stack)
    ), warnings(stack)


def test_a_key_encrypts_new_buckets_and_is_named_in_the_job(stack: cdk.Stack) -> None:
    key = kms.Key(stack, "Key")
    add_job_on(BatchSegmentStorage(stack, "Storage", encryption_key=key))
    (logical_id,) = resources(stack, "AWS::KMS::Key")
    for bucket in resources(stack, "AWS::S3::Bucket").values():
        assert bucket["Properties"]["BucketEncryption"]["ServerSideEncryptionConfiguration"] == [
            {
                "BucketKeyEnabled": True,
                "ServerSideEncryptionByDefault": {
                    "KMSMasterKeyID": f"<{logical_id}.Arn>",
                    "SSEAlgorithm": "aws:kms",
                },
            }
        ]
    job = job_properties(stack)
    assert job["InputKmsKeyArn"] == job["OutputKmsKeyArn"] == f"<{logical_id}.Arn>"
    (role,) = [name for name in resources(stack, "AWS::IAM::Role") if "StorageRole" in name]
    assert policy_statements(stack, "StorageRole")[1] == {
        "Action": ["kms:Decrypt", "kms:GenerateDataKey", "kms:DescribeKey", "kms:ListGrants"],
        "Effect": "Allow",
        "Resource": f"<{logical_id}.Arn>",
    }
    actions = ["kms:Decrypt", "kms:GenerateDataKey", "kms:DescribeKey", "kms:ListGrants", "kms:CreateGrant"]
    of_role = {"Action": actions, "Effect": "Allow", "Principal": {"AWS": f"<{role}.Arn>"}, "Resource": "*"}
    assert only_resource(stack, "AWS::KMS::Key")["KeyPolicy"]["Statement"][1:] == [
        allowed_to_service(actions, "*"),
        of_role,
    ]


SOURCE = {
    "StringEquals": {"aws:SourceAccount": ACCOUNT},
    "ArnLike": {"aws:SourceArn": f"arn:<AWS::Partition>:personalize:{REGION}:{ACCOUNT}:*"},
}


def test_strict_conditions_limit_prefixes_and_sources(stack: cdk.Stack) -> None:
    storage = BatchSegmentStorage(stack, "Storage", strict_conditions=True)
    add_job_on(storage)
    add_job_on(storage, "Elsewhere", output_prefix="elsewhere/")
    queries = {"StringLike": {"s3:prefix": ["queries/Demo-f959b00b-*/*"]}}
    segments = {"StringLike": {"s3:prefix": ["segments/Demo-f959b00b-*/*", "elsewhere/Demo-f959b00b-*/*"]}}
    written = [f"{OUTPUT}/segments/{OURS_ONLY}", f"{OUTPUT}/elsewhere/{OURS_ONLY}"]
    assert policy_statements(stack, "StorageRole") == [
        allowed("s3:ListBucket", INPUT, Condition={**OURS, **queries}),
        allowed("s3:GetObject", f"{INPUT}/queries/{OURS_ONLY}", Condition=OURS),
        allowed("s3:ListBucket", OUTPUT, Condition={**OURS, **segments}),
        allowed("s3:PutObject", written, Condition=OURS),
    ]
    assert policy_of(stack, "InputBucket")[1:] == [
        allowed_to_service("s3:ListBucket", INPUT, Condition={**SOURCE, **queries}),
        allowed_to_service("s3:GetObject", f"{INPUT}/queries/{OURS_ONLY}", Condition=SOURCE),
    ]
    assert policy_of(stack, "OutputBucket")[1:] == [
        allowed_to_service("s3:ListBucket", OUTPUT, Condition={**SOURCE, **segments}),
        allowed_to_service("s3:PutObject", written, Condition=SOURCE),
    ]


def test_an_imported_bucket_can_belong_to_any_account(stack: cdk.Stack) -> None:
    bucket = s3.Bucket.from_bucket_name(stack, "Theirs", "theirs")
    add_job_on(BatchSegmentStorage(stack, "Storage", output_bucket=bucket))
    statements = policy_statements(stack, "StorageRole")
    assert [statement for statement in statements if "theirs" in str(statement)] == [
        allowed("s3:ListBucket", "arn:<AWS::Partition>:s3:::theirs"),
        allowed("s3:PutObject", "arn:<AWS::Partition>:s3:::theirs/segments/Demo-f959b00b-*/*"),
    ]
