"""Attaches statements to the roles of functions and state machines, and checks the size of the policies."""

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

#: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html, "Role inline policies": the total of all
#: inline policies, without white space. A function's role has another inline policy for its logs.
MAX_POLICY_LENGTH = 10_240 - 400
# A token resolves to the ARN of a bucket, a role or a key, with about this length.
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
    """Attaches a policy to a role. Its statements are resolved during synthesis.

    Args:
        scope: The parent of the policy.
        id: The policy's id.
        role: The role. If its policy is not part of the app, `hand_over` reports the statements.
        statements: Returns the statements.
        policy_name: The name of the policy, unique among the role's inline policies.

    Returns:
        The policy, on which the principal must depend, or None if the role's policy is not part of the app.
    """
    if isinstance(role, iam.Role) and isinstance(role.node.default_child, iam.CfnRole):
        lazy = cdk.Lazy.uncached_any(_LazyPolicyDocument(statements))
        # An L1 construct: an L2 policy needs a jsii call for every statement, and cannot have lazy statements.
        return iam.CfnPolicy(scope, id, policy_name=policy_name, policy_document=lazy, roles=[role.role_name])
    scope.node.add_validation(_RoleOfAnotherOwner(scope, role, statements))
    return None


def hand_over(scope: Construct, role: iam.IRole, statements: Iterable[Statement]) -> None:
    """Reports the statements of a role whose policy is not in the template.

    Args:
        scope: The construct that gets the warning.
        role: A precreated role of `iam.Role.customize_roles`, which reports statements, or an imported role.
        statements: The statements.
    """
    if isinstance(role, iam.Role):
        for statement in statements:
            role.add_to_policy(iam.PolicyStatement.from_json(statement))
        return
    listed = validation.pasteable(cdk.Stack.of(scope), [*statements])
    cdk.Annotations.of(scope).add_warning_v2(
        f"{validation.WARNING}:handlerRole",
        f"cannot modify the policy of the role {role.role_name} because it is imported. Add these statements to it so "
        f"that the function can create jobs: {listed}",
    )


def check_size(facts: StackFacts, policies: Iterable[tuple[str, Iterable[Statement]]]) -> None:
    """Checks the size of the policies that grow with the stack's jobs.

    Args:
        facts: The stack.
        policies: The name of each function, and its statements.

    Raises:
        ValueError: A policy exceeds the limit of a role.
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
                f"expected at most {MAX_POLICY_LENGTH:,}. Move some of the jobs to another stack, or share one storage "
                "between them"
            )


@jsii.implements(cdk.IAnyProducer)
class _LazyPolicyDocument:
    """Renders a policy document during synthesis."""

    def __init__(self, statements: Callable[[], Statements]) -> None:
        self._statements = statements

    def produce(self, _context: cdk.IResolveContext) -> Any:
        return document(self._statements())


@jsii.implements(IValidation)
class _RoleOfAnotherOwner:
    """Reports the statements of a role whose policy is not in the template, when all of them are known."""

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
