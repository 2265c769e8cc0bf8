"""The values of placeholders: https://docs.aws.amazon.com/personalize/latest/dg/filter-batch.html.

"Surround each value with escaped quotes … For multiple values, separate each value with a comma."
"""

import json
import re
from collections.abc import Mapping
from typing import Any

from ..errors import QueryError
from .filter_language import unescape

_TEXT = re.compile(r'\s*+"((?:[^"\\]|\\.)*+)"\s*+(,|$)', re.S)
_NUMBER = re.compile(r'\s*+("?)(-?[0-9]++(?:\.[0-9]++)?)\1\s*+')


def read_texts(values: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """Returns the values of a placeholder of IN.

    Raises:
        QueryError: The value is not a list of texts in double quotes.
    """
    text = _string(values, name)
    found, position, has_more = [], 0, True
    while has_more:
        match = _TEXT.match(text, position)
        if match is None:
            raise QueryError(
                f"filterValues: {name}: got {text[:50]!r}, expected values in double quotes, joined by commas"
            )
        found.append(unescape(match[1]))
        position, has_more = match.end(), match[2] == ","
    return tuple(found)


def read_number(values: Mapping[str, Any], name: str) -> float:
    """Returns the value of a placeholder of a comparison operator.

    Raises:
        QueryError: The value is not a number, with or without double quotes.
    """
    text = _string(values, name)
    match = _NUMBER.fullmatch(text)
    if match is None:
        raise QueryError(f"filterValues: {name}: got {text[:50]!r}, expected a number")
    return float(match[2])


def _string(values: Mapping[str, Any], name: str) -> str:
    value = values[name]
    if not isinstance(value, str):
        raise QueryError(f"filterValues: {name}: got {json.dumps(value)[:50]}, expected a string")
    return value
