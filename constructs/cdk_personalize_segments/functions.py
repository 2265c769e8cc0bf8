"""Creates the Lambda functions of a stack's provider, with their roles, policies and log groups."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import aws_cdk.aws_iam as iam
import aws_cdk.aws_kms as kms
import aws_cdk.aws_lambda as lambda_
import aws_cdk.aws_logs as logs
import aws_cdk.custom_resources as cr
import batch_segment_handler
from constructs import Construct

from . import function_policies
from .naming import StackFacts
from .permissions import of_functions
from .permissions.statements import Statements

_HANDLER_PACKAGE = Path(batch_segment_handler.__file__).parent
#: Files of the handler package that the Lambda asset does not need.
ASSET_EXCLUDES = ["py.typed"]
#: Staging queries can take minutes. The provider framework's functions time out after 15 minutes. The handler must time
#: out first so that it can report the cause.
STAGING_TIMEOUT = cdk.Duration.minutes(14)
#: Counting the errors in the output of a job can take minutes.
READING_TIMEOUT = cdk.Duration.minutes(5)


@dataclass(frozen=True)
class FunctionOptions:
    """The options of all functions, as `BatchSegmentProvider` documents them.

    Attributes:
        role: The role of the handler's functions, or None for a new role for each function.
        vpc: The VPC properties of the functions; empty if they run outside a VPC.
        tracing: Whether X-Ray traces the functions.
        waiter_log_options: The log options of the state machine that waits for jobs.
        log_encryption_key: The key of the log groups.
        log_retention: How long CloudWatch keeps log events.
        log_removal_policy: The removal policy of the log groups.
    """

    role: iam.IRole | None
    vpc: Mapping[str, Any]
    tracing: bool
    waiter_log_options: cr.LogOptions | None
    log_encryption_key: kms.IKey | None
    log_retention: logs.RetentionDays
    log_removal_policy: cdk.RemovalPolicy


class ProviderFunctions:
    """Creates the functions of one provider. They share an asset and a log group."""

    def __init__(self, scope: Construct, facts: StackFacts, options: FunctionOptions) -> None:
        """Creates the log group.

        Args:
            scope: The provider.
            facts: The stack.
            options: The options.
        """
        self.scope = scope
        self.options = options
        self._facts = facts
        self._assumed_by_lambda = iam.ServicePrincipal("lambda.amazonaws.com")
        self._code: lambda_.Code | None = None
        # The ARN patterns of the encrypted log groups, and the statement in the policy of their key.
        self._encrypted: list[str] = []
        self._log_key_statement: iam.PolicyStatement | None = None
        self._log_group = self.new_log_group("Logs")

    def new_function(
        self,
        id: str,
        entry_point: str,
        description: str,
        statements: Callable[[], Statements],
        *,
        module: str = "handler",
        timeout: cdk.Duration = STAGING_TIMEOUT,
    ) -> tuple[lambda_.Function, iam.IRole]:
        """Creates a function with the code of the handler package, and with a new role unless the options have a role.

        Args:
            id: The function's id, and the start of the ids of its role and its policy.
            entry_point: The name of the Python function.
            description: The description of the role.
            statements: Returns the function's statements during synthesis.
            module: The module of the package.
            timeout: The timeout of the function.
        """
        role = self.options.role or self.new_role(f"{id}Role", description, self._log_group)
        has_options = self.options.tracing or bool(self.options.vpc)
        function = lambda_.Function(
            self.scope,
            id,
            description=f"Batch segment jobs of Amazon Personalize: {entry_point}",
            runtime=lambda_.Runtime.PYTHON_3_14,
            code=self._shared_code(),
            handler=f"{_HANDLER_PACKAGE.name}.{module}.{entry_point}",
            # CDK's statements for tracing and a VPC are broader than the library's.
            role=role.without_policy_updates() if isinstance(role, iam.Role) and has_options else role,
            log_group=self._log_group,
            timeout=timeout,
            # Streaming needs little memory, but Lambda allocates CPU in proportion to memory.
            memory_size=512,
            tracing=lambda_.Tracing.ACTIVE if self.options.tracing else None,
            **self.options.vpc,
        )
        self.attach(f"{id}Policy", role, statements, function)
        return function, role

    def _shared_code(self) -> lambda_.Code:
        if self._code is None:
            self._code = lambda_.Code.from_asset(
                # The parent folder without its other contents, so that the package keeps its name in Lambda.
                str(_HANDLER_PACKAGE.parent),
                exclude=["/*", f"!/{_HANDLER_PACKAGE.name}", "__pycache__", *ASSET_EXCLUDES],
                ignore_mode=cdk.IgnoreMode.GIT,
            )
        return self._code

    def attach(
        self, id: str, role: iam.IRole, statements: Callable[[], Statements], function: lambda_.IFunction
    ) -> None:
        """Attaches a policy to the role of a function. Its statements are resolved during synthesis."""
        policy_name = id
        if role is self.options.role:
            # Several stacks can use one role of the app.
            policy_name = f"{self._facts.names.prefix}-{id}"
            statements = functools.partial(self._statements_of_given_role, statements)
        policy = function_policies.attach(self.scope, id, role, statements, policy_name=policy_name)
        if policy is not None:
            function.node.add_dependency(policy)

    def _statements_of_given_role(self, statements: Callable[[], Statements]) -> Statements:
        yield from self._function_statements(self._log_group)
        yield from statements()

    def _function_statements(self, log_group: logs.ILogGroup, *invoked: lambda_.IFunction) -> Statements:
        return of_functions.function(
            log_group.log_group_arn,
            [function.function_arn for function in invoked],
            in_vpc=bool(self.options.vpc),
            # CDK grants tracing to the framework's functions.
            is_traced=self.options.tracing and log_group is self._log_group,
        )

    def new_role(self, id: str, description: str, log_group: logs.ILogGroup, *invoked: lambda_.IFunction) -> iam.Role:
        """Creates the role of a function, with the permission to write logs.

        Args:
            id: The role's id.
            description: The description of the role.
            log_group: The function's log group.
            *invoked: The functions that the function invokes.
        """
        document = function_policies.document(self._function_statements(log_group, *invoked))
        return iam.Role(
            self.scope,
            id,
            description=description,
            assumed_by=self._assumed_by_lambda,
            inline_policies={"Lambda": iam.PolicyDocument.from_json(document)},
        )

    def new_log_group(self, id: str) -> logs.LogGroup:
        """Creates a log group, and grants CloudWatch Logs the use of its key."""
        key = self.options.log_encryption_key
        log_group = logs.LogGroup(
            self.scope,
            id,
            encryption_key=key,
            retention=self.options.log_retention,
            removal_policy=self.options.log_removal_policy,
        )
        if key is not None:
            self._allow_logs_to_use(key, log_group)
        return log_group

    def _allow_logs_to_use(self, key: kms.IKey, log_group: logs.LogGroup) -> None:
        # References to the log groups would be circular, because the groups depend on the key. Their names are
        # <stack name>-<logical id>-<random part>, and a nested stack's name starts with the name of its root stack.
        stack = self._facts.stack
        nested = "*" if stack.nested_stack_parent is not None else ""
        resource = log_group.node.default_child
        assert isinstance(resource, logs.CfnLogGroup)
        name = f"{self._facts.names.root_stack_name}-{nested}{stack.get_logical_id(resource)}-*"
        self._encrypted.append(
            stack.format_arn(
                service="logs",
                resource="log-group",
                arn_format=cdk.ArnFormat.COLON_RESOURCE_NAME,
                resource_name=name,
            )
        )
        if self._log_key_statement is None:
            self._log_key_statement = of_functions.log_key(self._facts.region)
            key.add_to_resource_policy(self._log_key_statement)
        self._log_key_statement.add_condition("ArnLike", of_functions.log_groups_condition(self._encrypted))
