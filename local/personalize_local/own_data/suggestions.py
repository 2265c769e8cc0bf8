"""The nearest existing name or value to one that does not exist."""

import difflib
from collections.abc import Sequence

import duckdb


def nearest_name(name: str, names: Sequence[str]) -> str:
    """Returns a hint with the nearest name, or with all names if none is near, for the end of a message."""
    by_case = {other.casefold(): other for other in names}
    found = difflib.get_close_matches(name.casefold(), by_case, 1, cutoff=0.6)
    if found:
        return f", did you mean {by_case[found[0]]}?"
    return f", it has {', '.join(names[:10])}" if names else ""


def nearest_value(
    connection: duckdb.DuckDBPyConnection, value: str, query: str, parameters: dict[str, object]
) -> str | None:
    """Returns the nearest of many values, without regard to case.

    Args:
        connection: The connection.
        value: The value that does not exist.
        query: A query of the existing values, as one column ``value``.
        parameters: The parameters of the query.
    """
    # A distance of a third of the characters still looks like the same word.
    most = max(1, len(value) // 3)
    found = connection.execute(
        "SELECT value FROM (SELECT value, damerau_levenshtein(lower(value), lower($wanted)) AS distance "
        f"FROM ({query}) WHERE abs(length(value) - length($wanted)) <= $most) "
        "WHERE distance <= $most ORDER BY distance, value LIMIT 1",
        {**parameters, "wanted": value, "most": most},
    ).fetchall()
    return str(found[0][0]) if found else None


def nearest_number(
    connection: duckdb.DuckDBPyConnection, value: str, query: str, parameters: dict[str, object]
) -> str | None:
    """Returns the nearest of many numbers. For the arguments see `nearest_value`."""
    found = connection.execute(
        "SELECT CAST(value AS DOUBLE) AS number "
        f"FROM ({query}) WHERE TRY_CAST($wanted AS DOUBLE) IS NOT NULL "
        "ORDER BY abs(number - TRY_CAST($wanted AS DOUBLE)), number LIMIT 1",
        {**parameters, "wanted": value},
    ).fetchall()
    return f"{found[0][0]:.15g}" if found else None
