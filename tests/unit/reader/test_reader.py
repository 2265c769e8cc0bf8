"""Reads the output of jobs, in the documented and the observed format."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from personalize_segments_reader import Segment, read_segments


def one(record: Any) -> Segment:
    (segment,) = read_segments([json.dumps(record)])
    return segment


@pytest.mark.parametrize(
    ("record", "segment"),
    [
        (
            {"input": {"itemId": "105"}, "output": {"recommendedUsers": ["106", "107"]}},
            Segment({"itemId": "105"}, ["106", "107"], None),
        ),
        (
            {"itemAttributes": 'ITEMS.genres = "Comedy"', "output": {"recommendedUsers": ["25"]}},
            Segment({"itemAttributes": 'ITEMS.genres = "Comedy"'}, ["25"], None),
        ),
        (
            {"input": {"itemAttributes": 'ITEMS.A = "b"'}, "output": {"usersList": ["2131", "2504"]}, "error": None},
            Segment({"itemAttributes": 'ITEMS.A = "b"'}, ["2131", "2504"], None),
        ),
        (
            {"input": {"itemId": "1", "filterValues": {"A": '"b"'}}, "output": {"usersList": []}, "error": None},
            Segment({"itemId": "1", "filterValues": {"A": '"b"'}}, [], None),
        ),
    ],
)
def test_reads_documented_and_observed_records(record: Any, segment: Segment) -> None:
    assert one(record) == segment


@pytest.mark.parametrize(
    ("record", "segment"),
    [
        (
            {"input": {"itemId": "1"}, "output": {"usersList": []}, "error": "Item not found"},
            Segment({"itemId": "1"}, [], "Item not found"),
        ),
        ({"input": {"itemId": "1"}, "output": None, "error": "no"}, Segment({"itemId": "1"}, [], "no")),
        ({"input": {"itemId": "1"}, "error": "no"}, Segment({"itemId": "1"}, [], "no")),
        ({"input": "{itemId: 1}", "output": {}, "error": "no JSON"}, Segment({}, [], "no JSON")),
        ({"error": "no"}, Segment({}, [], "no")),
        (
            {"input": {"itemId": "1"}, "output": {}, "error": {"code": 400, "message": "né"}},
            Segment({"itemId": "1"}, [], '{"code": 400, "message": "né"}'),
        ),
    ],
)
def test_error_of_a_query_is_part_of_its_segment(record: Any, segment: Segment) -> None:
    assert one(record) == segment


RECORD = '{"input": {"itemId": "é"}, "output": {"usersList": ["1"]}, "error": null}'
SEGMENT = Segment({"itemId": "é"}, ["1"], None)


def test_reads_text_and_bytes_with_or_without_a_newline() -> None:
    lines: list[bytes | str] = [RECORD, f"{RECORD}\n", RECORD.encode(), f"{RECORD}\r\n".encode(), b"", "\n"]

    assert list(read_segments(lines)) == [SEGMENT] * 4


def test_yields_each_segment_when_its_line_is_read() -> None:
    def lines() -> Iterator[str]:
        yield RECORD
        raise ConnectionError

    segments = read_segments(lines())

    assert next(segments) == SEGMENT
    with pytest.raises(ConnectionError):
        next(segments)


NO_USERS = 'got no list of users, expected "usersList" or "recommendedUsers" in "output"'
NO_QUERY = 'got no query, expected one in "input" or next to "output"'


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("nonsense", "got 'nonsense', expected a JSON object"),
        ("x" * 1000, "got 'xxxxxxxxxxxxxxxxxxx…', expected a JSON object"),
        (b"\xff\xfe\xfd", "got '���', expected a JSON object"),
        ("[" * 100_000, "got '[[[[[[[[[[[[[[[[[[[…', expected a JSON object"),
        ("[]", "got '[]', expected a JSON object"),
        ("null", "got 'null', expected a JSON object"),
        ("{}", NO_QUERY),
        ('{"output": {"usersList": []}}', NO_QUERY),
        ('{"input": [], "output": {"usersList": []}}', NO_QUERY),
        ('{"input": {"itemId": "1"}}', NO_USERS),
        ('{"input": {"itemId": "1"}, "output": {}}', NO_USERS),
        ('{"input": {"itemId": "1"}, "output": {"usersList": null}}', NO_USERS),
        ('{"input": {"itemId": "1"}, "output": {"usersList": "1"}}', NO_USERS),
        ('{"input": {"userId": "1"}, "output": {"recommendedItems": ["1"]}, "error": null}', NO_USERS),
        (
            '{"input": {"itemId": "1"}, "output": {"usersList": ["1", 2]}}',
            "got a user ID of type int, expected a string",
        ),
    ],
)
def test_names_a_line_that_is_not_a_record(line: str | bytes, message: str) -> None:
    segments = read_segments([RECORD, "", line])

    assert next(segments) == SEGMENT
    with pytest.raises(ValueError, match=f"^line 3: {re.escape(message)}$"):
        next(segments)
