"""Entry points for the CDK provider framework: `on_event` and `is_complete`.

https://docs.aws.amazon.com/cdk/api/v2/docs/aws-cdk-lib.custom_resources-readme.html#provider-framework
"""

import json
import time
from typing import Any, NoReturn

from . import clients, log
from .contract import Completion, Response
from .descriptions import ACTIVE, failure_reason, has_failed, status_of
from .errors import MAX_MESSAGE_BYTES, JobError, StackUnknownError, UnavailableError, explain
from .events import Event, job_name, require_members, seconds_left
from .identity import JobIdentity
from .job import UNKNOWN_STATUS, JobResource
from .parsing import flatten, max_query_errors, require, wait_seconds
from .results import ERRORS_UNKNOWN, QueryErrors, query_errors
from .retries import MAX_PROPAGATION_SECONDS, RetryBudget
from .stack import Stack
from .text import printable
from .watcher import watch

# For a last call that hangs, a lookup of the stack that hangs, and the response.
_RESERVED_SECONDS = 2 * clients.MAX_CALL_SECONDS + 20
# CloudFormation waits at most an hour for a response, including the time before the framework calls the handler:
# https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-cloudformation-customresource.html
_MAX_WAIT_SECONDS = 3600 - 180
# For reading the output of a job that became ACTIVE at the deadline.
_READ_SECONDS = 60
# https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref-responses.html: "The total size of the
# response body can't exceed 4096 bytes".
_MAX_RESPONSE_BYTES = 4096
# The framework adds a line with a log group and its stack trace to a message.
_FRAMEWORK_BYTES = 800
_MIN_MESSAGE_BYTES = 500


def on_event(event: Event, context: Any) -> Response:
    """Creates, adopts or updates the job; leaves it in place on deletion.

    Args:
        event: CloudFormation's request, with all properties as strings.
        context: The Lambda's context.

    Raises:
        JobError: The request fails. CloudFormation shows the message.
    """
    log.begin(str(event.get("StackId", "")), str(event.get("LogicalResourceId", "")))
    log.event("received", request=event.get("RequestType"), id=event.get("PhysicalResourceId"))
    if event.get("RequestType") == "Delete":
        # Personalize can neither stop nor delete a job. Without a call, deleting a stack never fails here.
        output = flatten(event.get("ResourceProperties")).get("OutputPath")
        log.event("left in place", id=event.get("PhysicalResourceId"), output=output)
        return {"PhysicalResourceId": event["PhysicalResourceId"]} if "PhysicalResourceId" in event else {}
    job, stack = None, Stack(event, context)
    try:
        require_members(event)
        job = _job(event, RetryBudget(seconds_left(context) - _RESERVED_SECONDS), stack)
        require(job.properties)
        return _create_or_update(job, event)
    except Exception as error:
        # If the stack's status is unknown, the event could be part of a rollback. Fail only an update that creates or
        # rejects a job.
        keeps = (
            job is not None
            and _keeps_job(job, event)
            and not job.changes_explicit_job(flatten(event.get("OldResourceProperties")))
            and not isinstance(error, StackUnknownError)
        )
        _raise_unless_rolling_back(error, event, context, stack, in_doubt=not keeps)
        return _respond_in_rollback(job, event)


def is_complete(event: Event, context: Any) -> Completion:
    """Checks whether the job is ACTIVE.

    Args:
        event: CloudFormation's request with the response of `on_event`.
        context: The Lambda's context.

    Raises:
        JobError: The job failed, too many queries failed, or the job is not complete in time.
    """
    if event.get("RequestType") == "Delete" or "Deadline" not in event:
        return {"IsComplete": True}
    log.begin(str(event.get("StackId", "")), str(event.get("LogicalResourceId", "")))
    stack = Stack(event, context)
    try:
        require_members(event)
        name = job_name(event)
        log.bind(job=name)
        # Retry only as long as IAM propagation can take. For any other error, the framework calls `is_complete` again
        # shortly.
        job = _job(event, RetryBudget(min(MAX_PROPAGATION_SECONDS, seconds_left(context) - _RESERVED_SECONDS)), stack)
        require(job.properties)
        return _check_job(job, name, event, context)
    except Exception as error:
        if isinstance(error, UnavailableError) and time.time() <= event["Deadline"]:
            log.event("not known", error=str(error))
            return {"IsComplete": False}
        # A rollback never creates a job.
        _raise_unless_rolling_back(error, event, context, stack, in_doubt=bool(event.get("Created")))
    return {"IsComplete": True}


def _job(event: Event, budget: RetryBudget, stack: Stack) -> JobResource:
    return JobResource(JobIdentity(flatten(event["ResourceProperties"]), event["StackId"]), budget, stack)


def _keeps_job(job: JobResource, event: Event) -> bool:
    try:
        return event.get("RequestType") == "Update" and job.identity.has_name(job_name(event))
    except KeyError:
        # The properties are incomplete; `require` reports it.
        return False


