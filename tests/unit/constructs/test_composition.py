"""A job's grants, events, metrics and dependencies for the rest of a stack."""

from typing import Any

import aws_cdk as cdk
import aws_cdk.aws_events_targets as targets
import aws_cdk.aws_iam as iam
import aws_cdk.aws_kms as kms
import aws_cdk.aws_s3 as s3
import aws_cdk.aws_s3_deployment as s3_deployment
import aws_cdk.aws_s3_notifications as s3_notifications
import aws_cdk.aws_sqs as sqs
import pytest
from aws_cdk.assertions import Template
from batch_segment_handler.contract import RESOURCE_TYPE
from cdk_personalize_segments import BatchSegmentInput, BatchSegmentJob, BatchSegmentStorage
from support.constants import ACCOUNT
from support.templates import (
    ENVIRONMENT,
    add_job,
    job_properties,
    only_resource,
    policy_statements,
    readable,
    resources,
)

FOLDERS = "segments/Demo-f959b00b-ComedyFans-ca3ea23b-*/"


@pytest.fixture
def reader(stack: cdk.Stack) -> iam.Role:
    return iam.Role(stack, "Reader", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))


# -- grants


def test_grants_read_access_to_the_segments_of_one_job(stack: cdk.Stack, reader: iam.Role) -> None:
    made = add_job(stack, "ComedyFans")
    grant = made.grant_read_segments(reader)
    bucket = readable(stack.resolve(made.output_bucket.bucket_arn))
    assert grant.success
    assert policy_statements(stack, "ReaderDefault") == [
        {
            "Action": "s3:ListBucket",
            "Condition": {"StringLike": {"s3:prefix": [f"{FOLDERS}*"]}},
            "Effect": "Allow",
            "Resource": bucket,
        },
        {"Action": "s3:GetObject", "Effect": "Allow", "Resource": f"{bucket}/{FOLDERS}*"},
    ]


def test_a_storage_grants_only_the_segments_of_its_jobs(stack: cdk.Stack, reader: iam.Role) -> None:
    storage = BatchSegmentStorage(stack, "Storage")
    storage.grant_read_segments(reader)
    add_job(stack, "First", storage=storage, job_name="fans")
    add_job(stack, "Second", storage=storage, output_prefix="second/")
    bucket = readable(stack.resolve(storage.output_bucket.bucket_arn))
    # The first folder was granted before any job was added.
    folders = ["segments/Demo-f959b00b-*/*", "segments/fans/*", "second/Demo-f959b00b-*/*"]
    listing, reading = policy_statements(stack, "ReaderDefault")
    assert listing["Condition"] == {"StringLike": {"s3:prefix": folders}}
    assert reading["Resource"] == [f"{bucket}/{folder}" for folder in folders]


def test_rejects_a_folder_inside_the_folder_of_another_job(stack: cdk.Stack) -> None:
    storage = BatchSegmentStorage(stack, "Storage")
    add_job(stack, "First", storage=storage, job_name="fans")
    with pytest.raises(
        ValueError,
        match=r"^output_prefix: got segments in 'segments/fans/Demo-f959b00b-\*/', expected a location that does not "
        r"overlap 'segments/fans/', which another job writes: choose another prefix or job_name$",
    ):
        add_job(stack, "Second", storage=storage, output_prefix="segments/fans/")


def test_rejects_an_overlap_with_a_job_of_another_storage(stack: cdk.Stack) -> None:
    bucket = s3.Bucket(stack, "Bucket")
    add_job(stack, "First", storage=BatchSegmentStorage(stack, "One", output_bucket=bucket), job_name="fans")
    other = BatchSegmentStorage(stack, "Other", output_bucket=bucket, output_prefix="segments/fans/")
    with pytest.raises(ValueError, match=r"^output_prefix: got segments in 'segments/fans/Demo-"):
        add_job(stack, "Second", storage=other)


@pytest.mark.parametrize("reads_first", [True, False])
def test_rejects_input_where_another_job_writes(stack: cdk.Stack, reads_first: bool) -> None:
    bucket = s3.Bucket(stack, "Bucket")
    storage = BatchSegmentStorage(stack, "Storage", output_bucket=bucket)

    def read() -> None:
        add_job(stack, "Reads", storage=storage, job_input=BatchSegmentInput.from_bucket(bucket, "q/"))

    def write() -> None:
        add_job(stack, "Writes", storage=storage, output_prefix="q/sub/")

    first, second = (read, write) if reads_first else (write, read)
    first()
    with pytest.raises(ValueError, match=r"which another job (reads|writes): choose another prefix or job_name$"):
        second()


