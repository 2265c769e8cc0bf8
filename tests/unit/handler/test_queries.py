"""The query file: accepted syntax, counts and limits, splitting, and agreement of the fast path with the parser."""

import io
import json
import math
import random
import re
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from typing import Any, cast

import pytest
from batch_segment_handler import limits
from batch_segment_handler.expressions import ExpressionError, filter_placeholders, parse_expression
from batch_segment_handler.queries import (
    QueryFileError,
    QueryReport,
    Quota,
    blocks,
    check_queries,
    checker,
    split_queries,
    tidy_blocks,
)
from batch_segment_handler.queries.fast_path import accepted_lines
from batch_segment_handler.queries.line import LineParser
from cdk_personalize_segments.segment_query import attribute_expression, query_line, quoted
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.timing import assert_linear

COMEDY = rb'{"itemAttributes": "ITEMS.genres = \"Comedy\""}'
GENRE = rb'"filterValues": {"GENRE": "\"Comedy\""}'


def check(*contents: bytes, **options: Any) -> QueryReport:
    return check_queries([(f"{i}.jsonl", io.BytesIO(content)) for i, content in enumerate(contents)], **options)


def check_exactly(content: bytes, **options: Any) -> QueryReport:
    """Checks every line with the exact parser."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checker, "FAST_PATH_FROM", math.inf)
        return check(content, **options)


def check_fast(content: bytes, **options: Any) -> QueryReport:
    """Checks with the fast path from the first line whose kind is known."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checker, "FAST_PATH_FROM", 0)
        return check(content, **options)


class Dribble:
    """A file whose reads return fewer bytes than requested, as those of a connection."""

    def __init__(self, content: bytes, sizes: list[int]) -> None:
        self._file = io.BytesIO(content)
        self._sizes = sizes

    def read(self, size: int) -> bytes:
        self._sizes = self._sizes[1:] + self._sizes[:1]
        return self._file.read(min(size, self._sizes[0]))


