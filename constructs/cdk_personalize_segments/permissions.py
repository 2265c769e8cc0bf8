"""Every statement that the library writes into a policy, one function for each principal.

The functions only write statements. `functions`, `service_access`, `segment_access` and `batch_segment_storage` attach
them. `docs/permissions.md` lists the result, and `tests/policy` proves that each statement is needed and sufficient.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypedDict

import aws_cdk.aws_iam as iam

from .buckets import BucketInfo, object_pattern
from .job_needs import JobNeeds, ReadAccess

#: A statement as JSON, with tokens.
Statement = dict[str, Any]
Statements = Iterator[Statement]

SERVICE = "personalize.amazonaws.com"
#: https://docs.aws.amazon.com/personalize/latest/dg/granting-personalize-key-needs.html
_KEY_ACTIONS_OF_ROLE = ["kms:Decrypt", "kms:GenerateDataKey", "kms:DescribeKey", "kms:ListGrants"]
_KEY_ACTIONS_OF_SERVICE = [*_KEY_ACTIONS_OF_ROLE, "kms:CreateGrant"]
_KEY_ACTIONS_TO_READ = ["kms:Decrypt"]
#: https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingKMSEncryption.html: a multipart upload decrypts its parts.
_KEY_ACTIONS_TO_WRITE = ["kms:GenerateDataKey", "kms:Decrypt"]
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
# https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsx-ray.html: the actions have no resource.
_TRACING_ACTIONS = ["xray:PutTelemetryRecords", "xray:PutTraceSegments"]


class GrantOptions(TypedDict, total=False):
    """What `iam.Grant.add_to_principal_or_resource` needs beside grantee and resource."""

    actions: list[str]
    resource_arns: list[str]
    conditions: Mapping[str, Mapping[str, Any]]


# -- the functions of the stack


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
    describe_stack = _allow(["cloudformation:DescribeStacks"], [needs.stack_id])
    if not needs.jobs:
        # A provider that no job uses. A policy must have a statement.
        yield describe_stack
        return
    jobs = list(needs.jobs)
    solutions = list(needs.solutions)
    # UntagResource is always granted: removing a job's last tag from the template still needs it.
    yield _allow(["personalize:DescribeBatchSegmentJob", "personalize:UntagResource"], jobs)
    conditions = {"ForAllValues:StringEquals": {"aws:TagKeys": tag_keys}} if tag_keys else {}
    yield _allow(["personalize:CreateBatchSegmentJob"], [*jobs, *solutions], conditions)
    # Whether a create without tags is authorized for TagResource too is not documented: the service authorization
    # reference lists it as a dependent action. Either answer works. The condition on keys is met without any tag.
    untagged = {"Null": {"aws:TagKeys": "true"}}
    yield _allow(["personalize:TagResource"], jobs, conditions if tag_keys else untagged)
    yield _allow(["personalize:DescribeSolutionVersion"], solutions)
    # Called for a recipe that the handler does not know. Recipes belong to the service and to no account.
    yield _allow(["personalize:DescribeRecipe"], [f"arn:{needs.partition}:personalize:::recipe/*"])
    if needs.lists_solution_versions:
        # The service authorization reference lists no resource for it, so it is granted on all or on none.
        yield _allow(["personalize:ListSolutionVersions"], ["*"])
    if needs.filters:
        yield _allow(["personalize:DescribeFilter"], list(needs.filters))
    yield describe_stack
    yield _allow(["iam:PassRole"], list(needs.roles), {"StringEquals": {"iam:PassedToService": SERVICE}})
    if needs.asset_buckets:
        # The bucket is the account's own: CDK's role for publishing assets requires that too.
        objects = [f"arn:{needs.partition}:s3:::{bucket}/*{needs.extension}" for bucket in needs.asset_buckets]
        yield _allow(["s3:GetObject"], objects, of_account(needs.account))
    if needs.asset_keys:
        yield _allow(_KEY_ACTIONS_TO_READ, list(needs.asset_keys), _via_s3(needs.region))
    yield from _on_objects("s3:PutObject", needs.staging)
    if needs.staging_keys:
        yield _allow(_KEY_ACTIONS_TO_WRITE, list(needs.staging_keys), _via_s3(needs.region))
    yield from _read(needs.input, needs.region)


def waiter(needs: JobNeeds) -> Statements:
    """The statements of the function that checks whether jobs are complete, beside those of every function."""
    # A wait that fails must know whether it is part of a rollback.
    yield _allow(["cloudformation:DescribeStacks"], [needs.stack_id])
    yield _allow(["personalize:DescribeBatchSegmentJob"], list(needs.jobs))
    yield from _read(needs.output, needs.region)


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
    yield _allow(["logs:CreateLogStream", "logs:PutLogEvents"], [log_group_arn])
    if invoked:
        # GetFunction: the framework waits for a function that Lambda has made inactive.
        yield _allow(["lambda:InvokeFunction", "lambda:GetFunction"], list(invoked))
    if in_vpc:
        yield _allow(_VPC_ACTIONS, ["*"])
    if is_traced:
        yield _allow(_TRACING_ACTIONS, ["*"])


def start_waiting(state_machine_arn: str) -> Statements:
    """The statements of the framework's function that starts to wait, beside those of every function."""
    yield _allow(["states:StartExecution"], [state_machine_arn])


