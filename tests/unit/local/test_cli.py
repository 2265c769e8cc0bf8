"""The command ``personalize-local``."""

import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from personalize_local import cli


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["run"], "run: no command; for example: personalize-local run -- cdk deploy"),
        (["serve", "--port", "99999"], "--port: got 99999, wanted 0 to 65535, of which 0 takes a free one"),
        (["serve", "--region", "mars"], "--region: got 'mars', wanted a region like eu-west-1"),
        (["serve", "--account", "1"], "--account: got '1', wanted 12 digits"),
        (["serve", "--job-seconds", "-1"], "--job-seconds: got -1.0, wanted 0 or more"),
        (["status"], "status: AWS_ENDPOINT_URL is not set; call it within `personalize-local run -- …`, or after the"),
        (["segments"], "segments: AWS_ENDPOINT_URL is not set; call it within `personalize-local run -- …`, or after"),
    ],
)
def test_what_the_user_can_mend_is_one_sentence(arguments, sentence, capsys, monkeypatch):
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    assert cli.main(arguments) == 2
    assert capsys.readouterr().err.startswith(f"personalize-local: {sentence}")


@pytest.fixture
def within(local_aws, monkeypatch):
    """The environment that the tool gives to a command."""
    for name, value in local_aws.environment().items():
        if name.startswith(("AWS_", "PERSONALIZE_")):
            monkeypatch.setenv(name, value)
    monkeypatch.setenv("COLUMNS", "200")


def test_jobs_are_listed_with_why_they_failed_and_with_their_segments(place, within, capsys):
    place.put('{"itemId": "1"}\n')
    place.run(jobName="listed")
    place.run(jobName="failed", jobInput={"s3DataSource": {"path": f"s3://{place.input}/none/"}})
    assert cli.main(["status"]) == 0
    shown = capsys.readouterr().out
    assert re.search(r"listed +│ ACTIVE +│ +│", shown)
    assert re.search(r"failed +│ CREATE FAILED +│ No input files found at", shown)
    assert cli.main(["segments", "--users", "3"]) == 0
    shown = capsys.readouterr().out
    assert re.search(r"queries\.jsonl\.out +│ 1 +│ 25 +│ user-\d+ user-\d+ user-\d+ +│", shown)


def processes(of: str) -> list[str]:
    listed = subprocess.run(["ps", "-A", "-o", "args="], capture_output=True, text=True, check=True).stdout
    return [line for line in listed.splitlines() if of in line]


@pytest.mark.parametrize("who", ["the terminal", "another process"])
def test_stopping_ends_the_command_too_and_leaves_nothing_behind(tmp_path, who):
    ready = tmp_path / "ready"
    marker = f"sleep 98765.{os.getpid()}{len(who)}"
    script = f"env > {ready}.part && mv {ready}.part {ready}; {marker} & {marker}"
    tool = Path(sys.executable).with_name("personalize-local")
    command = [str(tool), "run", "--", "sh", "-c", script]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    for _ in range(600):
        if ready.exists():
            break
        time.sleep(0.1)
    folder = Path(re.search(r"^CDK_HOME=(.*)$", ready.read_text(), re.M)[1]).parent
    assert folder.is_dir()
    assert len(processes(marker)) >= 2
    if who == "the terminal":
        os.killpg(process.pid, signal.SIGINT)
    else:
        process.terminate()
    _, error = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in error
    assert processes(marker) == []
    assert not folder.exists()


RUN = "import os, sys; from personalize_local.cli import _run_command; sys.exit(_run_command(sys.argv[1:], os.environ))"


def test_ctrl_z_stops_the_tool_with_the_command_and_both_go_on():
    tool, terminal = pty.fork()
    if tool == 0:
        os.execv(sys.executable, [sys.executable, "-c", RUN, "sh", "-c", "echo ready; read x; test $x = hello"])
    while b"ready" not in os.read(terminal, 1000):
        pass
    os.write(terminal, b"\x1a")
    _, status = os.waitpid(tool, os.WUNTRACED)
    assert os.WIFSTOPPED(status)
    os.kill(tool, signal.SIGCONT)
    os.write(terminal, b"hello\n")
    _, status = os.waitpid(tool, 0)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(status) == 0


def at_a_terminal(*command: str, keys: list[bytes]) -> int:
    """Runs a command as the tool does, at a terminal of its own, and types; returns the exit code."""
    child, terminal = pty.fork()
    if child == 0:
        os.execv(sys.executable, [sys.executable, "-c", RUN, *command])
    try:
        for key in keys:
            while b"ready" not in os.read(terminal, 1000):
                pass
            os.write(terminal, key)
        _, status = os.waitpid(child, 0)
        return os.waitstatus_to_exitcode(status)
    finally:
        os.close(terminal)


@pytest.mark.parametrize("run", range(3))
def test_a_command_may_read_the_terminal(run):
    assert at_a_terminal("sh", "-c", "echo ready; read x; test $x = hello", keys=[b"hello\n"]) == 0


def test_ctrl_c_at_the_terminal_reaches_the_command():
    # 130 is how a shell says that a command was ended by Ctrl-C.
    assert at_a_terminal("sh", "-c", "trap 'exit 7' INT; echo ready; sleep 60 & wait", keys=[b"\x03"]) in (7, 130)


def test_a_command_that_cannot_be_run_is_one_sentence():
    with pytest.raises(cli.UsageError, match="run: '/' cannot be run: Permission denied"):
        cli._run_command(["/"], dict(os.environ))
