"""A command of ``personalize-local run`` uses the terminal, Ctrl-C and Ctrl-Z as in a shell."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from personalize_local.errors import UsageError
from personalize_local.process import check_command, run_command
from support.local import wait_until
from support.terminal import terminal_with


def processes(of: str) -> list[str]:
    listed = subprocess.run(["ps", "-A", "-ww", "-o", "args="], capture_output=True, text=True, check=True).stdout
    return [line for line in listed.splitlines() if of in line]


@pytest.mark.parametrize("sender", ["the terminal", "another process", "a closed terminal"])
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
    elif sender == "another process":
        process.terminate()
    else:
        assert process.stderr is not None
        process.stderr.close()
        process.send_signal(signal.SIGHUP)
    if sender == "a closed terminal":
        process.wait(timeout=120)
        error = ""
    else:
        _, error = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "Traceback" not in error
    assert processes(marker) == []
    assert not folder.exists()


# A command that has read from the terminal is in the foreground. Before that, only the tool gets Ctrl-C and Ctrl-Z.
READ_GO = "read go; echo ready"


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


def test_checks_that_a_command_exists(tmp_path: Path) -> None:
    (tmp_path / "tool").touch(mode=0o755)
    check_command(["tool"], str(tmp_path))
    check_command([str(tmp_path / "tool")], "")
    with pytest.raises(
        UsageError, match=r"^run: got the command 'none', expected a program in PATH or an executable f"
    ):
        check_command(["none"], str(tmp_path))