def traced_state_machine() -> iam.PolicyStatement:
    """The statement of a traced state machine: https://docs.aws.amazon.com/step-functions/latest/dg/concepts-xray-tracing.html."""
    sampling = ["xray:GetSamplingRules", "xray:GetSamplingTargets"]
    return iam.PolicyStatement(actions=[*_TRACING_ACTIONS, *sampling], resources=["*"])


def log_key(region: str, log_groups: list[str]) -> iam.PolicyStatement:
    """The statement in the policy of a key that CloudWatch Logs encrypts log groups with.

    Args:
        region: The region of the log groups.
        log_groups: Patterns of their ARNs.
    """
    return iam.PolicyStatement(
        principals=[iam.ServicePrincipal(f"logs.{region}.amazonaws.com")],
        actions=_KEY_ACTIONS_OF_LOGS,
        resources=["*"],
        conditions={"ArnLike": {"kms:EncryptionContext:aws:logs:arn": log_groups}},
    )


# -- Personalize


def service_source(partition: str, region: str, account: str) -> dict[str, dict[str, str]]:
    """The conditions under which Personalize calls for this account and region only.

    https://docs.aws.amazon.com/personalize/latest/dg/cross-service-confused-deputy-prevention.html
    """
    return {
        "StringEquals": {"aws:SourceAccount": account},
        "ArnLike": {"aws:SourceArn": f"arn:{partition}:personalize:{region}:{account}:*"},
    }


def service_source_if_sent(account: str) -> dict[str, dict[str, str]]:
    """The same as far as a call carries the key: whether Personalize sends it to S3 and KMS is not documented."""
    return {"StringEqualsIfExists": {"aws:SourceAccount": account}}


def service_role_on_bucket(action: str, resource: str, account: str | None) -> iam.PolicyStatement:
    """A statement of the role that Personalize assumes."""
    return iam.PolicyStatement(actions=[action], resources=[resource], conditions=of_account(account))


def service_on_bucket(
    service: iam.ServicePrincipal, action: str, resource: str, conditions: Mapping[str, Any]
) -> iam.PolicyStatement:
    """A statement of a bucket's policy, for Personalize."""
    return iam.PolicyStatement(principals=[service], actions=[action], resources=[resource], conditions=conditions)


def service_role_on_key(key_arn: str) -> iam.PolicyStatement:
    """The statement of the role that Personalize assumes, for a key."""
    return iam.PolicyStatement(actions=_KEY_ACTIONS_OF_ROLE, resources=[key_arn])


def service_on_key(principal: iam.IPrincipal, conditions: Mapping[str, Any]) -> iam.PolicyStatement:
    """A statement of a key's policy, for Personalize or for the role that it assumes."""
    return iam.PolicyStatement(
        principals=[principal], actions=_KEY_ACTIONS_OF_SERVICE, resources=["*"], conditions=conditions
    )


def list_condition(prefixes: Iterable[str]) -> dict[str, list[str]]:
    """The condition that limits ListBucket to prefixes, for ``StringLike``."""
    return {"s3:prefix": [f"{prefix}*" for prefix in prefixes]}


