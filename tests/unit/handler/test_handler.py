import datetime
import json
import re
from typing import Any

import boto3
import pytest
from batch_segment_handler import clients, handler
from batch_segment_handler.failures import JobError, Patience, StackUnknownError, UnavailableError, call
from batch_segment_handler.handler import is_complete, on_event
from batch_segment_handler.job import BatchSegmentJob, flatten
from batch_segment_handler.results import QueryErrors
from batch_segment_handler.text import printable
from botocore.exceptions import ClientError, ConnectionClosedError, EndpointConnectionError, ReadTimeoutError
from botocore.parsers import ResponseParserError
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
from support import ACCOUNT, FILTER, REGION, SOLUTION, VERSION


def request(name: str = NAME, **more: Any) -> dict[str, Any]:
    return {
        "jobName": name,
        "solutionVersionArn": VERSION,
        "roleArn": ROLE,
        "jobInput": {"s3DataSource": {"path": "s3://in/queries.jsonl"}},
        "jobOutput": {"s3DataDestination": {"path": f"s3://out/segments/{name}/"}},
        **more,
    }


def create_works(personalize, name: str = NAME, **more: Any) -> None:
    personalize.add_response("create_batch_segment_job", {"batchSegmentJobArn": arn(name)}, request(name, **more))


def create_fails(personalize, code: str, message: str = "no", **more: Any) -> None:
    personalize.add_client_error("create_batch_segment_job", code, message, expected_params=request(**more))


# -- create


def test_a_new_resource_is_a_new_job(personalize, log):
    there_is_no(personalize)
    version_is(personalize)
    create_works(personalize)
    assert on_event(event(), Context()) == answer()
    assert [line["decision"] for line in log()] == ["received", "created"]


