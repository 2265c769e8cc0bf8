"""The end of a wait: deadline, failed jobs, and queries that failed."""

from typing import Any

import pytest
from batch_segment_handler import handler
from batch_segment_handler.errors import JobError
from batch_segment_handler.handler import is_complete, on_event
from batch_segment_handler.results import QueryErrors
from botocore.stub import Stubber
from support.events import (
    NAME,
    WAIT,
    Context,
    arn,
    event,
    failure,
    stub_errors,
    stub_existing_job,
    stub_missing_job,
    waiting,
)


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Returns a function that sets the errors in the output."""
    return lambda errors: monkeypatch.setattr(handler, "query_errors", lambda uri, seconds: errors)


TWO = QueryErrors(1234, 2, "no such item")


def test_sets_the_deadline_of_a_wait(personalize: Stubber, clock: Any) -> None:
    stub_existing_job(personalize, status="CREATE PENDING")
    assert on_event(event(properties=WAIT), Context())["Deadline"] == 2800


def test_retries_do_not_shorten_the_wait(personalize: Stubber, clock: Any) -> None:
    stub_errors(personalize, "describe_batch_segment_job", "ThrottlingException", "Rate exceeded", 10)
    stub_existing_job(personalize, status="CREATE PENDING")
    assert on_event(event(properties={"WaitSeconds": "600"}), Context())["Deadline"] == 1000 + 362 + 600
    assert sum(clock.sleeps) == 362


def test_wait_ends_before_cloudformation_times_out(personalize: Stubber, clock: Any) -> None:
    stub_existing_job(personalize, status="CREATE PENDING")
    assert on_event(event(properties={"WaitSeconds": "3600"}), Context())["Deadline"] == 1000 + 3600 - 180


def test_checks_the_output_of_a_kept_active_job_again(personalize: Stubber) -> None:
    stub_existing_job(personalize)
    assert "Deadline" in on_event(event("Update", properties=WAIT), Context())


def test_does_not_wait_for_a_kept_failed_job(personalize: Stubber) -> None:
    stub_existing_job(personalize, status="CREATE FAILED")
    stub_missing_job(personalize, f"{NAME}-2")
    assert "Deadline" not in on_event(event("Update", properties=WAIT), Context())
    ended = event("Update", properties=WAIT, PhysicalResourceId=arn())
    assert is_complete(ended, Context()) == {"IsComplete": True}


def test_active_job_is_complete(personalize: Stubber, s3: Any) -> None:
    s3.create_bucket(Bucket="out")
    record = b'{"input": {"itemId": "1"}, "output": null, "error": "who?"}'
    s3.put_object(Bucket="out", Key=f"segments/{NAME}/part-00000.jsonl.out", Body=record)
    stub_existing_job(personalize)
    assert is_complete(waiting(), Context()) == {
        "IsComplete": True,
        "Data": {"Status": "ACTIVE", "QueryErrors": "1 of 1 queries; the first: who?"},
    }


def test_active_job_in_other_case_is_complete(personalize: Stubber, found: Any) -> None:
    stub_existing_job(personalize, status="Active")
    found(QueryErrors(1))
    assert is_complete(waiting(), Context())["Data"] == {"Status": "ACTIVE", "QueryErrors": "none"}


@pytest.mark.parametrize("status", ["CREATE PENDING", "CREATE IN_PROGRESS", "SOMETHING NEW"])
def test_job_in_progress_is_not_complete(personalize: Stubber, status: str) -> None:
    stub_existing_job(personalize, status=status)
    assert is_complete(waiting(), Context()) == {"IsComplete": False}


def test_waits_for_a_job_that_is_not_visible_yet(personalize: Stubber) -> None:
    stub_missing_job(personalize)
    assert is_complete(waiting(), Context()) == {"IsComplete": False}


def test_reading_the_output_ends_before_cloudformation_times_out(
    personalize: Stubber, s3: Any, monkeypatch: pytest.MonkeyPatch, clock: Any
) -> None:
    given: list[float] = []

    def query_errors(_uri: str, seconds: float) -> QueryErrors:
        given.append(seconds)
        return QueryErrors(1)

    monkeypatch.setattr(handler, "query_errors", query_errors)
    for deadline in (1005, 9e9):
        stub_existing_job(personalize)
        is_complete(waiting(deadline=deadline), Context(seconds=300))
    assert given == [65, 200]


def test_permission_that_is_propagating_does_not_end_the_wait(personalize: Stubber, clock: Any) -> None:
    message = "User: handler is not authorized to perform: personalize:DescribeBatchSegmentJob"
    stub_errors(personalize, "describe_batch_segment_job", "AccessDeniedException", message, 6)
    stub_existing_job(personalize, status="CREATE IN_PROGRESS")
    assert is_complete(waiting(), Context(seconds=300)) == {"IsComplete": False}
    assert clock.sleeps == [2, 4, 8, 15, 15, 15]


def test_outage_does_not_end_the_wait_before_the_deadline(personalize: Stubber, clock: Any, log: Any) -> None:
    stub_errors(personalize, "describe_batch_segment_job", "ThrottlingException", "Rate exceeded", 7)
    assert is_complete(waiting(), Context()) == {"IsComplete": False}
    assert log()[-1]["decision"] == "not known"
    stub_errors(personalize, "describe_batch_segment_job", "ThrottlingException", "Rate exceeded", 7)
    with pytest.raises(JobError, match="DescribeBatchSegmentJob: ThrottlingException: Rate exceeded; "):
        is_complete(waiting(deadline=0), Context())


def test_failed_job_fails_the_deployment_with_the_reason(personalize: Stubber) -> None:
    stub_existing_job(personalize, status="CREATE FAILED", failureReason="No data in s3://in/")
    with pytest.raises(JobError, match=rf"^the job {NAME} ended CREATE FAILED: No data in s3://in/\. Log"):
        is_complete(waiting(), Context())


def test_reports_that_a_job_continues_after_the_deadline(personalize: Stubber) -> None:
    stub_existing_job(personalize, status="CREATE IN_PROGRESS")
    with pytest.raises(JobError) as failed:
        is_complete(waiting(deadline=0), Context())
    assert str(failed.value) == failure(
        f"wait_for_completion: the job {NAME} is CREATE IN_PROGRESS after 1800 seconds. The job is still running and "
        f"will be billed. Check it with: aws personalize describe-batch-segment-job --batch-segment-job-arn {arn()}"
    )


@pytest.mark.parametrize(("now", "is_over"), [(999.5, False), (1000.0, False), (1000.5, True)])
def test_wait_ends_after_the_deadline_and_not_at_it(
    personalize: Stubber, clock: Any, now: float, is_over: bool
) -> None:
    clock.now = now
    stub_existing_job(personalize, status="CREATE IN_PROGRESS")
    if is_over:
        with pytest.raises(JobError, match="is CREATE IN_PROGRESS after 1800 seconds"):
            is_complete(waiting(deadline=1000), Context())
    else:
        assert is_complete(waiting(deadline=1000), Context()) == {"IsComplete": False}


@pytest.mark.parametrize(("deadline", "is_over"), [(1120, False), (1119, True)])
def test_outage_ends_the_wait_after_the_deadline_and_not_at_it(
    personalize: Stubber, clock: Any, deadline: int, is_over: bool
) -> None:
    # Retries end 120 seconds after the start, at 1120.
    stub_errors(personalize, "describe_batch_segment_job", "ThrottlingException", "Rate exceeded", 7)
    if is_over:
        with pytest.raises(JobError, match="Rate exceeded"):
            is_complete(waiting(deadline=deadline), Context())
    else:
        assert is_complete(waiting(deadline=deadline), Context()) == {"IsComplete": False}


def test_deletion_is_complete_at_once(personalize: Stubber) -> None:
    assert is_complete(waiting("Delete", deadline=0), Context()) == {"IsComplete": True}


def test_fails_the_deployment_if_too_many_queries_failed(personalize: Stubber, found: Any) -> None:
    stub_existing_job(personalize)
    found(TWO)
    with pytest.raises(JobError) as failed:
        is_complete(waiting(MaxQueryErrors="1"), Context())
    assert str(failed.value) == failure(
        f"max_query_errors: 2 of 1,234 queries of the job {NAME} ended with an error, expected at most 1; the first: "
        "no such item. Correct the queries, or raise max_query_errors. The job is complete and is billed; its segments "
        f"are in s3://out/segments/{NAME}/"
    )


@pytest.mark.parametrize("allowed", [{"MaxQueryErrors": "2"}, {"MaxQueryErrors": "50000000"}, {}])
def test_allows_up_to_max_query_errors(personalize: Stubber, found: Any, log: Any, allowed: dict[str, Any]) -> None:
    stub_existing_job(personalize)
    found(TWO)
    assert is_complete(waiting(**allowed), Context()) == {
        "IsComplete": True,
        "Data": {"Status": "ACTIVE", "QueryErrors": "2 of 1,234 queries; the first: no such item"},
    }
    assert [line["decision"] for line in log()] == ["complete"]


@pytest.mark.parametrize(
    ("errors", "told"),
    [(QueryErrors(), "unknown"), (QueryErrors(9, all_read=False), "none of 9 read in time")],
)
def test_does_not_fail_the_deployment_if_errors_are_unknown(
    personalize: Stubber, found: Any, log: Any, errors: Any, told: str
) -> None:
    stub_existing_job(personalize)
    found(errors)
    done = is_complete(waiting(MaxQueryErrors="0"), Context())
    assert done == {"IsComplete": True, "Data": {"Status": "ACTIVE", "QueryErrors": told}}
    assert log()[-1] == {"decision": "query errors not known", "job": NAME, "max_query_errors": 0, "errors": told}


def test_fails_if_the_part_that_was_read_has_too_many_errors(personalize: Stubber, found: Any) -> None:
    stub_existing_job(personalize)
    found(QueryErrors(9, 3, "no", all_read=False))
    with pytest.raises(JobError, match=r"^max_query_errors: 3 of 9 queries"):
        is_complete(waiting(MaxQueryErrors="2"), Context())
