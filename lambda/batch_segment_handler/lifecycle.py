"""Checks whether a job may still be created: not in a rollback, and not just before the function times out."""

from typing import Any, Protocol

from . import clients
from .errors import UnavailableError
from .events import seconds_left

#: For a last call that hangs, and for the response.
RESERVED_SECONDS = clients.MAX_CALL_SECONDS + 10


class Lifecycle(Protocol):
    """The deployment or the run that needs a job."""

    def is_rolling_back(self) -> bool:
        """Returns whether it is a rollback, which creates nothing."""

    def may_be_rolling_back(self) -> bool:
        """Returns whether it is or may be a rollback."""

    def require_can_create(self) -> None:
        """Raises a `JobError` unless a job may be created now."""


class RunLifecycle:
    """A run of a workflow, which is never rolled back."""

    def __init__(self, context: Any) -> None:
        """Takes the Lambda's context."""
        self._context = context

    def is_rolling_back(self) -> bool:
        return False

    def may_be_rolling_back(self) -> bool:
        return False

    def require_can_create(self) -> None:
        """Checks that the function has time left.

        Raises:
            UnavailableError: No time is left for a call that hangs, and for the response.
        """
        require_time(self._context)


def require_time(context: Any) -> None:
    """Checks that the function has time for a call that hangs, and for the response.

    Raises:
        UnavailableError: Too little time is left. A call that is cut off could create a job without a response.
    """
    if seconds_left(context) < RESERVED_SECONDS:
        raise UnavailableError("no time is left, so no job was created. Deploy again")