def test_everything_is_sent_that_the_template_says_and_numbers_as_numbers(personalize):
    properties = {
        "JobNamePrefix": None,
        "JobName": "mine",
        "FilterArn": FILTER,
        "NumResults": "1000",
        "InputKmsKeyArn": f"arn:aws:kms:{REGION}:{ACCOUNT}:key/in",
        "OutputKmsKeyArn": f"arn:aws:kms:{REGION}:{ACCOUNT}:key/out",
        "Tags": [{"key": "team", "value": "growth"}],
    }
    there_is_no(personalize, "mine")
    version_is(personalize)
    personalize.add_response(
        "describe_filter", {"filter": {"filterArn": FILTER, "status": "ACTIVE"}}, {"filterArn": FILTER}
    )
    create_works(
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


def test_the_same_event_again_adopts_the_job(personalize, log):
    there_is(personalize, status="CREATE IN_PROGRESS")
    assert on_event(event(), Context()) == answer(status="CREATE IN_PROGRESS")
    assert log()[-1] == {"decision": "adopted", "job": NAME, "status": "CREATE IN_PROGRESS"}


def test_the_same_event_at_the_same_time_adopts_the_job(personalize):
    there_is_no(personalize)
    version_is(personalize)
    create_fails(personalize, "ResourceAlreadyExistsException", "Another resource with that Arn already exists.")
    there_is(personalize, status="CREATE PENDING")
    assert on_event(event(), Context()) == answer()


def test_a_job_that_failed_gives_way_to_the_next_attempt(personalize):
    there_is(personalize, status="CREATE FAILED", failureReason="no")
    there_is(personalize, f"{NAME}-2", status="CREATE FAILED")
    there_is_no(personalize, f"{NAME}-3")
    version_is(personalize)
    create_works(personalize, f"{NAME}-3")
    assert on_event(event(), Context()) == answer(f"{NAME}-3")


def test_the_latest_active_version_of_a_solution_is_taken(personalize):
    def version(id: str, day: int, status: str = "ACTIVE") -> dict[str, Any]:
        when = datetime.datetime(2026, 1, day, tzinfo=datetime.UTC)
        return {"solutionVersionArn": f"{SOLUTION}/{id}", "status": status, "creationDateTime": when}

    (name,) = names_of(SolutionVersionArn=None, SolutionArn=SOLUTION)
    there_is_no(personalize, name)
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
    version_is(personalize)
    create_works(personalize, name)
    got = on_event(event(properties={"SolutionVersionArn": None, "SolutionArn": SOLUTION}), Context())
    assert got == answer(name)


def test_a_solution_without_an_active_version_is_refused(personalize):
    (name,) = names_of(SolutionVersionArn=None, SolutionArn=SOLUTION)
    there_is_no(personalize, name)
    personalize.add_response("list_solution_versions", {"solutionVersions": []}, {"solutionArn": SOLUTION})
    with pytest.raises(JobError, match=f"^solution_arn: {SOLUTION} has no ACTIVE version; train one first. Log"):
        on_event(event(properties={"SolutionVersionArn": None, "SolutionArn": SOLUTION}), Context())


def test_a_solution_version_that_failed_is_refused(personalize):
    there_is_no(personalize)
    version_is(personalize, "CREATE FAILED", failureReason="too little data")
    with pytest.raises(JobError) as failed:
        on_event(event(), Context())
    assert str(failed.value) == failure(
        f"solution_version_arn: {VERSION} has the status CREATE FAILED (too little data), expected ACTIVE"
    )


# -- names


def test_a_name_is_its_prefix_and_twelve_hexadecimal_digits():
    assert re.fullmatch(r"Demo-ComedyFans-1A2B3C4D-[0-9a-f]{12}", names_of()[0])


def test_the_name_of_todays_events_stays_what_it_is():
    # If this fails, an upgrade of the library would start every user's jobs again.
    assert names_of() == [NAME]


@pytest.mark.parametrize(
    "changes",
    [
        {"RoleArn": "arn:aws:iam::123456789012:role/other"},
        {"Tags": [{"key": "a", "value": "b"}]},
        {"ServiceToken": "other"},
        {"WaitSeconds": "600"},
        {"ValidateInput": "false"},
        {"AssetBucket": "other"},
        {"AssetKey": "other"},
        {"AssetKmsKeyArn": "other"},
        {"QueriesPerFile": "9"},
        {"MaxQueryErrors": "0"},
        {"InputIsInline": "true"},
        {"Queries": "3 queries"},
        {"SomethingOfALaterVersion": "1"},
    ],
)
def test_what_does_not_define_the_job_leaves_its_name(changes):
    assert names_of(**changes) == [NAME]


@pytest.mark.parametrize(
    "changes",
    [
        {"stack": f"{STACK}1"},
        {"JobNamePrefix": "Demo-DramaFans-1A2B3C4D"},
        {"SolutionVersionArn": f"{VERSION}1"},
        {"FilterArn": FILTER},
        {"NumResults": "10"},
        {"InputPath": "s3://in/other.jsonl"},
        {"InputPath": None, "InputBucket": "in"},
        {"AssetHash": "00"},
        {"InputPrefix": "other/"},
        {"OutputPath": "s3://out/other/"},
        {"InputKmsKeyArn": "key"},
        {"OutputKmsKeyArn": "key"},
        {"Trigger": "2"},
    ],
)
def test_what_defines_the_job_changes_its_name(changes):
    assert names_of(**changes) != [NAME]


# -- explicit names

EXPLICIT = {"JobNamePrefix": None, "JobName": "mine"}


def test_an_explicit_name_of_the_same_job_is_adopted(personalize):
    there_is(personalize, "mine")
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
def test_an_explicit_name_of_another_job_is_refused(
    personalize, cloudformation, request_type, properties, details, difference
):
    there_is(personalize, "mine", **details)
    update = {} if request_type == "Create" else {"PhysicalResourceId": arn("mine"), "OldResourceProperties": {}}
    if update:
        stack_is(cloudformation, "UPDATE_IN_PROGRESS")
    with pytest.raises(JobError) as failed:
        on_event(event(request_type, properties={**EXPLICIT, **properties}, **update), Context())
    assert str(failed.value) == failure(
        f"job_name: 'mine' is taken by another job ({arn('mine')}), which differs in {difference}. Names are never "
        "freed by the service: choose another, or leave job_name out"
    )


def test_an_explicit_name_of_a_failed_job_is_refused_on_create(personalize):
    there_is(personalize, "mine", status="CREATE FAILED", failureReason="bad input")
    with pytest.raises(JobError) as failed:
        on_event(event(properties=EXPLICIT), Context())
    assert str(failed.value) == failure(
        "job_name: 'mine' is taken by a job that ended CREATE FAILED: bad input. Names are never freed by the "
        "service: choose another, or leave job_name out"
    )


def stack_is(cloudformation, status: str) -> None:
    stack = {"StackName": "Demo", "CreationTime": datetime.datetime(2026, 1, 1), "StackStatus": status}
    cloudformation.add_response("describe_stacks", {"Stacks": [stack]}, {"StackName": STACK})


def test_an_explicit_name_of_a_failed_job_is_refused_on_update_too(personalize, cloudformation):
    there_is(personalize, "mine", status="CREATE FAILED", failureReason="no data")
    for _ in range(2):
        stack_is(cloudformation, "UPDATE_IN_PROGRESS")
    with pytest.raises(JobError, match=r"^job_name: 'mine' is taken by a job that ended CREATE FAILED: no data"):
        on_event(event("Update", properties=EXPLICIT, PhysicalResourceId=arn("newer")), Context())


def test_a_rollback_to_a_job_that_failed_starts_nothing(personalize, cloudformation):
    there_is(personalize, status="CREATE FAILED")
    there_is_no(personalize, f"{NAME}-2")
    stack_is(cloudformation, "UPDATE_ROLLBACK_IN_PROGRESS")
    rollback = event("Update", properties=WAIT, PhysicalResourceId=arn("newer"))
    assert on_event(rollback, Context()) == answer(status="CREATE FAILED")


def test_a_rollback_succeeds_though_nothing_can_be_asked(personalize, cloudformation, waits):
    for _ in range(200):
        personalize.add_client_error("describe_batch_segment_job", "ThrottlingException", "Rate exceeded")
    stack_is(cloudformation, "UPDATE_ROLLBACK_IN_PROGRESS")
    assert on_event(event("Update", PhysicalResourceId=arn("newer")), Context()) == answer(status="UNKNOWN")
    forget_the_rest(personalize)


def nobody_knows_the_stack(cloudformation, code: str = "AccessDenied") -> None:
    for _ in range(200):
        cloudformation.add_client_error("describe_stacks", code, "no")


def test_rejects_failed_explicit_job_if_the_stack_is_unknown(personalize, cloudformation, waits):
    there_is(personalize, "mine", status="CREATE FAILED")
    nobody_knows_the_stack(cloudformation)
    with pytest.raises(
        JobError, match=r"^cannot tell whether the stack is rolling back, so no job was created: a perm"
    ):
        on_event(event("Update", properties=EXPLICIT, PhysicalResourceId=arn("newer")), Context())
    forget_the_rest(cloudformation)


@pytest.mark.parametrize("code", ["AccessDenied", "Throttling"])
def test_creates_nothing_if_the_stack_is_unknown(personalize, cloudformation, waits, code):
    (name,) = names_of(Trigger="2")
    there_is_no(personalize, name)
    nobody_knows_the_stack(cloudformation, code)
    with pytest.raises(JobError) as failed:
        on_event(event("Update", properties={"Trigger": "2"}), Context())
    forget_the_rest(cloudformation)
    cause = {"AccessDenied": "a permission is missing", "Throttling": "AWS returned an unexpected response or none"}
    assert str(failed.value).startswith(
        "cannot tell whether the stack is rolling back, so no job was created: "
        f"{cause[code]} (DescribeStacks: {code}: no; "
    )
    assert str(failed.value).endswith(f" Log group: {LOG_GROUP}.")


def test_keeps_the_job_if_neither_service_answers(personalize, cloudformation, waits):
    for _ in range(200):
        personalize.add_client_error("describe_batch_segment_job", "ThrottlingException", "Rate exceeded")
    nobody_knows_the_stack(cloudformation)
    assert on_event(event("Update"), Context()) == answer(status="UNKNOWN")
    forget_the_rest(personalize)
    forget_the_rest(cloudformation)


def test_retries_describe_stacks_in_a_rollback(personalize, cloudformation, waits):
    there_is_no(personalize)
    for _ in range(3):
        cloudformation.add_client_error("describe_stacks", "Throttling", "Rate exceeded")
    stack_is(cloudformation, "UPDATE_ROLLBACK_IN_PROGRESS")
    assert on_event(event("Update", PhysicalResourceId=arn("newer")), Context()) == answer(status="UNKNOWN")
    assert len(waits) == 3


def test_a_look_at_the_stack_ends_in_time(cloudformation, waits):
    nobody_knows_the_stack(cloudformation, "Throttling")
    with pytest.raises(StackUnknownError):
        handler._is_rolling_back(event("Update"), Context(seconds=100))
    forget_the_rest(cloudformation)
    # The rest is for a call that hangs and for the answer.
    assert sum(waits) == pytest.approx(50)


def test_creates_nothing_in_a_rollback_whose_old_job_is_gone(personalize, cloudformation, log):
    there_is_no(personalize)
    stack_is(cloudformation, "UPDATE_ROLLBACK_IN_PROGRESS")
    rollback = event("Update", properties=WAIT, PhysicalResourceId=arn("newer"))
    assert on_event(rollback, Context()) == answer(status="UNKNOWN")
    assert log()[-1] == {"decision": "assumed", "job": NAME, "status": "UNKNOWN"}


def test_creates_nothing_in_a_rollback_whose_explicit_job_is_gone(personalize, cloudformation):
    there_is_no(personalize, "mine")
    stack_is(cloudformation, "UPDATE_ROLLBACK_IN_PROGRESS")
    rollback = event("Update", properties=EXPLICIT, PhysicalResourceId=arn("newer"))
    assert on_event(rollback, Context()) == answer("mine", "UNKNOWN")


def test_creates_nothing_if_the_update_is_canceled_while_it_waits(personalize, cloudformation, waits):
    (name,) = names_of(Trigger="2")
    there_is_no(personalize, name)
    stack_is(cloudformation, "UPDATE_IN_PROGRESS")
    version_is(personalize)
    stack_is(cloudformation, "UPDATE_IN_PROGRESS")
    personalize.add_client_error("create_batch_segment_job", "LimitExceededException", "5 jobs")
    for _ in range(2):
        stack_is(cloudformation, "UPDATE_ROLLBACK_IN_PROGRESS")
    got = on_event(event("Update", properties={"Trigger": "2"}), Context())
    assert got == answer(name, "UNKNOWN")


def test_a_rollback_to_properties_without_a_job_does_not_fail(cloudformation):
    stack_is(cloudformation, "UPDATE_ROLLBACK_IN_PROGRESS")
    got = on_event(event("Update", properties={"JobNamePrefix": None, "NewJobIfChanged": None}), Context())
    assert got["PhysicalResourceId"] == arn()
    assert set(got["Data"].values()) == {"UNKNOWN"}


def test_a_wait_that_fails_in_a_rollback_does_not_stop_it(personalize, cloudformation):
    there_is(personalize, status="CREATE FAILED")
    stack_is(cloudformation, "UPDATE_ROLLBACK_IN_PROGRESS")
    assert is_complete(waiting(9e9, "Update"), Context()) == {"IsComplete": True}


def test_a_rollback_to_an_explicit_name_whose_job_failed_works(personalize, cloudformation):
    stack_is(cloudformation, "UPDATE_ROLLBACK_IN_PROGRESS")
    there_is(personalize, "mine", status="CREATE FAILED")
    rollback = event("Update", properties=EXPLICIT, PhysicalResourceId=arn("newer"))
    assert on_event(rollback, Context()) == answer("mine", "CREATE FAILED")


# -- update


def test_an_update_of_nothing_that_defines_the_job_keeps_it(personalize, log):
    there_is(personalize)
    old = properties_with(RoleArn="other")
    assert on_event(event("Update", OldResourceProperties=old), Context()) == answer(status="ACTIVE")
    assert log()[-1] == {"decision": "kept", "job": NAME, "status": "ACTIVE"}


def test_tags_are_changed_in_place(personalize):
    there_is(personalize)
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


def test_an_update_of_what_defines_the_job_starts_another(personalize, cloudformation):
    (name,) = names_of(NumResults="10")
    there_is_no(personalize, name)
    for _ in range(2):
        stack_is(cloudformation, "UPDATE_IN_PROGRESS")
    version_is(personalize)
    create_works(personalize, name, numResults=10)
    assert on_event(event("Update", properties={"NumResults": "10"}), Context()) == answer(name)


def test_a_rollback_adopts_the_old_job(personalize):
    there_is(personalize)
    rollback = event("Update", PhysicalResourceId=arn("Demo-ComedyFans-1A2B3C4D-ffffffffffff"))
    assert on_event(rollback, Context()) == answer(status="ACTIVE")


def test_a_later_attempt_is_kept_too(personalize):
    there_is(personalize, f"{NAME}-2")
    update = event("Update", PhysicalResourceId=arn(f"{NAME}-2"))
    assert on_event(update, Context()) == answer(f"{NAME}-2", "ACTIVE")


@pytest.mark.parametrize("status", ["CREATE FAILED", "CREATE IN_PROGRESS", "SOMETHING NEW"])
def test_a_kept_job_starts_nothing_and_fails_nothing_whatever_became_of_it(personalize, status):
    there_is(personalize, status=status)
    if status == "CREATE FAILED":
        there_is_no(personalize, f"{NAME}-2")
    assert on_event(event("Update"), Context()) == answer(status=status)


def test_a_kept_job_that_failed_gives_way_to_a_later_attempt_that_is_there(personalize):
    # A rollback in which nothing could be asked settles on the first attempt.
    there_is(personalize, status="CREATE FAILED")
    there_is(personalize, f"{NAME}-2", status="CREATE FAILED")
    there_is(personalize, f"{NAME}-3")
    assert on_event(event("Update"), Context()) == answer(f"{NAME}-3", "ACTIVE")


def test_a_rollback_to_a_job_without_a_number_keeps_it(personalize, cloudformation):
    # The number that the update asked for was the one that the service had taken by itself.
    there_is(personalize, "mine", numResults=25)
    stack_is(cloudformation, "UPDATE_ROLLBACK_IN_PROGRESS")
    old = properties_with(**EXPLICIT, NumResults="25")
    update = event("Update", properties=EXPLICIT, PhysicalResourceId=arn("mine"), OldResourceProperties=old)
    assert on_event(update, Context()) == answer("mine", "ACTIVE")


def test_a_number_that_the_job_never_had_is_taken_away_without_a_new_name(personalize):
    there_is(personalize, "mine", numResults=25)
    old = properties_with(**EXPLICIT, NumResults="7")
    update = event("Update", properties=EXPLICIT, PhysicalResourceId=arn("mine"), OldResourceProperties=old)
    assert on_event(update, Context()) == answer("mine", "ACTIVE")


@pytest.mark.parametrize(
    ("suffix", "is_ours"),
    [("", True), ("-2", True), ("-10", True), ("-99", True), ("-1", False), ("-02", False), ("-100", False)],
)
def test_only_names_that_are_ever_given_are_attempts_of_the_job(suffix, is_ours):
    job = BatchSegmentJob(flatten(properties_with()), STACK, Patience(0))
    assert job.is_named(f"{NAME}{suffix}") == is_ours
    assert (f"{NAME}{suffix}" in job._names()) == is_ours


def test_a_number_that_is_taken_away_needs_a_new_explicit_name_too(personalize, cloudformation):
    there_is(personalize, "mine", numResults=5000)
    stack_is(cloudformation, "UPDATE_IN_PROGRESS")
    old = properties_with(**EXPLICIT, NumResults="5000")
    update = event("Update", properties=EXPLICIT, PhysicalResourceId=arn("mine"), OldResourceProperties=old)
    stack_is(cloudformation, "UPDATE_IN_PROGRESS")
    with pytest.raises(JobError, match="which differs in num_results"):
        on_event(update, Context())


def test_a_kept_job_that_the_service_no_longer_knows_fails_nothing(personalize):
    there_is_no(personalize)
    assert on_event(event("Update"), Context()) == answer(status="UNKNOWN")


# -- delete


@pytest.mark.parametrize(
    "physical_id", [arn(), "AWSCDK::CustomResourceProviderFramework::CREATE_FAILED", "invented", arn("not-ours")]
)
def test_delete_calls_nothing(personalize, physical_id):
    got = on_event(event("Delete", PhysicalResourceId=physical_id), Context())
    assert got == {"PhysicalResourceId": physical_id}


# -- failures

DENIED = "User: arn:aws:sts::123456789012:assumed-role/handler is not authorized to perform: personalize:Create"
PRIVILEGES = "Insufficient privileges for accessing data in S3. Please look at the guide and fix bucket policy on in"


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("InvalidInputException", PRIVILEGES),
        ("InvalidInputException", "Role cannot be assumed by Personalize"),
        ("AccessDeniedException", DENIED),
        ("LimitExceededException", "5 jobs"),
        ("ResourceInUseException", "still creating"),
        ("ThrottlingException", "Rate exceeded"),
    ],
)
def test_what_may_pass_is_waited_for(personalize, waits, log, code, message):
    there_is_no(personalize)
    version_is(personalize)
    create_fails(personalize, code, message)
    create_fails(personalize, code, message)
    create_works(personalize)
    assert on_event(event(), Context()) == answer()
    assert len(waits) == 2
    assert 1 <= waits[0] <= 2 <= waits[1] <= 4
    assert [line["decision"] for line in log()] == ["received", "waited", "waited", "created"]