def test_readers_of_two_storages_merge_into_one_policy() -> None:
    app = cdk.App(context={"@aws-cdk/aws-iam:minimizePolicies": True})
    stack = cdk.Stack(app, "Demo", env=ENVIRONMENT)
    reader = iam.Role(stack, "Reader", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
    for name in ("One", "Two"):
        storage = BatchSegmentStorage(stack, name)
        storage.grant_read_segments(reader)
        add_job(stack, f"Job{name}", storage=storage)
    (reading,) = [
        statement for statement in policy_statements(stack, "ReaderDefault") if statement["Action"] == "s3:GetObject"
    ]
    assert [resource.rpartition(">/")[2] for resource in reading["Resource"]] == ["segments/Demo-f959b00b-*/*"] * 2


def test_a_storage_without_jobs_grants_the_folders_of_its_stack(stack: cdk.Stack, reader: iam.Role) -> None:
    BatchSegmentStorage(stack, "Storage").grant_read_segments(reader)
    listing, reading = policy_statements(stack, "ReaderDefault")
    assert listing["Condition"] == {"StringLike": {"s3:prefix": ["segments/Demo-f959b00b-*/*"]}}
    assert reading["Resource"].endswith("/segments/Demo-f959b00b-*/*")


def test_a_reader_of_another_account_lists_the_folders_only(stack: cdk.Stack) -> None:
    storage = BatchSegmentStorage(stack, "Storage")
    made = add_job(stack, storage=storage)
    made.grant_read_segments(iam.AccountPrincipal("210987654321"))
    storage.grant_read_segments(iam.AccountPrincipal("321098765432"))
    document = only_resource(stack, "AWS::S3::BucketPolicy", "OutputBucket")["PolicyDocument"]
    listings = [
        statement["Condition"]["StringLike"]["s3:prefix"]
        for statement in document["Statement"]
        if statement["Action"] == "s3:ListBucket" and "AWS" in statement["Principal"]
    ]
    assert listings == [["segments/Demo-f959b00b-Job-ad617a0f-*/*"], ["segments/Demo-f959b00b-*/*"]]


def test_grants_decryption_of_segments_with_a_key(stack: cdk.Stack, reader: iam.Role) -> None:
    key = kms.Key(stack, "Key")
    add_job(stack, "ComedyFans", storage=BatchSegmentStorage(stack, "Storage", encryption_key=key)).grant_read_segments(
        reader
    )
    assert policy_statements(stack, "ReaderDefault")[2] == {
        "Action": "kms:Decrypt",
        "Effect": "Allow",
        "Resource": readable(stack.resolve(key.key_arn)),
    }


@pytest.mark.parametrize(("location", "objects"), [("in/", "in/*"), ("in/today.jsonl", "in/today.jsonl")])
def test_grants_write_access_to_the_jobs_input(stack: cdk.Stack, reader: iam.Role, location: str, objects: str) -> None:
    bucket = s3.Bucket(stack, "Queries", encryption_key=kms.Key(stack, "Key"))
    made = add_job(stack, "ComedyFans", job_input=BatchSegmentInput.from_bucket(bucket, location))
    assert made.grant_put_queries(reader).success
    put, key = policy_statements(stack, "ReaderDefault")
    assert put["Action"] == "s3:PutObject"
    assert put["Resource"] == f"{readable(stack.resolve(bucket.bucket_arn))}/{objects}"
    assert key["Action"] == ["kms:GenerateDataKey", "kms:Decrypt"]


def test_rejects_write_access_to_queries_of_the_app(stack: cdk.Stack, reader: iam.Role) -> None:
    with pytest.raises(
        ValueError,
        match=r"^grant_put_queries: got queries that are part of the app, expected BatchSegmentInput.from_bucket",
    ):
        add_job(stack, "ComedyFans").grant_put_queries(reader)


# -- events


def test_a_rule_matches_the_jobs_segments_without_a_cdk_function(stack: cdk.Stack) -> None:
    queue = sqs.Queue(stack, "Queue")
    made = add_job(stack, "ComedyFans")
    made.on_segments_written("Written", target=targets.SqsQueue(queue))
    rule = only_resource(stack, "AWS::Events::Rule")
    assert rule["EventPattern"] == {
        "source": ["aws.s3"],
        "detail-type": ["Object Created"],
        "detail": {
            "bucket": {"name": [readable(stack.resolve(made.output_bucket.bucket_name))]},
            "object": {"key": [{"wildcard": f"{FOLDERS}*.out"}]},
        },
    }
    assert len(rule["Targets"]) == 1
    assert only_resource(stack, "AWS::S3::Bucket", "OutputBucket")["NotificationConfiguration"] == {
        "EventBridgeConfiguration": {"EventBridgeEnabled": True}
    }
    assert len(resources(stack, "AWS::Lambda::Function")) == 2


def test_two_rules_on_one_storage_enable_eventbridge_once(stack: cdk.Stack) -> None:
    bucket = s3.Bucket(stack, "Mine")
    storage = BatchSegmentStorage(stack, "Storage", output_bucket=bucket)
    for id in ("A", "B"):
        add_job(stack, id, storage=storage).on_segments_written("Written")
    assert len(resources(stack, "AWS::Events::Rule")) == 2
    assert len(resources(stack, "Custom::S3BucketNotifications")) == 1


def test_other_notifications_keep_eventbridge_enabled(stack: cdk.Stack) -> None:
    made = add_job(stack, "ComedyFans")
    made.on_segments_written("Written")
    queue = sqs.Queue(stack, "Queue")
    made.output_bucket.add_event_notification(s3.EventType.OBJECT_CREATED, s3_notifications.SqsDestination(queue))
    assert (
        only_resource(stack, "Custom::S3BucketNotifications")["NotificationConfiguration"]["EventBridgeConfiguration"]
        == {}
    )


# -- metrics


@pytest.mark.parametrize(
    ("method", "name"),
    [
        ("metric_jobs_created", "JobsCreated"),
        ("metric_jobs_adopted", "JobsAdopted"),
        ("metric_retries", "Retries"),
        ("metric_deployments_failed", "DeploymentsFailed"),
    ],
)
def test_a_metric_counts_the_handlers_decisions(stack: cdk.Stack, method: str, name: str) -> None:
    made = add_job(stack, "ComedyFans")
    getattr(made, method)(period=cdk.Duration.minutes(1)).create_alarm(
        stack, "Alarm", threshold=1, evaluation_periods=1
    )
    alarm = only_resource(stack, "AWS::CloudWatch::Alarm")
    (logical_id,) = resources(stack, RESOURCE_TYPE)
    assert (alarm["Namespace"], alarm["MetricName"], alarm["Statistic"], alarm["Period"]) == (
        "PersonalizeBatchSegments",
        name,
        "Sum",
        60,
    )
    assert {one["Name"]: one["Value"] for one in alarm["Dimensions"]} == {"Stack": "Demo", "Resource": logical_id}


# -- dependencies


def test_a_job_waits_for_what_it_depends_on(stack: cdk.Stack) -> None:
    bucket = s3.Bucket(stack, "Queries")
    upload = s3_deployment.BucketDeployment(
        stack,
        "Upload",
        destination_bucket=bucket,
        sources=[s3_deployment.Source.data("in/queries.jsonl", '{"itemId": "1"}')],
    )
    first = add_job(stack, "First", job_input=BatchSegmentInput.from_bucket(bucket, "in/"))
    first.node.add_dependency(upload)
    add_job(stack, "Second", storage=first.storage).node.add_dependency(first)
    made = resources(stack, RESOURCE_TYPE)
    (first_id,) = [name for name in made if name.startswith("First")]
    (second_id,) = [name for name in made if name.startswith("Second")]
    assert any(name.startswith("UploadCustomResource") for name in made[first_id]["DependsOn"])
    assert first_id in made[second_id]["DependsOn"]


# -- aspects


def test_a_permissions_boundary_reaches_every_role(stack: cdk.Stack) -> None:
    add_job(stack, "ComedyFans", wait_for_completion=cdk.Duration.minutes(10))
    boundary = iam.ManagedPolicy.from_managed_policy_name(stack, "Boundary", "boundary")
    iam.PermissionsBoundary.of(stack).apply(boundary)
    roles = resources(stack, "AWS::IAM::Role")
    assert len(roles) > 4
    assert {role["Properties"]["PermissionsBoundary"] for role in roles.values()} == {
        f"arn:<AWS::Partition>:iam::{ACCOUNT}:policy/boundary"
    }


def test_a_removal_policy_reaches_everything(stack: cdk.Stack) -> None:
    add_job(stack, "ComedyFans")
    cdk.RemovalPolicies.of(stack).destroy()
    made = Template.from_stack(stack).to_json()["Resources"]
    assert len(made) == 14
    assert [name for name, resource in made.items() if resource.get("DeletionPolicy", "Delete") != "Delete"] == []


# -- the whole storage


def test_readers_of_a_storage_read_the_segments_of_later_jobs(stack: cdk.Stack, reader: iam.Role) -> None:
    storage = BatchSegmentStorage(stack, "Storage")
    add_job(stack, "First", storage=storage)
    assert storage.grant_read_segments(reader).success
    add_job(stack, "Second", storage=storage, output_prefix="other/")
    add_job(stack, "Third", storage=storage, job_name="spring-sale")
    bucket = readable(stack.resolve(storage.output_bucket.bucket_arn))
    folders = ["segments/Demo-f959b00b-*/", "other/Demo-f959b00b-*/", "segments/spring-sale/"]
    assert policy_statements(stack, "ReaderDefault") == [
        {
            "Action": "s3:ListBucket",
            "Condition": {"StringLike": {"s3:prefix": [f"{folder}*" for folder in folders]}},
            "Effect": "Allow",
            "Resource": bucket,
        },
        {"Action": "s3:GetObject", "Effect": "Allow", "Resource": [f"{bucket}/{folder}*" for folder in folders]},
    ]


def test_a_storages_rule_matches_the_segments_of_all_its_jobs(stack: cdk.Stack) -> None:
    storage = BatchSegmentStorage(stack, "Storage")
    storage.on_segments_written("Written", target=targets.SqsQueue(sqs.Queue(stack, "Queue")))
    add_job(stack, "First", storage=storage)
    add_job(stack, "Second", storage=storage, job_name="spring-sale")
    assert only_resource(stack, "AWS::Events::Rule")["EventPattern"]["detail"]["object"]["key"] == [
        {"wildcard": "segments/Demo-f959b00b-*/*.out"},
        {"wildcard": "segments/spring-sale/*.out"},
    ]


# -- how many jobs run at once


def test_twelve_jobs_run_five_at_a_time(stack: cdk.Stack) -> None:
    storage = BatchSegmentStorage(stack, "Storage")
    wait = cdk.Duration.minutes(30)
    jobs = [add_job(stack, f"Job{number:02}", storage=storage, wait_for_completion=wait) for number in range(12)]
    BatchSegmentJob.limit_concurrency(jobs)
    made = resources(stack, RESOURCE_TYPE)
    before = {
        name[:5]: sorted(other[:5] for other in resource["DependsOn"] if other.startswith("Job"))
        for name, resource in made.items()
    }
    assert before == {f"Job{number:02}": [f"Job{number - 5:02}"] if number >= 5 else [] for number in range(12)}


def test_rejects_jobs_that_do_not_wait_and_a_bad_limit(stack: cdk.Stack) -> None:
    jobs = [add_job(stack, "ComedyFans")]
    with pytest.raises(
        ValueError, match=r"^jobs\[0\]: got the job Demo/ComedyFans without wait_for_completion, expect"
    ):
        BatchSegmentJob.limit_concurrency(jobs)
    with pytest.raises(ValueError, match=r"^max_concurrency: got 0, expected a whole number from 1 to"):
        BatchSegmentJob.limit_concurrency([], 0)


# -- errors of queries


def test_max_query_errors_reaches_the_handler(stack: cdk.Stack) -> None:
    add_job(stack, "ComedyFans", wait_for_completion=cdk.Duration.minutes(30), max_query_errors=0)
    assert job_properties(stack)["MaxQueryErrors"] == 0


@pytest.mark.parametrize(
    ("props", "message"),
    [
        ({"max_query_errors": 1}, "max_query_errors: got 1 without wait_for_completion, expected both: the errors are"),
        (
            {"max_query_errors": -1, "wait_for_completion": cdk.Duration.minutes(1)},
            "max_query_errors: got -1, expected a whole number from 0 to 50,000,000",
        ),
    ],
)
def test_rejects_a_bad_number_of_query_errors(stack: cdk.Stack, props: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=":") as failed:
        add_job(stack, "ComedyFans", **props)
    assert str(failed.value).startswith(message)