def _create_or_update(job: JobResource, event: Event) -> Response:
    # Reject invalid values before a job is created and billed.
    wait = wait_seconds(job.properties)
    max_query_errors(job.properties)
    started = time.time()
    is_update = event["RequestType"] == "Update"
    keeps = _keeps_job(job, event)
    if keeps:
        old = flatten(event.get("OldResourceProperties"))
        response = job.update_in_place(job_name(event), old)
    else:
        response = job.create_or_adopt()
    status, created = response["Data"]["Status"], response.pop("Created", False)
    watch(job.properties, response, job.budget)
    if wait is not None and status != UNKNOWN_STATUS and not has_failed(status):
        # Start the clock now, not at invocation: time spent retrying does not count against the user's wait.
        response["Deadline"] = int(min(time.time() + wait, started + _MAX_WAIT_SECONDS))
        if created or (is_update and not keeps and not job.lifecycle.may_be_rolling_back()):
            response["Created"] = True
    return response


def _respond_in_rollback(job: JobResource | None, event: Event) -> Response:
    try:
        if job is not None:
            return job.respond_without_lookup(job_name(event))
    except (KeyError, ValueError):
        log.event("assumed nothing", id=event.get("PhysicalResourceId"))
    # The old properties describe no job, and a rollback must not fail.
    return {
        "PhysicalResourceId": event["PhysicalResourceId"],
        "Data": {
            "JobName": UNKNOWN_STATUS,
            "OutputUri": UNKNOWN_STATUS,
            "Status": UNKNOWN_STATUS,
            "SolutionVersionArn": UNKNOWN_STATUS,
            "QueryErrors": UNKNOWN_STATUS,
        },
    }


def _raise_unless_rolling_back(error: Exception, event: Event, context: Any, stack: Stack, *, in_doubt: bool) -> None:
    """Raises the explained error, except in a rollback, where it would leave the stack in UPDATE_ROLLBACK_FAILED.

    If the stack's status is unknown, ``in_doubt`` decides.
    """
    try:
        if isinstance(error, StackUnknownError):
            raise error
        fails = not stack.is_rolling_back()
    except StackUnknownError:
        fails = in_doubt
    explained = explain(error, flatten(event.get("ResourceProperties")))
    log.event("failed" if fails else "not failed", request=event.get("RequestType"), error=str(explained))
    if fails:
        _raise(explained, event, context)


def _raise(error: JobError, event: Event, context: Any) -> NoReturn:
    envelope = {
        key: event.get(key) for key in ("StackId", "RequestId", "PhysicalResourceId", "LogicalResourceId", "Data")
    }
    text = json.dumps({**envelope, "Status": "FAILED", "Reason": ""}, ensure_ascii=False, default=str)
    used = len(text.encode("utf-8", "replace"))
    room = max(_MIN_MESSAGE_BYTES, min(MAX_MESSAGE_BYTES, _MAX_RESPONSE_BYTES - _FRAMEWORK_BYTES - used))
    # Name the log group: the framework's line names one that does not exist. `from None`, since Lambda would put the
    # chained exceptions before the message.
    raise type(error)(str(error), log_group=context.log_group_name, max_bytes=room) from None


def _check_job(job: JobResource, name: str, event: Event, context: Any) -> Completion:
    description = job.describe(name)
    status = UNKNOWN_STATUS if description is None else status_of(description)
    if status == ACTIVE:
        log.event("complete")
        seconds = min(seconds_left(context) - _RESERVED_SECONDS, event["Deadline"] + _READ_SECONDS - time.time())
        errors = query_errors(job.identity.output_uri(name), seconds)
        _check_query_errors(job, name, errors)
        return {"IsComplete": True, "Data": {"Status": status, "QueryErrors": str(errors)}}
    if description is not None and has_failed(status):
        raise JobError(f"the job {name} ended {status}: {failure_reason(description)}")
    if time.time() > event["Deadline"]:
        raise JobError(
            f"wait_for_completion: the job {name} is {status} after {job.properties['WaitSeconds']} seconds. The job "
            "is still running and will be billed. Check it with: "
            f"aws personalize describe-batch-segment-job --batch-segment-job-arn {job.identity.arn(name)}"
        )
    return {"IsComplete": False}


def _check_query_errors(job: JobResource, name: str, found: QueryErrors) -> None:
    allowed = max_query_errors(job.properties)
    if allowed is None:
        return
    if found.errors > allowed:
        raise JobError(
            f"max_query_errors: {found.errors:,} of {found.queries:,} queries of the job {name} ended with an error, "
            f"expected at most {allowed:,}; the first: {found.first}. Correct the queries, or raise max_query_errors. "
            f"The job is complete and is billed; its segments are in {printable(job.identity.output_uri(name))}"
        )
    if str(found) == ERRORS_UNKNOWN or not found.all_read:
        log.event("query errors not known", max_query_errors=allowed, errors=str(found))
