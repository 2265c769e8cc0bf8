"""Which jobs the handler takes for its own."""

import datetime

import pytest
from batch_segment_handler.failures import JobError
from batch_segment_handler.handler import on_event
from batch_segment_handler.job import BatchSegmentJob, flatten
from events import (
    LOG_GROUP,
    NAME,
    ROLE,
    STACK,
    Context,
    answer,
    arn,
    event,
    failure,
    names_of,
    properties_with,
    there_is,
    there_is_no,
    version_is,
)
from support import FILTER, SOLUTION, VERSION

ROLLING_BACK = {
    "Stacks": [
        {
            "StackName": "Demo",
            "CreationTime": datetime.datetime(2026, 1, 1),
            "StackStatus": "UPDATE_ROLLBACK_IN_PROGRESS",
        }
    ]
}
EXPLICIT = {"JobNamePrefix": None, "JobName": "mine"}
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


def create_works(personalize, name: str, **more: object) -> None:
    personalize.add_response("create_batch_segment_job", {"batchSegmentJobArn": arn(name)}, None)


def differences(properties: dict, details: dict) -> list[str]:
    from events import description

    job = BatchSegmentJob(flatten(properties_with(**properties)), STACK, patience=None)
    name = next(job._names())
    return job._differences(name, description(name, **details)["batchSegmentJob"])


@pytest.mark.parametrize(("properties", "details", "difference"), FOREIGN)
def test_does_not_adopt_a_foreign_job_with_a_derived_name(personalize, log, properties, details, difference):
    (name,) = names_of(**properties)
    there_is(personalize, name, **details)
    there_is_no(personalize, f"{name}-2")
    if "SolutionArn" in properties:
        version = {"solutionVersionArn": VERSION, "status": "ACTIVE"}
        personalize.add_response("list_solution_versions", {"solutionVersions": [version]}, {"solutionArn": SOLUTION})
    version_is(personalize)
    if "FilterArn" in properties:
        personalize.add_response("describe_filter", {"filter": {"filterArn": FILTER, "status": "ACTIVE"}}, None)
    create_works(personalize, f"{name}-2")
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
def test_adopts_a_job_that_is_described_in_another_way(personalize, details):
    there_is(personalize, status="ACTIVE", **details)
    assert on_event(event(), Context()) == answer(status="ACTIVE")


def test_a_description_without_the_number_is_no_difference():
    assert differences({"NumResults": "10"}, {"numResults": 10}) == []
    job = BatchSegmentJob(flatten(properties_with(NumResults="10")), STACK, patience=None)
    assert job._differences(next(job._names()), {}) == []


@pytest.mark.parametrize(
    ("path", "is_ours"),
    [
        ("s3://in/queries/{name}/0123456789ab-500/", True),
        ("S3://in/queries/{name}/0123456789ab-500", True),
        ("s3://in/queries/{name}/0123456789ac-500/", False),
        ("s3://in/queries/{name}/0123456789ab/", False),
    ],
)
def test_staged_input_is_compared_by_its_content_and_not_by_its_split(path, is_ours):
    staged = {"InputPath": None, "InputBucket": "in", "InputPrefix": "queries/", "AssetHash": "0123456789ab" * 5}
    (name,) = names_of(**staged)
    source = {"s3DataSource": {"path": path.format(name=name)}}
    assert differences(staged, {"jobInput": source}) == ([] if is_ours else ["input"])


def test_a_foreign_job_does_not_stop_a_rollback(personalize, cloudformation):
    there_is(personalize, solutionVersionArn=f"{VERSION}1")
    there_is_no(personalize, f"{NAME}-2")
    stack = {
        "StackName": "Demo",
        "CreationTime": datetime.datetime(2026, 1, 1),
        "StackStatus": "UPDATE_ROLLBACK_IN_PROGRESS",
    }
    cloudformation.add_response("describe_stacks", {"Stacks": [stack]}, {"StackName": STACK})
    rollback = event("Update", PhysicalResourceId=arn("newer"))
    assert on_event(rollback, Context()) == answer(f"{NAME}-2", "UNKNOWN")


def test_rejects_a_job_whose_names_are_all_taken(personalize):
    there_is(personalize, status="CREATE FAILED")
    for attempt in range(2, 100):
        there_is(personalize, f"{NAME}-{attempt}", roleArn=f"{ROLE}2")
    with pytest.raises(JobError) as failed:
        on_event(event(), Context())
    assert str(failed.value) == failure(
        f"trigger: all 99 names of the job are taken, '{NAME}' to '{NAME}-99', by jobs that failed or that are not of "
        "this resource. Change trigger, which gives the job another name"
    )


