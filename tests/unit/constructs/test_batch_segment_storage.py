import json
from typing import Any

import aws_cdk as cdk
import aws_cdk.aws_iam as iam
import aws_cdk.aws_kms as kms
import aws_cdk.aws_s3 as s3
import pytest
from aws_cdk.assertions import Annotations, Match
from cdk_personalize_segments import BatchSegmentInput, BatchSegmentJob, BatchSegmentStorage, SegmentQuery
from support import ACCOUNT, REGION, VERSION, job_properties, one, resources

OURS_ONLY = "Demo-f959b00b-*/*"
INPUT = "<StorageInputBucket0767FBBB.Arn>"
OUTPUT = "<StorageOutputBucketCD2EEB3A.Arn>"
OURS = {"StringEquals": {"aws:ResourceAccount": ACCOUNT}}
SERVICE = {"Service": "personalize.amazonaws.com"}


def use(storage: BatchSegmentStorage, id: str = "Job", **props: Any) -> BatchSegmentJob:
    queries = BatchSegmentInput.from_queries([SegmentQuery.items_like("105")])
    return BatchSegmentJob(
        cdk.Stack.of(storage), id, storage=storage, solution_version_arn=VERSION, **{"job_input": queries, **props}
    )


def policy_of(stack: cdk.Stack, bucket: str) -> list[dict]:
    return one(stack, "AWS::S3::BucketPolicy", bucket)["PolicyDocument"]["Statement"]


def warnings(stack: cdk.Stack) -> list[str]:
    return [entry.entry.data for entry in Annotations.from_stack(stack).find_warning("*", Match.any_value())]


def allowed(action: str, resource: str, **more: dict) -> dict:
    return {"Action": action, "Effect": "Allow", "Resource": resource, **more}


def allowed_to_service(action: str, resource: str, **more: dict) -> dict:
    condition = {"StringEqualsIfExists": {"aws:SourceAccount": ACCOUNT}}
    return {
        "Action": action,
        "Condition": condition,
        "Effect": "Allow",
        "Principal": SERVICE,
        "Resource": resource,
        **more,
    }


def only_over_tls(bucket: str) -> dict:
    return {
        "Action": "s3:*",
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        "Effect": "Deny",
        "Principal": {"AWS": "*"},
        "Resource": [bucket, f"{bucket}/*"],
    }


def test_new_buckets_are_encrypted_private_and_stay(stack: cdk.Stack) -> None:
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


def test_new_buckets_go_with_the_stack_if_that_is_asked_for(stack: cdk.Stack) -> None:
    BatchSegmentStorage(stack, "Storage", removal_policy=cdk.RemovalPolicy.DESTROY)
    assert {bucket["DeletionPolicy"] for bucket in resources(stack, "AWS::S3::Bucket").values()} == {"Delete"}


