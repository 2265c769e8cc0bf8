"""The statements of a stack's functions, and of what calls them at deploy time."""

from collections.abc import Sequence
from typing import Any

import aws_cdk.aws_iam as iam

from ..job_needs import DescribeNeeds, JobNeeds
from .of_personalize import SERVICE
from .statements import (
    KEY_ACTIONS_TO_READ,
    KEY_ACTIONS_TO_WRITE,
    TRACING_ACTIONS,
    Statements,
    allow,
    of_account,
    on_objects,
    read_objects,
    via_s3,
)

#: https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/encrypt-log-data-kms.html
_KEY_ACTIONS_OF_LOGS = ["kms:Encrypt*", "kms:Decrypt*", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:Describe*"]
# https://docs.aws.amazon.com/lambda/latest/dg/configuration-vpc.html#configuration-vpc-permissions: EC2 has no
# resource-level permissions for the Describe actions, and the network interfaces are not known before they exist.
_VPC_ACTIONS = [
    "ec2:AssignPrivateIpAddresses",
    "ec2:CreateNetworkInterface",
    "ec2:DeleteNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:UnassignPrivateIpAddresses",
]


def handler(needs: JobNeeds, tag_keys: list[Any]) -> Statements:
    """The handler's statements beside those of every function.

    https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonpersonalize.html names the resource of
    each action. It lists only the job for CreateBatchSegmentJob; AWS's own solution grants it on the solution too, so
    that either answer works.

    Args:
        needs: The needs of the stack's jobs.
        tag_keys: The keys of all tags of the jobs.
    """
    # An update must know whether it is a rollback.
    describe_stack = allow(["cloudformation:DescribeStacks"], [needs.stack_id])
    if not needs.jobs:
        # A provider that no job uses. A policy must have a statement.
        yield describe_stack
        return
    # UntagResource is always granted: removing a job's last tag from the template still needs it.
    yield allow(["personalize:DescribeBatchSegmentJob", "personalize:UntagResource"], list(needs.jobs))
    yield from _create(needs, tag_keys)
    yield describe_stack
    yield from _prepare_input(needs)
    if needs.watchers:
        yield from start_waiting(*needs.watchers)


def waiter(needs: JobNeeds) -> Statements:
    """The statements of the function that checks whether jobs are complete, beside those of every function."""
    # A wait that fails must know whether it is part of a rollback.
    yield allow(["cloudformation:DescribeStacks"], [needs.stack_id])
    yield allow(["personalize:DescribeBatchSegmentJob"], list(needs.jobs))
    yield from read_objects(needs.output, needs.region)


def start(needs: JobNeeds, tag_keys: list[Any]) -> Statements:
    """The statements of the function that starts the jobs of workflows, beside those of every function.

    No run is rolled back, and no tag is removed.

    Args:
        needs: The needs of the stack's workflows.
        tag_keys: The keys of all tags of the jobs.
    """
    yield allow(["personalize:DescribeBatchSegmentJob"], list(needs.jobs))
    yield from _create(needs, tag_keys)
    yield from _prepare_input(needs)


def describe(needs: DescribeNeeds) -> Statements:
    """The statements of the function that looks whether jobs are complete, beside those of every function."""
    yield allow(["personalize:DescribeBatchSegmentJob"], list(needs.jobs))
    yield from read_objects(needs.output, needs.region)
    if needs.tables:
        # https://docs.aws.amazon.com/glue/latest/dg/glue-specifying-resource-arns.html: an action on a table needs the
        # database and the catalog too.
        glue = f"arn:{needs.partition}:glue:{needs.region}:{needs.account}"
        databases = {f"{glue}:database/{database}": None for database, _ in needs.tables}
        tables = [f"{glue}:table/{database}/{table}" for database, table in needs.tables]
        # GetPartition: an older run that ends later does not replace the newest one.
        actions = ["glue:CreatePartition", "glue:GetPartition", "glue:UpdatePartition"]
        yield allow(actions, [f"{glue}:catalog", *databases, *tables])


def function(
    log_group_arn: str, invoked: Sequence[str] = (), *, in_vpc: bool = False, is_traced: bool = False
) -> Statements:
    """The statements of every function.

    Args:
        log_group_arn: The ARN of the function's log group.
        invoked: The ARNs of the functions that it invokes.
        in_vpc: Whether the function runs in a VPC.
        is_traced: Whether the library turned tracing on. CDK grants it for its own functions.
    """
    # https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-loggroups.html: the log group exists, so
    # the role need not create it.
    yield allow(["logs:CreateLogStream", "logs:PutLogEvents"], [log_group_arn])
    if invoked:
        # GetFunction: the framework waits for a function that Lambda has made inactive.
        yield allow(["lambda:InvokeFunction", "lambda:GetFunction"], list(invoked))
    if in_vpc:
        yield allow(_VPC_ACTIONS, ["*"])
    if is_traced:
        yield allow(TRACING_ACTIONS, ["*"])


def start_waiting(*state_machine_arns: str) -> Statements:
    """The statements of a function that starts to wait, beside those of every function."""
    yield allow(["states:StartExecution"], [*state_machine_arns])


def traced_state_machine() -> iam.PolicyStatement:
    """The statement of a traced state machine: https://docs.aws.amazon.com/step-functions/latest/dg/concepts-xray-tracing.html."""
    sampling = ["xray:GetSamplingRules", "xray:GetSamplingTargets"]
    return iam.PolicyStatement(actions=[*TRACING_ACTIONS, *sampling], resources=["*"])


def log_key(region: str) -> iam.PolicyStatement:
    """The statement in the policy of a key that CloudWatch Logs encrypts log groups with.

    Add `log_groups_condition` to it.

    Args:
        region: The region of the log groups.
    """
    return iam.PolicyStatement(
        principals=[iam.ServicePrincipal(f"logs.{region}.amazonaws.com")],
        actions=_KEY_ACTIONS_OF_LOGS,
        resources=["*"],
    )


def log_groups_condition(log_groups: list[str]) -> dict[str, list[str]]:
    """The condition that a key encrypts the log groups of these patterns of ARNs, for ``ArnLike``."""
    return {"kms:EncryptionContext:aws:logs:arn": log_groups}


def _create(needs: JobNeeds, tag_keys: list[Any]) -> Statements:
    jobs = list(needs.jobs)
    solutions = list(needs.solutions)
    conditions = {"ForAllValues:StringEquals": {"aws:TagKeys": tag_keys}} if tag_keys else {}
    yield allow(["personalize:CreateBatchSegmentJob"], [*jobs, *solutions], conditions)
    # Whether a create without tags is authorized for TagResource too is not documented: the service authorization
    # reference lists it as a dependent action. Either answer works. The condition on keys is met without any tag.
    untagged = {"Null": {"aws:TagKeys": "true"}}
    yield allow(["personalize:TagResource"], jobs, conditions if tag_keys else untagged)
    yield allow(["personalize:DescribeSolutionVersion"], solutions)
    # Called for a recipe that the handler does not know. Recipes belong to the service and to no account.
    yield allow(["personalize:DescribeRecipe"], [f"arn:{needs.partition}:personalize:::recipe/*"])
    if needs.lists_solution_versions:
        # The service authorization reference lists no resource for it, so it is granted on all or on none.
        yield allow(["personalize:ListSolutionVersions"], ["*"])
    if needs.filters:
        yield allow(["personalize:DescribeFilter"], list(needs.filters))


def _prepare_input(needs: JobNeeds) -> Statements:
    yield allow(["iam:PassRole"], list(needs.roles), {"StringEquals": {"iam:PassedToService": SERVICE}})
    if needs.asset_buckets:
        # The bucket is the account's own: CDK's role for publishing assets requires that too.
        objects = [f"arn:{needs.partition}:s3:::{bucket}/*{needs.extension}" for bucket in needs.asset_buckets]
        yield allow(["s3:GetObject"], objects, of_account(needs.account))
    if needs.asset_keys:
        yield allow(KEY_ACTIONS_TO_READ, list(needs.asset_keys), via_s3(needs.region))
    yield from on_objects("s3:PutObject", needs.staging)
    if needs.staging_keys:
        yield allow(KEY_ACTIONS_TO_WRITE, list(needs.staging_keys), via_s3(needs.region))
    yield from read_objects(needs.input, needs.region)
