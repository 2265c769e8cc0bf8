"""A segment query, and how it is written as a line of a query file.

Sources:
    INPUT: https://docs.aws.amazon.com/personalize/latest/dg/prepare-input-data-user-segment.html
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from batch_segment_handler import expressions
from batch_segment_handler.text import quote

from .validation import is_token


@dataclass(frozen=True)
class SegmentQuery:
    """One query: one line of the job's input, and one segment of its output.

    Create it with `items_like` or `where`. For example: ``SegmentQuery.where(GENRES="Comedy")``.
    """

    #: The query as the service reads it, for example ``{"itemId": "105"}``.
    content: Mapping[str, Any] = field()

    @classmethod
    def items_like(cls, item_id: str) -> "SegmentQuery":
        """Creates a query for users with an affinity for an item. Requires the Item-Affinity recipe.

        For example: ``SegmentQuery.items_like("105")``.

        Args:
            item_id: The item's ID in the Items or Interactions data.

        Raises:
            ValueError: The ID is empty or not a string.
        """
        if not isinstance(item_id, str) or not item_id:
            got = f"item_id: got {quote(item_id)}, expected a non-empty string"
            raise ValueError(f"{got}{as_text(item_id)}")
        return cls({"itemId": item_id})

    @classmethod
    def where(cls, **columns: str | Sequence[str]) -> "SegmentQuery":
        """Creates a query for users with an affinity for item attributes. Requires the Item-Attribute-Affinity recipe.

        For example: ``SegmentQuery.where(GENRES=["Comedy", "Romance"], YEAR="1999")``.

        Args:
            **columns: Columns of the Items data and their values, joined by AND. Pass multiple values for one column
                as a list. Quotes and backslashes in values are escaped.

        Raises:
            ValueError: No column is given, a column is not a valid field name, or a value is not a string.
        """
        return cls({"itemAttributes": attribute_expression(columns)})

    def with_filter_values(self, **values: str | Sequence[str]) -> "SegmentQuery":
        """Returns a copy of the query with values for the placeholders of the job's filter.

        For example: ``SegmentQuery.items_like("105").with_filter_values(COUNTRY=["Japan", "France"])``.

        Args:
            **values: Names of placeholders, without the ``$``, and their values. Pass multiple values for one
                placeholder as a list. https://docs.aws.amazon.com/personalize/latest/dg/filter-batch.html

        Raises:
            ValueError: No value is given, a name starts with ``$``, or a value is not a string.
        """
        if not values:
            raise ValueError('filter values: got none, expected at least one, for example COUNTRY="Japan"')
        rendered = {}
        for name, value in values.items():
            listed: Sequence[object] = value if isinstance(value, list | tuple) else [value]
            if name.startswith("$"):
                got = f"filter values: got the name {quote(name)}"
                raise ValueError(f"{got}, expected {quote(name[1:])}: write it without the $")
            texts = [one for one in listed if isinstance(one, str)]
            if not texts or len(texts) < len(listed):
                other = next((one for one in listed if not isinstance(one, str)), None)
                got = f"filter value {name[:40]}: got {quote(value)}, expected a string or a list of strings"
                raise ValueError(f"{got}{as_text(other, name[:40])}")
            rendered[name] = ",".join(quoted(text) for text in texts)
        return replace(self, content={**self.content, "filterValues": rendered})


def query_line(query: Mapping[str, Any]) -> bytes:
    """Returns a query as a line of a query file, in UTF-8, with its newline.

    Raises:
        ValueError: The query contains a value that JSON or UTF-8 cannot represent.
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
        columns: The value, or the values, that each column of the Items dataset must have. Only text: the service
            documents nothing else (INPUT), and only the dataset tells how a number is written.

    Returns:
        For example ``ITEMS.genres = "Comedy" AND ITEMS.genres = "Action"``.

    Raises:
        ValueError: There is no column or no value, a column is not a valid field name, or a value is empty or not
            text.
    """
    conditions = []
    for column, values in columns.items():
        if not isinstance(column, str) or not expressions.NAME.fullmatch(column):
            expected = "a name of letters, digits and underscores, not starting with a digit, without ITEMS."
            raise ValueError(f"column: got {expressions.excerpt(column)}, expected {expected}")
        listed = [*values] if isinstance(values, list | tuple) else [values]
        for value in listed:
            if not isinstance(value, str) or not value:
                got = f"got {quote(value)}, expected a non-empty string"
                raise ValueError(f"column {column[:40]}: {got}{as_text(value, column[:40])}")
            conditions.append(f"ITEMS.{column} = {quoted(value)}")
        if not listed:
            raise ValueError(f"column {column[:40]}: got no value, expected at least one")
    if not conditions:
        raise ValueError("columns: got none, expected at least one")
    return " AND ".join(conditions)


def as_text(value: object, name: str = "") -> str:
    """Returns a hint on how to write a number or a boolean as text.

    Args:
        value: A value that is no text.
        name: The name of the argument; empty for a value alone.

    Returns:
        The end of an error message; empty for other values.
    """
    equals = f"{name}=" if name else ""
    if isinstance(value, bool):
        return f': write it as the data has it, for example {equals}"{str(value).lower()}"'
    if not isinstance(value, int | float):
        return ""
    if is_token(value):
        return ", known at synth time: queries are written at synth time"
    return f': write {equals}"{value}"'


#: CDK's markers of a value, or of a list, that is known only at deploy time: https://docs.aws.amazon.com/cdk/v2/guide/tokens.html
_TOKEN = re.compile(rb"[$#]\{Token\[[^]]*+\]\}")


def find_token(line: bytes) -> str | None:
    """Finds a value in a line that is known only at deploy time."""
    found = _TOKEN.search(line)
    return None if found is None else found[0].decode(errors="replace")
