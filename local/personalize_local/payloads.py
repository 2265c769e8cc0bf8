"""The size limit of Step Functions: 256 KiB for the input and the output of a state, a task or an execution.

https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
"""

import json
from typing import Any

from ministack.services import stepfunctions

from .patching import replace

_MAX_BYTES = 262_144


def apply() -> None:
    """Patches MiniStack in place."""
    for name, parameters in {
        "_execute_pass": "state_def raw_input ctx",
        "_execute_task": "state_def raw_input execution ctx",
        "_execute_parallel": "state_def raw_input execution ctx",
        "_execute_map": "state_def raw_input execution ctx",
    }.items():
        replace(stepfunctions, name, parameters, _limited_state)
    replace(stepfunctions, "_invoke_resource", "resource input_data", _limited_task)


def check_size(data: Any, ctx: Any) -> None:
    """Checks the size of the input or output of a state.

    Raises:
        stepfunctions._ExecutionError: It is too large.
    """
    if len(json.dumps(data, separators=(",", ":"), ensure_ascii=False).encode()) > _MAX_BYTES:
        name = ((ctx or {}).get("State") or {}).get("Name", "")
        raise stepfunctions._ExecutionError(
            "States.DataLimitExceeded",
            f"The state/task '{name}' returned a result with a size exceeding the maximum number of bytes service "
            "limit.",
        )


def _limited_state(execute: Any) -> Any:
    def execute_state(state_def: Any, raw_input: Any, *rest: Any) -> Any:
        output, following = execute(state_def, raw_input, *rest)
        check_size(output, rest[-1] if rest else None)
        return output, following

    return execute_state


def _limited_task(invoke: Any) -> Any:
    def invoke_resource(resource: str, input_data: Any) -> Any:
        check_size(input_data, None)
        result = invoke(resource, input_data)
        check_size(result, None)
        return result

    return invoke_resource
