"""The queries of both recipes: https://docs.aws.amazon.com/personalize/latest/dg/prepare-input-data-user-segment.html.

"Batch segment input expressions support only the = symbol for equality for string matching." Conditions are joined by
AND.
"""

import functools
import re

import lark

from .filter_language import unescape
from .syntax_errors import Hint, explain

_GRAMMAR = r"""
start: condition (_AND condition)*
condition: _ITEMS "." NAME "=" TEXT

_ITEMS.2: /ITEMS\b/i
_AND.2: /AND\b/i
TEXT: /"([^"\\]|\\.)*"/s
NAME: /[A-Za-z_][A-Za-z0-9_]*/
%ignore /[ \t\r\n]+/
"""
_TERMS = {
    "_ITEMS": "ITEMS.<column>",
    "DOT": ".",
    "NAME": "the name of a column",
    "EQUAL": "=",
    "TEXT": "a value in double quotes",
    "_AND": "AND",
    "$END": "the end",
}
# Most expressions are written like this. For two conditions, this takes 2 µs, and the grammar takes 150 µs.
_SIMPLE = re.compile(r'ITEMS\.([A-Za-z_][A-Za-z0-9_]*+) = "([^"\\]*+)"(?: AND (?=I)|$)')
_HINTS = (Hint("_AND", r"(?i:OR)\b", "write one query for each alternative"),)


def parse_attributes(expression: str) -> tuple[tuple[str, str], ...]:
    """Parses the expression of ``itemAttributes``.

    Returns:
        The column and the value of each condition.

    Raises:
        ExpressionError: The expression is not documented.
    """
    if simple := _parse_simple(expression):
        return simple
    return parse_by_grammar(expression)


def _parse_simple(expression: str) -> tuple[tuple[str, str], ...]:
    conditions, at = [], 0
    while match := _SIMPLE.match(expression, at):
        conditions.append((match[1], match[2]))
        at = match.end()
        if at == len(expression):
            # "$" also matches before a last line feed.
            return tuple(conditions)
    return ()


def parse_by_grammar(expression: str) -> tuple[tuple[str, str], ...]:
    """Parses any expression as `parse_attributes` does.

    Raises:
        ExpressionError: The expression is not documented.
    """
    try:
        tree = _parser().parse(expression)
    except lark.exceptions.UnexpectedInput as error:
        raise explain(expression, error, _TERMS, _HINTS) from None
    found: tuple[tuple[str, str], ...] = _Builder().transform(tree)
    return found


@functools.cache
def _parser() -> lark.Lark:
    return lark.Lark(_GRAMMAR, parser="lalr")


class _Builder(lark.Transformer[lark.Token, tuple[tuple[str, str], ...]]):
    def start(self, children: list[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
        return tuple(children)

    def condition(self, children: list[lark.Token]) -> tuple[str, str]:
        # The grammar keeps the unnamed terminals "." and "=" out of the tree.
        name, text = children
        return str(name), unescape(text[1:-1])
