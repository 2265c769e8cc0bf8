"""Runs batch segment jobs: reads queries from S3 and writes segments to S3."""

import json
import time
from collections.abc import Iterator, Sequence
from typing import Any

from botocore.exceptions import ClientError

from .behavior import Behavior
from .errors import JobError, QueryError
from .models import Job, Json
from .s3_access import S3Access
from .stand_in import StandIn

# "Maximum number of input files per batch segment job" and "Maximum size of batch segment job input", 1 GB:
# https://docs.aws.amazon.com/personalize/latest/dg/limits.html
_MAX_FILES = 1000
_MAX_BYTES = 1024**3


class JobRunner:
    """Runs jobs to their end."""

    def __init__(self, s3_access: S3Access, stand_in: StandIn) -> None:
        """Prepares to run jobs.

        Args:
            s3_access: The access to the jobs' buckets.
            stand_in: Finds the users.
        """
        self._s3_access = s3_access
        self._stand_in = stand_in

    def run(self, job: Job, behavior: Behavior, pending_seconds: float, in_progress_seconds: float) -> None:
        """Runs a job until it is ACTIVE or CREATE FAILED.

        Args:
            job: The job.
            behavior: The unpublished answers to give.
            pending_seconds: How long the job stays CREATE PENDING.
            in_progress_seconds: How long the job stays CREATE IN_PROGRESS at least.
        """
        time.sleep(pending_seconds)
        job.set_status("CREATE IN_PROGRESS")
        time.sleep(in_progress_seconds)
        try:
            if job.fault is not None:
                raise JobError(job.fault.message)
            self._s3_access.check("running", job, behavior)
            self._write_segments(job, behavior)
        except JobError as failure:
            job.failure_reason = str(failure)
        except ClientError as error:
            job.failure_reason = f"{error.operation_name}: {error.response['Error']['Message']}"
        except Exception as error:
            job.failure_reason = f"the local Personalize failed: {type(error).__name__}: {error}"
        job.set_status("ACTIVE" if job.failure_reason is None else "CREATE FAILED")

    def _write_segments(self, job: Job, behavior: Behavior) -> None:
        s3 = self._s3_access.client(job.request["roleArn"])
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=job.input.bucket, Prefix=job.input.key)
        objects = [found for page in pages for found in page.get("Contents", []) if not found["Key"].endswith("/")]
        if not objects:
            raise JobError(f"No input files found at {job.input}")
        if len(objects) > _MAX_FILES:
            raise JobError(f"The input has {len(objects)} files, at most {_MAX_FILES} are allowed")
        size = sum(found["Size"] for found in objects)
        if size > _MAX_BYTES:
            raise JobError(f"The input has {size} bytes, at most {_MAX_BYTES} are allowed")
        for found in objects:
            self._write_segments_of_file(job, behavior, s3, found["Key"])

    def _write_segments_of_file(self, job: Job, behavior: Behavior, s3: Any, key: str) -> None:
        self._s3_access.require_bucket_policy(job, job.input, "s3:GetObject", key, behavior)
        output_key = f"{job.output.key}{key.rpartition('/')[2]}.out"
        self._s3_access.require_bucket_policy(job, job.output, "s3:PutObject", output_key, behavior)
        recipe = job.version.recipe
        lines = []
        for line in _lines(s3.get_object(Bucket=job.input.bucket, Key=key)["Body"]):
            lines.append(line)
            if len(lines) > recipe.max_queries_per_file:
                raise JobError(
                    f"The file {key} has more than {recipe.max_queries_per_file} queries, the quota of {recipe.name}"
                )
        records = self._records(job, lines, behavior)
        body = "".join(f"{json.dumps(record, ensure_ascii=False)}\n" for record in records)
        # A query can contain half of a surrogate pair. It has no UTF-8, but the replacement is its escape in JSON.
        s3.put_object(Bucket=job.output.bucket, Key=output_key, Body=body.encode(errors="backslashreplace"))

    def _records(self, job: Job, lines: Sequence[bytes], behavior: Behavior) -> Iterator[Json]:
        """Yields the output record of each query. An invalid query has an error and does not fail the job."""
        queries = [_parse(line) for line in lines]
        number = job.request.get("numResults", behavior.default_results)
        valid = [query for query in queries if not isinstance(query, QueryError)]
        found = self._stand_in.find_users(job, valid, number)
        for line, query in zip(lines, queries, strict=True):
            users = query if isinstance(query, QueryError) else next(found)
            if isinstance(users, QueryError):
                echoed_query = query if isinstance(query, dict) else {"line": line.decode(errors="replace")[:200]}
                yield _format_record(echoed_query, None, str(users), behavior)
            else:
                yield _format_record(query, list(users), None, behavior)


def _lines(body: Any) -> Iterator[bytes]:
    for line in body.iter_lines():
        text = line.removeprefix(b"\xef\xbb\xbf").strip()
        if text:
            yield text


def _parse(line: bytes) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return QueryError("the line is not JSON")


def _format_record(query: Json, users: list[str] | None, error: str | None, behavior: Behavior) -> Json:
    if behavior.output_format == "observed":
        return {"input": query, "output": None if users is None else {"usersList": users}, "error": error}
    output = {"recommendedUsers": users or []}
    return {**query, "output": output} if "itemAttributes" in query else {"input": query, "output": output}
