"""A terminal in which ``personalize_local.process`` runs a command."""

import contextlib
import os
import pty
import select
import signal
import sys
import time
from collections.abc import Iterator

import pytest

from .local import wait_until

_RUN = (
    "import os, sys; from personalize_local.process import run_command; sys.exit(run_command(sys.argv[1:], os.environ))"
)


class Terminal:
    """A terminal in which the tool runs a shell script. Every wait ends with a failure after two minutes."""

    def __init__(self, script: str) -> None:
        self._pid, self._fd = pty.fork()
        if self._pid == 0:
            os.execv(sys.executable, [sys.executable, "-c", _RUN, "sh", "-c", script])
        self._has_exited = False

    def type(self, keys: bytes) -> None:
        os.write(self._fd, keys)

    def read_until(self, text: bytes) -> bytes:
        shown = b""
        deadline = time.monotonic() + 120
        while text not in shown:
            readable, _, _ = select.select([self._fd], [], [], max(0, deadline - time.monotonic()))
            assert readable, f"the terminal did not show {text!r} within two minutes, but {shown!r}"
            try:
                shown += os.read(self._fd, 1000)
            except OSError:
                # Linux reports the end of the last process as an error.
                pytest.fail(f"the tool exited before it showed {text!r}; it showed {shown!r}")
        return shown

    def resume(self) -> None:
        os.kill(self._pid, signal.SIGCONT)

    def wait_until_stopped(self) -> None:
        assert os.WIFSTOPPED(self._wait(os.WUNTRACED))

    def wait_for_exit_code(self) -> int:
        return os.waitstatus_to_exitcode(self._wait(0))

    def _wait(self, options: int) -> int:
        statuses: list[int] = []

        def has_changed() -> bool:
            pid, status = os.waitpid(self._pid, options | os.WNOHANG)
            statuses.append(status)
            return pid != 0

        wait_until(has_changed)
        self._has_exited = not os.WIFSTOPPED(statuses[-1])
        return statuses[-1]

    def close(self) -> None:
        os.close(self._fd)
        if not self._has_exited:
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)


@contextlib.contextmanager
def terminal_with(script: str) -> Iterator[Terminal]:
    terminal = Terminal(script)
    try:
        yield terminal
    finally:
        terminal.close()
