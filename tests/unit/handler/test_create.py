"""Creating a job, and the errors of a creation."""

import datetime
import json
from typing import Any

import pytest
from batch_segment_handler import preflight
from batch_segment_handler.errors import JobError
from batch_segment_handler.handler import is_complete, on_event
from batch_segment_handler.text import printable
from botocore.stub import Stubber
from support.constants import ACCOUNT, FILTER, REGION, SOLUTION, VERSION
from support.events import (
    LOG_GROUP,
    NAME,
    ROLE,
    Context,
    answer,
    derived_name,
    event,
    failure,
    stub_any_create,
    stub_create,
    stub_create_error,
    stub_existing_job,
    stub_missing_job,
    stub_solution_version,
    waiting,
)

pytestmark = pytest.mark.usefixtures("new_stack")


def test_creates_a_job_for_a_new_resource(personalize: Stubber, log: Any) -> None:
    stub_missing_job(personalize)
    stub_solution_version(personalize)
    stub_create(personalize)
    assert on_event(event(), Context()) == answer()
    assert [line["decision"] for line in log()] == ["received", "created"]


def test_sends_all_properties_and_numbers_as_numbers(personalize: Stubber) -> None:
    properties = {
        "JobNamePrefix": None,
        "JobName": "mine",
        "FilterArn": FILTER,
        "NumResults": "1000",
        "InputKmsKeyArn": f"arn:aws:kms:{REGION}:{ACCOUNT}:key/in",
        "OutputKmsKeyArn": f"arn:aws:kms:{REGION}:{ACCOUNT}:key/out",
        "Tags": [{"key": "team", "value": "growth"}],
    }
    stub_missing_job(personalize, "mine")
    stub_solution_version(personalize)
    personalize.add_response(
        "describe_filter", {"filter": {"filterArn": FILTER, "status": "ACTIVE"}}, {"filterArn": FILTER}
    )
    stub_create(
        personalize,
        "mine",
        filterArn=FILTER,
        numResults=1000,
        jobInput={
            "s3DataSource": {"path": "s3://in/queries.jsonl", "kmsKeyArn": f"arn:aws:kms:{REGION}:{ACCOUNT}:key/in"}
        },
        jobOutput={
            "s3DataDestination": {
                "path": "s3://out/segments/mine/",
                "kmsKeyArn": f"arn:aws:kms:{REGION}:{ACCOUNT}:key/out",
            }
        },
        tags=[{"tagKey": "team", "tagValue": "growth"}],
    )
    assert on_event(event(properties=properties), Context()) == answer("mine")


def test_adopts_the_job_if_the_event_is_redelivered(personalize: Stubber, log: Any) -> None:
    stub_existing_job(personalize, status="CREATE IN_PROGRESS")
    assert on_event(event(), Context()) == answer(status="CREATE IN_PROGRESS")
    assert log()[-1] == {"decision": "adopted", "job": NAME, "status": "CREATE IN_PROGRESS"}


def test_adopts_the_job_if_the_event_is_delivered_twice_at_once(personalize: Stubber) -> None:
    stub_missing_job(personalize)
    stub_solution_version(personalize)
    stub_create_error(personalize, "ResourceAlreadyExistsException", "Another resource with that Arn already exists.")
    stub_existing_job(personalize, status="CREATE PENDING")
    assert on_event(event(), Context()) == answer()


def test_replaces_a_failed_job_by_the_next_attempt(personalize: Stubber) -> None:
    stub_existing_job(personalize, status="CREATE FAILED", failureReason="no")
    stub_existing_job(personalize, f"{NAME}-2", status="CREATE FAILED")
    stub_missing_job(personalize, f"{NAME}-3")
    stub_solution_version(personalize)
    stub_create(personalize, f"{NAME}-3")
    assert on_event(event(), Context()) == answer(f"{NAME}-3")


