"""What a job gives to the rest of a stack: grants, events, metrics; and where it can be."""

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
from cdk_personalize_segments import BatchSegmentInput, BatchSegmentJob, BatchSegmentStorage, SegmentQuery
from support import ACCOUNT, ENVIRONMENT, REGION, VERSION, one, readable, resources

JOB = "Custom::PersonalizeBatchSegmentJob"
FOLDERS = "segments/Demo-8a2cc0-ComedyFans-ca3ea23b-*/"


def job(scope, id: str = "ComedyFans", **props) -> BatchSegmentJob:
    queries = BatchSegmentInput.from_queries([SegmentQuery.items_like("105")])
    return BatchSegmentJob(scope, id, solution_version_arn=VERSION, **{"job_input": queries, **props})


@pytest.fixture
def reader(stack) -> iam.Role:
    return iam.Role(stack, "Reader", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))


def granted(stack) -> list[dict]:
    return one(stack, "AWS::IAM::Policy", "ReaderDefault")["PolicyDocument"]["Statement"]


# -- grants


def test_segments_of_this_job_may_be_read_and_nothing_else(stack, reader):
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


def test_with_a_key_segments_may_be_decrypted_too(stack, reader):
    key = kms.Key(stack, "Key")
    job(stack, storage=BatchSegmentStorage(stack, "Storage", encryption_key=key)).grant_read_segments(reader)
    assert granted(stack)[2] == {
        "Action": "kms:Decrypt",
        "Effect": "Allow",
        "Resource": readable(stack.resolve(key.key_arn)),
    }


@pytest.mark.parametrize(("location", "objects"), [("in/", "in/*"), ("in/today.jsonl", "in/today.jsonl")])
def test_queries_may_be_put_where_the_job_reads_them(stack, reader, location, objects):
    bucket = s3.Bucket(stack, "Queries", encryption_key=kms.Key(stack, "Key"))
    made = job(stack, job_input=BatchSegmentInput.from_bucket(bucket, location))
    assert made.grant_put_queries(reader).success
    put, key = granted(stack)
    assert put["Action"] == "s3:PutObject"
    assert put["Resource"] == f"{readable(stack.resolve(bucket.bucket_arn))}/{objects}"
    assert key["Action"] == ["kms:GenerateDataKey", "kms:Decrypt"]


def test_queries_of_the_app_cannot_be_put(stack, reader):
    with pytest.raises(
        ValueError, match=r"^grant_put_queries: the queries are given in the app, expected an input made"
    ):
        job(stack).grant_put_queries(reader)


# -- events


def test_a_rule_follows_the_jobs_segments_without_a_function_of_cdks(stack):
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


def test_two_rules_on_one_storage_turn_events_on_once(stack):
    bucket = s3.Bucket(stack, "Mine")
    storage = BatchSegmentStorage(stack, "Storage", output_bucket=bucket)
    for id in ("A", "B"):
        job(stack, id, storage=storage).on_segments_written("Written")
    assert len(resources(stack, "AWS::Events::Rule")) == 2
    assert len(resources(stack, "Custom::S3BucketNotifications")) == 1


def test_other_notifications_of_the_bucket_leave_the_events_on(stack):
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
def test_an_alarm_can_be_put_on_what_the_handler_decides(stack, method, name):
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


def test_a_job_waits_for_what_it_depends_on(stack):
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


def test_a_permissions_boundary_reaches_every_role(stack):
    job(stack, wait_for_completion=cdk.Duration.minutes(10))
    boundary = iam.ManagedPolicy.from_managed_policy_name(stack, "Boundary", "boundary")
    iam.PermissionsBoundary.of(stack).apply(boundary)
    roles = resources(stack, "AWS::IAM::Role")
    assert len(roles) > 4
    assert {role["Properties"]["PermissionsBoundary"] for role in roles.values()} == {
        f"arn:<AWS::Partition>:iam::{ACCOUNT}:policy/boundary"
    }


def test_a_removal_policy_reaches_everything(stack):
    job(stack)
    cdk.RemovalPolicies.of(stack).destroy()
    made = Template.from_stack(stack).to_json()["Resources"]
    assert len(made) == 14
    assert [name for name, resource in made.items() if resource.get("DeletionPolicy", "Delete") != "Delete"] == []


# -- places


def test_in_another_partition_every_arn_is_of_it():
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


def test_jobs_in_nested_stacks_have_a_provider_of_their_own(stack):
    nested = cdk.NestedStack(stack, "Nested")
    job(stack)
    job(nested)
    assert len(resources(stack, JOB)) == len(resources(nested, JOB)) == 1
    assert any("HandlerPolicy" in name for name in resources(nested, "AWS::IAM::Policy"))


def test_a_job_in_a_stage_has_a_name_of_its_own(app):
    stacks = []
    for name in ("Beta", "Prod"):
        stage = cdk.Stage(app, name, env=ENVIRONMENT)
        stacks.append(cdk.Stack(stage, "Demo"))
        job(stacks[-1])
    prefixes = {one(stack, JOB)["JobNamePrefix"] for stack in stacks}
    assert len(prefixes) == 2


def test_an_output_bucket_is_used_in_another_stack(app, stack):
    made = job(stack)
    other = cdk.Stack(app, "Other", env=ENVIRONMENT)
    reader = iam.Role(other, "Reader", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
    made.grant_read_segments(reader)
    cdk.CfnOutput(other, "Uri", value=made.output_uri)
    assert len(granted(other)) == 2
    assert "<import " in str(granted(other))
    assert "Fn::ImportValue" in Template.from_stack(other).to_json()["Outputs"]["Uri"]["Value"]


def test_a_storage_of_another_stack_is_shared(app, stack):
    storage = BatchSegmentStorage(stack, "Storage")
    other = cdk.Stack(app, "Other", env=ENVIRONMENT)
    job(other, storage=storage)
    assert len(resources(stack, JOB)) == 0
    assert "<import " in one(other, JOB)["RoleArn"]
    assert "<import " in one(other, JOB)["OutputPath"]
    statements = one(stack, "AWS::IAM::Policy", "StorageRole")["PolicyDocument"]["Statement"]
    assert [statement["Action"] for statement in statements] == [
        "s3:ListBucket",
        "s3:GetObject",
        "s3:ListBucket",
        "s3:PutObject",
    ]


def test_a_bucket_of_another_environment_is_named_and_not_of_our_account(app, stack):
    theirs = cdk.Stack(app, "Theirs", env=cdk.Environment(account="210987654321", region=REGION))
    bucket = s3.Bucket(theirs, "Bucket", bucket_name="theirs")
    made = job(stack, storage=BatchSegmentStorage(stack, "Storage", output_bucket=bucket))
    statements = one(stack, "AWS::IAM::Policy", "StorageRole")["PolicyDocument"]["Statement"]
    reaching = [statement for statement in statements if "theirs" in str(statement)]
    assert [statement["Action"] for statement in reaching] == ["s3:ListBucket", "s3:PutObject"]
    assert all("Condition" not in statement for statement in reaching)
    assert one(stack, JOB)["OutputPath"] == "s3://theirs/segments/"
    assert made.output_bucket is bucket
