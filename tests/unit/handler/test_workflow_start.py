"""The start of the jobs of an audience: created, adopted, not possible now, or failed."""

from typing import Any, cast

import pytest
from batch_segment_handler import audience_job, workflow
from batch_segment_handler.workflow_contract import AudienceItem
from botocore.stub import Stubber
from support.constants import FILTER, VERSION
from support.events import (
    ROLE,
    Context,
    arn,
    description,
    stub_errors,
    stub_existing_job,
    stub_missing_job,
    stub_solution_version,
)
from support.tasks import (
    AUDIENCE,
    FOLDER,
    RUN,
    SPLIT_AUDIENCE,
    WORKFLOW,
    audience_task,
    job_facts,
    name_of,
    settings_with,
)

pytestmark = pytest.mark.usefixtures("clock")

NAME = name_of()
KEY = "arn:aws:kms:eu-west-1:123456789012:key/0a1b"
STARTED = job_facts(NAME)


def output(name: str, folder: str = FOLDER) -> dict[str, Any]:
    return {"s3DataDestination": {"path": f"{folder}{name}/"}}


def stub_created(personalize: Stubber, **more: Any) -> None:
    request = {
        "jobName": NAME,
        "solutionVersionArn": VERSION,
        "roleArn": ROLE,
        "jobInput": {"s3DataSource": {"path": "s3://in/queries.jsonl"}},
        "jobOutput": output(NAME),
        **more,
    }
    personalize.add_response("create_batch_segment_job", {"batchSegmentJobArn": arn(NAME)}, request)


def start(item: AudienceItem = AUDIENCE, context: Context | None = None, **members: Any) -> Any:
    """The response of the task of an audience without jobs."""
    return workflow.start(audience_task("Start", item=item, **members), context or Context())


def test_creates_the_job_in_the_folder_of_the_run(personalize: Stubber) -> None:
    stub_missing_job(personalize, NAME)
    stub_solution_version(personalize)
    stub_created(personalize)
    assert start() == {"Status": "IN_PROGRESS", "Jobs": [STARTED]}


def test_creates_the_job_with_all_settings(personalize: Stubber) -> None:
    item: AudienceItem = {**AUDIENCE, "Filter": 1, "NumResults": 500, "Tags": {"team": "crm"}}
    settings = settings_with(
        Tags=[{"key": "team", "value": "all"}, {"key": "cost", "value": "7"}],
        OutputKmsKeyArn=KEY,
        Inputs=[{"InputPath": "s3://in/queries.jsonl", "InputKmsKeyArn": f"{KEY}-in"}],
    )
    name = name_of(item, **settings)
    stub_missing_job(personalize, name)
    stub_solution_version(personalize)
    personalize.add_response(
        "describe_filter", {"filter": {"filterArn": FILTER, "status": "ACTIVE"}}, {"filterArn": FILTER}
    )
    stub_created(
        personalize,
        jobName=name,
        filterArn=FILTER,
        numResults=500,
        tags=[{"tagKey": "team", "tagValue": "crm"}, {"tagKey": "cost", "tagValue": "7"}],
        jobInput={"s3DataSource": {"path": "s3://in/queries.jsonl", "kmsKeyArn": f"{KEY}-in"}},
        jobOutput={"s3DataDestination": {"path": f"{FOLDER}{name}/", "kmsKeyArn": KEY}},
    )
    assert start(item, Settings=settings)["Status"] == "IN_PROGRESS"


@pytest.mark.parametrize(
    ("changes", "is_same"),
    [
        ({"Tags": {"team": "crm"}}, True),
        ({"QueriesPerFile": 10}, True),
        ({"Filter": 1}, False),
        ({"NumResults": 26}, False),
        ({"JobNamePrefix": "Demo-Weekly-other"}, False),
    ],
)
def test_job_of_a_run_has_one_name(changes: Any, is_same: bool) -> None:
    assert (name_of({**AUDIENCE, **changes}) == NAME) is is_same


def test_jobs_of_two_runs_have_two_names() -> None:
    settings = cast(Any, settings_with())
    first, second = (
        audience_job.job_properties(settings, AUDIENCE, 0, {**RUN, "Run": run})
        for run in ("20261101T030000Z", "20261108T030000Z")
    )
    assert first["OutputPath"] == FOLDER
    assert second["OutputPath"] == FOLDER.replace("1101", "1108")


