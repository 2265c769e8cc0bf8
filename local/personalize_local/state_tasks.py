"""Tasks of state machines, with the permissions of the machine's role.

MiniStack runs tasks with all permissions. Here, a task that calls a service is a signed request of the role, and the
role needs `lambda:InvokeFunction` for a task that invokes a function.
"""

import contextvars
import json
import re
from dataclasses import dataclass
from typing import Any

from ministack.core import responses
from ministack.services import stepfunctions

from . import sdk_calls
from .patching import replace, require
from .roles import Roles, may_be_assumed

SERVICE = "states.amazonaws.com"
_PREFIX = "arn:aws:states:::"
# MiniStack's table of optimized integrations. The local AWS does not have the services of the others.
_OPTIMIZED = {
    "events:putEvents": "events",
    "sqs:sendMessage": "sqs",
    "sns:publish": "sns",
    "dynamodb:putItem": "dynamodb",
    "dynamodb:getItem": "dynamodb",
    "dynamodb:deleteItem": "dynamodb",
    "dynamodb:updateItem": "dynamodb",
}


@dataclass(frozen=True)
class MachineRole:
    """The role of the state machine that a thread runs."""

    machine_arn: str
    role_arn: str
    execution_arn: str

    @property
    def session_name(self) -> str:
        """The name of the role's session, as error messages show it."""
        return self.execution_arn.rpartition(":")[2][:64]


_role: contextvars.ContextVar[MachineRole] = contextvars.ContextVar("role")


class StateTasks:
    """Runs tasks with the permissions of roles."""

    def __init__(self, roles: Roles) -> None:
        """Patches MiniStack in place.

        Args:
            roles: Makes clients, and decides what roles may do.
        """
        self._roles = roles
        require(stepfunctions, "_AWS_SDK_ERROR_PREFIX", "_api_name_to_sfn_key", "_ExecutionError")
        replace(stepfunctions, "_execute_task", "state_def raw_input execution ctx", self._with_role)
        replace(stepfunctions, "_invoke_resource", "resource input_data", self._authorizing_lambda)
        replace(stepfunctions, "_invoke_with_callback", "resource input_data token state_def", self._authorizing_lambda)
        replace(stepfunctions, "_invoke_aws_sdk_integration", "resource input_data", lambda _: self._call_sdk)
        replace(stepfunctions, "_invoke_nested_start_execution", "resource input_data", lambda _: self._start_execution)
        replace(stepfunctions, "_invoke_nested_start_execution_sync", "resource input_data", self._authorizing_start)
        dispatch = stepfunctions._SERVICE_DISPATCH
        if not dispatch.keys() >= {_PREFIX + integration for integration in _OPTIMIZED}:
            raise RuntimeError("ministack.services.stepfunctions._SERVICE_DISPATCH: expected other integrations")
        dispatch.clear()
        dispatch.update({_PREFIX + integration: self._call_optimized for integration in _OPTIMIZED})

    def authorize(self, action: str, resource: str, error: str, context: dict[str, Any] | None = None) -> None:
        """Checks that the role of the state machine that this thread runs may do something.

        Raises:
            stepfunctions._ExecutionError: It may not. The error has the given name.
        """
        role = _role.get()
        denial = self._roles.denial(action, resource, role.role_arn, role.session_name, context)
        if denial is not None:
            raise stepfunctions._ExecutionError(
                error, f"{denial} (Status Code: 403; Error Code: AccessDeniedException)"
            )

    def client(self, service: str) -> Any:
        """Creates a client that acts as the role of the state machine that this thread runs."""
        role = _role.get()
        return self._roles.client(service, role.role_arn, role.session_name)

    def enter(self, execution_arn: str, machine_arn: str) -> MachineRole:
        """Makes this thread act as the role of a state machine.

        Raises:
            stepfunctions._ExecutionError: The role does not trust Step Functions.
        """
        machine = stepfunctions._state_machines.get(machine_arn)
        if machine is None:
            raise stepfunctions._ExecutionError("States.Runtime", f"State machine {machine_arn} does not exist")
        role = MachineRole(machine_arn, machine["roleArn"], execution_arn)
        if not may_be_assumed(role.role_arn, SERVICE, machine_arn):
            raise stepfunctions._ExecutionError("States.Runtime", untrusted_message(role.role_arn))
        _role.set(role)
        return role

    def _with_role(self, execute: Any) -> Any:
        def execute_task(state_def: Any, raw_input: Any, execution: Any, ctx: Any) -> Any:
            self.enter(execution["executionArn"], ctx["StateMachine"]["Id"])
            return execute(state_def, raw_input, execution, ctx)

        return execute_task

    def _authorizing_lambda(self, invoke: Any) -> Any:
        def invoke_resource(resource: str, input_data: Any, *rest: Any) -> Any:
            # MiniStack finds integrations by their ARNs in the partition aws.
            resource = re.sub(r"^arn:[^:]+:states:::", _PREFIX, resource)
            if ":lambda:" in resource and ":aws-sdk:" not in resource:
                self._authorize_lambda(resource, input_data)
            return invoke(resource, input_data, *rest)

        return invoke_resource

    def _authorizing_start(self, start: Any) -> Any:
        def start_execution(resource: str, input_data: Any) -> Any:
            machine = str(input_data.get("StateMachineArn", "*"))
            self.authorize("states:StartExecution", machine, "StepFunctions.AWSStepFunctionsException")
            return start(resource, input_data)

        return start_execution

    def _call_sdk(self, resource: str, input_data: Any) -> Any:
        role = _role.get()
        service, action = resource.removesuffix(".waitForTaskToken").split(":")[-2:]
        return sdk_calls.call_sdk(self._roles, role.role_arn, role.session_name, service.lower(), action, input_data)

    def _start_execution(self, _resource: str, input_data: Any) -> Any:
        role = _role.get()
        return sdk_calls.call_optimized(
            self._roles, role.role_arn, role.session_name, "stepfunctions", "startExecution", input_data
        )

    def _call_optimized(self, resource: str, parameters: Any) -> Any:
        role = _role.get()
        integration = resource.removeprefix(_PREFIX).removesuffix(".waitForTaskToken")
        if integration == "events:putEvents":
            # https://docs.aws.amazon.com/step-functions/latest/dg/connect-eventbridge.html
            resources = [role.execution_arn, role.machine_arn]
            entries = [
                {**entry, "Resources": [*entry.get("Resources", []), *resources]} for entry in parameters["Entries"]
            ]
            parameters = {**parameters, "Entries": entries}
        service, action = _OPTIMIZED[integration], integration.partition(":")[2]
        result = sdk_calls.call_optimized(self._roles, role.role_arn, role.session_name, service, action, parameters)
        if integration == "events:putEvents" and result.get("FailedEntryCount"):
            raise stepfunctions._ExecutionError("EventBridge.FailedEntry", json.dumps(result))
        return result

    def _authorize_lambda(self, resource: str, input_data: Any) -> None:
        is_optimized = "states:::lambda:invoke" in resource
        function = str(input_data.get("FunctionName", "") if is_optimized else resource)
        if not function.startswith("arn:"):
            region, account = responses.get_region(), responses.get_account_id()
            function = f"arn:aws:lambda:{region}:{account}:function:{function}"
        self.authorize("lambda:InvokeFunction", function, "Lambda.AWSLambdaException")


def untrusted_message(role_arn: str) -> str:
    """Returns the message of Step Functions for a role that does not trust it."""
    return (
        "Neither the global service principal states.amazonaws.com, nor the regional one is authorized to assume the "
        f"provided role: {role_arn}"
    )
