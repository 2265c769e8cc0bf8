"""The processes of Lambda functions: what MiniStack does differently from Lambda when a handler raises an exception."""

import threading
from typing import Any

from ministack.core import lambda_runtime
from ministack.services import lambda_svc

from .patching import replace

_last = threading.local()


def apply() -> None:
    """Patches MiniStack in place.

    MiniStack ends a function's process when the handler raises an exception, and does not report the type of the
    exception. Lambda ends the process only when it crashes or times out:
    https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html#runtimes-lifecycle-invoke-with-errors
    A new process takes about a second, an invocation of a running one 30 ms.
    """
    reports = {
        "_PYTHON_WORKER_SCRIPT": (
            '{"status": "error", "error": str(e), "trace"',
            '{"status": "ok", "raised": type(e).__name__, "error": str(e), "trace"',
        ),
        "_NODEJS_WORKER_SCRIPT": (
            'status: "error", error: String(err.message',
            'status: "ok", raised: String(err.name || "Error"), error: String(err.message',
        ),
    }
    for name, (error, marked) in reports.items():
        script = getattr(lambda_runtime, name)
        if script.count(error) != 1:
            raise RuntimeError(f"MiniStack's {name} does not report exceptions as expected")
        setattr(lambda_runtime, name, script.replace(error, marked))
    invoke = lambda_runtime.Worker.invoke

    def invoke_and_keep(self: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        answer: dict[str, Any] = invoke(self, *args, **kwargs)
        _last.error_type = answer.pop("raised", None)
        return answer if _last.error_type is None else {**answer, "status": "error"}

    lambda_runtime.Worker.invoke = invoke_and_keep
    replace(lambda_svc, "_execute_function_warm", "func event request_id", _with_error_type)


def _with_error_type(execute: Any) -> Any:
    def execute_function(func: Any, event: Any, request_id: str) -> Any:
        _last.error_type = None
        result = execute(func, event, request_id)
        if result.get("error") and _last.error_type is not None:
            result["body"]["errorType"] = _last.error_type
        return result

    return execute_function