def fails_for_ever(personalize, code: str, message: str, times: int) -> None:
    there_is_no(personalize)
    version_is(personalize)
    for _ in range(times):
        create_fails(personalize, code, message)


def forget_the_rest(personalize) -> None:
    """Takes back the answers that were prepared and not needed."""
    personalize._queue.clear()


def test_a_missing_permission_is_waited_for_two_minutes_and_then_reported(personalize, waits):
    fails_for_ever(personalize, "InvalidInputException", PRIVILEGES, 100)
    with pytest.raises(JobError) as failed:
        on_event(event(), Context())
    forget_the_rest(personalize)
    assert sum(waits) == pytest.approx(120)
    assert re.sub(r"\d+ attempts", "N attempts", str(failed.value)) == failure(
        f"a permission is missing (CreateBatchSegmentJob: InvalidInputException: {PRIVILEGES}; N attempts in 120 "
        "seconds). Check the policies of the role, the buckets and the key, and deploy again: a new policy takes a "
        "while to propagate"
    )


def test_a_full_service_is_waited_for_until_the_lambda_ends(personalize, waits):
    fails_for_ever(personalize, "LimitExceededException", "5 jobs", 100)
    with pytest.raises(JobError) as failed:
        on_event(event(), Context(seconds=840))
    forget_the_rest(personalize)
    assert sum(waits) == pytest.approx(840 - 100)
    assert re.sub(r"\d+ attempts", "N attempts", str(failed.value)) == failure(
        "Amazon Personalize runs 5 batch segment jobs at once, and the limit is reached (CreateBatchSegmentJob: "
        "LimitExceededException: 5 jobs; N attempts in 740 seconds). Deploy again when other jobs are complete, or "
        "chain the jobs: give them wait_for_completion, and let each depend on an earlier one "
        "(job.node.add_dependency(other_job))"
    )


