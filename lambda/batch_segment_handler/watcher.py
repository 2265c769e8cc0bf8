"""Starts the state machine that waits for a job created at deploy time and publishes its event."""

import json
import time

from . import clients
from .contract import FlatProperties, Response
from .descriptions import ACTIVE, has_failed
from .retries import RetryBudget, call_with_retries
from .workflow_contract import JobFacts, Progress, RunFacts

#: How long the watcher waits. The service documents no limit for a job.
_MAX_SECONDS = 7 * 24 * 3600


def watch(properties: FlatProperties, response: Response, budget: RetryBudget) -> None:
    """Starts the watcher if the job has one and is not complete.

    The execution has the job's name, so a redelivered event does not start another one. A job that is already complete
    gets no event.

    Args:
        properties: The job's properties.
        response: The response with the job.
        budget: How long to retry.
    """
    data = response["Data"]
    status = data["Status"]
    # "UNKNOWN": Personalize does not return the job.
    if "WatcherArn" not in properties or status in (ACTIVE, "UNKNOWN") or has_failed(status):
        return
    job: JobFacts = {
        "JobName": data["JobName"],
        "JobArn": response["PhysicalResourceId"],
        "OutputUri": data["OutputUri"],
    }
    now = int(time.time())
    progress: Progress = {"Status": "IN_PROGRESS", "Jobs": [job]}
    run: RunFacts = {
        "Run": "",
        "SolutionVersionArn": data["SolutionVersionArn"],
        "Started": now,
        "Deadline": now + _MAX_SECONDS,
    }
    client = clients.stepfunctions()
    try:
        call_with_retries(
            client.start_execution,
            budget,
            stateMachineArn=properties["WatcherArn"],
            name=data["JobName"],
            input=json.dumps({"Step": {"Payload": progress}, "Run": run}),
        )
    except client.exceptions.ExecutionAlreadyExists:
        return