def test_parts_with_equal_start_write_to_one_folder() -> None:
    settings = cast(Any, settings_with(AssetKmsKeyArn=KEY, InputKmsKeyArn=f"{KEY}-in"))
    item: AudienceItem = {**SPLIT_AUDIENCE, "InputIsInline": "true", "QueriesPerFile": 10}
    first, second = (audience_job.job_properties(settings, item, number, RUN) for number in (0, 1))
    assert first["OutputPath"] == second["OutputPath"] == audience_job.segments_folder(settings, item, RUN)
    expected = {
        "AssetBucket": "assets",
        "AssetKey": "queries.zip",
        "AssetKmsKeyArn": KEY,
        "InputBucket": "in",
        "InputPrefix": "queries/",
        "InputKmsKeyArn": f"{KEY}-in",
        "InputIsInline": "true",
        "QueriesPerFile": 10,
        "InputHash": "b2" * 32,
        "AssetStart": 100,
        "AssetLength": 50,
    }
    assert {name: value for name, value in second.items() if name in expected} == expected


def test_run_with_other_queries_writes_to_another_folder() -> None:
    settings = cast(Any, settings_with())
    other: AudienceItem = {**SPLIT_AUDIENCE, "Parts": [SPLIT_AUDIENCE["Parts"][0], {"InputHash": "c3" * 32}]}
    folders = {audience_job.segments_folder(settings, item, RUN) for item in (SPLIT_AUDIENCE, other)}
    assert len(folders) == 2
    assert all(folder.startswith(FOLDER) for folder in folders)


def test_existing_queries_can_be_checked(personalize: Stubber) -> None:
    inputs = [{"InputPath": "s3://in/queries.jsonl", "ValidateInput": "true"}]
    properties = audience_job.job_properties(cast(Any, settings_with(Inputs=inputs)), AUDIENCE, 0, RUN)
    assert properties["ValidateInput"] == "true"


@pytest.mark.parametrize(("status", "step"), [("ACTIVE", "CHECK"), ("CREATE IN_PROGRESS", "IN_PROGRESS")])
def test_adopts_the_job_of_an_earlier_start(personalize: Stubber, status: str, step: str) -> None:
    stub_existing_job(personalize, NAME, status=status, jobOutput=output(NAME))
    assert start() == {"Status": step, "Jobs": [STARTED]}


def test_next_start_retries_a_failed_job_under_another_name(personalize: Stubber) -> None:
    second = f"{NAME}-2"
    stub_existing_job(personalize, NAME, status="CREATE FAILED", jobOutput=output(NAME))
    stub_missing_job(personalize, second)
    stub_solution_version(personalize)
    stub_created(personalize, jobName=second, jobOutput=output(second))
    assert start() == {"Status": "IN_PROGRESS", "Jobs": [job_facts(second)]}


def test_starts_the_job_of_the_second_part_after_the_first(personalize: Stubber) -> None:
    folder = audience_job.segments_folder(cast(Any, settings_with()), SPLIT_AUDIENCE, RUN)
    names = [name_of(SPLIT_AUDIENCE, number) for number in (0, 1)]
    jobs = [job_facts(name, folder) for name in names]
    path = f"s3://in/queries/{names[1]}/{'b2' * 6}-10000"
    details = description(
        names[1], jobInput={"s3DataSource": {"path": path}}, jobOutput=output(names[1], folder), status="ACTIVE"
    )
    personalize.add_response("describe_batch_segment_job", details, {"batchSegmentJobArn": arn(names[1])})
    task = audience_task("Start", jobs[0], item=SPLIT_AUDIENCE)
    assert workflow.start(task, Context()) == {"Status": "CHECK", "Jobs": jobs}


def test_job_waits_while_the_service_runs_five(personalize: Stubber, clock: Any, metrics: Any) -> None:
    stub_missing_job(personalize, NAME)
    stub_solution_version(personalize)
    stub_errors(personalize, "create_batch_segment_job", "LimitExceededException", "Too many", 4)
    response = start()
    # The state machine waits, which costs less than a function that sleeps.
    assert clock.sleeps == [2, 4, 4]
    assert response == {
        "Status": "BUSY",
        "Jobs": [],
        "Reason": "Amazon Personalize runs 5 batch segment jobs at once, and the limit is reached "
        "(CreateBatchSegmentJob: LimitExceededException: Too many; 4 attempts in 10 seconds). Start the run again when "
        "other jobs are complete",
    }
    assert metrics()[-1] == ("JobsQueued", 1, {"Workflow": WORKFLOW})


