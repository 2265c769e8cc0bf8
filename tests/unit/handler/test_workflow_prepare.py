"""The first step of a run: the solution version, the key and the deadline."""

import datetime
from typing import Any

import pytest
from batch_segment_handler import workflow
from botocore.stub import Stubber
from support.constants import SOLUTION, VERSION
from support.events import Context, stub_errors, stub_solution_version
from support.tasks import EXECUTION, WORKFLOW, prepare_task

CREATED = datetime.datetime(2026, 10, 31, 23, 30, 5, 999, tzinfo=datetime.timezone(datetime.timedelta(hours=-2)))


def stub_versions(personalize: Stubber, *versions: dict[str, Any]) -> None:
    personalize.add_response("list_solution_versions", {"solutionVersions": list(versions)}, {"solutionArn": SOLUTION})


def stub_latest_version(personalize: Stubber, **details: Any) -> None:
    stub_versions(personalize, {"solutionVersionArn": VERSION, "status": "ACTIVE"})
    stub_solution_version(personalize, **details)


def failed(reason: str) -> dict[str, Any]:
    detail = {"version": "1", "status": "FAILED", "workflow": WORKFLOW, "executionArn": EXECUTION}
    return {"Status": "FAILED", "Detail": {**detail, "total": 0, "succeeded": 0, "failed": 0, "reason": reason}}


def test_uses_the_newest_active_version(personalize: Stubber) -> None:
    old, new = CREATED - datetime.timedelta(days=7), CREATED + datetime.timedelta(days=7)
    stub_versions(
        personalize,
        {"solutionVersionArn": f"{SOLUTION}/old", "status": "ACTIVE", "creationDateTime": old},
        {"solutionVersionArn": VERSION, "status": "ACTIVE", "creationDateTime": CREATED},
        {"solutionVersionArn": f"{SOLUTION}/training", "status": "CREATE IN_PROGRESS", "creationDateTime": new},
    )
    stub_solution_version(personalize, creationDateTime=CREATED)
    assert workflow.start(prepare_task(), Context()) == {
        "Status": "READY",
        "Run": {"Run": "20261101T013005Z", "SolutionVersionArn": VERSION, "Started": 900, "Deadline": 4500},
    }


def test_names_a_run_by_its_version_if_that_has_no_time(personalize: Stubber) -> None:
    stub_latest_version(personalize)
    assert workflow.start(prepare_task(), Context())["Run"]["Run"] == "version-0123abcd"  # type: ignore[typeddict-item]


@pytest.mark.parametrize("given", [None, {}, {"run": None}, "text", []])
def test_names_a_run_of_any_version_by_its_start(personalize: Stubber, given: Any) -> None:
    stub_latest_version(personalize, creationDateTime=CREATED)
    response: Any = workflow.start(prepare_task(given, OnlyNewVersions=False), Context())
    assert response["Run"]["Run"] == "19700101T001500Z"


def test_names_a_run_of_any_version_by_the_scheduled_time(personalize: Stubber) -> None:
    stub_latest_version(personalize, creationDateTime=CREATED)
    task = prepare_task({"run": "2026-11-30T05:00:00+02:00"}, OnlyNewVersions=False)
    response: Any = workflow.start(task, Context())
    # The deadline counts from the start of the execution, so a run that starts late has all of its time.
    assert (response["Run"]["Run"], response["Run"]["Deadline"]) == ("20261130T030000Z", 4500)


def test_uses_the_given_version_without_a_search(personalize: Stubber) -> None:
    stub_solution_version(personalize, creationDateTime=CREATED)
    response: Any = workflow.start(prepare_task(SolutionVersionArn=VERSION, SolutionArn=None), Context())
    assert response["Run"]["SolutionVersionArn"] == VERSION


@pytest.mark.parametrize("given", ["tomorrow", "2026-11-30T03:00:00", "", 7])
def test_rejects_a_time_without_zone(personalize: Stubber, given: Any) -> None:
    expected = "expected a time with a time zone, for example 2026-11-30T03:00:00Z"
    response = workflow.start(prepare_task({"run": given}), Context())
    assert response == failed(f"run: got '{given}', {expected}")


def test_run_fails_if_no_version_is_active(personalize: Stubber, metrics: Any) -> None:
    stub_versions(personalize, {"solutionVersionArn": VERSION, "status": "CREATE FAILED"})
    reason = f"solution_arn: {SOLUTION} has no ACTIVE version; train one first"
    assert workflow.start(prepare_task(), Context()) == failed(reason)
    assert metrics() == [("JobsFailed", 1, {"Workflow": WORKFLOW})]


def test_run_fails_if_the_solution_is_gone(personalize: Stubber) -> None:
    stub_errors(personalize, "list_solution_versions", "ResourceNotFoundException", "gone", 1)
    assert workflow.start(prepare_task(), Context()) == failed(
        f"solution_arn: {SOLUTION} does not exist in this region and account (ResourceNotFoundException: gone). "
        "Check the ARN"
    )


def test_waits_for_a_service_that_is_unavailable(personalize: Stubber, clock: Any) -> None:
    stub_errors(personalize, "list_solution_versions", "ThrottlingException", "Rate exceeded", 3)
    stub_latest_version(personalize)
    assert workflow.start(prepare_task(), Context())["Status"] == "READY"
    assert clock.sleeps == [2, 4, 8]


def test_run_fails_if_the_service_stays_unavailable(personalize: Stubber, clock: Any) -> None:
    # The function has 300 seconds. It keeps 50 for a call that hangs and the response.
    stub_errors(personalize, "list_solution_versions", "ThrottlingException", "Rate exceeded", 10)
    response: Any = workflow.start(prepare_task(), Context(seconds=300))
    assert response["Detail"]["reason"].endswith("10 attempts in 250 seconds). Start the run again later")
    assert sum(clock.sleeps) == 250


def test_logs_the_step_and_its_result(personalize: Stubber, log: Any) -> None:
    stub_latest_version(personalize, creationDateTime=CREATED)
    workflow.start(prepare_task(), Context())
    assert [line["decision"] for line in log()] == ["step", "took latest version", "took version", "prepared"]
