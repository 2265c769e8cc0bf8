"""Reading objects of S3: retries, and errors that name the object and the fix."""

import io
from typing import Any

import pytest
from batch_segment_handler.errors import JobError, UnavailableError
from batch_segment_handler.existing_input import check_existing
from batch_segment_handler.preflight import Preflight
from batch_segment_handler.retries import RetryBudget
from botocore.response import StreamingBody
from query_objects import ITEMS, KEY, KMS_DENIED, body, lines, listed
from support.events import stub_errors


def check(path: str, found: Preflight = ITEMS, **properties: Any) -> None:
    given: Any = {"InputPath": path, **properties}
    check_existing(given, found, RetryBudget(60))


def test_resumes_a_broken_connection_at_the_same_byte(stubbed: Any, clock: Any) -> None:
    content = lines(1000)
    stubbed.add_response("list_objects_v2", listed("a", size=len(content)))
    stubbed.add_response("get_object", body(content, broken_after=5000))
    stubbed.add_response(
        "get_object",
        {"Body": StreamingBody(io.BytesIO(content[5000:]), len(content) - 5000), "ETag": '"1"'},
        {"Bucket": "b", "Key": "a", "IfMatch": '"1"', "Range": "bytes=5000-"},
    )
    check("s3://b/a", QueriesPerFile="1000")
    assert len(clock.sleeps) == 1


def test_names_the_object_if_its_connection_breaks_repeatedly(stubbed: Any, clock: Any) -> None:
    stubbed.add_response("list_objects_v2", listed("a"))
    for _ in range(6):
        stubbed.add_response("get_object", body(lines(1000), broken_after=0))
    with pytest.raises(UnavailableError, match=r"^job_input: 's3://b/a': AWS returned an unexpected response or none "):
        check("s3://b/a", QueriesPerFile="1000")


def test_names_an_archived_object_and_the_fix(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="in/a.jsonl", Body=lines(1))
    s3.put_object(Bucket=bucket, Key="in/b.jsonl", Body=lines(1), StorageClass="GLACIER")
    with pytest.raises(JobError) as refused:
        check(f"s3://{bucket}/in/")
    assert str(refused.value).startswith(
        f"job_input: 's3://{bucket}/in/b.jsonl': the object is archived: restore it, or copy it to the storage class "
        "STANDARD. GetObject failed with InvalidObjectState: "
    )


def test_names_an_object_with_a_customer_provided_key(s3: Any, bucket: str) -> None:
    key = b"k" * 32
    s3.put_object(
        Bucket=bucket,
        Key="in/a.jsonl",
        Body=lines(1),
        SSECustomerAlgorithm="AES256",
        SSECustomerKey=key,
    )
    with pytest.raises(JobError) as refused:
        check(f"s3://{bucket}/in/")
    assert str(refused.value).startswith(
        f"job_input: 's3://{bucket}/in/a.jsonl': the object is encrypted with a customer-provided key (SSE-C), which "
        "neither the handler nor Personalize has: upload it again with SSE-S3 or SSE-KMS. GetObject failed with "
        "InvalidRequest: "
    )


def test_retries_only_the_object_that_was_denied(stubbed: Any, clock: Any) -> None:
    stubbed.add_response("list_objects_v2", listed("in/a", "in/b", "in/c"))
    stubbed.add_response("get_object", body(lines(1)), {"Bucket": "b", "Key": "in/a"})
    for _ in range(3):
        stubbed.add_client_error(
            "get_object", "AccessDenied", "no", http_status_code=403, expected_params={"Bucket": "b", "Key": "in/b"}
        )
    stubbed.add_response("get_object", body(lines(1)), {"Bucket": "b", "Key": "in/b"})
    stubbed.add_response("get_object", body(lines(1)), {"Bucket": "b", "Key": "in/c"})
    check("s3://b/in/")
    assert len(clock.sleeps) == 3


def test_names_a_denied_object_escaped(stubbed: Any, clock: Any) -> None:
    stubbed.add_response("list_objects_v2", listed("in/a", "in/\x1b'b"))
    stubbed.add_response("get_object", body(lines(1)))
    stub_errors(stubbed, "get_object", "AccessDenied", "no", 8, http_status_code=403)
    with pytest.raises(JobError) as refused:
        check("s3://b/in/")
    expected = """job_input: "s3://b/in/\\x1b'b": a permission is missing (GetObject: AccessDenied: no; """
    assert str(refused.value).startswith(expected)


@pytest.mark.parametrize(
    ("properties", "resource", "named"),
    [
        ({"InputKmsKeyArn": KEY}, "the resource associated with this ciphertext", f"the KMS key '{KEY}'"),
        ({"InputKmsKeyArn": "arn:other"}, f"resource: {KEY}", f"the KMS key '{KEY}'"),
        ({}, "the resource associated with this ciphertext", "the object's KMS key"),
    ],
)
def test_names_the_inputs_key_if_a_permission_is_missing(
    stubbed: Any, clock: Any, properties: dict[str, Any], resource: str, named: str
) -> None:
    stubbed.add_response("list_objects_v2", listed("a"))
    stub_errors(stubbed, "get_object", "AccessDenied", KMS_DENIED.format(resource), 8, http_status_code=403)
    with pytest.raises(JobError) as refused:
        check("s3://b/a", **properties)
    assert str(refused.value).startswith(
        f"job_input: 's3://b/a': grant kms:Decrypt on {named} to the handler: import the bucket with its "
        "encryption_key, or pass validate_input=False. GetObject failed with AccessDenied: "
    )


def test_names_a_disabled_key(stubbed: Any) -> None:
    stubbed.add_response("list_objects_v2", listed("a"))
    stubbed.add_client_error("get_object", "KMS.DisabledException", f"{KEY} is disabled.\x1b[0m", http_status_code=400)
    with pytest.raises(JobError) as refused:
        check("s3://b/a")
    assert str(refused.value) == (
        f"job_input: 's3://b/a': the KMS key '{KEY}' cannot be used: enable it. GetObject failed with "
        f"KMS.DisabledException: {KEY} is disabled.\\x1b[0m"
    )


def test_does_not_retry_an_explicit_deny_of_an_object(stubbed: Any) -> None:
    stubbed.add_response("list_objects_v2", listed("a"))
    said = "User: x is not authorized to perform: s3:GetObject with an explicit deny in a resource-based policy"
    stubbed.add_client_error("get_object", "AccessDenied", said, http_status_code=403)
    with pytest.raises(JobError) as refused:
        check("s3://b/a")
    assert str(refused.value) == (
        "job_input: 's3://b/a': GetObject is explicitly denied by a resource-based policy. Change the Deny statement "
        f"in the policy of the bucket or the key (AccessDenied: {said})"
    )


def test_reports_the_bytes_read_if_checking_takes_too_long(
    stubbed: Any, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = lines(100_000)
    stubbed.add_response("list_objects_v2", listed("a", size=len(content)))
    stubbed.add_response("get_object", body(content))
    read = StreamingBody.read

    def slow_read(stream: StreamingBody, size: int) -> bytes:
        clock.now += 25
        return read(stream, size)

    monkeypatch.setattr(StreamingBody, "read", slow_read)
    with pytest.raises(JobError) as refused:
        check("s3://b/a", QueriesPerFile="100000")
    # After the first four bytes and two blocks.
    assert str(refused.value) == (
        f"job_input: 's3://b/a': no time is left after 524,275 of {len(content):,} bytes, so no job was created. Give "
        "the job fewer or shorter queries, or pass validate_input=False"
    )
    assert clock.sleeps == []
