"""Updates in place, and deletion."""

from typing import Any

import pytest
from batch_segment_handler.handler import on_event
from botocore.stub import Stubber
from support.events import (
    NAME,
    ROLE,
    Context,
    answer,
    arn,
    derived_name,
    event,
    properties_with,
    stub_create,
    stub_existing_job,
    stub_missing_job,
    stub_solution_version,
    stub_stack,
)


def test_update_without_definition_change_keeps_the_job(personalize: Stubber, log: Any) -> None:
    stub_existing_job(personalize)
    old = properties_with(RoleArn="other")
    assert on_event(event("Update", OldResourceProperties=old), Context()) == answer(status="ACTIVE")
    assert log()[-1] == {"decision": "kept", "job": NAME, "status": "ACTIVE"}


def test_updates_tags_in_place(personalize: Stubber) -> None:
    stub_existing_job(personalize)
    personalize.add_response("untag_resource", {}, {"resourceArn": arn(), "tagKeys": ["gone"]})
    personalize.add_response(
        "tag_resource",
        {},
        {"resourceArn": arn(), "tags": [{"tagKey": "changed", "tagValue": "2"}, {"tagKey": "new", "tagValue": "3"}]},
    )
    old = [{"key": "same", "value": "0"}, {"key": "changed", "value": "1"}, {"key": "gone", "value": "1"}]
    new = [{"key": "same", "value": "0"}, {"key": "changed", "value": "2"}, {"key": "new", "value": "3"}]
    update = event("Update", properties={"Tags": new}, OldResourceProperties=properties_with(Tags=old))
    assert on_event(update, Context()) == answer(status="ACTIVE")


def test_definition_change_starts_another_job(personalize: Stubber, cloudformation: Stubber) -> None:
    name = derived_name(NumResults="10")
    stub_missing_job(personalize, name)
    for _ in range(2):
        stub_stack(cloudformation, "UPDATE_IN_PROGRESS")
    stub_solution_version(personalize)
    stub_create(personalize, name, numResults=10)
    assert on_event(event("Update", properties={"NumResults": "10"}), Context()) == answer(name)


def test_keeps_a_later_attempt(personalize: Stubber) -> None:
    stub_existing_job(personalize, f"{NAME}-2")
    update = event("Update", PhysicalResourceId=arn(f"{NAME}-2"))
    assert on_event(update, Context()) == answer(f"{NAME}-2", "ACTIVE")


@pytest.mark.parametrize("status", ["CREATE FAILED", "CREATE IN_PROGRESS", "SOMETHING NEW"])
def test_keeps_a_job_of_any_status(personalize: Stubber, status: str) -> None:
    stub_existing_job(personalize, status=status)
    if status == "CREATE FAILED":
        stub_missing_job(personalize, f"{NAME}-2")
    assert on_event(event("Update"), Context()) == answer(status=status)


def test_replaces_a_kept_failed_job_by_a_later_attempt(personalize: Stubber) -> None:
    # A rollback during an outage falls back to the first attempt.
    stub_existing_job(personalize, status="CREATE FAILED")
    stub_existing_job(personalize, f"{NAME}-2", status="CREATE FAILED")
    stub_existing_job(personalize, f"{NAME}-3")
    assert on_event(event("Update"), Context()) == answer(f"{NAME}-3", "ACTIVE")


def test_a_foreign_later_attempt_does_not_replace_a_kept_job(personalize: Stubber) -> None:
    stub_existing_job(personalize, status="CREATE FAILED")
    stub_existing_job(personalize, f"{NAME}-2", roleArn=f"{ROLE}2")
    stub_missing_job(personalize, f"{NAME}-3")
    assert on_event(event("Update"), Context()) == answer(status="CREATE FAILED")


def test_keeps_a_job_that_personalize_does_not_find(personalize: Stubber) -> None:
    stub_missing_job(personalize)
    assert on_event(event("Update"), Context()) == answer(status="UNKNOWN")


@pytest.mark.parametrize(
    "physical_id", [arn(), "AWSCDK::CustomResourceProviderFramework::CREATE_FAILED", "invented", arn("not-ours")]
)
def test_delete_calls_nothing(personalize: Stubber, physical_id: Any) -> None:
    got = on_event(event("Delete", PhysicalResourceId=physical_id), Context())
    assert got == {"PhysicalResourceId": physical_id}
