"""Messages for users: their content, their length, and text from outside."""

import json
from typing import Any

import pytest
from batch_segment_handler import log as log_module
from batch_segment_handler import results
from batch_segment_handler.contract import FlatProperties
from batch_segment_handler.errors import JobError, explain
from batch_segment_handler.handler import is_complete, on_event
from batch_segment_handler.text import json_length, printable, quote, shorten
from botocore.exceptions import ClientError
from botocore.stub import Stubber
from support.constants import FILTER, SOLUTION, VERSION
from support.events import (
    LOG_GROUP,
    Context,
    arn,
    event,
    failure,
    properties_with,
    stub_existing_job,
    stub_missing_job,
    stub_solution_version,
)

pytestmark = pytest.mark.usefixtures("new_stack")

ESCAPES = "today/\x1b]0;pwned\x07\x9b\u202e\ud800"
ESCAPED = "today/\\x1b]0;pwned\\x07\\x9b\\u202e\\ud800"


def error(code: str, message: str, operation: str = "CreateBatchSegmentJob") -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": message}}, operation)


# -- text


def test_escapes_only_unprintable_characters() -> None:
    assert printable(ESCAPES) == ESCAPED
    assert printable("Comédie 映画 'x' \"y\"") == "Comédie 映画 'x' \"y\""
    assert printable("x" * 11, 10) == "x" * 9 + "…"
    assert printable("x" * 10, 10) == "x" * 10
    assert printable("\n" * 6, 10) == "\\n" * 4 + "\\…"


@pytest.mark.parametrize("text", ['"\\\n\t\r\b\f', "\x00\x1f", "é", "映", "💥", "x", "\x7f"])
def test_counts_the_bytes_of_json(text: str) -> None:
    assert json_length(text) == len(json.dumps(text, ensure_ascii=False).encode()) - 2


@pytest.mark.parametrize("one", ['"', "\x01", "é", "映", "💥", "x"])
def test_cuts_by_the_length_as_json(one: str) -> None:
    for size in range(10, 40):
        cut = shorten(one * 40, size)
        assert size - json_length(one) < json_length(cut) <= size
        assert cut.endswith("…") or cut == one * 40
    assert shorten("x" * 10, 10) == "x" * 10
    assert shorten("x" * 11, 10) == "x" * 7 + "…"


@pytest.mark.parametrize(
    ("name", "quoted"),
    [
        ("in/a.jsonl", "'in/a.jsonl'"),
        ("today/\x1b]0;pwned\x07\u202e\x9b", r"'today/\x1b]0;pwned\x07\u202e\x9b'"),
        ("x" * 198, "'" + "x" * 198 + "'"),
        ("x" * 199 + "y", "'" + "x" * 98 + "…" + "x" * 97 + "y'"),
        ("'\"" * 100, repr("'\"" * 100)[:99] + "…" + repr("'\"" * 100)[-99:]),
    ],
)
def test_quotes_a_name_and_cuts_its_middle(name: str, quoted: str) -> None:
    assert quote(name) == quoted
    assert len(quote(name)) <= 200


# -- errors


@pytest.mark.parametrize(
    ("policy", "fix"),
    [
        ("an identity-based policy", "Change the Deny statement in the policies of the role"),
        ("a resource-based policy", "Change the Deny statement in the policy of the bucket or the key"),
        ("a permissions boundary", "Change the Deny statement in the permissions boundary of the role"),
        ("a session policy", "Change the Deny statement in the session policy"),
        ("a VPC endpoint policy", "Change the Deny statement in the policy of the VPC endpoint"),
        ("a service control policy", "Ask the administrators of your organization for an exception"),
        ("a resource control policy", "Ask the administrators of your organization for an exception"),
    ],
)
@pytest.mark.parametrize("rest", ["", ": arn:aws:organizations::1:policy/p-1"])
def test_does_not_retry_an_explicit_deny_and_names_the_policy(
    personalize: Stubber, clock: Any, policy: str, fix: str, rest: str
) -> None:
    message = f"User: arn:aws:sts::1:handler is not authorized to perform: it with an explicit deny in {policy}{rest}"
    stub_missing_job(personalize)
    stub_solution_version(personalize)
    personalize.add_client_error("create_batch_segment_job", "AccessDeniedException", message)
    with pytest.raises(JobError) as failed:
        on_event(event(), Context())
    assert clock.sleeps == []
    assert str(failed.value) == failure(
        f"CreateBatchSegmentJob is explicitly denied by {policy}. {fix} (AccessDeniedException: {message})"
    )


