"""The steps of an audience in a run: start its jobs one after another, and check whether they are complete."""

import datetime
import time
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from . import audience_job, details, faults, log, partitions, results
from .descriptions import ACTIVE, describe_job, failure_reason, has_failed, status_of
from .errors import JobError, UnavailableError
from .events import seconds_left
from .identity import JobIdentity
from .job import JobResource
from .lifecycle import RESERVED_SECONDS, RunLifecycle
from .retries import RetryBudget
from .text import printable
from .workflow_contract import JobFacts, Progress, SegmentsDetail, StepStatus, TaskEvent

_Expected = (JobError, ClientError, BotoCoreError)


def start(event: TaskEvent, budget: RetryBudget, context: Any) -> Progress:
    """Starts or adopts the next job of an audience.

    Args:
        event: The task.
        budget: How long to retry.
        context: The Lambda's context.

    Returns:
        ``IN_PROGRESS``, ``CHECK`` for an adopted job that is complete, ``BUSY`` if no job can run now, or ``FAILED``.
    """
    settings, item, run, progress = event["Settings"], event["Audience"], event["Run"], event["Progress"]
    jobs = progress["Jobs"]
    if time.time() > run["Deadline"]:
        because = f": {progress['Reason']}" if "Reason" in progress else ""
        return _failed(event, f"timeout: no job was started by {_utc(run['Deadline'])}{because}")
    properties = audience_job.job_properties(settings, item, len(jobs), run)
    identity = JobIdentity(properties, settings["StackId"])
    try:
        response = JobResource(identity, budget, RunLifecycle(context)).create_or_adopt()
    except UnavailableError as error:
        reason = faults.explain_in_run(error, properties)
        log.event("queued", reason=reason)
        return {"Status": "BUSY", "Jobs": jobs, "Reason": reason}
    except _Expected as error:
        return _failed(event, faults.explain_in_run(error, properties))
    data = response["Data"]
    started: JobFacts = {
        "JobName": data["JobName"],
        "JobArn": response["PhysicalResourceId"],
        "OutputUri": data["OutputUri"],
    }
    return {"Status": "CHECK" if data["Status"] == ACTIVE else "IN_PROGRESS", "Jobs": [*jobs, started]}


def describe(event: TaskEvent, budget: RetryBudget, context: Any) -> Progress:
    """Checks whether the last started job is complete.

    Args:
        event: The task. A job created at deploy time has no audience.
        budget: How long to retry.
        context: The Lambda's context.

    Returns:
        ``IN_PROGRESS``, ``NEXT_PART``, ``SUCCEEDED`` or ``FAILED``.
    """
    progress, run = event["Progress"], event["Run"]
    job, is_late = progress["Jobs"][-1], time.time() > run["Deadline"]
    log.bind(job=job["JobName"])
    try:
        description = describe_job(job["JobArn"], budget)
    except UnavailableError as error:
        if is_late:
            return _failed(event, faults.explain_in_run(error, {}))
        log.event("not known", error=str(error))
        return {"Status": "IN_PROGRESS", "Jobs": progress["Jobs"]}
    except _Expected as error:
        return _failed(event, faults.explain_in_run(error, {}))
    status = "unknown to Amazon Personalize" if description is None else status_of(description)
    if description is not None and has_failed(status):
        return _failed(event, f"the job {job['JobName']} ended {status}: {failure_reason(description)}")
    if description is not None and status == ACTIVE:
        # If the response has no time, the age is 0.
        written = description.get("lastUpdatedDateTime") or datetime.datetime.now(datetime.UTC)
        return _complete(event, written, budget, context)
    if is_late:
        reason = f"timeout: the job {job['JobName']} is {status} after {_utc(run['Deadline'])}"
        return _failed(event, f"{reason}. A running job continues and is billed")
    return {"Status": "IN_PROGRESS", "Jobs": progress["Jobs"]}


def report_fault(event: TaskEvent) -> Progress:
    """Reports the fault of another step.

    Args:
        event: The task, with the fault that the state machine caught.
    """
    return _failed(event, faults.reason_of(event["Fault"]))


def _complete(event: TaskEvent, written: datetime.datetime, budget: RetryBudget, context: Any) -> Progress:
    """Returns the progress after a job became ACTIVE."""
    *earlier, job = event["Progress"]["Jobs"]
    found = results.query_errors(job["OutputUri"], seconds_left(context) - 2 * RESERVED_SECONDS)
    if found.unreadable:
        return _failed(
            event,
            f"the output {printable(job['OutputUri'])} cannot be read: {found.unreadable}. The job {job['JobName']} is "
            "complete and is billed",
        )
    jobs: list[JobFacts] = [*earlier, {**job, "QueryErrors": str(found)}]
    settings, item, run = event["Settings"], event.get("Audience"), event["Run"]
    if item is not None and len(jobs) < len(item["Parts"]):
        return {"Status": "NEXT_PART", "Jobs": jobs}
    output_uri = job["OutputUri"]
    if item is not None:
        if len(jobs) > 1:
            output_uri = audience_job.segments_folder(settings, item, run)
        if "Table" in settings:
            try:
                partitions.register(settings["Table"], item["Name"], run, output_uri, budget)
            except _Expected as error:
                reason = faults.explain_in_run(error, {})
                return _failed(event, f"the segments are in {output_uri}, but not in the table: {reason}")
        _measure_age(written)
    log.event("segments succeeded", output=output_uri)
    return _ended("SUCCEEDED", jobs, details.succeeded(settings, item, run, jobs, output_uri))


def _failed(event: TaskEvent, reason: str) -> Progress:
    settings, item, run = event["Settings"], event.get("Audience"), event["Run"]
    jobs = event["Progress"]["Jobs"]
    log.event("segments failed", reason=reason)
    if item is not None:
        _measure_age_of_earlier_runs(event)
    return _ended("FAILED", jobs, details.failed(settings, item, run, jobs, reason))


def _ended(status: StepStatus, jobs: list[JobFacts], detail: SegmentsDetail) -> Progress:
    return {"Status": status, "Jobs": jobs, "Detail": detail}


def _measure_age_of_earlier_runs(event: TaskEvent) -> None:
    # The newest segments of a failed audience are from an earlier run, if any.
    settings, item, run = event["Settings"], event["Audience"], event["Run"]
    if "OutputPath" not in settings:
        return
    folder = audience_job.audience_folder(settings, item)
    try:
        written = results.newest_segments(folder, audience_job.run_folder(settings, item, run))
    except (ClientError, BotoCoreError) as error:
        # The metric is not worth a second failure.
        log.event("age not known", error=printable(error))
        return
    if written is not None:
        _measure_age(written)


def _measure_age(written: datetime.datetime) -> None:
    log.event("segment age", metric_value=max(0, int(time.time() - written.timestamp())))


def _utc(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
