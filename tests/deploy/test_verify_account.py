"""The command verify-account, run against the local AWS, whose behavior is known."""

import dataclasses
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from deploy.verify_command import ANSWERS, OTHERS, ROOT, Command
from personalize_local.faults import JOB, Fault
from personalize_local.gateway import LocalAws
from support.local import Clients, wait_until

pytestmark = pytest.mark.slow


@pytest.fixture
def command(aws: LocalAws, tmp_path: Path) -> Command:
    return Command(aws, tmp_path)


@pytest.fixture
def left(client: Clients) -> Callable[[], list[str]]:
    """Lists the stacks and buckets of this command that exist."""

    def find() -> list[str]:
        stacks = client("cloudformation").describe_stacks()["Stacks"]
        names = [stack["StackName"] for stack in stacks if stack["StackStatus"] != "DELETE_COMPLETE"]
        names += [bucket["Name"] for bucket in client("s3").list_buckets()["Buckets"]]
        return [name for name in names if name.lower().startswith("verifysegments-")]

    return find


@pytest.fixture
def jobs(aws: LocalAws) -> Callable[[], list[str]]:
    """Lists the jobs that the test has created."""
    before = set(aws.personalize.jobs)
    return lambda: [arn for arn in aws.personalize.jobs if arn not in before]


@pytest.mark.timeout(600)
def test_answers_every_question_and_leaves_nothing_behind(
    command: Command, left: Callable[[], list[str]], jobs: Callable[[], list[str]]
) -> None:
    code, said = command.run(command.version, "--yes")
    answers = command.answers()
    assert {id: answer for id, answer in answers.items() if id not in OTHERS} == ANSWERS, said
    assert answers.keys() == ANSWERS.keys() | OTHERS
    # MiniStack has no DescribeType. The failed question is reported, and the others are asked.
    assert answers["native-type"] == ("—", "not answered")
    assert code == 1
    assert "ACTIVE" in answers["status-words"][0]
    assert re.fullmatch(r"\d+ seconds at most", answers["durations"][0])
    assert left() == []
    assert len(jobs()) == 5

    text = command.report.read_text()
    assert "22 of 23 questions are answered. No answer contradicts the library.\n" in text
    assert "All stacks and buckets of this run are deleted.\n" in text
    for arn in jobs():
        assert arn.rpartition("/")[2] in text
    assert command.aws.account not in text
    assert "arn:aws:personalize:eu-west-1:<account>:solution/films-item-affinity/0002" in text
    assert "Unknown action: DescribeType" in text
    assert '"usersList": ["<25 values>"]' in text
    assert "user-" not in text
    assert "Another resource with Arn" in text


