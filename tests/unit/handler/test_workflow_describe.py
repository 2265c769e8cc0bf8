"""The end of the jobs of an audience, and of a run: events, metrics, faults."""

import datetime
import json
from typing import Any, cast

import pytest
from batch_segment_handler import audience_job, results, workflow
from batch_segment_handler.results import QueryErrors
from batch_segment_handler.workflow_contract import JobFacts
from botocore.stub import Stubber
from support.constants import VERSION
from support.events import Context, arn, stub_errors, stub_existing_job, stub_missing_job
from support.tasks import (
    EXECUTION,
    FOLDER,
    RUN,
    SPLIT_AUDIENCE,
    TABLE,
    WORKFLOW,
    audience_task,
    complete_task,
    job_facts,
    name_of,
    settings_with,
)

pytestmark = pytest.mark.usefixtures("clock")

NAME = name_of()
JOB = job_facts(NAME)
RECORD = b'{"input": {"itemId": "1"}, "output": {"usersList": ["a"]}, "error": null}\n'
ERROR = b'{"input": {"itemId": "2"}, "output": null, "error": "who?"}\n'
WRITTEN = datetime.datetime.fromtimestamp(940, datetime.UTC)


def describe(*jobs: JobFacts, context: Context | None = None, **members: Any) -> Any:
    """The response of the task of an audience with one job."""
    return workflow.describe(audience_task("Describe", *(jobs or [JOB]), **members), context or Context())


def event_of(status: str, **members: Any) -> dict[str, Any]:
    """The detail of the event of the audience with one job."""
    return {
        "version": "1",
        "status": status,
        "workflow": WORKFLOW,
        "audience": "fans",
        "run": "20261101T030000Z",
        "jobNames": [NAME],
        "jobArns": [arn(NAME)],
        "solutionVersionArn": VERSION,
        **members,
    }


@pytest.fixture
def output(s3: Any) -> Any:
    """Writes the segments of a job. The bucket exists."""
    s3.create_bucket(Bucket="out")
    found = s3.list_objects_v2(Bucket="out").get("Contents", [])
    for item in found:
        s3.delete_object(Bucket="out", Key=item["Key"])

    def put(content: bytes, folder: str = JOB["OutputUri"]) -> None:
        s3.put_object(Bucket="out", Key=f"{folder.removeprefix('s3://out/')}part-0.jsonl.out", Body=content)

    return put


@pytest.mark.parametrize("status", ["CREATE PENDING", "CREATE IN_PROGRESS", "SOMETHING NEW"])
def test_waits_for_a_job_in_progress(personalize: Stubber, status: str) -> None:
    stub_existing_job(personalize, NAME, status=status)
    assert describe() == {"Status": "IN_PROGRESS", "Jobs": [JOB]}


def test_waits_for_a_job_that_is_not_visible_yet(personalize: Stubber) -> None:
    stub_missing_job(personalize, NAME)
    assert describe() == {"Status": "IN_PROGRESS", "Jobs": [JOB]}


def test_checks_only_the_last_job(personalize: Stubber) -> None:
    stub_existing_job(personalize, "second", status="CREATE IN_PROGRESS")
    jobs = [JOB, job_facts("second")]
    assert describe(*jobs) == {"Status": "IN_PROGRESS", "Jobs": jobs}


def test_active_job_succeeds_with_the_errors_in_its_output(personalize: Stubber, output: Any, metrics: Any) -> None:
    output(RECORD + ERROR)
    stub_existing_job(personalize, NAME, lastUpdatedDateTime=WRITTEN)
    errors = "1 of 2 queries; the first: who?"
    assert describe() == {
        "Status": "SUCCEEDED",
        "Jobs": [{**JOB, "QueryErrors": errors}],
        "Detail": event_of("SUCCEEDED", outputUri=JOB["OutputUri"], queryErrors=errors),
    }
    assert metrics() == [
        ("QueryErrors", 1, {"Workflow": WORKFLOW}),
        ("SegmentAge", 60, {"Workflow": WORKFLOW, "Audience": "fans"}),
        ("JobsSucceeded", 1, {"Workflow": WORKFLOW}),
    ]