# -- the handler in another account's bucket


def handler_on_foreign_bucket(
    account: iam.IPrincipal, info: BucketInfo, *, reads: str | None, writes: str | None
) -> Iterator[iam.PolicyStatement]:
    """The statements of the policy of another account's bucket, for the handler.

    Args:
        account: The handler's account.
        info: The bucket.
        reads: The key or prefix that the handler lists and reads.
        writes: The prefix that the handler writes to.
    """

    def allow(action: str, resource: str, **conditions: Any) -> iam.PolicyStatement:
        return iam.PolicyStatement(principals=[account], actions=[action], resources=[resource], conditions=conditions)

    if reads is not None:
        yield allow("s3:ListBucket", info.arn, StringLike={"s3:prefix": reads})
        yield allow("s3:GetObject", f"{info.arn}/{object_pattern(reads)}")
    if writes is not None:
        yield allow("s3:PutObject", f"{info.arn}/{writes}*")


def handler_on_foreign_key(account: iam.IPrincipal, *, writes: bool) -> iam.PolicyStatement:
    """The statement of the policy of another account's key, for the handler."""
    actions = _KEY_ACTIONS_TO_WRITE if writes else _KEY_ACTIONS_TO_READ
    return iam.PolicyStatement(principals=[account], actions=actions, resources=["*"])


# -- the app's own readers and writers


def list_segments(info: BucketInfo, folders: Iterable[str]) -> GrantOptions:
    """The grant to list segments in folders of the output bucket."""
    return {
        "actions": ["s3:ListBucket"],
        "resource_arns": [info.arn],
        "conditions": {"StringLike": list_condition(folders)},
    }


def read_segments(info: BucketInfo, folders: Iterable[str]) -> GrantOptions:
    """The grant to read segments in folders of the output bucket."""
    return {"actions": ["s3:GetObject"], "resource_arns": [f"{info.arn}/{folder}*" for folder in folders]}


def put_queries(info: BucketInfo, key_or_prefix: str) -> GrantOptions:
    """The grant to upload queries."""
    return {"actions": ["s3:PutObject"], "resource_arns": [f"{info.arn}/{object_pattern(key_or_prefix)}"]}


def grant_key(info: BucketInfo, granted: iam.Grant, grantee: iam.IGrantable, *, writes: bool = False) -> iam.Grant:
    """Adds the grant to use a bucket's key, if the bucket has one."""
    if info.key is None:
        return granted
    return granted.combine(info.key.grant(grantee, *(_KEY_ACTIONS_TO_WRITE if writes else _KEY_ACTIONS_TO_READ)))


# -- parts


def of_account(account: str | None) -> dict[str, Any]:
    """The condition that a resource is of an account: nothing about how the caller calls matters."""
    return {} if account is None else {"StringEquals": {"aws:ResourceAccount": account}}


def _via_s3(region: str) -> dict[str, Any]:
    # https://docs.aws.amazon.com/kms/latest/developerguide/conditions-kms.html#conditions-kms-via-service. The wildcard
    # stands for the suffix of China regions.
    return {"StringLike": {"kms:ViaService": f"s3.{region}.amazonaws.com*"}}


def _on_objects(action: str, arns_by_account: Mapping[str | None, Iterable[str]]) -> Statements:
    for account, arns in arns_by_account.items():
        yield _allow([action], list(arns), of_account(account))


def _read(needs: ReadAccess, region: str) -> Statements:
    for bucket, prefixes in needs.prefixes.items():
        conditions = {"StringLike": {"s3:prefix": list(prefixes)}, **of_account(bucket.account)}
        yield _allow(["s3:ListBucket"], [bucket.arn], conditions)
    yield from _on_objects("s3:GetObject", needs.objects)
    if needs.keys:
        yield _allow(_KEY_ACTIONS_TO_READ, list(needs.keys), _via_s3(region))


def _allow(actions: list[str], resources: list[str], conditions: Mapping[str, Any] | None = None) -> Statement:
    statement = {"Effect": "Allow", "Action": actions, "Resource": resources}
    return {**statement, "Condition": conditions} if conditions else statement
