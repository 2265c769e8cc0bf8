"""The end of a wait: the deadline, queries that failed, and rollbacks."""

from typing import Any

import pytest
from batch_segment_handler import handler
from batch_segment_handler.failures import JobError, Patience
from batch_segment_handler.handler import is_complete, on_event
from batch_segment_handler.results import QueryErrors
from events import NAME, STACK, Context, answer, arn, event, failure, names_of, there_is, there_is_no, version_is


def waiting(request_type: str = "Create", deadline: float = 9e9, **properties: str) -> dict[str, Any]:
    return event(
        request_type, properties={"WaitSeconds": "1800", **properties}, PhysicalResourceId=arn(), Deadline=deadline
    )


def stack_is(cloudformation, status: str) -> None:
    stack = {"StackName": "Demo", "CreationTime": 0, "StackStatus": status}
    cloudformation.add_response("describe_stacks", {"Stacks": [stack]}, {"StackName": STACK})


@pytest.fixture
def found(monkeypatch):
    """Sets what the output says."""
    return lambda errors: monkeypatch.setattr(handler, "query_errors", lambda uri, seconds: errors)


TWO = QueryErrors(1234, 2, "no such item")


def test_fails_the_deployment_if_more_queries_failed_than_allowed(personalize, found):
    there_is(personalize)
    found(TWO)
    with pytest.raises(JobError) as failed:
        is_complete(waiting(MaxQueryErrors="1"), Context())
    assert str(failed.value) == failure(
        f"max_query_errors: 2 of 1,234 queries of the job {NAME} ended with an error, expected at most 1; the first: "
        "no such item. Correct the queries, or raise max_query_errors. The job is complete and is billed; its segments "
        f"are in s3://out/segments/{NAME}/"
    )


@pytest.mark.parametrize("allowed", [{"MaxQueryErrors": "2"}, {"MaxQueryErrors": "50000000"}, {}])
def test_does_not_fail_the_deployment_if_no_more_queries_failed_than_allowed(personalize, found, log, allowed):
    there_is(personalize)
    found(TWO)
    assert is_complete(waiting(**allowed), Context()) == {
        "IsComplete": True,
        "Data": {"Status": "ACTIVE", "QueryErrors": "2 of 1,234 queries; the first: no such item"},
    }
    assert [line["decision"] for line in log()] == ["complete"]


@pytest.mark.parametrize(
    ("errors", "told"),
    [(QueryErrors(), "unknown"), (QueryErrors(9, all_read=False), "none of 9 read in the time there was")],
)
def test_does_not_fail_the_deployment_if_the_errors_are_not_known(personalize, found, log, errors, told):
    there_is(personalize)
    found(errors)
    done = is_complete(waiting(MaxQueryErrors="0"), Context())
    assert done == {"IsComplete": True, "Data": {"Status": "ACTIVE", "QueryErrors": told}}
    assert log()[-1] == {"decision": "query errors not known", "job": NAME, "max_query_errors": 0, "errors": told}


def test_fails_the_deployment_if_the_part_that_was_read_has_too_many_errors(personalize, found):
    there_is(personalize)
    found(QueryErrors(9, 3, "no", all_read=False))
    with pytest.raises(JobError, match=r"^max_query_errors: 3 of 9 queries"):
        is_complete(waiting(MaxQueryErrors="2"), Context())


def test_queries_that_failed_do_not_stop_a_rollback(personalize, cloudformation, found):
    there_is(personalize)
    found(TWO)
    stack_is(cloudformation, "UPDATE_ROLLBACK_IN_PROGRESS")
    assert is_complete(waiting("Update", MaxQueryErrors="0"), Context()) == {"IsComplete": True}


# -- the deadline


@pytest.mark.parametrize(("now", "is_over"), [(999.5, False), (1000.0, False), (1000.5, True)])
def test_a_wait_is_over_after_its_deadline_and_not_at_it(personalize, monkeypatch, now, is_over):
    monkeypatch.setattr("time.time", lambda: now)
    there_is(personalize, status="CREATE IN_PROGRESS")
    if is_over:
        with pytest.raises(JobError, match="is CREATE IN_PROGRESS after 1800 seconds"):
            is_complete(waiting(deadline=1000), Context())
    else:
        assert is_complete(waiting(deadline=1000), Context()) == {"IsComplete": False}


@pytest.mark.parametrize(("now", "is_over"), [(1000.0, False), (1000.5, True)])
def test_an_outage_ends_the_wait_after_its_deadline_and_not_at_it(personalize, monkeypatch, waits, now, is_over):
    monkeypatch.setattr("time.time", lambda: now)
    for _ in range(100):
        personalize.add_client_error("describe_batch_segment_job", "ThrottlingException", "Rate exceeded")
    if is_over:
        with pytest.raises(JobError, match="Rate exceeded"):
            is_complete(waiting(deadline=1000), Context())
    else:
        assert is_complete(waiting(deadline=1000), Context()) == {"IsComplete": False}
    personalize._queue.clear()


def test_a_job_that_is_not_visible_yet_is_waited_for(personalize):
    there_is_no(personalize)
    assert is_complete(waiting(), Context()) == {"IsComplete": False}


def test_an_active_job_in_other_letters_is_complete(personalize, found):
    there_is(personalize, status="Active")
    found(QueryErrors(1))
    assert is_complete(waiting(), Context())["Data"] == {"Status": "ACTIVE", "QueryErrors": "none"}


# -- rollbacks that cannot be told from updates


def test_says_whether_the_event_has_created_the_job(personalize, cloudformation):
    (name,) = names_of(Trigger="2")
    there_is_no(personalize, name)
    for _ in range(2):
        stack_is(cloudformation, "UPDATE_IN_PROGRESS")
    version_is(personalize)
    personalize.add_response("create_batch_segment_job", {"batchSegmentJobArn": arn(name)}, None)
    created = on_event(event("Update", properties={"Trigger": "2", "WaitSeconds": "60"}), Context())
    assert created.pop("Deadline") > 0
    assert created == {**answer(name), "Created": True}
    there_is(personalize, name)
    adopted = on_event(event(properties={"Trigger": "2", "WaitSeconds": "60"}), Context())
    assert "Created" not in adopted


@pytest.mark.parametrize("created", [True, False])
def test_fails_in_doubt_only_for_a_job_that_the_event_has_created(personalize, cloudformation, waits, created):
    there_is(personalize, status="CREATE FAILED", failureReason="no data")
    for _ in range(200):
        cloudformation.add_client_error("describe_stacks", "AccessDenied", "no")
    update = {**waiting("Update"), **({"Created": True} if created else {})}
    if created:
        with pytest.raises(JobError, match="ended CREATE FAILED: no data"):
            is_complete(update, Context())
    else:
        assert is_complete(update, Context()) == {"IsComplete": True}
    cloudformation._queue.clear()


# -- the retry budget


@pytest.mark.parametrize("seconds", [0, -1])
def test_a_budget_that_is_used_up_waits_for_nothing(waits, seconds):
    assert not Patience(seconds).wait(1, for_propagation=False)
    assert waits == []


def test_a_budget_is_spent_to_its_end_and_no_further(waits):
    budget = Patience(3)
    assert budget.wait(2, for_propagation=False)
    assert budget.wait(2, for_propagation=False)
    assert waits == pytest.approx([2, 1], abs=0.1)
    # Whatever is left of the clock, the waits are spent.
    budget._left = 0
    assert not budget.wait(1, for_propagation=False)
    assert len(waits) == 2
