"""Counting the errors in the output of a complete job. S3 is the local AWS."""

import itertools
import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from batch_segment_handler import results
from batch_segment_handler.results import QueryErrors, query_errors, read_errors
from personalize_segments_reader import read_segments

GOOD = b'{"input": {"itemId": "1"}, "output": {"usersList": ["a", "b"]}, "error": null}\n'
DOCUMENTED = b'{"itemAttributes": "ITEMS.a = \\"b\\"", "output": {"recommendedUsers": ["a"]}}\n'
BAD = b'{"input": {"itemId": "9"}, "output": {"usersList": []}, "error": "no such item"}\n'
MENTIONS = b'{"input": {"itemId": "\\"error\\": 1"}, "output": {"usersList": []}, "error": null}\n'


@pytest.mark.parametrize("size", [1, 7, 64, 10_000])
def test_finds_errors_wherever_the_chunks_end(size: int) -> None:
    content = GOOD + BAD + DOCUMENTED + MENTIONS + BAD.rstrip()
    chunks = [content[at : at + size] for at in range(0, len(content), size)]
    assert list(read_errors(chunks)) == [None, "no such item", None, None, "no such item"]


@pytest.mark.parametrize("error", ["null", '""', "{}", '"who?"', '{"code": 1}'])
def test_both_readers_recognize_the_same_errors(error: str) -> None:
    line = b'{"input": {"itemId": "1"}, "output": {"usersList": ["a"]}, "error": %s}' % error.encode()
    (segment,) = read_segments([line])
    assert list(read_errors([line])) == [segment.error]


def test_skips_large_segments_without_holding_them_in_memory() -> None:
    users = b'"user-0123456789", ' * 1000

    def chunks() -> Iterator[Any]:
        yield GOOD + b'{"input": {"itemId": "1"}, "output": {"usersList": ['
        for _ in range(200):
            yield users
        yield b'"z"]}, "error": null}\n' + BAD

    assert list(read_errors(chunks())) == [None, None, "no such item"]


@pytest.fixture
def output(s3: Any) -> Any:
    bucket = f"segments-{uuid.uuid4().hex[:12]}"
    s3.create_bucket(Bucket=bucket)

    def put(**files: bytes) -> str:
        for name, content in files.items():
            s3.put_object(Bucket=bucket, Key=f"segments/job/{name}", Body=content)
        s3.put_object(Bucket=bucket, Key="segments/job/_CHECK", Body=b"")
        return f"s3://{bucket}/segments/job/"

    return put


def test_reports_none_without_errors(output: Any) -> None:
    assert str(query_errors(output(**{"a.jsonl.out": GOOD * 3}), 60)) == "none"


def test_counts_errors_of_all_files_and_shows_the_first(output: Any) -> None:
    other = BAD.replace(b"no such item", b"no item")
    uri = output(**{"a.jsonl.out": GOOD + BAD, "b.jsonl.out": other + GOOD, "notes.txt": BAD})
    assert str(query_errors(uri, 60)) == "2 of 4 queries; the first: no such item"


def test_cuts_an_error_after_300_characters(output: Any) -> None:
    uri = output(**{"a.jsonl.out": BAD.replace(b"no such item", b"x" * 5000)})
    assert str(query_errors(uri, 60)) == f"1 of 1 queries; the first: {'x' * 299}…"


