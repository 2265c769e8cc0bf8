"""Entry points for the state machines of `BatchSegmentWorkflow`, and of jobs with events: `start` and `describe`.

A step returns an expected failure as a response, whose detail the state machine publishes. The state machine catches
and reports any exception.
"""

import time
from typing import Any

from . import audiences, log, runs
from .events import seconds_left
from .lifecycle import RESERVED_SECONDS
from .retries import RetryBudget
from .workflow_contract import Completion, Preparation, Progress, TaskEvent

# The state machine waits longer between two steps. Its duration is not billed.
_MAX_WAIT = 10


def start(event: TaskEvent, context: Any) -> Preparation | Progress:
    """Prepares a run, or starts the next job of an audience.

    Args:
        event: The task ``Prepare`` or ``Start``, with its settings.
        context: The Lambda's context.
    """
    _begin(event)
    seconds = seconds_left(context) - RESERVED_SECONDS
    if event["Task"] == "Prepare":
        # Nothing else happens until the run is prepared, so wait here for a service that is unavailable.
        return runs.prepare(event, RetryBudget(seconds))
    # After the deadline, the next step fails with the reason of this step.
    max_wait = min(_MAX_WAIT, max(0, event["Run"]["Deadline"] - time.time()))
    return audiences.start(event, RetryBudget(seconds, max_wait=max_wait), context)


def describe(event: TaskEvent, context: Any) -> Progress | Completion:
    """Checks whether the job of an audience is complete, or reports a fault or the end of a run.

    Args:
        event: The task ``Describe``, ``ReportFault`` or ``Complete``, with its settings.
        context: The Lambda's context.
    """
    _begin(event)
    if event["Task"] == "Complete":
        return runs.complete(event)
    if event["Task"] == "ReportFault":
        return audiences.report_fault(event)
    return audiences.describe(event, RetryBudget(seconds_left(context) - RESERVED_SECONDS, max_wait=_MAX_WAIT), context)


def _begin(event: TaskEvent) -> None:
    settings = event["Settings"]
    audience = event["Audience"]["Name"] if "Audience" in event else ""
    log.begin_step(settings["StackId"], settings["Workflow"], audience)
    log.event("step", task=event["Task"], run=event["Run"]["Run"] if "Run" in event else None)
