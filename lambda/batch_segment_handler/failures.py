"""Classifies errors: retries transient ones, explains the rest.

Operations and errors: https://docs.aws.amazon.com/personalize/latest/dg/API_CreateBatchSegmentJob.html.
"""

import random
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from botocore.exceptions import BotoCoreError, ClientError, ConnectionError, HTTPClientError
from botocore.parsers import ResponseParserError

from . import limits
from .log import log
from .text import json_length, printable, shorten

T = TypeVar("T")

#: A role or policy created seconds ago is not in force everywhere. AWS's own notebooks sleep for a minute
#: (aws-samples/amazon-personalize-samples, user_segmentation_example.ipynb).
LONGEST_PROPAGATION = 120.0
#: Bytes as JSON. CloudFormation takes a response of 4096 bytes
#: (https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/crpg-ref-responses.html), of which the
#: framework's stack trace and the identifiers need a part.
MAX_MESSAGE_BYTES = 2500
_MAX_ANSWER = 200
_MAX_SERVICE_MESSAGE = 1000
# A message that says that a permission may be missing: the role cannot be assumed, or its policy or the bucket's policy
# is not there. Observed: "Insufficient privileges for accessing data in S3. Please look at … and fix bucket policy on
# <bucket>".
_MAY_BE_PROPAGATION = re.compile(r"privilege|permission|assum|access denied|not authorized|bucket policy|trust", re.I)
_ARN = re.compile(r"arn:\S+")
_DOES_NOT_EXIST = re.compile(r"(?:does|do) not exist|not found|no such", re.I)
_ACCESS_DENIED = {"AccessDenied", "AccessDeniedException", "403"}
# The formats of the message: https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html, "… with
# an explicit deny in a service control policy".
_EXPLICIT_DENY = re.compile(r"explicit deny(?: in (?:an?|the) ([\w -]*?(?:policy|boundary)))?", re.I)
_FIX_OF_DENY = {
    "identity-based policy": "Change the Deny statement in the policies of the role",
    "resource-based policy": "Change the Deny statement in the policy of the bucket or the key",
    "permissions boundary": "Change the Deny statement in the permissions boundary of the role",
    "session policy": "Change the Deny statement in the session policy",
    "vpc endpoint policy": "Change the Deny statement in the policy of the VPC endpoint",
    "service control policy": "Ask the administrators of your organization for an exception",
    "resource control policy": "Ask the administrators of your organization for an exception",
}


class JobError(Exception):
    """A failure in words for the user; CloudFormation shows the message."""

    def __init__(self, message: str, *, log_group: str | None = None, max_bytes: int = MAX_MESSAGE_BYTES) -> None:
        """Makes the message fit, from its end: the important sentence comes first.

        Args:
            message: The message.
            log_group: The log group to name at the end.
            max_bytes: The message's length as JSON.
        """
        # Each list of faults keeps its lines; all else that does not print is somebody's data.
        text = "\n".join(printable(line, len(line) * 10) for line in message.split("\n"))
        end = "" if log_group is None else f" Log group: {log_group}."
        text = shorten(text, max_bytes - json_length(f".{end}") if end else max_bytes)
        super().__init__(f"{text}{'' if not end or text.endswith(('.', '…', '?')) else '.'}{end}")


class UnavailableError(JobError):
    """The service was throttling or unavailable until the retry budget ran out."""


class StackUnknownError(JobError):
    """CloudFormation could not be asked whether the stack is rolling back."""


class NotVisibleError(Exception):
    """A job that exists, as CreateBatchSegmentJob says, and that DescribeBatchSegmentJob does not find."""


class MalformedAnswerError(Exception):
    """An answer without a member that it must have; boto3 takes any text for an answer."""


