"""Jobs with an explicit name: adopted if the definition is the same, rejected otherwise."""

from typing import Any

import pytest
from batch_segment_handler.errors import JobError
from batch_segment_handler.handler import on_event
from botocore.stub import Stubber
from support.constants import FILTER, VERSION
from support.events import (
    EXPLICIT,
    ROLE,
    Context,
    answer,
    arn,
    description,
    event,
    failure,
    properties_with,
    stub_create,
    stub_errors,
    stub_existing_job,
    stub_missing_job,
    stub_solution_version,
    stub_stack,
)


def test_adopts_the_job_of_an_explicit_name(personalize: Stubber) -> None:
    stub_existing_job(personalize, "mine")
    assert on_event(event(properties=EXPLICIT), Context()) == answer("mine", "ACTIVE")


def test_adopts_an_explicit_job_after_normalizing(personalize: Stubber) -> None:
    output = {"s3DataDestination": {"path": "s3://out/segments/mine"}}
    stub_existing_job(personalize, "mine", jobOutput=output, filterArn="")
    assert on_event(event(properties=EXPLICIT), Context()) == answer("mine", "ACTIVE")


@pytest.mark.parametrize(
    ("properties", "details", "difference"),
    [
        ({}, {"solutionVersionArn": f"{VERSION}1"}, "solution version"),
        ({}, {"filterArn": FILTER}, "filter"),
        ({"NumResults": "10"}, {"numResults": 11}, "num_results"),
        ({}, {"jobInput": {"s3DataSource": {"path": "s3://in/other.jsonl"}}}, "input"),
        ({"InputKmsKeyArn": "key"}, {}, "input key"),
        ({}, {"jobOutput": {"s3DataDestination": {"path": "s3://out/other/"}}}, "output"),
        ({"OutputKmsKeyArn": "key"}, {}, "output key"),
    ],
)
@pytest.mark.parametrize("request_type", ["Create", "Update"])
def test_rejects_an_explicit_name_of_another_job(
    personalize: Stubber,
    cloudformation: Stubber,
    request_type: str,
    properties: dict[str, Any],
    details: dict[str, Any],
    difference: str,
) -> None:
    stub_existing_job(personalize, "mine", **details)
    update = {} if request_type == "Create" else {"PhysicalResourceId": arn("mine"), "OldResourceProperties": {}}
    if update:
        stub_stack(cloudformation, "UPDATE_IN_PROGRESS", times=2 if difference == "num_results" else 1)
    with pytest.raises(JobError) as failed:
        on_event(event(request_type, properties={**EXPLICIT, **properties}, **update), Context())
    assert str(failed.value) == failure(
        f"job_name: 'mine' is taken by another job ({arn('mine')}), which differs in {difference}. Names cannot be "
        "reused: choose another, or omit job_name"
    )


def test_rejects_an_explicit_name_of_a_job_with_another_role(personalize: Stubber) -> None:
    stub_existing_job(personalize, "mine", roleArn=f"{ROLE}2")
    with pytest.raises(JobError, match=r"'mine' is taken by another job .*, which differs in .*role"):
        on_event(event(properties=EXPLICIT), Context())


def test_create_rejects_an_explicit_name_of_a_failed_job(personalize: Stubber) -> None:
    stub_existing_job(personalize, "mine", status="CREATE FAILED", failureReason="bad input")
    with pytest.raises(JobError) as failed:
        on_event(event(properties=EXPLICIT), Context())
    assert str(failed.value) == failure(
        "job_name: 'mine' is taken by a job that ended CREATE FAILED: bad input. Names cannot be reused: "
        "choose another, or omit job_name"
    )


def test_update_rejects_an_explicit_name_of_a_failed_job(personalize: Stubber, cloudformation: Stubber) -> None:
    stub_existing_job(personalize, "mine", status="CREATE FAILED", failureReason="no data")
    for _ in range(2):
        stub_stack(cloudformation, "UPDATE_IN_PROGRESS")
    with pytest.raises(JobError, match=r"^job_name: 'mine' is taken by a job that ended CREATE FAILED: no data"):
        on_event(event("Update", properties=EXPLICIT, PhysicalResourceId=arn("newer")), Context())


