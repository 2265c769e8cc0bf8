"""Ends executions of state machines that are stopped: one of them, or all when the local AWS closes."""

import contextvars
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

_execution: contextvars.ContextVar[str] = contextvars.ContextVar("execution", default="")


class Interrupts:
    """The executions that are stopped. Their threads end with `SystemExit`.

    `SystemExit` ends a thread without output. The state machine would retry or catch any other exception.
    """

    def __init__(self) -> None:
        """Starts with nothing stopped."""
        self._lock = threading.Lock()
        self._all_stopped = False
        self._stopped: dict[str, threading.Event] = {}

    def run(self, execution_arn: str, function: Callable[..., Any], *args: Any) -> Any:
        """Calls a function as a part of an execution."""
        token = _execution.set(execution_arn)
        try:
            return function(*args)
        finally:
            _execution.reset(token)

    def stop(self, execution_arn: str) -> None:
        """Ends the threads of an execution. A task that runs is not interrupted, and its result is ignored."""
        self._event(execution_arn).set()

    def stop_all(self) -> None:
        """Ends the threads of all executions, and of those that start later."""
        with self._lock:
            self._all_stopped = True
            events = list(self._stopped.values())
        for event in events:
            event.set()

    def is_stopped(self, execution_arn: str) -> bool:
        """Returns whether an execution is stopped."""
        return self._event(execution_arn).is_set()

    def check(self) -> None:
        """Ends this thread if its execution is stopped."""
        if self.is_stopped(_execution.get()):
            raise SystemExit

    def sleep(self, seconds: float) -> None:
        """Sleeps until the execution of this thread is stopped, at most for some seconds."""
        self._event(_execution.get()).wait(max(0.0, seconds))
        self.check()

    def _event(self, execution_arn: str) -> threading.Event:
        with self._lock:
            event = self._stopped.setdefault(execution_arn, threading.Event())
            if self._all_stopped:
                event.set()
            return event


class DaemonPool:
    """A `ThreadPoolExecutor` whose threads never keep a process running.

    Python waits for the threads of a `ThreadPoolExecutor` at its end, even if they sleep for hours.
    """

    def __init__(self, max_workers: int) -> None:
        """Starts no thread yet.

        Args:
            max_workers: How many threads run at once.
        """
        self._slots = threading.Semaphore(max_workers)

    def __enter__(self) -> "DaemonPool":
        return self

    def __exit__(self, *_exc: object) -> None:
        pass

    def submit(self, function: Callable[..., Any], *args: Any) -> "Future[Any]":
        """Calls a function in a thread as soon as one is free."""
        future: Future[Any] = Future()
        self._slots.acquire()

        def run() -> None:
            try:
                future.set_result(function(*args))
            except BaseException as error:
                future.set_exception(error)
            finally:
                self._slots.release()

        threading.Thread(target=run, daemon=True).start()
        return future

    def shutdown(self, wait: bool = True) -> None:
        """Does nothing: the threads end with their functions."""