class Patience:
    """The retry budget of one invocation.

    Sums sleep durations instead of reading only the clock, so that the local AWS can scale `time.sleep` without
    changing behavior.
    """

    def __init__(self, seconds: float) -> None:
        """Starts the budget.

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
            for_propagation: Whether a permission has to propagate, on which at most two minutes are spent.

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


@dataclass(frozen=True)
class _Retry:
    """How to explain an error that can pass by itself, if it does not.

    Attributes:
        cause: The first sentence; None if the error's own words are the sentence.
        fix: What the user can do.
        for_propagation: Whether two minutes are enough.
    """

    cause: str | None
    fix: str
    for_propagation: bool = False


_MISSING_PERMISSION = _Retry(
    "a permission is missing",
    "Check the policies of the role, the buckets and the key, and deploy again: a new policy takes a while to "
    "propagate",
    for_propagation=True,
)
_NOT_VISIBLE = _Retry(None, "Deploy again", for_propagation=True)
_TRANSIENT = _Retry("AWS returned an unexpected response or none", "Deploy again later")
_BUSY = {
    "LimitExceededException": _Retry(
        f"Amazon Personalize runs {limits.MAX_JOBS_IN_FLIGHT} batch segment jobs at once, and the limit is reached",
        "Deploy again when other jobs are complete, or chain the jobs: give them wait_for_completion, and let each "
        "depend on an earlier one (job.node.add_dependency(other_job))",
    ),
    "ResourceInUseException": _Retry(
        "the solution version or the filter is still being created", "Deploy again when it is ACTIVE"
    ),
}


def call(operation: Callable[..., T], patience: Patience, *, member: str | None = None, **request: Any) -> T:
    """Calls a service, with retries while the error can pass by itself.

    Args:
        operation: A method of a boto3 client, or a function that calls some.
        patience: How long to retry.
        member: A member that the answer must have.
        **request: The method's arguments.

    Raises:
        UnavailableError: The error did not pass in time; the message says what was retried and for how long.
        JobError: The same for a missing permission, which is retried for two minutes only.
        ClientError: Any other answer.
    """
    attempt, waited, started = 0, 0.0, time.monotonic()
    while True:
        try:
            answer = operation(**request)
            if member is not None and member not in cast(Mapping[str, Any], answer):
                raise MalformedAnswerError(f"{member} is not in {str(answer)[:_MAX_ANSWER]}")
            return answer
        except (
            ClientError,
            ConnectionError,
            HTTPClientError,
            ResponseParserError,
            MalformedAnswerError,
            NotVisibleError,
        ) as error:
            retry = _retry_of(error)
            if retry is None:
                raise
            attempt += 1
            longest = 15 if retry.for_propagation else 60
            before = patience.waited
            passed = patience.wait(_backoff(attempt, longest), for_propagation=retry.for_propagation)
            waited += patience.waited - before
            words = _words_of(error)
            log("waited" if passed else "gave up", error=words, attempt=attempt)
            if not passed:
                seconds = max(waited, time.monotonic() - started)
                tried = f"{attempt} {'attempt' if attempt == 1 else 'attempts'} in {seconds:.0f} seconds"
                error_type = JobError if retry.for_propagation else UnavailableError
                what = f"{words} ({tried})" if retry.cause is None else f"{retry.cause} ({words}; {tried})"
                raise error_type(f"{what}. {retry.fix}") from error


def _retry_of(error: Exception) -> _Retry | None:
    """Returns how to explain the error if retries are exhausted, or None if it is not retryable."""
    if isinstance(error, NotVisibleError):
        return _NOT_VISIBLE
    if not isinstance(error, ClientError):
        return _TRANSIENT
    code, message = _code_and_message(error)
    if code in _ACCESS_DENIED:
        # No allow that is still propagating outweighs an explicit deny.
        return None if _EXPLICIT_DENY.search(message) else _MISSING_PERMISSION
    # A job or a role may be called "trust" or "assumed".
    if code == "InvalidInputException" and _MAY_BE_PROPAGATION.search(_ARN.sub("", message)):
        return _MISSING_PERMISSION
    # API_CreateBatchSegmentJob: "The limit on the number of requests per second has been exceeded".
    if code == "LimitExceededException" and "per second" in message:
        return _TRANSIENT
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if status >= 500 or "Throttl" in code or code in ("TooManyRequestsException", "SlowDown", "RequestLimitExceeded"):
        return _TRANSIENT
    return _BUSY.get(code)


def says_that_it_does_not_exist(error: ClientError) -> bool:
    """Returns whether an InvalidInputException means that there is no such thing.

    ResourceNotFoundException is the documented answer
    (https://docs.aws.amazon.com/personalize/latest/dg/API_DescribeBatchSegmentJob.html), beside InvalidInputException.
    """
    return _DOES_NOT_EXIST.search(_code_and_message(error)[1]) is not None


def _code_and_message(error: ClientError) -> tuple[str, str]:
    details = error.response.get("Error", {})
    return details.get("Code", ""), details.get("Message", "")


def _said(message: str) -> str:
    # Whatever its length, there is room left for the fix.
    return shorten(printable(message, _MAX_SERVICE_MESSAGE), _MAX_SERVICE_MESSAGE)


def _words_of(error: Exception) -> str:
    if isinstance(error, ClientError):
        code, message = _code_and_message(error)
        return f"{error.operation_name}: {code}: {_said(message)}"
    if isinstance(error, NotVisibleError):
        return str(error)
    return f"{type(error).__name__}: {_said(str(error))}"


def _backoff(attempt: int, longest: float) -> float:
    # "Equal jitter": never so short that it is no wait, never the same for jobs that started together.
    ceiling = min(longest, 2.0**attempt)
    return ceiling / 2 + random.uniform(0, ceiling / 2)


def explain(error: Exception, properties: Mapping[str, Any]) -> JobError:
    """Explains a failure in words that name the property to change.

    Args:
        error: What was raised.
        properties: The resource's properties.
    """
    if isinstance(error, JobError):
        return error
    if isinstance(error, ClientError):
        return JobError(_explain_answer(error, properties))
    if isinstance(error, BotoCoreError):
        return JobError(f"AWS returned an unexpected response or none ({_words_of(error)})")
    return JobError(f"the handler failed: {type(error).__name__}: {printable(error)}")


#: What CreateBatchSegmentJob calls the properties.
_PROPERTY_BY_MEMBER = {
    "solutionVersionArn": "solution_version_arn",
    "filterArn": "filter_arn",
    "numResults": "num_results",
    "jobName": "job_name",
    "jobInput": "job_input",
    "jobOutput": "output_prefix",
    "tags": "tags",
}
_ARN_PROPERTIES = {
    "solution_version_arn": "SolutionVersionArn",
    "solution_arn": "SolutionArn",
    "filter_arn": "FilterArn",
}


def _explain_answer(error: ClientError, properties: Mapping[str, Any]) -> str:
    code, message = _code_and_message(error)
    said = _said(message)
    if code in _ACCESS_DENIED and (deny := _EXPLICIT_DENY.search(message)):
        kind = (deny[1] or "").lower()
        article = "an" if kind[:1] in "aeiou" else "a"
        policy = f"{article} {kind.replace('vpc', 'VPC')}" if kind else "a policy"
        fix = _FIX_OF_DENY.get(kind, "Find the Deny statement, which outweighs every Allow")
        return f"{error.operation_name} is explicitly denied by {policy}. {fix} ({code}: {said})"
    if code == "ResourceNotFoundException":
        arns = _arns_at_fault(error.operation_name, message, properties)
        if arns:
            missing = " or ".join(printable(arn) for arn in arns.values())
            return (
                f"{', '.join(arns)}: {missing} does not exist in this region and account ({code}: {said}). Check the "
                f"{'ARN' if len(arns) == 1 else 'ARNs'}"
            )
    if code == "TooManyTagsException":
        return f"tags: expected at most {limits.MAX_TAGS} ({code}: {said})"
    if code == "InvalidInputException":
        arns = (
            {}
            if error.operation_name == "CreateBatchSegmentJob"
            else _arns_at_fault(error.operation_name, message, properties)
        )
        named = [prop for member, prop in _PROPERTY_BY_MEMBER.items() if re.search(rf"\b{member}\b", message)]
        prop = next(iter(arns), None) or (named[0] if len(named) == 1 else None)
        reason = f"{prop}: {said} ({code})" if prop else f"Amazon Personalize rejects the request: {said} ({code})"
        return f"{reason}. {_sent(properties)}"
    return f"{error.operation_name} failed with {code}: {said}"


def _arns_at_fault(operation: str, message: str, properties: Mapping[str, Any]) -> dict[str, str]:
    """Returns by property the ARNs that an operation can have meant."""
    given = {prop: str(properties[key]) for prop, key in _ARN_PROPERTIES.items() if properties.get(key)}
    if operation in ("DescribeSolutionVersion", "ListSolutionVersions", "DescribeRecipe"):
        return {prop: arn for prop, arn in given.items() if prop != "filter_arn"}
    if operation == "DescribeFilter":
        return {prop: arn for prop, arn in given.items() if prop == "filter_arn"}
    if operation != "CreateBatchSegmentJob":
        return {}
    named = {prop: arn for prop, arn in given.items() if re.search(rf"{re.escape(arn)}(?![\w/-])", message)}
    return named or given


def _sent(properties: Mapping[str, Any]) -> str:
    sent = {
        **_ARN_PROPERTIES,
        "num_results": "NumResults",
        "output": "OutputPath",
        "role": "RoleArn",
    }
    return "Sent: " + ", ".join(
        f"{name} {printable(properties[key], 256)}" for name, key in sent.items() if key in properties
    )
