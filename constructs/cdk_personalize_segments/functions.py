"""The Lambda functions of a stack's provider: the handler, CDK's provider framework, their roles and log groups."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import aws_cdk as cdk
import aws_cdk.aws_iam as iam
import aws_cdk.aws_kms as kms
import aws_cdk.aws_lambda as lambda_
import aws_cdk.aws_logs as logs
import aws_cdk.aws_stepfunctions as sfn
import aws_cdk.custom_resources as cr
import batch_segment_handler
from batch_segment_handler import contract
from constructs import Construct, IConstruct

from . import function_policies
from .naming import StackFacts
from .permissions import of_functions
from .permissions.statements import Statements

_HANDLER_PACKAGE = Path(batch_segment_handler.__file__).parent
#: Files of the handler package that the Lambda asset does not need.
ASSET_EXCLUDES = ["py.typed"]
# The provider framework's functions time out after 15 minutes. The handler must time out first so that it can report
# the cause.
_HANDLER_TIMEOUT = cdk.Duration.minutes(14)
# Reading the output of a complete job for errors can take a while.
_IS_COMPLETE_TIMEOUT = cdk.Duration.minutes(5)
#: CloudFormation waits one hour for a custom resource, and so does the framework at most.
MAX_WAIT = cdk.Duration.hours(1)
_QUERY_INTERVAL = cdk.Duration.seconds(30)


@dataclass(frozen=True)
class FunctionOptions:
    """The options of all functions, as `BatchSegmentProvider` documents them.

    Attributes:
        role: The role of the handler's functions, or None for a new role for each.
        vpc: The properties of functions that run in a VPC; empty outside of one.
        tracing: Whether X-Ray traces the functions.
        waiter_log_options: Logging of the state machine that waits for jobs.
        log_encryption_key: The key of the log groups.
        log_retention: How long log events are kept.
        log_removal_policy: What happens to the log groups when the stack is deleted.
    """

    role: iam.IRole | None
    vpc: Mapping[str, Any]
    tracing: bool
    waiter_log_options: cr.LogOptions | None
    log_encryption_key: kms.IKey | None
    log_retention: logs.RetentionDays
    log_removal_policy: cdk.RemovalPolicy


class ProviderFunctions:
    """Creates the functions of one provider: the handler at once, a framework when it is asked for."""

    def __init__(
        self, scope: Construct, facts: StackFacts, options: FunctionOptions, statements: Callable[[], Statements]
    ) -> None:
        """Creates the handler.

        Args:
            scope: The provider.
            facts: The stack.
            options: The options.
            statements: Returns the handler's statements when the template is written.
        """
        self._scope = scope
        self._facts = facts
        self._options = options
        self._assumed_by_lambda = iam.ServicePrincipal("lambda.amazonaws.com")
        self._log_group = self._new_log_group("Logs")
        #: The role of the handler.
        self.role = options.role or self._new_role("HandlerRole", "Creates batch segment jobs", self._log_group)
        self._code = lambda_.Code.from_asset(
            # The package in its parent folder, without its neighbors, so that it keeps its name in Lambda.
            str(_HANDLER_PACKAGE.parent),
            exclude=["/*", f"!/{_HANDLER_PACKAGE.name}", "__pycache__", *ASSET_EXCLUDES],
            ignore_mode=cdk.IgnoreMode.GIT,
        )
        self._on_event = self._new_function("Handler", contract.ON_EVENT, self.role, _HANDLER_TIMEOUT)
        self._attach("HandlerPolicy", self.role, statements, self._on_event)
        self._framework_logs = self._new_log_group("FrameworkLogs")
        if options.log_encryption_key is not None:
            self._allow_logs_to_use(options.log_encryption_key)

    def new_framework(self) -> cr.Provider:
        """Creates CDK's provider framework for jobs that are not waited for."""
        framework_role = self._new_role(
            "FrameworkRole", "Lets CDK's provider framework call the handler", self._framework_logs, self._on_event
        )
        return cr.Provider(
            self._scope,
            "Framework",
            on_event_handler=self._on_event,
            # CDK's default grants are broader than what the framework calls.
            framework_on_event_role=framework_role.without_policy_updates(),
            log_group=self._framework_logs,
            **self._options.vpc,
        )

    def new_waiting_framework(self, statements: Callable[[], Statements]) -> cr.Provider:
        """Creates CDK's provider framework for jobs that are waited for, and the function that checks them.

        Args:
            statements: Returns that function's statements when the template is written.
        """
        is_complete_role = self._options.role or self._new_role(
            "IsCompleteRole", "Looks whether jobs are complete", self._log_group
        )
        is_complete = self._new_function("IsComplete", contract.IS_COMPLETE, is_complete_role, _IS_COMPLETE_TIMEOUT)
        self._attach("IsCompletePolicy", is_complete_role, statements, is_complete)
        on_event_role = self._new_role(
            "WaitingFrameworkRole",
            "Lets CDK's provider framework call the handler and start to wait",
            self._framework_logs,
            self._on_event,
        )
        waiter_role = self._new_role(
            "WaiterRole",
            "Lets CDK's provider framework look whether jobs are complete",
            self._framework_logs,
            is_complete,
        )
        logging: dict[str, Any] = {}
        if self._options.waiter_log_options is not None:
            logging = {
                "waiter_state_machine_log_options": self._options.waiter_log_options,
                "disable_waiter_state_machine_logging": False,
            }
        framework = cr.Provider(
            self._scope,
            "WaitingFramework",
            on_event_handler=self._on_event,
            is_complete_handler=is_complete,
            framework_on_event_role=on_event_role.without_policy_updates(),
            framework_complete_and_timeout_role=waiter_role.without_policy_updates(),
            log_group=self._framework_logs,
            query_interval=_QUERY_INTERVAL,
            total_timeout=MAX_WAIT,
            **logging,
            **self._options.vpc,
        )
        waiter = framework.node.find_child("waiter-state-machine")
        state_machine = waiter.node.default_child
        assert isinstance(state_machine, sfn.CfnStateMachine)
        if self._options.tracing:
            self._trace_waiter(waiter, state_machine)
        start = [*of_functions.start_waiting(state_machine.ref)]
        self._attach(
            "WaitingFrameworkPolicy",
            on_event_role,
            lambda: iter(start),
            cast(lambda_.IFunction, framework.node.find_child("framework-onEvent")),
        )
        return framework

    def _attach(
        self, id: str, role: iam.IRole, statements: Callable[[], Statements], function: lambda_.IFunction
    ) -> None:
        policy_name = id
        if role is self._options.role:
            # A role of the app can serve several stacks.
            policy_name = f"{self._facts.names.prefix}-{id}"
            statements = functools.partial(self._statements_of_given_role, statements)
        function_policies.attach(self._scope, id, role, statements, function, policy_name=policy_name)

    def _statements_of_given_role(self, statements: Callable[[], Statements]) -> Statements:
        yield from self._function_statements(self._log_group)
        yield from statements()

    def _function_statements(self, log_group: logs.ILogGroup, *invoked: lambda_.IFunction) -> Statements:
        return of_functions.function(
            log_group.log_group_arn,
            [function.function_arn for function in invoked],
            in_vpc=bool(self._options.vpc),
            # CDK grants it to the framework's functions.
            is_traced=self._options.tracing and log_group is self._log_group,
        )

    @staticmethod
    def _trace_waiter(waiter: IConstruct, state_machine: sfn.CfnStateMachine) -> None:
        state_machine.tracing_configuration = sfn.CfnStateMachine.TracingConfigurationProperty(enabled=True)
        role = waiter.node.find_child("Role")
        assert isinstance(role, iam.Role)
        role.add_to_policy(of_functions.traced_state_machine())

    def _new_function(self, id: str, entry_point: str, role: iam.IRole, timeout: cdk.Duration) -> lambda_.Function:
        has_options = self._options.tracing or bool(self._options.vpc)
        return lambda_.Function(
            self._scope,
            id,
            description=f"Batch segment jobs of Amazon Personalize: {entry_point}",
            runtime=lambda_.Runtime.PYTHON_3_14,
            code=self._code,
            handler=f"{_HANDLER_PACKAGE.name}.handler.{entry_point}",
            # The library writes all statements, and CDK's for tracing and a VPC are broader.
            role=role.without_policy_updates() if isinstance(role, iam.Role) and has_options else role,
            log_group=self._log_group,
            timeout=timeout,
            # Streaming a gigabyte from one bucket to another needs little; the CPU share comes with the memory.
            memory_size=512,
            tracing=lambda_.Tracing.ACTIVE if self._options.tracing else None,
            **self._options.vpc,
        )

    def _new_log_group(self, id: str) -> logs.LogGroup:
        return logs.LogGroup(
            self._scope,
            id,
            encryption_key=self._options.log_encryption_key,
            retention=self._options.log_retention,
            removal_policy=self._options.log_removal_policy,
        )

    def _allow_logs_to_use(self, key: kms.IKey) -> None:
        # The ARNs of the log groups would be a circular reference: the groups name the key. Their names are
        # <stack name>-<logical id>-<random part>, and a nested stack's name starts with the name of its root stack.
        stack = self._facts.stack
        nested = "*" if stack.nested_stack_parent is not None else ""
        patterns = []
        for log_group in (self._log_group, self._framework_logs):
            resource = log_group.node.default_child
            assert isinstance(resource, logs.CfnLogGroup)
            name = f"{self._facts.names.root_stack_name}-{nested}{stack.get_logical_id(resource)}-*"
            patterns.append(
                stack.format_arn(
                    service="logs",
                    resource="log-group",
                    arn_format=cdk.ArnFormat.COLON_RESOURCE_NAME,
                    resource_name=name,
                )
            )
        key.add_to_resource_policy(of_functions.log_key(self._facts.region, patterns))

    def _new_role(self, id: str, description: str, log_group: logs.ILogGroup, *invoked: lambda_.IFunction) -> iam.Role:
        document = function_policies.document(self._function_statements(log_group, *invoked))
        return iam.Role(
            self._scope,
            id,
            description=description,
            assumed_by=self._assumed_by_lambda,
            inline_policies={"Lambda": iam.PolicyDocument.from_json(document)},
        )
