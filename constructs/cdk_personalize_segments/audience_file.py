"""Reads a list of audiences from a CSV file."""

import difflib
import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from batch_segment_handler import expressions, limits, queries
from batch_segment_handler.text import quote

from . import csv_table
from .batch_segment_input import BatchSegmentInput
from .csv_table import Row
from .segment_query import SegmentQuery, attribute_expression, query_line

Made = TypeVar("Made")

NAME, ITEM_ID, EXPRESSION, FILE, NUM_RESULTS = "name", "item_id", "item_attributes", "queries", "num_results"
#: Prefixes of columns: a column of the Items data follows, or a placeholder of the filter.
ATTRIBUTE, FILTER_VALUE = "ITEMS.", "filter."
_COLUMNS = [NAME, ITEM_ID, EXPRESSION, FILE, NUM_RESULTS]
_QUERY_COLUMNS = f"{ITEM_ID}, {EXPRESSION}, {FILE} or {ATTRIBUTE}<column>"
#: The Items data separates multiple values in the same way:
#: https://docs.aws.amazon.com/personalize/latest/dg/items-datasets.html
_SEPARATOR = "|"
_MAX_SHOWN_FAULTS = 10


@dataclass
class _Draft:
    """An audience that grows row by row. It has either queries or a file of queries."""

    line: int
    num_results: int | None = None
    line_of_num_results: int = 0
    queries: list[SegmentQuery] = field(default_factory=list)
    line_by_query: dict[bytes, int] = field(default_factory=dict)
    file: Path | None = None

    def segment_input(self) -> BatchSegmentInput:
        return BatchSegmentInput.from_queries(self.queries) if self.file is None else _input_of_file(self.file)


def read(
    path: Path, *, make: Callable[..., Made], check_name: Callable[[object], None], filter_arn: str | None
) -> list[Made]:
    """Reads a list of audiences.

    Args:
        path: The file.
        make: Creates an audience; the class `Audience`.
        check_name: Checks the name of an audience.
        filter_arn: The filter of all audiences.

    Raises:
        ValueError: The file is invalid. The message names the lines.
    """
    content = csv_table.read(path)
    file = _File(path.parent, check_name, is_filtered=filter_arn is not None)
    try:
        for row in csv_table.rows(content):
            file.add(row)
    except ValueError as error:
        file.faults.append(str(error))
    if not file.drafts and not file.faults:
        missing = "audiences" if file.columns else f"column {NAME}"
        file.faults.append(f"got no {missing}, expected a line of column names and a line for each query")
    if file.faults:
        count = len(file.faults)
        lines = [f"{count} {'fault' if count == 1 else 'faults'} in {quote(str(path))}:"]
        lines += file.faults[:_MAX_SHOWN_FAULTS]
        if count > _MAX_SHOWN_FAULTS:
            lines.append(f"and {count - _MAX_SHOWN_FAULTS} more")
        raise ValueError("\n  ".join(lines))
    return [
        make(name, draft.segment_input(), filter_arn=filter_arn, num_results=draft.num_results)
        for name, draft in file.drafts.items()
    ]


