"""The buckets that a storage creates, and the buckets, keys and roles that users pass."""

from typing import Any

import aws_cdk as cdk
import aws_cdk.aws_iam as iam
import aws_cdk.aws_kms as kms
import aws_cdk.aws_s3 as s3
import pytest
from cdk_personalize_segments import BatchSegmentInput, BatchSegmentJob, BatchSegmentStorage
from support.constants import ACCOUNT, REGION, VERSION
from support.templates import add_job, only_resource, resources, warnings

SERVICE = {"Service": "personalize.amazonaws.com"}


def add_job_on(storage: BatchSegmentStorage, id: str = "Job", **props: Any) -> BatchSegmentJob:
    return add_job(cdk.Stack.of(storage), id, storage=storage, **props)


def test_new_buckets_are_encrypted_private_and_retained(stack: cdk.Stack) -> None:
    BatchSegmentStorage(stack, "Storage")
    buckets = resources(stack, "AWS::S3::Bucket")
    assert len(buckets) == 2
    for bucket in buckets.values():
        assert bucket["DeletionPolicy"] == bucket["UpdateReplacePolicy"] == "Retain"
        assert bucket["Properties"] == {
            "BucketEncryption": {
                "ServerSideEncryptionConfiguration": [{"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]
            },
            "LifecycleConfiguration": {
                "Rules": [{"AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7}, "Status": "Enabled"}]
            },
            "OwnershipControls": {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]},
            "PublicAccessBlockConfiguration": {
                "BlockPublicAcls": True,
                "BlockPublicPolicy": True,
                "IgnorePublicAcls": True,
                "RestrictPublicBuckets": True,
            },
        }


def test_removal_policy_destroy_deletes_new_buckets(stack: cdk.Stack) -> None:
    BatchSegmentStorage(stack, "Storage", removal_policy=cdk.RemovalPolicy.DESTROY)
    assert {bucket["DeletionPolicy"] for bucket in resources(stack, "AWS::S3::Bucket").values()} == {"Delete"}


@pytest.mark.parametrize(
    ("props", "message"),
    [
        (
            {"input_prefix": "queries"},
            "input_prefix: got 'queries', expected a prefix that ends in '/': without the '/', 'queries_test/' "
            "would match "
            "as well",
        ),
        (
            {"output_prefix": "/"},
            "output_prefix: got '/', expected a key without a leading '/', without control characters, and without "
            "'*', '?' and '${', which are wildcards and variables in IAM policies",
        ),
        (
            {"input_prefix": "a" * 110 + "/"},
            "input_prefix: got 111 characters, expected at most 101: an S3 path of a job can "
            "have at most 256, including the names of the bucket and the job",
        ),
    ],
)
def test_rejects_a_bad_prefix(stack: cdk.Stack, props: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011
        BatchSegmentStorage(stack, "Storage", **props)
    assert str(refused.value) == message


def test_rejects_overlapping_prefixes_in_one_bucket(stack: cdk.Stack) -> None:
    bucket = s3.Bucket(stack, "Both")
    with pytest.raises(ValueError, match="output_prefix: got 'a/b/', expected a prefix outside of input_prefix, 'a/'"):
        BatchSegmentStorage(
            stack, "Storage", input_bucket=bucket, output_bucket=bucket, input_prefix="a/", output_prefix="a/b/"
        )


def test_rejects_an_alias_as_key(stack: cdk.Stack) -> None:
    alias = kms.Key.from_key_arn(stack, "Key", f"arn:aws:kms:{REGION}:{ACCOUNT}:key/0123")
    BatchSegmentStorage(stack, "Fine", encryption_key=alias)
    with pytest.raises(ValueError, match=r"encryption_key: got 'Demo/Alias', expected a key, .* not an alias"):
        BatchSegmentStorage(stack, "Storage", encryption_key=kms.Alias.from_alias_name(stack, "Alias", "alias/mine"))


# -- options of the buckets


def test_auto_delete_objects_empties_buckets(stack: cdk.Stack) -> None:
    BatchSegmentStorage(stack, "Storage", removal_policy=cdk.RemovalPolicy.DESTROY, auto_delete_objects=True)
    assert len(resources(stack, "Custom::S3AutoDeleteObjects")) == 2


def test_retained_buckets_are_not_emptied(stack: cdk.Stack) -> None:
    with pytest.raises(ValueError, match=r"^auto_delete_objects: got True with removal_policy RETAIN, expected"):
        BatchSegmentStorage(stack, "Storage", auto_delete_objects=True)


def test_versioning_and_access_logs_can_be_enabled(stack: cdk.Stack) -> None:
    logs = s3.Bucket(stack, "AccessLogs")
    BatchSegmentStorage(stack, "Storage", versioned=True, server_access_logs_bucket=logs)
    buckets = [bucket for name, bucket in resources(stack, "AWS::S3::Bucket").items() if name.startswith("Storage")]
    assert [bucket["Properties"]["VersioningConfiguration"] for bucket in buckets] == [{"Status": "Enabled"}] * 2
    (target,) = [name for name in resources(stack, "AWS::S3::Bucket") if name.startswith("AccessLogs")]
    assert [bucket["Properties"]["LoggingConfiguration"] for bucket in buckets] == [
        {"DestinationBucketName": f"<{target}>", "LogFilePrefix": "InputBucket/"},
        {"DestinationBucketName": f"<{target}>", "LogFilePrefix": "OutputBucket/"},
    ]


def test_a_warning_has_all_the_statements_that_jobs_need(stack: cdk.Stack) -> None:
    bucket = s3.Bucket.from_bucket_name(stack, "Theirs", "theirs")
    storage = BatchSegmentStorage(stack, "Storage", input_bucket=bucket)
    for id, key in (("A", "in/a.jsonl"), ("B", "in/b.jsonl")):
        add_job_on(storage, id, job_input=BatchSegmentInput.from_bucket(bucket, key))
    (warning,) = warnings(stack)
    assert "in/a.jsonl" in warning
    assert "in/b.jsonl" in warning


def test_warns_of_an_immutable_role(stack: cdk.Stack) -> None:
    arn = f"arn:aws:iam::{ACCOUNT}:role/theirs"
    add_job_on(BatchSegmentStorage(stack, "Storage", role=iam.Role.from_role_arn(stack, "Theirs", arn, mutable=False)))
    (warning,) = warnings(stack)
    assert warning.startswith(
        f"cannot modify the policy of the role {arn} because it is imported. Add these statements"
    )
    assert all(action in warning for action in ("s3:ListBucket", "s3:GetObject", "s3:PutObject"))


def test_rejects_a_role_of_another_account(stack: cdk.Stack) -> None:
    role = iam.Role.from_role_arn(stack, "Theirs", "arn:aws:iam::210987654321:role/theirs")
    with pytest.raises(ValueError, match=r"^role: got 'arn:aws:iam::210987654321:role/theirs', expected a role of the"):
        BatchSegmentStorage(stack, "Storage", role=role)


def test_rejects_a_role_of_another_stack(app: cdk.App, stack: cdk.Stack) -> None:
    roles = cdk.Stack(app, "Roles", env=cdk.Environment(account=ACCOUNT, region=REGION))
    role = iam.Role(roles, "Role", assumed_by=iam.ServicePrincipal("personalize.amazonaws.com"))
    with pytest.raises(
        ValueError, match=r"^role: got a role of the stack Roles, expected a role of Demo, or one imported"
    ):
        BatchSegmentStorage(stack, "Storage", role=role)


def test_rejects_a_bucket_of_another_region(app: cdk.App, stack: cdk.Stack) -> None:
    theirs = cdk.Stack(app, "Theirs", env=cdk.Environment(account=ACCOUNT, region="us-east-1"))
    bucket = s3.Bucket(theirs, "Bucket", bucket_name="theirs")
    with pytest.raises(
        ValueError, match=r"^bucket: got a bucket in the region 'us-east-1', expected one in 'eu-west-1'"
    ):
        BatchSegmentStorage(stack, "Storage", output_bucket=bucket)


def test_a_key_of_another_stack_is_used_without_a_cycle(app: cdk.App, stack: cdk.Stack) -> None:
    keys = cdk.Stack(app, "Keys", env=cdk.Environment(account=ACCOUNT, region=REGION))
    key = kms.Key(keys, "Key")
    add_job_on(BatchSegmentStorage(stack, "Storage", encryption_key=key))
    app.synth()
    of_service, of_account = only_resource(keys, "AWS::KMS::Key")["KeyPolicy"]["Statement"][-2:]
    assert of_service["Principal"] == SERVICE
    assert of_account["Principal"] == {"AWS": f"arn:<AWS::Partition>:iam::{ACCOUNT}:root"}


def test_a_key_of_the_parent_stack_is_used_without_a_cycle(app: cdk.App, stack: cdk.Stack) -> None:
    key = kms.Key(stack, "Key")
    nested = cdk.NestedStack(stack, "Nested")
    add_job_on(BatchSegmentStorage(nested, "Storage", encryption_key=key))
    app.synth()
    of_service, of_account = only_resource(stack, "AWS::KMS::Key")["KeyPolicy"]["Statement"][-2:]
    assert of_service["Principal"] == SERVICE
    assert of_account["Principal"] == {"AWS": f"arn:<AWS::Partition>:iam::{ACCOUNT}:root"}


def test_a_bucket_with_a_key_of_another_stack_is_read(app: cdk.App, stack: cdk.Stack) -> None:
    theirs = cdk.Stack(app, "Theirs", env=cdk.Environment(account=ACCOUNT, region=REGION))
    bucket = s3.Bucket(theirs, "Bucket", encryption=s3.BucketEncryption.KMS)
    add_job_on(BatchSegmentStorage(stack, "Storage", input_bucket=bucket))
    app.synth()


def test_rejects_a_bucket_and_storage_of_different_stacks(app: cdk.App, stack: cdk.Stack) -> None:
    storage = BatchSegmentStorage(cdk.Stack(app, "Shared", env=cdk.Environment(account=ACCOUNT, region=REGION)), "S")
    job_input = BatchSegmentInput.from_bucket(s3.Bucket(stack, "Mine"), "in/")
    with pytest.raises(
        ValueError, match=r"^job_input: got a bucket of the stack Demo with a storage of Shared, expected"
    ):
        BatchSegmentJob(stack, "Job", storage=storage, solution_version_arn=VERSION, job_input=job_input)
