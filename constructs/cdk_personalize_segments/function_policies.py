"""Attaches statements to the roles of functions and state machines, and checks that they fit."""

import json
import re
from collections.abc import Callable, Iterable
from typing import Any

import aws_cdk as cdk
import aws_cdk.aws_iam as iam
import jsii
from constructs import Construct, IValidation

from . import validation
from .naming import StackFacts
from .permissions.statements import Statement, Statements

#: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html, "Role inline policies": all of a role
#: together, without white space. A function's role has another inline policy for its logs.
MAX_POLICY_LENGTH = 10_240 - 400
# Tokens are resolved at deploy, to about the length of the ARN of a bucket, a role or a key.
_TOKEN_MARKER = re.compile(r"\$\{Token\[[^\]]*\]\}")
_TYPICAL_TOKEN_VALUE = "x" * 95


def document(statements: Iterable[Statement]) -> dict[str, Any]:
    """Returns a policy document."""
    return {"Version": "2012-10-17", "Statement": list(statements)}


def attach(
    scope: Construct,
    id: str,
    role: iam.IRole,
    statements: Callable[[], Statements],
    *,
    policy_name: str,
) -> iam.CfnPolicy | None:
    """Gives a role the statements that are known when the template is written.

    Args:
        scope: The parent of the policy.
        id: The policy's id.
        role: The role. If its policy is not part of the app, `hand_over` reports the statements.
        statements: Returns the statements.
        policy_name: The name of the policy. The names of a role's inline policies are unique.

    Returns:
        The policy, on which the principal depends; None if the role's policy is not part of the app.
    """
    if isinstance(role, iam.Role) and isinstance(role.node.default_child, iam.CfnRole):
        lazy = cdk.Lazy.uncached_any(_LazyPolicyDocument(statements))
        # The L1: an L2 policy would need a call to CDK for every statement, and could not have lazy ones.
        return iam.CfnPolicy(scope, id, policy_name=policy_name, policy_document=lazy, roles=[role.role_name])
    scope.node.add_validation(_RoleOfAnotherOwner(scope, role, statements))
    return None


def hand_over(scope: Construct, role: iam.IRole, statements: Iterable[Statement]) -> None:
    """Reports the statements of a role whose policy is not in the template.

    Args:
        scope: The construct that shows a warning.
        role: A role precreated for `iam.Role.customize_roles`, which reports statements, or an imported role.
        statements: The statements.
    """
    if isinstance(role, iam.Role):
        for statement in statements:
            role.add_to_policy(iam.PolicyStatement.from_json(statement))
        return
    listed = validation.pasteable(cdk.Stack.of(scope), [*statements])
    cdk.Annotations.of(scope).add_warning_v2(
        f"{validation.WARNING}:handlerRole",
        f"the policy of the role {role.role_name} cannot be changed because the role is imported. Add these "
        f"statements to it so that the function can create jobs: {listed}",
    )


def check_size(facts: StackFacts, policies: Iterable[tuple[str, Iterable[Statement]]]) -> None:
    """Checks that the policies that grow with the stack's jobs each fit into a role.

    Args:
        facts: The stack.
        policies: The name of the function, and its statements.

    Raises:
        ValueError: A policy does not fit.
    """
    # Estimate the size without resolving tokens. Resolving would double the synth time of each job.
    typical = {facts.partition: "aws-cn", facts.region: "ap-southeast-2", facts.account: "123456789012"}
    for name, statements in policies:
        policy = json.dumps(list(statements), separators=(",", ":"))
        for token, value in typical.items():
            policy = policy.replace(token, value)
        length = len(_TOKEN_MARKER.sub(_TYPICAL_TOKEN_VALUE, policy))
        if length > MAX_POLICY_LENGTH:
            raise ValueError(
                f"too many jobs for one stack: the policy of the {name} function has about {length:,} characters, "
                f"and a role takes {MAX_POLICY_LENGTH:,}. Move some of the jobs to another stack, or share one "
                "storage between them"
            )


@jsii.implements(cdk.IAnyProducer)
class _LazyPolicyDocument:
    """A policy as it stands when the template is written."""

    def __init__(self, statements: Callable[[], Statements]) -> None:
        self._statements = statements

    def produce(self, _context: cdk.IResolveContext) -> Any:
        return document(self._statements())


@jsii.implements(IValidation)
class _RoleOfAnotherOwner:
    """Hands the statements to a role whose policy is not in the template, once all of them are known."""

    def __init__(self, scope: Construct, role: iam.IRole, statements: Callable[[], Statements]) -> None:
        self._scope = scope
        self._role = role
        self._statements = statements
        self._is_done = False

    def validate(self) -> list[str]:
        if not self._is_done:
            self._is_done = True
            hand_over(self._scope, self._role, self._statements())
        return []