def test_job_waits_while_the_version_is_being_created(personalize: Stubber) -> None:
    stub_missing_job(personalize, NAME)
    stub_solution_version(personalize, status="CREATE IN_PROGRESS")
    stub_errors(personalize, "create_batch_segment_job", "ResourceInUseException", "in use", 4)
    assert start()["Status"] == "BUSY"


def test_does_not_sleep_past_the_deadline_of_the_run(personalize: Stubber, clock: Any) -> None:
    stub_missing_job(personalize, NAME)
    stub_solution_version(personalize)
    stub_errors(personalize, "create_batch_segment_job", "LimitExceededException", "Too many", 3)
    assert start(Run={**RUN, "Deadline": 1003})["Status"] == "BUSY"
    assert clock.sleeps == [2, 1]


def test_job_waits_if_the_function_has_no_time_to_create_it(personalize: Stubber) -> None:
    stub_missing_job(personalize, NAME)
    stub_solution_version(personalize)
    context = Context(seconds=49)
    assert start(context=context)["Status"] == "BUSY"


def test_audience_fails_at_the_deadline_with_the_last_reason(personalize: Stubber, clock: Any, s3: Any) -> None:
    s3.create_bucket(Bucket="out")
    clock.now = 5000.5
    progress = {"Status": "BUSY", "Jobs": [], "Reason": "all five jobs run"}
    assert start(Progress=progress) == {
        "Status": "FAILED",
        "Jobs": [],
        "Detail": {
            "version": "1",
            "status": "FAILED",
            "workflow": WORKFLOW,
            "audience": "fans",
            "run": "20261101T030000Z",
            "jobNames": [],
            "jobArns": [],
            "solutionVersionArn": VERSION,
            "reason": "timeout: no job was started by 1970-01-01 01:23 UTC: all five jobs run",
        },
    }


def test_job_can_start_at_the_deadline(personalize: Stubber, clock: Any) -> None:
    clock.now = 5000
    stub_existing_job(personalize, NAME, jobOutput=output(NAME))
    assert start()["Status"] == "CHECK"


def test_audience_fails_if_the_filter_is_gone(personalize: Stubber, s3: Any) -> None:
    s3.create_bucket(Bucket="out")
    item: AudienceItem = {**AUDIENCE, "Filter": 0}
    stub_missing_job(personalize, name_of(item))
    stub_solution_version(personalize)
    stub_errors(personalize, "describe_filter", "ResourceNotFoundException", "gone", 1)
    response = start(item)
    assert (response["Status"], response["Jobs"]) == ("FAILED", [])
    assert response["Detail"]["reason"] == (
        f"filter_arn: {FILTER}-0 does not exist in this region and account (ResourceNotFoundException: gone). "
        "Check the ARN"
    )


def test_reason_names_the_run_instead_of_a_deployment(personalize: Stubber, s3: Any) -> None:
    s3.create_bucket(Bucket="out")
    stub_missing_job(personalize, NAME)
    stub_solution_version(personalize)
    stub_errors(personalize, "create_batch_segment_job", "AccessDeniedException", "not authorized", 12)
    reason = start(context=Context(seconds=300))["Detail"]["reason"]
    assert reason.startswith("a permission is missing (CreateBatchSegmentJob: AccessDeniedException: not authorized; ")
    assert "start the run again" in reason
    assert "deploy" not in reason.lower()


def test_reason_names_no_trigger_if_all_names_are_taken(personalize: Stubber, s3: Any) -> None:
    s3.create_bucket(Bucket="out")
    stub_existing_job(personalize, NAME, status="CREATE FAILED", jobOutput=output(NAME))
    for attempt in range(2, 100):
        stub_existing_job(personalize, f"{NAME}-{attempt}", roleArn=f"{ROLE}2")
    assert start()["Detail"]["reason"] == (
        f"all 99 names of the job are taken, '{NAME}' to '{NAME}-99', by jobs that failed or belong to another "
        "resource. Train a new solution version, or rename the audience"
    )


def test_waits_two_minutes_for_a_permission(personalize: Stubber, clock: Any) -> None:
    stub_missing_job(personalize, NAME)
    stub_solution_version(personalize)
    stub_errors(personalize, "create_batch_segment_job", "AccessDeniedException", "not authorized", 5)
    stub_created(personalize)
    assert start()["Status"] == "IN_PROGRESS"
    assert clock.sleeps == [2, 4, 8, 15, 15]
