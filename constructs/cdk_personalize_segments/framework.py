"""The handler of a stack's jobs, and CDK's provider framework that invokes it."""

import functools
from collections.abc import Callable
from typing import Any, cast

import aws_cdk as cdk
import aws_cdk.aws_iam as iam
import aws_cdk.aws_lambda as lambda_
import aws_cdk.aws_logs as logs
import aws_cdk.aws_stepfunctions as sfn
import aws_cdk.custom_resources as cr
from batch_segment_handler import contract
from constructs import IConstruct

from .functions import READING_TIMEOUT, ProviderFunctions
from .permissions import of_functions
from .permissions.statements import Statements

#: The maximum timeout of a custom resource in CloudFormation, and of the provider framework.
MAX_WAIT = cdk.Duration.hours(1)
_QUERY_INTERVAL = cdk.Duration.seconds(30)


class DeploymentFunctions:
    """Creates the handler and the frameworks on first use."""

    def __init__(self, functions: ProviderFunctions, statements: Callable[[], Statements]) -> None:
        """Creates no resources.

        Args:
            functions: Creates the functions.
            statements: Returns the handler's statements during synthesis.
        """
        self._functions = functions
        self._options = functions.options
        self._statements = statements

    @property
    def role(self) -> iam.IRole:
        """The role of the handler."""
        return self._handler[1]

    @functools.cached_property
    def _handler(self) -> tuple[lambda_.Function, iam.IRole]:
        return self._functions.new_function(
            "Handler", contract.ON_EVENT, "Allows the handler to create batch segment jobs", self._statements
        )

    @functools.cached_property
    def _framework_logs(self) -> logs.LogGroup:
        return self._functions.new_log_group("FrameworkLogs")

    def new_framework(self) -> cr.Provider:
        """Creates CDK's provider framework for jobs without ``wait_for_completion``."""
        on_event, _ = self._handler
        framework_role = self._functions.new_role(
            "FrameworkRole", "Allows CDK's provider framework to invoke the handler", self._framework_logs, on_event
        )
        return cr.Provider(
            self._functions.scope,
            "Framework",
            on_event_handler=on_event,
            # CDK's default grants are broader than the calls of the framework.
            framework_on_event_role=framework_role.without_policy_updates(),
            log_group=self._framework_logs,
            **self._options.vpc,
        )

    def new_waiting_framework(self, statements: Callable[[], Statements]) -> cr.Provider:
        """Creates CDK's provider framework for jobs with ``wait_for_completion``, and the function that checks them.

        Args:
            statements: Returns that function's statements during synthesis.
        """
        on_event, _ = self._handler
        framework_logs = self._framework_logs
        is_complete, _ = self._functions.new_function(
            "IsComplete",
            contract.IS_COMPLETE,
            "Allows the function to check whether batch segment jobs are complete",
            statements,
            timeout=READING_TIMEOUT,
        )
        on_event_role = self._functions.new_role(
            "WaitingFrameworkRole",
            "Allows CDK's provider framework to invoke the handler and start the waiter",
            framework_logs,
            on_event,
        )
        waiter_role = self._functions.new_role(
            "WaiterRole",
            "Allows CDK's provider framework to check whether jobs are complete",
            framework_logs,
            is_complete,
        )
        logging: dict[str, Any] = {}
        if self._options.waiter_log_options is not None:
            logging = {
                "waiter_state_machine_log_options": self._options.waiter_log_options,
                "disable_waiter_state_machine_logging": False,
            }
        framework = cr.Provider(
            self._functions.scope,
            "WaitingFramework",
            on_event_handler=on_event,
            is_complete_handler=is_complete,
            framework_on_event_role=on_event_role.without_policy_updates(),
            framework_complete_and_timeout_role=waiter_role.without_policy_updates(),
            log_group=framework_logs,
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
        self._functions.attach(
            "WaitingFrameworkPolicy",
            on_event_role,
            lambda: iter(start),
            cast(lambda_.IFunction, framework.node.find_child("framework-onEvent")),
        )
        return framework

    @staticmethod
    def _trace_waiter(waiter: IConstruct, state_machine: sfn.CfnStateMachine) -> None:
        state_machine.tracing_configuration = sfn.CfnStateMachine.TracingConfigurationProperty(enabled=True)
        role = waiter.node.find_child("Role")
        assert isinstance(role, iam.Role)
        role.add_to_policy(of_functions.traced_state_machine())
