"""A command of ``personalize-local run`` uses the terminal, Ctrl-C and Ctrl-Z as in a shell."""

import contextlib
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from personalize_local.errors import UsageError
from personalize_local.process import run_command
from support.local import wait_until


def processes(of: str) -> list[str]:
    listed = subprocess.run(["ps", "-A", "-ww", "-o", "args="], capture_output=True, text=True, check=True).stdout
    return [line for line in listed.splitlines() if of in line]


@pytest.mark.parametrize("sender", ["the terminal", "another process"])
def test_stopping_it_stops_the_command_and_cleans_up(tmp_path: Path, sender: str) -> None:
    ready = tmp_path / "ready"
    marker = f"sleep 98765.{os.getpid()}{len(sender)}"
    script = f"env > {ready}; {marker} & {marker}"
    tool = Path(sys.executable).with_name("personalize-local")
    command = [str(tool), "run", "--", "sh", "-c", script]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    wait_until(lambda: processes(marker).count(marker) == 2)
    (cdk_home,) = re.findall(r"^CDK_HOME=(.*)$", ready.read_text(), re.M)
    folder = Path(cdk_home).parent
    assert folder.is_dir()
    if sender == "the terminal":
        os.killpg(process.pid, signal.SIGINT)
    else:
        process.terminate()
    _, error = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "Traceback" not in error
    assert processes(marker) == []
    assert not folder.exists()


# A command that has read from the terminal is in the foreground. Before that, only the tool gets Ctrl-C and Ctrl-Z.
READ_GO = "read go; echo ready"
RUN = (
    "import os, sys; from personalize_local.process import run_command; sys.exit(run_command(sys.argv[1:], os.environ))"
)


class Terminal:
    """A terminal in which the tool runs a shell script. Every wait fails after two minutes."""

    def __init__(self, script: str) -> None:
        self._pid, self._fd = pty.fork()
        if self._pid == 0:
            os.execv(sys.executable, [sys.executable, "-c", RUN, "sh", "-c", script])
        self._has_exited = False

    def type(self, keys: bytes) -> None:
        os.write(self._fd, keys)

    def read_until(self, text: bytes) -> None:
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


def test_ctrl_z_stops_and_resumes_the_command_too() -> None:
    with terminal_with(f"{READ_GO}; read x; test $x = hello") as terminal:
        terminal.type(b"go\n")
        terminal.read_until(b"ready")
        terminal.type(b"\x1a")
        terminal.wait_until_stopped()
        terminal.resume()
        terminal.type(b"hello\n")
        assert terminal.wait_for_exit_code() == 0


@pytest.mark.parametrize("run", range(3))
def test_the_command_can_read_the_terminal(run: int) -> None:
    with terminal_with("echo ready; read x; test $x = hello") as terminal:
        terminal.read_until(b"ready")
        terminal.type(b"hello\n")
        assert terminal.wait_for_exit_code() == 0


def test_ctrl_c_interrupts_the_command() -> None:
    with terminal_with(f"{READ_GO}; trap 'exit 7' INT; sleep 60 & wait") as terminal:
        terminal.type(b"go\n")
        terminal.read_until(b"ready")
        terminal.type(b"\x03")
        # 130 is the exit code of a shell for a command that Ctrl-C ended.
        assert terminal.wait_for_exit_code() in (7, 130)


def test_reports_a_command_that_cannot_be_run() -> None:
    with pytest.raises(UsageError, match="run: '/' cannot be run: Permission denied"):
        run_command(["/"], dict(os.environ))
