"""Acknowledgements of the library's own findings in the rule packs of cdk-nag 3.

cdk-nag identifies a wildcard by its resource, with generated logical ids in it. The ids are therefore read from the
resources when the template is written, so that a rename needs no change. The library does not depend on cdk-nag.
"""

import contextlib
import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import aws_cdk as cdk
import aws_cdk.aws_iam as iam
import jsii
from constructs import IConstruct, IValidation

from .batch_segment_storage import BatchSegmentStorage
from .provider import BatchSegmentProvider

#: https://github.com/cdklabs/cdk-nag/blob/main/MIGRATION.md, "Minimum CDK Version".
_MIN_CDK_VERSION = "2.257.0"
_WILDCARDS = "AwsSolutions-IAM5"

_FUNCTIONS = "Handler|IsComplete|(Waiting)?Framework/framework-[a-zA-Z]+"
_WAITER = "WaitingFramework/waiter-state-machine"
_WAITER_POLICY = f"{_WAITER}/Role/DefaultPolicy/Resource"
_POLICIES = "HandlerPolicy|IsCompletePolicy"
_ROLES = "(Handler|IsComplete|Framework|WaitingFramework|Waiter)Role/Resource"
_BUCKETS = "(Input|Output)Bucket/Resource"
_LOGS = "(Framework)?Logs/Resource"
_OBJECTS = "Objects are created at deploy under this prefix, so their keys are not known at synth."


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


