"""Messages of the parsers, with the position, the found word and the expected ones."""

import re
from collections.abc import Mapping, Sequence

import lark

from .problems import ExpressionError, excerpt

_WORD = re.compile(r'"(?:[^"\\]|\\.)*+"|[\w.$-]++|[<>=!]++|.', re.S)


def explain(
    text: str,
    error: lark.exceptions.UnexpectedInput,
    terms: Mapping[str, str],
    hints: Sequence[tuple[re.Pattern[str], str]],
) -> ExpressionError:
    """Makes the error of an invalid expression.

    Args:
        text: The expression.
        error: The error of the parser.
        terms: The description of each terminal, in the order in which a message lists them.
        hints: How to fix the text at the position, by its pattern.
    """
    at = error.pos_in_stream
    if at is None or not text[at:].strip() or getattr(getattr(error, "token", None), "type", "") == "$END":
        at = len(text.rstrip())
    # The first of these that an error has is the most exact set of the possible terminals.
    possible = next((found for key in ("accepts", "expected", "allowed") if (found := getattr(error, key, None))), ())
    expected = " or ".join(terms[name] for name in terms if name in possible)
    word = _WORD.match(text, at)
    got = "the end" if word is None else "a quotation mark that is not closed" if word[0] == '"' else excerpt(word[0])
    hint = next((f"; {hint}" for pattern, hint in hints if pattern.match(text, at)), "")
    return ExpressionError(at, f"got {got}, expected {expected}{hint}")
