"""Runs a command in its own process group, with the terminal, Ctrl-C and Ctrl-Z as a shell handles them."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence

from .display import print_message
from .errors import UsageError

_MAX_SECONDS_TO_STOP = 2


def check_command(command: Sequence[str], path: str) -> None:
    """Checks that a command exists.

    Args:
        command: The command and its arguments.
        path: The ``PATH`` to search.

    Raises:
        UsageError: There is no such command.
    """
    if shutil.which(command[0], path=path) is None:
        raise UsageError(f"run: got the command {command[0]!r}, expected a program in PATH or an executable file")


def run_command(command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Runs a command and stops every process that it leaves behind.

    Args:
        command: The command and its arguments.
        environment: Its environment variables.

    Returns:
        Its exit code, or 128 + the number of the signal that ended it, as in a shell.

    Raises:
        UsageError: The command cannot be started.
    """
    try:
        # In its own process group, so that all its processes can be stopped.
        process = subprocess.Popen(command, env=environment, process_group=0)
    except OSError as error:
        raise UsageError(f"run: {command[0]!r} cannot be run: {error.strerror}") from error
    try:
        code = _wait(process)
        return code if code >= 0 else 128 - code
    except KeyboardInterrupt:
        print_message("stopping")
        for signum in (signal.SIGINT, signal.SIGTERM):
            os.killpg(process.pid, signum)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=_MAX_SECONDS_TO_STOP)
                break
        raise
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def interrupt_on_termination() -> None:
    """Makes SIGTERM, and SIGHUP when the terminal closes, clean up like Ctrl-C."""
    for signum in (signal.SIGTERM, signal.SIGHUP):
        # `nohup` ignores SIGHUP.
        if signal.getsignal(signum) is not signal.SIG_IGN:
            signal.signal(signum, signal.default_int_handler)


def exit_process(code: int) -> None:
    """Ends the process if threads of MiniStack would keep it running. Their work is no longer needed."""
    others = [
        thread for thread in threading.enumerate() if thread is not threading.current_thread() and not thread.daemon
    ]
    deadline = time.monotonic() + _MAX_SECONDS_TO_STOP
    for thread in others:
        thread.join(timeout=max(0, deadline - time.monotonic()))
    if any(thread.is_alive() for thread in others):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _wait(process: "subprocess.Popen[bytes]") -> int:
    """Waits for a command. Ctrl-Z stops the command and this process together."""
    while True:
        with _foreground(process.pid):
            _, status = os.waitpid(process.pid, os.WUNTRACED)
        if not os.WIFSTOPPED(status):
            process.returncode = os.waitstatus_to_exitcode(status)
            return process.returncode
        os.kill(os.getpid(), signal.SIGSTOP)


@contextlib.contextmanager
def _foreground(group: int) -> Iterator[None]:
    """Makes a process group the terminal's foreground group, so that it can read and receives Ctrl-C.

    Does nothing unless this process is in the foreground.
    """
    terminal = sys.stdin.fileno() if sys.stdin is not None and sys.stdin.isatty() else -1
    try:
        in_foreground = terminal >= 0 and os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        in_foreground = False
    if not in_foreground:
        yield
        return
    # Otherwise, tcsetpgrp from the background would stop this process.
    handler = signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    os.tcsetpgrp(terminal, group)
    # The group may have been stopped by a read before it was in the foreground, or by Ctrl-Z.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGCONT)
    try:
        yield
    finally:
        os.tcsetpgrp(terminal, os.getpgrp())
        signal.signal(signal.SIGTTOU, handler)