def test_names_no_policy_if_the_explicit_deny_does_not() -> None:
    explained = explain(error("AccessDenied", "not authorized with an explicit deny", "PutObject"), {})
    assert str(explained) == (
        "PutObject is explicitly denied by a policy. Find the Deny statement, which overrides every Allow "
        "(AccessDenied: not authorized with an explicit deny)"
    )


PROPERTIES: FlatProperties = {"SolutionVersionArn": VERSION, "FilterArn": FILTER}


@pytest.mark.parametrize(
    ("operation", "message", "properties", "start"),
    [
        ("DescribeSolutionVersion", "no", PROPERTIES, f"solution_version_arn: {VERSION} does not exist in this region"),
        ("DescribeFilter", "no", PROPERTIES, f"filter_arn: {FILTER} does not exist in this region and account (Res"),
        ("ListSolutionVersions", "no", {"SolutionArn": SOLUTION}, f"solution_arn: {SOLUTION} does not exist in this"),
        ("CreateBatchSegmentJob", f"Filter {FILTER} not found", PROPERTIES, f"filter_arn: {FILTER} does not exist"),
        (
            "CreateBatchSegmentJob",
            "no",
            PROPERTIES,
            f"solution_version_arn, filter_arn: {VERSION} or {FILTER} does not",
        ),
        ("TagResource", "no", PROPERTIES, "TagResource failed with ResourceNotFoundException: no"),
    ],
)
def test_names_the_property_of_a_missing_resource(operation: str, message: str, properties: Any, start: str) -> None:
    explained = str(explain(error("ResourceNotFoundException", message, operation), properties))
    assert explained.startswith(start)
    assert f"ResourceNotFoundException: {message}" in explained


@pytest.mark.parametrize(
    ("message", "start"),
    [
        (
            "numResults is odd",
            "num_results: numResults is odd (InvalidInputException). Sent: solution_version_arn arn:",
        ),
        (
            "jobOutput and jobInput overlap",
            "Amazon Personalize rejected the request: jobOutput and jobInput overlap (Inv",
        ),
    ],
)
def test_message_begins_with_that_of_personalize(message: str, start: str) -> None:
    assert str(explain(error("InvalidInputException", message), PROPERTIES)).startswith(start)


# -- events that are not complete


@pytest.mark.parametrize(
    ("changes", "missing"),
    [
        ({"JobNamePrefix": None}, "JobNamePrefix or JobName"),
        ({"NewJobIfChanged": None}, "NewJobIfChanged"),
        ({"SolutionVersionArn": None}, "SolutionVersionArn or SolutionArn"),
        ({"RoleArn": None}, "RoleArn"),
        ({"OutputPath": None}, "OutputPath"),
        ({"InputPath": None}, "InputBucket"),
        ({"InputPath": None, "InputBucket": "in", "InputPrefix": "", "InputHash": "0"}, "AssetBucket"),
    ],
)
def test_names_a_missing_property(changes: dict[str, Any], missing: str) -> None:
    sent = event()
    sent["ResourceProperties"] = properties_with(**changes)
    if "NewJobIfChanged" in changes:
        sent["ResourceProperties"].pop("NewJobIfChanged")
    with pytest.raises(JobError) as failed:
        on_event(sent, Context())
    assert str(failed.value) == failure(
        f"{missing} is missing from the properties of the resource. Deploy the stack with the version of the library "
        "that it was synthesized with"
    )