class Generated:
    """A file that repeats ``line``, generated while it is read."""

    def __init__(self, line: bytes, size: int) -> None:
        self._block = line * (2**20 // len(line) + 1)
        self._line = len(line)
        self._at = 0
        self._left = size

    def read(self, size: int) -> bytes:
        data = self._block[self._at : self._at + min(size, self._left)]
        self._left -= len(data)
        self._at = (self._at + len(data)) % self._line
        return data


class Counted:
    """A file that counts the bytes read."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self.bytes = 0

    def read(self, size: int) -> bytes:
        data: bytes = self._file.read(size)
        self.bytes += len(data)
        return data


# -- what is accepted


@pytest.mark.parametrize(
    "content",
    [
        b'{"itemId": "105"}\n',
        b'{"itemId": "105"}',
        b'{"itemId":"105"}\n\n \n',
        b'{"itemId": "105"}\r\n{"itemId": "106"}\r\n',
        b' \t{ "itemId"\t:\r"105" } \n',
        b'{"item\\u0049d": "105"}',
        b'{"itemId": "\\u00e9 \\ud83d\\ude00 \\" \\\\ \\/ \\n \\u0000"}',
        '{"itemId": "é 日本 😀 \u2028"}'.encode(),
        b'{"itemId": " "}',
        b'{"itemId": "' + b"x" * 262_130 + b'"}',
        COMEDY,
        b'{"itemId": "1", ' + GENRE + b"}",
        b"{" + GENRE + b', "itemId": "1"}',
        b'{"itemId": "1", "filterValues": {}}',
        rb'{"itemId": "1", "filterValues": {"GENRE": "\"horror\",\"comedy\"", "YEAR": "1999"}}',
        rb'{"itemAttributes": "ITEMS.genres=\"Comedy\" AND  ITEMS.YEAR = \"1999\""}',
        rb"""{"itemAttributes": "ITEMS.genres = \"Men\\\"s\" AND ITEMS.genres = \"a\\\\b\\'s\""}""",
        '{"itemAttributes": "ITEMS.genres = \\"Komödie\\" AND ITEMS.land = \\"\\u65e5本\\""}'.encode(),
    ],
)
def test_accepts_any_json_spelling_of_a_query(content: bytes) -> None:
    report = check(content)

    assert (report.faults, report.warnings) == ([], [])


@pytest.mark.parametrize(
    ("content", "warnings"),
    [
        (
            b'\xef\xbb\xbf{"itemId": "1"}',
            ["line 1, column 1: a byte order mark, which the service may reject: save the file as UTF-8 without it"],
        ),
        (
            rb'{"itemId": "1", "filterValues": {"GENRE": "Comedy"}}',
            [r'line 1, column 43: a filter value without its own quotes: the documented form is "\"Comedy\""'],
        ),
        *(
            (
                rb'{"itemId": "1", "filterValues": {"GENRE": "%b"}}' % value,
                ["line 1, column 43: an empty filter value"],
            )
            for value in (rb"\"\"", rb"\"a\",\"\"", rb"\"\", \"a\"")
        ),
        (
            rb'{"itemAttributes": "items.a = \"1\""}',
            ["line 1, column 21: 'items.a': the documented form is ITEMS.<column>"],
        ),
        (
            rb'{"itemAttributes": "ITEMS.a = \"1\" and ITEMS.b = \"\""}',
            ["line 1, column 37: 'and': the documented form is AND", "line 1, column 51: an empty value"],
        ),
        (
            rb'{"itemAttributes": "ITEMS.a = 1999 AND ITEMS.b = ' + b"'x'" + b'"}',
            [
                "line 1, column 31: a value without double quotes, which is not documented",
                "line 1, column 50: a value without double quotes, which is not documented",
            ],
        ),
        (
            rb'{"itemAttributes": "ITEMS.a = \"Men' + b"'s" + rb'\""}',
            ["line 1, column 36: a single quote without a backslash, which is not documented"],
        ),
        *(
            (
                b'{"itemAttributes": "' + before.encode() + operator.encode() + b' rest"}',
                [
                    f"line 1, column {21 + len(before)}: {operator!r} is not documented for segments and may be "
                    'rejected: an expression is ITEMS.<column> = "<value>", joined by AND'
                ],
            )
            for before, operator in [
                (r"ITEMS.a = \"1\" ", "||"),
                ("ITEMS.a ", "<"),
                ("ITEMS.a ", ">="),
                ("ITEMS.a ", "!="),
                ("ITEMS.a ", "IN"),
                ("ITEMS.a ", "NOT"),
                ("", "NOT"),
                ("", "("),
            ]
        ),
    ],
)
def test_warns_of_undocumented_syntax(content: bytes, warnings: list[str]) -> None:
    report = check(content)

    assert report.faults == []
    assert [str(warning) for warning in report.warnings] == [f"0.jsonl, {warning}" for warning in warnings]


def test_warns_of_an_empty_file_next_to_queries() -> None:
    report = check(b'{"itemId": "1"}', b"\n")

    assert report.faults == []
    assert [str(warning) for warning in report.warnings] == ["1.jsonl: no query in this file"]


def test_rejects_no_files() -> None:
    assert [str(fault) for fault in check().faults] == ["the input: no query: a job needs at least one"]


# -- what is counted and decided in total


def test_the_report_counts_queries_files_and_bytes() -> None:
    contents = (b'\xef\xbb\xbf{"itemId": "1"}\r\n{"itemId": "2"}\n\n', b'{"itemId": "3"}')

    report = check(*contents)

    assert (report.kind, report.queries, report.bytes) == ("itemId", 3, sum(map(len, contents)))
    assert report.files == 2
    assert report.complete


def test_rejects_files_of_two_kinds() -> None:
    report = check(b'{"itemId": "1"}\n', COMEDY)

    assert report.kind == "itemId"
    assert [str(fault) for fault in report.faults] == [
        '1.jsonl, line 1, column 2: got "itemAttributes", expected "itemId", as in the queries before: '
        "a job takes one kind of query"
    ]


def test_rejects_queries_of_another_kind_than_the_recipes() -> None:
    report = check(b'{"itemId": "1"}\n', kind="itemAttributes")

    assert [str(fault) for fault in report.faults] == [
        '0.jsonl, line 1, column 2: got "itemId", expected "itemAttributes", which the solution\'s recipe requires: '
        "a job takes one kind of query"
    ]


def test_rejects_queries_without_the_filters_values() -> None:
    good = rb'{"itemId": "1", "filterValues": {"GENRE": "\"Comedy\"", "YEAR": "\"1999\""}}' + b"\n"
    lacking = b'{"itemId": "1", ' + GENRE + b"}\n"

    report = check(good * 1000 + lacking + good + b'{"itemId": "1"}', placeholders={"GENRE": True, "YEAR": True})

    reason = 'no value for the filter\'s placeholder ${}: give it in "filterValues"'
    assert [(fault.line, fault.column, fault.reason) for fault in report.faults] == [
        (1001, 1, reason.format("YEAR")),
        (1003, 1, reason.format("GENRE")),
    ]


@pytest.mark.parametrize(
    ("placeholders", "expected"),
    [
        ({"COUNTRY": True}, "$COUNTRY"),
        ({"Genre": False, "AGE": False}, "$AGE, $Genre"),
    ],
)
def test_rejects_an_unknown_filter_value_if_another_is_missing(placeholders: dict[str, bool], expected: str) -> None:
    report = check(b'{"itemId": "1", ' + GENRE + b"}\n", placeholders=placeholders)

    assert [(fault.line, fault.column, fault.reason) for fault in report.faults] == [
        (1, 34, f"unknown filter value 'GENRE', expected {expected}")
    ]


@pytest.mark.parametrize("placeholders", [{}, {"AGE": True}, {"AGE": False}])
def test_warns_of_an_extra_filter_value_on_every_line(placeholders: dict[str, bool]) -> None:
    line = rb'{"itemId": "1", "filterValues": {"GENRE": "\"Comedy\"", "AGE": "\"7\""}}' + b"\n"
    names = {"GENRE", "AGE"} - placeholders.keys()

    report = check(line * 3, placeholders=placeholders, max_faults=99)

    assert report.fault_count == 0
    assert {(fault.line, fault.reason) for fault in report.warnings} == {
        (number, f"a filter value without a placeholder, {name!r}") for number in (1, 2, 3) for name in names
    }


def test_accepts_a_missing_optional_filter_value() -> None:
    lines = b'{"itemId": "1", ' + GENRE + b'}\n{"itemId": "1"}\n'

    assert check(lines, placeholders={"GENRE": False}).fault_count == 0


def test_reports_the_wrong_kind_before_later_faults_of_the_line() -> None:
    lines = [b'{"itemId": ""}', b'{"itemId": "1", "filterValues": {"GENER": ""}}', b'{"itemId": 1, "more": 2}']

    report = check(b"\n".join(lines), kind="itemAttributes", placeholders={"GENRE": True})

    assert [(fault.line, fault.column) for fault in report.faults] == [(1, 2), (2, 2), (3, 2)]
    assert {fault.reason for fault in report.faults} == {
        'got "itemId", expected "itemAttributes", which the solution\'s recipe requires: a job takes one kind of query'
    }


def test_keeps_the_first_faults_and_counts_all() -> None:
    report = check(b'{"itemId": ""}\n' * 777, max_faults=2)

    assert (len(report.faults), report.fault_count, report.complete) == (2, 777, True)


def test_stops_reading_after_ten_thousand_faults() -> None:
    report = check(b'{"itemId": ""}\n' * 20_000)

    assert (report.fault_count, report.complete) == (10_000, False)


def test_error_lists_the_first_faults_and_the_number_of_others() -> None:
    report = check(b'{"itemId": ""}\n' * 3, max_faults=2)

    with pytest.raises(QueryFileError) as raised:
        report.raise_if_faulty()

    assert str(raised.value).splitlines() == [
        "3 faults in the queries:",
        '  0.jsonl, line 1, column 12: "itemId" is empty',
        '  0.jsonl, line 2, column 12: "itemId" is empty',
        "  and 1 more",
    ]


def test_error_states_that_the_rest_was_not_read() -> None:
    with pytest.raises(QueryFileError, match=r"^10000 faults in the queries:\n.*\n  and 9999 more\n  the rest was not"):
        check(b"x\n" * 20_000, max_faults=1).raise_if_faulty()


def test_reading_stops_after_megabytes_of_faulty_lines() -> None:
    line = b'{"itemId": "%b" x}\n' % (b"a" * 2**18)[:-20]
    report = check(line * 100)
    assert (report.fault_count, report.complete) == (65, False)


def test_raises_nothing_without_faults() -> None:
    check(b'{"itemId": "1"}').raise_if_faulty()


# -- limits


def test_rejects_too_many_queries_and_names_the_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_RECORDS", 1500)
    content = b'{"itemId": "1"}\n' * 1000

    assert check(content, content[: 16 * 500]).faults == []
    report = check(content, content)

    assert [str(fault) for fault in report.faults] == ["1.jsonl, line 501: too many queries: a job reads at most 1,500"]
    assert not report.complete


def test_rejects_too_many_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_INPUT_BYTES", 32)

    assert check(b'{"itemId": "1"}\n' * 2).faults == []
    report = check(b'{"itemId": "1"}\n', b'{"itemId": "1"}\n ')

    assert [str(fault) for fault in report.faults] == ["1.jsonl: too many bytes: a job reads at most 32 from all files"]


def test_stops_reading_an_endless_line_at_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_INPUT_BYTES", 2**20)
    file: Any = Generated(b"x", 2**40)

    report = check_queries([("0.jsonl", file)])

    assert [str(fault) for fault in report.faults] == [
        "0.jsonl, line 1: longer than 262,144 bytes: write one query on each line",
        "0.jsonl: too many bytes: a job reads at most 1,048,576 from all files",
    ]
    assert (report.bytes < 2 * 2**20, report.complete) == (True, False)


def test_rejects_too_many_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_INPUT_FILES", 2)

    assert check(*[b'{"itemId": "1"}'] * 2).faults == []
    report = check(*[b'{"itemId": "1"}'] * 3)

    assert [str(fault) for fault in report.faults] == ["2.jsonl: too many files: a job reads at most 2"]
    assert report.files == 2


@pytest.mark.parametrize("newline", [b"", b"\n", b"\n{}"])
@pytest.mark.parametrize(("size", "is_refused"), [(limits.MAX_QUERY_BYTES, False), (limits.MAX_QUERY_BYTES + 1, True)])
def test_accepts_lines_up_to_a_quarter_of_a_mebibyte(size: int, is_refused: bool, newline: bytes) -> None:
    line = b'{"itemId": "' + b"x" * (size - 14) + b'"}'

    reasons = [fault.reason for fault in check(b'{"itemId": "1"}\n' + line + newline).faults if fault.line == 2]

    assert reasons == ["longer than 262,144 bytes: write one query on each line"] * is_refused


def test_counts_bytes_of_all_files_against_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    line = b'{"itemId": "1"}\n'
    monkeypatch.setattr(limits, "MAX_INPUT_BYTES", 2**20)
    first, second = line * (2**19 // len(line)), Counted(Generated(line, 2**40))

    report = check_queries([("0.jsonl", io.BytesIO(first)), ("1.jsonl", second)])  # type: ignore[list-item]

    assert [str(fault) for fault in report.faults] == [
        "1.jsonl: too many bytes: a job reads at most 1,048,576 from all files"
    ]
    # At most one block beyond the limit.
    assert 2**19 < second.bytes <= 2**19 + limits.MAX_QUERY_BYTES + 1
    assert report.bytes == len(first) + second.bytes


@pytest.mark.parametrize("kind", ["itemId", None])
def test_stops_reading_at_the_quota_of_the_whole_job(kind: Any) -> None:
    line = b'{"itemId": "1"}\n'
    file = Counted(Generated(line, 2**30))

    report = check_queries([("queries.jsonl", file)], kind=kind, quota=Quota(per_file=10))  # type: ignore[list-item]

    assert [str(fault) for fault in report.faults] == [
        "queries.jsonl, line 10001: too many queries: a job reads at most 1,000 files of 10 each, 10,000 in all. "
        "Split them over several jobs, or set queries_per_file if your quota is higher"
    ]
    assert not report.complete
    assert file.bytes < 2**20


def test_defaults_to_the_documented_quota_of_the_kind() -> None:
    content = COMEDY + b"\n"

    assert check(content * 10_000, quota=Quota()).faults == []
    (fault,) = check(content * 10_001, quota=Quota()).faults
    assert (fault.line, fault.reason[:72]) == (
        10_001,
        "too many queries: a job reads at most 1,000 files of 10 each, 10,000 in ",
    )


def test_counts_queries_of_all_files_against_the_quota() -> None:
    content = b'{"itemId": "1"}\n' * 600

    assert check(content, content[: 16 * 400], quota=Quota(per_file=1)).faults == []
    (fault,) = check(content, content, quota=Quota(per_file=1)).faults
    assert (fault.file, fault.line) == ("1.jsonl", 401)


def test_stops_reading_at_the_first_file_beyond_its_quota() -> None:
    line = b'{"itemId": "1"}\n'
    second, third = Counted(Generated(line, 2**30)), Counted(Generated(line, 2**30))
    files: Any = [("0.jsonl", io.BytesIO(line * 500)), ("1.jsonl", second), ("2.jsonl", third)]

    report = check_queries(files, quota=Quota(is_split=False))

    assert [str(fault) for fault in report.faults] == [
        "1.jsonl, line 501: too many queries: expected at most 500 in a file. Split it, pass it to "
        "BatchSegmentInput.from_asset, which splits it, or set queries_per_file if your quota is higher"
    ]
    assert second.bytes < 2**20
    assert third.bytes == 0


def test_accepts_an_unsplit_file_of_exactly_the_quota() -> None:
    content = b'{"itemId": "1"}\n' * 7

    assert check(content, content, quota=Quota(per_file=7, is_split=False)).faults == []
    assert [fault.line for fault in check(content, quota=Quota(per_file=6, is_split=False)).faults] == [7]


# -- inline queries


@pytest.mark.parametrize(
    ("content", "options", "fault"),
    [
        (
            b'{"itemId": "1"}\n',
            {"kind": "itemAttributes"},
            "segment_queries[1]: got SegmentQuery.items_like(…), expected SegmentQuery.where(…), which the solution's "
            "recipe requires: a job takes one kind of query",
        ),
        (
            b'{"itemId": "1"}\n',
            {"placeholders": {"COUNTRY": True}},
            "segment_queries[1]: no value for the filter's placeholder $COUNTRY: add .with_filter_values(COUNTRY=…)",
        ),
        (
            rb'{"itemId": "1", "filterValues": {"COUNTY": "\"Japan\""}}',
            {"placeholders": {"COUNTRY": True}},
            "segment_queries[1]: unknown filter value 'COUNTY', expected $COUNTRY",
        ),
        (b'{"itemId": "1"}\n', {"quota": Quota(per_file=1)}, None),
        (
            b'{"itemId": "' + b"x" * 300_000 + b'"}',
            {},
            "segment_queries[1]: longer than 262,144 bytes: shorten it",
        ),
    ],
)
def test_fault_of_an_inline_query_names_its_index_and_python_fix(
    content: bytes, options: dict[str, Any], fault: str | None
) -> None:
    first = {"itemAttributes": COMEDY, "COUNTRY": rb'{"itemId": "1", "filterValues": {"COUNTRY": "\"Kenya\""}}'}
    before = next((line for key, line in first.items() if key in str(options)), b'{"itemId": "1"}')

    report = check_queries([("segment_queries", io.BytesIO(before + b"\n" + content))], is_inline=True, **options)

    assert [str(fault) for fault in report.faults] == ([] if fault is None else [fault])


def test_warning_of_an_inline_query_names_its_index() -> None:
    content = b'{"itemId": "1"}\n' * 12 + b'{"itemId": "1", ' + GENRE + b"}\n"

    report = check_queries([("segment_queries", io.BytesIO(content))], is_inline=True, placeholders={})

    assert [str(warning) for warning in report.warnings] == [
        "segment_queries[12]: a filter value without a placeholder, 'GENRE'"
    ]


# -- the fast path agrees with the parser

#: Pieces of lines, valid and invalid.
PIECES = [
    *(b"{", b"}", b"[", b"]", b",", b":", b" ", b"\t", b"\r", b"\n", b"\n", b"\r\n", b'"', b"'", b"\\", b"\x00"),
    *(b'"itemId"', b'"itemId": "', b'"itemAttributes": "', b'"filterValues": {', GENRE, b'"GENRE": "', b'"": ""'),
    *(rb"ITEMS.a = \"", rb"\"", rb" AND ", rb" OR ", b"items.b", b"1999", b"=", rb"\\", rb"\\\"", rb"\\'"),
    *("é".encode(), "😀".encode(), b"\xe9", b"\xed\xa0\x80", rb"\u00e9", rb"\ud83d", rb"\ude00", rb"\u0022", rb"\x"),
    *(b"\xef\xbb\xbf", "\u2028".encode(), "\u00a0".encode(), b"\x7f", b"null", b"NaN", b"-1e9", b"true", b"abc"),
]
GOOD_LINES = [
    b'{"itemId": "1"}',
    b'{"itemId":"1"}\r',
    b'{"itemId": "\\u00e9\\/"}',
    b'{"itemId": "1", ' + GENRE + b"}",
    b"{" + GENRE + b', "itemId": "1"}',
    COMEDY,
    rb"""{"itemAttributes": "ITEMS.a = \"1\" AND ITEMS.b = \"x y\\'s\""}""",
    '{"itemAttributes": "ITEMS.a = \\"é\\u00e9\\"", "filterValues": {"A": "\\"1\\",\\"2\\"", "B": "\\"\\""}}'.encode(),
]


def mutant(rng: random.Random) -> bytes:
    """A few valid lines, some of them with pieces inserted, removed or repeated."""
    lines = [rng.choice(GOOD_LINES) for _ in range(2)] * rng.randint(1, 3)
    for _ in range(rng.randint(1, 4)):
        i = rng.randrange(len(lines))
        start = rng.randrange(len(lines[i]) + 1)
        end = rng.choice([start, min(len(lines[i]), start + rng.randint(0, 6))])
        piece = rng.choice([b"", rng.choice(PIECES), lines[i][start:end] * 2])
        lines[i] = lines[i][:start] + piece + lines[i][end:]
    return b"\n".join(lines) + rng.choice([b"", b"\n", b"\n\n"])


def plain_rules_accept(line: bytes) -> bool:
    """Whether `json.loads` and a second, simple implementation of the rules accept a line."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        assert len(dict(pairs)) == len(pairs)
        return dict(pairs)

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    try:
        query = json.loads(line.decode(), object_pairs_hook=unique, parse_constant=refuse)
        assert isinstance(query, dict)
        values = query.pop("filterValues", {})
        assert isinstance(values, dict)
        ((key, value),) = query.items()
        assert key in ("itemId", "itemAttributes")
        for text in (value, *values, *values.values()):
            assert isinstance(text, str)
            text.encode()
        assert value
        if key == "itemAttributes":
            parse_expression(value)
    except (ValueError, AssertionError, RecursionError):
        return False
    return True


def assert_fast_path_agrees_with_parser(content: bytes) -> None:
    assert check_fast(content) == check_exactly(content)
    if b"filterValues" in content:
        for placeholders in ({"GENRE": True}, {"GENRE": False}, {"GENRE": True, "A": False}, {}):
            options = {"kind": "itemId", "placeholders": placeholders}
            assert check_fast(content, **options) == check_exactly(content, **options)


def assert_parser_agrees_with_plain_rules(line: bytes) -> None:
    line = line.replace(b"\n", b"")
    if line.strip() and not line.startswith(b"\xef\xbb\xbf"):
        assert (check(line).fault_count == 0) == plain_rules_accept(line), line


@pytest.mark.exhaustive
def test_fast_path_parser_and_plain_rules_agree_on_mutants() -> None:
    rng = random.Random(20)
    accepted = 0
    for _ in range(4000):
        content = mutant(rng)
        assert_fast_path_agrees_with_parser(content)
        for line in content.split(b"\n")[:2]:
            assert_parser_agrees_with_plain_rules(line)
            accepted += plain_rules_accept(line)
    # The corpus needs many lines of either kind.
    assert 2000 < accepted < 6000


@pytest.mark.exhaustive
@settings(max_examples=400, deadline=None)
@given(st.lists(st.one_of(st.sampled_from(PIECES), st.sampled_from(GOOD_LINES)), max_size=12).map(b"".join))
def test_fast_path_and_parser_agree_on_pieces_in_any_order(content: bytes) -> None:
    assert_fast_path_agrees_with_parser(b'{"itemId": "1"}\n' + content)
    assert_parser_agrees_with_plain_rules(content)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60), st.sampled_from(GOOD_LINES), st.data())
