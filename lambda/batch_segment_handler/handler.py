"""The functions that CDK's provider framework calls: CloudFormation's words in, our words out.

https://docs.aws.amazon.com/cdk/api/v2/docs/aws-cdk-lib.custom_resources-readme.html#provider-framework
"""

import time
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from . import clients
from .failures import LONGEST_PROPAGATION, JobError, Patience, UnavailableError, explain
from .job import UNKNOWN, BatchSegmentJob
from .log import about, log, start
from .preflight import ACTIVE, failure_reason, has_failed
from .results import query_errors

Event = dict[str, Any]

# What is left of the Lambda's time when it gives up: for a call that hangs, a look at the stack, and the answer.
_TIME_TO_ANSWER = 2 * clients.LONGEST_CALL + 20
# CloudFormation waits an hour for the answer, counted from before we are called; ours has to come first.
_CLOUDFORMATION_WAITS = 3600 - 180
# For reading the errors in the output of a job that was complete at the last moment.
_TIME_TO_READ = 60


def on_event(event: Event, context: Any) -> Event:
    """Starts, keeps or forgets the job.

    Args:
        event: CloudFormation's request, with the properties all as strings.
        context: The Lambda's context.

    Returns:
        ``PhysicalResourceId`` (the job's ARN), ``Data``, and ``Deadline`` where `is_complete` has something to wait
        for or to look at.

    Raises:
        JobError: The resource cannot be had; the message is what the user sees.
    """
    request_type = event["RequestType"]
    start(event["StackId"], event["LogicalResourceId"])
    log("received", request=request_type, id=event.get("PhysicalResourceId"))
    if request_type == "Delete":
        return on_delete(event)
    patience = Patience(context.get_remaining_time_in_millis() / 1000 - _TIME_TO_ANSWER)
    job = BatchSegmentJob(event["ResourceProperties"], event["StackId"], patience)
    started = time.time()
    try:
        answer = on_create(job) if request_type == "Create" else on_update(job, event)
    except Exception as error:
        _fail_unless_rolling_back(error, event)
        return job.assume(_name_of(event))
    wait = event["ResourceProperties"].get("WaitSeconds")
    status = answer["Data"]["Status"]
    if wait is not None and status != UNKNOWN and not has_failed(status):
        # Not with what the handler itself has waited: the job was created only now.
        answer["Deadline"] = int(min(time.time() + float(wait), started + _CLOUDFORMATION_WAITS))
    return answer


def on_create(job: BatchSegmentJob) -> Event:
    """A new resource: the job is created, or adopted when the event is delivered again."""
    return job.start(lambda: False)


def on_update(job: BatchSegmentJob, event: Event) -> Event:
    """A changed resource: the same job if what defines it is the same, else another one."""
    name = _name_of(event)
    if job.is_named(name):
        return job.keep(name, event.get("OldResourceProperties") or {}, lambda: _is_rolling_back(event))
    return job.start(lambda: _is_rolling_back(event))


def on_delete(event: Event) -> Event:
    """A resource that goes: jobs can be neither stopped nor deleted, so nothing is called and nothing can fail."""
    log("left in place", id=event["PhysicalResourceId"], output=event["ResourceProperties"].get("OutputPath"))
    return {"PhysicalResourceId": event["PhysicalResourceId"]}


def is_complete(event: Event, context: Any) -> Event:
    """Looks whether the job is ACTIVE.

    Args:
        event: CloudFormation's request with what `on_event` returned.
        context: The Lambda's context.

    Returns:
        ``IsComplete``, and ``Data`` when it is.

    Raises:
        JobError: The job failed, or is not complete in time.
    """
    if event["RequestType"] == "Delete" or "Deadline" not in event:
        return {"IsComplete": True}
    start(event["StackId"], event["LogicalResourceId"])
    name = _name_of(event)
    about(job=name)
    # Long enough for a permission that was given only now; for all else the question is asked again soon.
    patience = Patience(min(LONGEST_PROPAGATION, context.get_remaining_time_in_millis() / 1000 - _TIME_TO_ANSWER))
    job = BatchSegmentJob(event["ResourceProperties"], event["StackId"], patience)
    try:
        return _look(job, name, event, context)
    except UnavailableError as error:
        if time.time() <= event["Deadline"]:
            log("not known", error=str(error))
            return {"IsComplete": False}
        _fail_unless_rolling_back(error, event)
    except Exception as error:
        _fail_unless_rolling_back(error, event)
    return {"IsComplete": True}


def _fail_unless_rolling_back(error: Exception, event: Event) -> None:
    explained = explain(error, event["ResourceProperties"])
    log("failed", request=event["RequestType"], error=str(explained))
    # What was is what will be; a rollback that fails would leave the stack stuck.
    if not _is_rolling_back(event):
        # Without the chain, which Lambda would put before the words that matter.
        raise explained from None


def _look(job: BatchSegmentJob, name: str, event: Event, context: Any) -> Event:
    description = job.describe(name)
    status = UNKNOWN if description is None else description["status"]
    if status == ACTIVE:
        log("complete")
        left = min(
            context.get_remaining_time_in_millis() / 1000 - _TIME_TO_ANSWER,
            event["Deadline"] + _TIME_TO_READ - time.time(),
        )
        errors = query_errors(job.output_uri(name), left)
        return {"IsComplete": True, "Data": {"Status": status, "QueryErrors": errors}}
    if description is not None and has_failed(status):
        raise JobError(f"the job {name} ended {status}: {failure_reason(description)}")
    if time.time() > event["Deadline"]:
        raise JobError(
            f"wait_for_completion: the job {name} is {status} after {event['ResourceProperties']['WaitSeconds']} "
            "seconds. It goes on and will be billed; look at it with: "
            f"aws personalize describe-batch-segment-job --batch-segment-job-arn {job.arn(name)}"
        )
    return {"IsComplete": False}


def _name_of(event: Event) -> str:
    return str(event["PhysicalResourceId"].rpartition("/")[2])


def _is_rolling_back(event: Event) -> bool:
    """Whether an update is one back to what was before; only the stack's status says so."""
    if event["RequestType"] != "Update":
        return False
    try:
        (stack,) = clients.cloudformation().describe_stacks(StackName=event["StackId"])["Stacks"]
    except (BotoCoreError, ClientError) as error:
        log("stack not known", error=str(error))
        return False
    return "ROLLBACK" in stack["StackStatus"]
