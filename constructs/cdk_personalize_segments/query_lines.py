"""Queries as they are written: the lines that the handler's check of query files reads.

Sources:
    INPUT: https://docs.aws.amazon.com/personalize/latest/dg/prepare-input-data-user-segment.html
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from batch_segment_handler import expressions


def query_line(query: Mapping[str, Any]) -> bytes:
    """Writes a query as a line of a query file, in UTF-8, its newline included.

    Raises:
        ValueError: It holds something that JSON or UTF-8 has no way to say.
    """
    return f"{json.dumps(dict(query), ensure_ascii=False, allow_nan=False)}\n".encode()


def quoted(value: str) -> str:
    r"""Writes a value of an expression or of a filter's placeholder: ``Men's`` as ``"Men\'s"``.

    Quotes, single ones too, and backslashes get a backslash before them (INPUT).
    """
    return '"' + re.sub(r"""["'\\]""", r"\\\g<0>", value) + '"'


def attribute_expression(columns: Mapping[str, str | Sequence[str]]) -> str:
    """Writes the expression of an ``itemAttributes`` query.

    Args:
        columns: The value, or the values, that each column of the Items dataset has to have. Only text: the service
            documents nothing else (INPUT), and how a number is written only its dataset knows.

    Returns:
        For example ``ITEMS.genres = "Comedy" AND ITEMS.genres = "Action"``.

    Raises:
        ValueError: There is no column or no value, a column's name is no name of a schema's field, or a value is empty
            or no text.
    """
    conditions = []
    for column, values in columns.items():
        if not isinstance(column, str) or not expressions.NAME.fullmatch(column):
            expected = "a name of letters, digits and underscores, not starting with a digit, without ITEMS."
            raise ValueError(f"column: expected {expected}, got {expressions.excerpt(column)}")
        listed = [*values] if isinstance(values, list | tuple) else [values]
        for value in listed:
            if not isinstance(value, str) or not value:
                raise ValueError(f"column {column[:40]}: expected text, got {expressions.excerpt(value)}")
            conditions.append(f"ITEMS.{column} = {quoted(value)}")
        if not listed:
            raise ValueError(f"column {column[:40]}: expected at least one value, got none")
    if not conditions:
        raise ValueError("columns: expected at least one, got none")
    return " AND ".join(conditions)
