"""Queries of the app: how they are checked, and how they are written into an asset."""

import contextlib
import hashlib
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import aws_cdk as cdk
from batch_segment_handler import queries
from batch_segment_handler.text import quote
from constructs import Construct

from . import validation


@dataclass(frozen=True)
class WrittenQueries:
    """Queries that were written into a file.

    Attributes:
        length: The number of their bytes.
        sha256: The SHA-256 of these bytes in hex.
    """

    length: int
    sha256: str


@dataclass(frozen=True)
class QuerySource:
    """Queries given in the program, as the lines of a file, or a file.

    Attributes:
        content: The lines or the path.
    """

    content: bytes | Path

    @property
    def is_inline(self) -> bool:
        """Whether the queries were given in the program."""
        return isinstance(self.content, bytes)

    @contextlib.contextmanager
    def open(self) -> Iterator[BinaryIO]:
        """Opens the queries, untidied."""
        with io.BytesIO(self.content) if isinstance(self.content, bytes) else self.content.open("rb") as stream:
            yield stream

    def check(self, *, is_filtered: bool, quota: queries.Quota | None) -> queries.QueryReport:
        """Checks the queries.

        Args:
            is_filtered: Whether the job has a filter; without one filter values are a warning.
            quota: The number of queries allowed; None for the limits of the service alone.

        Raises:
            QueryFileError: A query is invalid; a `ValueError` that names line and column, or the index.
        """
        name = "segment_queries" if isinstance(self.content, bytes) else quote(str(self.content))
        # The placeholders of a filter are known only at deploy time.
        placeholders: dict[str, bool] | None = None if is_filtered else {}
        with self.open() as stream:
            report = queries.check_queries(
                [(name, stream)], placeholders=placeholders, quota=quota, is_inline=self.is_inline
            )
        report.raise_if_faulty()
        return report


def write(blocks: Iterable[bytes], target: BinaryIO) -> WrittenQueries:
    """Writes tidied queries.

    Args:
        blocks: Queries, as `queries.tidy_blocks` or `queries.split_queries` yields them. A job is defined by its
            queries and not by how their lines end, so only tidied queries have a hash.
        target: The file to write to.
    """
    # Not the asset's hash, which a context key of CDK changes.
    digest, length = hashlib.sha256(), 0
    for block in blocks:
        digest.update(block)
        length += target.write(block)
    return WrittenQueries(length, digest.hexdigest())


def write_parts(stream: BinaryIO, size: int, target: BinaryIO) -> Iterator[tuple[int, WrittenQueries]]:
    """Writes checked queries in parts, one after another.

    Args:
        stream: The queries, untidied.
        size: The number of queries in each part. The last part can have fewer.
        target: The file to append to.

    Yields:
        Where a part starts in the file, and the part.
    """
    for blocks in queries.split_queries(stream, size):
        start = target.tell()
        yield start, write(blocks, target)


def warn(scope: Construct, warnings: list[str], count: int) -> None:
    """Adds the warnings about queries to a construct, as one.

    Args:
        scope: The construct.
        warnings: The first warnings.
        count: The number of all warnings.
    """
    if warnings:
        more = count - len(warnings)
        listed = [*warnings, *([f"and {more} more"] if more else [])]
        cdk.Annotations.of(scope).add_warning_v2(f"{validation.WARNING}:queries", "\n  ".join(listed))