#: The findings in the resources of a `BatchSegmentProvider`. The first that fits a wildcard gives the reason.
OF_PROVIDER = [
    _wildcard(
        "personalize:ListSolutionVersions",
        "HandlerPolicy",
        "ListSolutionVersions, for solution_arn: the service authorization reference lists no resource for it.",
    ),
    _wildcard(
        "personalize:DescribeBatchSegmentJob",
        _POLICIES,
        "Jobs of this stack only: a job's name ends in a hash of its definition, which is known at deploy.",
    ),
    _wildcard(
        "personalize:DescribeSolutionVersion",
        "HandlerPolicy",
        "The versions of one solution, for solution_arn: the latest one is known at deploy.",
    ),
    _wildcard(
        "personalize:DescribeRecipe",
        "HandlerPolicy",
        "Recipes belong to the service and hold nothing of the account; the recipe of a version is known at deploy.",
    ),
    _wildcard(
        "s3:GetObject",
        "HandlerPolicy",
        "Query files of this stack only: the pattern has a hash of the stack, so that an edit of queries changes no "
        "policy.",
        resources=r".*/\*\.queries-[0-9a-f]+",
    ),
    _wildcard(
        "s3:(Get|Put)Object",
        _POLICIES,
        _OBJECTS,
    ),
    _wildcard(
        "xray:.*",
        f"{_POLICIES}|{_ROLES}",
        "X-Ray: the service authorization reference lists no resource for these actions.",
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
        "CDK's state machine with logging or tracing: the actions of log delivery and X-Ray have no resource.",
    ),
    Acknowledgement(
        "AwsSolutions-SF1",
        f"{_WAITER}/Resource",
        "The input of CDK's waiter is CloudFormation's event, whose pre-signed URL should not be in a log; "
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
    Acknowledgement(
        "NIST.800.53.R5-IAMNoInlinePolicy",
        f"{_POLICIES}|WaitingFrameworkPolicy|{_WAITER_POLICY}|{_ROLES}",
        "Each policy is for one role of this stack, is of no use to another role, and is deleted with it.",
        lambda policy: not isinstance(policy, iam.CfnRole) or policy.policies is not None,
    ),
    Acknowledgement(
        "NIST.800.53.R5-CloudWatchLogGroupEncrypted",
        _LOGS,
        "The logs hold names, ARNs and decisions, no queries and no users; CloudWatch encrypts them with its own key, "
        "and log_encryption_key of BatchSegmentProvider with a key of the account.",
        lambda log_group: log_group.kms_key_id is None,
    ),
    Acknowledgement(
        "NIST.800.53.R5-LambdaConcurrency",
        f"({_FUNCTIONS})/Resource",
        "Runs only while a stack is deployed; reserved concurrency would be taken from the account's other functions.",
        lambda function: not function.reserved_concurrent_executions,
    ),
    Acknowledgement(
        "NIST.800.53.R5-LambdaDLQ",
        # https://docs.aws.amazon.com/lambda/latest/dg/services-cloudformation.html
        "(Waiting)?Framework/framework-onEvent/Resource",
        "CloudFormation calls the function asynchronously. The function reports a failure to CloudFormation, which "
        "otherwise times out and rolls back, so nothing is lost; a queue would keep the event with its pre-signed "
        "response URL.",
        lambda function: function.dead_letter_config is None,
    ),
    Acknowledgement(
        "NIST.800.53.R5-LambdaDLQ",
        "(Handler|IsComplete|WaitingFramework/framework-(isComplete|onTimeout))/Resource",
        "CDK's provider framework and its state machine call the function synchronously, and Lambda sends only failed "
        "asynchronous calls to a dead-letter queue.",
        lambda function: function.dead_letter_config is None,
    ),
    Acknowledgement(
        "NIST.800.53.R5-LambdaInsideVPC",
        f"({_FUNCTIONS})/Resource",
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

#: The wildcards in S3 that a storage grants to its role, and to an app's own readers and writers.
OF_GRANTS = _wildcard("s3:(Get|Put)Object", "", _OBJECTS)


def acknowledge_nag_findings(scope: IConstruct) -> None:
    """Acknowledges the findings of cdk-nag in the resources that this library creates, and no others.

    Covers the packs AwsSolutions and NIST.800.53.R5 of cdk-nag 3, with a reason for each finding. A finding in a
    resource of the app stays a finding, also in a statement that the app adds to a role of this library. A wildcard
    that ``grant_read_segments`` or ``grant_put_queries`` adds to a role of the app is acknowledged by its exact
    resource.

    The findings are acknowledged during synthesis, when all resources are known, so the call can be anywhere in the
    app:

        app = cdk.App()
        …
        acknowledge_nag_findings(app)
        cdk.Validations.of(app).add_plugins(AwsSolutionsChecks(app))
        app.synth()

    Args:
        scope: The app, stage, stack or construct whose findings are acknowledged.

    Raises:
        RuntimeError: The installed aws-cdk-lib has no ``cdk.Validations``.
    """
    if not hasattr(cdk, "Validations"):
        raise RuntimeError(
            f"acknowledge_nag_findings: got an aws-cdk-lib without Validations, expected {_MIN_CDK_VERSION} or newer, "
            "which cdk-nag 3 requires. Upgrade aws-cdk-lib"
        )
    scope.node.add_validation(_AcknowledgeAll(scope))


def acknowledgements(scope: IConstruct) -> Iterator[tuple[IConstruct, str, Acknowledgement]]:
    """The findings in the library's resources: the construct, the id of the finding, the entry with the reason.

    :meta private:

    Args:
        scope: The construct whose findings are listed.
    """
    for construct in scope.node.find_all():
        if isinstance(construct, BatchSegmentProvider):
            yield from _in_resources(construct, OF_PROVIDER)
        elif isinstance(construct, BatchSegmentStorage):
            yield from _in_resources(construct, OF_STORAGE)
            for grantee, objects in construct.granted_objects():
                yield from _in_policies(grantee.grant_principal, objects)


def _in_policies(principal: Any, objects: list[str]) -> Iterator[tuple[IConstruct, str, Acknowledgement]]:
    # A principal need not be a construct, for example a service.
    if getattr(principal, "node", None) is None:
        return
    for resource in principal.node.find_all():
        if isinstance(resource, iam.CfnPolicy | iam.CfnManagedPolicy):
            granted = {_flattened(one) for one in cdk.Stack.of(resource).resolve(objects)}
            ids = {id for statement in _statements(resource) for id in _wildcards(statement, OF_GRANTS)}
            yield from (
                (resource, id, OF_GRANTS)
                for id in sorted(ids & {f"{OF_GRANTS.rule}[Resource::{one}]" for one in granted})
            )


def _in_resources(
    construct: IConstruct, table: Iterable[Acknowledgement]
) -> Iterator[tuple[IConstruct, str, Acknowledgement]]:
    start = len(construct.node.path) + 1
    for resource in construct.node.find_all():
        if not isinstance(resource, cdk.CfnResource):
            continue
        place = resource.node.path[start:]
        entries = [entry for entry in table if re.fullmatch(entry.places, place)]
        statements = _statements(resource) if any(entry.actions for entry in entries) else []
        reported: set[str] = set()
        for entry in entries:
            if not entry.actions:
                ids = {entry.rule} if entry.is_found(resource) else set()
            else:
                ids = {id for statement in statements for id in _wildcards(statement, entry)}
            yield from ((resource, id, entry) for id in sorted(ids - reported))
            reported |= ids


def _statements(resource: cdk.CfnResource) -> list[dict[str, Any]]:
    """The statements of a policy, or of a role's inline policies."""
    documents = []
    if isinstance(resource, iam.CfnPolicy | iam.CfnManagedPolicy):
        documents = [cdk.Stack.of(resource).resolve(resource.policy_document)]
    elif isinstance(resource, iam.CfnRole):
        policies = cdk.Stack.of(resource).resolve(resource.policies) or []
        documents = [policy["policyDocument"] for policy in policies]
    return [statement for document in documents for statement in document["Statement"]]


def _wildcards(statement: dict[str, Any], entry: Acknowledgement) -> Iterator[str]:
    """The ids of the wildcards in a statement that an entry is for."""
    if statement["Effect"] == "Allow" and any(re.fullmatch(entry.actions, one) for one in _listed(statement["Action"])):
        for resource in map(_flattened, _listed(statement["Resource"])):
            if "*" in resource and re.fullmatch(entry.resources, resource):
                yield f"{entry.rule}[Resource::{resource}]"


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _flattened(value: Any) -> str:
    """A resource as cdk-nag writes it in the id of a finding: its function ``flattenCfnReference``."""
    match value:
        case str():
            return value.replace("${", "<").replace("}", ">")
        case {"Fn::Join": [delimiter, parts]}:
            return str(delimiter).join(_flattened(part) for part in parts)
        case {"Fn::Sub": text} | {"Fn::ImportValue": text}:
            return _flattened(text)
        case {"Fn::GetAtt": [name, attribute]}:
            return f"<{_flattened(name)}.{_flattened(attribute)}>"
        case {"Ref": name}:
            return f"<{_flattened(name)}>"
    # Another function, which cdk-nag writes as JSON.
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _resolved(resource: cdk.CfnResource, prop: str) -> dict[str, Any]:
    value = cdk.Stack.of(resource).resolve(getattr(resource, prop))
    return value if isinstance(value, dict) else {}


def _has_kms_encryption(bucket: cdk.CfnResource) -> bool:
    rules = _resolved(bucket, "bucket_encryption").get("serverSideEncryptionConfiguration", [])
    return any(rule["serverSideEncryptionByDefault"]["sseAlgorithm"] == "aws:kms" for rule in rules)


@jsii.implements(IValidation)
class _AcknowledgeAll:
    """Acknowledges the findings when all resources are known, which is after the aspects."""

    def __init__(self, scope: IConstruct) -> None:
        self._scope = scope
        # An app can be synthesized more than once.
        self._done: set[tuple[str, str]] = set()

    def validate(self) -> list[str]:
        for construct, id, entry in acknowledgements(self._scope):
            key = (construct.node.path, id)
            if key not in self._done:
                self._done.add(key)
                # CDK takes no id with an unmatched bracket, which a prefix can have. Such a finding stays.
                with contextlib.suppress(RuntimeError):
                    cdk.Validations.of(construct).acknowledge(cdk.Acknowledgment(id=id, reason=entry.reason))
        return []
