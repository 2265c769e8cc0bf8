"""What became of a complete job's queries.

One that the service could not answer is an ``error`` in the output and no failure of the job
(aws-samples/amazon-personalize-samples, update-item-dataset-schema-example.ipynb).
"""

import itertools
import json
import re
import time
from collections.abc import Iterable, Iterator

from botocore.exceptions import BotoCoreError, ClientError

from . import clients
from .log import log

_CHUNK = 1024**2
# A longer one has users: a query has at most 256 KiB, and an error says little more than the query.
_LONGEST_RECORD_WITHOUT_USERS = 512 * 1024
_NO_ERROR = re.compile(rb'"error"\s*+:\s*+null')
_LONGEST_ERROR = 300
#: Said of a job that was not waited for, and of an output that cannot be read.
UNKNOWN = "unknown"


def query_errors(output_uri: str, seconds: float) -> str:
    """Counts the queries that ended with an error. Nothing is raised: the job is complete, whatever is read here.

    Args:
        output_uri: Where the segments are, ``s3://<bucket>/<prefix>``.
        seconds: How long to read. A segment may have millions of users, and a job many segments.

    Returns:
        ``"none"``, or how many of how many and the first; `UNKNOWN` if the output cannot be read.
    """
    ends = time.monotonic() + seconds
    errors, queries, first = 0, 0, ""
    more = ""
    try:
        for error in _errors(output_uri):
            queries += 1
            if error is not None:
                errors += 1
                first = first or error
            if time.monotonic() > ends:
                more = " read in the time there was"
                break
    except (BotoCoreError, ClientError, ValueError) as error:
        log("output not read", output=output_uri, error=str(error))
        return UNKNOWN
    log("output read", output=output_uri, queries=queries, errors=errors)
    if not errors:
        return f"none of {queries:,}{more}" if more else "none"
    return f"{errors:,} of {queries:,} queries{more}; the first: {first[:_LONGEST_ERROR]}"


def read_errors(chunks: Iterable[bytes]) -> Iterator[str | None]:
    """Reads nothing but the errors of an output object, in memory that grows with no segment.

    Args:
        chunks: The object's bytes.

    Yields:
        For each record its error, or None.

    Raises:
        ValueError: A line is no record.
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
        raise ValueError("no record")
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
