"""Counts the items and users that the queries of files reach, and finds queries whose segment would be empty.

Equal lines are answered once, and queries of items without a filter in SQL alone: a million queries of 100,000 items
take 0.2 s.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from .catalog import Catalog
from .item_conditions import find_column
from .scoring import UserSegment, find_segments
from .segment_queries import parse_attributes
from .suggestions import nearest_number, nearest_value
from .user_filter import UserFilter

# More queries at once would need more memory.
_QUERIES_AT_ONCE = 10_000
# JSON has no such delimiter outside of escapes, so each line is one value. The strict mode rejects mixed line ends.
_LINES = (
    "read_csv($path, auto_detect=false, header=false, delim='\x01', quote='', escape='', strict_mode=false, "
    "columns={'line': 'VARCHAR'})"
)
_MAX_SHOWN = 100
_ITEM = "json_extract_string(line, '$.itemId')"


@dataclass(frozen=True, slots=True)
class QueryReach:
    """The reach of a query.

    Attributes:
        file: The index of the file.
        line: The number of the line.
        query: The item or the expression, and the values of the filter.
        items: The number of items.
        users: The number of users.
        problem: The reason why the segment would be empty.
    """

    file: int
    line: int
    query: dict[str, Any]
    items: int
    users: int
    problem: str | None


class Reach:
    """The reach of all queries of files.

    Attributes:
        queries: The number of queries.
        problems: The number of queries whose segment would be empty.
    """

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        catalog: Catalog,
        files: Sequence[Path],
        kind: str,
        user_filter: UserFilter | None,
    ) -> None:
        """Answers all queries. See `OwnData.reach`.

        Args:
            connection: A connection of its own, because it makes temporary tables.
            catalog: The data.
            files: The files.
            kind: The key of the queries.
            user_filter: The filter of the job.
        """
        self._connection = connection
        self._catalog = catalog
        self._filter = user_filter
        self._starts = self._read(files)
        if kind == "itemId" and user_filter is None:
            connection.execute(
                "CREATE OR REPLACE TEMP TABLE answers AS SELECT line, times, (item IS NOT NULL)::INTEGER AS items, "
                "coalesce(people, 0) AS users, CASE WHEN item IS NULL THEN "
                f"'the item ' || {_ITEM} || ' is not in the data' END AS error "
                f"FROM lines LEFT JOIN items ON id = {_ITEM} LEFT JOIN item_counts USING (item)"
            )
        else:
            self._answer()
        ((queries, problems),) = connection.execute(
            "SELECT coalesce(sum(times), 0)::BIGINT, coalesce(sum(times) FILTER (users = 0), 0)::BIGINT FROM answers"
        ).fetchall()
        self.queries: int = queries
        self.problems: int = problems

    def rows(self, limit: int | None = None, *, only_problems: bool = False) -> Iterator[QueryReach]:
        """Yields the reach of queries in the order of the files and lines.

        Args:
            limit: The maximum number of queries.
            only_problems: Whether to leave out queries that reach a user.
        """
        condition = "WHERE users = 0" if only_problems else ""
        maximum = "" if limit is None else f"LIMIT {int(limit)}"
        result = self._connection.execute(
            "SELECT asked.rowid, line, items, users, error FROM asked JOIN answers USING (line) "
            f"{condition} ORDER BY asked.rowid {maximum}"
        )
        explained: dict[str, str] = {}
        while rows := result.fetchmany(_QUERIES_AT_ONCE):
            for number, line, items, users, error in rows:
                query = json.loads(line)
                file = max(index for index, start in enumerate(self._starts) if start <= number)
                problem = None
                if not users:
                    if line not in explained:
                        explained[line] = error or self._explain(query, items)
                    problem = explained[line]
                yield QueryReach(file, number - self._starts[file] + 1, query, items, users, problem)

    def _read(self, files: Sequence[Path]) -> list[int]:
        """Creates the tables ``asked(line)`` and ``lines(line, times, number)``.

        Returns:
            The number of the first line of each file.
        """
        self._connection.execute("CREATE OR REPLACE TEMP TABLE asked (line VARCHAR)")
        starts, count = [], 0
        for path in files:
            starts.append(count)
            ((inserted,),) = self._connection.execute(
                # Blank lines are valid at the end of a file only, so they do not change the numbers of others.
                # Trimming all lines takes 0.13 s for a million, and no query has 10 bytes.
                f"INSERT INTO asked SELECT line FROM {_LINES} WHERE strlen(line) > 10 OR trim(line, ' \t\r') <> ''",
                {"path": str(path)},
            ).fetchall()
            count += inserted
        self._connection.execute(
            "CREATE OR REPLACE TEMP TABLE lines AS SELECT line, count(*) AS times, min(rowid) AS number FROM asked "
            "GROUP BY line"
        )
        return starts

    def _answer(self) -> None:
        self._connection.execute(
            "CREATE OR REPLACE TEMP TABLE answers "
            "(line VARCHAR, times BIGINT, items BIGINT, users BIGINT, error VARCHAR)"
        )
        after = -1
        while rows := self._connection.execute(
            f"SELECT line, times, number FROM lines WHERE number > $after ORDER BY number LIMIT {_QUERIES_AT_ONCE}",
            {"after": after},
        ).fetchall():
            queries = [json.loads(line) for line, _, _ in rows]
            segments = list(find_segments(self._connection, self._catalog, queries, self._filter, 1))
            self._insert(rows, segments)
            after = rows[-1][2]

    def _insert(self, rows: Sequence[tuple[str, int, int]], segments: Sequence[UserSegment]) -> None:
        self._connection.execute(
            "INSERT INTO answers SELECT unnest($lines::VARCHAR[]), unnest($times::BIGINT[]), unnest($items::BIGINT[]), "
            "unnest($users::BIGINT[]), unnest($errors::VARCHAR[])",
            {
                "lines": [line for line, _, _ in rows],
                "times": [times for _, times, _ in rows],
                "items": [segment.items for segment in segments],
                "users": [segment.found for segment in segments],
                "errors": [segment.error for segment in segments],
            },
        )

    def _explain(self, query: dict[str, Any], items: int) -> str:
        if items:
            return (
                "no user has an interaction with its items"
                if self._filter is None
                else "the filter leaves no user with an interaction with its items"
            )
        conditions = parse_attributes(query["itemAttributes"])
        for name, value in conditions:
            column = find_column(self._catalog, name)
            values = "SELECT value FROM item_values WHERE field = $field"
            parameters: dict[str, Any] = {"field": int(column.sql_name[1:])}
            wanted = "CAST(TRY_CAST($value AS DOUBLE) AS VARCHAR)" if column.field.is_number else "$value"
            if (
                self._cursor()
                .execute(f"{values} AND value = {wanted} LIMIT 1", {**parameters, "value": value})
                .fetchall()
            ):
                continue
            find = nearest_number if column.field.is_number else nearest_value
            nearest = find(self._cursor(), value, f"SELECT DISTINCT value FROM ({values})", parameters)
            hint = "" if nearest is None else f", did you mean {json.dumps(nearest, ensure_ascii=False)}?"
            shown = value if len(value) <= _MAX_SHOWN else f"{value[: _MAX_SHOWN - 1]}…"
            return f"no item has ITEMS.{name} = {json.dumps(shown, ensure_ascii=False)}{hint}"
        return "no item has all of these values"

    def _cursor(self) -> duckdb.DuckDBPyConnection:
        # The result of `rows` is still in use.
        return self._connection.cursor()