def test_fast_path_and_parser_agree_on_any_bytes_in_a_line(noise: bytes, line: bytes, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(line)))
    noisy = line[:at] + noise + line[at:]

    assert_fast_path_agrees_with_parser(line + b"\n" + noisy)
    assert_parser_agrees_with_plain_rules(noisy)


values = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
names = st.from_regex(r"\A[A-Za-z_][A-Za-z0-9_]{0,9}\Z")


@settings(deadline=None)
@given(st.lists(st.one_of(values.map(lambda value: {"itemId": value})), min_size=1, max_size=9), st.booleans())
def test_accepts_written_queries_unchanged(written: list[dict[str, str]], ascii_only: bool) -> None:
    lines = [query_line(query) for query in written]
    if ascii_only:
        lines = [json.dumps(query).encode() + b"\n" for query in written]

    report = check(b"".join(lines))

    assert (report.queries, report.fault_count, report.warning_count) == (len(written), 0, 0)
    assert [json.loads(line) for line in lines] == written


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from([*GOOD_LINES, b"", b"{}"]), max_size=20), st.lists(st.integers(1, 40), min_size=1))
@example([b'{"itemId": "1"}'], [1])
def test_result_does_not_depend_on_the_size_of_reads(lines: list[bytes], sizes: list[int]) -> None:
    content = b"\xef\xbb\xbf" + b"\n".join(lines)

    assert check_queries([("0.jsonl", Dribble(content, sizes))]) == check(content)  # type: ignore[list-item]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from([*GOOD_LINES, b"", b"{}", b"\xff"]), max_size=20), st.integers(120, 300))
