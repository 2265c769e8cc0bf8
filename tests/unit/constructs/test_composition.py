"""What a job gives to the rest of a stack: grants, events, metrics; and where it can be."""

import json
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
from aws_cdk.assertions import Annotations, Match, Template
from cdk_personalize_segments import BatchSegmentInput, BatchSegmentJob, BatchSegmentStorage, SegmentQuery
from support import ACCOUNT, ENVIRONMENT, REGION, VERSION, job_properties, one, readable, resources

JOB = "Custom::PersonalizeBatchSegmentJob"
FOLDERS = "segments/Demo-f959b00b-ComedyFans-ca3ea23b-*/"


def job(scope: cdk.Stack, id: str = "ComedyFans", **props: Any) -> BatchSegmentJob:
    queries = BatchSegmentInput.from_queries([SegmentQuery.items_like("105")])
    return BatchSegmentJob(scope, id, solution_version_arn=VERSION, **{"job_input": queries, **props})


@pytest.fixture
def reader(stack: cdk.Stack) -> iam.Role:
    return iam.Role(stack, "Reader", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))


def granted(stack: cdk.Stack) -> list[dict]:
    return one(stack, "AWS::IAM::Policy", "ReaderDefault")["PolicyDocument"]["Statement"]


# -- grants


def test_segments_of_this_job_may_be_read_and_nothing_else(stack: cdk.Stack, reader: iam.Role) -> None:
    made = job(stack)
    grant = made.grant_read_segments(reader)
    bucket = readable(stack.resolve(made.output_bucket.bucket_arn))
    assert grant.success
    assert granted(stack) == [
        {
            "Action": "s3:ListBucket",
            "Condition": {"StringLike": {"s3:prefix": [f"{FOLDERS}*"]}},
            "Effect": "Allow",
            "Resource": bucket,
        },
        {"Action": "s3:GetObject", "Effect": "Allow", "Resource": f"{bucket}/{FOLDERS}*"},
    ]


def test_with_a_key_segments_may_be_decrypted_too(stack: cdk.Stack, reader: iam.Role) -> None:
    key = kms.Key(stack, "Key")
    job(stack, storage=BatchSegmentStorage(stack, "Storage", encryption_key=key)).grant_read_segments(reader)
    assert granted(stack)[2] == {
        "Action": "kms:Decrypt",
        "Effect": "Allow",
        "Resource": readable(stack.resolve(key.key_arn)),
    }


@pytest.mark.parametrize(("location", "objects"), [("in/", "in/*"), ("in/today.jsonl", "in/today.jsonl")])
def test_queries_may_be_put_where_the_job_reads_them(
    stack: cdk.Stack, reader: iam.Role, location: str, objects: str
) -> None:
    bucket = s3.Bucket(stack, "Queries", encryption_key=kms.Key(stack, "Key"))
    made = job(stack, job_input=BatchSegmentInput.from_bucket(bucket, location))
    assert made.grant_put_queries(reader).success
    put, key = granted(stack)
    assert put["Action"] == "s3:PutObject"
    assert put["Resource"] == f"{readable(stack.resolve(bucket.bucket_arn))}/{objects}"
    assert key["Action"] == ["kms:GenerateDataKey", "kms:Decrypt"]


def test_queries_of_the_app_cannot_be_put(stack: cdk.Stack, reader: iam.Role) -> None:
    with pytest.raises(
        ValueError, match=r"^grant_put_queries: the queries are given in the app, expected an input made"
    ):
        job(stack).grant_put_queries(reader)


# -- events


