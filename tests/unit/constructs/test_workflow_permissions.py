"""The permissions of a workflow's principals, and its grants."""

from typing import Any

import aws_cdk as cdk
import aws_cdk.aws_iam as iam
import aws_cdk.aws_kms as kms
from cdk_personalize_segments import (
    BatchSegmentProvider,
    BatchSegmentStorage,
)
from support.constants import ACCOUNT, FILTER, REGION, SOLUTION
from support.templates import (
    add_job,
    add_workflow,
    definition,
    logical_id,
    new_audience,
    only_resource,
    policy_statements,
)

NAME = "Demo-f959b00b-Weekly-29751324"
STATES = f"arn:<AWS::Partition>:states:{REGION}:{ACCOUNT}"


def reader(stack: cdk.Stack) -> iam.Role:
    return iam.Role(stack, "Reader", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))


def test_the_state_machine_has_exactly_these_permissions(stack: cdk.Stack) -> None:
    add_workflow(stack)
    machine = logical_id(stack, "AWS::StepFunctions::StateMachine", "Weekly")
    start, describe = (logical_id(stack, "AWS::Lambda::Function", name) for name in ("Start", "Describe"))
    output = logical_id(stack, "AWS::S3::Bucket", "OutputBucket")
    key = definition(stack)["States"]["Audiences"]["ItemReader"]["Parameters"]["Key"]
    own = {"StringEquals": {"aws:ResourceAccount": ACCOUNT}}
    name = f"<{machine}.Name>"
    children = f"{STATES}:execution:{name}/Audiences:*"
    assert [
        (one["Action"], one["Resource"], one.get("Condition")) for one in policy_statements(stack, "StateMachinePolicy")
    ] == [
        (["lambda:InvokeFunction"], [f"<{start}.Arn>", f"<{describe}.Arn>"], None),
        (
            ["events:PutEvents"],
            [f"arn:<AWS::Partition>:events:{REGION}:{ACCOUNT}:event-bus/default"],
            {"StringEquals": {"events:source": "cdk-personalize-segments"}},
        ),
        (["states:StartExecution"], [f"{STATES}:stateMachine:{name}"], None),
        (
            ["states:DescribeExecution", "states:StopExecution"],
            [f"{STATES}:execution:{name}:*", children],
            None,
        ),
        (["states:RedriveExecution"], [children], None),
        (["states:DescribeMapRun"], [f"{STATES}:mapRun:{name}/Audiences:*"], None),
        (["s3:GetObject"], [f"arn:<AWS::Partition>:s3:::cdk-hnb659fds-assets-{ACCOUNT}-{REGION}/{key}"], own),
        (
            ["s3:PutObject", "s3:GetObject", "s3:ListMultipartUploadParts", "s3:AbortMultipartUpload"],
            [f"<{output}.Arn>/segments/_runs/{NAME}/*"],
            own,
        ),
    ]
    (trust,) = only_resource(stack, "AWS::IAM::Role", "StateMachineRole")["AssumeRolePolicyDocument"]["Statement"]
    assert trust["Principal"] == {"Service": "states.amazonaws.com"}
    assert trust["Condition"] == {
        "StringEquals": {"aws:SourceAccount": ACCOUNT},
        "ArnLike": {"aws:SourceArn": f"{STATES}:stateMachine:*"},
    }


def test_the_functions_have_exactly_these_permissions(stack: cdk.Stack) -> None:
    add_workflow(stack, audiences=[new_audience(filter_arn=FILTER)])
    jobs = f"arn:<AWS::Partition>:personalize:{REGION}:{ACCOUNT}:batch-segment-job/Demo-f959b00b-*"
    role = logical_id(stack, "AWS::IAM::Role", "StorageRole")
    input_bucket, output_bucket = (
        logical_id(stack, "AWS::S3::Bucket", name) for name in ("InputBucket", "OutputBucket")
    )
    assets = f"arn:<AWS::Partition>:s3:::cdk-hnb659fds-assets-{ACCOUNT}-{REGION}/*.queries-f959b00b"
    assert [(one["Action"], one["Resource"]) for one in policy_statements(stack, "StartPolicy")] == [
        (["personalize:DescribeBatchSegmentJob"], [jobs]),
        (["personalize:CreateBatchSegmentJob"], [jobs, f"{SOLUTION}/*"]),
        (["personalize:TagResource"], [jobs]),
        (["personalize:DescribeSolutionVersion"], [f"{SOLUTION}/*"]),
        (["personalize:DescribeRecipe"], ["arn:<AWS::Partition>:personalize:::recipe/*"]),
        (["personalize:ListSolutionVersions"], ["*"]),
        (["personalize:DescribeFilter"], [FILTER]),
        (["iam:PassRole"], [f"<{role}.Arn>"]),
        (["s3:GetObject"], [assets]),
        (["s3:PutObject"], [f"<{input_bucket}.Arn>/queries/Demo-f959b00b-*/*"]),
    ]
    assert policy_statements(stack, "DescribePolicy") == [
        {"Effect": "Allow", "Action": ["personalize:DescribeBatchSegmentJob"], "Resource": [jobs]},
        {
            "Effect": "Allow",
            "Action": ["s3:ListBucket"],
            "Resource": [f"<{output_bucket}.Arn>"],
            "Condition": {
                "StringLike": {"s3:prefix": ["segments/audience=*"]},
                "StringEquals": {"aws:ResourceAccount": ACCOUNT},
            },
        },
        {
            "Effect": "Allow",
            "Action": ["s3:GetObject"],
            "Resource": [f"<{output_bucket}.Arn>/segments/audience=*/run=*/Demo-f959b00b-*/*"],
            "Condition": {"StringEquals": {"aws:ResourceAccount": ACCOUNT}},
        },
    ]


