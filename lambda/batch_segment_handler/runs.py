"""The first and the last step of a run of a workflow."""

import datetime
import time
from collections.abc import Mapping
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from . import details, faults, log, preflight
from .contract import FlatProperties
from .errors import JobError
from .retries import RetryBudget
from .text import quote
from .workflow_contract import Completion, Preparation, RunFacts, TaskEvent, WorkflowSettings

_RUN_KEY = "%Y%m%dT%H%M%SZ"


def prepare(event: TaskEvent, budget: RetryBudget) -> Preparation:
    """Determines the solution version and the key of a run, once for all audiences.

    Args:
        event: The task, with the input of the execution.
        budget: How long to retry.
    """
    settings = event["Settings"]
    try:
        run = _run_facts(event, budget)
    except (JobError, ClientError, BotoCoreError) as error:
        reason = faults.explain_in_run(error, _solution(settings))
        # An alarm on failed jobs must also cover a run without jobs.
        log.event("segments failed", reason=reason)
        return {"Status": "FAILED", "Detail": details.run_failed(settings, event["ExecutionArn"], None, reason)}
    log.event("prepared", run=run["Run"], version=run["SolutionVersionArn"])
    return {"Status": "READY", "Run": run}


def complete(event: TaskEvent) -> Completion:
    """Reports the end of a run: the numbers of its audiences, or the fault that ended it.

    Args:
        event: The task.
    """
    settings, execution_arn, run = event["Settings"], event["ExecutionArn"], event.get("Run")
    if run is None or "Fault" in event:
        reason = faults.reason_of(event["Fault"])
        log.event("segments failed", reason=reason)
        detail = details.run_failed(settings, execution_arn, run, reason)
    else:
        detail = details.run_completed(settings, execution_arn, run, event["Counts"])
    started = int(_time("StartTime", event["StartTime"]).timestamp())
    log.event("run completed", metric_value=max(0, int(time.time()) - started), **detail)
    return {"Detail": detail}


def _run_facts(event: TaskEvent, budget: RetryBudget) -> RunFacts:
    settings = event["Settings"]
    started = _time("StartTime", event["StartTime"])
    given = event["Input"].get("run") if isinstance(event["Input"], Mapping) else None
    scheduled = started if given is None else _time("run", given)
    prop, arn, version = preflight.solution_version(_solution(settings), budget)
    created = version.get("creationDateTime")
    if not settings["OnlyNewVersions"]:
        key = _run_key(scheduled)
    elif created is not None:
        key = _run_key(created)
    else:
        key = f"version-{arn.rpartition('/')[2]}"
    log.event("took version", of=prop, version=arn)
    return {
        "Run": key,
        "SolutionVersionArn": arn,
        "Started": int(started.timestamp()),
        "Deadline": int(started.timestamp()) + settings["TimeoutSeconds"],
    }


def _solution(settings: WorkflowSettings) -> FlatProperties:
    if "SolutionVersionArn" in settings:
        return {"SolutionVersionArn": settings["SolutionVersionArn"]}
    return {"SolutionArn": settings["SolutionArn"]}


def _run_key(time: datetime.datetime) -> str:
    return time.astimezone(datetime.UTC).strftime(_RUN_KEY)


def _time(name: str, text: Any) -> datetime.datetime:
    try:
        found = datetime.datetime.fromisoformat(text)
    except (TypeError, ValueError):
        found = None
    if found is None or found.tzinfo is None:
        raise JobError(
            f"{name}: got {quote(str(text))}, expected a time with a time zone, for example 2026-11-30T03:00:00Z"
        )
    return found
