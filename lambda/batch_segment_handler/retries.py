"""Retries calls while their error is transient, within a budget of time."""

import random
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from botocore.exceptions import ClientError, ConnectionError, HTTPClientError
from botocore.parsers import ResponseParserError

from . import limits, log
from .errors import (
    ACCESS_DENIED,
    EXPLICIT_DENY,
    JobError,
    MalformedResponseError,
    NotVisibleError,
    UnavailableError,
    code_and_message,
    summarize,
)

T = TypeVar("T")

#: IAM propagates a new role or policy within this time. AWS's own notebooks sleep for a minute
#: (aws-samples/amazon-personalize-samples, user_segmentation_example.ipynb).
MAX_PROPAGATION_SECONDS = 120.0
_MAX_WAIT_SECONDS, _MAX_PROPAGATION_WAIT_SECONDS = 60, 15
_MAX_RESPONSE_LENGTH = 200
_PROPAGATION, _ANYTHING_ELSE = "propagation", "anything else"
# InvalidInputException can mean that a role, its policy or a bucket policy has not propagated. Observed: "Insufficient
# privileges for accessing data in S3. Please look at … and fix bucket policy on <bucket>".
_MAY_BE_PROPAGATION = re.compile(r"privilege|permission|assum|access denied|not authorized|bucket policy|trust", re.I)
_ARN = re.compile(r"arn:\S+")


class RetryBudget:
    """The time that one invocation may wait between attempts, across all of its calls.

    Sums sleep durations instead of reading only the clock, so that the local AWS can scale `time.sleep` without
    changing behavior.
    """

    def __init__(self, seconds: float, *, max_wait: float | None = None) -> None:
        """Starts the budget.

        Args:
            seconds: How long the calls may take, including the waits between them.
            max_wait: How long to wait for anything but a permission that propagates. Default: ``seconds``.
        """
        self._ends = time.monotonic() + seconds
        self._left = seconds
        self._left_by_cause = {
            _PROPAGATION: MAX_PROPAGATION_SECONDS,
            _ANYTHING_ELSE: seconds if max_wait is None else max_wait,
        }

    @property
    def is_over(self) -> bool:
        """Whether the time is over, even if it was not spent waiting."""
        return time.monotonic() >= self._ends

    def wait(self, seconds: float, *, for_propagation: bool) -> float:
        """Sleeps, at most until the budget ends, and returns for how long.

        Args:
            seconds: How long to sleep.
            for_propagation: Whether a permission has to propagate, which has a budget of two minutes.
        """
        cause = _PROPAGATION if for_propagation else _ANYTHING_ELSE
        left = min(self._left, self._ends - time.monotonic(), self._left_by_cause[cause])
        if left <= 0:
            return 0.0
        seconds = min(seconds, left)
        time.sleep(seconds)
        self._left -= seconds
        self._left_by_cause[cause] -= seconds
        return seconds


@dataclass(frozen=True)
class _RetryHint:
    """The message if retries are exhausted.

    Attributes:
        cause: The first sentence; None for the error's own message.
        fix: The second sentence.
        for_propagation: Whether to retry for two minutes only.
    """

    cause: str | None
    fix: str
    for_propagation: bool = False


_MISSING_PERMISSION = _RetryHint(
    "a permission is missing",
    "Check the policies of the role, the buckets and the key, and deploy again: a new policy takes a while to "
    "propagate",
    for_propagation=True,
)
_NOT_VISIBLE = _RetryHint(None, "Deploy again", for_propagation=True)
#: Omitted in a run, which waits by itself.
LIMIT_THE_JOBS = (
    ", or run fewer jobs at once: give them wait_for_completion, and call BatchSegmentJob.limit_concurrency"
)
_TRANSIENT = _RetryHint("AWS returned an unexpected response or none", "Deploy again later")
_SERVICE_BUSY = {
    "LimitExceededException": _RetryHint(
        f"Amazon Personalize runs {limits.MAX_JOBS_IN_FLIGHT} batch segment jobs at once, and the limit is reached",
        f"Deploy again when other jobs are complete{LIMIT_THE_JOBS}",
    ),
    "ResourceInUseException": _RetryHint(
        "the solution version or the filter is still being created", "Deploy again when it is ACTIVE"
    ),
}


def call_with_retries(
    operation: Callable[..., T], budget: RetryBudget, *, member: str | None = None, **request: Any
) -> T:
    """Calls a service, with retries while the error is transient.

    Args:
        operation: A method of a boto3 client, or a function that calls one.
        budget: How long to retry.
        member: A required member of the response.
        **request: The method's arguments.

    Raises:
        UnavailableError: Retries are exhausted.
        JobError: Retries for a missing permission are exhausted.
        ClientError: The error is not retryable.
    """
    attempts, waited, started = 0, 0.0, time.monotonic()
    while True:
        try:
            response = operation(**request)
            if member is not None and member not in cast(Mapping[str, Any], response):
                raise MalformedResponseError(f"{member} is not in {str(response)[:_MAX_RESPONSE_LENGTH]}")
            return response
        except (
            ClientError,
            ConnectionError,
            HTTPClientError,
            ResponseParserError,
            MalformedResponseError,
            NotVisibleError,
        ) as error:
            hint = _retry_hint(error)
            if hint is None:
                raise
            attempts += 1
            slept = budget.wait(_backoff(attempts, hint), for_propagation=hint.for_propagation)
            waited += slept
            summary = summarize(error)
            log.event("waited" if slept else "gave up", error=summary, attempt=attempts)
            if not slept:
                seconds = max(waited, time.monotonic() - started)
                tried = f"{attempts} {'attempt' if attempts == 1 else 'attempts'} in {seconds:.0f} seconds"
                error_type = JobError if hint.for_propagation else UnavailableError
                cause = f"{summary} ({tried})" if hint.cause is None else f"{hint.cause} ({summary}; {tried})"
                raise error_type(f"{cause}. {hint.fix}") from error


def _retry_hint(error: Exception) -> _RetryHint | None:
    """Returns the hint to show if retries are exhausted, or None if the error is not retryable."""
    if isinstance(error, NotVisibleError):
        return _NOT_VISIBLE
    if not isinstance(error, ClientError):
        return _TRANSIENT
    code, message = code_and_message(error)
    if code in ACCESS_DENIED:
        # An Allow that is still propagating does not override an explicit Deny.
        return None if EXPLICIT_DENY.search(message) else _MISSING_PERMISSION
    # The name of a job or role in an ARN can contain one of the words.
    if code == "InvalidInputException" and _MAY_BE_PROPAGATION.search(_ARN.sub("", message)):
        return _MISSING_PERMISSION
    # https://docs.aws.amazon.com/personalize/latest/dg/API_CreateBatchSegmentJob.html: "The limit on the number of
    # requests per second has been exceeded".
    if code == "LimitExceededException" and "per second" in message:
        return _TRANSIENT
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if status >= 500 or "Throttl" in code or code in ("TooManyRequestsException", "SlowDown", "RequestLimitExceeded"):
        return _TRANSIENT
    return _SERVICE_BUSY.get(code)


def _backoff(attempt: int, hint: _RetryHint) -> float:
    # Half fixed, half random ("equal jitter"): always a wait, and never the same for jobs that started together.
    longest = _MAX_PROPAGATION_WAIT_SECONDS if hint.for_propagation else _MAX_WAIT_SECONDS
    half = min(longest, 2.0**attempt) / 2
    return half + random.uniform(0, half)
