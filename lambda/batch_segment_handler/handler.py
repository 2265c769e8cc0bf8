"""Entry points for the CDK provider framework: `on_event` and `is_complete`.

https://docs.aws.amazon.com/cdk/api/v2/docs/aws-cdk-lib.custom_resources-readme.html#provider-framework
"""

import json
import time
from collections.abc import Mapping
from typing import Any, NoReturn

from botocore.exceptions import BotoCoreError, ClientError

from . import clients
from .failures import (
    LONGEST_PROPAGATION,
    MAX_MESSAGE_BYTES,
    JobError,
    Patience,
    StackUnknownError,
    UnavailableError,
    call,
    explain,
)
from .job import UNKNOWN, BatchSegmentJob, flatten, require
from .log import about, log, start
from .preflight import ACTIVE, failure_reason, has_failed, status_of
from .results import UNKNOWN as UNKNOWN_ERRORS
from .results import QueryErrors, query_errors
from .text import printable

Event = dict[str, Any]

# The reserve at the end of the Lambda's time: for a call that hangs, a look at the stack, and the answer.
_TIME_TO_ANSWER = 2 * clients.LONGEST_CALL + 20
# The reserve while the stack is looked at: for a call that hangs, and the answer.
_TIME_AFTER_LOOK = clients.LONGEST_CALL + 10
# CloudFormation waits an hour for the response, counted from before the handler is called:
# https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-cloudformation-customresource.html
_CLOUDFORMATION_WAITS = 3600 - 180
# For reading the errors in the output of a job that was complete at the last moment.
_TIME_TO_READ = 60
# https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref-responses.html: "The total size of the
# response body can't exceed 4096 bytes".
_MAX_RESPONSE_BYTES = 4096
# What the framework adds to a message: a line with a log group, and its stack trace.
_FRAMEWORK_BYTES = 800
_MIN_MESSAGE_BYTES = 500


def on_event(event: Event, context: Any) -> Event:
    """Creates, keeps or forgets the job.

    Args:
        event: CloudFormation's request, with all properties as strings.
        context: The Lambda's context.

    Returns:
        ``PhysicalResourceId`` (the job's ARN) and ``Data``. If `is_complete` has to look at the job, ``Deadline`` and
        whether this event has ``Created`` it as well.

    Raises:
        JobError: The resource cannot be provided; CloudFormation shows the message.
    """
    start(str(event.get("StackId", "")), str(event.get("LogicalResourceId", "")))
    log("received", request=event.get("RequestType"), id=event.get("PhysicalResourceId"))
    if event.get("RequestType") == "Delete":
        return on_delete(event)
    job = None
    try:
        _require_event(event)
        patience = Patience(_time_left(context) - _TIME_TO_ANSWER)
        job = BatchSegmentJob(_properties(event), event["StackId"], patience)
        require(job.properties)
        return _start_or_keep(job, event, context)
    except Exception as error:
        # A resource that keeps its job has nothing to undo.
        keeps = job is not None and _keeps(job, event)
        _fail_unless_rolling_back(error, event, context, in_doubt=not keeps)
        return _assume(job, event)


def _start_or_keep(job: BatchSegmentJob, event: Event, context: Any) -> Event:
    # A wrong value is reported before a job is created and billed.
    wait = _wait_seconds(job.properties)
    _ = job.max_query_errors
    started = time.time()
    answer = on_create(job) if event["RequestType"] == "Create" else on_update(job, event, context)
    status, is_new = answer["Data"]["Status"], answer.pop("Created", False)
    if wait is not None and status != UNKNOWN and not has_failed(status):
        # Start the clock now, not at invocation: time spent retrying does not count against the user's wait.
        answer["Deadline"] = int(min(time.time() + wait, started + _CLOUDFORMATION_WAITS))
        if is_new or _is_forward(job, event, context):
            answer["Created"] = True
    return answer


def _is_forward(job: BatchSegmentJob, event: Event, context: Any) -> bool:
    """Returns True for an update that adopts another job and is no rollback: in doubt, its wait fails as well."""
    if event["RequestType"] != "Update" or _keeps(job, event):
        return False
    try:
        return not _is_rolling_back(event, context)
    except StackUnknownError:
        return False