def test_age_is_0_without_a_time_in_the_response(personalize: Stubber, output: Any, metrics: Any) -> None:
    output(RECORD)
    stub_existing_job(personalize, NAME)
    describe()
    assert ("SegmentAge", 0, {"Workflow": WORKFLOW, "Audience": "fans"}) in metrics()


def test_job_without_output_has_no_query_errors(personalize: Stubber, output: Any) -> None:
    stub_existing_job(personalize, NAME, lastUpdatedDateTime=WRITTEN)
    response = describe()
    assert (response["Status"], response["Detail"]["queryErrors"]) == ("SUCCEEDED", "none")


def test_audience_fails_if_its_output_cannot_be_read(personalize: Stubber, output: Any, metrics: Any) -> None:
    output(b'["error"]\n')
    stub_existing_job(personalize, NAME, lastUpdatedDateTime=WRITTEN)
    reason = (
        f"the output {JOB['OutputUri']} cannot be read: ValueError: got list, expected a JSON object. The job "
        f"{NAME} is complete and is billed"
    )
    assert describe() == {"Status": "FAILED", "Jobs": [JOB], "Detail": event_of("FAILED", reason=reason)}
    assert metrics() == [("JobsFailed", 1, {"Workflow": WORKFLOW})]


def test_audience_fails_with_its_job(personalize: Stubber, output: Any) -> None:
    stub_existing_job(personalize, NAME, status="CREATE FAILED", failureReason="No data")
    reason = f"the job {NAME} ended CREATE FAILED: No data"
    assert describe() == {"Status": "FAILED", "Jobs": [JOB], "Detail": event_of("FAILED", reason=reason)}


def test_age_of_a_failed_audience_is_that_of_an_earlier_run(
    personalize: Stubber, output: Any, s3: Any, metrics: Any, clock: Any
) -> None:
    output(RECORD, FOLDER.replace("1101", "1025"))
    (earlier,) = s3.list_objects_v2(Bucket="out")["Contents"]
    output(RECORD)
    clock.now = earlier["LastModified"].timestamp() + 7200
    stub_existing_job(personalize, NAME, status="CREATE FAILED")
    describe(Run={**RUN, "Deadline": clock.now})
    assert metrics()[-1] == ("SegmentAge", 7200, {"Workflow": WORKFLOW, "Audience": "fans"})


def test_failed_audience_without_earlier_segments_has_no_age(personalize: Stubber, output: Any, metrics: Any) -> None:
    output(RECORD)
    stub_existing_job(personalize, NAME, status="CREATE FAILED")
    describe()
    assert metrics() == [("JobsFailed", 1, {"Workflow": WORKFLOW})]


def test_unreadable_age_does_not_hide_the_failure(personalize: Stubber, stubbed: Stubber, log: Any) -> None:
    stubbed.add_client_error("list_objects_v2", "AccessDenied", "no")
    stub_existing_job(personalize, NAME, status="CREATE FAILED")
    assert describe()["Status"] == "FAILED"
    assert [line["decision"] for line in log()] == ["step", "segments failed", "age not known"]


@pytest.mark.parametrize(("now", "is_late"), [(5000.0, False), (5000.5, True)])
def test_audience_fails_after_the_deadline_and_not_at_it(
    personalize: Stubber, output: Any, clock: Any, now: float, is_late: bool
) -> None:
    clock.now = now
    stub_existing_job(personalize, NAME, status="CREATE IN_PROGRESS")
    response = describe()
    assert response["Status"] == ("FAILED" if is_late else "IN_PROGRESS")
    if is_late:
        assert response["Detail"]["reason"] == (
            f"timeout: the job {NAME} is CREATE IN_PROGRESS after 1970-01-01 01:23 UTC. A running job continues and is "
            "billed"
        )


def test_fails_if_the_job_is_unknown_at_the_deadline(personalize: Stubber, output: Any, clock: Any) -> None:
    clock.now = 5001
    stub_missing_job(personalize, NAME)
    assert describe()["Detail"]["reason"].startswith(f"timeout: the job {NAME} is unknown to Amazon Personalize after")


