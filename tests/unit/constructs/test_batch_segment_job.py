"""The resource of a job in the template."""

import hashlib

import aws_cdk as cdk
import aws_cdk.aws_s3 as s3
import pytest
from batch_segment_handler.contract import RESOURCE_TYPE
from cdk_personalize_segments import BatchSegmentInput, BatchSegmentStorage, SegmentQuery
from support.constants import ACCOUNT, FILTER, REGION, VERSION
from support.templates import (
    ENVIRONMENT,
    add_job,
    count_resources,
    job_properties,
    only_resource,
    resources,
)

BUCKET = "ComedyFansStorageInputBucket1B8156CD"


@pytest.mark.parametrize(("jobs", "expected"), [(1, 14), (2, 15), (5, 18)])
def test_the_first_job_adds_14_resources_and_a_further_job_1(stack: cdk.Stack, jobs: int, expected: int) -> None:
    storage = add_job(stack, "ComedyFans").storage
    for number in range(1, jobs):
        add_job(stack, f"More{number}", storage=storage)
    assert count_resources(stack) == expected


@pytest.mark.parametrize(("waiting", "expected"), [(0, 14), (1, 14 + 13), (3, 14 + 13 + 2)])
def test_waiting_jobs_share_one_waiter(stack: cdk.Stack, waiting: int, expected: int) -> None:
    storage = add_job(stack, "ComedyFans").storage
    for number in range(waiting):
        add_job(stack, f"Waits{number}", storage=storage, wait_for_completion=cdk.Duration.minutes(60))
    assert count_resources(stack) == expected
    assert len(resources(stack, "AWS::StepFunctions::StateMachine")) == min(waiting, 1)


def test_a_stack_of_waiting_jobs_has_only_the_waiting_framework(stack: cdk.Stack) -> None:
    add_job(stack, "ComedyFans", wait_for_completion=cdk.Duration.minutes(60))
    assert count_resources(stack) == 14 + 13 - 3
    assert all("WaitingFramework" in name for name in resources(stack, "AWS::Lambda::Function") if "framework" in name)


def test_every_parameter_reaches_the_resource(stack: cdk.Stack) -> None:
    bucket = s3.Bucket.from_bucket_name(stack, "Theirs", "theirs")
    add_job(
        stack,
        "ComedyFans",
        job_input=BatchSegmentInput.from_bucket(bucket, "audiences/today.jsonl", queries_per_file=1000),
        storage=BatchSegmentStorage(stack, "Storage", input_bucket=bucket, output_bucket=bucket),
        output_prefix="out/",
        filter_arn=FILTER,
        num_results=5_000_000,
        tags={"team": "growth"},
        job_name="spring-sale",
        wait_for_completion=cdk.Duration.minutes(45),
    )
    properties = only_resource(stack, RESOURCE_TYPE)
    token = properties.pop("ServiceToken")
    assert "WaitingFramework" in token
    assert properties == {
        "JobName": "spring-sale",
        "NewJobIfChanged": {
            "SolutionVersionArn": VERSION,
            "FilterArn": FILTER,
            "NumResults": 5_000_000,
            "InputPath": "s3://theirs/audiences/today.jsonl",
            "OutputPath": "s3://theirs/out/",
        },
        "RoleArn": properties["RoleArn"],
        "Tags": [{"key": "team", "value": "growth"}],
        "WaitSeconds": 2700,
        "ValidateInput": "true",
        "QueriesPerFile": 1000,
    }
    assert properties["RoleArn"].startswith("<StorageRole")


def test_omits_properties_that_are_not_set(stack: cdk.Stack) -> None:
    add_job(stack, "ComedyFans")
    properties = only_resource(stack, RESOURCE_TYPE)
    assert set(properties) == {
        "ServiceToken",
        "JobNamePrefix",
        "AssetBucket",
        "AssetKey",
        "RoleArn",
        "Queries",
        "InputIsInline",
        "NewJobIfChanged",
    }
    assert set(properties["NewJobIfChanged"]) == {
        "SolutionVersionArn",
        "InputHash",
        "InputBucket",
        "InputPrefix",
        "OutputPath",
    }


