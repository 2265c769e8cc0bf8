"""Splits a checked query file, and tidies its lines."""

import itertools
import re
from collections.abc import Iterator
from typing import BinaryIO

from ..limits import MAX_QUERY_BYTES
from .blocks import Blocks

_BLANK_LINE = re.compile(rb"\n[ \t\r]*+(?=\n)")


def split_queries(file: BinaryIO, size: int) -> Iterator[Iterator[bytes]]:
    r"""Splits a checked query file into smaller ones.

    Lines end in ``\n``; a byte order mark and blank lines are dropped. The queries' bytes do not change. Memory grows
    neither with the file nor with ``size``.

    Args:
        file: The file; only ``read(n)`` is used.
        size: The number of queries in each part. The last part can have fewer.

    Returns:
        The parts in order, none of them empty. Each part is an iterator of chunks. Advancing to the next part skips
        chunks not yet consumed, as `itertools.groupby` does.

    Raises:
        ValueError: ``size`` is not positive; or, while reading, a line is longer than a query can be.
    """
    if size < 1:
        raise ValueError(f"size: got {size}, expected at least 1")
    chunks = _number_chunks(tidy_blocks(file), size)
    return ((chunk for _, chunk in part) for _, part in itertools.groupby(chunks, key=lambda numbered: numbered[0]))


def _number_chunks(blocks: Iterator[bytes], size: int) -> Iterator[tuple[int, bytes]]:
    """Cuts blocks where a part ends, and yields each chunk with the number of its part."""
    part, room = 0, size
    for block in blocks:
        start, lines = 0, block.count(b"\n")
        while lines:
            end = len(block)
            if lines > room:
                end = start
                for _ in range(room):
                    end = block.index(b"\n", end) + 1
            yield part, block[start:end]
            taken = min(lines, room)
            start, lines, room = end, lines - taken, room - taken
            if not room:
                part, room = part + 1, size


def tidy_blocks(file: BinaryIO) -> Iterator[bytes]:
    r"""Tidies a checked query file: lines end in ``\n``; a byte order mark and blank lines are dropped.

    Args:
        file: The file; only ``read(n)`` is used.

    Yields:
        Blocks of whole lines.

    Raises:
        ValueError: A line is longer than a query can be.
    """
    for block in Blocks(file):
        if not block:
            raise ValueError(f"got a longer line, expected at most {MAX_QUERY_BYTES:,} bytes")
        if b"\r" in block:
            block = block.replace(b"\r\n", b"\n")
        # With a newline before it, the first line is like the others.
        if tidied := _BLANK_LINE.sub(b"", b"\n" + block)[1:]:
            yield tidied