def test_job_that_is_active_after_the_deadline_succeeds(personalize: Stubber, output: Any, clock: Any) -> None:
    clock.now = 9000
    stub_existing_job(personalize, NAME, lastUpdatedDateTime=WRITTEN)
    assert describe()["Status"] == "SUCCEEDED"


def test_outage_fails_the_audience_only_after_the_deadline(personalize: Stubber, output: Any, clock: Any) -> None:
    stub_errors(personalize, "describe_batch_segment_job", "ThrottlingException", "Rate exceeded", 4)
    assert describe() == {"Status": "IN_PROGRESS", "Jobs": [JOB]}
    # The state machine checks again later, so the function sleeps for 10 seconds at most.
    assert clock.sleeps == [2, 4, 4]
    clock.now = 5001
    stub_errors(personalize, "describe_batch_segment_job", "ThrottlingException", "Rate exceeded", 4)
    assert describe()["Detail"]["reason"].endswith("4 attempts in 10 seconds). Start the run again later")


def test_error_of_the_service_fails_the_audience(personalize: Stubber, output: Any) -> None:
    stub_errors(personalize, "describe_batch_segment_job", "InvalidInputException", "malformed", 1)
    assert describe()["Detail"]["reason"] == ("DescribeBatchSegmentJob failed with InvalidInputException: malformed")


def test_next_part_follows_a_complete_job(personalize: Stubber, output: Any, metrics: Any) -> None:
    stub_existing_job(personalize, NAME, lastUpdatedDateTime=WRITTEN)
    response = describe(item=SPLIT_AUDIENCE)
    assert response == {"Status": "NEXT_PART", "Jobs": [{**JOB, "QueryErrors": "none"}]}
    assert metrics() == [("QueryErrors", 0, {"Workflow": WORKFLOW})]


def test_event_of_several_jobs_has_their_folder(personalize: Stubber, output: Any) -> None:
    folder = audience_job.segments_folder(cast(Any, settings_with()), SPLIT_AUDIENCE, RUN)
    first, second = (job_facts(name_of(SPLIT_AUDIENCE, number), folder) for number in (0, 1))
    output(ERROR, second["OutputUri"])
    stub_existing_job(personalize, second["JobName"], lastUpdatedDateTime=WRITTEN)
    detail = describe({**first, "QueryErrors": "none"}, second, item=SPLIT_AUDIENCE)["Detail"]
    assert detail["outputUri"] == folder
    assert detail["jobNames"] == [first["JobName"], second["JobName"]]
    assert detail["queryErrors"] == (f"{first['JobName']}: none; {second['JobName']}: 1 of 1 queries; the first: who?")


def test_parts_with_the_same_queries_have_one_job(personalize: Stubber, output: Any) -> None:
    stub_existing_job(personalize, NAME, lastUpdatedDateTime=WRITTEN)
    detail = describe({**JOB, "QueryErrors": "none"}, JOB, item=SPLIT_AUDIENCE)["Detail"]
    assert (detail["jobNames"], detail["jobArns"], detail["queryErrors"]) == ([NAME], [arn(NAME)], "none")


def test_registers_the_segments_before_the_event(personalize: Stubber, output: Any, glue: Stubber) -> None:
    stub_existing_job(personalize, NAME, lastUpdatedDateTime=WRITTEN)
    partition = {
        "StorageDescriptor": {"InputFormat": "text", "Location": JOB["OutputUri"]},
        "Parameters": {"started": "900"},
    }
    table = {"DatabaseName": "segments", "TableName": "weekly"}
    for run in ("20261101T030000Z", "latest"):
        if run == "latest":
            asked = {**table, "PartitionValues": ["fans", run]}
            glue.add_client_error("get_partition", "EntityNotFoundException", "no", expected_params=asked)
        created = {**table, "PartitionInput": {**partition, "Values": ["fans", run]}}
        glue.add_response("create_partition", {}, created)
    assert describe(Settings=settings_with(Table=TABLE))["Status"] == "SUCCEEDED"


def test_audience_fails_if_its_segments_cannot_be_registered(personalize: Stubber, output: Any, glue: Stubber) -> None:
    stub_existing_job(personalize, NAME, lastUpdatedDateTime=WRITTEN)
    glue.add_client_error("create_partition", "InvalidInputException", "no such column")
    assert describe(Settings=settings_with(Table=TABLE))["Detail"]["reason"] == (
        f"the segments are in {JOB['OutputUri']}, but not in the table: CreatePartition failed "
        "with InvalidInputException: no such column"
    )


