"""Stops the threads of MiniStack, which run executions and deployments and would keep the process running."""

import threading
from typing import Any

from ministack.services import stepfunctions
from ministack.services.cloudformation import custom_resource

_REASON = "the local AWS is stopping"


class Shutdown:
    """Interrupts everything that waits, at once and permanently."""

    def __init__(self) -> None:
        """Makes the waits of MiniStack interruptible."""
        self._stopped = threading.Event()
        self._make_executions_interruptible()
        self._make_deployments_interruptible()

    def stop(self) -> None:
        """Stops executions of state machines, and deployments that wait for a custom resource."""
        self._stopped.set()
        for execution in list(stepfunctions._executions._data.values()):
            if execution["status"] == "RUNNING":
                execution["status"] = "ABORTED"
        for waiting in list(stepfunctions._task_tokens.values()):
            waiting["error"] = {"Error": "States.Runtime", "Cause": _REASON}
            waiting["event"].set()
        for token in list(custom_resource._pending):
            custom_resource.deliver_response(token, {"Status": "FAILED", "Reason": _REASON})

    def _exit_thread_if_stopped(self) -> None:
        # SystemExit ends a thread without output. The state machine would retry or catch any other exception.
        if self._stopped.is_set():
            raise SystemExit

    def _make_executions_interruptible(self) -> None:
        def scaled_sleep(seconds: float) -> None:
            self._stopped.wait(max(0, seconds * stepfunctions._SFN_WAIT_SCALE))
            self._exit_thread_if_stopped()

        stepfunctions._scaled_sleep = scaled_sleep
        # A Map state has its own threads and starts its items one after the other.
        for name in ("_run_sub_machine", "_execute_task"):
            setattr(stepfunctions, name, self._interruptible(getattr(stepfunctions, name)))

    def _make_deployments_interruptible(self) -> None:
        register = custom_resource.register_token

        def register_token(token: str) -> Any:
            if self._stopped.is_set():
                raise RuntimeError(_REASON)
            return register(token)

        custom_resource.register_token = register_token

    def _interruptible(self, function: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            self._exit_thread_if_stopped()
            return function(*args, **kwargs)

        return call
