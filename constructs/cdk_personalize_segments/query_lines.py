"""Queries as they are written: the lines that the handler's check of query files reads.

Sources:
    INPUT: https://docs.aws.amazon.com/personalize/latest/dg/prepare-input-data-user-segment.html
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from batch_segment_handler import expressions

from .validation import is_token, shown


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
            documents nothing else (INPUT), and only the dataset tells how a number is written.

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
                got = f"got {shown(value)}, expected text"
                raise ValueError(f"column {column[:40]}: {got}{as_text(value, column[:40])}")
            conditions.append(f"ITEMS.{column} = {quoted(value)}")
        if not listed:
            raise ValueError(f"column {column[:40]}: expected at least one value, got none")
    if not conditions:
        raise ValueError("columns: expected at least one, got none")
    return " AND ".join(conditions)


def as_text(value: object, name: str = "") -> str:
    """Says how to write a number or a boolean, which both are written as text.

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
        return ", known at synth: queries are written then"
    return f': write {equals}"{value}"'


#: CDK's markers of a value, or of a list, that is known only at deploy: https://docs.aws.amazon.com/cdk/v2/guide/tokens.html
_TOKEN = re.compile(rb"[$#]\{Token\[[^]]*+\]\}")
_LONGEST_SUMMARY = 300


def find_token(line: bytes) -> str | None:
    """Finds a value in a line that is known only at deploy."""
    found = _TOKEN.search(line)
    return None if found is None else found[0].decode(errors="replace")


def summary(count: int, lines: Iterable[bytes]) -> str:
    """Describes queries for ``cdk diff``, in at most 300 characters.

    Args:
        count: How many queries there are.
        lines: The first lines, which were checked.

    Returns:
        For example ``3 queries: ITEMS.GENRES = "Comedy"; 105 (COUNTRY="Japan"); …``.
    """
    text = "1 query: " if count == 1 else f"{count:,} queries: "
    shown_queries = 0
    for line in lines:
        query = json.loads(line)
        values = query.pop("filterValues", {})
        one = _harmless(next(iter(query.values())))
        if values:
            one += _harmless(" (" + ", ".join(f"{name}={value}" for name, value in values.items()) + ")")
        separator = "; " if shown_queries else ""
        # Room for "; …".
        if len(text) + len(separator) + len(one) > _LONGEST_SUMMARY - 3:
            break
        text += separator + one
        shown_queries += 1
    if shown_queries == count:
        return text
    if not shown_queries:
        return text + one[: _LONGEST_SUMMARY - len(text) - 1] + "…"
    return f"{text}; …"


def _harmless(text: str) -> str:
    # CDK would resolve what looks like a token, and CloudFormation a dynamic reference such as {{resolve:ssm:…}}:
    # https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/dynamic-references.html
    text = re.sub(r"\{(?=\{)|(?<=[$#])(?=\{)", lambda found: f"{found[0]} ", text)
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)
