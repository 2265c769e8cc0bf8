"""The handler's error types, and error messages that name the property to change."""

import re
from collections.abc import Mapping
from typing import Literal

from botocore.exceptions import BotoCoreError, ClientError

from . import limits
from .contract import FlatProperties
from .text import json_length, printable, shorten

#: In bytes of JSON. A response to CloudFormation has at most 4096
#: (https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref-responses.html), with the framework's stack
#: trace and the identifiers.
MAX_MESSAGE_BYTES = 2500
# Leaves room for the hint, whatever the length of the service's message.
_MAX_SERVICE_MESSAGE = 1000
ACCESS_DENIED = {"AccessDenied", "AccessDeniedException", "403"}
#: The message formats: https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html, "… with an
#: explicit deny in a service control policy".
EXPLICIT_DENY = re.compile(r"explicit deny(?: in (?:an?|the) ([\w -]*?(?:policy|boundary)))?", re.I)
_FIX_OF_DENY = {
    "identity-based policy": "Change the Deny statement in the policies of the role",
    "resource-based policy": "Change the Deny statement in the policy of the bucket or the key",
    "permissions boundary": "Change the Deny statement in the permissions boundary of the role",
    "session policy": "Change the Deny statement in the session policy",
    "vpc endpoint policy": "Change the Deny statement in the policy of the VPC endpoint",
    "service control policy": "Ask the administrators of your organization for an exception",
    "resource control policy": "Ask the administrators of your organization for an exception",
}
_DOES_NOT_EXIST = re.compile(r"(?:does|do) not exist|not found|no such", re.I)
# The construct's properties, by member of CreateBatchSegmentJob.
_PROPERTY_BY_MEMBER = {
    "solutionVersionArn": "solution_version_arn",
    "filterArn": "filter_arn",
    "numResults": "num_results",
    "jobName": "job_name",
    "jobInput": "job_input",
    "jobOutput": "output_prefix",
    "tags": "tags",
}
_ArnProperty = Literal["SolutionVersionArn", "SolutionArn", "FilterArn"]
_ARN_PROPERTIES: Mapping[str, _ArnProperty] = {
    "solution_version_arn": "SolutionVersionArn",
    "solution_arn": "SolutionArn",
    "filter_arn": "FilterArn",
}
_SENT_PROPERTIES: Mapping[str, _ArnProperty | Literal["NumResults", "OutputPath", "RoleArn"]] = {
    **_ARN_PROPERTIES,
    "num_results": "NumResults",
    "output": "OutputPath",
    "role": "RoleArn",
}


class JobError(Exception):
    """An error whose message CloudFormation shows to the user."""

    def __init__(self, message: str, *, log_group: str | None = None, max_bytes: int = MAX_MESSAGE_BYTES) -> None:
        """Shortens a message to its maximum length in JSON, and adds the log group."""
        # Lists of faults have several lines. Any other unprintable character comes from outside.
        text = "\n".join(printable(line, len(line) * 10) for line in message.split("\n"))
        end = "" if log_group is None else f" Log group: {log_group}."
        text = shorten(text, max_bytes - json_length(f".{end}") if end else max_bytes)
        super().__init__(f"{text}{'' if not end or text.endswith(('.', '…', '?')) else '.'}{end}")


class UnavailableError(JobError):
    """The service was throttling or unavailable until the retry budget ran out."""


class StackUnknownError(JobError):
    """The status of the stack is unknown."""


class NotVisibleError(Exception):
    """CreateBatchSegmentJob reports that the job exists, but DescribeBatchSegmentJob does not find it."""


class MalformedResponseError(Exception):
    """A response without a required member. boto3 does not check responses."""


def code_and_message(error: ClientError) -> tuple[str, str]:
    """Returns the code and the message of a service's error; "" if missing."""
    details = error.response.get("Error", {})
    return details.get("Code", ""), details.get("Message", "")