def test_rejects_failed_explicit_job_if_the_stack_is_unknown(
    personalize: Stubber, cloudformation: Stubber, clock: Any
) -> None:
    stub_existing_job(personalize, "mine", status="CREATE FAILED")
    stub_errors(cloudformation, "describe_stacks", "AccessDenied", "no", 12)
    with pytest.raises(
        JobError, match=r"^cannot tell whether the stack is rolling back, so no job was created: a perm"
    ):
        on_event(event("Update", properties=EXPLICIT, PhysicalResourceId=arn("newer")), Context())


def test_update_without_change_does_not_compare_an_explicit_job(personalize: Stubber) -> None:
    stub_existing_job(
        personalize,
        "mine",
        jobInput={"s3DataSource": {"path": "s3://in/other.jsonl"}},
        solutionVersionArn=f"{VERSION}1",
    )
    personalize.add_response(
        "tag_resource", {}, {"resourceArn": arn("mine"), "tags": [{"tagKey": "a", "tagValue": "b"}]}
    )
    tags = {"Tags": [{"key": "a", "value": "b"}]}
    update = event(
        "Update",
        properties={**EXPLICIT, **tags},
        PhysicalResourceId=arn("mine"),
        OldResourceProperties=properties_with(**EXPLICIT),
    )
    assert on_event(update, Context()) == answer("mine", "ACTIVE", f"{VERSION}1")


def test_rollback_adopts_a_failed_explicit_job(personalize: Stubber, cloudformation: Stubber) -> None:
    stub_stack(cloudformation, "UPDATE_ROLLBACK_IN_PROGRESS")
    stub_existing_job(personalize, "mine", status="CREATE FAILED")
    rollback = event("Update", properties=EXPLICIT, PhysicalResourceId=arn("newer"))
    assert on_event(rollback, Context()) == answer("mine", "CREATE FAILED")


def test_rollback_creates_nothing_if_the_explicit_job_is_gone(personalize: Stubber, cloudformation: Stubber) -> None:
    stub_missing_job(personalize, "mine")
    stub_stack(cloudformation, "UPDATE_ROLLBACK_IN_PROGRESS")
    rollback = event("Update", properties=EXPLICIT, PhysicalResourceId=arn("newer"))
    assert on_event(rollback, Context()) == answer("mine", "UNKNOWN")


@pytest.mark.parametrize("described", [None, 100])
def test_rollback_that_removes_num_results_keeps_the_job(
    personalize: Stubber, cloudformation: Stubber, described: int | None
) -> None:
    # Personalize does not return the number, or its default is not the documented one.
    response = description("mine", numResults=described)
    if described is None:
        del response["batchSegmentJob"]["numResults"]
    personalize.add_response("describe_batch_segment_job", response, {"batchSegmentJobArn": arn("mine")})
    stub_stack(cloudformation, "UPDATE_ROLLBACK_IN_PROGRESS")
    old = properties_with(**EXPLICIT, NumResults="25")
    update = event("Update", properties=EXPLICIT, PhysicalResourceId=arn("mine"), OldResourceProperties=old)
    assert on_event(update, Context()) == answer("mine", "ACTIVE")


def test_removes_num_results_that_the_job_never_had(personalize: Stubber) -> None:
    stub_existing_job(personalize, "mine", numResults=25)
    old = properties_with(**EXPLICIT, NumResults="7")
    update = event("Update", properties=EXPLICIT, PhysicalResourceId=arn("mine"), OldResourceProperties=old)
    assert on_event(update, Context()) == answer("mine", "ACTIVE")


def test_rejects_removed_num_results_without_a_new_explicit_name(personalize: Stubber, cloudformation: Stubber) -> None:
    stub_existing_job(personalize, "mine", numResults=5000)
    stub_stack(cloudformation, "UPDATE_IN_PROGRESS")
    old = properties_with(**EXPLICIT, NumResults="5000")
    update = event("Update", properties=EXPLICIT, PhysicalResourceId=arn("mine"), OldResourceProperties=old)
    stub_stack(cloudformation, "UPDATE_IN_PROGRESS")
    with pytest.raises(JobError, match="which differs in num_results"):
        on_event(update, Context())


@pytest.mark.parametrize("described", [26, 500_000])
@pytest.mark.parametrize("request_type", ["Create", "Update"])
def test_rejects_an_explicit_job_with_more_results_than_default(
    personalize: Stubber, cloudformation: Stubber, request_type: str, described: int
) -> None:
    stub_existing_job(personalize, "mine", numResults=described)
    if request_type == "Update":
        stub_stack(cloudformation, "UPDATE_IN_PROGRESS")
    with pytest.raises(JobError, match=r"^job_name: 'mine' is taken by another job .*, which differs in num_results\."):
        on_event(event(request_type, properties=EXPLICIT), Context())


