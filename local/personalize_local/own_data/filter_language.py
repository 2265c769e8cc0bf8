"""The documented language of filters: https://docs.aws.amazon.com/personalize/latest/dg/creating-filter-expressions.html.

The grammar has the elements of the page and the examples of the guide, and nothing else: no parentheses except around
the values of IN and around a placeholder, no strings with comparison operators, and no numbers with IN.
"""

import functools
import re
from dataclasses import dataclass

import lark

from .syntax_errors import Hint, explain

_GRAMMAR = r"""
start: expression ("|" expression)*
expression: ACTION ENTITY WHERE chain [IF chain]
chain: condition ((AND | OR) condition)*
condition: field [NOT] IN ( "(" value ("," value)* ")" | field )
         | field COMPARISON ( NUMBER | PLACEHOLDER | "(" PLACEHOLDER ")" | field )
value: TEXT | PLACEHOLDER
field: FIELD

ACTION.2: /(INCLUDE|EXCLUDE)\b/i
ENTITY.2: /(ItemID|UserID|ActionID)\b/i
WHERE.2: /WHERE\b/i
IF.2: /IF\b/i
AND.2: /AND\b/i
OR.2: /OR\b/i
NOT.2: /NOT\b/i
IN.2: /IN\b/i
COMPARISON: /<=|>=|!=|=|<|>/
NUMBER: /-?[0-9]+(\.[0-9]+)?/
PLACEHOLDER: /\$[A-Za-z0-9_]+/
TEXT: /"([^"\\]|\\.)*"/s
FIELD: /[A-Za-z_][A-Za-z0-9_]*[ \t\r\n]*\.[ \t\r\n]*[A-Za-z_][A-Za-z0-9_]*/
%ignore /[ \t\r\n]+/
"""
_TERMS = {
    "ACTION": "INCLUDE or EXCLUDE",
    "ENTITY": "UserID or ItemID",
    "WHERE": "WHERE",
    "IN": "IN",
    "NOT": "NOT IN",
    "COMPARISON": "a comparison operator",
    "NUMBER": "a number",
    "PLACEHOLDER": "a placeholder such as $NAME",
    "TEXT": "a value in double quotes",
    "FIELD": "Dataset.field",
    "LPAR": "(",
    "COMMA": ",",
    "RPAR": ")",
    "AND": "AND",
    "OR": "OR",
    "IF": "IF",
    "VBAR": "|",
    "$END": "the end",
}
_HINTS = (
    Hint("FIELD", r"\(", "parentheses around conditions are not documented: join whole expressions with |"),
    Hint("TEXT", r"'", "write values in double quotes"),
    Hint("NUMBER", r"(?<==)=", "write a single ="),
    Hint("NUMBER", r"(?<=<)>", "write !="),
    Hint("NUMBER", r'"(?:[^"\\]|\\.)*+"', "comparison operators take numbers, and IN takes text"),
    Hint("TEXT", r"[-0-9]", "IN takes text in double quotes, and comparison operators take numbers"),
    Hint("IN", r"(?i:LIKE|BETWEEN|IS|CONTAINS)\b", "the operators are IN, NOT IN, =, !=, <, <=, > and >="),
)


@dataclass(frozen=True, slots=True)
class FilterField:
    """A field of a data set, such as ``Users.AGE``."""

    at: int
    dataset: str
    name: str


@dataclass(frozen=True, slots=True)
class Text:
    """A value in double quotes."""

    at: int
    text: str


@dataclass(frozen=True, slots=True)
class Number:
    """A number."""

    at: int
    number: float


@dataclass(frozen=True, slots=True)
class Placeholder:
    """A parameter such as ``$GENRE``."""

    at: int
    name: str


Operand = Text | Number | Placeholder | FilterField