def test_a_rule_follows_the_jobs_segments_without_a_function_of_cdks(stack: cdk.Stack) -> None:
    queue = sqs.Queue(stack, "Queue")
    made = job(stack)
    made.on_segments_written("Written", target=targets.SqsQueue(queue))
    rule = one(stack, "AWS::Events::Rule")
    assert rule["EventPattern"] == {
        "source": ["aws.s3"],
        "detail-type": ["Object Created"],
        "detail": {
            "bucket": {"name": [readable(stack.resolve(made.output_bucket.bucket_name))]},
            "object": {"key": [{"wildcard": f"{FOLDERS}*.out"}]},
        },
    }
    assert len(rule["Targets"]) == 1
    assert one(stack, "AWS::S3::Bucket", "OutputBucket")["NotificationConfiguration"] == {
        "EventBridgeConfiguration": {"EventBridgeEnabled": True}
    }
    assert len(resources(stack, "AWS::Lambda::Function")) == 2


def test_two_rules_on_one_storage_turn_events_on_once(stack: cdk.Stack) -> None:
    bucket = s3.Bucket(stack, "Mine")
    storage = BatchSegmentStorage(stack, "Storage", output_bucket=bucket)
    for id in ("A", "B"):
        job(stack, id, storage=storage).on_segments_written("Written")
    assert len(resources(stack, "AWS::Events::Rule")) == 2
    assert len(resources(stack, "Custom::S3BucketNotifications")) == 1


def test_other_notifications_of_the_bucket_leave_the_events_on(stack: cdk.Stack) -> None:
    made = job(stack)
    made.on_segments_written("Written")
    queue = sqs.Queue(stack, "Queue")
    made.output_bucket.add_event_notification(s3.EventType.OBJECT_CREATED, s3_notifications.SqsDestination(queue))
    assert one(stack, "Custom::S3BucketNotifications")["NotificationConfiguration"]["EventBridgeConfiguration"] == {}


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
def test_an_alarm_can_be_put_on_what_the_handler_decides(stack: cdk.Stack, method: str, name: str) -> None:
    made = job(stack)
    getattr(made, method)(period=cdk.Duration.minutes(1)).create_alarm(
        stack, "Alarm", threshold=1, evaluation_periods=1
    )
    alarm = one(stack, "AWS::CloudWatch::Alarm")
    (logical_id,) = resources(stack, JOB)
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
    first = job(stack, "First", job_input=BatchSegmentInput.from_bucket(bucket, "in/"))
    first.node.add_dependency(upload)
    job(stack, "Second", storage=first.storage).node.add_dependency(first)
    made = resources(stack, JOB)
    (first_id,) = [name for name in made if name.startswith("First")]
    (second_id,) = [name for name in made if name.startswith("Second")]
    assert any(name.startswith("UploadCustomResource") for name in made[first_id]["DependsOn"])
    assert first_id in made[second_id]["DependsOn"]


# -- aspects


def test_a_permissions_boundary_reaches_every_role(stack: cdk.Stack) -> None:
    job(stack, wait_for_completion=cdk.Duration.minutes(10))
    boundary = iam.ManagedPolicy.from_managed_policy_name(stack, "Boundary", "boundary")
    iam.PermissionsBoundary.of(stack).apply(boundary)
    roles = resources(stack, "AWS::IAM::Role")
    assert len(roles) > 4
    assert {role["Properties"]["PermissionsBoundary"] for role in roles.values()} == {
        f"arn:<AWS::Partition>:iam::{ACCOUNT}:policy/boundary"
    }


def test_a_removal_policy_reaches_everything(stack: cdk.Stack) -> None:
    job(stack)
    cdk.RemovalPolicies.of(stack).destroy()
    made = Template.from_stack(stack).to_json()["Resources"]
    assert len(made) == 14
    assert [name for name, resource in made.items() if resource.get("DeletionPolicy", "Delete") != "Delete"] == []


# -- places


def test_in_another_partition_every_arn_is_of_it() -> None:
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
    job(stack)
    job(nested)
    assert len(resources(stack, JOB)) == len(resources(nested, JOB)) == 1
    assert any("HandlerPolicy" in name for name in resources(nested, "AWS::IAM::Policy"))


