"""Creates state machines with their roles and policies. Definitions are resolved during synthesis."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import aws_cdk as cdk
import aws_cdk.aws_iam as iam
import aws_cdk.aws_stepfunctions as sfn
import jsii
from constructs import Construct, IDependable

from . import function_policies
from .naming import StackFacts
from .permissions import of_workflows
from .permissions.statements import Statements


@dataclass(frozen=True)
class Machine:
    """A state machine, and the policies that must exist before it runs."""

    state_machine: sfn.StateMachine
    policies: list[IDependable]


def new_machine(
    scope: Construct,
    id: str,
    facts: StackFacts,
    *,
    definition: Callable[[], Mapping[str, Any]],
    statements: Callable[[str], Statements],
    description: str,
    is_traced: bool,
) -> Machine:
    """Creates a state machine.

    Args:
        scope: The parent.
        id: The id, and the start of the ids of role and policy.
        facts: The stack.
        definition: Returns the definition during synthesis.
        statements: Returns the statements for a state machine with that name during synthesis.
        description: The description of the role.
        is_traced: Whether X-Ray traces the state machine.
    """
    source = of_workflows.service_source(facts)
    role = iam.Role(
        scope,
        f"{id}Role",
        description=description,
        assumed_by=iam.ServicePrincipal(of_workflows.SERVICE, conditions=source),
    )
    state_machine = sfn.StateMachine(
        scope,
        id,
        definition_body=sfn.DefinitionBody.from_string(
            cdk.Lazy.uncached_string(_LazyDefinition(facts.stack, definition))
        ),
        # CDK would repeat the library's statements for tracing.
        role=role.without_policy_updates() if is_traced else role,
        tracing_enabled=is_traced or None,
    )
    name = state_machine.state_machine_name
    # The state machine cannot depend on its policy, because the policy refers to the state machine.
    policy = function_policies.attach(scope, f"{id}Policy", role, lambda: statements(name), policy_name=f"{id}Policy")
    return Machine(state_machine, [] if policy is None else [policy])


@jsii.implements(cdk.IStringProducer)
class _LazyDefinition:
    """Renders a definition during synthesis."""

    def __init__(self, stack: cdk.Stack, definition: Callable[[], Mapping[str, Any]]) -> None:
        self._stack = stack
        self._definition = definition

    def produce(self, _context: cdk.IResolveContext) -> str:
        return self._stack.to_json_string(self._definition())