@dataclass(frozen=True, slots=True)
class Condition:
    """A condition of a field.

    Attributes:
        at: Its offset.
        field: The field.
        operator: ``IN``, ``NOT IN`` or a comparison operator.
        operands: The values. A comparison has one.
    """

    at: int
    field: FilterField
    operator: str
    operands: tuple[Operand, ...]


@dataclass(frozen=True, slots=True)
class Chain:
    """Conditions joined by the same words.

    Attributes:
        conditions: The conditions.
        joins: The offset and the word, AND or OR, before each condition but the first.
    """

    conditions: tuple[Condition, ...]
    joins: tuple[tuple[int, str], ...]


@dataclass(frozen=True, slots=True)
class Expression:
    """One INCLUDE or EXCLUDE.

    Attributes:
        at: Its offset.
        includes: Whether it is INCLUDE.
        entity: ``USERID``, ``ITEMID`` or ``ACTIONID``.
        entity_at: The offset of the entity.
        chain: The conditions after WHERE.
        current_user: The conditions after IF.
    """

    at: int
    includes: bool
    entity: str
    entity_at: int
    chain: Chain
    current_user: Chain | None


def parse_filter(text: str) -> tuple[Expression, ...]:
    """Parses a filter expression.

    Returns:
        The expressions between ``|``.

    Raises:
        ExpressionError: The expression is not documented.
    """
    try:
        tree = _parser().parse(text)
    except lark.exceptions.UnexpectedInput as error:
        raise explain(text, error, _TERMS, _HINTS) from None
    found: tuple[Expression, ...] = _Builder().transform(tree)
    return found


@functools.cache
def _parser() -> lark.Lark:
    return lark.Lark(_GRAMMAR, parser="lalr")


class _Builder(lark.Transformer[lark.Token, tuple[Expression, ...]]):
    def start(self, children: list[Expression]) -> tuple[Expression, ...]:
        return tuple(children)

    def expression(self, children: list[lark.Token | Chain | None]) -> Expression:
        action, entity, _, chain, _, current_user = children
        assert isinstance(action, lark.Token)
        assert isinstance(entity, lark.Token)
        assert isinstance(chain, Chain)
        assert current_user is None or isinstance(current_user, Chain)
        return Expression(
            _offset(action), action.upper() == "INCLUDE", entity.upper(), _offset(entity), chain, current_user
        )

    def chain(self, children: list[Condition | lark.Token]) -> Chain:
        conditions = tuple(child for child in children if isinstance(child, Condition))
        joins = tuple((_offset(child), child.upper()) for child in children if isinstance(child, lark.Token))
        return Chain(conditions, joins)

    def condition(self, children: list[lark.Token | FilterField | Operand | None]) -> Condition:
        field, *rest = children
        assert isinstance(field, FilterField)
        words = [str(child).upper() for child in rest if isinstance(child, lark.Token) and child.type in _OPERATORS]
        operands = tuple(
            self._operand(child)
            for child in rest
            if child is not None and not (isinstance(child, lark.Token) and child.type in _OPERATORS)
        )
        return Condition(field.at, field, " ".join(words), operands)

    def value(self, children: list[lark.Token]) -> Operand:
        return self._operand(children[0])

    def field(self, children: list[lark.Token]) -> FilterField:
        (token,) = children
        dataset, _, name = token.partition(".")
        return FilterField(_offset(token), dataset.rstrip().upper(), name.lstrip())

    @staticmethod
    def _operand(child: lark.Token | Operand) -> Operand:
        if not isinstance(child, lark.Token):
            return child
        if child.type == "TEXT":
            return Text(_offset(child), unescape(child[1:-1]))
        if child.type == "NUMBER":
            return Number(_offset(child), float(child))
        return Placeholder(_offset(child), child[1:])


_OPERATORS = ("NOT", "IN", "COMPARISON")


def _offset(token: lark.Token) -> int:
    return token.start_pos or 0


def unescape(text: str) -> str:
    """Removes the backslash of escaped characters."""
    return re.sub(r"\\(.)", r"\1", text, flags=re.S)