@pytest.fixture
def looks(clock: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A clock that advances by a second with each reading."""
    looks = itertools.count()
    monkeypatch.setattr(clock, "monotonic", lambda: next(looks))
    return looks


def test_reports_partial_counts_when_reading_times_out(output: Any, looks: Any) -> None:
    assert str(query_errors(output(**{"a.jsonl.out": GOOD * 3}), 1)) == "none of 3 read in time"


def test_unreadable_output_does_not_fail_the_deployment(s3: Any, log: Any) -> None:
    assert str(query_errors("s3://no-such-bucket-anywhere/segments/", 60)) == "unknown"
    assert log()[-1]["decision"] == "output not read"


def test_output_in_another_format_does_not_fail_the_deployment(output: Any) -> None:
    assert str(query_errors(output(**{"a.jsonl.out": b'"error": what?'}), 60)) == "unknown"


@pytest.mark.parametrize(
    "value",
    [b"[" * 100_000, b'{"a":' * 100_000, b"9" * 10_000, b"[" * 100_000 + b"]" * 100_000, b'"\xff"'],
    ids=["lists", "objects", "number", "closed lists", "no UTF-8"],
)
def test_unparseable_output_does_not_fail_the_deployment(output: Any, log: Any, value: bytes) -> None:
    uri = output(**{"a.jsonl.out": GOOD + b'{"input": {"itemId": "1"}, "error":' + value + b"}\n"})
    assert str(query_errors(uri, 60)) == "unknown"
    assert log()[-1]["decision"] == "output not read"


def test_any_other_failure_to_read_does_not_fail_the_deployment(monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(uri: Any, ends: float) -> Iterator[Any]:
        yield "bad"
        raise MemoryError

    monkeypatch.setattr(results, "_errors", breaks)
    assert query_errors("s3://a/b", 60) == QueryErrors(unreadable="MemoryError: ")


@pytest.mark.parametrize(("length", "error"), [(512 * 1024, "no such item"), (512 * 1024 + 1, None)])
def test_reads_errors_of_records_up_to_half_a_mebibyte(length: int, error: str | None) -> None:
    padded = BAD.rstrip()[:-1] + b" " * (length - len(BAD.rstrip())) + b"}"
    assert len(padded) == length
    assert list(read_errors([padded, b"\n" + GOOD])) == [error, None]


def test_escapes_and_shortens_the_first_error(output: Any) -> None:
    escapes = "no \x1b]0;\ud800 \u202e item"
    line = b'{"input": {"itemId": "9"}, "error": %s}' % json.dumps(escapes).encode()
    assert query_errors(output(**{"a.jsonl.out": line}), 60).first == "no \\x1b]0;\\ud800 \\u202e item"
    quotes = BAD.replace(b"no such item", rb"\"" * 600)
    first = query_errors(output(**{"a.jsonl.out": quotes}), 60).first
    assert first == '"' * 299 + "…"
    emoji = BAD.replace(b"no such item", "💥".encode() * 300)
    first = query_errors(output(**{"a.jsonl.out": emoji}), 60).first
    assert 890 <= len(first.encode()) <= 900


def test_counts_the_queries_that_failed_in_a_metric(output: Any, capsys: pytest.CaptureFixture[str]) -> None:
    query_errors(output(**{"a.jsonl.out": GOOD + BAD + BAD}), 60)
    line = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (line["decision"], line["QueryErrors"], line["queries"], line["errors"]) == ("output read", 2, 3, 2)
    (metrics,) = line["_aws"]["CloudWatchMetrics"]
    assert metrics["Metrics"] == [{"Name": "QueryErrors", "Unit": "Count"}]


def test_stops_within_a_record_when_the_time_is_over(monkeypatch: pytest.MonkeyPatch, output: Any, looks: Any) -> None:
    uri = output(**{"a.jsonl.out": b"x" * (3 * 1024**2), "b.jsonl.out": GOOD})
    monkeypatch.setattr(results, "_CHUNK", 1024)
    found = query_errors(uri, 10)
    assert (found.queries, found.errors, found.all_read) == (0, 0, False)
    assert next(looks) == 12


def test_reads_no_further_object_when_the_time_is_over(
    output: Any, requests: list[tuple[str, dict[str, Any]]], looks: Any
) -> None:
    uri = output(**{f"{letter}.jsonl.out": b"" for letter in "abcdef"})
    del requests[:]
    found = query_errors(uri, 3)
    assert (found.queries, found.all_read) == (0, False)
    assert [operation for operation, _ in requests] == ["ListObjectsV2", "GetObject", "GetObject", "GetObject"]
