"""Whether jobs may still be created: a deployment can be rolled back, and a run of a workflow ends at a deadline."""

import time
from typing import Any, Protocol

from . import clients
from .errors import JobError, UnavailableError
from .events import seconds_left

#: For a last call that hangs, and for the response.
RESERVED_SECONDS = clients.MAX_CALL_SECONDS + 10


class Lifecycle(Protocol):
    """The deployment or the run that needs a job."""

    def is_rolling_back(self) -> bool:
        """Returns whether it is a rollback, which creates nothing."""

    def may_be_rolling_back(self) -> bool:
        """Returns whether it is a rollback, or that is not known."""

    def require_can_create(self) -> None:
        """Raises a `JobError` unless a job may be created now."""


class RunLifecycle:
    """A run of a workflow. No run is rolled back."""

    def __init__(self, deadline: float, context: Any) -> None:
        """Takes the Unix time at which the run gives up, and the Lambda's context."""
        self._deadline, self._context = deadline, context

    def is_rolling_back(self) -> bool:
        return False

    def may_be_rolling_back(self) -> bool:
        return False

    def require_can_create(self) -> None:
        """Checks that the run has time left.

        Raises:
            UnavailableError: No time is left for a call that hangs, and for the response.
            JobError: The run's time is over.
        """
        require_time(self._context)
        if time.time() > self._deadline:
            raise JobError("the time of the run is over, so no job was created")


def require_time(context: Any) -> None:
    """Checks that the function has time for a call that hangs, and for the response.

    Raises:
        UnavailableError: It has not. A call that is cut off may create a job that nobody hears of.
    """
    if seconds_left(context) < RESERVED_SECONDS:
        raise UnavailableError("no time is left, so no job was created. Deploy again")
