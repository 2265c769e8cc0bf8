"""Messages of the parsers, with the position, the found word and the expected ones."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import lark

from .problems import ExpressionError, excerpt

_WORD = re.compile(r'"(?:[^"\\]|\\.)*+"|[\w.$-]++|[<>=!]++|.', re.S)


@dataclass(frozen=True, slots=True)
class Hint:
    """How to fix an expression.

    Attributes:
        terminal: A terminal that is possible at the position of the error.
        pattern: The pattern of the text at the position.
        fix: The fix.
    """

    terminal: str
    pattern: str
    fix: str

    def matches(self, text: str, at: int) -> bool:
        """Returns whether the text at the position has the pattern."""
        return re.compile(self.pattern, re.S).match(text, at) is not None


def explain(
    text: str,
    error: lark.exceptions.UnexpectedInput,
    terms: Mapping[str, str],
    hints: Sequence[Hint],
) -> ExpressionError:
    """Makes the error of an invalid expression.

    Args:
        text: The expression.
        error: The error of the parser.
        terms: The description of each terminal, in the order in which a message lists them.
        hints: The hints. The first that applies is used.
    """
    at = error.pos_in_stream
    if at is None or not text[at:].strip() or getattr(getattr(error, "token", None), "type", "") == "$END":
        at = len(text.rstrip())
    # The first of these that an error has is the most exact set of the possible terminals.
    possible = next((found for key in ("accepts", "expected", "allowed") if (found := getattr(error, key, None))), ())
    expected = " or ".join(terms[name] for name in terms if name in possible)
    word = _WORD.match(text, at)
    got = "the end" if word is None else "a quotation mark that is not closed" if word[0] == '"' else excerpt(word[0])
    hint = next((f"; {hint.fix}" for hint in hints if hint.terminal in possible and hint.matches(text, at)), "")
    return ExpressionError(at, f"got {got}, expected {expected}{hint}")
