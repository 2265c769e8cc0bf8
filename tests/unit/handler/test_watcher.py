"""The start of the watcher of a job created at deploy time."""

import json
from typing import Any

import pytest
from batch_segment_handler.errors import JobError
from batch_segment_handler.handler import on_event
from botocore.stub import Stubber
from support.constants import ACCOUNT, REGION, VERSION
from support.events import (
    NAME,
    Context,
    arn,
    event,
    stub_create,
    stub_existing_job,
    stub_missing_job,
    stub_solution_version,
)

pytestmark = pytest.mark.usefixtures("clock")

WATCHER = f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:Watcher"
WATCHED = {"WatcherArn": WATCHER}
JOB = {"JobName": NAME, "JobArn": arn(), "OutputUri": f"s3://out/segments/{NAME}/"}
WEEK = 7 * 24 * 3600
REQUEST = {
    "stateMachineArn": WATCHER,
    "name": NAME,
    "input": json.dumps(
        {
            "Step": {"Payload": {"Status": "IN_PROGRESS", "Jobs": [JOB]}},
            "Run": {"Run": "", "SolutionVersionArn": VERSION, "Started": 1000, "Deadline": 1000 + WEEK},
        }
    ),
}


def stub_started(stepfunctions: Stubber) -> None:
    answer = {"executionArn": f"{WATCHER}:{NAME}", "startDate": 0}
    stepfunctions.add_response("start_execution", answer, REQUEST)


@pytest.mark.usefixtures("new_stack")
def test_starts_for_a_new_job(personalize: Stubber, stepfunctions: Stubber) -> None:
    stub_missing_job(personalize)
    stub_solution_version(personalize)
    stub_create(personalize)
    stub_started(stepfunctions)
    response = on_event(event(properties=WATCHED), Context())
    assert response["Data"]["JobName"] == NAME


@pytest.mark.parametrize("request_type", ["Create", "Update"])
def test_starts_for_a_job_in_progress(personalize: Stubber, stepfunctions: Stubber, request_type: str) -> None:
    stub_existing_job(personalize, status="CREATE IN_PROGRESS")
    stub_started(stepfunctions)
    on_event(event(request_type, properties=WATCHED), Context())


def test_redelivered_event_does_not_start_another(personalize: Stubber, stepfunctions: Stubber) -> None:
    stub_existing_job(personalize, status="CREATE IN_PROGRESS")
    stepfunctions.add_client_error("start_execution", "ExecutionAlreadyExists", "there", expected_params=REQUEST)
    assert on_event(event(properties=WATCHED), Context())["PhysicalResourceId"] == arn()


@pytest.mark.usefixtures("stepfunctions")
def test_does_not_start_for_an_active_job(personalize: Stubber) -> None:
    stub_existing_job(personalize)
    on_event(event(properties=WATCHED), Context())


@pytest.mark.usefixtures("stepfunctions")
def test_does_not_start_for_a_failed_job(personalize: Stubber) -> None:
    stub_existing_job(personalize, status="CREATE FAILED")
    stub_missing_job(personalize, f"{NAME}-2")
    on_event(event("Update", properties=WATCHED), Context())


@pytest.mark.usefixtures("stepfunctions")
def test_does_not_start_for_a_job_that_is_not_found(personalize: Stubber) -> None:
    stub_missing_job(personalize)
    response = on_event(event("Update", properties=WATCHED), Context())
    assert response["Data"]["Status"] == "UNKNOWN"


@pytest.mark.usefixtures("stepfunctions")
def test_does_not_start_without_a_watcher(personalize: Stubber) -> None:
    stub_existing_job(personalize, status="CREATE IN_PROGRESS")
    on_event(event(), Context())


def test_retries_while_step_functions_throttles(personalize: Stubber, stepfunctions: Stubber, clock: Any) -> None:
    stub_existing_job(personalize, status="CREATE IN_PROGRESS")
    stepfunctions.add_client_error("start_execution", "ThrottlingException", "Rate exceeded")
    stub_started(stepfunctions)
    on_event(event(properties=WATCHED), Context())
    assert clock.sleeps == [2]


@pytest.mark.usefixtures("new_stack")
def test_deployment_fails_if_the_watcher_is_gone(personalize: Stubber, stepfunctions: Stubber) -> None:
    stub_existing_job(personalize, status="CREATE IN_PROGRESS")
    stepfunctions.add_client_error("start_execution", "StateMachineDoesNotExist", "gone")
    with pytest.raises(JobError, match=r"^StartExecution failed with StateMachineDoesNotExist: gone\. Log group"):
        on_event(event(properties=WATCHED), Context())