class _File:
    """The audiences and the faults of a file."""

    def __init__(self, folder: Path, check_name: Callable[[object], None], *, is_filtered: bool) -> None:
        self.drafts: dict[str, _Draft] = {}
        self.faults: list[str] = []
        self.columns: list[str] = []
        self._folder = folder
        self._check_name = check_name
        self._is_filtered = is_filtered

    def add(self, row: Row) -> None:
        """Adds a row; the first one is the header.

        Raises:
            ValueError: The header is invalid, so that no row can be read.
        """
        if not self.columns:
            self._set_columns(row)
            return
        try:
            self._add_query(row.line, self._values(row))
        except ValueError as error:
            self.faults.append(f"line {row.line}: {error}")

    def _set_columns(self, row: Row) -> None:
        columns = row.cells
        while not columns[-1]:
            columns.pop()
        for number, column in enumerate(columns):
            if not column:
                raise ValueError(f"line {row.line}: got an empty name for column {number + 1}, expected a name")
            if column in columns[:number]:
                raise ValueError(f"line {row.line}: got the column {column} twice, expected it once")
            self._check_column(row.line, column)
        if NAME not in columns:
            raise ValueError(
                f"line {row.line}: got the columns {', '.join(columns)}, expected {NAME} among them: the first line "
                "names the columns"
            )
        if not any(column in (ITEM_ID, EXPRESSION, FILE) or column.startswith(ATTRIBUTE) for column in columns):
            got = f"line {row.line}: got the columns {', '.join(columns)}"
            raise ValueError(f"{got}, expected one for the queries: {_QUERY_COLUMNS}")
        self.columns = columns

    def _check_column(self, line: int, column: str) -> None:
        for prefix, example in ((ATTRIBUTE, "GENRES"), (FILTER_VALUE, "COUNTRY")):
            if column.startswith(prefix):
                if not expressions.NAME.fullmatch(column[len(prefix) :]):
                    got = f"line {line}: got the column {quote(column)}"
                    raise ValueError(f"{got}, expected letters, digits and underscores, for example {prefix}{example}")
                if prefix == FILTER_VALUE and not self._is_filtered:
                    raise ValueError(
                        f"line {line}: got the column {column} without filter_arn, expected both: the column contains "
                        "the values of a filter's placeholder"
                    )
                return
        if column not in _COLUMNS:
            known = ", ".join([*_COLUMNS, f"{ATTRIBUTE}<column>", f"{FILTER_VALUE}<placeholder>"])
            hint = f"; a column of the Items data is {ATTRIBUTE}{column}" if expressions.NAME.fullmatch(column) else ""
            expected = _nearest(column) or f"one of {known}{hint}"
            raise ValueError(f"line {line}: got the column {quote(column)}, expected {expected}")

    def _values(self, row: Row) -> dict[str, str]:
        """Returns the non-empty cells by column."""
        more = row.cells[len(self.columns) :]
        if any(more):
            raise ValueError(
                f"got {len(row.cells)} cells, expected {len(self.columns)}, one for each column: put a value that "
                "contains a comma or a semicolon in quotation marks"
            )
        return {column: cell for column, cell in zip(self.columns, row.cells, strict=False) if cell}

    def _add_query(self, line: int, values: Mapping[str, str]) -> None:
        if NAME not in values:
            raise ValueError(f"{NAME}: got none, expected the name of the audience on each of its lines")
        name = values[NAME]
        self._check_name(name)
        given = [column for column in (ITEM_ID, EXPRESSION, FILE) if column in values]
        attributes = [column for column in values if column.startswith(ATTRIBUTE)]
        kinds = [*given, *attributes[:1]]
        if len(kinds) != 1:
            got = " and ".join(kinds) or "no query"
            raise ValueError(f"got {got}, expected one of {_QUERY_COLUMNS}")
        draft = self.drafts.get(name)
        is_new = draft is None
        if draft is None:
            draft = _Draft(line)
        if FILE in given:
            if not is_new:
                raise ValueError(
                    f"{FILE}: got a file for {name!r}, which has queries in line {draft.line}, expected only one: "
                    "add the queries to the file"
                )
            draft.file = self._file(values)
        else:
            if draft.file is not None:
                raise ValueError(
                    f"{kinds[0]}: got a query for {name!r}, which has a file in line {draft.line}, expected only one: "
                    "add the query to the file"
                )
            query = _query(kinds[0], attributes, values, draft.queries, draft.line)
            earlier = draft.line_by_query.setdefault(query_line(query.content), line)
            if earlier != line:
                raise ValueError(
                    f"{kinds[0]}: got the query of {name!r} in line {earlier} again, expected each query of an "
                    "audience once"
                )
            draft.queries.append(query)
        self._set_num_results(draft, line, values.get(NUM_RESULTS))
        # Last, so that an invalid line adds nothing.
        self.drafts.setdefault(name, draft)

    @staticmethod
    def _set_num_results(draft: _Draft, line: int, cell: str | None) -> None:
        if cell is None:
            return
        if not re.fullmatch("[0-9]{1,9}", cell) or not 1 <= int(cell) <= limits.MAX_RESULTS:
            got = f"{NUM_RESULTS}: got {quote(cell)}"
            raise ValueError(f"{got}, expected a whole number from 1 to {limits.MAX_RESULTS:,}, in digits only")
        if draft.num_results not in (None, int(cell)):
            raise ValueError(
                f"{NUM_RESULTS}: got {cell}, expected {draft.num_results} as in line {draft.line_of_num_results}, or "
                "an empty cell: the number applies to all queries of the audience"
            )
        draft.num_results, draft.line_of_num_results = int(cell), line

    def _file(self, values: Mapping[str, str]) -> Path:
        for column in values:
            if column.startswith(FILTER_VALUE):
                raise ValueError(
                    f"{column}: got a value in a line with {FILE}, expected none: write filterValues in the file"
                )
        path = self._folder / values[FILE]
        _input_of_file(path)
        return path


def _input_of_file(path: Path) -> BatchSegmentInput:
    try:
        return BatchSegmentInput.from_asset(path)
    except ValueError as error:
        raise ValueError(f"{FILE}: {str(error).removeprefix('path: ')}") from None


def _query(
    kind: str, attributes: Sequence[str], values: Mapping[str, str], before: Sequence[SegmentQuery], first_line: int
) -> SegmentQuery:
    if kind == ITEM_ID:
        query = SegmentQuery.items_like(values[ITEM_ID])
    elif kind == EXPRESSION:
        query = SegmentQuery({"itemAttributes": values[EXPRESSION]})
    else:
        columns = {column.removeprefix(ATTRIBUTE): _several(column, values[column]) for column in attributes}
        query = SegmentQuery({"itemAttributes": attribute_expression(columns)})
    filter_values = {
        column.removeprefix(FILTER_VALUE): _several(column, cell)
        for column, cell in values.items()
        if column.startswith(FILTER_VALUE)
    }
    if before and ("itemId" in before[0].content) != ("itemId" in query.content):
        expected = ITEM_ID if "itemId" in before[0].content else f"{EXPRESSION} or {ATTRIBUTE}<column>"
        raise ValueError(f"{kind}: got another kind of query than in line {first_line}, expected {expected}")
    if filter_values:
        query = query.with_filter_values(**filter_values)
    report = queries.check_queries([(kind, io.BytesIO(query_line(query.content)))], is_inline=True)
    for fault in report.faults:
        raise ValueError(f"{kind}: {fault.reason}")
    return query


def _several(column: str, cell: str) -> list[str]:
    listed = [one.strip() for one in cell.split(_SEPARATOR)]
    if not all(listed):
        got = f"{column}: got {quote(cell)}"
        raise ValueError(f"{got}, expected a value on each side of {_SEPARATOR!r}, which separates values")
    return listed


def _nearest(column: str) -> str:
    """Returns the column that most resembles a misspelled one, or ""."""
    for prefix in (ATTRIBUTE, FILTER_VALUE):
        if column.lower().startswith(prefix.lower()):
            return prefix + column[len(prefix) :]
    words = re.sub(r"[\s-]+", "_", column.lower())
    return next(iter(difflib.get_close_matches(words, _COLUMNS, 1, cutoff=0.75)), "")