def on_create(job: BatchSegmentJob) -> Event:
    """Creates the job of a new resource, or adopts it when the event is redelivered."""
    return job.start(lambda: False)


def on_update(job: BatchSegmentJob, event: Event, context: Any) -> Event:
    """Keeps the job if what defines it is the same, else creates or adopts another one."""
    if _keeps(job, event):
        old = flatten(event.get("OldResourceProperties") or {})
        return job.keep(_name_of(event), old, lambda: _is_rolling_back(event, context))
    return job.start(lambda: _is_rolling_back(event, context))


def on_delete(event: Event) -> Event:
    """Leaves the job in place: jobs can be neither stopped nor deleted. Nothing is called and nothing can fail."""
    properties = event.get("ResourceProperties")
    output = flatten(properties).get("OutputPath") if isinstance(properties, Mapping) else None
    log("left in place", id=event.get("PhysicalResourceId"), output=output)
    return {"PhysicalResourceId": event["PhysicalResourceId"]} if "PhysicalResourceId" in event else {}


def is_complete(event: Event, context: Any) -> Event:
    """Checks whether the job is ACTIVE.

    Args:
        event: CloudFormation's request with what `on_event` returned.
        context: The Lambda's context.

    Returns:
        ``IsComplete``, and ``Data`` when it is.

    Raises:
        JobError: The job failed, has too many queries that failed, or is not complete in time.
    """
    if event.get("RequestType") == "Delete" or "Deadline" not in event:
        return {"IsComplete": True}
    start(str(event.get("StackId", "")), str(event.get("LogicalResourceId", "")))
    try:
        _require_event(event)
        name = _name_of(event)
        about(job=name)
        # Retry only as long as IAM propagation can take. For any other error, the framework calls `is_complete` again
        # shortly.
        patience = Patience(min(LONGEST_PROPAGATION, _time_left(context) - _TIME_TO_ANSWER))
        job = BatchSegmentJob(_properties(event), event["StackId"], patience)
        require(job.properties)
        return _check_job(job, name, event, context)
    except Exception as error:
        if isinstance(error, UnavailableError) and time.time() <= event["Deadline"]:
            log("not known", error=str(error))
            return {"IsComplete": False}
        # A rollback creates nothing.
        _fail_unless_rolling_back(error, event, context, in_doubt=bool(event.get("Created")))
    return {"IsComplete": True}


def _fail_unless_rolling_back(error: Exception, event: Event, context: Any, *, in_doubt: bool) -> None:
    """Raises the error explained, except in a rollback, which would leave the stack in UPDATE_ROLLBACK_FAILED.

    Args:
        error: What was raised.
        event: CloudFormation's request.
        context: The Lambda's context.
        in_doubt: Whether to raise if CloudFormation cannot say whether the stack is rolling back.
    """
    try:
        if isinstance(error, StackUnknownError):
            raise error
        fails = not _is_rolling_back(event, context)
    except StackUnknownError:
        fails = in_doubt
    explained = explain(error, _properties(event))
    if fails:
        log("failed", request=event.get("RequestType"), error=str(explained))
        _raise(explained, event, context)
    log("not failed", request=event.get("RequestType"), error=str(explained))


def _raise(error: JobError, event: Event, context: Any) -> NoReturn:
    # CDK's framework names a log group that does not exist: the handler's functions have a group of their own.
    envelope = {
        key: event.get(key) for key in ("StackId", "RequestId", "PhysicalResourceId", "LogicalResourceId", "Data")
    }
    taken = len(
        json.dumps({**envelope, "Status": "FAILED", "Reason": ""}, ensure_ascii=False, default=str).encode(
            "utf-8", "replace"
        )
    )
    room = max(_MIN_MESSAGE_BYTES, min(MAX_MESSAGE_BYTES, _MAX_RESPONSE_BYTES - _FRAMEWORK_BYTES - taken))
    # Without the chain, which Lambda would put before the message.
    raise type(error)(str(error), log_group=context.log_group_name, max_bytes=room) from None