def test_inline_queries_are_an_asset_for_the_input_bucket(stack: cdk.Stack) -> None:
    made = add_job(stack, "ComedyFans")
    properties = job_properties(stack)
    assert properties["AssetBucket"] == f"cdk-hnb659fds-assets-{ACCOUNT}-{REGION}"
    assert properties["AssetKey"].endswith(".queries-f959b00b")
    # The SHA-256 of the line. No CDK setting changes it.
    assert properties["InputHash"] == hashlib.sha256(b'{"itemId": "105"}\n').hexdigest()
    assert properties["InputBucket"] == f"<{BUCKET}>"
    assert properties["InputPrefix"] == "queries/"
    assert stack.resolve(made.input_bucket.bucket_name) == {"Ref": BUCKET}


def test_the_asset_hash_depends_on_the_queries(app: cdk.App, stack: cdk.Stack) -> None:
    add_job(stack, "ComedyFans")
    same, other = cdk.Stack(app, "Same", env=ENVIRONMENT), cdk.Stack(app, "Other", env=ENVIRONMENT)
    add_job(same, "ComedyFans", job_input=BatchSegmentInput.from_queries([SegmentQuery.items_like("105")]))
    add_job(other, "ComedyFans", job_input=BatchSegmentInput.from_queries([SegmentQuery.items_like("106")]))
    hashes = [job_properties(one_stack)["InputHash"] for one_stack in (stack, same, other)]
    assert hashes[0] == hashes[1] != hashes[2]


def test_a_derived_prefix_leaves_room_for_hash_and_attempt(app: cdk.App) -> None:
    stack = cdk.Stack(app, "A" * 100, env=ENVIRONMENT)
    add_job(stack, "B" * 100)
    assert len(only_resource(stack, RESOURCE_TYPE)["JobNamePrefix"]) <= 63 - len("-0123456789ab-99")


def test_the_job_is_created_after_the_policies_that_it_needs(stack: cdk.Stack) -> None:
    add_job(stack, "ComedyFans")
    (made,) = resources(stack, RESOURCE_TYPE).values()
    assert {name.rstrip("0123456789ABCDEF") for name in made["DependsOn"]} == {
        "ComedyFansStorageInputBucketPolicy",
        "ComedyFansStorageOutputBucketPolicy",
        "ComedyFansStorageRoleDefaultPolicy",
    }
    (handler,) = [
        function for name, function in resources(stack, "AWS::Lambda::Function").items() if "ProviderHandler" in name
    ]
    assert any("HandlerPolicy" in name for name in handler["DependsOn"])


def test_the_handler_has_a_log_group_with_retention(stack: cdk.Stack) -> None:
    add_job(stack, "ComedyFans")
    handler = only_resource(stack, "AWS::Lambda::Function", "ProviderHandler")
    (logs,) = [name for name in resources(stack, "AWS::Logs::LogGroup") if "ProviderLogs" in name]
    assert handler["LoggingConfig"] == {"LogGroup": f"<{logs}>"}
    assert resources(stack, "AWS::Logs::LogGroup")[logs]["Properties"] == {"RetentionInDays": 90}


def test_attributes_resolve_to_the_handlers_response(stack: cdk.Stack) -> None:
    made = add_job(stack, "ComedyFans")
    (logical_id,) = resources(stack, RESOURCE_TYPE)
    assert stack.resolve(made.batch_segment_job_arn) == {"Ref": logical_id}
    for attribute, name in {
        made.job_name: "JobName",
        made.output_uri: "OutputUri",
        made.status: "Status",
        made.solution_version_arn: "SolutionVersionArn",
    }.items():
        assert stack.resolve(attribute) == {"Fn::GetAtt": [logical_id, name]}


# -- a waiting job has another logical ID


def test_a_waiting_job_has_another_logical_id_and_the_same_name(app: cdk.App) -> None:
    made = {}
    for name, wait in (("Plain", None), ("Waiting", cdk.Duration.minutes(30))):
        stack = cdk.Stack(cdk.App(), "Demo", env=ENVIRONMENT)
        add_job(stack, "ComedyFans", wait_for_completion=wait)
        ((logical_id, resource),) = resources(stack, RESOURCE_TYPE).items()
        made[name] = (logical_id, resource["Properties"]["JobNamePrefix"])
    assert made["Plain"][0] != made["Waiting"][0]
    assert made["Plain"][1] == made["Waiting"][1]


# -- tags with values known only at deploy


# -- one stack's limits