def test_result_does_not_depend_on_where_a_block_ends(lines: list[bytes], block: int) -> None:
    content = b"\n".join(lines)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "BLOCK_BYTES", block)
        in_small_blocks = check(content)

    assert in_small_blocks == check(content)


#: Any white space, order of keys and escapes, by kind of query, placeholders and a line without any of them.
SPELLINGS: list[tuple[limits.QueryKind, dict[str, bool] | None, dict[str, Any]]] = [
    ("itemId", {}, {"itemId": "1"}),
    ("itemId", None, {"itemId": "é/", "filterValues": {"A": '"1","2"', "B": "7", "C": '"x"'}}),
    ("itemId", {"A": True, "B": True}, {"itemId": '😀 "\n', "filterValues": {"B": '"x" , "\\"y"', "A": '"1"'}}),
    ("itemId", {"A": True, "B": False, "C": True}, {"itemId": "1", "filterValues": {"C": '"1"', "A": '"2"'}}),
    ("itemId", {"A": False}, {"itemId": "1", "filterValues": {}}),
    ("itemAttributes", {}, {"itemAttributes": 'ITEMS.a="é" AND  ITEMS.b = "Men\\\'s \\"x\\""'}),
    ("itemAttributes", {"A": True}, {"itemAttributes": ' ITEMS.a = "\n" ', "filterValues": {"A": '"-1.5"'}}),
]


