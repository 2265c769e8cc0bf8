"""Reads and checks query files in S3. An error names the object and the fix.

Sources:
    GET: https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html
    SSE_C: https://docs.aws.amazon.com/AmazonS3/latest/userguide/ServerSideEncryptionCustomerKeys.html
"""

import contextlib
import re
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

from botocore.exceptions import BotoCoreError, ClientError, IncompleteReadError, ResponseStreamingError

from . import clients, limits, log, queries
from .errors import JobError, code_and_message, explain
from .preflight import Preflight
from .retries import RetryBudget, call_with_retries
from .text import printable, quote

#: The maximum number of logged warnings, and of objects in an error.
MAX_SHOWN = 5
_KMS_KEY = re.compile(r"arn:[a-z\d-]+:kms:[a-z\d-]+:\d+:key/[\w-]+")


@dataclass(frozen=True)
class ObjectHints:
    """The fixes for errors of S3 about an object.

    Attributes:
        key_arn: The KMS key of the object, if it is known.
        grant: How to grant the handler a permission for the key.
        skip: How to skip reading the object.
    """

    key_arn: str | None
    grant: str = ""
    skip: str = ""

    def fix_of(self, error: ClientError) -> str:
        """Returns the fix for an error; "" if the error's own message says enough."""
        code, message = code_and_message(error)
        if code == "InvalidObjectState":  # GET
            return "the object is archived: restore it, or copy it to the storage class STANDARD"
        if code == "PreconditionFailed":
            return "the object changed while it was read: deploy again"
        if code == "InvalidRequest" and "Server Side Encryption" in message:  # SSE_C
            return (
                "the object is encrypted with a customer-provided key (SSE-C), which neither the handler nor "
                "Personalize has: upload it again with SSE-S3 or SSE-KMS"
            )
        named = _KMS_KEY.search(message)
        arn = named[0] if named else self.key_arn
        key = "the object's KMS key" if arn is None else f"the KMS key {quote(arn)}"
        if code.startswith("KMS."):
            return f"{key} cannot be used: enable it"
        if action := re.search(r"kms:[A-Za-z]+", message):
            return f"grant {action[0]} on {key} to the handler{self.grant}"
        return ""


def call_s3(operation: Callable[..., Any], hints: ObjectHints, place: str, budget: RetryBudget, **request: Any) -> Any:
    """Calls S3 with retries. An error names the place, an ``s3://`` path, and the fix."""
    try:
        return call_with_retries(operation, budget, **request)
    except (JobError, ClientError) as error:
        # When retries are exhausted, the cause is the error of the last attempt.
        cause = error if isinstance(error, ClientError) else error.__cause__
        explained = explain(error, {})
        text = str(explained)
        if isinstance(cause, ClientError) and (fix := hints.fix_of(cause)):
            code, message = code_and_message(cause)
            text = f"{fix}. {cause.operation_name} failed with {code}: {printable(message, 500)}"
        raise type(explained)(f"job_input: {quote(place)}: {text}") from error


@dataclass
class InputObject:
    """An object with queries, or a range of its bytes. Every read returns the version of the first read.

    Attributes:
        bucket: The bucket.
        key: The object's key.
        hints: How to fix errors.
        budget: How long to retry.
        start: The first byte of the range.
        length: The length of the range; None for all bytes from ``start`` on.
        etag: The version.
    """

    bucket: str
    key: str
    hints: ObjectHints
    budget: RetryBudget
    start: int = 0
    length: int | None = None
    etag: str | None = None

    def __str__(self) -> str:
        return quote(f"s3://{self.bucket}/{self.key}")

    def open(self) -> "_Body":
        """Opens the object."""
        return _Body(self)

    def get(self, offset: int) -> Mapping[str, Any]:
        """Requests the content from an offset in the range to its end."""
        request: dict[str, Any] = {"Bucket": self.bucket, "Key": self.key}
        if self.etag is not None:
            request["IfMatch"] = self.etag
        first = self.start + offset
        if first or self.length is not None:
            last = "" if self.length is None else self.start + self.length - 1
            request["Range"] = f"bytes={first}-{last}"
        response = call_s3(
            clients.s3().get_object, self.hints, f"s3://{self.bucket}/{self.key}", self.budget, **request
        )
        self.etag = response.get("ETag")
        return cast(Mapping[str, Any], response)


class _Body:
    """The content of an object. After a broken connection, reading resumes at the same byte."""

    def __init__(self, source: InputObject) -> None:
        self._source = source
        self._offset = 0
        response = source.get(0)
        self.size = int(response.get("ContentLength", 0))
        self._stream: Any = response["Body"]

    def read(self, size: int) -> bytes:
        if self._source.budget.is_over:
            # Parsing long lines in an unusual spelling can take a second per megabyte.
            raise JobError(
                f"job_input: {self._source}: no time is left after {self._offset:,} of {self.size:,} bytes, so no job "
                f"was created. Give the job fewer or shorter queries{self._source.hints.skip}"
            )
        try:
            data = call_with_retries(self._read, self._source.budget, size=size)
        except JobError as error:
            if isinstance(error.__cause__, BotoCoreError):
                raise type(error)(f"job_input: {self._source}: {error}") from error
            raise
        self._offset += len(data)
        return data

    def _read(self, size: int) -> bytes:
        if self._stream is None:
            self._stream = self._source.get(self._offset)["Body"]
        try:
            return bytes(self._stream.read(size))
        except (BotoCoreError, OSError) as error:
            self.close()
            if isinstance(error, IncompleteReadError | OSError):
                # `call_with_retries` retries botocore's error of a broken connection.
                raise ResponseStreamingError(error=error) from error
            raise

    def close(self) -> None:
        if self._stream is not None:
            self._stream.close()
        self._stream = None


def check_objects(
    objects: Iterable[tuple[str, InputObject]], preflight: Preflight, quota: queries.Quota, *, is_inline: bool = False
) -> queries.QueryReport:
    """Checks the queries of objects, each with a name for messages, and logs the first warnings.

    Raises:
        JobError: A query is invalid, or there are too many queries.
    """

    def files() -> Generator[tuple[str, BinaryIO]]:
        for name, source in objects:
            with contextlib.closing(source.open()) as body:
                # The object may have changed since it was listed.
                require_size(str(source), body.size)
                yield name, cast(BinaryIO, body)

    with contextlib.closing(files()) as opened:
        report = queries.check_queries(
            opened,
            kind=preflight.kind,
            placeholders=preflight.placeholders,
            quota=quota,
            is_inline=is_inline,
            max_faults=MAX_SHOWN,
        )
    for warning in report.warnings:
        log.event("warning", fault=str(warning))
    try:
        report.raise_if_faulty()
    except queries.QueryFileError as error:
        raise JobError(str(error)) from error
    return report


def require_size(name: str, size: int) -> None:
    """Raises a `JobError` if there are more bytes than a job can read."""
    if size > limits.MAX_INPUT_BYTES:
        raise JobError(
            f"job_input: got {size:,} bytes in {name}, expected at most {limits.MAX_INPUT_BYTES:,}, the service's "
            "limit for all files together. Split them over several jobs"
        )
