"""Parses the expressions of ``itemAttributes`` queries and of filters.

Sources:
    INPUT: https://docs.aws.amazon.com/personalize/latest/dg/prepare-input-data-user-segment.html
    FILTER: https://docs.aws.amazon.com/personalize/latest/dg/creating-filter-expressions.html
    RUNTIME: https://docs.aws.amazon.com/personalize/latest/dg/API_RS_GetRecommendations.html
    OR_FAILS: https://repost.aws/questions/QUmugT1X6YRUeD7Uq231Oy6w
"""

import itertools
import re
from collections.abc import Iterable
from dataclasses import dataclass

_GRAMMAR = 'ITEMS.<column> = "<value>", joined by AND'
#: The maximum number of warnings for a line, which has room for tens of thousands.
MAX_WARNINGS = 5
#: The name of a schema field: https://avro.apache.org/docs/current/specification/#names
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*+")
_QUOTED = r'"(?:[^"\\]|\\.)*+"'
_SINGLE_QUOTED = r"'(?:[^'\\]|\\.)*+'"
_SPACE = re.compile(r"[ \t\r\n]*+")
#: Grammar steps in order: display name and pattern. Lenient: undocumented spellings match too and get a warning.
_STEPS = {
    "column": ("ITEMS.<column>", re.compile(rf"ITEMS{_SPACE.pattern}\.{_SPACE.pattern}({NAME.pattern})", re.I)),
    "equals": ("=", re.compile(r"=(?!=)")),
    "value": ("a value in double quotes", re.compile(rf"{_QUOTED}|{_SINGLE_QUOTED}|[-+]?+\.?+\d[\d.eE+-]*+", re.S)),
    "and": ("AND", re.compile(r"AND\b", re.I)),
}
#: Operators documented for filter expressions but not for segment queries.
_UNDOCUMENTED = re.compile(r"(?:NOT|IN|LIKE|BETWEEN|IS|CONTAINS)\b|[<>]=?|!=|\(|\|\|?|&&", re.I)
#: Known to fail (OR_FAILS). Quoted text matches first, which skips an OR in it. An unclosed quote ends the search, so
#: the time stays linear.
_OR = re.compile(rf"{_QUOTED}?+|{_SINGLE_QUOTED}?+|(?<![\w.$])(OR)\b", re.S | re.I)
_WORD = re.compile(r"[\w.$-]++|=++|.", re.S)


class ExpressionError(ValueError):
    """An invalid expression.

    Attributes:
        at: The offset of the character at fault.
        reason: The text at the offset, and the expected text.
    """

    def __init__(self, at: int, reason: str) -> None:
        super().__init__(f"column {at + 1}: {reason}")
        self.at = at
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Expression:
    """A parsed expression.

    Attributes:
        conditions: Column and value of each condition, up to the first undocumented operator.
        warnings: Offset and reason of undocumented syntax, at most `MAX_WARNINGS`.
    """

    conditions: list[tuple[str, str]]
    warnings: list[tuple[int, str]]


def parse_expression(expression: str) -> Expression:
    """Parses the expression of an ``itemAttributes`` query: ``ITEMS.<column> = "<value>"``, joined by ``AND``.

    Nothing else is documented (INPUT): "batch segment input expressions support only the = symbol for equality for
    string matching". At another operator of filters (``IN``, ``<``, …), parsing stops with a warning. ``OR`` is an
    error, since the service fails on it (OR_FAILS).

    Raises:
        ExpressionError: The expression is invalid; the message names the column.
    """
    read = Expression([], [])
    at, column = 0, ""
    for step, (expected, pattern) in itertools.cycle(_STEPS.items()):
        at = _past_space(expression, at)
        if at == len(expression) and step == "and":
            return read
        match = pattern.match(expression, at)
        if match is None:
            operator = _UNDOCUMENTED.match(expression, at)
            if operator or step == "and":
                _refuse_or(expression, at)
            if operator:
                reason = f"{excerpt(operator[0])} is not documented for segments and may be rejected"
                read.warnings.append((at, f"{reason}: an expression is {_GRAMMAR}"))
                return read
            word = _WORD.match(expression, at)
            got = "the end" if word is None else "an unclosed quote" if word[0] in "\"'" else excerpt(word[0])
            raise ExpressionError(at, f"got {got}, expected {expected}: an expression is {_GRAMMAR}")
        if step == "column":
            column = match[1]
        elif step == "value":
            value = re.sub(r"\\(.)", r"\1", match[0][1:-1], flags=re.S) if match[0][0] in "\"'" else match[0]
            read.conditions.append((column, value))
        if len(read.warnings) < MAX_WARNINGS:
            read.warnings.extend((at + offset, reason) for offset, reason in _doubts(step, match))
        at = match.end()
    raise AssertionError("unreachable")


def _refuse_or(expression: str, at: int) -> None:
    # Parsing stops at an undocumented operator, so search all of the rest for an OR.
    for found in _OR.finditer(expression, at):
        if found[1]:
            raise ExpressionError(found.start(1), f"{excerpt(found[1])} fails: write one query for each alternative")


def _past_space(text: str, at: int) -> int:
    space = _SPACE.match(text, at)
    return space.end() if space else at


def _doubts(step: str, match: re.Match[str]) -> Iterable[tuple[int, str]]:
    text = match[0]
    if step == "column" and text != f"ITEMS.{match[1]}":
        yield 0, f"{excerpt(text)}: the documented form is ITEMS.<column>"
    elif step == "and" and text != "AND":
        yield 0, f"{excerpt(text)}: the documented form is AND"
    elif step == "value":
        if text[0] != '"':
            yield 0, "a value without double quotes, which is not documented"
        elif text == '""':
            yield 0, "an empty value"
        elif single := re.search(r"(?<!\\)(?:\\\\)*+(')", text):
            yield single.start(1), "a single quote without a backslash, which is not documented"


#: An unclosed quote ends the search, as in `_OR`.
_FILTER_TOKEN = re.compile(rf"{_QUOTED}?+|{_SINGLE_QUOTED}?+|\$([A-Za-z0-9_]++)|\b(INCLUDE|EXCLUDE)\b", re.S | re.I)


def filter_placeholders(expression: str) -> dict[str, bool]:
    """Returns the placeholders of a filter's expression: ``GENRE`` for ``$GENRE`` (FILTER), except within quotes.

    Returns:
        For each name, whether a value is required. In an ``EXCLUDE`` part it is optional: the service ignores the part
        if there is no value (RUNTIME, ``filterValues``).
    """
    names: dict[str, bool] = {}
    including = True
    for token in _FILTER_TOKEN.finditer(expression):
        if token[2]:
            including = token[2].upper() == "INCLUDE"
        elif token[1]:
            names[token[1]] = including or names.get(token[1], False)
    return names


def excerpt(value: object) -> str:
    """Quotes and escapes up to 20 characters of a value for a message."""
    if not isinstance(value, str):
        return f"a value of type {type(value).__name__}"
    return repr(value if len(value) <= 20 else f"{value[:19]}…")