def means_not_found(error: ClientError) -> bool:
    """Returns whether an InvalidInputException means that the resource does not exist.

    https://docs.aws.amazon.com/personalize/latest/dg/API_DescribeBatchSegmentJob.html lists this error and
    ResourceNotFoundException.
    """
    return _DOES_NOT_EXIST.search(code_and_message(error)[1]) is not None


def summarize(error: Exception) -> str:
    """Returns the operation, code and message of an error, escaped and shortened."""
    if isinstance(error, ClientError):
        code, message = code_and_message(error)
        return f"{error.operation_name}: {code}: {_cut(message)}"
    if isinstance(error, NotVisibleError):
        return str(error)
    return f"{type(error).__name__}: {_cut(str(error))}"


def explain(error: Exception, properties: FlatProperties) -> JobError:
    """Returns an error whose message names the property to change."""
    if isinstance(error, JobError):
        return error
    if isinstance(error, ClientError):
        return JobError(_explain_client_error(error, properties))
    if isinstance(error, BotoCoreError):
        return JobError(f"AWS returned an unexpected response or none ({summarize(error)})")
    return JobError(f"the handler failed: {type(error).__name__}: {printable(error)}")


def _cut(message: str) -> str:
    return shorten(printable(message, _MAX_SERVICE_MESSAGE), _MAX_SERVICE_MESSAGE)


def _explain_client_error(error: ClientError, properties: FlatProperties) -> str:
    operation = error.operation_name
    code, full_message = code_and_message(error)
    message = _cut(full_message)
    if code in ACCESS_DENIED and (deny := EXPLICIT_DENY.search(full_message)):
        kind = (deny[1] or "").lower()
        article = "an" if kind[:1] in "aeiou" else "a"
        policy = f"{article} {kind.replace('vpc', 'VPC')}" if kind else "a policy"
        fix = _FIX_OF_DENY.get(kind, "Find the Deny statement, which overrides every Allow")
        return f"{operation} is explicitly denied by {policy}. {fix} ({code}: {message})"
    arns = _arns_at_fault(operation, full_message, properties)
    if code == "ResourceNotFoundException" and arns:
        missing = " or ".join(printable(arn) for arn in arns.values())
        return (
            f"{', '.join(arns)}: {missing} does not exist in this region and account ({code}: {message}). Check the "
            f"{'ARN' if len(arns) == 1 else 'ARNs'}"
        )
    if code == "TooManyTagsException":
        return f"tags: expected at most {limits.MAX_TAGS} ({code}: {message})"
    sent = ", ".join(
        f"{name} {printable(properties[key], 256)}" for name, key in _SENT_PROPERTIES.items() if key in properties
    )
    if code == "InvalidInputException" and sent:
        named = [prop for member, prop in _PROPERTY_BY_MEMBER.items() if re.search(rf"\b{member}\b", full_message)]
        prop = named[0] if len(named) == 1 else None
        if arns and operation != "CreateBatchSegmentJob":
            prop = next(iter(arns))
        return f"{prop or 'Amazon Personalize rejected the request'}: {message} ({code}). Sent: {sent}"
    return f"{operation} failed with {code}: {message}"


def _arns_at_fault(operation: str, message: str, properties: FlatProperties) -> dict[str, str]:
    """Returns the ARNs that can cause an operation's error, by property of the construct."""
    given = {prop: str(properties[key]) for prop, key in _ARN_PROPERTIES.items() if properties.get(key)}
    if operation in ("DescribeSolutionVersion", "ListSolutionVersions", "DescribeRecipe"):
        return {prop: arn for prop, arn in given.items() if prop != "filter_arn"}
    if operation == "DescribeFilter":
        return {prop: arn for prop, arn in given.items() if prop == "filter_arn"}
    if operation != "CreateBatchSegmentJob":
        return {}
    named = {prop: arn for prop, arn in given.items() if re.search(rf"{re.escape(arn)}(?![\w/-])", message)}
    return named or given
