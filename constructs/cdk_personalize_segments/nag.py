"""Acknowledgements of the library's own findings in the rule packs of cdk-nag 3.

cdk-nag identifies a wildcard by its resource, with generated logical ids in it. The ids are therefore read from the
resources when the template is written, so that a rename needs no change. The library does not depend on cdk-nag.
"""

import contextlib
import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

import aws_cdk as cdk
import aws_cdk.aws_iam as iam
import jsii
from constructs import IConstruct, IValidation

from . import nag_findings
from .batch_segment_storage import BatchSegmentStorage
from .batch_segment_workflow import BatchSegmentWorkflow
from .provider import BatchSegmentProvider

#: https://github.com/cdklabs/cdk-nag/blob/main/MIGRATION.md, "Minimum CDK Version".
_MIN_CDK_VERSION = "2.257.0"


def acknowledge_nag_findings(scope: IConstruct) -> None:
    """Acknowledges the findings of cdk-nag in the resources that this library creates, and no others.

    Covers the packs AwsSolutions and NIST.800.53.R5 of cdk-nag 3, with a reason for each finding. Findings in the
    app's own resources stay, and so do findings in statements that the app adds to a role of this library. A wildcard
    that ``grant_read_segments`` or ``grant_put_queries`` adds to a role of the app is acknowledged for exactly that
    resource.

    The findings are acknowledged during synthesis, when all resources are known, so the call can be anywhere in the
    app. For example::

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


def acknowledgements(scope: IConstruct) -> Iterator[tuple[IConstruct, str, nag_findings.Acknowledgement]]:
    """The findings in the library's resources: the construct, the id of the finding, the entry with the reason.

    :meta private:

    Args:
        scope: The construct whose findings are listed.
    """
    for construct in scope.node.find_all():
        if isinstance(construct, BatchSegmentProvider):
            yield from _in_resources(construct, nag_findings.OF_PROVIDER)
        elif isinstance(construct, BatchSegmentWorkflow):
            yield from _in_resources(construct, nag_findings.OF_WORKFLOW)
        elif isinstance(construct, BatchSegmentStorage):
            yield from _in_resources(construct, nag_findings.OF_STORAGE)
            for objects in construct.service_access.objects():
                yield from _in_policies(construct.role, objects)
            for grantee, objects in construct.segment_access.granted_objects():
                yield from _in_policies(grantee.grant_principal, objects)


def _in_policies(principal: Any, objects: list[str]) -> Iterator[tuple[IConstruct, str, nag_findings.Acknowledgement]]:
    # A principal need not be a construct, for example a service.
    if getattr(principal, "node", None) is None:
        return
    for resource in principal.node.find_all():
        if isinstance(resource, iam.CfnPolicy | iam.CfnManagedPolicy):
            granted = {_flattened(one) for one in cdk.Stack.of(resource).resolve(objects)}
            ids = {id for statement in _statements(resource) for id in _wildcards(statement, nag_findings.OF_GRANTS)}
            yield from (
                (resource, id, nag_findings.OF_GRANTS)
                for id in sorted(ids & {f"{nag_findings.OF_GRANTS.rule}[Resource::{one}]" for one in granted})
            )


def _in_resources(
    construct: IConstruct, table: Iterable[nag_findings.Acknowledgement]
) -> Iterator[tuple[IConstruct, str, nag_findings.Acknowledgement]]:
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


def _wildcards(statement: dict[str, Any], entry: nag_findings.Acknowledgement) -> Iterator[str]:
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