def test_the_role_trusts_personalize_for_this_account_and_region_only(stack: cdk.Stack) -> None:
    BatchSegmentStorage(stack, "Storage")
    assert one(stack, "AWS::IAM::Role")["AssumeRolePolicyDocument"]["Statement"] == [
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


def test_role_and_bucket_policies_say_what_jobs_need_and_nothing_else(stack: cdk.Stack) -> None:
    storage = BatchSegmentStorage(stack, "Storage")
    use(storage)
    use(storage, "Again")
    role = one(stack, "AWS::IAM::Role", "StorageRole")
    assert set(role) == {"AssumeRolePolicyDocument", "Description"}
    assert one(stack, "AWS::IAM::Policy", "StorageRole")["PolicyDocument"]["Statement"] == [
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
def test_input_in_s3_may_be_read_at_its_key_or_under_its_prefix(
    stack: cdk.Stack, key_or_prefix: str, pattern: str
) -> None:
    bucket = s3.Bucket(stack, "Mine")
    storage = BatchSegmentStorage(stack, "Storage", input_bucket=bucket)
    use(storage, job_input=BatchSegmentInput.from_bucket(bucket, key_or_prefix))
    (mine,) = [name for name in resources(stack, "AWS::S3::Bucket") if name.startswith("Mine")]
    assert policy_of(stack, "MinePolicy") == [
        allowed_to_service("s3:ListBucket", f"<{mine}.Arn>"),
        allowed_to_service("s3:GetObject", f"<{mine}.Arn>/{pattern}"),
    ]


def test_one_bucket_for_both_is_listed_once(stack: cdk.Stack) -> None:
    bucket = s3.Bucket(stack, "Both")
    use(BatchSegmentStorage(stack, "Storage", input_bucket=bucket, output_bucket=bucket))
    assert [statement["Action"] for statement in policy_of(stack, "BothPolicy")] == [
        "s3:ListBucket",
        "s3:GetObject",
        "s3:PutObject",
    ]


def test_a_role_brought_along_gets_the_statements_and_the_job_waits_for_them(stack: cdk.Stack) -> None:
    role = iam.Role(stack, "Mine", assumed_by=iam.ServicePrincipal("personalize.amazonaws.com"))
    use(BatchSegmentStorage(stack, "Storage", role=role))
    (policy,) = [name for name in resources(stack, "AWS::IAM::Policy") if name.startswith("Mine")]
    statements = one(stack, "AWS::IAM::Policy", "Mine")["PolicyDocument"]["Statement"]
    assert [statement["Action"] for statement in statements] == [
        "s3:ListBucket",
        "s3:GetObject",
        "s3:ListBucket",
        "s3:PutObject",
    ]
    (job,) = resources(stack, "Custom::PersonalizeBatchSegmentJob").values()
    assert policy in job["DependsOn"]


def test_what_cannot_be_granted_is_a_warning_with_the_statement_to_add(stack: cdk.Stack) -> None:
    bucket = s3.Bucket.from_bucket_name(stack, "Theirs", "theirs")
    use(BatchSegmentStorage(stack, "Storage", input_bucket=bucket))
    statement = json.dumps(allowed_to_service("s3:GetObject", f"arn:aws:s3:::theirs/queries/{OURS_ONLY}"))
    assert any(
        text.startswith("cannot modify the policy of the bucket theirs because it is imported. Add these statements")
        and statement in text
        and text.endswith("[ack: cdk-personalize-segments:bucketPolicy]")
        for text in warnings(stack)
    ), warnings(stack)


def test_a_key_encrypts_new_buckets_and_is_named_in_the_job(stack: cdk.Stack) -> None:
    key = kms.Key(stack, "Key")
    use(BatchSegmentStorage(stack, "Storage", encryption_key=key))
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
    assert one(stack, "AWS::IAM::Policy", "StorageRole")["PolicyDocument"]["Statement"][1] == {
        "Action": ["kms:Decrypt", "kms:GenerateDataKey", "kms:DescribeKey", "kms:ListGrants"],
        "Effect": "Allow",
        "Resource": f"<{logical_id}.Arn>",
    }
    actions = ["kms:Decrypt", "kms:GenerateDataKey", "kms:DescribeKey", "kms:ListGrants", "kms:CreateGrant"]
    of_role = {"Action": actions, "Effect": "Allow", "Principal": {"AWS": f"<{role}.Arn>"}, "Resource": "*"}
    assert one(stack, "AWS::KMS::Key")["KeyPolicy"]["Statement"][1:] == [allowed_to_service(actions, "*"), of_role]


@pytest.mark.parametrize(
    ("props", "message"),
    [
        (
            {"input_prefix": "queries"},
            "input_prefix: got 'queries', expected a prefix that ends in '/': without it, 'queries_test/' would match "
            "as well",
        ),
        (
            {"output_prefix": "/"},
            "output_prefix: got '/', expected a key without a leading '/', without control characters, and without "
            "'*', '?' and '${', which mean something else in the policies that name it",
        ),
        (
            {"input_prefix": "a" * 110 + "/"},
            "input_prefix: got 111 characters, expected at most 101: a path that the service is "
            "given may have 256, with the names of bucket and job",
        ),
    ],
)
def test_a_bad_prefix_is_refused(stack: cdk.Stack, props: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011
        BatchSegmentStorage(stack, "Storage", **props)
    assert str(refused.value) == message


def test_overlapping_prefixes_in_one_bucket_are_refused(stack: cdk.Stack) -> None:
    bucket = s3.Bucket(stack, "Both")
    with pytest.raises(ValueError, match="output_prefix: got 'a/b/', expected a prefix outside of input_prefix, 'a/'"):
        BatchSegmentStorage(
            stack, "Storage", input_bucket=bucket, output_bucket=bucket, input_prefix="a/", output_prefix="a/b/"
        )


def test_an_alias_is_no_key(stack: cdk.Stack) -> None:
    alias = kms.Key.from_key_arn(stack, "Key", f"arn:aws:kms:{REGION}:{ACCOUNT}:key/0123")
    BatchSegmentStorage(stack, "Fine", encryption_key=alias)
    with pytest.raises(ValueError, match=r"encryption_key: got 'Demo/Alias', expected a key, .* not an alias"):
        BatchSegmentStorage(stack, "Storage", encryption_key=kms.Alias.from_alias_name(stack, "Alias", "alias/mine"))


# -- options of the buckets


def test_buckets_are_emptied_when_they_are_deleted_if_asked_for(stack: cdk.Stack) -> None:
    BatchSegmentStorage(stack, "Storage", removal_policy=cdk.RemovalPolicy.DESTROY, auto_delete_objects=True)
    assert len(resources(stack, "Custom::S3AutoDeleteObjects")) == 2


def test_buckets_that_stay_are_not_emptied(stack: cdk.Stack) -> None:
    with pytest.raises(ValueError, match=r"^auto_delete_objects: got True with removal_policy RETAIN, expected"):
        BatchSegmentStorage(stack, "Storage", auto_delete_objects=True)


def test_buckets_keep_versions_and_log_requests_if_asked_for(stack: cdk.Stack) -> None:
    logs = s3.Bucket(stack, "AccessLogs")
    BatchSegmentStorage(stack, "Storage", versioned=True, server_access_logs_bucket=logs)
    buckets = [bucket for name, bucket in resources(stack, "AWS::S3::Bucket").items() if name.startswith("Storage")]
    assert [bucket["Properties"]["VersioningConfiguration"] for bucket in buckets] == [{"Status": "Enabled"}] * 2
    (target,) = [name for name in resources(stack, "AWS::S3::Bucket") if name.startswith("AccessLogs")]
    assert [bucket["Properties"]["LoggingConfiguration"] for bucket in buckets] == [
        {"DestinationBucketName": f"<{target}>", "LogFilePrefix": "InputBucket/"},
        {"DestinationBucketName": f"<{target}>", "LogFilePrefix": "OutputBucket/"},
    ]


# -- strict conditions

SOURCE = {
    "StringEquals": {"aws:SourceAccount": ACCOUNT},
    "ArnLike": {"aws:SourceArn": f"arn:<AWS::Partition>:personalize:{REGION}:{ACCOUNT}:*"},
}


def test_strict_conditions_limit_what_is_listed_and_for_whom_a_bucket_answers(stack: cdk.Stack) -> None:
    storage = BatchSegmentStorage(stack, "Storage", strict_conditions=True)
    use(storage)
    use(storage, "Elsewhere", output_prefix="elsewhere/")
    queries = {"StringLike": {"s3:prefix": ["queries/Demo-f959b00b-*/*"]}}
    segments = {"StringLike": {"s3:prefix": ["segments/Demo-f959b00b-*/*", "elsewhere/Demo-f959b00b-*/*"]}}
    written = [f"{OUTPUT}/segments/{OURS_ONLY}", f"{OUTPUT}/elsewhere/{OURS_ONLY}"]
    assert one(stack, "AWS::IAM::Policy", "StorageRole")["PolicyDocument"]["Statement"] == [
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


def test_a_bucket_that_is_imported_may_be_of_any_account(stack: cdk.Stack) -> None:
    bucket = s3.Bucket.from_bucket_name(stack, "Theirs", "theirs")
    use(BatchSegmentStorage(stack, "Storage", output_bucket=bucket))
    statements = one(stack, "AWS::IAM::Policy", "StorageRole")["PolicyDocument"]["Statement"]
    assert [statement for statement in statements if "theirs" in str(statement)] == [
        allowed("s3:ListBucket", "arn:<AWS::Partition>:s3:::theirs"),
        allowed("s3:PutObject", "arn:<AWS::Partition>:s3:::theirs/segments/Demo-f959b00b-*/*"),
    ]


# -- what is not ours, or elsewhere


def test_a_warning_has_all_the_statements_that_jobs_need(stack: cdk.Stack) -> None:
    bucket = s3.Bucket.from_bucket_name(stack, "Theirs", "theirs")
    storage = BatchSegmentStorage(stack, "Storage", input_bucket=bucket)
    for id, key in (("A", "in/a.jsonl"), ("B", "in/b.jsonl")):
        use(storage, id, job_input=BatchSegmentInput.from_bucket(bucket, key))
    (warning,) = warnings(stack)
    assert "in/a.jsonl" in warning
    assert "in/b.jsonl" in warning


def test_a_role_that_must_not_be_changed_is_a_warning(stack: cdk.Stack) -> None:
    arn = f"arn:aws:iam::{ACCOUNT}:role/theirs"
    use(BatchSegmentStorage(stack, "Storage", role=iam.Role.from_role_arn(stack, "Theirs", arn, mutable=False)))
    (warning,) = warnings(stack)
    assert warning.startswith(
        f"cannot modify the policy of the role {arn} because it is imported. Add these statements"
    )
    assert all(action in warning for action in ("s3:ListBucket", "s3:GetObject", "s3:PutObject"))


def test_a_role_of_another_account_is_refused(stack: cdk.Stack) -> None:
    role = iam.Role.from_role_arn(stack, "Theirs", "arn:aws:iam::210987654321:role/theirs")
    with pytest.raises(ValueError, match=r"^role: got 'arn:aws:iam::210987654321:role/theirs', expected a role of the"):
        BatchSegmentStorage(stack, "Storage", role=role)


def test_a_role_of_another_stack_is_explained(app: cdk.App, stack: cdk.Stack) -> None:
    roles = cdk.Stack(app, "Roles", env=cdk.Environment(account=ACCOUNT, region=REGION))
    role = iam.Role(roles, "Role", assumed_by=iam.ServicePrincipal("personalize.amazonaws.com"))
    with pytest.raises(
        ValueError, match=r"^role: got a role of the stack Roles, expected one of Demo, or one imported"
    ):
        BatchSegmentStorage(stack, "Storage", role=role)


def test_a_bucket_of_another_region_is_refused(app: cdk.App, stack: cdk.Stack) -> None:
    theirs = cdk.Stack(app, "Theirs", env=cdk.Environment(account=ACCOUNT, region="us-east-1"))
    bucket = s3.Bucket(theirs, "Bucket", bucket_name="theirs")
    with pytest.raises(
        ValueError, match=r"^bucket: got a bucket in the region 'us-east-1', expected one in 'eu-west-1'"
    ):
        BatchSegmentStorage(stack, "Storage", output_bucket=bucket)


def test_a_key_of_another_stack_is_used_without_a_cycle(app: cdk.App, stack: cdk.Stack) -> None:
    keys = cdk.Stack(app, "Keys", env=cdk.Environment(account=ACCOUNT, region=REGION))
    key = kms.Key(keys, "Key")
    use(BatchSegmentStorage(stack, "Storage", encryption_key=key))
    app.synth()
    of_service, of_account = one(keys, "AWS::KMS::Key")["KeyPolicy"]["Statement"][-2:]
    assert of_service["Principal"] == SERVICE
    assert of_account["Principal"] == {"AWS": f"arn:<AWS::Partition>:iam::{ACCOUNT}:root"}


def test_a_key_of_the_parent_stack_is_used_without_a_cycle(app: cdk.App, stack: cdk.Stack) -> None:
    key = kms.Key(stack, "Key")
    nested = cdk.NestedStack(stack, "Nested")
    use(BatchSegmentStorage(nested, "Storage", encryption_key=key))
    app.synth()
    of_service, of_account = one(stack, "AWS::KMS::Key")["KeyPolicy"]["Statement"][-2:]
    assert of_service["Principal"] == SERVICE
    assert of_account["Principal"] == {"AWS": f"arn:<AWS::Partition>:iam::{ACCOUNT}:root"}


def test_a_bucket_with_a_key_of_another_stack_is_read(app: cdk.App, stack: cdk.Stack) -> None:
    theirs = cdk.Stack(app, "Theirs", env=cdk.Environment(account=ACCOUNT, region=REGION))
    bucket = s3.Bucket(theirs, "Bucket", encryption=s3.BucketEncryption.KMS)
    use(BatchSegmentStorage(stack, "Storage", input_bucket=bucket))
    app.synth()


def test_a_bucket_of_the_jobs_stack_with_a_storage_of_another_is_explained(app: cdk.App, stack: cdk.Stack) -> None:
    storage = BatchSegmentStorage(cdk.Stack(app, "Shared", env=cdk.Environment(account=ACCOUNT, region=REGION)), "S")
    job_input = BatchSegmentInput.from_bucket(s3.Bucket(stack, "Mine"), "in/")
    with pytest.raises(
        ValueError, match=r"^job_input: got a bucket of the stack Demo with a storage of Shared; expected"
    ):
        BatchSegmentJob(stack, "Job", storage=storage, solution_version_arn=VERSION, job_input=job_input)
