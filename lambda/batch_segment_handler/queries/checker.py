"""Checks query files in one pass."""

import functools
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import BinaryIO, NoReturn

from .. import limits
from ..limits import QueryKind
from .blocks import Blocks
from .fast_path import accepted_lines
from .line import LineFault, LineParser
from .quota import Quota, room
from .report import Fault, QueryReport

#: Reading stops after this many faults: they have one cause, and the first few show it.
_MAX_FAULTS = 10_000
#: The same in bytes of faulty lines: parsing takes up to a second per megabyte.
_MAX_FAULTY_BYTES = 16 * 1024**2
#: The number of lines to parse before the fast path: compiling its pattern takes as long as parsing up to 5,000 lines.
FAST_PATH_FROM = 500
#: The lines parsed by this process, by kind and placeholders: the queries of 300 audiences are 300 small inputs.
_parsed: Counter[tuple[QueryKind, tuple[tuple[str, bool], ...] | None]] = Counter()
_BLANK_LINES = re.compile(rb"(?:[ \t\r]*+\n)++")


class _StopReading(Exception):  # noqa: N818 - not an error
    """The rest of the input would add nothing to the report."""


class Checker:
    """A pass over files; for the arguments see `check_queries`.

    Attributes:
        report: The result so far.
    """

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
        self._kind_source = "which the solution's recipe requires" if kind else "as in the queries before"
        self._placeholders = placeholders
        self._quota = quota
        self._is_inline = is_inline
        self._max_faults = max_faults
        self._accepted: re.Pattern[bytes] | None = None
        self._file, self._line = "the input", 0
        self._faulty_bytes = 0
        self._in_file = 0  # queries in this file
        self._blank = 0  # the first of the blank lines just read, if any

    def check(self, files: Iterable[tuple[str, BinaryIO]]) -> None:
        """Checks all files, or up to a limit."""
        try:
            for name, file in files:
                self._read(name, file)
            if not self.report.queries and not self.report.fault_count:
                self._fault(0, None, "no query: a job needs at least one")
        except _StopReading:
            self.report.complete = False

    def _read(self, name: str, file: BinaryIO) -> None:
        report = self.report
        self._file, self._line, self._in_file, self._blank = name, 0, 0, 0
        if report.files == limits.MAX_INPUT_FILES:
            self._stop(0, f"too many files: a job reads at most {limits.MAX_INPUT_FILES:,}")
        report.files += 1
        blocks = Blocks(file, limits.MAX_INPUT_BYTES - report.bytes)
        for block in blocks:
            self._read_block(block)
        report.bytes += blocks.bytes
        if report.bytes > limits.MAX_INPUT_BYTES:
            self._stop(0, f"too many bytes: a job reads at most {limits.MAX_INPUT_BYTES:,} from all files")
        if blocks.other_format:
            self._fault(0, None, blocks.other_format)
            return
        if blocks.has_bom:
            self._warn(1, 1, "a byte order mark, which the service may reject: save the file as UTF-8 without it")
        if not self._in_file:
            self._warn(0, None, "no query in this file")

    def _read_block(self, block: bytes) -> None:
        if not block:
            self._count(1)
            hint = "shorten it" if self._is_inline else "write one query on each line"
            self._fault(self._line, None, f"longer than {limits.MAX_QUERY_BYTES:,} bytes: {hint}")
            return
        is_utf8 = _is_utf8(block)
        at = 0
        while at < len(block):
            if blank := _BLANK_LINES.match(block, at):
                end = blank.end()
                self._blank = self._blank or self._line + 1
                self._line += block.count(b"\n", at, end)
            elif is_utf8 and (accepted := self._match(block, at)):
                end = accepted.end()
                self._count(block.count(b"\n", at, end))
            else:
                end = block.index(b"\n", at) + 1
                self._read_line(block[at : end - 1])
            at = end

    def _match(self, block: bytes, at: int) -> re.Match[bytes] | None:
        if self._accepted is None and self.report.kind:
            self._accepted = _pattern(self.report.kind, self._placeholders)
        return self._accepted and self._accepted.match(block, at)

    def _read_line(self, line: bytes) -> None:
        self._count(1)
        parser = LineParser(self.report.kind, self._kind_source, self._placeholders, is_inline=self._is_inline)
        try:
            parser.read(line)
        except LineFault as fault:
            self._fault(self._line, fault.at + 1, fault.reason)
            self._faulty_bytes += len(line)
            if self._faulty_bytes > _MAX_FAULTY_BYTES:
                raise _StopReading from None
            return
        self.report.kind = parser.kind
        for at, reason in parser.warnings:
            self._warn(self._line, at + 1, reason)

    def _count(self, queries: int) -> None:
        """Counts non-blank lines."""
        if self._blank:
            self._fault(self._blank, None, "a blank line before a query: remove it")
            self._blank = 0
        allowed, reason = room(self.report, self._quota, self._in_file)
        if queries > allowed:
            self._in_file += allowed
            self._stop(self._line + allowed + 1, reason)
        self.report.queries += queries
        self._in_file += queries
        self._line += queries

    def _fault(self, line: int, column: int | None, reason: str) -> None:
        self.report.fault_count += 1
        if len(self.report.faults) < self._max_faults:
            self.report.faults.append(self._named(line, column, reason))
        if self.report.fault_count == _MAX_FAULTS:
            raise _StopReading

    def _warn(self, line: int, column: int | None, reason: str) -> None:
        self.report.warning_count += 1
        if len(self.report.warnings) < self._max_faults:
            self.report.warnings.append(self._named(line, column, reason))

    def _named(self, line: int, column: int | None, reason: str) -> Fault:
        if self._is_inline and line:
            return Fault(f"{self._file}[{line - 1}]", 0, None, reason)
        return Fault(self._file, line, column, reason)

    def _stop(self, line: int, reason: str) -> NoReturn:
        self._fault(line, None, reason)
        raise _StopReading


def _pattern(kind: QueryKind, placeholders: Mapping[str, bool] | None) -> re.Pattern[bytes] | None:
    names = None if placeholders is None else tuple(placeholders.items())
    if _parsed[kind, names] >= FAST_PATH_FROM:
        return _compile(kind, names)
    _parsed[kind, names] += 1
    return None


@functools.lru_cache
def _compile(kind: QueryKind, names: tuple[tuple[str, bool], ...] | None) -> re.Pattern[bytes]:
    return accepted_lines(kind, None if names is None else dict(names))


def _is_utf8(block: bytes) -> bool:
    try:
        return block.isascii() or bool(block.decode())
    except UnicodeDecodeError:
        return False
