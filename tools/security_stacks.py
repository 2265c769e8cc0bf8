"""The stacks that `tools/check_security.py` checks and docs/permissions.md describes."""

import aws_cdk as cdk
import aws_cdk.aws_ec2 as ec2
import aws_cdk.aws_kms as kms
import aws_cdk.aws_logs as logs
import aws_cdk.aws_s3 as s3
import aws_cdk.aws_scheduler as scheduler
import aws_cdk.aws_stepfunctions as sfn
import aws_cdk.custom_resources as cr
from cdk_personalize_segments import (
    Audience,
    BatchSegmentInput,
    BatchSegmentJob,
    BatchSegmentProvider,
    BatchSegmentStorage,
    BatchSegmentWorkflow,
    SegmentQuery,
    SegmentsTable,
)

ENVIRONMENT = cdk.Environment(account="123456789012", region="eu-west-1")
PERSONALIZE = "arn:aws:personalize:eu-west-1:123456789012"
PROVIDER = "PersonalizeBatchSegmentProvider"
NAMES = ("Plain", "Full", "Organization", "Workflow", "WatchedJob")


def plain(scope: cdk.App) -> cdk.Stack:
    """The defaults."""
    stack = cdk.Stack(scope, "Plain", env=ENVIRONMENT)
    queries = BatchSegmentInput.from_queries([SegmentQuery.items_like("105")])
    BatchSegmentJob(stack, "Job", solution_version_arn=f"{PERSONALIZE}:solution/films/0123abcd", job_input=queries)
    return stack


def full(scope: cdk.App) -> cdk.Stack:
    """Every option of jobs and storage."""
    stack = cdk.Stack(scope, "Full", env=ENVIRONMENT)
    storage = BatchSegmentStorage(
        stack,
        "Storage",
        encryption_key=kms.Key(stack, "Key", enable_key_rotation=True),
        versioned=True,
        server_access_logs_bucket=s3.Bucket.from_bucket_name(stack, "AccessLogs", "access-logs"),
    )
    inline = BatchSegmentInput.from_queries([SegmentQuery.items_like("105")])
    in_s3 = BatchSegmentInput.from_bucket(storage.input_bucket, "today/")
    for id, job_input in (("Inline", inline), ("InS3", in_s3)):
        BatchSegmentJob(
            stack,
            id,
            storage=storage,
            solution_arn=f"{PERSONALIZE}:solution/films",
            filter_arn=f"{PERSONALIZE}:filter/adults",
            job_input=job_input,
            tags={"team": "growth"},
            wait_for_completion=cdk.Duration.minutes(30),
        )
    return stack


def organization(scope: cdk.App) -> cdk.Stack:
    """Every option of the provider."""
    stack = cdk.Stack(scope, "Organization", env=ENVIRONMENT)
    key = kms.Key(stack, "Key", enable_key_rotation=True)
    vpc = ec2.Vpc.from_vpc_attributes(
        stack,
        "Vpc",
        vpc_id="vpc-0a1b2c3d",
        availability_zones=["eu-west-1a"],
        private_subnet_ids=["subnet-0a1b2c3d"],
        private_subnet_route_table_ids=["rtb-0a1b2c3d"],
    )
    waiter_logs = logs.LogGroup(stack, "WaiterLogs", encryption_key=key)
    BatchSegmentProvider(
        stack,
        PROVIDER,
        asset_encryption_key=key,
        log_encryption_key=key,
        vpc=vpc,
        tracing=True,
        waiter_log_options=cr.LogOptions(destination=waiter_logs, level=sfn.LogLevel.ALL),
    )
    BatchSegmentJob(
        stack,
        "Job",
        solution_version_arn=f"{PERSONALIZE}:solution/films/0123abcd",
        job_input=BatchSegmentInput.from_queries([SegmentQuery.items_like("105")]),
        wait_for_completion=cdk.Duration.minutes(30),
    ).on_failed("Failed")
    BatchSegmentWorkflow(
        stack,
        "Weekly",
        solution_version_arn=f"{PERSONALIZE}:solution/films/0123abcd",
        audiences=[Audience("fans", BatchSegmentInput.from_queries([SegmentQuery.items_like("105")]))],
    )
    return stack


def workflow(scope: cdk.App) -> cdk.Stack:
    """A workflow with a schedule, a table, audiences of both kinds of input, a key and tags."""
    stack = cdk.Stack(scope, "Workflow", env=ENVIRONMENT)
    storage = BatchSegmentStorage(stack, "Storage", encryption_key=kms.Key(stack, "Key", enable_key_rotation=True))
    inline = BatchSegmentInput.from_queries([SegmentQuery.items_like("105")])
    in_s3 = BatchSegmentInput.from_bucket(storage.input_bucket, "today/")
    made = BatchSegmentWorkflow(
        stack,
        "Weekly",
        storage=storage,
        solution_arn=f"{PERSONALIZE}:solution/films",
        audiences=[
            Audience("inline", inline, filter_arn=f"{PERSONALIZE}:filter/adults"),
            Audience("in-s3", in_s3, tags={"team": "growth"}),
        ],
        schedule=scheduler.ScheduleExpression.rate(cdk.Duration.days(7)),
    )
    made.on_failed("Failed")
    SegmentsTable(stack, "Table", workflow=made)
    return stack


def watched_job(scope: cdk.App) -> cdk.Stack:
    """A job with events."""
    stack = cdk.Stack(scope, "WatchedJob", env=ENVIRONMENT)
    queries = BatchSegmentInput.from_queries([SegmentQuery.items_like("105")])
    job = BatchSegmentJob(
        stack, "Job", solution_version_arn=f"{PERSONALIZE}:solution/films/0123abcd", job_input=queries
    )
    job.on_failed("Failed")
    return stack


ALL = (plain, full, organization, workflow, watched_job)