def test_uses_the_latest_active_version_of_a_solution(personalize: Stubber) -> None:
    def version(id: str, day: int, status: str = "ACTIVE") -> dict[str, Any]:
        when = datetime.datetime(2026, 1, day, tzinfo=datetime.UTC)
        return {"solutionVersionArn": f"{SOLUTION}/{id}", "status": status, "creationDateTime": when}

    name = derived_name(SolutionVersionArn=None, SolutionArn=SOLUTION)
    stub_missing_job(personalize, name)
    personalize.add_response(
        "list_solution_versions",
        {"solutionVersions": [version("old", 1), version("0123abcd", 3)], "nextToken": "more"},
        {"solutionArn": SOLUTION},
    )
    personalize.add_response(
        "list_solution_versions",
        {"solutionVersions": [version("unfinished", 4, "CREATE IN_PROGRESS"), version("older", 2)]},
        {"solutionArn": SOLUTION, "nextToken": "more"},
    )
    stub_solution_version(personalize)
    stub_create(personalize, name)
    got = on_event(event(properties={"SolutionVersionArn": None, "SolutionArn": SOLUTION}), Context())
    assert got == answer(name)


def test_rejects_a_solution_without_an_active_version(personalize: Stubber) -> None:
    name = derived_name(SolutionVersionArn=None, SolutionArn=SOLUTION)
    stub_missing_job(personalize, name)
    personalize.add_response("list_solution_versions", {"solutionVersions": []}, {"solutionArn": SOLUTION})
    with pytest.raises(JobError, match=f"^solution_arn: {SOLUTION} has no ACTIVE version; train one first. Log"):
        on_event(event(properties={"SolutionVersionArn": None, "SolutionArn": SOLUTION}), Context())


def test_rejects_a_failed_solution_version(personalize: Stubber) -> None:
    stub_missing_job(personalize)
    stub_solution_version(personalize, "CREATE FAILED", failureReason="too little data")
    with pytest.raises(JobError) as failed:
        on_event(event(), Context())
    assert str(failed.value) == failure(
        f"solution_version_arn: {VERSION} has the status CREATE FAILED (too little data), expected ACTIVE"
    )


def test_rejects_non_numeric_num_results_before_creation(personalize: Stubber) -> None:
    name = derived_name(NumResults="many")
    stub_missing_job(personalize, name)
    stub_solution_version(personalize)
    with pytest.raises(JobError, match=r"^num_results: got 'many', expected a whole number from 1 to 5,000,000\. Log"):
        on_event(event(properties={"NumResults": "many"}), Context())


@pytest.mark.parametrize(("number", "is_right"), [("0", False), ("1", True), ("5000000", True), ("5000001", False)])
def test_rejects_num_results_outside_the_limits(personalize: Stubber, number: str, is_right: bool) -> None:
    name = derived_name(NumResults=number)
    stub_missing_job(personalize, name)
    stub_solution_version(personalize)
    if is_right:
        stub_any_create(personalize, name)
        assert on_event(event(properties={"NumResults": number}), Context()) == answer(name)
    else:
        with pytest.raises(JobError) as failed:
            on_event(event(properties={"NumResults": number}), Context())
        assert str(failed.value) == failure(f"num_results: got '{number}', expected a whole number from 1 to 5,000,000")


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (
            "InvalidInputException",
            "Amazon Personalize rejected the request: no (InvalidInputException). Sent: solution_version_arn "
            f"{VERSION}, output s3://out/segments/, role {ROLE}",
        ),
        (
            "ResourceNotFoundException",
            f"solution_version_arn: {VERSION} does not exist in this region and account (ResourceNotFoundException: "
            "no). Check the ARN",
        ),
        (
            "TooManyTagsException",
            "tags: expected at most 50 (TooManyTagsException: no)",
        ),
        ("InternalFailure", "CreateBatchSegmentJob failed with InternalFailure: no"),
    ],
)
def test_explains_permanent_errors_without_retrying(
    personalize: Stubber, clock: Any, log: Any, code: str, expected: str
) -> None:
    stub_missing_job(personalize)
    stub_solution_version(personalize)
    stub_create_error(personalize, code)
    with pytest.raises(JobError) as failed:
        on_event(event(), Context())
    assert str(failed.value) == failure(expected)
    assert clock.sleeps == []
    assert log()[-1]["decision"] == "failed"