def _check_job(job: BatchSegmentJob, name: str, event: Event, context: Any) -> Event:
    description = job.describe(name)
    status = UNKNOWN if description is None else status_of(description)
    if status == ACTIVE:
        log("complete")
        left = min(_time_left(context) - _TIME_TO_ANSWER, event["Deadline"] + _TIME_TO_READ - time.time())
        errors = query_errors(job.output_uri(name), left)
        _check_query_errors(job, name, errors)
        return {"IsComplete": True, "Data": {"Status": status, "QueryErrors": str(errors)}}
    if description is not None and has_failed(status):
        raise JobError(f"the job {name} ended {status}: {failure_reason(description)}")
    if time.time() > event["Deadline"]:
        raise JobError(
            f"wait_for_completion: the job {name} is {status} after {job.properties['WaitSeconds']} seconds. The job "
            "is still running and will be billed. Check it with: "
            f"aws personalize describe-batch-segment-job --batch-segment-job-arn {job.arn(name)}"
        )
    return {"IsComplete": False}


def _check_query_errors(job: BatchSegmentJob, name: str, found: QueryErrors) -> None:
    allowed = job.max_query_errors
    if allowed is None:
        return
    if found.errors > allowed:
        raise JobError(
            f"max_query_errors: {found.errors:,} of {found.queries:,} queries of the job {name} ended with an error, "
            f"expected at most {allowed:,}; the first: {found.first}. Correct the queries, or raise max_query_errors. "
            f"The job is complete and is billed; its segments are in {printable(job.output_uri(name))}"
        )
    if str(found) == UNKNOWN_ERRORS or not found.all_read:
        log("query errors not known", max_query_errors=allowed, errors=str(found))


def _keeps(job: BatchSegmentJob, event: Event) -> bool:
    try:
        return event.get("RequestType") == "Update" and job.is_named(_name_of(event))
    except KeyError:
        # The properties are incomplete; `require` says so.
        return False


def _assume(job: BatchSegmentJob | None, event: Event) -> Event:
    try:
        if job is not None:
            return job.assume(_name_of(event))
    except (KeyError, ValueError):
        log("assumed nothing", id=event.get("PhysicalResourceId"))
    # Properties without which there is no job, in a rollback, which must not fail.
    data = dict.fromkeys(("JobName", "OutputUri", "Status", "SolutionVersionArn", "QueryErrors"), UNKNOWN)
    return {"PhysicalResourceId": event["PhysicalResourceId"], "Data": data}


def _require_event(event: Event) -> None:
    members = ["StackId", "LogicalResourceId", "ResourceProperties"]
    if event.get("RequestType") == "Update":
        members.append("PhysicalResourceId")
    for member in members:
        if not event.get(member):
            raise JobError(f"{member} is missing from the event, expected a request of CloudFormation")
    if str(event["StackId"]).count(":") < 5:
        raise JobError(f"StackId: got {printable(event['StackId'])}, expected the ARN of a stack")


def _properties(event: Event) -> dict[str, Any]:
    properties = event.get("ResourceProperties")
    return flatten(properties) if isinstance(properties, Mapping) else {}


def _wait_seconds(properties: Mapping[str, Any]) -> float | None:
    wait = properties.get("WaitSeconds")
    try:
        return None if wait is None else float(wait)
    except ValueError:
        raise JobError(f"wait_for_completion: got {str(wait)[:50]!r}, expected a number of seconds") from None


def _name_of(event: Event) -> str:
    return str(event["PhysicalResourceId"].rpartition("/")[2])


def _time_left(context: Any) -> float:
    return float(context.get_remaining_time_in_millis()) / 1000


def _is_rolling_back(event: Event, context: Any) -> bool:
    """Returns True if this update is part of a rollback. The event does not say; only the stack's status does.

    Raises:
        StackUnknownError: CloudFormation cannot be asked.
    """
    if event.get("RequestType") != "Update":
        return False
    try:
        answer = call(
            clients.cloudformation().describe_stacks,
            Patience(_time_left(context) - _TIME_AFTER_LOOK),
            member="Stacks",
            StackName=event["StackId"],
        )
        (stack,) = answer["Stacks"]
    except (BotoCoreError, ClientError, JobError, KeyError, ValueError) as error:
        explained = explain(error, {})
        log("stack not known", error=str(explained))
        raise StackUnknownError(
            f"cannot tell whether the stack is rolling back, so no job was created: {explained}"
        ) from error
    return "ROLLBACK" in stack["StackStatus"]
