"""Escapes and shortens text from outside for messages."""

from typing import Final

_ELLIPSIS: Final = "…"
# The provider framework writes responses with JSON.stringify, which escapes these with one backslash and other control
# characters and lone surrogates as ``\uXXXX``: https://tc39.es/ecma262/#sec-quotejsonstring
_ESCAPED_WITH_BACKSLASH = frozenset('"\\\b\f\n\r\t')


def printable(text: object, limit: int = 1000) -> str:
    r"""Escapes text from outside, such as a service's message, for one line.

    Args:
        text: The text. Control characters, bidirectional marks and lone surrogates become ``\x1b``, ``\u202e`` and so
            on.
        limit: The maximum length. A longer text loses its end.
    """
    shown = str(text)
    if not shown.isprintable():
        cut = shown[: limit + 1]
        shown = "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in cut)
    return shown if len(shown) <= limit else f"{shown[: limit - 1]}{_ELLIPSIS}"


def quote(value: object, limit: int = 200) -> str:
    """Escapes and quotes a value from outside, for example an S3 path.

    Args:
        value: The value.
        limit: The maximum length. A longer value loses its middle, since the end of a path identifies the object.
    """
    quoted = repr(value)
    half = (limit - 1) // 2
    return quoted if len(quoted) <= limit else f"{quoted[:half]}{_ELLIPSIS}{quoted[-half:]}"


def json_length(text: str) -> int:
    """Returns the length of a text in JSON, in bytes, without the quotes."""
    return sum(map(_length_of, text))


def shorten(text: str, max_bytes: int) -> str:
    """Shortens a text to a length in JSON.

    Args:
        text: The text.
        max_bytes: The maximum length, including the ellipsis, see `json_length`.
    """
    if len(text) * 6 <= max_bytes or json_length(text) <= max_bytes:
        return text
    left = max_bytes - _length_of(_ELLIPSIS)
    for at, char in enumerate(text):
        left -= _length_of(char)
        if left < 0:
            return f"{text[:at]}{_ELLIPSIS}"
    raise AssertionError("unreachable: the text is too long")


def _length_of(character: str) -> int:
    if character in _ESCAPED_WITH_BACKSLASH:
        return 2
    if character < " " or "\ud800" <= character <= "\udfff":
        return 6
    return len(character.encode())
