"""Reads jobs and segments from the local AWS that the environment names."""

import contextlib
import os
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from .display import count, progress
from .errors import UsageError, not_local

if TYPE_CHECKING:
    from personalize_segments_reader import Segment

_POLL_SECONDS = 0.2


@contextlib.contextmanager
def connect(command: str) -> Iterator[tuple[Any, Any]]:
    """Creates clients of Personalize and S3.

    Args:
        command: The name of the command, for error messages.

    Yields:
        The client of Personalize and the client of S3.

    Raises:
        UsageError: The environment names no local AWS, or a request fails.
    """
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    if "AWS_ENDPOINT_URL" not in os.environ:
        raise UsageError(
            f"{command}: AWS_ENDPOINT_URL is not set; use this command within `personalize-local run`, or start "
            '`personalize-local serve` and run eval "$(personalize-local env)"'
        )
    try:
        session = boto3.Session()
        try:
            clients = session.client("personalize"), session.client("s3")
        except ValueError as error:
            raise not_local(os.environ["AWS_ENDPOINT_URL"]) from error
        yield clients
    except (BotoCoreError, ClientError) as error:
        raise UsageError(f"{command}: {error}") from error


def list_jobs(personalize: Any, names: Sequence[str]) -> list[dict[str, Any]]:
    """Lists the jobs with any of the names in their own name, or all jobs if there are no names."""
    pages = personalize.get_paginator("list_batch_segment_jobs").paginate()
    jobs = [job for page in pages for job in page["batchSegmentJobs"]]
    return [job for job in jobs if not names or any(name in job["jobName"] for name in names)]


def describe_job(personalize: Any, job: dict[str, Any]) -> dict[str, Any]:
    """Describes a listed job."""
    described = personalize.describe_batch_segment_job(batchSegmentJobArn=job["batchSegmentJobArn"])
    found: dict[str, Any] = described["batchSegmentJob"]
    return found


def wait_for_jobs(personalize: Any, names: Sequence[str]) -> list[dict[str, Any]]:
    """Waits until the jobs of `list_jobs` end, and describes them."""

    def in_flight() -> int:
        return sum(job["status"] not in ("ACTIVE", "CREATE FAILED") for job in list_jobs(personalize, names))

    if number := in_flight():
        with progress(f"waiting for {count(number, 'job')}") as update:
            while number := in_flight():
                update(f"waiting for {count(number, 'job')}")
                time.sleep(_POLL_SECONDS)
    return [describe_job(personalize, job) for job in list_jobs(personalize, names)]


def output_path(job: dict[str, Any]) -> str:
    """Returns the S3 path of a job's segments."""
    path: str = job["jobOutput"]["s3DataDestination"]["path"]
    return path


def summarize_query_errors(s3: Any, job: dict[str, Any]) -> str:
    """Returns the number of failed queries of an ACTIVE job and the first error, or an empty string if none failed."""
    from botocore.exceptions import ClientError

    queries, errors, first = 0, 0, ""
    try:
        for _, segment in read_segments_at(s3, output_path(job)):
            queries += 1
            if segment.error is not None:
                errors += 1
                first = first or segment.error
    except (ClientError, ValueError) as error:
        return f"cannot read the segments: {error}"
    return f"{errors} of {queries} queries failed; the first: {first}" if errors else ""


def read_segments_at(s3: Any, path: str) -> "Iterator[tuple[str, Segment]]":
    """Reads the segments in a folder.

    Args:
        s3: The client of S3.
        path: The S3 path of the folder.

    Yields:
        The name of the output file and the segment, for each query.

    Raises:
        ValueError: A file is not the output of a job. The message names the file.
    """
    from personalize_segments_reader import read_segments

    bucket, _, prefix = path.removeprefix("s3://").partition("/")
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    for found in (found for page in pages for found in page.get("Contents", [])):
        name = found["Key"].removeprefix(prefix)
        if not name.endswith(".out"):
            continue
        body = s3.get_object(Bucket=bucket, Key=found["Key"])["Body"]
        try:
            for segment in read_segments(body.iter_lines()):
                yield name, segment
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error
