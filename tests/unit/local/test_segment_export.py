"""The options ``--overlap``, ``--csv`` and ``--parquet`` of ``personalize-local segments``."""

import csv
import json
import re
from pathlib import Path
from typing import Any

import duckdb
import pytest
from personalize_local import cli
from personalize_local.gateway import LocalAws
from unit.local.job_fixture import JobFixture


@pytest.fixture(autouse=True)
def within(local_aws: LocalAws, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The environment of a command of `personalize-local run`."""
    for name, value in local_aws.environment().items():
        if name.startswith(("AWS_", "PERSONALIZE_")):
            monkeypatch.setenv(name, value)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)


def write(jobs: JobFixture, name: str, segments: dict[str, list[str]]) -> None:
    """Runs a job and replaces its output."""
    jobs.put('{"itemId": "1"}\n')
    jobs.run(jobName=name)
    records = [{"input": {"itemId": item}, "output": {"usersList": users}} for item, users in segments.items()]
    jobs.s3.put_object(Bucket=jobs.output, Key="out/queries.jsonl.out", Body="\n".join(map(json.dumps, records)))


def rows(path: str) -> list[Any]:
    with Path(path).open(newline="") as file:
        return list(csv.reader(file))


def test_exports_all_users(jobs: JobFixture, capsys: pytest.CaptureFixture[str]) -> None:
    write(jobs, "export", {"1": ["a", 'b "quoted", c', "Zoë"], "2": ["a"], "3": []})
    assert cli.main(["segments", "export", "--csv", "users.csv", "--parquet", "it's.parquet", "--users", "1"]) == 0
    expected = [
        ("export", "queries.jsonl.out", "1", 1, "a"),
        ("export", "queries.jsonl.out", "1", 2, 'b "quoted", c'),
        ("export", "queries.jsonl.out", "1", 3, "Zoë"),
        ("export", "queries.jsonl.out", "2", 1, "a"),
    ]
    assert rows("users.csv") == [
        ["job", "file", "query", "rank", "user_id"],
        *[list(map(str, row)) for row in expected],
    ]
    assert duckdb.read_parquet("it's.parquet").order("query, rank").fetchall() == expected
    assert re.search(r"\n1 +3 +a *\n", capsys.readouterr().out)


def test_shows_the_overlap_of_each_two_segments(jobs: JobFixture, capsys: pytest.CaptureFixture[str]) -> None:
    write(jobs, "overlap", {"1": ["a", "b", "c", "d"], "2": ["d", "e"], "3": ["x"], "4": ["b", "a"]})
    assert cli.main(["segments", "overlap", "--overlap"]) == 0
    table = capsys.readouterr().out
    found = re.findall(r"^overlap: (\d) \((\d)\) +overlap: (\d) \((\d)\) +(\d) +(\d+%)$", table, re.M)
    assert found == [
        ("1", "4", "4", "2", "2", "100%"),
        ("1", "4", "2", "2", "1", "50%"),
        ("1", "4", "3", "1", "0", "0%"),
        ("2", "2", "3", "1", "0", "0%"),
        ("2", "2", "4", "2", "0", "0%"),
        ("3", "1", "4", "2", "0", "0%"),
    ]


def test_compares_at_most_twenty_segments(jobs: JobFixture, capsys: pytest.CaptureFixture[str]) -> None:
    write(jobs, "many", {str(item): ["a"] for item in range(21)})
    assert cli.main(["segments", "many", "--overlap"]) == 0
    assert "--overlap: got 21 segments with users, expected 2 to 20; name fewer jobs" in capsys.readouterr().out


def test_compares_at_least_two_segments(jobs: JobFixture, capsys: pytest.CaptureFixture[str]) -> None:
    write(jobs, "single", {"1": ["a"]})
    assert cli.main(["segments", "single", "--overlap"]) == 0
    assert "--overlap: got 1 segment with users, expected 2 to 20\n" in capsys.readouterr().out


def test_names_a_folder_that_does_not_exist(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert cli.main(["segments", "--csv", "none/users.csv"]) == 2
    assert capsys.readouterr().err == f"personalize-local: --csv: there is no folder {tmp_path / 'none'}\n"


def test_names_a_file_that_cannot_be_written(
    jobs: JobFixture, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    write(jobs, "unwritable", {"1": ["a"]})
    (tmp_path / "folder").mkdir()
    for option in ("--csv", "--parquet"):
        assert cli.main(["segments", "unwritable", option, "folder"]) == 2
        assert "personalize-local: the export cannot be written: " in capsys.readouterr().err
