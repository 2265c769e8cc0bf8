"""The service's expressions: which items ``itemAttributes`` asks for, which placeholders a filter has.

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
#: How many warnings of one line are kept and counted: a line has room for tens of thousands.
MAX_WARNINGS = 5
#: A name of a schema's field: https://avro.apache.org/docs/current/specification/#names
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
#: Known to fail (OR_FAILS). Quoted text is matched first, so that an OR in it is skipped; an open quote ends the text,
#: so that the time stays linear.
_OR = re.compile(rf"{_QUOTED}?+|{_SINGLE_QUOTED}?+|(?<![\w.$])(OR)\b", re.S | re.I)
_WORD = re.compile(r"[\w.$-]++|=++|.", re.S)


class ExpressionError(ValueError):
    """An expression that is none.

    Attributes:
        at: The offset of the character at fault.
        reason: What was expected there, and what was got.
    """

    def __init__(self, at: int, reason: str) -> None:
        super().__init__(f"column {at + 1}: {reason}")
        self.at = at
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Expression:
    """What an expression says.

    Attributes:
        conditions: Column and value of each condition, up to an operator that is not documented.
        warnings: Offset and reason of things that are not documented, at most `MAX_WARNINGS`.
    """

    conditions: list[tuple[str, str]]
    warnings: list[tuple[int, str]]


def parse_expression(expression: str) -> Expression:
    """Reads the expression of an ``itemAttributes`` query: ``ITEMS.<column> = "<value>"``, joined by ``AND``.

    That is all that is documented (INPUT): "batch segment input expressions support only the = symbol for equality for
    string matching". Other operators of filters (``IN``, ``<``, …) get a warning, and the expression is not read
    further. ``OR`` is an error, since the service is known to fail on it (OR_FAILS).

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
                reason = f"{excerpt(operator[0])} is not documented for segments and may be refused"
                read.warnings.append((at, f"{reason}: an expression is {_GRAMMAR}"))
                return read
            word = _WORD.match(expression, at)
            got = "the end" if word is None else "a quote that is not closed" if word[0] in "\"'" else excerpt(word[0])
            raise ExpressionError(at, f"expected {expected}, got {got}: an expression is {_GRAMMAR}")
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
    # The rest after an undocumented operator is not parsed, so an OR is searched in all of it.
    for found in _OR.finditer(expression, at):
        if found[1]:
            raise ExpressionError(found.start(1), f"{excerpt(found[1])} fails: write one query for each alternative")


def _past_space(text: str, at: int) -> int:
    space = _SPACE.match(text, at)
    return space.end() if space else at


def _doubts(step: str, match: re.Match[str]) -> Iterable[tuple[int, str]]:
    text = match[0]
    if step == "column" and text != f"ITEMS.{match[1]}":
        yield 0, f"{excerpt(text)}: the documentation writes ITEMS.<column>"
    elif step == "and" and text != "AND":
        yield 0, f"{excerpt(text)}: the documentation writes AND"
    elif step == "value":
        if text[0] != '"':
            yield 0, "a value without double quotes: the documentation has none"
        elif text == '""':
            yield 0, "an empty value"
        elif single := re.search(r"(?<!\\)(?:\\\\)*+(')", text):
            yield single.start(1), "a single quote: the documentation puts a backslash before it"


#: An open quote ends the text, as in `_OR`.
_FILTER_TOKEN = re.compile(rf"{_QUOTED}?+|{_SINGLE_QUOTED}?+|\$([A-Za-z0-9_]++)|\b(INCLUDE|EXCLUDE)\b", re.S | re.I)


def filter_placeholders(expression: str) -> dict[str, bool]:
    """The placeholders of a filter's expression: ``$GENRE`` gives ``GENRE`` (FILTER); within quotes it is text.

    Returns:
        By name, whether a value has to be given. For ``EXCLUDE`` parts it can be omitted; that part of the filter is
        then not used (RUNTIME, ``filterValues``).
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
    """Quotes up to 20 characters of a value for a message; unprintable ones are escaped."""
    if not isinstance(value, str):
        return f"a value of type {type(value).__name__}"
    return repr(value if len(value) <= 20 else f"{value[:19]}…")
