"""Fixes how MiniStack's processes of Lambda functions handle exceptions and log lines."""

import queue
import threading
import time
from typing import Any

from ministack.core import lambda_runtime
from ministack.services import lambda_svc

from .patching import replace

_last = threading.local()
# A process writes it after the log lines of an invocation.
_END_OF_LOG = "personalize-local: end of log"
_MAX_LOG_SECONDS = 2.0


_CHANGES = (
    (
        "_PYTHON_WORKER_SCRIPT",
        '{"status": "error", "error": str(e), "trace"',
        '{"status": "ok", "raised": type(e).__name__, "error": str(e), "trace"',
    ),
    (
        "_NODEJS_WORKER_SCRIPT",
        'status: "error", error: String(err.message',
        'status: "ok", raised: String(err.name || "Error"), error: String(err.message',
    ),
    (
        "_PYTHON_WORKER_SCRIPT",
        "        _real_stdout.flush()\n\nrun()",
        f'        print("{_END_OF_LOG}", file=sys.stderr, flush=True)\n        _real_stdout.flush()\n\nrun()',
    ),
    (
        "_NODEJS_WORKER_SCRIPT",
        "        settled = true;\n",
        f'        settled = true;\n        _stderrWrite("{_END_OF_LOG}\\n");\n',
    ),
    (
        "_NODEJS_WORKER_SCRIPT",
        '        status: "error", error: e.message, trace: e.stack\n      }) + "\\n");\n',
        '        status: "error", error: e.message, trace: e.stack\n      }) + "\\n");\n'
        f'      _stderrWrite("{_END_OF_LOG}\\n");\n',
    ),
)


def apply() -> None:
    """Patches MiniStack in place.

    MiniStack ends a function's process when the handler raises an exception, and does not report the type of the
    exception. Lambda ends the process only when it crashes or times out:
    https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html#runtimes-lifecycle-invoke-with-errors
    A new process takes about a second, an invocation of a running one 30 ms.

    MiniStack waits at most 50 ms for the first log line of an invocation and 5 ms for each other one. On a busy machine
    lines would be lost, and with them metrics.
    """
    for name, expected, changed in _CHANGES:
        script = getattr(lambda_runtime, name)
        if script.count(expected) != 1:
            raise RuntimeError(f"MiniStack's {name} is not as expected: {expected.strip()}")
        setattr(lambda_runtime, name, script.replace(expected, changed))
    invoke = lambda_runtime.Worker.invoke

    def invoke_and_keep(self: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        answer: dict[str, Any] = invoke(self, *args, **kwargs)
        _last.error_type = answer.pop("raised", None)
        return answer if _last.error_type is None else {**answer, "status": "error"}

    lambda_runtime.Worker.invoke = invoke_and_keep
    lambda_runtime.Worker._drain_stderr_bounded = _read_log
    replace(lambda_svc, "_execute_function_warm", "func event request_id", _with_error_type)


def _with_error_type(execute: Any) -> Any:
    def execute_function(func: Any, event: Any, request_id: str) -> Any:
        _last.error_type = None
        result = execute(func, event, request_id)
        if result.get("error") and _last.error_type is not None:
            result["body"]["errorType"] = _last.error_type
        return result

    return execute_function


def _read_log(worker: Any) -> str:
    """Returns the log lines of the last invocation of a process."""
    lines: list[str] = []
    ends = time.monotonic() + _MAX_LOG_SECONDS
    while time.monotonic() < ends:
        try:
            line = worker._stderr_queue.get(timeout=0.05)
        except queue.Empty:
            if worker._proc is None:
                # It has crashed.
                break
            continue
        # The last line of the function may have no end.
        if line.endswith(_END_OF_LOG):
            lines += filter(None, [line.removesuffix(_END_OF_LOG)])
            break
        lines.append(line)
    return "\n".join(lines)