@pytest.mark.parametrize("text", ["x", "あ", "💥", '"', "\\", "\n", "\x1b", "\ud800"])
def test_message_fits_into_a_response_to_cloudformation(personalize: Stubber, text: str) -> None:
    stub_missing_job(personalize)
    stub_solution_version(personalize)
    stub_create_error(personalize, "InvalidInputException", text * 100_000)
    with pytest.raises(JobError) as failed:
        on_event(event(), Context())
    assert len(json.dumps(str(failed.value), ensure_ascii=False).encode()) <= 2502
    assert str(failed.value).startswith(f"Amazon Personalize rejected the request: {printable(text)}")
    assert f"… (InvalidInputException). Sent: solution_version_arn {VERSION}, " in str(failed.value)
    assert str(failed.value).endswith(f" Log group: {LOG_GROUP}.")


def test_counts_failures_in_a_metric_by_stack_and_resource(
    personalize: Stubber, capsys: pytest.CaptureFixture[str]
) -> None:
    stub_missing_job(personalize)
    stub_solution_version(personalize)
    stub_create_error(personalize, "TooManyTagsException")
    with pytest.raises(JobError):
        on_event(event(), Context())
    line = json.loads(capsys.readouterr().out.splitlines()[-1])
    timestamp = line["_aws"].pop("Timestamp")
    assert abs(timestamp / 1000 - datetime.datetime.now().timestamp()) < 60
    assert line["_aws"] == {
        "CloudWatchMetrics": [
            {
                "Namespace": "PersonalizeBatchSegments",
                "Dimensions": [["Stack"], ["Stack", "Resource"]],
                "Metrics": [{"Name": "DeploymentsFailed", "Unit": "Count"}],
            }
        ]
    }
    assert (line["Stack"], line["Resource"], line["DeploymentsFailed"]) == ("Demo", "ComedyFansAF41374F", 1)


def test_no_log_line_has_the_signed_url(personalize: Stubber, capsys: pytest.CaptureFixture[str]) -> None:
    stub_missing_job(personalize)
    stub_solution_version(personalize)
    stub_create_error(personalize, "InvalidInputException")
    with pytest.raises(JobError):
        on_event(event(), Context())
    on_event(event("Delete"), Context())
    stub_existing_job(personalize, status="CREATE FAILED")
    with pytest.raises(JobError):
        is_complete(waiting(), Context())
    out, err = capsys.readouterr()
    assert "decision" in out
    assert "Signature" not in out + err


def test_responses_are_small_json(personalize: Stubber) -> None:
    stub_existing_job(personalize)
    assert len(json.dumps(on_event(event(), Context()))) < 4096


@pytest.mark.parametrize(("seconds", "creates"), [(49.9, False), (50.0, True)])
def test_creates_nothing_without_time_for_a_call_that_hangs(
    personalize: Stubber, new_stack: None, monkeypatch: pytest.MonkeyPatch, clock: Any, seconds: float, creates: bool
) -> None:
    monkeypatch.setattr("batch_segment_handler.lifecycle.seconds_left", lambda _context: seconds)
    stub_missing_job(personalize)
    stub_solution_version(personalize)
    if creates:
        stub_create(personalize)
        assert on_event(event(), Context()) == answer()
    else:
        with pytest.raises(JobError, match=r"^no time is left, so no job was created\. Deploy again"):
            on_event(event(), Context())


def test_creates_nothing_without_time_for_the_response(
    personalize: Stubber, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    describe = preflight.check

    def slow_check(*args: Any) -> Any:
        clock.now += 740
        return describe(*args)

    monkeypatch.setattr(preflight, "check", slow_check)
    stub_missing_job(personalize)
    stub_solution_version(personalize)
    with pytest.raises(JobError) as failed:
        on_event(event(), Context())
    assert str(failed.value) == failure(
        "no time is left, so no job was created: checking and staging the queries, or retries, took too long. Deploy "
        "again, or give the job fewer queries"
    )
    assert clock.sleeps == []
