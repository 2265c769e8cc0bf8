"""The stand-in for a trained model: a count, and no prediction.

A segment of an item has the users with the most interactions with the item. A segment of attributes has the users with
the most interactions with items that have all the values. Users with the same number are in the order of their latest
of these interactions, latest first, and then in the order of their ids. Users without any such interaction are never in
a segment, while Personalize fills a segment with the users that it predicts.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import duckdb

from ..errors import QueryError
from .catalog import Catalog
from .item_conditions import find_column
from .segment_queries import parse_attributes
from .user_filter import UserFilter

# The intermediate results of a batch stay below 1 GiB. A single query can exceed this, and DuckDB spills it to the
# disk.
_MAX_INTERACTIONS_OF_BATCH = 5_000_000
_RANKED = """
WITH counted AS (
    SELECT query, person, count(*) AS times, max(moment) AS latest
    FROM reached JOIN interactions USING (item)
    WHERE query BETWEEN $first AND $last {allowed}
    GROUP BY query, person
), ranked AS (
    SELECT query, person, row_number() OVER (PARTITION BY query ORDER BY times DESC, latest DESC, person) AS place
    FROM counted QUALIFY place <= $number
)
SELECT query, list(id ORDER BY place), (SELECT count(*) FROM counted WHERE counted.query = ranked.query)
FROM ranked JOIN users USING (person) GROUP BY query
"""


@dataclass(frozen=True, slots=True)
class UserSegment:
    """The segment of a query.

    Attributes:
        users: The ids of the users, best first.
        found: The number of users that the filter leaves, before the maximum.
        items: The number of items that the query is about.
        error: The reason why there is no segment.
    """

    users: Sequence[str] = ()
    found: int = 0
    items: int = 0
    error: str | None = None


@dataclass(slots=True)
class _Plan:
    """Valid queries by their index, and errors of the others."""

    errors: dict[int, str] = field(default_factory=dict)
    items: dict[int, str] = field(default_factory=dict)
    conditions: list[tuple[int, int, str, bool]] = field(default_factory=list)
    condition_counts: dict[int, int] = field(default_factory=dict)
    filter_values: dict[int, str] = field(default_factory=dict)


def find_segments(
    connection: duckdb.DuckDBPyConnection,
    catalog: Catalog,
    queries: Sequence[Mapping[str, Any]],
    user_filter: UserFilter | None,
    number: int,
) -> Iterator[UserSegment]:
    """Yields the segment of each query in order.

    Args:
        connection: A connection of its own, because it makes temporary tables.
        catalog: The data.
        queries: The objects of the input lines, with ``itemId`` or ``itemAttributes``.
        user_filter: The filter.
        number: The maximum number of users in a segment.
    """
    plan = _Plan()
    for index, query in enumerate(queries):
        try:
            _add(plan, catalog, index, query, user_filter)
        except QueryError as error:
            plan.errors[index] = str(error)
    reached = _reach_items(connection, plan)
    costs = {index: cost for index, (_, cost) in reached.items()}
    predicates = _Predicates(connection, user_filter)
    for first, last in _batches(len(queries), costs, plan):
        found: dict[int, UserSegment] = {}
        try:
            allowed = predicates.table(plan.filter_values.get(first))
        except QueryError as error:
            plan.errors.update((index, str(error)) for index in range(first, last + 1) if index not in plan.errors)
        else:
            condition = "" if allowed is None else f"AND person IN (SELECT person FROM {allowed})"
            rows = connection.execute(
                _RANKED.format(allowed=condition), {"first": first, "last": last, "number": number}
            ).fetchall()
            found = {index: UserSegment(users, count, reached[index][0]) for index, users, count in rows}
        for index in range(first, last + 1):
            items, _ = reached.get(index, (0, 0))
            empty = UserSegment(items=items, error=plan.errors.get(index))
            yield empty if empty.error is not None else found.get(index, empty)


def _add(plan: _Plan, catalog: Catalog, index: int, query: Mapping[str, Any], user_filter: UserFilter | None) -> None:
    values = query.get("filterValues") or {}
    if not isinstance(values, Mapping):
        raise QueryError("filterValues is not an object")
    item, expression = query.get("itemId"), query.get("itemAttributes")
    for text in (item, expression, *values.values()):
        if isinstance(text, str):
            _check_encoding(text)
    if isinstance(item, str):
        plan.items[index] = item
    elif isinstance(expression, str):
        if user_filter is not None and user_filter.uses_interactions:
            # https://docs.aws.amazon.com/personalize/latest/dg/filter-expressions.html
            raise QueryError("filters of interactions cannot be used with itemAttributes")
        conditions = dict.fromkeys(parse_attributes(expression))
        for name, value in conditions:
            column = find_column(catalog, name)
            plan.conditions.append((index, int(column.sql_name[1:]), value, column.field.is_number))
        plan.condition_counts[index] = len(conditions)
    else:
        raise QueryError("the line has no itemId and no itemAttributes")
    if user_filter is not None and user_filter.placeholders:
        user_filter.require(values)
        used = {name: values[name] for name in sorted(user_filter.placeholders) if name in values}
        plan.filter_values[index] = json.dumps(used)


def _check_encoding(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise QueryError("the line has half of a surrogate pair, which no value of a CSV file has") from None


def _reach_items(connection: duckdb.DuckDBPyConnection, plan: _Plan) -> dict[int, tuple[int, int]]:
    """Creates the table ``reached(query, item)``.

    Returns:
        The number of items of each query, and the number of interactions that it reads.
    """
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE reached AS SELECT query, item FROM "
        "(SELECT unnest($queries::INTEGER[]) AS query, unnest($ids::VARCHAR[]) AS id) JOIN items USING (id)",
        {"queries": list(plan.items), "ids": list(plan.items.values())},
    )
    if len(plan.items) > (count := connection.execute("SELECT count(*) FROM reached").fetchall()[0][0]):
        known = {index for (index,) in connection.execute("SELECT query FROM reached").fetchall()}
        assert len(known) == count
        for index, item in plan.items.items():
            if index not in known:
                plan.errors[index] = f"the item {item} is not in the data"
    if plan.conditions:
        queries, fields, values, are_numbers = zip(*plan.conditions, strict=True)
        connection.execute(
            "INSERT INTO reached SELECT query, item FROM (SELECT query, field, "
            "CASE WHEN is_number THEN CAST(TRY_CAST(value AS DOUBLE) AS VARCHAR) ELSE value END AS value FROM "
            "(SELECT unnest($queries::INTEGER[]) AS query, unnest($fields::INTEGER[]) AS field, "
            "unnest($values::VARCHAR[]) AS value, unnest($are_numbers::BOOLEAN[]) AS is_number)) "
            "JOIN item_values USING (field, value) JOIN "
            "(SELECT unnest($indexes::INTEGER[]) AS query, unnest($counts::INTEGER[]) AS conditions) USING (query) "
            "GROUP BY query, item, conditions HAVING count(DISTINCT (field, value)) = conditions",
            {
                "queries": list(queries),
                "fields": list(fields),
                "values": list(values),
                "are_numbers": list(are_numbers),
                "indexes": list(plan.condition_counts),
                "counts": list(plan.condition_counts.values()),
            },
        )
    rows = connection.execute(
        "SELECT query, count(*), coalesce(sum(interactions), 0)::BIGINT FROM reached "
        "LEFT JOIN item_counts USING (item) GROUP BY query"
    ).fetchall()
    return {query: (items, cost) for query, items, cost in rows}


def _batches(count: int, costs: Mapping[int, int], plan: _Plan) -> Iterator[tuple[int, int]]:
    """Yields the first and the last query of each batch: neighbors with the same values of the filter."""
    first, cost = 0, 0
    for index in range(count):
        added = costs.get(index, 0)
        differs = plan.filter_values.get(index) != plan.filter_values.get(first)
        if index > first and (differs or cost + added > _MAX_INTERACTIONS_OF_BATCH):
            yield first, index - 1
            first, cost = index, 0
        cost += added
    if count:
        yield first, count - 1


class _Predicates:
    """Evaluates a filter once for each of its values."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, user_filter: UserFilter | None) -> None:
        self._connection = connection
        self._filter = user_filter
        self._values: str | None = None
        self._is_evaluated = False

    def table(self, values: str | None) -> str | None:
        """Returns the table of the users that the filter includes, or None without a filter."""
        if self._filter is None:
            return None
        if not self._is_evaluated or values != self._values:
            self._is_evaluated = False
            predicate = self._filter.predicate(json.loads(values) if values else {})
            self._connection.execute(
                f"CREATE OR REPLACE TEMP TABLE allowed AS SELECT person FROM users WHERE {predicate.sql}",
                predicate.parameters,
            )
            self._is_evaluated, self._values = True, values
        return "allowed"
