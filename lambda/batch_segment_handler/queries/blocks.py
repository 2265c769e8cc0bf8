"""Reads a file in blocks of whole lines, in memory that does not grow with the file."""

import codecs
import math
from collections.abc import Iterator
from typing import BinaryIO

from ..limits import MAX_QUERY_BYTES

#: The longest line and its newline. A block without a newline is a line that is too long.
BLOCK_BYTES = MAX_QUERY_BYTES + 1
_COMPRESSED = "the file is compressed: unpack it"
_UTF_16 = "the file is UTF-16: save it as UTF-8"
#: Other formats by their first bytes. Such a file gets only this fault.
OTHER_FORMATS = {
    b"\x1f\x8b": _COMPRESSED,  # gzip
    b"PK\x03\x04": _COMPRESSED,  # zip
    b"BZh": _COMPRESSED,  # bzip2
    b"\x28\xb5\x2f\xfd": _COMPRESSED,  # Zstandard
    b"\xfd7zX": _COMPRESSED,  # xz
    codecs.BOM_UTF16_LE: _UTF_16,
    codecs.BOM_UTF16_BE: _UTF_16,
    b"PAR1": "the file is Parquet: write JSON Lines, one query on each line",
    b"Obj\x01": "the file is Avro: write JSON Lines, one query on each line",
}
_MAX_MARK_BYTES = max(map(len, OTHER_FORMATS))


class Blocks:
    """Iterates over a file as blocks of whole lines; an empty block stands for a line that is too long.

    Drops a byte order mark and adds a missing last newline. Stops after ``max_bytes``, and at once in another format.

    Attributes:
        bytes: The number of bytes read.
        has_bom: Whether the file starts with a byte order mark.
        other_format: The reason to report for a file of another format; empty for text.
    """

    def __init__(self, file: BinaryIO, max_bytes: float = math.inf) -> None:
        self._file = file
        self._max_bytes = max_bytes
        self.bytes = 0
        self.has_bom = False
        self.other_format = ""

    def __iter__(self) -> Iterator[bytes]:
        rest = b""
        while len(rest) < _MAX_MARK_BYTES and (data := self._file.read(_MAX_MARK_BYTES - len(rest))):
            rest += data
        self.bytes = len(rest)
        self.other_format = next((reason for mark, reason in OTHER_FORMATS.items() if rest.startswith(mark)), "")
        if self.other_format:
            return
        self.has_bom = rest.startswith(codecs.BOM_UTF8)
        rest = rest.removeprefix(codecs.BOM_UTF8)
        is_too_long = False
        while self.bytes <= self._max_bytes and (data := self._file.read(BLOCK_BYTES - len(rest))):
            self.bytes += len(data)
            block = rest + data
            if is_too_long:
                _, newline, block = block.partition(b"\n")
                is_too_long = not newline
            end = block.rfind(b"\n") + 1
            if end:
                yield block[:end]
            rest = block[end:]
            if len(rest) == BLOCK_BYTES:
                yield b""
                rest, is_too_long = b"", True
        if rest and self.bytes <= self._max_bytes:
            yield rest + b"\n"
