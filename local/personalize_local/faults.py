"""Fault injection: makes any operation of Personalize fail, respond late, or return invalid JSON."""

import random
import threading
from dataclasses import dataclass

#: Instead of an operation: the job itself, which ends CREATE FAILED with the message as its reason.
JOB = "the job itself"
#: Instead of an operation: any operation.
ANY = "*"


@dataclass
class Fault:
    """A failure to inject.

    Attributes:
        operation: The name of an operation, `ANY` or `JOB`.
        code: The error code to answer. If omitted, the answer is correct unless `reset` or `malformed` is set.
        message: The error message.
        status: The HTTP status of the error.
        delay: Seconds to wait before the answer.
        reset: Whether to cut the connection instead of answering.
        malformed: Whether to answer invalid JSON.
        after: Whether to run the operation first, so that only its answer is lost.
        times: How often to fail. None means always.
        probability: The probability of each failure, from 0 to 1.
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
    """The faults that are still to be injected."""

    def __init__(self, seed: int = 0) -> None:
        """Starts without faults.

        Args:
            seed: The seed of the random numbers that `Fault.probability` is compared with.
        """
        self._faults: list[Fault] = []
        self._lock = threading.Lock()
        self._random = random.Random(seed)

    def inject(self, *faults: Fault) -> None:
        """Adds faults. If several match an operation, the one added first takes effect."""
        with self._lock:
            self._faults.extend(faults)

    def clear(self) -> None:
        """Removes all faults."""
        with self._lock:
            self._faults.clear()

    def next_fault(self, operation: str) -> Fault | None:
        """Returns the fault for a call of an operation, if any, and counts it."""
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
