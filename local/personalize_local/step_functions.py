"""Fixes differences between MiniStack's Step Functions and AWS that matter to workflows."""

import contextlib
import contextvars
import random
from typing import Any

from ministack.core import responses
from ministack.services import cloudwatch, stepfunctions
from ministack.services.cloudformation import provisioners

from . import json_paths, payloads
from .distributed_map import DistributedMaps
from .interrupts import DaemonPool, Interrupts
from .patching import replace, require
from .roles import Roles, may_be_assumed
from .state_tasks import SERVICE, StateTasks, untrusted_message

# https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html
_NEVER_CAUGHT_BY_ALL = ("States.DataLimitExceeded", "States.Runtime")
_TYPE = "AWS::StepFunctions::StateMachine"
# https://docs.aws.amazon.com/step-functions/latest/dg/procedure-cw-metrics.html
_METRICS = {"RUNNING": "Started", "SUCCEEDED": "Succeeded", "FAILED": "Failed", "ABORTED": "Aborted"}


def apply(roles: Roles, interrupts: Interrupts, wait_scale: float) -> None:
    """Patches MiniStack in place.

    Args:
        roles: Creates clients that act as roles.
        interrupts: Ends executions that are stopped.
        wait_scale: The factor for ``Wait`` states.

    Raises:
        RuntimeError: MiniStack is not as expected.
    """
    tasks = StateTasks(roles)
    DistributedMaps(tasks, interrupts)
    json_paths.apply()
    payloads.apply()
    _interrupt(interrupts, wait_scale)
    _delay_retries()
    _check_roles()
    replace(stepfunctions, "_error_matches", "error_equals error", _matching_errors)
    replace(stepfunctions, "_emit_execution_status_event", "execution", _recording_metrics)


def _interrupt(interrupts: Interrupts, wait_scale: float) -> None:
    scale: contextvars.ContextVar[float] = contextvars.ContextVar("scale", default=stepfunctions._SFN_WAIT_SCALE)

    def make_sleep(_: Any) -> Any:
        return lambda seconds: interrupts.sleep(seconds * scale.get())

    def make_wait(wait: Any) -> Any:
        def execute_wait(state_def: Any, raw_input: Any, ctx: Any = None) -> Any:
            token = scale.set(wait_scale)
            try:
                return wait(state_def, raw_input, ctx)
            finally:
                scale.reset(token)

        return execute_wait

    def make_run(run: Any) -> Any:
        def run_execution(execution_arn: str) -> None:
            with contextlib.suppress(SystemExit):
                interrupts.run(execution_arn, run, execution_arn)

        return run_execution

    def checked(function: Any) -> Any:
        def call(*args: Any) -> Any:
            interrupts.check()
            return function(*args)

        return call

    require(stepfunctions, "_SFN_WAIT_SCALE", "ThreadPoolExecutor")
    stepfunctions.ThreadPoolExecutor = DaemonPool
    replace(stepfunctions, "_scaled_sleep", "seconds", make_sleep)
    replace(stepfunctions, "_execute_wait", "state_def raw_input ctx", make_wait)
    replace(stepfunctions, "_run_execution", "exec_arn", make_run)
    # A Map state has its own threads and starts its items one after the other.
    replace(stepfunctions, "_run_sub_machine", "states start_at input_data execution ctx", checked)
    replace(stepfunctions, "_execute_task", "state_def raw_input execution ctx", checked)


def _delay_retries() -> None:
    # MiniStack supports neither MaxDelaySeconds nor JitterStrategy, and waits at most a minute.
    # https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html#error-handling-retrying-after-an-error
    def make(find: Any) -> Any:
        def find_matching_retrier(retriers: Any, error: str, retry_counts: dict[int, int]) -> Any:
            retrier, index = find(retriers, error, retry_counts)
            if retrier is None:
                return retrier, index
            delay = retrier.get("IntervalSeconds", 1) * retrier.get("BackoffRate", 2.0) ** retry_counts.get(index, 0)
            delay = min(delay, retrier.get("MaxDelaySeconds", delay))
            if retrier.get("JitterStrategy") == "FULL":
                delay = random.uniform(0, delay)
            return {**retrier, "IntervalSeconds": delay, "BackoffRate": 1.0}, index

        return find_matching_retrier

    replace(stepfunctions, "_find_matching_retrier", "retriers error retry_counts", make)


def _matching_errors(matches: Any) -> Any:
    def error_matches(error_equals: list[str], error: str) -> bool:
        if error in _NEVER_CAUGHT_BY_ALL:
            return error in error_equals
        return bool(matches(error_equals, error))

    return error_matches


def _check_roles() -> None:
    # Step Functions rejects a role that it cannot assume.
    def make(change: Any) -> Any:
        def change_machine(data: Any) -> Any:
            region, account = responses.get_region(), responses.get_account_id()
            arn = data.get("stateMachineArn") or f"arn:aws:states:{region}:{account}:stateMachine:{data.get('name')}"
            role = data.get("roleArn")
            if role and not may_be_assumed(role, SERVICE, arn):
                return responses.error_response_json("AccessDeniedException", untrusted_message(role), 400)
            return change(data)

        return change_machine

    for name in ("_create_state_machine", "_update_state_machine"):
        replace(stepfunctions, name, "data", make)
    handler = provisioners._RESOURCE_HANDLERS[_TYPE]
    create = handler["create"]

    def create_machine(logical_id: str, props: dict[str, Any], stack_name: str) -> Any:
        arn, attributes = create(logical_id, props, stack_name)
        if not may_be_assumed(props.get("RoleArn", ""), SERVICE, arn):
            del stepfunctions._state_machines[arn]
            raise ValueError(untrusted_message(props.get("RoleArn", "")))
        return arn, attributes

    handler["create"] = create_machine


def _recording_metrics(emit: Any) -> Any:
    def emit_status(execution: dict[str, Any]) -> None:
        emit(execution)
        name = _METRICS.get(execution["status"])
        if name is not None:
            dimensions = {"StateMachineArn": execution["stateMachineArn"]}
            cloudwatch.record_metric("AWS/States", f"Executions{name}", 1, "Count", dimensions)
            cloudwatch._evaluate_all_alarms()

    return emit_status