@pytest.mark.parametrize("member", ["StackId", "LogicalResourceId", "ResourceProperties"])
def test_names_a_missing_member_of_the_event(member: str) -> None:
    sent = event()
    del sent[member]
    with pytest.raises(JobError) as failed:
        on_event(sent, Context())
    assert str(failed.value) == failure(f"{member} is missing from the event, expected a CloudFormation request")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"WaitSeconds": "soon"}, "wait_for_completion: got 'soon', expected a number of seconds"),
        ({"MaxQueryErrors": "-1"}, "max_query_errors: got '-1', expected a whole number from 0 to 50,000,000"),
        ({"MaxQueryErrors": "1_0"}, "max_query_errors: got '1_0', expected a whole number from 0 to 50,000,000"),
    ],
)
def test_rejects_malformed_properties_without_a_call(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(JobError) as failed:
        on_event(event(properties=changes), Context())
    assert str(failed.value) == failure(message)


def test_rejects_malformed_tags(personalize: Stubber) -> None:
    stub_existing_job(personalize)
    with pytest.raises(JobError, match=r"^Tags is malformed: expected a list of tags with key and value"):
        on_event(event(properties={"Tags": [{"Key": "a"}]}), Context())


def test_deletion_succeeds_without_any_member() -> None:
    assert on_event({"RequestType": "Delete"}, Context()) == {}


# -- the log group, and the length of answers


def test_messages_end_with_the_log_group(personalize: Stubber) -> None:
    stub_existing_job(personalize, status="CREATE FAILED", failureReason="no data.")
    waiting = event(properties={"WaitSeconds": "60"}, PhysicalResourceId=arn(), Deadline=9e9)
    with pytest.raises(JobError) as failed:
        is_complete(waiting, Context())
    assert str(failed.value).endswith(f"ended CREATE FAILED: no data. Log group: {LOG_GROUP}.")


@pytest.mark.parametrize("text", ['"', "\\", "\x1b", "💥", "x", "\n"])
def test_message_fits_with_the_longest_identifiers(personalize: Stubber, text: str) -> None:
    stub_existing_job(personalize, status="CREATE FAILED", failureReason=text * 3000)
    data = {"OutputUri": '"' * 256, "SolutionVersionArn": "x" * 256, "JobName": "x" * 63}
    waiting = event(
        properties={"WaitSeconds": "60"},
        PhysicalResourceId=arn(),
        LogicalResourceId="x" * 255,
        Deadline=9e9,
        Data=data,
    )
    with pytest.raises(JobError) as failed:
        is_complete(waiting, Context())
    members = ("StackId", "RequestId", "PhysicalResourceId", "LogicalResourceId", "Data")
    response = {"Status": "FAILED", "Reason": str(failed.value), **{member: waiting[member] for member in members}}
    # The rest is for what the framework adds.
    assert len(json.dumps(response, ensure_ascii=False).encode()) <= 4096 - 800
    assert "ended CREATE FAILED: " in str(failed.value)
    assert str(failed.value).endswith(f" Log group: {LOG_GROUP}.")


def test_escapes_the_reason_of_a_job_that_failed(personalize: Stubber, capsys: pytest.CaptureFixture[str]) -> None:
    stub_existing_job(personalize, status="CREATE FAILED", failureReason=f"cannot read {ESCAPES}")
    with pytest.raises(JobError, match="cannot read ") as failed:
        is_complete(event(properties={"WaitSeconds": "60"}, PhysicalResourceId=arn(), Deadline=9e9), Context())
    assert ESCAPED in str(failed.value)
    assert all(line.isprintable() for line in capsys.readouterr().out.splitlines())


def test_log_lines_have_no_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    log_module.event("anything", key=ESCAPES, other="映画")
    (line,) = capsys.readouterr().out.splitlines()
    assert line.isprintable()
    assert json.loads(line) == {"decision": "anything", "key": ESCAPES, "other": "映画"}


def test_escapes_messages_and_keeps_their_lines() -> None:
    assert str(JobError(f"two faults:\n{ESCAPES}\nb")) == f"two faults:\n{ESCAPED}\nb"


@pytest.mark.parametrize("text", ['"', "\\", "\x1b", "💥", "x"])
def test_query_errors_fit_into_a_response(personalize: Stubber, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    record = json.dumps({"input": {}, "error": text * 3000}).encode()
    monkeypatch.setattr(results, "_errors", lambda uri, ends: results.read_errors([record]))
    stub_existing_job(personalize)
    data = {"OutputUri": '"' * 256, "SolutionVersionArn": "x" * 256, "JobName": "x" * 63, "Status": "CREATE PENDING"}
    waiting = event(
        properties={"WaitSeconds": "60"},
        PhysicalResourceId=arn(),
        LogicalResourceId="x" * 255,
        Deadline=9e9,
        Data=data,
    )
    done = is_complete(waiting, Context())
    members = ("StackId", "RequestId", "PhysicalResourceId", "LogicalResourceId")
    response = {"Status": "SUCCESS", "Reason": "SUCCESS", **{member: waiting[member] for member in members}}
    response["Data"] = {**data, **done["Data"]}
    assert len(json.dumps(response, ensure_ascii=False).encode()) <= 4096
    assert done["Data"]["QueryErrors"].startswith("1 of 1 queries; the first: ")