def test_job_created_at_deploy_time_has_an_event_without_run(personalize: Stubber, output: Any, metrics: Any) -> None:
    stub_existing_job(personalize, NAME, lastUpdatedDateTime=WRITTEN)
    settings = {"Workflow": "", "StackId": settings_with()["StackId"]}
    assert describe(item=None, Settings=settings, Run={**RUN, "Run": ""})["Detail"] == {
        "version": "1",
        "status": "SUCCEEDED",
        "jobNames": [NAME],
        "jobArns": [arn(NAME)],
        "solutionVersionArn": VERSION,
        "outputUri": JOB["OutputUri"],
        "queryErrors": "none",
    }
    assert metrics() == [("QueryErrors", 0, {"Stack": "Demo"}), ("JobsSucceeded", 1, {"Stack": "Demo"})]


@pytest.mark.parametrize(
    ("cause", "told"),
    [
        (json.dumps({"errorMessage": "2026 Task timed out", "errorType": "x"}), "2026 Task timed out"),
        ("plain\ntext", "plain\\ntext"),
        ('"text"', '"text"'),
        ("[1]", "[1]"),
        ("{}", "{}"),
    ],
)
def test_fault_of_a_function_fails_the_audience(output: Any, cause: str, told: str) -> None:
    task = audience_task("ReportFault", JOB, Fault={"Error": "Lambda.Unknown", "Cause": cause})
    reason = f"Lambda.Unknown: {told}"
    expected = {"Status": "FAILED", "Jobs": [JOB], "Detail": event_of("FAILED", reason=reason)}
    assert workflow.describe(task, Context()) == expected


def test_reading_the_output_leaves_time_for_the_response(personalize: Stubber, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[float] = []

    def query_errors(_uri: str, seconds: float) -> QueryErrors:
        given.append(seconds)
        return QueryErrors(1)

    monkeypatch.setattr(results, "query_errors", query_errors)
    stub_existing_job(personalize, NAME, lastUpdatedDateTime=WRITTEN)
    assert describe(context=Context(seconds=300))["Status"] == "SUCCEEDED"
    assert given == [200]


def test_completes_a_run_with_its_counts(clock: Any, metrics: Any) -> None:
    response = workflow.describe(complete_task(Run=RUN, Counts={"Total": 5, "Succeeded": 3, "Failed": 1}), Context())
    assert response["Detail"] == {
        "version": "1",
        "status": "FAILED",
        "workflow": WORKFLOW,
        "executionArn": EXECUTION,
        "run": "20261101T030000Z",
        "solutionVersionArn": VERSION,
        "total": 5,
        "succeeded": 3,
        "failed": 2,
    }
    assert metrics() == [("RunDuration", 100, {"Workflow": WORKFLOW})]


def test_run_succeeds_if_all_audiences_do() -> None:
    response: Any = workflow.describe(complete_task(Run=RUN, Counts={"Total": 5, "Succeeded": 5}), Context())
    assert (response["Detail"]["status"], response["Detail"]["failed"]) == ("SUCCEEDED", 0)


@pytest.mark.parametrize("known", [{}, {"Run": RUN}])
def test_fault_fails_the_run_as_a_whole(metrics: Any, known: Any) -> None:
    fault = {"Error": "States.ItemReaderFailed", "Cause": "no manifest"}
    response: Any = workflow.describe(complete_task(Fault=fault, **known), Context())
    assert response["Detail"] == {
        "version": "1",
        "status": "FAILED",
        "workflow": WORKFLOW,
        "executionArn": EXECUTION,
        **({"run": "20261101T030000Z", "solutionVersionArn": VERSION} if known else {}),
        "total": 0,
        "succeeded": 0,
        "failed": 0,
        "reason": "States.ItemReaderFailed: no manifest",
    }
    assert metrics() == [("JobsFailed", 1, {"Workflow": WORKFLOW}), ("RunDuration", 100, {"Workflow": WORKFLOW})]
