"""Which existing jobs the handler adopts."""

from typing import Any

import pytest
from batch_segment_handler.adoption import differences
from batch_segment_handler.errors import JobError
from batch_segment_handler.handler import on_event
from botocore.stub import Stubber
from support.constants import FILTER, SOLUTION, VERSION
from support.events import (
    NAME,
    ROLE,
    Context,
    answer,
    arn,
    derived_name,
    description,
    event,
    failure,
    identity_with,
    stub_any_create,
    stub_existing_job,
    stub_missing_job,
    stub_solution_version,
)

pytestmark = pytest.mark.usefixtures("new_stack")

OTHER_INPUT = {"s3DataSource": {"path": "s3://in/other.jsonl"}}
OTHER_OUTPUT = {"s3DataDestination": {"path": "s3://theirs/segments/"}}
FOREIGN = [
    ({}, {"solutionVersionArn": f"{VERSION}1"}, "solution version"),
    (
        {"SolutionVersionArn": None, "SolutionArn": SOLUTION},
        {"solutionVersionArn": f"{SOLUTION}2/1"},
        "solution version",
    ),
    ({}, {"filterArn": FILTER}, "filter"),
    ({"FilterArn": FILTER}, {"filterArn": ""}, "filter"),
    ({"NumResults": "10"}, {"numResults": 11}, "num_results"),
    ({}, {"jobInput": OTHER_INPUT}, "input"),
    ({"InputKmsKeyArn": "key"}, {}, "input key"),
    ({}, {"jobOutput": OTHER_OUTPUT}, "output"),
    ({"OutputKmsKeyArn": "key"}, {}, "output key"),
    ({}, {"roleArn": f"{ROLE}2"}, "role"),
]


@pytest.mark.parametrize(("properties", "details", "difference"), FOREIGN)
def test_does_not_adopt_a_foreign_job_with_a_derived_name(
    personalize: Stubber, log: Any, properties: Any, details: Any, difference: Any
) -> None:
    name = derived_name(**properties)
    stub_existing_job(personalize, name, **details)
    stub_missing_job(personalize, f"{name}-2")
    if "SolutionArn" in properties:
        version = {"solutionVersionArn": VERSION, "status": "ACTIVE"}
        personalize.add_response("list_solution_versions", {"solutionVersions": [version]}, {"solutionArn": SOLUTION})
    stub_solution_version(personalize)
    if "FilterArn" in properties:
        personalize.add_response("describe_filter", {"filter": {"filterArn": FILTER, "status": "ACTIVE"}}, None)
    stub_any_create(personalize, f"{name}-2")
    assert on_event(event(properties=properties), Context()) == answer(f"{name}-2")
    (line,) = [line for line in log() if line["decision"] == "foreign job"]
    assert line == {"decision": "foreign job", "job": name, "differs": [difference], "arn": arn(name)}


@pytest.mark.parametrize(
    "details",
    [
        {"jobOutput": {"s3DataDestination": {"path": f"s3://out/segments/{NAME}"}}},
        {"jobOutput": {"s3DataDestination": {"path": f"S3://out/segments/{NAME}/", "kmsKeyArn": ""}}},
        {"jobInput": {"s3DataSource": {"path": "s3://in/queries.jsonl/", "kmsKeyArn": ""}}},
        {"filterArn": ""},
        {"numResults": 25},
        {"numResults": 0},
        {
            "roleArn": "",
            "solutionVersionArn": "",
            "jobInput": {"s3DataSource": {"path": ""}},
            "jobOutput": {"s3DataDestination": {"path": ""}},
        },
    ],
)
def test_adopts_a_job_that_is_described_in_another_form(personalize: Stubber, details: dict[str, Any]) -> None:
    stub_existing_job(personalize, status="ACTIVE", **details)
    assert on_event(event(), Context()) == answer(status="ACTIVE")


def test_description_without_num_results_is_no_difference() -> None:
    identity = identity_with(NumResults="10")
    name = next(identity.names())
    assert differences(identity, name, description(name, numResults=10)["batchSegmentJob"]) == []
    assert differences(identity, name, {}) == []


def test_rejects_a_job_whose_names_are_all_taken(personalize: Stubber) -> None:
    stub_existing_job(personalize, status="CREATE FAILED")
    for attempt in range(2, 100):
        stub_existing_job(personalize, f"{NAME}-{attempt}", roleArn=f"{ROLE}2")
    with pytest.raises(JobError) as failed:
        on_event(event(), Context())
    assert str(failed.value) == failure(
        f"trigger: all 99 names of the job are taken, '{NAME}' to '{NAME}-99', by jobs that failed or belong to "
        "another resource. Change trigger to give the job another name"
    )


@pytest.mark.parametrize("message", ["Batch segment job X does not exist.", "The given ARN does not exist: arn:trust"])
def test_creates_the_job_if_describe_answers_invalid_input(personalize: Stubber, clock: Any, message: str) -> None:
    personalize.add_client_error("describe_batch_segment_job", "InvalidInputException", message)
    stub_solution_version(personalize)
    stub_any_create(personalize, NAME)
    assert on_event(event(), Context()) == answer()
    assert clock.sleeps == []


def test_reports_another_invalid_input_of_describe(personalize: Stubber) -> None:
    personalize.add_client_error("describe_batch_segment_job", "InvalidInputException", "malformed")
    with pytest.raises(
        JobError, match=r"^Amazon Personalize rejected the request: malformed \(InvalidInputException\)"
    ):
        on_event(event(), Context())


@pytest.mark.parametrize(
    ("status", "told"),
    [
        ("Active", "ACTIVE"),
        ("create pending", "CREATE PENDING"),
        ("IN PROGRESS", "IN PROGRESS"),
        ("SOMETHING NEW", "SOMETHING NEW"),
        ("", "UNKNOWN"),
    ],
)
def test_adopts_a_job_of_any_other_status_than_failed(personalize: Stubber, status: str, told: str) -> None:
    stub_existing_job(personalize, status=status)
    assert on_event(event(), Context()) == answer(status=told)


@pytest.mark.parametrize("status", ["CREATE FAILED", "Create Failed", "FAILED"])
def test_recognizes_any_spelling_of_failed(personalize: Stubber, status: str) -> None:
    stub_existing_job(personalize, status=status)
    stub_missing_job(personalize, f"{NAME}-2")
    stub_solution_version(personalize)
    stub_any_create(personalize, f"{NAME}-2")
    assert on_event(event(), Context()) == answer(f"{NAME}-2")
