"""The query file: checks it, splits it.

A file is JSON Lines, each line a query: an object with ``itemId`` or ``itemAttributes`` (INPUT) and, where the filter
has placeholders, ``filterValues`` (FILTER). `_Query` validates one line exactly. As a fast path, every accepted line is
turned into a regular expression with its values left open; following lines that match are accepted in bulk.

Sources:
    INPUT: https://docs.aws.amazon.com/personalize/latest/dg/prepare-input-data-user-segment.html
    FILTER: https://docs.aws.amazon.com/personalize/latest/dg/filter-batch.html
"""

import codecs
import functools
import itertools
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO, NoReturn, get_args

from . import limits
from .expressions import ExpressionError, excerpt, parse_expression
from .limits import QueryKind

_KINDS: tuple[QueryKind, ...] = get_args(QueryKind)
_KEYS = (*_KINDS, "filterValues")
#: After this many faults a file is not read on: they have one cause, and the first few show it.
_MOST_FAULTS = 10_000
#: The longest line and its newline, so a block without a newline is a line that is too long.
_BLOCK = limits.MAX_QUERY_BYTES + 1
_BLANK_LINES = re.compile(rb"(?:[ \t\r]*+\n)++")
#: Formats by the first bytes of a file. Such a file gets this one reason, and is not read further.
_COMPRESSED = "the file is compressed: unpack it"
_UTF_16 = "the file is UTF-16: save it as UTF-8"
_OTHER_FORMATS = {
    b"\x1f\x8b": _COMPRESSED,  # gzip
    b"PK\x03\x04": _COMPRESSED,  # zip
    b"BZh": _COMPRESSED,  # bzip2
    b"\x28\xb5\x2f\xfd": _COMPRESSED,  # Zstandard
    b"\xfd7zX": _COMPRESSED,  # xz
    codecs.BOM_UTF16_LE: _UTF_16,
    codecs.BOM_UTF16_BE: _UTF_16,
    b"PAR1": "the file is Parquet: write JSON Lines, one query on each line",
    b"Obj\x01": "the file is Avro: write JSON Lines, one query on each line",
}
_LONGEST_MARK = max(map(len, _OTHER_FORMATS))


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with a file, or doubtful in it.

    Attributes:
        file: The file's name; of inline queries the query, for example ``segment_queries[12]``.
        line: Counted from 1; 0 for the file as a whole.
        column: Counted from 1, in characters; None for the line as a whole.
        reason: What is wrong and what to write instead.
    """

    file: str
    line: int
    column: int | None
    reason: str

    def __str__(self) -> str:
        line = f", line {self.line}" if self.line else ""
        column = f", column {self.column}" if self.column else ""
        return f"{self.file}{line}{column}: {self.reason}"


class QueryFileError(ValueError):
    """The queries have faults; the message lists the first of them."""


@dataclass(slots=True)
class QueryReport:
    """What one pass over the files found.

    Attributes:
        kind: The key that the queries have, or should have; None if there is no query and nobody said.
        queries: How many there are, faulty ones included.
        files: How many files there are.
        bytes: How many bytes they have.
        faults: The first faults.
        fault_count: How many faults there are.
        warnings: The first things that the service is not documented to take.
        warning_count: How many of them there are.
        complete: Whether all was read. It was not if a limit was passed, or after 10,000 faults.
    """

    kind: QueryKind | None = None
    queries: int = 0
    files: int = 0
    bytes: int = 0
    faults: list[Fault] = field(default_factory=list)
    fault_count: int = 0
    warnings: list[Fault] = field(default_factory=list)
    warning_count: int = 0
    complete: bool = True

    def raise_if_faulty(self) -> None:
        """Raises the faults as one error.

        Raises:
            QueryFileError: There is a fault.
        """
        if not self.fault_count:
            return
        lines = [f"{self.fault_count} {'fault' if self.fault_count == 1 else 'faults'} in the queries:", *self.faults]
        if more := self.fault_count - len(self.faults):
            lines.append(f"and {more} more")
        if not self.complete:
            lines.append("the rest was not read")
        raise QueryFileError("\n  ".join(map(str, lines)))


@dataclass(frozen=True, slots=True)
class Quota:
    """How many queries an input may have.

    Attributes:
        per_file: Your quota of queries per file; None takes the documented one of the kind of query.
        is_split: Whether the input is still to be split. Then only the quota of all files together counts.
    """

    per_file: int | None = None
    is_split: bool = True

    def queries_per_file(self, kind: QueryKind) -> int:
        """How many queries a file may have."""
        return self.per_file or limits.MAX_QUERIES_PER_FILE[kind]


def check_queries(
    files: Iterable[tuple[str, BinaryIO]],
    *,
    kind: QueryKind | None = None,
    placeholders: Mapping[str, bool] | None = None,
    quota: Quota | None = None,
    is_inline: bool = False,
    max_faults: int = 10,
) -> QueryReport:
    """Checks query files in one pass, in memory that does not grow with their size.

    Reading stops where a limit or the quota is passed.

    Args:
        files: Name and content of each file. Messages show the name as it is, so escape a name from outside. Of the
            content, only ``read(n)`` is used.
        kind: The key that the solution's recipe takes; None takes either, but one for all files.
        placeholders: The placeholders of the job's filter, and whether each query has to give a value for them; none
            without a filter. None if the filter is not known.
        quota: How many queries are allowed; None for any number that a job takes.
        is_inline: Whether the lines were written by `SegmentQuery`. Then they are named by their index, and messages
            say what to write in Python.
        max_faults: How many faults, and how many warnings, to keep; all are counted.

    Returns:
        What was found. Nothing is raised for what is wrong with the files.
    """
    check = _Check(kind, placeholders, quota, max_faults, is_inline=is_inline)
    try:
        for name, file in files:
            check.read(name, file)
        if not check.report.queries and not check.report.fault_count:
            check.fault(0, None, "no query: a job needs at least one")
    except _Enough:
        check.report.complete = False
    return check.report


class _Enough(Exception):  # noqa: N818 - no error, but a reason to stop
    """There is no need to read on."""


class _Check:
    """A pass over files, and what it has found so far."""

    def __init__(
        self,
        kind: QueryKind | None,
        placeholders: Mapping[str, bool] | None,
        quota: Quota | None,
        max_faults: int,
        *,
        is_inline: bool,
    ) -> None:
        self.report = QueryReport(kind=kind)
        who = "the solution's recipe takes" if kind else "the queries before have"
        self._query = functools.partial(_Query, who, placeholders, is_inline=is_inline)
        self._quota = quota
        self._is_inline = is_inline
        self._max_faults = max_faults
        self._alike = _Alike()
        self._file, self._line = "the input", 0
        self._in_file = 0  # queries in this file
        self._blank = 0  # the first of the blank lines just read, if any

    def read(self, name: str, file: BinaryIO) -> None:
        report = self.report
        self._file, self._line, self._in_file, self._blank = name, 0, 0, 0
        if report.files == limits.MAX_INPUT_FILES:
            self._stop(0, f"too many files: a job reads at most {limits.MAX_INPUT_FILES:,}")
        report.files += 1
        blocks = _Blocks(file, limits.MAX_INPUT_BYTES - report.bytes)
        for block in blocks:
            self._read_block(block)
        report.bytes += blocks.bytes
        if report.bytes > limits.MAX_INPUT_BYTES:
            self._stop(0, f"too much: a job reads at most {limits.MAX_INPUT_BYTES:,} bytes, all files together")
        if blocks.other_format:
            self.fault(0, None, blocks.other_format)
            return
        if blocks.bom:
            self._warn(1, 1, "a byte order mark, which the service may not take: save the file as UTF-8 without it")
        if not self._in_file:
            self._warn(0, None, "no query in this file")

    def _read_block(self, block: bytes) -> None:
        if not block:
            self._count(1)
            hint = "shorten it" if self._is_inline else "write one query on each line"
            self.fault(self._line, None, f"longer than {limits.MAX_QUERY_BYTES:,} bytes: {hint}")
            return
        is_utf8 = _is_utf8(block)
        at = 0
        while at < len(block):
            if blank := _BLANK_LINES.match(block, at):
                end = blank.end()
                self._blank = self._blank or self._line + 1
                self._line += block.count(b"\n", at, end)
            elif is_utf8 and (alike := self._alike.match(block, at)):
                end = alike.end()
                self._count(block.count(b"\n", at, end))
            else:
                end = block.index(b"\n", at) + 1
                self._read_line(block[at : end - 1])
            at = end

    def _read_line(self, line: bytes) -> None:
        self._count(1)
        query = self._query(self.report.kind)
        try:
            query.read(line)
        except _Bad as bad:
            self.fault(self._line, bad.at + 1, bad.reason)
            return
        self.report.kind = query.kind
        for at, reason in query.warnings:
            self._warn(self._line, at + 1, reason)
        if not query.warnings:
            self._alike.learn(query)

    def _count(self, queries: int) -> None:
        """Counts lines that are no blank ones."""
        if self._blank:
            self.fault(self._blank, None, "a blank line before a query: remove it")
            self._blank = 0
        room, reason = self._room()
        if queries > room:
            self._in_file += room
            self._stop(self._line + room + 1, reason)
        self.report.queries += queries
        self._in_file += queries
        self._line += queries

    def _room(self) -> tuple[int, str]:
        """How many more queries are allowed, and what to say of one too many."""
        room = limits.MAX_RECORDS - self.report.queries
        reason = f"too many queries: a job takes at most {limits.MAX_RECORDS:,}"
        if self._quota is None or self.report.kind is None:
            return room, reason
        per_file = self._quota.queries_per_file(self.report.kind)
        in_all = per_file * limits.MAX_INPUT_FILES
        if not self._quota.is_split and per_file - self._in_file < room:
            room = per_file - self._in_file
            reason = (
                f"too many queries: expected at most {per_file:,} in a file. Split it, pass it as "
                "BatchSegmentInput.from_asset, which is split, or set queries_per_file if your quota is higher"
            )
        if self._quota.is_split and in_all - self.report.queries < room:
            room = in_all - self.report.queries
            reason = (
                f"too many queries: a job reads {limits.MAX_INPUT_FILES:,} files of {per_file:,} each, together "
                f"{in_all:,}. Split them over several jobs, or set queries_per_file if your quota is higher"
            )
        return room, reason

    def fault(self, line: int, column: int | None, reason: str) -> None:
        self.report.fault_count += 1
        if len(self.report.faults) < self._max_faults:
            self.report.faults.append(self._named(line, column, reason))
        if self.report.fault_count == _MOST_FAULTS:
            raise _Enough

    def _warn(self, line: int, column: int | None, reason: str) -> None:
        self.report.warning_count += 1
        if len(self.report.warnings) < self._max_faults:
            self.report.warnings.append(self._named(line, column, reason))

    def _named(self, line: int, column: int | None, reason: str) -> Fault:
        if self._is_inline and line:
            return Fault(f"{self._file}[{line - 1}]", 0, None, reason)
        return Fault(self._file, line, column, reason)

    def _stop(self, line: int, reason: str) -> NoReturn:
        self.fault(line, None, reason)
        raise _Enough


def _is_utf8(block: bytes) -> bool:
    try:
        return block.isascii() or bool(block.decode())
    except UnicodeDecodeError:
        return False


class _Blocks:
    """A file as blocks of whole lines; an empty block stands for a line that is too long.

    A byte order mark is left out, and a newline that is missing at the end is added. A file with more than ``most``
    bytes is not read on, nor is one of another format.

    Attributes:
        bytes: How many were read.
        bom: Whether there is a byte order mark.
        other_format: What to say of a file of another format; empty for text.
    """

    def __init__(self, file: BinaryIO, most: float = math.inf) -> None:
        self._file = file
        self._most = most
        self.bytes = 0
        self.bom = False
        self.other_format = ""

    def __iter__(self) -> Iterator[bytes]:
        rest = b""
        while len(rest) < _LONGEST_MARK and (data := self._file.read(_LONGEST_MARK - len(rest))):
            rest += data
        self.bytes = len(rest)
        self.other_format = next((why for mark, why in _OTHER_FORMATS.items() if rest.startswith(mark)), "")
        if self.other_format:
            return
        self.bom = rest.startswith(codecs.BOM_UTF8)
        rest = rest.removeprefix(codecs.BOM_UTF8)
        too_long = False
        while self.bytes <= self._most and (data := self._file.read(_BLOCK - len(rest))):
            self.bytes += len(data)
            block = rest + data
            if too_long:
                _, newline, block = block.partition(b"\n")
                too_long = not newline
            end = block.rfind(b"\n") + 1
            if end:
                yield block[:end]
            rest = block[end:]
            if len(rest) == _BLOCK:
                yield b""
                rest, too_long = b"", True
        if rest and self.bytes <= self._most:
            yield rest + b"\n"


# -- lines that are like one that was accepted


def _text_of(*characters: bytes, until: bytes) -> bytes:
    """A pattern for some text: at best, all of it is of the first kind of characters."""
    return rb"(?:%b++%b|(?:%b)++%b)" % (characters[0], until, b"++|".join(characters), until)


# Values, as they are in the file, that `_Query` takes without fault or warning: any item ID without half of a surrogate
# pair; documented expressions; filter values of the documented form, without escapes.
_PLAIN = rb'[^"\\\x00-\x1f]'
_ITEM_ID = _text_of(_PLAIN, rb'\\(?:["\\/bfnrt]|u(?![dD][89a-fA-F])[0-9a-fA-F]{4})', until=b'"')
_CONDITION = rb"ITEMS\.[A-Za-z_][A-Za-z0-9_]*+ *+= *+\\\"" + _text_of(
    rb"[^\"'\\\x00-\x1f]",
    rb"\\\\(?:'|\\[\"\\])|\\u(?!00[0-7]|[dD][89a-fA-F])[0-9a-fA-F]{4}",
    until=rb"\\\"",
)
_OPEN_VALUES = {
    "itemId": rb'"%b' % _ITEM_ID,
    "itemAttributes": rb'"%b(?: ++AND ++%b)*+"' % (_CONDITION, _CONDITION),
    "filterValues": rb'"\\"%b++\\"(?:,\\"%b++\\")*+"' % (_PLAIN, _PLAIN),
}


class _Alike:
    """The lines that differ from one that `_Query` took without a warning in nothing but plain values."""

    _MOST = 8
    _LONGEST = 4096

    def __init__(self) -> None:
        self._known: list[bytes] = []
        self._lines: re.Pattern[bytes] | None = None

    def learn(self, query: "_Query") -> None:
        if len(self._known) == self._MOST or len(query.text) > self._LONGEST:
            return
        pattern, at = b"", 0
        for start, end, key in query.values:
            pattern += re.escape(query.text[at:start].encode()) + _OPEN_VALUES[key]
            at = end
        pattern += re.escape(query.text[at:].encode())
        if pattern not in self._known:
            self._known.append(pattern)
            self._lines = re.compile(b"(?:(?:" + b"|".join(self._known) + rb")\n)++")

    def match(self, block: bytes, at: int) -> re.Match[bytes] | None:
        """Matches such lines, as many as there are from ``at`` on, in a block that is UTF-8."""
        return self._lines and self._lines.match(block, at)


# -- one query, exactly

_SPACE = re.compile(r"[ \t\r]*+")
_SURROGATE = re.compile("[\ud800-\udfff]")
#: A character of a JSON text as it is written; an escaped pair of surrogates is one.
_WRITTEN = re.compile(r"\\u[dD][89abAB]..\\u[dD][c-fC-F]..|\\u....|\\.|.", re.S)
_FILTER_VALUE = re.compile(r'\s*+"(?:[^"\\]|\\.)*+"(?:\s*+,\s*+"(?:[^"\\]|\\.)*+")*+\s*+|[-+.\d]++', re.S)
_TEXT = "text in double quotes"
_GOT = {"{": "an object", "[": "an array", '"': "text", "'": "a single quote", "\ufeff": "a byte order mark"}
_WORD = re.compile(r"[\w.-]+|.")
#: Numbers and booleans that are short enough to be shown as the text to write.
_UNQUOTED = re.compile(r"(?:-?\d[-+.\w]{0,18}|true|false)(?![-+.\w])", re.A)
_EMPTY_FILTER_VALUE = re.compile(r'"(?:[^"\\]|\\.)++"|("")', re.S)
#: How `SegmentQuery` writes each kind of query.
_IN_PYTHON = {"itemId": "SegmentQuery.items_like(…)", "itemAttributes": "SegmentQuery.where(…)"}
_JSON = json.JSONDecoder()


class _Bad(Exception):  # noqa: N818 - it becomes a Fault
    def __init__(self, at: int, reason: str) -> None:
        self.at = at
        self.reason = reason


class _Query:
    """One line, read up to its first fault.

    Attributes:
        text: The line.
        kind: The key that says what it asks for.
        values: Start, end and top-level key of each value.
        warnings: Offset and reason of each.
    """

    def __init__(
        self, who: str, placeholders: Mapping[str, bool] | None, expected: QueryKind | None, *, is_inline: bool
    ) -> None:
        self._wanted, self._who_wants_it = expected, who
        self._placeholders = placeholders
        self._is_inline = is_inline
        self.text = ""
        self.kind: QueryKind | None = None
        self.values: list[tuple[int, int, str]] = []
        self.warnings: list[tuple[int, str]] = []
        self._at = 0
        self._expression: tuple[int, str] | None = None
        self._filter_values: dict[str, int] = {}

    def read(self, line: bytes) -> None:
        """Reads the line, without its newline.

        Raises:
            _Bad: It is no query, one of another kind, or its ``filterValues`` are not those of the placeholders.
        """
        self.text = _decoded(line)
        if self._next() in ("[", "]", ","):
            reason = "a JSON array: write one object per line, without brackets around them or commas between them"
            raise _Bad(self._at, reason)
        start = self._at
        self._read_object(self._read_member, 'a query, {"itemId": "…"} or {"itemAttributes": "…"}')
        if following := self._next():
            if following == ",":
                raise _Bad(self._at, "a comma after the query: end the line with the closing brace")
            if following == "{":
                raise _Bad(self._at, "a second query on the line: write each on a line of its own")
            self._refuse("the end of the line after the query")
        if self.kind is None:
            raise _Bad(start, 'no "itemId" and no "itemAttributes": a query has one of them')
        if self._expression:
            self._check_expression(*self._expression)
        if self._placeholders is not None:
            self._check_filter_values(start, self._placeholders)

    def _check_filter_values(self, start: int, placeholders: Mapping[str, bool]) -> None:
        missing = sorted(placeholders.keys() - self._filter_values)
        for name, at in self._filter_values.items():
            if name in placeholders:
                continue
            if missing:
                # Misspelt; if the value can be omitted, a part of the filter would not be used.
                raise _Bad(at, f"unknown filter value {excerpt(name)}, expected {_listed(missing)}")
            self.warnings.append((at, f"a filter value that no placeholder takes, {excerpt(name)}"))
        for name in missing:
            if placeholders[name]:
                fix = f"add .with_filter_values({name}=…)" if self._is_inline else 'give it in "filterValues"'
                raise _Bad(start, f"no value for the filter's placeholder ${name}: {fix}")

    def _read_object(self, read_value: Callable[[str, int], None], expected: str) -> None:
        if self._next() != "{":
            self._refuse(expected)
        self._at += 1
        keys: set[str] = set()
        while self._next() != "}" or keys:
            key_at = self._at
            key = self._read_text("a key in double quotes")
            if key in keys:
                raise _Bad(key_at, f"the key {excerpt(key)} is there twice: keep one")
            keys.add(key)
            if self._next() != ":":
                self._refuse("a colon after the key")
            self._at += 1
            read_value(key, key_at)
            if self._next() == "}":
                break
            if self._next() != ",":
                self._refuse("a comma or a closing brace after the value", r"; a quote inside text is written \"")
            self._at += 1
        self._at += 1

    def _read_member(self, key: str, key_at: int) -> None:
        if key == "filterValues":
            self._read_object(self._read_filter_value, r'"filterValues" to be an object, {"GENRE": "\"Comedy\""}')
        elif key not in _KINDS:
            hint = 'a query has "itemId" or "itemAttributes", and may have "filterValues"'
            for known in _KEYS:
                if re.sub("[_-]", "", key).lower() == known.lower():
                    hint = f'write "{known}"'
            raise _Bad(key_at, f"unknown key {excerpt(key)}: {hint}")
        elif self.kind is not None:
            raise _Bad(key_at, 'both "itemId" and "itemAttributes": a query has one of them')
        elif self._wanted not in (None, key):
            # Before what follows: with the other kind of query it will be another line.
            expected, got = f'"{self._wanted}"', f'"{key}"'
            if self._is_inline and self._wanted:
                expected, got = _IN_PYTHON[self._wanted], _IN_PYTHON[key]
            reason = f"expected {expected}, which {self._who_wants_it}, got {got}: a job takes one kind of query"
            raise _Bad(key_at, reason)
        else:
            self.kind = key
            value_at, value = self._read_value(key, f'"{key}" to be {_TEXT}')
            if not value:
                raise _Bad(value_at, f'"{key}" is empty')
            if key == "itemAttributes":
                self._expression = value_at, value

    def _read_filter_value(self, key: str, key_at: int) -> None:
        if key.startswith("$"):
            raise _Bad(key_at, f"the filter value {excerpt(key)}: write {excerpt(key[1:])}, without the $")
        self._filter_values[key] = key_at
        value_at, value = self._read_value("filterValues", f"a filter value to be {_TEXT}")
        if not _FILTER_VALUE.fullmatch(value):
            reason = r'a filter value without quotes of its own: the documentation writes "\"Comedy\""'
            self.warnings.append((value_at, reason))
        elif any(found[1] for found in _EMPTY_FILTER_VALUE.finditer(value)):
            self.warnings.append((value_at, "an empty filter value"))

    def _read_value(self, key: str, expected: str) -> tuple[int, str]:
        self._next()
        value_at = self._at
        value = self._read_text(expected)
        self.values.append((value_at, self._at, key))
        return value_at, value

    def _check_expression(self, value_at: int, value: str) -> None:
        # Last, as it says little of a text that ends too early for a quote that lacks its backslash.
        try:
            warnings = parse_expression(value).warnings
        except ExpressionError as error:
            raise _Bad(_where(self.text, value_at, error.at), error.reason) from None
        self.warnings += [(_where(self.text, value_at, at), reason) for at, reason in warnings]

    def _read_text(self, expected: str) -> str:
        if self._next() != '"':
            self._refuse(expected)
        start = self._at
        try:
            value, self._at = _JSON.raw_decode(self.text, start)
        except json.JSONDecodeError as error:
            raise _Bad(error.pos, _text_fault(error)) from None
        assert isinstance(value, str)
        if half := _SURROGATE.search(value):
            raise _Bad(_where(self.text, start, half.start()), "half of a surrogate pair: write both, or the character")
        return value

    def _next(self) -> str:
        """The next character that is no space; empty at the end."""
        space = _SPACE.match(self.text, self._at)
        self._at = space.end() if space else self._at
        return self.text[self._at : self._at + 1]

    def _refuse(self, expected: str, hint: str = "") -> NoReturn:
        char = self._next()
        if not char:
            raise _Bad(self._at, "the line ends inside the query: write each query on one line")
        word = _WORD.match(self.text, self._at)
        number = char.isdigit() or char == "-"
        got = "a number" if number else _GOT.get(char) or excerpt(word[0] if word else char)
        if expected.endswith(_TEXT) and (bare := _UNQUOTED.match(self.text, self._at)):
            # Filter values that are no numbers have quotes of their own (FILTER).
            is_filter_value = expected.startswith("a filter value") and not number
            hint = rf': write "\"{bare[0]}\""' if is_filter_value else f': write "{bare[0]}"'
        raise _Bad(self._at, f"expected {expected}, got {got}{hint}")


def _listed(names: Sequence[str], most: int = 5) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(f"${name[:40]}" for name in names[:most]) + more


def _decoded(line: bytes) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        reason = f"byte 0x{line[error.start]:02x} is not UTF-8: save the file as UTF-8"
        raise _Bad(len(line[: error.start].decode()), reason) from None


def _text_fault(error: json.JSONDecodeError) -> str:
    if error.msg.startswith("Unterminated"):
        return "text without a closing quote: write each query on one line"
    if error.msg.startswith("Invalid control"):
        code = ord(error.doc[error.pos])
        return f"a control character in text: write it as \\u{code:04x}"
    return r"a backslash that escapes nothing: a backslash in text is written \\, a quote \""


def _where(text: str, value_at: int, index: int) -> int:
    """Where a character of a JSON text is written, the text's opening quote being at ``value_at``."""
    written = itertools.islice(_WRITTEN.finditer(text, value_at + 1), index, None)
    return next(written).start()


