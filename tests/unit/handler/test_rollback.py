"""Rollbacks create nothing and never fail."""

from typing import Any

import pytest
from batch_segment_handler import handler
from batch_segment_handler.errors import JobError, StackUnknownError
from batch_segment_handler.handler import is_complete, on_event
from batch_segment_handler.results import QueryErrors
from batch_segment_handler.stack import Stack
from botocore.stub import Stubber
from support.constants import VERSION
from support.events import (
    LOG_GROUP,
    NAME,
    ROLE,
    WAIT,
    Context,
    answer,
    arn,
    derived_name,
    event,
    failure,
    stub_create,
    stub_errors,
    stub_existing_job,
    stub_missing_job,
    stub_solution_version,
    stub_stack,
    waiting,
)


def test_rollback_adopts_the_old_job(personalize: Stubber) -> None:
    stub_existing_job(personalize)
    rollback = event("Update", PhysicalResourceId=arn("Demo-ComedyFans-1A2B3C4D-ffffffffffff"))
    assert on_event(rollback, Context()) == answer(status="ACTIVE")


def test_rollback_adopts_a_job_with_another_role(personalize: Stubber, cloudformation: Stubber) -> None:
    stub_existing_job(personalize, roleArn=f"{ROLE}2")
    stub_missing_job(personalize, f"{NAME}-2")
    stub_stack(cloudformation, "UPDATE_ROLLBACK_IN_PROGRESS")
    update = event("Update", PhysicalResourceId=arn("another"), OldResourceProperties={})
    assert on_event(update, Context()) == answer(status="ACTIVE")


def test_rollback_to_a_failed_job_starts_nothing(personalize: Stubber, cloudformation: Stubber) -> None:
    stub_existing_job(personalize, status="CREATE FAILED")
    stub_missing_job(personalize, f"{NAME}-2")
    stub_stack(cloudformation, "UPDATE_ROLLBACK_IN_PROGRESS")
    rollback = event("Update", properties=WAIT, PhysicalResourceId=arn("newer"))
    assert on_event(rollback, Context()) == answer(status="CREATE FAILED")


def test_foreign_job_does_not_stop_a_rollback(personalize: Stubber, cloudformation: Stubber) -> None:
    stub_existing_job(personalize, solutionVersionArn=f"{VERSION}1")
    stub_missing_job(personalize, f"{NAME}-2")
    stub_stack(cloudformation, "UPDATE_ROLLBACK_IN_PROGRESS")
    rollback = event("Update", PhysicalResourceId=arn("newer"))
    assert on_event(rollback, Context()) == answer(f"{NAME}-2", "UNKNOWN")


def test_rollback_creates_nothing_if_the_old_job_is_gone(
    personalize: Stubber, cloudformation: Stubber, log: Any
) -> None:
    stub_missing_job(personalize)
    stub_stack(cloudformation, "UPDATE_ROLLBACK_IN_PROGRESS")
    rollback = event("Update", properties=WAIT, PhysicalResourceId=arn("newer"))
    assert on_event(rollback, Context()) == answer(status="UNKNOWN")
    assert log()[-1] == {"decision": "assumed", "job": NAME, "status": "UNKNOWN"}


def test_rollback_succeeds_if_personalize_is_unavailable(
    personalize: Stubber, cloudformation: Stubber, clock: Any
) -> None:
    stub_errors(personalize, "describe_batch_segment_job", "ThrottlingException", "Rate exceeded", 18)
    stub_stack(cloudformation, "UPDATE_ROLLBACK_IN_PROGRESS")
    assert on_event(event("Update", PhysicalResourceId=arn("newer")), Context()) == answer(status="UNKNOWN")


@pytest.mark.parametrize(
    ("code", "attempts", "cause"),
    [
        ("AccessDenied", 12, "a permission is missing (DescribeStacks: AccessDenied: no; 12 attempts in 120 seconds)"),
        (
            "Throttling",
            19,
            "AWS returned an unexpected response or none (DescribeStacks: Throttling: no; 19 attempts in 790 seconds)",
        ),
    ],
)
def test_creates_nothing_if_the_stack_is_unknown(
    personalize: Stubber, cloudformation: Stubber, clock: Any, code: str, attempts: int, cause: str
) -> None:
    name = derived_name(Trigger="2")
    stub_missing_job(personalize, name)
    stub_errors(cloudformation, "describe_stacks", code, "no", attempts)
    with pytest.raises(JobError) as failed:
        on_event(event("Update", properties={"Trigger": "2"}), Context())
    expected = f"cannot tell whether the stack is rolling back, so no job was created: {cause}. "
    assert str(failed.value).startswith(expected)
    assert str(failed.value).endswith(f" Log group: {LOG_GROUP}.")