@pytest.mark.parametrize(
    "error",
    [
        ConnectionClosedError(endpoint_url="https://personalize"),
        EndpointConnectionError(endpoint_url="https://personalize"),
        ReadTimeoutError(endpoint_url="https://personalize"),
        ResponseParserError("not JSON"),
        ClientError({"Error": {"Code": "503"}, "ResponseMetadata": {"HTTPStatusCode": 503}}, "DescribeFilter"),
    ],
)
def test_a_transport_that_fails_is_waited_for_until_the_time_is_over(waits, error):
    answers = [error, error, "answer"]

    def operation() -> str:
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert call(operation, Patience(60)) == "answer"
    answers[:] = [error]
    with pytest.raises(
        UnavailableError, match=r"^AWS returned an unexpected response .*; \d+ attempts in 60 seconds\)\. Deploy"
    ):
        call(operation, Patience(60))


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (
            "InvalidInputException",
            "Amazon Personalize rejects the request: no (InvalidInputException). Sent: solution_version_arn "
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
def test_what_does_not_pass_is_explained_at_once(personalize, waits, log, code, expected):
    there_is_no(personalize)
    version_is(personalize)
    create_fails(personalize, code)
    with pytest.raises(JobError) as failed:
        on_event(event(), Context())
    assert str(failed.value) == failure(expected)
    assert waits == []
    assert log()[-1]["decision"] == "failed"


@pytest.mark.parametrize("text", ["x", "あ", "💥", '"', "\\", "\n", "\x1b", "\ud800"])
def test_a_reason_fits_into_what_cloudformation_takes(personalize, text):
    there_is_no(personalize)
    version_is(personalize)
    create_fails(personalize, "InvalidInputException", text * 100_000)
    with pytest.raises(JobError) as failed:
        on_event(event(), Context())
    assert len(json.dumps(str(failed.value), ensure_ascii=False).encode()) <= 2502
    assert str(failed.value).startswith(f"Amazon Personalize rejects the request: {printable(text)}")
    assert f"… (InvalidInputException). Sent: solution_version_arn {VERSION}, " in str(failed.value)
    assert str(failed.value).endswith(f" Log group: {LOG_GROUP}.")


def test_a_service_that_hangs_does_not_outlast_the_function():
    config = boto3.client("personalize", region_name="eu-west-1", config=clients._CONFIG).meta.config
    longest = config.retries["total_max_attempts"] * (config.connect_timeout + config.read_timeout)
    assert longest == clients.LONGEST_CALL == 40
    # A call that starts in the last moment, a look at the stack after it, and time to answer.
    assert 2 * longest + 20 <= handler._TIME_TO_ANSWER


def test_what_an_alarm_is_put_on_is_counted_for_the_stack_and_the_resource(personalize, capsys):
    there_is_no(personalize)
    version_is(personalize)
    create_fails(personalize, "TooManyTagsException")
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


def test_no_log_line_has_the_signed_url(personalize, capsys):
    there_is_no(personalize)
    version_is(personalize)
    create_fails(personalize, "InvalidInputException")
    with pytest.raises(JobError):
        on_event(event(), Context())
    on_event(event("Delete"), Context())
    there_is(personalize, status="CREATE FAILED")
    with pytest.raises(JobError):
        is_complete(waiting(9e9), Context())
    out, err = capsys.readouterr()
    assert "decision" in out
    assert "Signature" not in out + err


def test_a_number_that_is_none_is_refused_before_anything_is_created(personalize):
    (name,) = names_of(NumResults="many")
    there_is_no(personalize, name)
    version_is(personalize)
    with pytest.raises(JobError, match=r"^num_results: got 'many', expected a whole number from 1 to 5,000,000\. Log"):
        on_event(event(properties={"NumResults": "many"}), Context())


# -- waiting

WAIT = {"WaitSeconds": "1800"}


def waiting(deadline: float, request_type: str = "Create") -> dict[str, Any]:
    return event(request_type, properties=WAIT, PhysicalResourceId=arn(), Deadline=deadline)


def test_a_deployment_that_waits_is_told_until_when(personalize, monkeypatch):
    monkeypatch.setattr("time.time", lambda: 1000.0)
    there_is(personalize, status="CREATE PENDING")
    assert on_event(event(properties=WAIT), Context())["Deadline"] == 2800


def test_what_the_handler_itself_has_waited_is_not_taken_off(personalize, monkeypatch):
    times = iter([1000.0, *[1700.0] * 9])
    monkeypatch.setattr(handler.time, "time", lambda: next(times))
    there_is(personalize, status="CREATE PENDING")
    assert on_event(event(properties={"WaitSeconds": "600"}), Context())["Deadline"] == 2300


def test_the_wait_ends_before_cloudformation_gives_up(personalize, monkeypatch):
    monkeypatch.setattr("time.time", lambda: 1000.0)
    there_is(personalize, status="CREATE PENDING")
    assert on_event(event(properties={"WaitSeconds": "3600"}), Context())["Deadline"] == 1000 + 3600 - 180


def test_the_output_of_a_kept_job_that_is_active_is_looked_at_again(personalize):
    there_is(personalize)
    assert "Deadline" in on_event(event("Update", properties=WAIT), Context())


def test_there_is_nothing_to_wait_for_when_a_kept_job_has_failed(personalize):
    there_is(personalize, status="CREATE FAILED")
    there_is_no(personalize, f"{NAME}-2")
    assert "Deadline" not in on_event(event("Update", properties=WAIT), Context())
    ended = event("Update", properties=WAIT, PhysicalResourceId=arn())
    assert is_complete(ended, Context()) == {"IsComplete": True}


def test_a_job_is_complete_when_it_is_active(personalize, s3):
    s3.create_bucket(Bucket="out")
    record = b'{"input": {"itemId": "1"}, "output": null, "error": "who?"}'
    s3.put_object(Bucket="out", Key=f"segments/{NAME}/part-00000.jsonl.out", Body=record)
    there_is(personalize)
    assert is_complete(waiting(9e9), Context()) == {
        "IsComplete": True,
        "Data": {"Status": "ACTIVE", "QueryErrors": "1 of 1 queries; the first: who?"},
    }


@pytest.mark.parametrize("status", ["CREATE PENDING", "CREATE IN_PROGRESS", "SOMETHING NEW"])
def test_a_job_is_not_complete_before(personalize, status):
    there_is(personalize, status=status)
    assert is_complete(waiting(9e9), Context()) == {"IsComplete": False}


def test_reading_the_output_ends_before_cloudformation_gives_up(personalize, s3, monkeypatch):
    given = []
    monkeypatch.setattr(handler, "query_errors", lambda uri, seconds: given.append(seconds) or QueryErrors(1))
    monkeypatch.setattr("time.time", lambda: 1000.0)
    for deadline in (1005, 9e9):
        there_is(personalize)
        is_complete(waiting(deadline), Context(seconds=300))
    assert given == [65, 200]


def test_a_permission_that_was_given_only_now_does_not_end_the_wait(personalize, waits):
    for _ in range(6):
        personalize.add_client_error("describe_batch_segment_job", "AccessDeniedException", DENIED)
    there_is(personalize, status="CREATE IN_PROGRESS")
    assert is_complete(waiting(9e9), Context(seconds=300)) == {"IsComplete": False}
    assert 30 < sum(waits) < 120


def test_a_service_that_does_not_answer_does_not_end_the_wait_before_its_time(personalize, waits, log):
    for _ in range(200):
        personalize.add_client_error("describe_batch_segment_job", "ThrottlingException", "Rate exceeded")
    assert is_complete(waiting(9e9), Context()) == {"IsComplete": False}
    assert log()[-1]["decision"] == "not known"
    with pytest.raises(JobError, match="DescribeBatchSegmentJob: ThrottlingException: Rate exceeded; "):
        is_complete(waiting(0), Context())
    forget_the_rest(personalize)


def test_a_job_that_failed_fails_the_deployment_with_the_services_words(personalize):
    there_is(personalize, status="CREATE FAILED", failureReason="No data in s3://in/")
    with pytest.raises(JobError, match=rf"^the job {NAME} ended CREATE FAILED: No data in s3://in/\. Log"):
        is_complete(waiting(9e9), Context())


def test_a_job_that_takes_too_long_goes_on_and_the_message_says_so(personalize):
    there_is(personalize, status="CREATE IN_PROGRESS")
    with pytest.raises(JobError) as failed:
        is_complete(waiting(0), Context())
    assert str(failed.value) == failure(
        f"wait_for_completion: the job {NAME} is CREATE IN_PROGRESS after 1800 seconds. The job is still running and "
        f"will be billed. Check it with: aws personalize describe-batch-segment-job --batch-segment-job-arn {arn()}"
    )


def test_a_deletion_is_complete_at_once(personalize):
    assert is_complete(waiting(0, "Delete"), Context()) == {"IsComplete": True}


def test_answers_are_small_json(personalize):
    there_is(personalize)
    assert len(json.dumps(on_event(event(), Context()))) < 4096
