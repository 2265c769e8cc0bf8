"""Determines whether the stack is rolling back or being deleted, which only its status shows, not the event."""

from typing import Any

from . import clients, log
from .errors import JobError, StackUnknownError, explain
from .events import Event, seconds_left
from .lifecycle import RESERVED_SECONDS, require_time
from .retries import RetryBudget, call_with_retries

# A Create continues without the status, so it does not wait long for it.
_MAX_SECONDS_OF_CREATE = 10


class Stack:
    """The stack that an event comes from."""

    def __init__(self, event: Event, context: Any) -> None:
        """Takes CloudFormation's request and the Lambda's context."""
        self._event, self._context = event, context
        self._is_update = event.get("RequestType") == "Update"
        self._unknown: StackUnknownError | None = None

    def is_rolling_back(self) -> bool:
        """Returns whether the event is part of a rollback of the stack; only an Update can be.

        Raises:
            StackUnknownError: The stack's status is unknown.
        """
        return self._is_update and "ROLLBACK" in self._status()

    def may_be_rolling_back(self) -> bool:
        """Returns whether the event is or may be part of a rollback."""
        try:
            return self.is_rolling_back()
        except StackUnknownError:
            return True

    def require_can_create(self) -> None:
        """Checks that the stack still needs a new job.

        You can cancel a deployment while the handler retries or stages, and an event can be redelivered hours later. If
        the status is unknown, a Create continues, since few of them are late, and an Update fails.

        Raises:
            StackUnknownError: The stack's status is unknown, and the event is an Update.
            UnavailableError: No time is left for a call that hangs, and for the response.
            JobError: The stack is rolling back or being deleted.
        """
        try:
            status = self._status()
        except StackUnknownError:
            if self._is_update:
                raise
            status = ""
        require_time(self._context)
        if "DELETE" in status:
            raise JobError(f"the stack is being deleted ({status}), so no job was created")
        if "ROLLBACK" in status:
            raise JobError(f"the stack is rolling back ({status}), so no job was created")

    def _status(self) -> str:
        if self._unknown is not None:
            raise self._unknown
        seconds = seconds_left(self._context) - RESERVED_SECONDS
        try:
            response = call_with_retries(
                clients.cloudformation().describe_stacks,
                RetryBudget(seconds if self._is_update else min(seconds, _MAX_SECONDS_OF_CREATE)),
                member="Stacks",
                StackName=self._event["StackId"],
            )
            (stack,) = response["Stacks"]
            return str(stack["StackStatus"])
        except Exception as error:
            # Including any malformed response.
            explained = explain(error, {})
            log.event("stack not known", error=str(explained))
            unknown = StackUnknownError(
                f"cannot tell whether the stack is rolling back, so no job was created: {explained}"
            )
            if self._is_update:
                # The time for retries is over. A Create checks again before its next attempt.
                self._unknown = unknown
            raise unknown from error
