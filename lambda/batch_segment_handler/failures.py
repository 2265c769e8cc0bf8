"""Which failure means what: wait for it to pass, or tell the user.

Operations and errors: https://docs.aws.amazon.com/personalize/latest/dg/API_CreateBatchSegmentJob.html.
"""

import random
import re
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

from botocore.exceptions import BotoCoreError, ClientError, ConnectionError, HTTPClientError
from botocore.parsers import ResponseParserError

from . import limits
from .log import log

T = TypeVar("T")

#: A role or policy made seconds ago is not in force everywhere; AWS's own notebooks sleep for a minute
#: (aws-samples/amazon-personalize-samples, user_segmentation_example.ipynb).
LONGEST_PROPAGATION = 120.0
# What an answer says when it may be for want of a permission: the role cannot be assumed, the role's policy or the
# bucket's policy is not there. Seen: "Insufficient privileges for accessing data in S3. Please look at … and fix bucket
# policy on <bucket>".
_MAY_BE_PROPAGATION = re.compile(r"privilege|permission|assum|access denied|not authorized|bucket policy|trust", re.I)
_ACCESS_DENIED = {"AccessDenied", "AccessDeniedException", "403"}
_BUSY = {
    "LimitExceededException": (
        f"the service's limit was reached (it runs {limits.MAX_JOBS_IN_FLIGHT} batch segment jobs at once): deploy "
        "again when other jobs are complete, or chain the jobs: give them wait_for_completion, and let each depend on "
        "an earlier one (job.node.add_dependency(other_job))"
    ),
    "ResourceInUseException": "the solution version or the filter is still being made: deploy again when it is ACTIVE",
}
_TRANSIENT = "AWS did not answer as it should; deploy again later"
#: Bytes. CloudFormation takes 4 KB of Reason, of which the framework's stack trace and CDK's words need a part.
_LONGEST_MESSAGE = 2500
_LONGEST_ANSWER = 200


class JobError(Exception):
    """A failure in words for the user; what CloudFormation shows."""

    def __init__(self, message: str) -> None:
        text = message.encode(errors="replace")
        cut = text[:_LONGEST_MESSAGE].decode(errors="ignore")
        super().__init__(message if len(text) <= _LONGEST_MESSAGE else f"{cut}…")


class UnavailableError(JobError):
    """A service that is busy or does not answer, for longer than could be waited."""


class Patience:
    """How long this invocation may still wait for something to pass.

    Counted in waits, and not by the clock alone, so that waits can be scaled where nothing real is waited for.
    """

    def __init__(self, seconds: float) -> None:
        """Starts to count.

        Args:
            seconds: How long to wait in all, for whatever reason.
        """
        self._ends = time.monotonic() + seconds
        self._propagation = min(seconds, LONGEST_PROPAGATION)
        self._left = seconds
        self.waited = 0.0

    def wait(self, seconds: float, *, for_propagation: bool) -> bool:
        """Waits, if there is time for it.

        Args:
            seconds: How long.
            for_propagation: Whether it is a permission that is waited for; only two minutes are spent on that.

        Returns:
            False if there was no time left, without having waited.
        """
        left = min(self._left, self._ends - time.monotonic())
        if for_propagation:
            left = min(left, self._propagation)
        if left <= 0:
            return False
        seconds = min(seconds, left)
        time.sleep(seconds)
        self._left -= seconds
        self.waited += seconds
        if for_propagation:
            self._propagation -= seconds
        return True


class MalformedAnswerError(Exception):
    """An answer that lacks what it must have; boto3 takes any text for an answer."""


