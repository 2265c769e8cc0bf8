"""Ends what would keep the process: MiniStack runs executions and deployments in threads that nothing else stops."""

import threading
from typing import Any

from ministack.services import stepfunctions
from ministack.services.cloudformation import custom_resource

_REASON = "the local AWS is stopping"


class Ending:
    """Lets go of everything that waits, at once and for good."""

    def __init__(self) -> None:
        """Makes MiniStack's waits such as can be ended."""
        self._ended = threading.Event()
        self._interrupt_executions()
        self._interrupt_deployments()

    def end(self) -> None:
        """Stops executions of state machines, and deployments that wait for a custom resource."""
        self._ended.set()
        for execution in list(stepfunctions._executions._data.values()):
            if execution["status"] == "RUNNING":
                execution["status"] = "ABORTED"
        for waiting in list(stepfunctions._task_tokens.values()):
            waiting["error"] = {"Error": "States.Runtime", "Cause": _REASON}
            waiting["event"].set()
        for token in list(custom_resource._pending):
            custom_resource.deliver_response(token, {"Status": "FAILED", "Reason": _REASON})

    def _leave(self) -> None:
        # It ends a thread without a word. A plain error would be retried or caught by the state machine.
        if self._ended.is_set():
            raise SystemExit

    def _interrupt_executions(self) -> None:
        def scaled_sleep(seconds: float) -> None:
            self._ended.wait(max(0, seconds * stepfunctions._SFN_WAIT_SCALE))
            self._leave()

        stepfunctions._scaled_sleep = scaled_sleep
        # A Map has threads of its own and starts its items one after the other.
        for name in ("_run_sub_machine", "_execute_task"):
            setattr(stepfunctions, name, self._unless_ended(getattr(stepfunctions, name)))

    def _interrupt_deployments(self) -> None:
        register = custom_resource.register_token

        def register_token(token: str) -> Any:
            if self._ended.is_set():
                raise RuntimeError(_REASON)
            return register(token)

        custom_resource.register_token = register_token

    def _unless_ended(self, function: Any) -> Any:
        def called(*arguments: Any, **named: Any) -> Any:
            self._leave()
            return function(*arguments, **named)

        return called