def test_keeps_the_job_if_neither_service_answers(personalize: Stubber, cloudformation: Stubber, clock: Any) -> None:
    stub_errors(personalize, "describe_batch_segment_job", "ThrottlingException", "Rate exceeded", 18)
    stub_errors(cloudformation, "describe_stacks", "AccessDenied", "no", 12)
    assert on_event(event("Update"), Context()) == answer(status="UNKNOWN")


def test_retries_describe_stacks_in_a_rollback(personalize: Stubber, cloudformation: Stubber, clock: Any) -> None:
    stub_missing_job(personalize)
    stub_errors(cloudformation, "describe_stacks", "Throttling", "Rate exceeded", 3)
    stub_stack(cloudformation, "UPDATE_ROLLBACK_IN_PROGRESS")
    assert on_event(event("Update", PhysicalResourceId=arn("newer")), Context()) == answer(status="UNKNOWN")
    assert len(clock.sleeps) == 3


def test_lookup_of_the_stack_ends_in_time(cloudformation: Stubber, clock: Any) -> None:
    stub_errors(cloudformation, "describe_stacks", "Throttling", "Rate exceeded", 6)
    with pytest.raises(StackUnknownError):
        Stack(event("Update"), Context(seconds=100)).is_rolling_back()
    # Leaves 40 seconds for a call that hangs, and 10 for the response.
    assert sum(clock.sleeps) == 50


def test_creates_nothing_if_canceled_during_retries(personalize: Stubber, cloudformation: Stubber, clock: Any) -> None:
    name = derived_name(Trigger="2")
    stub_missing_job(personalize, name)
    stub_stack(cloudformation, "UPDATE_IN_PROGRESS")
    stub_solution_version(personalize)
    stub_stack(cloudformation, "UPDATE_IN_PROGRESS")
    personalize.add_client_error("create_batch_segment_job", "LimitExceededException", "5 jobs")
    for _ in range(2):
        stub_stack(cloudformation, "UPDATE_ROLLBACK_IN_PROGRESS")
    got = on_event(event("Update", properties={"Trigger": "2"}), Context())
    assert got == answer(name, "UNKNOWN")


def test_rollback_to_incomplete_properties_does_not_fail(cloudformation: Stubber) -> None:
    stub_stack(cloudformation, "UPDATE_ROLLBACK_IN_PROGRESS")
    got = on_event(event("Update", properties={"JobNamePrefix": None, "NewJobIfChanged": None}), Context())
    assert got["PhysicalResourceId"] == arn()
    assert set(got["Data"].values()) == {"UNKNOWN"}


def test_failed_wait_does_not_stop_a_rollback(personalize: Stubber, cloudformation: Stubber) -> None:
    stub_existing_job(personalize, status="CREATE FAILED")
    stub_stack(cloudformation, "UPDATE_ROLLBACK_IN_PROGRESS")
    assert is_complete(waiting("Update"), Context()) == {"IsComplete": True}