# -- splitting


def split_queries(file: BinaryIO, size: int) -> Iterator[Iterator[bytes]]:
    r"""Splits a checked query file into smaller ones.

    Lines end in ``\n``, and a byte order mark and blank lines are left out; the queries' bytes stay as they are. Memory
    grows neither with the file nor with ``size``.

    Args:
        file: The file; only ``read(n)`` is used.
        size: How many queries each part has, but for the last.

    Returns:
        The parts in order, none of them empty: each as chunks of bytes, of which those that were not taken are passed
        over when the next part is asked for.

    Raises:
        ValueError: ``size`` is not positive; or, while reading, a line is longer than a query can be.
    """
    if size < 1:
        raise ValueError(f"size: expected at least 1, got {size}")
    chunks = _cut(tidy_blocks(file), size)
    return ((chunk for _, chunk in part) for _, part in itertools.groupby(chunks, key=lambda numbered: numbered[0]))


def _cut(blocks: Iterator[bytes], size: int) -> Iterator[tuple[int, bytes]]:
    """Cuts blocks where a part ends; each chunk comes with the number of its part."""
    part, room = 0, size
    for block in blocks:
        start, lines = 0, block.count(b"\n")
        while lines:
            end = len(block)
            if lines > room:
                end = start
                for _ in range(room):
                    end = block.index(b"\n", end) + 1
            yield part, block[start:end]
            taken = min(lines, room)
            start, lines, room = end, lines - taken, room - taken
            if not room:
                part, room = part + 1, size


_BLANK_LINE = re.compile(rb"\n[ \t\r]*+(?=\n)")


def tidy_blocks(file: BinaryIO) -> Iterator[bytes]:
    r"""Tidies a checked query file: lines end in ``\n``, without a byte order mark and blank lines.

    Args:
        file: The file; only ``read(n)`` is used.

    Yields:
        Blocks of whole lines.

    Raises:
        ValueError: A line is longer than a query can be.
    """
    for block in _Blocks(file):
        if not block:
            raise ValueError(f"expected lines of at most {limits.MAX_QUERY_BYTES:,} bytes, got a longer one")
        if b"\r" in block:
            block = block.replace(b"\r\n", b"\n")
        # With a newline before it, the first line is like the others.
        if tidy := _BLANK_LINE.sub(b"", b"\n" + block)[1:]:
            yield tidy