def spelled(draw: st.DrawFn, value: Any) -> bytes:
    """A JSON value in any of its spellings, with the white space that a line can have."""
    space = st.sampled_from([b"", b"", b" ", b"  ", b"\t", b"\r "])
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=draw(st.booleans())).encode()
    members = [
        b"".join([draw(space), spelled(draw, key), draw(space), b":", draw(space), spelled(draw, item), draw(space)])
        for key, item in draw(st.permutations(list(value.items())))
    ]
    return b"{" + (b",".join(members) or draw(space)) + b"}"


@pytest.mark.exhaustive
@pytest.mark.parametrize(("kind", "placeholders", "query"), SPELLINGS)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_fast_path_matches_any_spelling(kind: Any, placeholders: Any, query: Any, data: st.DataObject) -> None:
    line = spelled(cast(st.DrawFn, data.draw), query)

    assert accepted_lines(kind, placeholders).fullmatch(line + b"\n" + line + b"\r\n"), line
    assert_fast_path_agrees_with_parser(line + b"\n" + line)


@pytest.mark.exhaustive
@pytest.mark.parametrize(("kind", "placeholders", "query"), SPELLINGS)
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_fast_path_matches_no_line_with_a_fault_or_warning(
    kind: Any, placeholders: Any, query: Any, data: st.DataObject
) -> None:
    line = spelled(cast(st.DrawFn, data.draw), query)
    at = data.draw(st.integers(0, len(line)))
    end = data.draw(st.integers(at, min(len(line), at + 5)))
    part = data.draw(st.one_of(st.just(line[at:end] * 2), st.sampled_from([b"", *PIECES]), st.binary(max_size=4)))
    content = line + b"\n" + line[:at] + part + line[end:]

    options = {"kind": kind, "placeholders": placeholders}
    assert check_fast(content, **options) == check_exactly(content, **options)