def test_query_errors_do_not_stop_a_rollback(
    personalize: Stubber, cloudformation: Stubber, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub_existing_job(personalize)
    monkeypatch.setattr(handler, "query_errors", lambda uri, seconds: QueryErrors(1234, 2, "no such item"))
    stub_stack(cloudformation, "UPDATE_ROLLBACK_IN_PROGRESS")
    assert is_complete(waiting("Update", MaxQueryErrors="0"), Context()) == {"IsComplete": True}


def test_response_tells_whether_the_event_created_the_job(personalize: Stubber, cloudformation: Stubber) -> None:
    name = derived_name(Trigger="2")
    stub_missing_job(personalize, name)
    stub_stack(cloudformation, "UPDATE_IN_PROGRESS", times=2)
    stub_solution_version(personalize)
    personalize.add_response("create_batch_segment_job", {"batchSegmentJobArn": arn(name)}, None)
    created = on_event(event("Update", properties={"Trigger": "2", "WaitSeconds": "60"}), Context())
    assert created.pop("Deadline") > 0
    assert created == {**answer(name), "Created": True}
    stub_existing_job(personalize, name)
    adopted = on_event(event(properties={"Trigger": "2", "WaitSeconds": "60"}), Context())
    assert "Created" not in adopted


@pytest.mark.parametrize("created", [True, False])
def test_fails_in_doubt_only_for_a_job_that_the_event_created(
    personalize: Stubber, cloudformation: Stubber, clock: Any, created: bool
) -> None:
    stub_existing_job(personalize, status="CREATE FAILED", failureReason="no data")
    stub_errors(cloudformation, "describe_stacks", "AccessDenied", "no", 12)
    update = {**waiting("Update"), **({"Created": True} if created else {})}
    if created:
        with pytest.raises(JobError, match="ended CREATE FAILED: no data"):
            is_complete(update, Context())
    else:
        assert is_complete(update, Context()) == {"IsComplete": True}


TAGS = {"Tags": [{"key": "team", "value": "growth"}]}


@pytest.mark.parametrize(
    ("code", "message", "times"),
    [
        ("ThrottlingException", "Rate exceeded", 18),
        ("AccessDeniedException", "no identity-based policy allows it", 12),
        ("AccessDeniedException", "with an explicit deny in a service control policy", 1),
        ("InvalidInputException", "aws: is reserved", 1),
    ],
)
@pytest.mark.parametrize("stack", ["UPDATE_ROLLBACK_IN_PROGRESS", None])
@pytest.mark.parametrize("current", ["newer", f"{NAME}-2"])
def test_rollback_succeeds_if_tagging_fails(
    personalize: Stubber,
    cloudformation: Stubber,
    clock: Any,
    log: Any,
    code: str,
    message: str,
    times: int,
    stack: str | None,
    current: str,
) -> None:
    if current == "newer":
        stub_existing_job(personalize, status="CREATE FAILED")
    stub_existing_job(personalize, f"{NAME}-2")
    stub_errors(personalize, "tag_resource", code, message, times)
    if stack:
        stub_stack(cloudformation, stack)
    else:
        stub_errors(cloudformation, "describe_stacks", "AccessDenied", "no", 12)
    rollback = event("Update", properties=TAGS, PhysicalResourceId=arn(current))
    assert on_event(rollback, Context()) == answer(f"{NAME}-2", "ACTIVE")
    (line,) = [line for line in log() if line["decision"] == "not tagged"]
    assert line["job"] == f"{NAME}-2"
    assert code in line["error"]


def test_failed_tagging_fails_an_update(personalize: Stubber, cloudformation: Stubber) -> None:
    stub_existing_job(personalize)
    personalize.add_client_error("tag_resource", "TooManyTagsException", "51")
    stub_stack(cloudformation, "UPDATE_IN_PROGRESS", times=2)
    with pytest.raises(JobError, match=r"^tags: expected at most 50"):
        on_event(event("Update", properties=TAGS), Context())


def test_rollback_prefers_the_attempt_with_the_role(personalize: Stubber) -> None:
    stub_existing_job(personalize, roleArn=f"{ROLE}2")
    stub_existing_job(personalize, f"{NAME}-2")
    assert on_event(event("Update", PhysicalResourceId=arn("newer")), Context()) == answer(f"{NAME}-2", "ACTIVE")


def test_rollback_prefers_another_role_to_a_failed_job(personalize: Stubber, cloudformation: Stubber) -> None:
    stub_existing_job(personalize, roleArn=f"{ROLE}2")
    stub_existing_job(personalize, f"{NAME}-2", status="CREATE FAILED")
    stub_missing_job(personalize, f"{NAME}-3")
    stub_stack(cloudformation, "UPDATE_ROLLBACK_IN_PROGRESS")
    assert on_event(event("Update", PhysicalResourceId=arn("newer")), Context()) == answer(status="ACTIVE")


def test_rollback_adopts_a_failed_job_with_another_role(personalize: Stubber, cloudformation: Stubber) -> None:
    stub_existing_job(personalize, roleArn=f"{ROLE}2", status="CREATE FAILED")
    stub_missing_job(personalize, f"{NAME}-2")
    stub_stack(cloudformation, "UPDATE_ROLLBACK_IN_PROGRESS")
    rollback = event("Update", PhysicalResourceId=arn("newer"))
    assert on_event(rollback, Context()) == answer(status="CREATE FAILED")


@pytest.mark.parametrize("stacks", [None, [None], [{}]])
def test_create_continues_if_the_stacks_status_is_malformed(
    personalize: Stubber, monkeypatch: pytest.MonkeyPatch, stacks: Any
) -> None:
    class CloudFormation:
        def describe_stacks(self, StackName: str) -> Any:  # noqa: N803 - the API's name
            return {"Stacks": stacks}

    monkeypatch.setattr("batch_segment_handler.clients.cloudformation", CloudFormation)
    stub_missing_job(personalize)
    stub_solution_version(personalize)
    stub_create(personalize)
    assert on_event(event(), Context()) == answer()


def test_rollback_adopts_a_failed_job_if_all_names_are_taken(personalize: Stubber, cloudformation: Stubber) -> None:
    for attempt in range(1, 100):
        stub_existing_job(personalize, NAME if attempt == 1 else f"{NAME}-{attempt}", status="CREATE FAILED")
    stub_stack(cloudformation, "UPDATE_ROLLBACK_IN_PROGRESS")
    got = on_event(event("Update", PhysicalResourceId=arn("newer")), Context())
    assert got == answer(f"{NAME}-99", "CREATE FAILED")


# -- a new resource

REFUSED = [
    ("ROLLBACK_IN_PROGRESS", "rolling back"),
    ("ROLLBACK_COMPLETE", "rolling back"),
    ("UPDATE_ROLLBACK_IN_PROGRESS", "rolling back"),
    ("UPDATE_ROLLBACK_COMPLETE", "rolling back"),
    ("DELETE_IN_PROGRESS", "being deleted"),
    ("DELETE_COMPLETE", "being deleted"),
]


@pytest.mark.parametrize(("status", "reason"), REFUSED)
def test_late_create_creates_nothing(personalize: Stubber, cloudformation: Stubber, status: Any, reason: Any) -> None:
    stub_missing_job(personalize)
    stub_solution_version(personalize)
    stub_stack(cloudformation, status)
    with pytest.raises(JobError) as failed:
        on_event(event(), Context())
    assert str(failed.value) == failure(f"the stack is {reason} ({status}), so no job was created")


@pytest.mark.parametrize(("status", "reason"), REFUSED)
def test_queued_create_creates_nothing_after_a_cancellation(
    personalize: Stubber, cloudformation: Stubber, clock: Any, status: Any, reason: Any
) -> None:
    stub_missing_job(personalize)
    stub_solution_version(personalize)
    stub_stack(cloudformation, "CREATE_IN_PROGRESS", times=2)
    stub_errors(personalize, "create_batch_segment_job", "LimitExceededException", "5 jobs", 2)
    stub_stack(cloudformation, status)
    with pytest.raises(JobError, match=f"^the stack is {reason} "):
        on_event(event(), Context())
    assert clock.sleeps == [2, 4]


def test_create_continues_if_the_stack_is_unknown(
    personalize: Stubber, cloudformation: Stubber, clock: Any, log: Any
) -> None:
    stub_missing_job(personalize)
    stub_solution_version(personalize)
    stub_errors(cloudformation, "describe_stacks", "Throttling", "Rate exceeded", 4)
    stub_create(personalize)
    assert on_event(event(), Context()) == answer()
    assert sum(clock.sleeps) == 10
    assert [line["decision"] for line in log()][-2:] == ["stack not known", "created"]


def test_update_in_a_stack_that_is_being_deleted_creates_nothing(personalize: Stubber, cloudformation: Stubber) -> None:
    name = derived_name(Trigger="2")
    stub_missing_job(personalize, name)
    stub_stack(cloudformation, "UPDATE_IN_PROGRESS")
    stub_solution_version(personalize)
    stub_stack(cloudformation, "DELETE_IN_PROGRESS", times=2)
    with pytest.raises(JobError, match=r"^the stack is being deleted \(DELETE_IN_PROGRESS\), so no job was created"):
        on_event(event("Update", properties={"Trigger": "2"}), Context())
