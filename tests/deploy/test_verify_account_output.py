"""The output of the command verify-account, tested without an account."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HOSTILE = "no access \x1b]0;title\x07\x1b[2J\x9b2J\r\u202e"
ESCAPED = r"no access \x1b]0;title\x07\x1b[2J\x9b2J\r\u202e"


@pytest.fixture
def tools(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "tools"))


def test_no_message_can_control_the_terminal(tools: None, capsys: pytest.CaptureFixture[str]) -> None:
    from verify_account import terminal

    for print_message in (terminal.print_result, terminal.print_error, terminal.print_progress):
        print_message(f"{HOSTILE}\nSegmentación —")
    captured = capsys.readouterr()
    assert captured.out == f"{ESCAPED}\nSegmentación —\n"
    assert re.fullmatch(
        rf"verify-account: {re.escape(ESCAPED)}\nSegmentación —\n\d\d:\d\d:\d\d {re.escape(ESCAPED)}\nSegmentación —\n",
        captured.err,
    )


def test_only_one_module_of_the_command_prints() -> None:
    modules = (ROOT / "tools" / "verify_account").glob("*.py")
    printing = {path.name for path in modules if re.search(r"\bprint\(|\.write\(", path.read_text())}
    assert printing == {"terminal.py"}


@pytest.mark.parametrize("length", range(1, 13))
@pytest.mark.parametrize("cut", ["in the report", "before the report"])
def test_redacts_an_account_that_is_cut(tools: None, length: int, cut: str) -> None:
    from verify_account.questions import QUESTIONS
    from verify_account.report import Report, Result
    from verify_account.settings import excerpt, parse_arn

    settings = parse_arn("arn:aws:personalize:eu-west-1:123456789012:solution/films/1", "abcdef", {})
    start = "x" * (1500 - len("arn:aws:iam::") - length) + "arn:aws:iam::"
    evidence = f"{start}123456789012:role/R"
    shown = excerpt(evidence) if cut == "before the report" else evidence
    text = Report(settings, [Result(QUESTIONS[0], None, shown)], []).markdown()
    assert f"\n{start}{'<account>' if length == 12 else ''}…\n" in text
