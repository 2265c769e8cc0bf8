"""Stops the threads of MiniStack, which run executions and deployments and would keep the process running."""

import threading
from typing import Any

from ministack.services import stepfunctions
from ministack.services.cloudformation import custom_resource

from .interrupts import Interrupts
from .patching import replace

_REASON = "the local AWS is stopping"


class Shutdown:
    """Interrupts all executions and deployments that wait, permanently."""

    def __init__(self, interrupts: Interrupts) -> None:
        """Makes deployments interruptible.

        Args:
            interrupts: The interrupts of executions.
        """
        self._interrupts = interrupts
        self._stopped = threading.Event()
        self._make_deployments_interruptible()

    def stop(self) -> None:
        """Stops executions of state machines, and deployments that wait for a custom resource."""
        self._stopped.set()
        for execution in list(stepfunctions._executions._data.values()):
            if execution["status"] == "RUNNING":
                execution["status"] = "ABORTED"
        self._interrupts.stop_all()
        for waiting in list(stepfunctions._task_tokens._data.values()):
            waiting["error"] = {"Error": "States.Runtime", "Cause": _REASON}
            waiting["event"].set()
        for token in list(custom_resource._pending):
            custom_resource.deliver_response(token, {"Status": "FAILED", "Reason": _REASON})

    def _make_deployments_interruptible(self) -> None:
        def make(register: Any) -> Any:
            def register_token(token: str) -> Any:
                if self._stopped.is_set():
                    raise RuntimeError(_REASON)
                return register(token)

            return register_token

        replace(custom_resource, "register_token", "token", make)