def test_a_job_in_a_stage_has_a_name_of_its_own(app: cdk.App) -> None:
    stacks = []
    for name in ("Beta", "Prod"):
        stage = cdk.Stage(app, name, env=ENVIRONMENT)
        stacks.append(cdk.Stack(stage, "Demo"))
        job(stacks[-1])
    prefixes = {one(stack, JOB)["JobNamePrefix"] for stack in stacks}
    assert len(prefixes) == 2


def test_an_output_bucket_is_used_in_another_stack(app: cdk.App, stack: cdk.Stack) -> None:
    made = job(stack)
    other = cdk.Stack(app, "Other", env=ENVIRONMENT)
    reader = iam.Role(other, "Reader", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
    made.grant_read_segments(reader)
    cdk.CfnOutput(other, "Uri", value=made.output_uri)
    assert len(granted(other)) == 2
    assert "<import " in str(granted(other))
    assert "Fn::ImportValue" in Template.from_stack(other).to_json()["Outputs"]["Uri"]["Value"]


def test_a_storage_of_another_stack_is_shared(app: cdk.App, stack: cdk.Stack) -> None:
    storage = BatchSegmentStorage(stack, "Storage")
    other = cdk.Stack(app, "Other", env=ENVIRONMENT)
    job(other, storage=storage)
    assert len(resources(stack, JOB)) == 0
    assert "<import " in one(other, JOB)["RoleArn"]
    assert "<import " in job_properties(other)["OutputPath"]
    statements = one(stack, "AWS::IAM::Policy", "StorageRole")["PolicyDocument"]["Statement"]
    assert [statement["Action"] for statement in statements] == [
        "s3:ListBucket",
        "s3:GetObject",
        "s3:ListBucket",
        "s3:PutObject",
    ]


def test_a_bucket_of_another_environment_is_named_and_not_of_our_account(app: cdk.App, stack: cdk.Stack) -> None:
    theirs = cdk.Stack(app, "Theirs", env=cdk.Environment(account="210987654321", region=REGION))
    bucket = s3.Bucket(theirs, "Bucket", bucket_name="theirs")
    made = job(stack, storage=BatchSegmentStorage(stack, "Storage", output_bucket=bucket))
    statements = one(stack, "AWS::IAM::Policy", "StorageRole")["PolicyDocument"]["Statement"]
    reaching = [statement for statement in statements if "theirs" in str(statement)]
    assert [statement["Action"] for statement in reaching] == ["s3:ListBucket", "s3:PutObject"]
    assert all("Condition" not in statement for statement in reaching)
    assert job_properties(stack)["OutputPath"] == "s3://theirs/segments/"
    assert made.output_bucket is bucket


# -- the whole storage


def test_readers_of_a_storage_may_read_the_segments_of_jobs_that_come_later(stack: cdk.Stack, reader: iam.Role) -> None:
    storage = BatchSegmentStorage(stack, "Storage")
    job(stack, "First", storage=storage)
    assert storage.grant_read_segments(reader).success
    job(stack, "Second", storage=storage, output_prefix="other/")
    job(stack, "Third", storage=storage, job_name="spring-sale")
    bucket = readable(stack.resolve(storage.output_bucket.bucket_arn))
    folders = ["segments/Demo-f959b00b-*/", "other/Demo-f959b00b-*/", "segments/spring-sale/"]
    assert granted(stack) == [
        {
            "Action": "s3:ListBucket",
            "Condition": {"StringLike": {"s3:prefix": [f"{folder}*" for folder in folders]}},
            "Effect": "Allow",
            "Resource": bucket,
        },
        {"Action": "s3:GetObject", "Effect": "Allow", "Resource": [f"{bucket}/{folder}*" for folder in folders]},
    ]


def test_a_rule_of_a_storage_matches_the_segments_of_all_its_jobs(stack: cdk.Stack) -> None:
    storage = BatchSegmentStorage(stack, "Storage")
    storage.on_segments_written("Written", target=targets.SqsQueue(sqs.Queue(stack, "Queue")))
    job(stack, "First", storage=storage)
    job(stack, "Second", storage=storage, job_name="spring-sale")
    assert one(stack, "AWS::Events::Rule")["EventPattern"]["detail"]["object"]["key"] == [
        {"wildcard": "segments/Demo-f959b00b-*/*.out"},
        {"wildcard": "segments/spring-sale/*.out"},
    ]


# -- how many jobs run at once


def test_twelve_jobs_run_five_at_a_time(stack: cdk.Stack) -> None:
    storage = BatchSegmentStorage(stack, "Storage")
    wait = cdk.Duration.minutes(30)
    jobs = [job(stack, f"Job{number:02}", storage=storage, wait_for_completion=wait) for number in range(12)]
    BatchSegmentJob.limit_concurrency(jobs)
    made = resources(stack, JOB)
    before = {
        name[:5]: sorted(other[:5] for other in resource["DependsOn"] if other.startswith("Job"))
        for name, resource in made.items()
    }
    assert before == {f"Job{number:02}": [f"Job{number - 5:02}"] if number >= 5 else [] for number in range(12)}


def test_rejects_jobs_that_do_not_wait_and_a_limit_that_is_none(stack: cdk.Stack) -> None:
    jobs = [job(stack)]
    with pytest.raises(
        ValueError, match=r"^jobs\[0\]: got the job Demo/ComedyFans without wait_for_completion, expect"
    ):
        BatchSegmentJob.limit_concurrency(jobs)
    with pytest.raises(ValueError, match=r"^max_concurrency: got 0, expected a whole number from 1 to"):
        BatchSegmentJob.limit_concurrency([], 0)


# -- errors of queries


def test_the_number_of_query_errors_that_fail_a_deployment_reaches_the_handler(stack: cdk.Stack) -> None:
    job(stack, wait_for_completion=cdk.Duration.minutes(30), max_query_errors=0)
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
        job(stack, **props)
    assert str(failed.value).startswith(message)


# -- buckets of another account


def warnings_of(stack: cdk.Stack) -> list[str]:
    stack.node.root.synth()
    return [str(found.entry.data) for found in Annotations.from_stack(stack).find_warning("*", Match.any_value())]


def foreign_bucket(stack: cdk.Stack) -> s3.IBucket:
    key = kms.Key.from_key_arn(stack, "TheirKey", f"arn:aws:kms:{REGION}:210987654321:key/1a2b")
    return s3.Bucket.from_bucket_attributes(
        stack, "Theirs", bucket_arn="arn:aws:s3:::theirs", account="210987654321", region=REGION, encryption_key=key
    )


def test_a_warning_lists_what_the_handler_needs_to_check_input_of_another_account(stack: cdk.Stack) -> None:
    job(stack, job_input=BatchSegmentInput.from_bucket(foreign_bucket(stack), "in/"))
    of_key, of_bucket = sorted(text for text in warnings_of(stack) if "imported" in text)[::-1]
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


def test_a_warning_lists_what_the_handler_needs_to_write_input_to_another_account(stack: cdk.Stack) -> None:
    job(stack, storage=BatchSegmentStorage(stack, "Storage", input_bucket=foreign_bucket(stack)))
    (text,) = [one for one in warnings_of(stack) if "the bucket theirs" in one]
    assert '"Action": "s3:PutObject"' in text
    assert f'"Principal": {{"AWS": "arn:aws:iam::{ACCOUNT}:root"}}' in text


def test_input_of_another_account_that_is_not_checked_needs_nothing_for_the_handler(stack: cdk.Stack) -> None:
    job(stack, job_input=BatchSegmentInput.from_bucket(foreign_bucket(stack), "in/", validate_input=False))
    assert not [
        text
        for text in warnings_of(stack)
        if f'"AWS": "arn:aws:iam::{ACCOUNT}:root"' in text and "bucket theirs" in text
    ]