@pytest.mark.parametrize("described", [0, 10, 25])
def test_adopts_an_explicit_job_with_the_default_number(personalize: Stubber, described: int) -> None:
    stub_existing_job(personalize, "mine", numResults=described)
    assert on_event(event(properties=EXPLICIT), Context()) == answer("mine", "ACTIVE")


def test_rejects_a_changed_explicit_job_if_the_stack_is_unknown(
    personalize: Stubber, cloudformation: Stubber, clock: Any
) -> None:
    stub_existing_job(personalize, "mine")
    stub_errors(cloudformation, "describe_stacks", "AccessDenied", "no", 12)
    properties = {**EXPLICIT, "OutputPath": "s3://out/other/"}
    old = properties_with(**EXPLICIT)
    update = event("Update", properties=properties, PhysicalResourceId=arn("mine"), OldResourceProperties=old)
    with pytest.raises(JobError, match=r"^job_name: 'mine' is taken by another job .*, which differs in output\."):
        on_event(update, Context())


def test_compares_num_results_of_the_same_job_only(personalize: Stubber) -> None:
    stub_existing_job(personalize, "mine")
    old = properties_with(JobNamePrefix=None, JobName="newer", NumResults="5")
    update = event("Update", properties=EXPLICIT, PhysicalResourceId=arn("mine"), OldResourceProperties=old)
    assert on_event(update, Context()) == answer("mine", "ACTIVE")


def changed_update() -> dict[str, Any]:
    old = properties_with(**EXPLICIT)
    properties = {**EXPLICIT, "NumResults": "500"}
    return event("Update", properties=properties, PhysicalResourceId=arn("mine"), OldResourceProperties=old)


def test_changed_explicit_job_is_created_if_not_found(personalize: Stubber, cloudformation: Stubber) -> None:
    stub_missing_job(personalize, "mine")
    stub_missing_job(personalize, "mine")
    stub_solution_version(personalize)
    stub_create(personalize, "mine", numResults=500)
    stub_stack(cloudformation, "UPDATE_IN_PROGRESS", times=2)
    assert on_event(changed_update(), Context()) == answer("mine")


def test_changed_explicit_job_is_compared_if_found_late(
    personalize: Stubber, cloudformation: Stubber, clock: Any
) -> None:
    for _ in range(2):
        stub_missing_job(personalize, "mine")
    stub_solution_version(personalize)
    personalize.add_client_error("create_batch_segment_job", "ResourceAlreadyExistsException", "exists")
    stub_missing_job(personalize, "mine")
    stub_existing_job(personalize, "mine", numResults=25)
    stub_stack(cloudformation, "UPDATE_IN_PROGRESS", times=3)
    with pytest.raises(JobError, match=r"^job_name: 'mine' is taken by another job .*, which differs in num_results\."):
        on_event(changed_update(), Context())


def test_definition_change_rolled_back_creates_no_explicit_job(personalize: Stubber, cloudformation: Stubber) -> None:
    for _ in range(2):
        stub_missing_job(personalize, "mine")
    stub_stack(cloudformation, "UPDATE_ROLLBACK_IN_PROGRESS")
    assert on_event(changed_update(), Context()) == answer("mine", "UNKNOWN")


def test_changed_explicit_job_fails_if_the_stack_is_unknown(
    personalize: Stubber, cloudformation: Stubber, clock: Any
) -> None:
    for _ in range(2):
        stub_missing_job(personalize, "mine")
    stub_errors(cloudformation, "describe_stacks", "AccessDenied", "no", 12)
    with pytest.raises(JobError, match=r"^cannot tell whether the stack is rolling back, so no job was created: "):
        on_event(changed_update(), Context())


def test_keeps_an_unchanged_explicit_job_that_is_not_found(personalize: Stubber) -> None:
    stub_missing_job(personalize, "mine")
    old = properties_with(**EXPLICIT)
    update = event("Update", properties=EXPLICIT, PhysicalResourceId=arn("mine"), OldResourceProperties=old)
    assert on_event(update, Context()) == answer("mine", "UNKNOWN")
