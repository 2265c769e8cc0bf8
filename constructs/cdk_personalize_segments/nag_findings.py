"""The findings of cdk-nag 3 in the library's own resources, each with the reason for it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import aws_cdk as cdk
import aws_cdk.aws_iam as iam

_WILDCARDS = "AwsSolutions-IAM5"

_OF_DEPLOYMENT = "Handler|IsComplete|(Waiting)?Framework/framework-[a-zA-Z]+"
_OF_WORKFLOWS = "Start|Describe"
_WAITER = "WaitingFramework/waiter-state-machine"
_WAITER_POLICY = f"{_WAITER}/Role/DefaultPolicy/Resource"
_CREATING = "(Handler|Start)Policy"
_POLICIES = "(Handler|IsComplete|Start|Describe)Policy"
_ROLES = "(Handler|IsComplete|Start|Describe|Framework|WaitingFramework|Waiter)Role/Resource"
_BUCKETS = "(Input|Output)Bucket/Resource"
_LOGS = "(Framework)?Logs/Resource"
_OBJECTS = "Objects are created at deploy time under this prefix, so their keys are not known at synth time."


def _is_always_found(_resource: Any) -> bool:
    return True


@dataclass(frozen=True)
class Acknowledgement:
    """What a rule pack finds in a resource of the library, and the reason for it.

    Attributes:
        rule: The rule's id, without the part in brackets.
        places: The resources, as a regular expression of the path below the provider or the storage.
        reason: Why the resource is as it is.
        is_found: Whether the rule finds the resource as it is configured. Default: always.
        actions: For a wildcard: the actions of its statement, as a regular expression.
        resources: For a wildcard: the resources, as a regular expression.
    """

    rule: str
    places: str
    reason: str
    is_found: Callable[[Any], bool] = _is_always_found
    actions: str = ""
    resources: str = ".*"


def _wildcard(actions: str, places: str, reason: str, resources: str = ".*") -> Acknowledgement:
    return Acknowledgement(_WILDCARDS, places, reason, actions=actions, resources=resources)


def _resolved(resource: cdk.CfnResource, prop: str) -> dict[str, Any]:
    value = cdk.Stack.of(resource).resolve(getattr(resource, prop))
    return value if isinstance(value, dict) else {}


def _of_machine(places: str) -> list[Acknowledgement]:
    """The findings in a state machine of the library."""
    return [
        Acknowledgement(
            "AwsSolutions-SF1",
            places,
            "Step Functions keeps the history of each execution for 90 days, and the functions log what they decide.",
            lambda machine: _resolved(machine, "logging_configuration").get("level") != "ALL",
        ),
        Acknowledgement(
            "AwsSolutions-SF2",
            places,
            "Calls two functions of this stack and EventBridge; tracing of BatchSegmentProvider turns X-Ray on.",
            lambda machine: not _resolved(machine, "tracing_configuration").get("enabled"),
        ),
    ]


#: The findings in the resources of a `BatchSegmentProvider`. The first that fits a wildcard gives the reason.
OF_PROVIDER = [
    _wildcard(
        "personalize:ListSolutionVersions",
        _CREATING,
        "ListSolutionVersions, for solution_arn: the action does not support resource-level permissions.",
    ),
    _wildcard(
        "personalize:DescribeBatchSegmentJob",
        _POLICIES,
        "Jobs of this stack only: a job's name ends in a hash of its definition, which is known at deploy time.",
    ),
    _wildcard(
        "personalize:DescribeSolutionVersion",
        _CREATING,
        "The versions of one solution, for solution_arn: the latest one is known at deploy time.",
    ),
    _wildcard(
        "personalize:DescribeRecipe",
        _CREATING,
        "Recipes belong to the service and have no data of the account; a version's recipe is known at deploy time.",
    ),
    _wildcard(
        "s3:GetObject",
        _CREATING,
        "Query files of this stack only: the pattern has a hash of the stack, so that a change of queries does not "
        "change the policy.",
        resources=r".*/\*\.queries-[0-9a-f]+",
    ),
    _wildcard(
        "s3:(Get|Put)Object",
        _POLICIES,
        _OBJECTS,
    ),
    _wildcard(
        "xray:.*",
        f"{_POLICIES}|{_ROLES}|WatcherPolicy",
        "X-Ray: these actions do not support resource-level permissions.",
    ),
    _wildcard(
        "ec2:.*",
        f"{_POLICIES}|{_ROLES}",
        "Functions in a VPC: Lambda creates the network interfaces, which are not known before they exist.",
    ),
    _wildcard(
        "lambda:InvokeFunction",
        _WAITER_POLICY,
        "CDK's provider framework lets its state machine call its own two functions in every version.",
    ),
    _wildcard(
        "(logs|xray):.*",
        _WAITER_POLICY,
        "CDK's state machine with logging or tracing: the actions of log delivery and X-Ray do not support "
        "resource-level permissions.",
    ),
    Acknowledgement(
        "AwsSolutions-SF1",
        f"{_WAITER}/Resource",
        "The input of CDK's waiter is CloudFormation's event, whose presigned URL should not be in a log; "
        "waiter_log_options of BatchSegmentProvider turns logging on.",
        lambda machine: _resolved(machine, "logging_configuration").get("level") != "ALL",
    ),
    Acknowledgement(
        "AwsSolutions-SF2",
        f"{_WAITER}/Resource",
        "CDK's waiter calls two functions of this stack and nothing else; tracing of BatchSegmentProvider turns X-Ray "
        "on.",
        lambda machine: not _resolved(machine, "tracing_configuration").get("enabled"),
    ),
    *_of_machine("Watcher/Resource"),
    Acknowledgement(
        "NIST.800.53.R5-IAMNoInlinePolicy",
        f"{_POLICIES}|WatcherPolicy|WaitingFrameworkPolicy|{_WAITER_POLICY}|{_ROLES}",
        "Each policy is for one role of this stack, is of no use to another role, and is deleted with it.",
        lambda policy: not isinstance(policy, iam.CfnRole) or policy.policies is not None,
    ),
    Acknowledgement(
        "NIST.800.53.R5-CloudWatchLogGroupEncrypted",
        _LOGS,
        "The logs contain names, ARNs and decisions, but no queries or users. CloudWatch encrypts them with its own "
        "key, or with log_encryption_key of BatchSegmentProvider.",
        lambda log_group: log_group.kms_key_id is None,
    ),
    Acknowledgement(
        "NIST.800.53.R5-LambdaConcurrency",
        f"({_OF_DEPLOYMENT})/Resource",
        "Runs only while a stack is deployed; reserved concurrency would be taken from the account's other functions.",
        lambda function: not function.reserved_concurrent_executions,
    ),
    Acknowledgement(
        "NIST.800.53.R5-LambdaConcurrency",
        f"({_OF_WORKFLOWS})/Resource",
        "max_concurrency of a workflow limits the calls; reserved concurrency would be taken from the account's other "
        "functions.",
        lambda function: not function.reserved_concurrent_executions,
    ),
    Acknowledgement(
        "NIST.800.53.R5-LambdaDLQ",
        # https://docs.aws.amazon.com/lambda/latest/dg/services-cloudformation.html
        "(Waiting)?Framework/framework-onEvent/Resource",
        "CloudFormation calls the function asynchronously. The function reports a failure to CloudFormation, which "
        "otherwise times out and rolls back, so nothing is lost; a queue would keep the event with its presigned "
        "response URL.",
        lambda function: function.dead_letter_config is None,
    ),
    Acknowledgement(
        "NIST.800.53.R5-LambdaDLQ",
        f"({_OF_WORKFLOWS}|Handler|IsComplete|WaitingFramework/framework-(isComplete|onTimeout))/Resource",
        "CDK's provider framework and the state machines call the function synchronously, and Lambda sends only failed "
        "asynchronous calls to a dead-letter queue.",
        lambda function: function.dead_letter_config is None,
    ),
    Acknowledgement(
        "NIST.800.53.R5-LambdaInsideVPC",
        f"({_OF_DEPLOYMENT}|{_OF_WORKFLOWS})/Resource",
        "Calls AWS APIs only; vpc of BatchSegmentProvider moves the functions into a VPC that has the endpoints.",
        lambda function: function.vpc_config is None,
    ),
]

#: The findings in the resources of a `BatchSegmentStorage`.
OF_STORAGE = [
    *(
        Acknowledgement(
            rule,
            _BUCKETS,
            "Requests are logged with server_access_logs_bucket of BatchSegmentStorage.",
            lambda bucket: bucket.logging_configuration is None,
        )
        for rule in ("AwsSolutions-S1", "NIST.800.53.R5-S3BucketLoggingEnabled")
    ),
    Acknowledgement(
        "NIST.800.53.R5-S3BucketReplicationEnabled",
        _BUCKETS,
        "Queries and segments can be created again from the template; a replica would copy user data to another place.",
        lambda bucket: bucket.replication_configuration is None,
    ),
    Acknowledgement(
        "NIST.800.53.R5-S3BucketVersioningEnabled",
        _BUCKETS,
        "No job overwrites an object; versioned of BatchSegmentStorage turns versioning on.",
        lambda bucket: _resolved(bucket, "versioning_configuration").get("status") != "Enabled",
    ),
    Acknowledgement(
        "NIST.800.53.R5-S3DefaultEncryptionKMS",
        _BUCKETS,
        "Encrypted with SSE-S3; encryption_key of BatchSegmentStorage turns SSE-KMS on.",
        lambda bucket: not _has_kms_encryption(bucket),
    ),
    Acknowledgement(
        "NIST.800.53.R5-IAMNoInlinePolicy",
        "Role/DefaultPolicy/Resource",
        "The policy is for one role of this stack, is of no use to another role, and is deleted with it.",
    ),
]

#: The findings in the resources of a `BatchSegmentWorkflow`.
OF_WORKFLOW = [
    _wildcard(
        "states:.*",
        "StateMachinePolicy",
        "Runs of this state machine and of its map over the audiences only: Step Functions names them when they start.",
    ),
    _wildcard("s3:.*", "StateMachinePolicy", _OBJECTS, resources=".*/_runs/.*"),
    _wildcard(
        "xray:.*",
        "StateMachinePolicy",
        "X-Ray: these actions do not support resource-level permissions.",
    ),
    *_of_machine("StateMachine/Resource"),
    Acknowledgement(
        "NIST.800.53.R5-IAMNoInlinePolicy",
        "StateMachinePolicy|ScheduleRole/Resource",
        "Each policy is for one role of this stack, is of no use to another role, and is deleted with it.",
    ),
]

#: The wildcards in S3 that a storage grants to its role, and to an app's own readers and writers.
OF_GRANTS = _wildcard("s3:(Get|Put)Object", "", _OBJECTS)


def _has_kms_encryption(bucket: cdk.CfnResource) -> bool:
    rules = _resolved(bucket, "bucket_encryption").get("serverSideEncryptionConfiguration", [])
    return any(rule["serverSideEncryptionByDefault"]["sseAlgorithm"] == "aws:kms" for rule in rules)
