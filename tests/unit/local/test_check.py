"""The command ``personalize-local check``."""

import gzip
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from batch_segment_handler import limits
from personalize_local import cli
from personalize_local.gateway import LocalAws
from unit.local.job_fixture import JobFixture
from unit.local.own_data_folder import write_folder

ITEM = '{"itemId": "i01"}\n'
DRAMA = r'{"itemAttributes": "ITEMS.GENRES = \"Drama\""}' + "\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "data")


@pytest.fixture(autouse=True)
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")


def check(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    code = cli.main(["check", *arguments])
    return code, capsys.readouterr().out


def as_json(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    code, out = check(capsys, *arguments, "--json")
    return code, json.loads(out)


def test_accepts_valid_queries(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.jsonl").write_text(ITEM)
    (tmp_path / "b.jsonl").write_text(ITEM * 2)
    assert check(capsys, "a.jsonl", "b.jsonl") == (0, "3 queries with itemId in 2 files: all valid\n")
    assert as_json(capsys, "a.jsonl") == (
        0,
        {
            "valid": True,
            "kind": "itemId",
            "queries": 1,
            "files": 1,
            "bytes": 18,
            "complete": True,
            "faultCount": 0,
            "faults": [],
            "warningCount": 0,
            "warnings": [],
        },
    )


def test_reports_faults_as_the_deployment_does(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.jsonl").write_text(f'{DRAMA}{{"itemAttributes": "ITEMS.A = \\"x\\" OR ITEMS.B = \\"y\\""}}\n{ITEM}')
    code, out = check(capsys, "a.jsonl")
    assert code == 1
    assert out.splitlines() == [
        "fault: a.jsonl, line 2, column 37: 'OR' fails: write one query for each alternative",
        'fault: a.jsonl, line 3, column 2: got "itemId", expected "itemAttributes", as in the queries before: a '
        "job takes one kind of query",
        "3 queries with itemAttributes in 1 file: 2 faults",
    ]
    code, result = as_json(capsys, "a.jsonl")
    assert (code, result["valid"], result["faultCount"]) == (1, False, 2)
    assert result["faults"][0] == {
        "file": "a.jsonl",
        "line": 2,
        "column": 37,
        "reason": "'OR' fails: write one query for each alternative",
    }


def test_names_a_compressed_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(ITEM.encode()))
    code, out = check(capsys, "a.jsonl.gz")
    assert code == 1
    assert out.splitlines()[0] == "fault: a.jsonl.gz: the file is compressed: unpack it"


def test_reads_the_standard_input(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"nonsense\n")))
    code, result = as_json(capsys, "-")
    assert (code, result["faults"][0]["file"], result["faults"][0]["line"]) == (1, "stdin", 1)


def test_copies_no_more_of_stdin_than_a_job_reads(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(limits, "MAX_INPUT_BYTES", 5_000_000)
    endless = io.BufferedReader(Endless())
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(endless))
    assert cli.main(["check", "-"]) == 1
    assert "stdin: too many bytes: a job reads at most 5,000,000 " in capsys.readouterr().out


class Endless(io.RawIOBase):
    """A stream of queries without an end."""

    def readable(self) -> bool:
        return True

    def readinto(self, target: Any) -> int:
        line = b'{"itemId": "1"}\n'
        target[: len(line)] = line
        return len(line)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.jsonl"], "check: none.jsonl: No such file or directory"),
        (["."], "check: . is a folder, expected files; for example: *.jsonl"),
        (["s3:///key"], "check: got s3:///key, expected s3://BUCKET/KEY"),
        (["a.jsonl", "--rows", "-1"], "--rows: got -1, expected 0 or more"),
        (["List.CSV"], "check: got 'List.CSV', expected JSON Lines: `cdk synth` checks a spreadsheet of audiences"),
        (["a.jsonl", "--data", "none"], "--data: got 'none', expected a folder with interactions.csv"),
        (["a.jsonl", "--data", "data", "--filter", "x"], "--filter: column 1: got 'x', expected INCLUDE or EXCLUDE"),
    ],
)
def test_refuses_an_invalid_command_line(
    arguments: list[str], message: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.jsonl").write_text(ITEM)
    assert cli.main(["check", *arguments]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == f"personalize-local: {message}"


def test_reads_objects_in_s3(
    jobs: JobFixture, local_aws: LocalAws, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in local_aws.environment().items():
        if name.startswith("AWS_"):
            monkeypatch.setenv(name, value)
    jobs.put(ITEM, "in/a.jsonl")
    jobs.put("nonsense\n", "in/b.jsonl")
    jobs.put("", "in/folder/")
    code, result = as_json(capsys, f"s3://{jobs.input}/in/")
    assert (code, result["files"], result["queries"]) == (1, 2, 2)
    assert result["faults"][0]["file"] == f"s3://{jobs.input}/in/b.jsonl"
    assert check(capsys, f"s3://{jobs.input}/in/a.jsonl")[0] == 0
    for path, reason in (("in/none.jsonl", "Not Found"), ("none/", "there is no object under")):
        assert cli.main(["check", f"s3://{jobs.input}/{path}"]) == 2
        assert reason in capsys.readouterr().err


def test_finds_queries_that_reach_nobody(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    expressions = [
        'ITEMS.GENRES = "Drama"',
        'ITEMS.GENRES = "Drma"',
        'ITEMS.GENRE = "Drama"',
        'ITEMS.GENRES = "Drama" AND ITEMS.GENRES = "Action"',
        'ITEMS.GENRES = "Drama" AND ITEMS.YEAR = "1981"',
        'ITEMS.YEAR = "1800"',
    ]
    lines = [json.dumps({"itemAttributes": expression}) + "\n" for expression in expressions]
    (tmp_path / "a.jsonl").write_text("".join(lines))
    (tmp_path / "b.jsonl").write_text(lines[1] + lines[0])
    code, result = as_json(capsys, "a.jsonl", "b.jsonl", "--data", "data")
    assert (code, result["valid"], result["queries"], result["data"]["emptySegments"]) == (1, False, 8, 5)
    assert result["data"]["scoring"] == "counts of interactions, not the predictions of a model"
    assert [tuple(row[key] for key in ("file", "line", "items", "users")) for row in result["data"]["reach"]] == [
        ("a.jsonl", 1, 20, 50),
        ("a.jsonl", 2, 0, 0),
        ("a.jsonl", 3, 0, 0),
        ("a.jsonl", 4, 0, 0),
        ("a.jsonl", 5, 1, 22),
        ("a.jsonl", 6, 0, 0),
        ("b.jsonl", 1, 0, 0),
        ("b.jsonl", 2, 20, 50),
    ]
    code, out = check(capsys, "a.jsonl", "b.jsonl", "--data", "data", "--rows", "2")
    assert code == 1
    assert [line.rstrip() for line in out.splitlines()] == [
        "8 queries with itemAttributes in 2 files: all valid",
        "file      line   query                    items   users",
        "─" * 55,
        'a.jsonl   1      ITEMS.GENRES = "Drama"      20      50',
        'a.jsonl   2      ITEMS.GENRES = "Drma"        0       0',
        "and 6 more queries",
        'empty: a.jsonl, line 2: no item has ITEMS.GENRES = "Drma", did you mean "Drama"?',
        "empty: a.jsonl, line 3: items.csv has no column 'GENRE', did you mean GENRES?",
        "empty: a.jsonl, line 4: no item has all of these values",
        'empty: a.jsonl, line 6: no item has ITEMS.YEAR = "1800", did you mean "1980"?',
        'empty: b.jsonl, line 1: no item has ITEMS.GENRES = "Drma", did you mean "Drama"?',
        "5 segments would be empty, by counts of interactions, not the predictions of a model",
    ]


def test_reads_all_spellings_of_lines(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = b'\xef\xbb\xbf{"itemId": "i01"}\r\n {"itemId" : "\\u006901"} \n{"itemId": "a\\"b\xc3\xa9\\u0000"}\r\n\r\n\n'
    (tmp_path / "a.jsonl").write_bytes(lines)
    (tmp_path / "b.jsonl").write_bytes(b'{"itemId": "i02"}')
    code, result = as_json(capsys, "a.jsonl", "b.jsonl", "--data", "data")
    assert (code, result["faultCount"], result["warningCount"]) == (1, 0, 1)
    assert [(row["file"], row["line"], row["query"]["itemId"], row["users"]) for row in result["data"]["reach"]] == [
        ("a.jsonl", 1, "i01", 22),
        ("a.jsonl", 2, "i01", 22),
        ("a.jsonl", 3, 'a"bé\0', 0),
        ("b.jsonl", 1, "i02", 23),
    ]


def test_counts_users_that_a_filter_leaves(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    query = {"itemId": "i01"}
    queries = [query, {**query, "filterValues": {"AGE": "20"}}, {**query, "filterValues": {"AGE": "900"}}]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(query) + "\n" for query in queries[1:]))
    (tmp_path / "b.jsonl").write_text(json.dumps(query))
    arguments = ["--data", "data", "--filter", "INCLUDE UserID WHERE Users.AGE >= $AGE"]
    code, result = as_json(capsys, "a.jsonl", *arguments)
    assert code == 1
    # u00, u01 and u22 to u41 have interactions with i01. They are 10 to 11 and 32 to 51 years old.
    assert [(row["items"], row["users"], row["problem"]) for row in result["data"]["reach"]] == [
        (1, 20, None),
        (1, 0, "the filter leaves no user with an interaction with its items"),
    ]
    code, result = as_json(capsys, "b.jsonl", *arguments)
    assert (code, result["faultCount"]) == (1, 1)
    assert "AGE" in result["faults"][0]["reason"]


def test_exits_without_an_error_when_the_reader_closes_the_pipe(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(ITEM * 20_000)
    program = "import sys; from personalize_local import cli; sys.exit(cli.main(sys.argv[1:]))"
    command = [sys.executable, "-c", program, "check", "a.jsonl", "--data", "data", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith(b'{"valid": true')
        process.stdout.close()
        assert b"Traceback" not in process.stderr.read()
        assert process.wait(timeout=120) == 0
