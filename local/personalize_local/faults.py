"""Failures on demand: any operation can be told to answer with an error, late, cut off, or nonsense."""

import random
import threading
from dataclasses import dataclass

#: In place of an operation: the job itself, which then ends CREATE FAILED with the message as its reason.
JOB = "the job itself"
#: In place of an operation: whichever is called.
ANY = "*"


@dataclass
class Fault:
    """What is to go wrong.

    Attributes:
        operation: An operation's name, `ANY` or `JOB`.
        code: The error to answer with; without it the answer is the right one, if `reset` or `malformed` do not say
            otherwise.
        message: The error's message.
        status: The error's HTTP status.
        delay: Seconds before the answer.
        reset: Whether the connection is cut instead of answered.
        malformed: Whether the answer is no JSON.
        after: Whether the service has done its work when it goes wrong, so that only its answer is lost.
        times: How often it goes wrong; None for ever.
        probability: How likely it goes wrong each time, 0 to 1.
    """

    operation: str
    code: str | None = None
    message: str = "injected"
    status: int = 400
    delay: float = 0
    reset: bool = False
    malformed: bool = False
    after: bool = False
    times: int | None = 1
    probability: float = 1.0


class Faults:
    """The failures that are to come."""

    def __init__(self, seed: int = 0) -> None:
        """Starts without any.

        Args:
            seed: Of what is random.
        """
        self._faults: list[Fault] = []
        self._lock = threading.Lock()
        self._random = random.Random(seed)

    def inject(self, *faults: Fault) -> None:
        """Adds failures; of two for one operation the earlier one comes first."""
        with self._lock:
            self._faults.extend(faults)

    def clear(self) -> None:
        """Forgets all that have not come."""
        with self._lock:
            self._faults.clear()

    def take(self, operation: str) -> Fault | None:
        """What goes wrong with a call of an operation, if anything."""
        with self._lock:
            for fault in self._faults:
                if fault.operation not in (operation, ANY) or (operation == JOB) != (fault.operation == JOB):
                    continue
                if self._random.random() >= fault.probability:
                    continue
                if fault.times is not None:
                    fault.times -= 1
                    if not fault.times:
                        self._faults.remove(fault)
                return fault
        return None
