"""Counts the queries that ended with an error in the output of a complete job.

If the service cannot answer a query, the output has an ``error``, and the job does not fail
(aws-samples/amazon-personalize-samples, update-item-dataset-schema-example.ipynb).
"""

import datetime
import itertools
import json
import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from . import clients, log
from .text import printable, shorten

_CHUNK = 1024**2
# Of 1000 objects each.
_MAX_PAGES = 50
# A longer record has users and no error: a query has at most 256 KiB, and an error repeats little more than the query.
_MAX_ERROR_RECORD_BYTES = 512 * 1024
_NO_ERROR = re.compile(rb'"error"\s*+:\s*+null')
_MAX_ERROR_LENGTH = 300
# The errors are part of a response of at most 4096 bytes, see `errors.MAX_MESSAGE_BYTES`.
_MAX_ERROR_BYTES = 900
#: For a job that the deployment does not wait for, and for output that cannot be read.
ERRORS_UNKNOWN = "unknown"


@dataclass(frozen=True)
class QueryErrors:
    """The queries of a job that ended with an error.

    Attributes:
        queries: The number of queries that were read; None if the output cannot be read.
        errors: The number of queries that ended with an error.
        first: The first error, escaped and shortened.
        all_read: Whether all queries were read.
        unreadable: Why the output cannot be read, escaped and shortened.
    """

    queries: int | None = None
    errors: int = 0
    first: str = ""
    all_read: bool = True
    unreadable: str = ""

    def __str__(self) -> str:
        """Returns ``"none"``, or the counts and the first error, or `ERRORS_UNKNOWN`."""
        if self.queries is None:
            return ERRORS_UNKNOWN
        more = "" if self.all_read else " read in time"
        if not self.errors:
            return "none" if self.all_read else f"none of {self.queries:,}{more}"
        return f"{self.errors:,} of {self.queries:,} queries{more}; the first: {self.first}"


def query_errors(output_uri: str, seconds: float) -> QueryErrors:
    """Counts the queries that ended with an error. Raises nothing, since the job is complete.

    Args:
        output_uri: The prefix of the segments.
        seconds: How long to read. A segment can have millions of users.
    """
    ends = time.monotonic() + seconds
    errors, queries, first, all_read = 0, 0, "", True
    try:
        for error in _errors(output_uri, ends):
            queries += 1
            if error is not None:
                errors += 1
                first = first or shorten(printable(error, _MAX_ERROR_LENGTH), _MAX_ERROR_BYTES)
    except _OutOfTime:
        all_read = False
    except Exception as error:
        # For example JSON that is nested too deep, a broken connection, an archived object.
        reason = f"{type(error).__name__}: {printable(error)}"
        log.event("output not read", output=output_uri, error=reason)
        return QueryErrors(unreadable=shorten(reason, _MAX_ERROR_BYTES))
    log.event("output read", metric_value=errors, output=output_uri, queries=queries, errors=errors, all_read=all_read)
    return QueryErrors(queries, errors, first, all_read)


def newest_segments(output_uri: str, excluded_uri: str) -> datetime.datetime | None:
    """Returns when the newest segments under a prefix were written, or None.

    Args:
        output_uri: The prefix.
        excluded_uri: A prefix to skip.
    """
    bucket, _, prefix = output_uri.removeprefix("s3://").partition("/")
    excluded = excluded_uri.removeprefix(f"s3://{bucket}/")
    pages = clients.s3().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    return max(
        (
            found["LastModified"]
            for page in itertools.islice(pages, _MAX_PAGES)
            for found in page.get("Contents", [])
            if found["Key"].endswith(".out") and not found["Key"].startswith(excluded)
        ),
        default=None,
    )


def read_errors(chunks: Iterable[bytes]) -> Iterator[str | None]:
    """Yields each record's error, or None. Memory does not grow with the segments.

    Raises:
        ValueError: A line is not a record.
        RecursionError: A line is nested too deep.
    """
    rest, is_long = b"", False
    for chunk in itertools.chain(chunks, [b"\n"]):
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            if is_long or line.strip():
                yield None if is_long or b'"error"' not in line or _NO_ERROR.search(line) else _error(line)
            is_long = False
        if len(rest) > _MAX_ERROR_RECORD_BYTES:
            rest, is_long = b"", True


def _error(line: bytes) -> str | None:
    record = json.loads(line)
    if not isinstance(record, dict):
        raise ValueError(f"got {type(record).__name__}, expected a JSON object")
    error = record.get("error") or None
    return error if error is None or isinstance(error, str) else json.dumps(error)


class _OutOfTime(Exception):  # noqa: N818 - not an error
    """The time to read is over."""


def _errors(output_uri: str, ends: float) -> Iterator[str | None]:
    bucket, _, prefix = output_uri.removeprefix("s3://").partition("/")
    s3 = clients.s3()

    def chunks(key: str) -> Iterator[bytes]:
        body = s3.get_object(Bucket=bucket, Key=key)["Body"]
        while chunk := body.read(_CHUNK):
            yield chunk
            # Checked for each chunk, since one record can be the whole object.
            if time.monotonic() > ends:
                raise _OutOfTime

    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        for found in page.get("Contents", []):
            if found["Key"].endswith(".out"):
                # Also before each object: an empty one has no chunk.
                if time.monotonic() > ends:
                    raise _OutOfTime
                yield from read_errors(chunks(found["Key"]))
        if time.monotonic() > ends:
            raise _OutOfTime