def call(operation: Callable[..., T], patience: Patience, *, member: str | None = None, **request: Any) -> T:
    """Calls the service, again and again while the answer may pass by itself.

    Args:
        operation: A method of a boto3 client, or what calls some.
        patience: How long to go on.
        member: What the answer must have.
        **request: The method's arguments.

    Raises:
        UnavailableError: It did not pass in time; the message says what was waited for and how long.
        JobError: The same of a missing permission, which is waited for two minutes only.
        ClientError: Any other answer.
    """
    attempt, waited, started = 0, 0.0, time.monotonic()
    while True:
        try:
            answer = operation(**request)
            if member is not None and member not in cast(Mapping[str, Any], answer):
                raise MalformedAnswerError(f"{member} is not in {str(answer)[:_LONGEST_ANSWER]}")
            return answer
        except (ClientError, ConnectionError, HTTPClientError, ResponseParserError, MalformedAnswerError) as error:
            hint = _passes(error)
            if hint is None:
                raise
            attempt += 1
            propagation = hint == _PROPAGATES
            before = patience.waited
            passed = patience.wait(_backoff(attempt, longest=15 if propagation else 60), for_propagation=propagation)
            waited += patience.waited - before
            what = _what_failed(error)
            log("waited" if passed else "gave up", error=what, attempt=attempt)
            if not passed:
                seconds = max(waited, time.monotonic() - started)
                error_type = JobError if propagation else UnavailableError
                raise error_type(f"{what}; tried {attempt} times in {seconds:.0f} seconds - {hint}") from error


_PROPAGATES = (
    "a permission is missing, or was given only now: check the policies of the role, the buckets and the key, "
    "and deploy again"
)


def _passes(error: Exception) -> str | None:
    """What to tell the user if it does not pass by itself; None if it is known that it does not."""
    if not isinstance(error, ClientError):
        return _TRANSIENT
    code, message = _code_and_message(error)
    if code in _ACCESS_DENIED or (code == "InvalidInputException" and _MAY_BE_PROPAGATION.search(message)):
        return _PROPAGATES
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if status >= 500 or "Throttl" in code or code in ("TooManyRequestsException", "SlowDown", "RequestLimitExceeded"):
        return _TRANSIENT
    return _BUSY.get(code)


def _code_and_message(error: ClientError) -> tuple[str, str]:
    return error.response["Error"].get("Code", ""), error.response["Error"].get("Message", "")


def _what_failed(error: Exception) -> str:
    if isinstance(error, ClientError):
        code, message = _code_and_message(error)
        return f"{error.operation_name} failed with {code}: {message}"
    return f"no answer from AWS: {type(error).__name__}: {error}"


def _backoff(attempt: int, longest: float) -> float:
    # "Equal jitter": never so short that it is no wait, never the same for jobs that started together.
    ceiling = min(longest, 2.0**attempt)
    return ceiling / 2 + random.uniform(0, ceiling / 2)


def explain(error: Exception, properties: dict[str, Any]) -> JobError:
    """A failure in words that name the property to change.

    Args:
        error: What was raised.
        properties: The resource's properties.
    """
    if isinstance(error, JobError):
        return error
    if isinstance(error, ClientError):
        hint = _hint(_code_and_message(error)[0], properties)
        return JobError(f"{_what_failed(error)}{f' - {hint}' if hint else ''}")
    if isinstance(error, BotoCoreError):
        return JobError(_what_failed(error))
    return JobError(f"{type(error).__name__}: {error}")


def _hint(code: str, properties: dict[str, Any]) -> str:
    if code == "ResourceNotFoundException":
        named = {
            "solution_version_arn": properties.get("SolutionVersionArn"),
            "solution_arn": properties.get("SolutionArn"),
            "filter_arn": properties.get("FilterArn"),
        }
        given = ", ".join(f"{prop} {arn}" for prop, arn in named.items() if arn)
        return f"does it exist in this region and account? {given}"
    if code == "TooManyTagsException":
        return f"tags: expected at most {limits.MAX_TAGS}"
    if code == "InvalidInputException":
        return "what was sent: " + ", ".join(
            f"{name}={properties[name]}"
            for name in ("SolutionVersionArn", "SolutionArn", "FilterArn", "NumResults", "OutputPath", "RoleArn")
            if name in properties
        )
    return ""
