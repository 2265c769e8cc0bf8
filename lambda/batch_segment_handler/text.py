"""Text from outside: made safe to show, and short enough for CloudFormation."""

from typing import Final

_ELLIPSIS: Final = "…"
# JSON.stringify, with which the provider framework writes the response, escapes these with one backslash. All other
# control characters and lone surrogates become ``\uXXXX``: https://tc39.es/ecma262/#sec-quotejsonstring
_ESCAPED_WITH_BACKSLASH = frozenset('"\\\b\f\n\r\t')


def printable(text: object, limit: int = 1000) -> str:
    r"""Escapes a text of somebody else's, such as a service's message or an object's key, to be shown in one line.

    Args:
        text: The text. Control characters, bidirectional marks and lone surrogates become ``\x1b``, ``\u202e`` and so
            on; all other characters stay.
        limit: Show at most this many characters.
    """
    shown = str(text)
    if not shown.isprintable():
        # What follows the limit is not escaped only to be cut.
        cut = shown[: limit + 1]
        shown = "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in cut)
    return shown if len(shown) <= limit else f"{shown[: limit - 1]}{_ELLIPSIS}"


def json_length(text: str) -> int:
    """Returns how many bytes a text takes in JSON, without the quotes around it."""
    return sum(_length_of(one) for one in text)


def shorten(text: str, max_bytes: int) -> str:
    """Cuts a text to a length in JSON.

    Args:
        text: The text.
        max_bytes: The length, see `json_length`; with the ellipsis that shows the cut.
    """
    if len(text) * 6 <= max_bytes or json_length(text) <= max_bytes:
        return text
    left = max_bytes - _length_of(_ELLIPSIS)
    for at, one in enumerate(text):
        left -= _length_of(one)
        if left < 0:
            return f"{text[:at]}{_ELLIPSIS}"
    raise AssertionError("unreachable: the text is too long")


def _length_of(character: str) -> int:
    if character in _ESCAPED_WITH_BACKSLASH:
        return 2
    if character < " " or "\ud800" <= character <= "\udfff":
        return 6
    return len(character.encode())