def test_personalize_writes_to_the_folders_of_audiences_only(stack: cdk.Stack) -> None:
    add_workflow(stack)
    output, input_ = (logical_id(stack, "AWS::S3::Bucket", name) for name in ("OutputBucket", "InputBucket"))
    reached = {one["Action"]: one["Resource"] for one in policy_statements(stack, "StorageRole")}
    assert reached["s3:PutObject"] == f"<{output}.Arn>/segments/audience=*/run=*/Demo-f959b00b-*/*"
    assert reached["s3:GetObject"] == f"<{input_}.Arn>/queries/Demo-f959b00b-*/*"


def test_grants_the_keys_of_buckets_and_assets(stack: cdk.Stack) -> None:
    assets, segments = kms.Key(stack, "AssetKey"), kms.Key(stack, "SegmentKey")
    BatchSegmentProvider(stack, "Provider", asset_encryption_key=assets)
    storage = BatchSegmentStorage(stack, "Storage", encryption_key=segments)
    add_workflow(stack, storage=storage)
    of_assets, of_segments = (f"<{logical_id(stack, 'AWS::KMS::Key', name)}.Arn>" for name in ("Asset", "Segment"))
    via = {"StringLike": {"kms:ViaService": f"s3.{REGION}.amazonaws.com*"}}

    def keys(policy: str) -> list[tuple[Any, Any]]:
        found = [one for one in policy_statements(stack, policy) if "kms:" in str(one["Action"])]
        assert all(one["Condition"] == via for one in found)
        return [(one["Action"], one["Resource"]) for one in found]

    write = ["kms:GenerateDataKey", "kms:Decrypt"]
    assert keys("StateMachinePolicy") == [(["kms:Decrypt"], [of_assets]), (write, [of_segments])]
    assert keys("StartPolicy") == [(["kms:Decrypt"], [of_assets]), (write, [of_segments])]
    assert keys("DescribePolicy") == [(["kms:Decrypt"], [of_segments])]


def test_grants_permission_to_start_a_run(stack: cdk.Stack) -> None:
    add_workflow(stack).grant_start_execution(reader(stack))
    (statement,) = policy_statements(stack, "ReaderDefault")
    machine = logical_id(stack, "AWS::StepFunctions::StateMachine", "Weekly")
    assert (statement["Action"], statement["Resource"]) == ("states:StartExecution", f"<{machine}>")


def test_grants_read_access_to_the_segments_of_all_runs(stack: cdk.Stack) -> None:
    add_workflow(stack, output_prefix="weekly/").grant_read_segments(reader(stack))
    bucket = logical_id(stack, "AWS::S3::Bucket", "OutputBucket")
    assert policy_statements(stack, "ReaderDefault") == [
        {
            "Effect": "Allow",
            "Action": "s3:ListBucket",
            "Resource": f"<{bucket}.Arn>",
            "Condition": {"StringLike": {"s3:prefix": ["weekly/audience=*"]}},
        },
        {
            "Effect": "Allow",
            "Action": "s3:GetObject",
            "Resource": f"<{bucket}.Arn>/weekly/audience=*/run=*/Demo-f959b00b-*/*",
        },
    ]


def test_readers_of_a_storage_read_workflows_and_jobs(stack: cdk.Stack) -> None:
    storage = BatchSegmentStorage(stack, "Storage")
    storage.grant_read_segments(reader(stack))
    add_workflow(stack, storage=storage)
    add_job(stack, storage=storage)
    listing, reading = policy_statements(stack, "ReaderDefault")
    assert listing["Condition"] == {"StringLike": {"s3:prefix": ["segments/Demo-f959b00b-*/*", "segments/audience=*"]}}
    bucket = logical_id(stack, "AWS::S3::Bucket", "OutputBucket")
    assert reading["Resource"] == [
        f"<{bucket}.Arn>/segments/Demo-f959b00b-*/*",
        f"<{bucket}.Arn>/segments/audience=*/run=*/Demo-f959b00b-*/*",
    ]