@pytest.fixture
def behaves(local_aws: LocalAws, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Changes undocumented behavior of the service."""

    def change(**changes: Any) -> None:
        behavior = dataclasses.replace(local_aws.personalize.behavior, **changes)
        monkeypatch.setattr(local_aws.personalize, "behavior", behavior)

    return change


def test_finds_the_conditions_that_work_without_a_source(
    command: Command, left: Callable[[], list[str]], behaves: Callable[..., None]
) -> None:
    behaves(sends_source=False)
    code, said = command.run(command.version, "--yes", "--only=strict-conditions,conditions", "--show-account")
    assert code == 0, said
    assert command.answers() == {
        "strict-conditions": ("No, no job succeeded; see the evidence.", "either works"),
        "conditions": (
            "Works: s3:prefix; aws:SourceAccount and aws:SourceArn with IfExists. Does not work: aws:SourceAccount; "
            "aws:SourceArn.",
            "as assumed",
        ),
    }
    text = command.report.read_text()
    assert "strict: refused: " in text
    assert "fix bucket policy on verifysegments-" in text
    assert f"arn:aws:personalize:eu-west-1:{command.aws.account}:solution/" in text
    assert left() == []


def test_reports_each_inverted_answer(
    command: Command, left: Callable[[], list[str]], behaves: Callable[..., None]
) -> None:
    behaves(
        echoes_trailing_slash=False,
        echoes_absent_arns=True,
        echoes_default_results=False,
        statuses="documented",
        check_object="never",
        output_format="documented",
        lists_output=False,
        authorizes_solution_version=True,
        refuses_output_without_slash=True,
    )
    turned = {
        "output-listing": ("No, the job became ACTIVE: s3:ListBucket on the output is not needed.", "**differs**"),
        "output-slash": ("Refused when the job is created.", "as assumed"),
        "create-resources": ("Yes.", "as assumed"),
        "describe-paths": ("Without the trailing slash.", "either works"),
        "describe-absent": ("filterArn is ''; kmsKeyArn is ''.", "either works"),
        "num-results": ("numResults is absent", "**differs**"),
        "output-record": ("The record has input, output; its output has recommendedUsers.", "as assumed"),
        "check-object": ("No.", "either works"),
    }
    code, said = command.run(command.version, "--yes", f"--only={','.join(turned)}")
    assert code == 0, said
    assert command.answers() == turned
    assert "The library assumes another answer for: output-listing, num-results.\n" in command.report.read_text()
    assert left() == []


def test_reports_authorized_tagging_and_late_access_checks(
    command: Command, left: Callable[[], list[str]], behaves: Callable[..., None]
) -> None:
    behaves(authorizes_tagging="always", checks_access="running", check_object="running")
    code, said = command.run(command.version, "--yes", "--only=tag-resource,bucket-policy")
    assert code == 0, said
    assert command.answers() == {
        "tag-resource": ("Yes.", "**differs**"),
        "bucket-policy": ("Yes, the job was created and failed.", "**differs**"),
    }
    assert left() == []


def test_recognizes_the_other_error_for_an_unknown_job(command: Command, behaves: Callable[..., None]) -> None:
    behaves(unknown_job_error="InvalidInputException")
    code, said = command.run(command.version, "--yes", "--only=unknown-job")
    assert code == 0, said
    assert command.answers() == {"unknown-job": ("InvalidInputException", "as assumed")}


@pytest.mark.parametrize("reply", ["n", "yess"])
def test_declining_creates_nothing(
    command: Command, left: Callable[[], list[str]], jobs: Callable[[], list[str]], reply: str
) -> None:
    ours, theirs = pty.openpty()
    try:
        os.write(ours, f"{reply}\n".encode())
        code, said = command.run(command.version, stdin=theirs)
    finally:
        os.close(ours)
        os.close(theirs)
    assert code == 1, said
    assert "4 stacks will be created, and deleted at the end:" in said
    assert "6 batch segment jobs will be created and billed, at most 3 at once:" in said
    assert "so at most 14 jobs are billed:" in said
    assert said.endswith("Aborted. Nothing was created.\n")
    assert left() == []
    assert jobs() == []
    assert not command.report.exists()


def test_requires_yes_without_a_terminal(
    command: Command, left: Callable[[], list[str]], jobs: Callable[[], list[str]]
) -> None:
    code, said = command.run(command.version)
    assert code == 1
    assert said.endswith("pass --yes to continue.\nAborted. Nothing was created.\n")
    assert left() == []
    assert jobs() == []


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGHUP])
def test_an_interrupt_deletes_the_stacks_and_writes_the_report(
    command: Command, left: Callable[[], list[str]], aws: LocalAws, signum: signal.Signals
) -> None:
    process = command.start(command.version, "--yes", "--only=role-split,output-slash")
    try:
        wait_until(lambda: any("-probes" in name for name in left()) or process.poll() is not None, timeout=100)
        process.send_signal(signum)
        said, _ = process.communicate(timeout=200)
    finally:
        process.kill()
    assert process.returncode == 130, said
    assert left() == [], said
    assert command.answers() == {"role-split": ("—", "not answered"), "output-slash": ("—", "not answered")}
    assert "Interrupted before all trials had ended." in command.report.read_text()


@pytest.mark.parametrize(
    ("arguments", "environment", "words"),
    [
        (["films"], {}, "got 'films', expected arn:<partition>:personalize:"),
        (["SOLUTION"], {}, "got a solution ARN, "),
        (["arn:aws:personalize:eu-west-9:123456789012:solution/films/1"], {}, "got the region 'eu-west-9' in "),
        (["arn:aws:personalize:cn-north-1:123456789012:solution/films/1"], {}, "got the region 'cn-north-1' in "),
        (["VERSION"], {"AWS_REGION": "us-east-1"}, "expected 'us-east-1', the value of AWS_REGION"),
        (["OTHER ACCOUNT"], {}, "got the account 999999999999 in "),
        (["UNKNOWN"], {}, "does not exist"),
        (["IN PROGRESS"], {}, "got the status 'CREATE IN_PROGRESS', expected 'ACTIVE'"),
        (["OTHER RECIPE"], {}, "got the recipe 'aws-user-personalization', expected aws-item-affinity or"),
        (["ATTRIBUTES"], {}, "query: got none, expected an expression"),
        (["ATTRIBUTES", "--query=GENRES = Comedy"], {}, "1 fault in the queries"),
        (["VERSION", "--only=weather"], {}, "--only: got 'weather', expected role-split, "),
    ],
)
def test_rejects_bad_arguments_before_creating_anything(
    command: Command,
    left: Callable[[], list[str]],
    jobs: Callable[[], list[str]],
    arguments: list[str],
    environment: dict[str, Any],
    words: str,
) -> None:
    seeds = command.environment
    arns = {
        "VERSION": command.version,
        "SOLUTION": command.version.rpartition("/")[0],
        "OTHER ACCOUNT": command.version.replace(command.aws.account, "999999999999"),
        "UNKNOWN": command.version + "9",
        "IN PROGRESS": seeds["PERSONALIZE_LOCAL_VERSION_IN_PROGRESS_ARN"],
        "OTHER RECIPE": seeds["PERSONALIZE_LOCAL_USER_PERSONALIZATION_VERSION_ARN"],
        "ATTRIBUTES": seeds["PERSONALIZE_LOCAL_ITEM_ATTRIBUTE_AFFINITY_VERSION_ARN"],
    }
    seeds |= environment
    code, said = command.run(*(arns.get(argument, argument) for argument in arguments), "--yes")
    assert code == 2, said
    assert words in said
    assert said.startswith("verify-account: ")
    assert "Traceback" not in said
    assert left() == []
    assert jobs() == []


@pytest.fixture
def tools(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "tools"))


def test_the_page_lists_every_question(tools: None) -> None:
    from verify_account.questions import QUESTIONS

    page = (ROOT / "docs" / "how-to" / "verify-account.md").read_text()
    for question in QUESTIONS:
        assert f"| {question.id} | {question.asks} | {', '.join(question.needs) or 'none'} |\n" in page
    assert {question.id for question in QUESTIONS} == ANSWERS.keys() | OTHERS


def test_make_passes_the_query_unchanged(command: Command, left: Callable[[], list[str]]) -> None:
    make = ["make", "-C", str(ROOT), "-o", "install", "verify-account"]
    attributes = command.environment["PERSONALIZE_LOCAL_ITEM_ATTRIBUTE_AFFINITY_VERSION_ARN"]
    done = subprocess.run(
        [*make, f"SOLUTION_VERSION_ARN={attributes}", 'QUERY=GENRES = "Comedy"', "ARGS=--only=unknown-job"],
        env={**command.environment, "PYTHONPATH": ""},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 2
    assert "verify-account: 1 fault in the queries:\n  query, line 1, column" in done.stderr
    assert left() == []


def test_finds_a_python_whose_path_a_shell_would_split(
    tools: None, command: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from verify_account.cdk import Cdk
    from verify_account.settings import parse_arn

    python = tmp_path / "my $(touch SHELL) python's" / "python"
    python.parent.mkdir()
    # A script instead of a link, because Python finds its packages relative to its own path.
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o700)
    folder = tmp_path / "run"
    folder.mkdir()
    monkeypatch.setattr(sys, "executable", str(python))
    monkeypatch.setenv("PATH", command.environment["PATH"])
    settings = dataclasses.replace(parse_arn(command.version, "abcdef", {}), query="1", recipe="aws-item-affinity")
    Cdk(settings, folder).synth()
    assert [path.name for path in folder.iterdir()] == ["cdk.out"]


HOSTILE = "no access \x1b]0;title\x07\x1b[2J\x9b2J\r\u202e"
ESCAPED = r"no access \x1b]0;title\x07\x1b[2J\x9b2J\r\u202e"


def test_a_failure_reason_cannot_control_the_terminal(command: Any, local_aws: LocalAws) -> None:
    local_aws.faults.inject(Fault(JOB, message=HOSTILE))
    try:
        _, said = command.run(command.version, "--yes", "--only=output-slash")
    finally:
        local_aws.faults.clear()
    assert ESCAPED in said
    report = command.report.read_text()
    assert ESCAPED in report
    for text in (said, report):
        assert all(char.isprintable() or char == "\n" for char in text)