@pytest.mark.parametrize(
    ("placeholders", "names"),
    [
        (None, "AA"),
        (None, "AB$"),
        (None, "ABA"),
        ({"A": True, "B": True}, "A"),
        ({"A": True, "B": True}, "AA"),
        ({"A": True, "B": True}, "BB"),
        ({"A": True, "B": True}, "ABA"),
        ({"A": True, "B": True}, "ABC"),
        ({"A": True, "B": False}, "B"),
        ({"A": False, "B": False}, "BB"),
        ({"A": False}, "B"),
        ({"A": True}, ""),
        ({}, "A"),
        (dict.fromkeys("ABCDEFGHIJKLMNOPQRSTUVWXYZ", True), "A"),
    ],
)
def test_fast_path_leaves_wrong_filter_values_to_the_parser(placeholders: Any, names: str) -> None:
    values = ", ".join(rf'"{name}": "\"1\""' for name in names)
    for members in (f'"itemId": "1", "filterValues": {{{values}}}', f'"filterValues": {{{values}}}, "itemId": "1"'):
        line = f"{{{members}}}\n".encode()

        assert not accepted_lines("itemId", placeholders).match(line)
        report = check(line, placeholders=placeholders)
        assert report.fault_count + report.warning_count > 0


def test_fast_path_matches_25_filter_values_in_any_order() -> None:
    names = [f"N{number}" for number in range(25)]
    line = json.dumps({"itemId": "1", "filterValues": dict.fromkeys(reversed(names), '"1"')}).encode() + b"\n"

    assert accepted_lines("itemId", dict.fromkeys(names, True)).fullmatch(line * 2)
    assert accepted_lines("itemId", dict.fromkeys(names, False)).fullmatch(line * 2)


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The lines that the exact parser reads from now on, in a process that has read none."""
    read: list[bytes] = []
    read_exactly = LineParser.read

    def record(self: LineParser, text: Any) -> Any:
        read.append(text)
        return read_exactly(self, text)

    monkeypatch.setattr(LineParser, "read", record)
    monkeypatch.setattr(checker, "_parsed", Counter())
    return read


def test_parses_only_the_first_lines_of_a_large_file(parsed: list[bytes]) -> None:
    shapes = [
        b'{"itemId": "%d"}',
        b'{"itemId":"%d"}\r',
        b'{"itemId": "\\u00e9%d"}',
        b"{%s, " % GENRE + b'"itemId":"%d"}',
    ]

    report = check(b"\n".join(shape % i for i in range(1000) for shape in shapes))

    assert (report.queries, report.fault_count) == (4000, 0)
    # The first line tells the kind of query.
    assert len(parsed) == 1 + checker.FAST_PATH_FROM


def test_parses_only_the_first_line_of_later_small_files(parsed: list[bytes]) -> None:
    content = b"\n".join(b'{"itemId": "%d"}' % number for number in range(101))
    reports = [check(content) for _ in range(20)]
    assert {(report.queries, report.fault_count) for report in reports} == {(101, 0)}
    assert len(parsed) == 20 + checker.FAST_PATH_FROM


# -- time and memory


#: A line's beginning, the part that is repeated, and its end.
LONG_LINES = [
    (b'{"itemId": "', b"\\", b""),
    (b'{"itemId": "', b'\\"', b'"}'),
    (b'{"itemId": "', rb"\u00e9x", b'" x}'),
    (b'{"itemAttributes": "', b"ITEMS.a = ", b'"}'),
    (b'{"itemAttributes": "', rb"ITEMS.a = \"1\" AND ", b'"}'),
    (b'{"itemAttributes": "', rb"ITEMS.a=\"\\\"\"  AND  ", b'"}'),
    (rb'{"itemAttributes": "ITEMS.a = \"', rb"\\", b'"}'),
    (b'{"itemAttributes": "', b" ", b'"}'),
    (b'{"itemAttributes": "(', rb"\\\"", b'"}'),
    (b'{"itemAttributes": "(', b"OR", b'"}'),
    (b'{"itemAttributes": "(', b"'", b'"}'),
    (b'{"itemId": "1", "filterValues": {"A": "', rb"\"\",", rb'\"\""}}'),
    (b'{"itemId": "1", "filterValues": {"A": "', rb"\"a\", ", b'x"}}'),
    (b'{"itemId": "1", "filterValues": {"A": "', b" ", b'"}}'),
    (b'{"itemId": "1", "filterValues": {', rb'"A": "\"1\"", ', rb'"B": "\"1\""}}'),
    (b'{"filterValues": {', rb'"B": "7" , ', rb'"A": "\"1\""}, "itemId": "1"}'),
    (b"", b" ", b"x"),
    (b"", b"[", b""),
]


@pytest.mark.exhaustive
@pytest.mark.parametrize("placeholders", [None, {"A": True, "B": False, "C": True}])
@pytest.mark.parametrize(("start", "part", "end"), LONG_LINES)
def test_time_grows_linearly_with_the_length_of_a_line(
    start: bytes, part: bytes, end: bytes, placeholders: dict[str, bool] | None
) -> None:
    kind: Any = "itemAttributes" if b"itemA" in start else "itemId"
    assert_linear(
        lambda line: check_fast(line, placeholders=placeholders, kind=kind),
        lambda length: start + part * ((length - len(start + end)) // len(part)) + end,
        limits.MAX_QUERY_BYTES,
    )


def peak_of(work: Iterator[object]) -> int:
    tracemalloc.start()
    for _ in work:
        pass
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak


@pytest.mark.parametrize("line", [b'{"itemId": "1"}\n', b'{"itemId": ""}\n', b"\n", b" ", b"x", COMEDY + b"\n"])
@pytest.mark.parametrize("mebibytes", [2, 16])
def test_memory_does_not_grow_with_a_file(line: bytes, mebibytes: int) -> None:
    file: Any = Generated(line, mebibytes * 2**20)

    assert peak_of(iter([check_queries([("0.jsonl", file)])])) < 2 * 2**20


@pytest.mark.exhaustive
@pytest.mark.parametrize("queries_per_file", [1000, 50_000_000])
def test_memory_does_not_grow_with_a_part(queries_per_file: int) -> None:
    file: Any = Generated(b'{"itemId": "1"}\n', 8 * 2**20)

    assert peak_of(chunk for part in split_queries(file, queries_per_file) for chunk in part) < 2 * 2**20


# -- splitting


def parts_of(content: bytes, queries_per_file: int) -> list[bytes]:
    return [b"".join(part) for part in split_queries(io.BytesIO(content), queries_per_file)]


def test_splits_in_order_and_puts_the_rest_into_the_last_part() -> None:
    lines = [b'{"itemId": "%d"}\n' % i for i in range(1234)]

    parts = parts_of(b"".join(lines), 500)

    assert parts == [b"".join(lines[:500]), b"".join(lines[500:1000]), b"".join(lines[1000:])]


def test_yields_no_empty_part() -> None:
    assert parts_of(b"a\nb\nc\nd\n", 2) == [b"a\nb\n", b"c\nd\n"]
    assert parts_of(b"\xef\xbb\xbf\n\n", 2) == []
    assert parts_of(b"", 2) == []


def test_tidies_line_ends_and_changes_nothing_else() -> None:
    content = b'\xef\xbb\xbf{"itemId" :\t"\\u0031"} \r\n  {"itemId": "\xc3\xa9"}\n\n{"itemId": "3"}\n \t\r\n\n'

    assert parts_of(content, 2) == [
        b'{"itemId" :\t"\\u0031"} \n  {"itemId": "\xc3\xa9"}\n',
        b'{"itemId": "3"}\n',
    ]


@pytest.mark.parametrize(
    "content",
    [
        b'{"itemId": "1"}\n{"itemId": "2"}\n',
        b'{"itemId": "1"}\n{"itemId": "2"}',
        b'{"itemId": "1"}\r\n{"itemId": "2"}\r\n',
        b'{"itemId": "1"}\r\n{"itemId": "2"}',
        b'{"itemId": "1"}\n{"itemId": "2"}\n\n \t\r\n\n',
        b'\xef\xbb\xbf{"itemId": "1"}\n{"itemId": "2"}',
    ],
)
def test_same_queries_have_the_same_tidied_bytes(content: bytes) -> None:
    assert b"".join(tidy_blocks(io.BytesIO(content))) == b'{"itemId": "1"}\n{"itemId": "2"}\n'


def test_skips_a_part_that_is_not_read() -> None:
    second = [b"".join(part) for number, part in enumerate(split_queries(io.BytesIO(b"a\nb\nc\n"), 1)) if number == 1]

    assert second == [b"b\n"]


@pytest.mark.parametrize("queries_per_file", [0, -1])
def test_rejects_a_part_size_below_one(queries_per_file: int) -> None:
    with pytest.raises(ValueError, match=f"^size: got {queries_per_file}, expected at least 1$"):
        split_queries(io.BytesIO(b""), queries_per_file)


def test_refuses_to_split_a_line_longer_than_a_query() -> None:
    with pytest.raises(ValueError, match=r"^got a longer line, expected at most 262,144 bytes$"):
        parts_of(b"x" * 300_000, 1)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.sampled_from([*GOOD_LINES, b"", b" \t", b"\r", b"\r\r"]), max_size=40),
    st.integers(1, 12),
    st.integers(150, 400),
    st.lists(st.integers(1, 200), min_size=1),
)
def test_splitting_neither_loses_nor_changes_a_query(
    lines: list[bytes], size: int, block: int, sizes: list[int]
) -> None:
    kept = [line.removesuffix(b"\r") for line in lines if line.strip()]
    file: Any = Dribble(b"\n".join(lines), sizes)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "BLOCK_BYTES", block)
        parts = [b"".join(part) for part in split_queries(file, size)]

    assert [part.splitlines() for part in parts] == [kept[i : i + size] for i in range(0, len(kept), size)]
    assert all(part.endswith(b"\n") for part in parts)


# -- expressions


@pytest.mark.parametrize(
    ("columns", "expression"),
    [
        ({"genres": "Comedy"}, 'ITEMS.genres = "Comedy"'),
        ({"genres": ["Comedy", "Action"]}, 'ITEMS.genres = "Comedy" AND ITEMS.genres = "Action"'),
        ({"GENRES": "Comedy", "year": "1999"}, 'ITEMS.GENRES = "Comedy" AND ITEMS.year = "1999"'),
        ({"_a1": 'say "hi"\\'}, r'ITEMS._a1 = "say \"hi\"\\"'),
        ({"a": "Men's"}, r'ITEMS.a = "Men\'s"'),
        ({"a": "日本\n"}, 'ITEMS.a = "日本\n"'),
    ],
)
def test_writes_expressions_as_documented(columns: Any, expression: str) -> None:
    assert attribute_expression(columns) == expression


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({}, "columns: got none, expected at least one"),
        ({"a": ""}, "column a: got '', expected a non-empty string"),
        ({"a": ["x", ""]}, "column a: got '', expected a non-empty string"),
        ({"a": []}, "column a: got no value, expected at least one"),
        ({"a": 1999}, 'column a: got 1999, expected a non-empty string: write a="1999"'),
        (
            {"a": [True]},
            'column a: got True, expected a non-empty string: write it as the data has it, for example a="true"',
        ),
        ({"a": None}, "column a: got None, expected a non-empty string"),
        ({"a": b"x"}, "column a: got b'x', expected a non-empty string"),
        *(
            (
                {column: "x"},
                f"column: got {shown}, expected a name of letters, digits and underscores, not starting with a digit, "
                "without ITEMS.",
            )
            for column, shown in [
                ("", "''"),
                ("1st", "'1st'"),
                ("a-b", "'a-b'"),
                ("größe", "'größe'"),
                ("ITEMS.a", "'ITEMS.a'"),
                ("x" * 40 + "!", "'xxxxxxxxxxxxxxxxxxx…'"),
                (3, "a value of type int"),
            ]
        ),
    ],
)
def test_rejects_invalid_columns_of_an_expression(columns: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        attribute_expression(columns)


@settings(deadline=None)
@given(st.dictionaries(names, st.lists(values, min_size=1, max_size=3), min_size=1, max_size=4))
def test_parses_a_written_expression_to_the_same_conditions(columns: dict[str, list[str]]) -> None:
    expression = attribute_expression(columns)

    read = parse_expression(expression)

    assert read.conditions == [(column, value) for column, several in columns.items() for value in several]
    assert read.warnings == []
    report = check(query_line({"itemAttributes": expression, "filterValues": {"A": quoted("x")}}) * 3)
    assert (report.fault_count, report.warning_count) == (0, 0)


def test_treats_a_quoted_or_as_text() -> None:
    expression = r"""ITEMS.a = "x \" OR y" AND ITEMS.OR = "1" AND ITEMS.b IN ("1 OR 2", ' OR ', "OR")"""

    assert [reason[:31] for _, reason in parse_expression(expression).warnings] == ["'IN' is not documented for segm"]


def test_error_of_an_expression_names_the_column() -> None:
    with pytest.raises(ExpressionError, match=r"^column 9: got ':', expected =: an expression is ITEMS") as raised:
        parse_expression('ITEMS.a : "x"')

    assert raised.value.at == 8


@settings(deadline=None)
@given(st.text(alphabet="ITEMSabAND.=<>\"\\' ()|&!0-", max_size=40))
def test_any_text_is_an_expression_or_has_an_error_offset(text: str) -> None:
    try:
        parse_expression(text)
    except ExpressionError as error:
        assert 0 <= error.at <= len(text)  # noqa: PT017 - most texts are none, but not all


# -- lines


@pytest.mark.parametrize(
    ("query", "line"),
    [
        ({"itemId": "é\n"}, '{"itemId": "é\\n"}\n'),
        (
            {"itemId": "1", "filterValues": {"A": quoted("Japan")}},
            r'{"itemId": "1", "filterValues": {"A": "\"Japan\""}}' + "\n",
        ),
    ],
)
def test_writes_a_query_on_one_line(query: dict[str, Any], line: str) -> None:
    assert query_line(query) == line.encode()


@pytest.mark.parametrize("value", ["\ud800", float("nan")])
def test_rejects_a_query_that_json_cannot_represent(value: object) -> None:
    with pytest.raises(ValueError, match=r"surrogates not allowed|Out of range float"):
        query_line({"itemId": value})


# -- filters


@pytest.mark.parametrize(
    ("expression", "names", "required"),
    [
        ('INCLUDE UserID WHERE Users.GENDER IN ("F")', "", ""),
        ("INCLUDE UserID WHERE Users.GENDER IN ($GENDER)", "GENDER", "GENDER"),
        ("INCLUDE UserID WHERE Users.AGE > $AGE AND Users.CITY IN ($c_1, $c_2)", "AGE c_1 c_2", "AGE c_1 c_2"),
        ('INCLUDE UserID WHERE Users.CITY IN ("$A", "\\"$B", $C) AND Users.X = \'$D\'', "C", "C"),
        ("EXCLUDE UserID WHERE Interactions.EVENT_TYPE IN ($E)", "E", ""),
        ("EXCLUDE UserID WHERE Users.A IN ($A) | INCLUDE UserID WHERE Users.B IN ($B)", "A B", "B"),
        ("INCLUDE UserID WHERE Users.A IN ($A) | EXCLUDE UserID WHERE Users.B IN ($A)", "A", "A"),
        ("include UserID WHERE Users.B IN ($B)|exclude UserID WHERE Users.INCLUDED IN ($A)", "A B", "B"),
    ],
)
def test_finds_placeholders_outside_quotes(expression: str, names: str, required: str) -> None:
    assert filter_placeholders(expression) == {name: name in required.split() for name in names.split()}


@pytest.mark.timeout(60)
def test_reads_a_line_with_thousands_of_warnings_in_one_pass() -> None:
    # Reading the line again for each warning would take minutes.
    expression = " and ".join(["items.a=1"] * 16_000)
    line = json.dumps({"itemAttributes": expression}).encode()
    assert 200_000 < len(line) < 262_144
    report = check_queries([("a", io.BytesIO(line))])
    assert report.fault_count == 0
    assert report.warning_count == 5
    assert [warning.column for warning in report.warnings[:2]] == [21, 29]