def test_a_foreign_later_attempt_does_not_replace_a_kept_job(personalize):
    there_is(personalize, status="CREATE FAILED")
    there_is(personalize, f"{NAME}-2", roleArn=f"{ROLE}2")
    there_is_no(personalize, f"{NAME}-3")
    assert on_event(event("Update"), Context()) == answer(status="CREATE FAILED")


# -- explicit names


def test_adopts_an_explicit_job_after_normalizing(personalize):
    output = {"s3DataDestination": {"path": "s3://out/segments/mine"}}
    there_is(personalize, "mine", jobOutput=output, filterArn="")
    assert on_event(event(properties=EXPLICIT), Context()) == answer("mine", "ACTIVE")


def test_rejects_an_explicit_name_of_a_job_in_another_role(personalize):
    there_is(personalize, "mine", roleArn=f"{ROLE}2")
    with pytest.raises(JobError, match=r"'mine' is taken by another job .*, which differs in .*role"):
        on_event(event(properties=EXPLICIT), Context())


def test_a_kept_explicit_job_is_not_compared_if_nothing_that_defines_it_has_changed(personalize):
    there_is(personalize, "mine", jobInput=OTHER_INPUT, solutionVersionArn=f"{VERSION}1")
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


# -- answers that nobody has published


@pytest.mark.parametrize("message", ["Batch segment job X does not exist.", "The given ARN does not exist: arn:trust"])
def test_creates_the_job_if_describe_says_invalid_input(personalize, waits, message):
    personalize.add_client_error("describe_batch_segment_job", "InvalidInputException", message)
    version_is(personalize)
    create_works(personalize, NAME)
    assert on_event(event(), Context()) == answer()
    assert waits == []


def test_reports_another_invalid_input_of_describe(personalize):
    personalize.add_client_error("describe_batch_segment_job", "InvalidInputException", "malformed")
    with pytest.raises(JobError, match=r"^Amazon Personalize rejects the request: malformed \(InvalidInputException\)"):
        on_event(event(), Context())


def test_retries_describe_if_a_job_that_exists_is_not_visible_yet(personalize, waits):
    there_is_no(personalize)
    version_is(personalize)
    personalize.add_client_error("create_batch_segment_job", "ResourceAlreadyExistsException", "exists")
    there_is_no(personalize)
    there_is_no(personalize)
    there_is(personalize, status="CREATE PENDING")
    assert on_event(event(), Context()) == answer()
    assert len(waits) == 2


def test_rejects_a_job_that_exists_and_never_becomes_visible(personalize, waits):
    there_is_no(personalize)
    version_is(personalize)
    personalize.add_client_error("create_batch_segment_job", "ResourceAlreadyExistsException", "exists")
    for _ in range(100):
        there_is_no(personalize)
    with pytest.raises(JobError) as failed:
        on_event(event(), Context())
    personalize._queue.clear()
    assert sum(waits) == pytest.approx(120)
    assert str(failed.value).startswith(
        f"the job {NAME} exists according to CreateBatchSegmentJob, but DescribeBatchSegmentJob does not find it ("
    )
    assert str(failed.value).endswith(f" attempts in 120 seconds). Deploy again. Log group: {LOG_GROUP}.")


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
def test_adopts_a_job_of_any_status_that_is_no_failure(personalize, status, told):
    there_is(personalize, status=status)
    assert on_event(event(), Context()) == answer(status=told)


@pytest.mark.parametrize("status", ["CREATE FAILED", "Create Failed", "FAILED"])
def test_any_spelling_of_failed_is_a_failure(personalize, status):
    there_is(personalize, status=status)
    there_is_no(personalize, f"{NAME}-2")
    version_is(personalize)
    create_works(personalize, f"{NAME}-2")
    assert on_event(event(), Context()) == answer(f"{NAME}-2")


@pytest.mark.parametrize(("number", "is_right"), [("0", False), ("1", True), ("5000000", True), ("5000001", False)])
def test_rejects_a_number_of_results_outside_the_limits(personalize, number, is_right):
    (name,) = names_of(NumResults=number)
    there_is_no(personalize, name)
    version_is(personalize)
    if is_right:
        create_works(personalize, name)
        assert on_event(event(properties={"NumResults": number}), Context()) == answer(name)
    else:
        with pytest.raises(JobError) as failed:
            on_event(event(properties={"NumResults": number}), Context())
        assert str(failed.value) == failure(f"num_results: got '{number}', expected a whole number from 1 to 5,000,000")


def test_a_rollback_adopts_the_earlier_job_of_another_role(personalize, cloudformation):
    there_is(personalize, roleArn=f"{ROLE}2")
    cloudformation.add_response("describe_stacks", ROLLING_BACK, {"StackName": STACK})
    update = event("Update", PhysicalResourceId=arn("another"), OldResourceProperties={})
    assert on_event(update, Context()) == answer(status="ACTIVE")
