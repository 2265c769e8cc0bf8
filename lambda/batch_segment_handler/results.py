"""Reads from a complete job's output which queries ended with an error.

A query that the service cannot answer has an ``error`` in the output; the job does not fail
(aws-samples/amazon-personalize-samples, update-item-dataset-schema-example.ipynb).
"""

import itertools
import json
import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from . import clients
from .log import log
from .text import printable, shorten

_CHUNK = 1024**2
# A longer record has users: a query has at most 256 KiB, and an error says little more than the query.
_LONGEST_RECORD_WITHOUT_USERS = 512 * 1024
_NO_ERROR = re.compile(rb'"error"\s*+:\s*+null')
_MAX_ERROR_LENGTH = 300
# The errors are an attribute of the resource, in a response of 4096 bytes as JSON, see `failures.MAX_MESSAGE_BYTES`.
_MAX_ERROR_BYTES = 900
#: The errors of a job that the deployment does not wait for, and of an output that cannot be read.
UNKNOWN = "unknown"


@dataclass(frozen=True)
class QueryErrors:
    """The queries of a job that ended with an error.

    Attributes:
        queries: How many queries were read; None if the output cannot be read.
        errors: How many of them ended with an error.
        first: The first error, escaped and cut.
        all_read: Whether all queries were read.
    """

    queries: int | None = None
    errors: int = 0
    first: str = ""
    all_read: bool = True

    def __str__(self) -> str:
        """``"none"``, or how many of how many and the first; `UNKNOWN` if the output cannot be read."""
        if self.queries is None:
            return UNKNOWN
        more = "" if self.all_read else " read in the time there was"
        if not self.errors:
            return "none" if self.all_read else f"none of {self.queries:,}{more}"
        return f"{self.errors:,} of {self.queries:,} queries{more}; the first: {self.first}"


def query_errors(output_uri: str, seconds: float) -> QueryErrors:
    """Counts the queries that ended with an error. Raises nothing: the job is complete, whatever the output is.

    Args:
        output_uri: Where the segments are, ``s3://<bucket>/<prefix>``.
        seconds: How long to read. A segment may have millions of users, and a job many segments.
    """
    ends = time.monotonic() + seconds
    errors, queries, first, all_read = 0, 0, "", True
    try:
        for error in _errors(output_uri):
            queries += 1
            if error is not None:
                errors += 1
                first = first or shorten(printable(error, _MAX_ERROR_LENGTH), _MAX_ERROR_BYTES)
            if time.monotonic() > ends:
                all_read = False
                break
    except Exception as error:
        # Whatever it is: JSON that is nested too deep, a connection that breaks, an object that is archived.
        log("output not read", output=output_uri, error=f"{type(error).__name__}: {printable(error)}")
        return QueryErrors()
    log("output read", metric_value=errors, output=output_uri, queries=queries, errors=errors, all_read=all_read)
    return QueryErrors(queries, errors, first, all_read)


def read_errors(chunks: Iterable[bytes]) -> Iterator[str | None]:
    """Reads only the errors of an output object, in memory that does not grow with the segments.

    Args:
        chunks: The object's bytes.

    Yields:
        For each record its error, or None.

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
        if len(rest) > _LONGEST_RECORD_WITHOUT_USERS:
            rest, is_long = b"", True


def _error(line: bytes) -> str | None:
    record = json.loads(line)
    if not isinstance(record, dict):
        raise ValueError(f"expected a JSON object, got {type(record).__name__}")
    error = record.get("error") or None
    return error if error is None or isinstance(error, str) else json.dumps(error)


def _errors(output_uri: str) -> Iterator[str | None]:
    bucket, _, prefix = output_uri.removeprefix("s3://").partition("/")
    s3 = clients.s3()
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        for found in page.get("Contents", []):
            if found["Key"].endswith(".out"):
                body = s3.get_object(Bucket=bucket, Key=found["Key"])["Body"]
                yield from read_errors(iter(lambda body=body: body.read(_CHUNK), b""))  # type: ignore[misc]
