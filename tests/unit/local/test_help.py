"""The help of ``personalize-local`` and of each of its commands."""

import argparse
import re
import shlex
from pathlib import Path

import pytest
from personalize_local import cli
from unit.local.own_data_folder import write_folder

COMMANDS = ["run", "serve", "env", "run-schedule", "status", "segments", "check"]
HELPS = pytest.mark.parametrize("command", [[], *([command] for command in COMMANDS)], ids="-".join)


def show(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as exit:
        cli.main([*arguments, "--help"])
    assert exit.value.code == 0
    return capsys.readouterr().out


def examples(shown: str) -> list[str]:
    *_, last = shown.strip().split("\n\n")
    heading, *lines = last.splitlines()
    assert heading == "examples:"
    assert [line[:2] for line in lines] == ["  "] * 2
    return [line.strip() for line in lines]


def test_every_command_is_tested(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    assert re.findall(r"^    (\S+)", show([], capsys), re.M) == COMMANDS


@HELPS
@pytest.mark.parametrize("columns", [60, 80, 130])
def test_wraps_at_the_width_of_the_terminal(
    command: list[str], columns: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    shown = show(command, capsys)
    # A line to copy stays one line, as do the exit codes.
    kept = {f"  {example}" for example in examples(shown)} | set(re.findall(r"^  \d  .*$", shown, re.M))
    assert [line for line in shown.splitlines() if len(line) > columns and line not in kept] == []
    assert max(map(len, kept)) <= 80
    if not command:
        assert columns - 20 < max(len(line) for line in shown.splitlines() if line not in kept)


@HELPS
def test_begins_with_a_sentence(
    command: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    usage, sentence, *_ = show(command, capsys).split("\n\n")
    assert usage.startswith("usage: personalize-local")
    assert re.fullmatch(r"[A-Z][a-z-]+s [^.\n]+\.", sentence)


@HELPS
def test_the_examples_are_valid_commands(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    parser: argparse.ArgumentParser = cli.build_parser()
    for example in examples(show(command, capsys)):
        found = re.findall(r"personalize-local ([^)']+)", example)
        assert found
        for arguments in found:
            parser.parse_args(shlex.split(arguments.partition(" -- sh -c ")[0]))


def test_the_examples_of_check_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_folder(tmp_path / "data")
    Path("queries.jsonl").write_text('{"itemId": "i01"}\n')
    for example in examples(show(["check"], capsys)):
        assert cli.main(shlex.split(example)[1:]) == 0
