"""Reads JSON strings, with offsets for messages."""

import json
import re
from collections.abc import Iterable, Iterator

_JSON = json.JSONDecoder()
_SURROGATE = re.compile("[\ud800-\udfff]")
#: A character of a JSON string as it is written. An escaped pair of surrogates is one character.
_WRITTEN = re.compile(r"\\u[dD][89abAB]..\\u[dD][c-fC-F]..|\\u....|\\.|.", re.S)


class LineFault(Exception):  # noqa: N818 - the checker turns it into a `Fault`
    """A fault in a line.

    Attributes:
        at: The offset of the character at fault.
        reason: The cause, and how to fix it.
    """

    def __init__(self, at: int, reason: str) -> None:
        self.at = at
        self.reason = reason


def decode_line(line: bytes) -> str:
    """Decodes a line.

    Raises:
        LineFault: The line is not UTF-8.
    """
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        reason = f"byte 0x{line[error.start]:02x} is not UTF-8: save the file as UTF-8"
        raise LineFault(len(line[: error.start].decode()), reason) from None


def read_text(line: str, at: int) -> tuple[str, int]:
    """Reads a JSON string.

    Args:
        line: The line.
        at: The offset of the opening quote.

    Returns:
        The text, and the offset after its closing quote.

    Raises:
        LineFault: The text is invalid.
    """
    try:
        text, end = _JSON.raw_decode(line, at)
    except json.JSONDecodeError as error:
        raise LineFault(error.pos, _explain(error)) from None
    assert isinstance(text, str)
    if half := _SURROGATE.search(text):
        reason = "half of a surrogate pair: write both halves, or the character"
        raise LineFault(offset_in_json(line, at, half.start()), reason)
    return text, end


def _explain(error: json.JSONDecodeError) -> str:
    if error.msg.startswith("Unterminated"):
        return "text without a closing quote: write each query on one line"
    if error.msg.startswith("Invalid control"):
        return f"a control character in text: write it as \\u{ord(error.doc[error.pos]):04x}"
    return r"a backslash that escapes nothing: a backslash in text is written \\, a quote \""


def offset_in_json(line: str, text_at: int, index: int) -> int:
    """Returns the offset in the line of a character of the text whose opening quote is at ``text_at``."""
    return next(offset for offset, _ in offsets_in_json(line, text_at, [(index, "")]))


def offsets_in_json(line: str, text_at: int, found: Iterable[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """Yields the offsets of many characters in one pass: a line can have a warning every few characters."""
    written, at, offset = enumerate(_WRITTEN.finditer(line, text_at + 1)), -1, 0
    for index, reason in sorted(found, key=lambda item: item[0]):
        while at < index:
            at, match = next(written)
            offset = match.start()
        yield offset, reason
