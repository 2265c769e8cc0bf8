"""Splitting an asset into input files. S3 is the local AWS or a stub."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import pytest
from batch_segment_handler import staging
from batch_segment_handler.contract import FlatProperties
from batch_segment_handler.errors import JobError
from batch_segment_handler.preflight import Preflight
from batch_segment_handler.retries import RetryBudget
from query_objects import ATTRIBUTES, ITEMS, KEY, KMS_DENIED, body, lines, objects
from support.events import stub_errors


@pytest.fixture
def stage(s3: Any, bucket: str) -> Any:
    """Stages an asset, and returns the path and the files."""

    def stage(content: bytes, found: Preflight = ITEMS, **properties: str) -> tuple[str, dict[str, bytes]]:
        s3.put_object(Bucket=bucket, Key="assets/a.jsonl", Body=content)
        given: Any = {"AssetBucket": bucket, "AssetKey": "assets/a.jsonl", **properties}
        path = staging.stage(given, f"s3://{bucket}/queries/job/0a1b", found, RetryBudget(60))
        written = objects(s3, bucket, "queries/")
        prefix = path.removeprefix(f"s3://{bucket}/")
        assert all(key.startswith(prefix) for key in written)
        return path, {key.removeprefix(prefix): body for key, body in written.items()}

    return stage


def test_splits_queries_into_files_of_the_recipes_quota_in_order(stage: Any, bucket: str) -> None:
    path, written = stage(lines(1234))
    assert path == f"s3://{bucket}/queries/job/0a1b-500/"
    assert {name: body.count(b"\n") for name, body in written.items()} == {
        "part-00000.jsonl": 500,
        "part-00001.jsonl": 500,
        "part-00002.jsonl": 234,
    }
    assert b"".join(written[name] for name in sorted(written)) == lines(1234)


def test_splits_queries_by_attributes_by_their_own_quota(stage: Any) -> None:
    _, written = stage(b'{"itemAttributes": "ITEMS.A = \\"b\\""}\n' * 21, ATTRIBUTES)
    assert sorted(body.count(b"\n") for body in written.values()) == [1, 10, 10]


def test_queries_per_file_overrides_the_recipes_quota(stage: Any) -> None:
    path, written = stage(lines(1234), QueriesPerFile="1000")
    assert path.endswith("/0a1b-1000/")
    assert sorted(body.count(b"\n") for body in written.values()) == [234, 1000]


def test_attempts_with_another_split_size_use_another_folder(
    s3: Any, bucket: str, put: Callable[[str, bytes], None]
) -> None:
    put("a.jsonl", lines(20))
    paths = [
        staging.stage(
            {"AssetBucket": bucket, "AssetKey": "a.jsonl", "QueriesPerFile": per_file},
            f"s3://{bucket}/queries/job/0a1b",
            ITEMS,
            RetryBudget(60),
        )
        for per_file in ("5", "10")
    ]
    found = [objects(s3, bucket, path.removeprefix(f"s3://{bucket}/")) for path in paths]
    assert [len(written) for written in found] == [4, 2]


def test_writes_a_thousand_files(stage: Any) -> None:
    _, written = stage(lines(1000), QueriesPerFile="1")
    assert len(written) == 1000
    assert written["part-00999.jsonl"] == b'{"itemId": "999"}\n'


def test_rejects_more_queries_than_a_thousand_files_hold(stage: Any, s3: Any, bucket: str) -> None:
    with pytest.raises(JobError) as refused:
        stage(lines(1001), QueriesPerFile="1")
    assert str(refused.value) == (
        "1 fault in the queries:\n  job_input, line 1001: too many queries: a job reads at most 1,000 files of 1 "
        "each, 1,000 in all. Split them over several jobs, or set queries_per_file if your quota is higher\n  the rest "
        "was not read"
    )
    assert objects(s3, bucket, "queries/") == {}


def test_writes_a_large_file_completely(stage: Any) -> None:
    content = b"".join(b'{"itemId": "%0200d"}\n' % number for number in range(100_000))
    assert len(content) > 20 * 1024**2
    _, written = stage(content, QueriesPerFile="60000")
    assert b"".join(written[name] for name in sorted(written)) == content
    assert len(written) == 2


def test_staging_again_changes_nothing(stage: Any) -> None:
    assert stage(lines(1001)) == stage(lines(1001))


def test_rejects_an_invalid_query_and_writes_nothing(stage: Any, s3: Any, bucket: str) -> None:
    with pytest.raises(JobError) as refused:
        stage(lines(776) + b'{"itemID": "777"}\n' + lines(1))
    assert str(refused.value) == (
        "1 fault in the queries:\n  job_input, line 777, column 2: unknown key 'itemID': write \"itemId\""
    )
    assert objects(s3, bucket, "queries/") == {}


def test_rejects_queries_of_the_other_recipe(stage: Any) -> None:
    with pytest.raises(
        JobError, match='got "itemId", expected "itemAttributes", which the solution\'s recipe requires'
    ):
        stage(lines(1), ATTRIBUTES)


def test_rejects_a_query_without_a_value_for_a_placeholder(stage: Any) -> None:
    with pytest.raises(JobError, match=r"line 1, column 1: no value for the filter's placeholder \$COUNTRY"):
        stage(lines(1), Preflight("arn", "itemId", {"COUNTRY": True}))


def test_names_inline_queries_by_their_index(stage: Any) -> None:
    with pytest.raises(JobError) as refused:
        stage(lines(3), Preflight("arn", "itemId", {"COUNTRY": True}), InputIsInline="true")
    assert str(refused.value) == "3 faults in the queries:\n" + "\n".join(
        f"  segment_queries[{index}]: no value for the filter's placeholder $COUNTRY: add "
        ".with_filter_values(COUNTRY=…)"
        for index in range(3)
    )


def test_rejects_an_asset_that_is_too_large_before_reading_it(stubbed: Any) -> None:
    stubbed.add_response("get_object", {**body(b""), "ContentLength": 1024**3 + 1})
    with pytest.raises(JobError, match=r"^job_input: got 1,073,741,825 bytes in 's3://b/k', expected at most"):
        staging.stage({"AssetBucket": "b", "AssetKey": "k"}, "s3://in/x", ITEMS, RetryBudget(60))


@pytest.mark.parametrize(
    ("properties", "encryption"),
    [
        ({}, {"ServerSideEncryption": "AES256"}),
        ({"InputKmsKeyArn": KEY}, {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": KEY}),
    ],
)
def test_every_write_sends_its_encryption(stubbed: Any, properties: Any, encryption: dict[str, Any]) -> None:
    where = {"Bucket": "in", "Key": "q-500/part-00000.jsonl", **encryption}
    for _ in range(2):
        stubbed.add_response("get_object", body(lines(1)))
    stubbed.add_response("put_object", {}, {**where, "Body": lines(1)})
    asset: Any = {"AssetBucket": "b", "AssetKey": "k", **properties}
    staging.stage(asset, "s3://in/q", ITEMS, RetryBudget(60))

    large = b'{"itemId": "%0200d"}\n' % 7 * 30_000
    upload = {"Bucket": "in", "Key": "q-30000/part-00000.jsonl", "UploadId": "u"}
    for _ in range(2):
        stubbed.add_response("get_object", body(large))
    stubbed.add_response(
        "create_multipart_upload",
        {"UploadId": "u"},
        {"Bucket": "in", "Key": "q-30000/part-00000.jsonl", **encryption},
    )
    piece = 5 * 1024**2
    for number, start in enumerate(range(0, len(large), piece), start=1):
        part = {**upload, "PartNumber": number, "Body": large[start : start + piece]}
        stubbed.add_response("upload_part", {"ETag": str(number)}, part)
    parts = [{"PartNumber": number, "ETag": str(number)} for number in (1, 2)]
    stubbed.add_response("complete_multipart_upload", {}, {**upload, "MultipartUpload": {"Parts": parts}})
    staging.stage(
        cast(FlatProperties, {**asset, "QueriesPerFile": "30000"}),
        "s3://in/q",
        ITEMS,
        RetryBudget(60),
    )


def test_aborts_the_upload_of_a_large_file_that_fails(stubbed: Any) -> None:
    large = b'{"itemId": "%0200d"}\n' % 7 * 30_000
    for _ in range(2):
        stubbed.add_response("get_object", body(large))
    stubbed.add_response("create_multipart_upload", {"UploadId": "u"})
    stubbed.add_client_error("upload_part", "EntityTooSmall", "too small")
    stubbed.add_response(
        "abort_multipart_upload", {}, {"Bucket": "in", "Key": "q-30000/part-00000.jsonl", "UploadId": "u"}
    )
    with pytest.raises(JobError) as refused:
        staging.stage(
            {"AssetBucket": "b", "AssetKey": "k", "QueriesPerFile": "30000"}, "s3://in/q", ITEMS, RetryBudget(60)
        )
    assert str(refused.value) == (
        "job_input: 's3://in/q-30000/part-00000.jsonl': UploadPart failed with EntityTooSmall: too small"
    )


def test_retries_only_the_file_that_was_denied(stubbed: Any, clock: Any) -> None:
    for _ in range(2):
        stubbed.add_response("get_object", body(lines(1)))
    stub_errors(stubbed, "put_object", "AccessDenied", "no", 3, http_status_code=403)
    stubbed.add_response("put_object", {})
    staging.stage({"AssetBucket": "b", "AssetKey": "k"}, "s3://in/q", ITEMS, RetryBudget(60))
    assert len(clock.sleeps) == 2


def test_names_a_file_that_is_denied(stubbed: Any, clock: Any) -> None:
    for _ in range(2):
        stubbed.add_response("get_object", body(lines(1)))
    stub_errors(stubbed, "put_object", "AccessDenied", "no", 6, http_status_code=403)
    with pytest.raises(JobError) as refused:
        staging.stage({"AssetBucket": "b", "AssetKey": "k"}, "s3://in/q", ITEMS, RetryBudget(20))
    assert str(refused.value).startswith(
        "job_input: 's3://in/q-500/part-00000.jsonl': a permission is missing (PutObject: AccessDenied: no; 5 attempts "
    )


def test_at_most_sixteen_files_are_queued_or_uploaded(
    s3: Any, put: Callable[[str, bytes], None], bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pending: set[Any] = set()
    peak = [0]
    is_full = threading.Event()

    class Pool(ThreadPoolExecutor):
        def submit(self, *args: Any, **kwargs: Any) -> Any:
            upload = super().submit(*args, **kwargs)
            pending.add(upload)
            upload.add_done_callback(pending.discard)
            peak[0] = max(peak[0], len(pending))
            if len(pending) == 16:
                is_full.set()
            return upload

    def wait_until_full(**_: Any) -> None:
        is_full.wait(10)

    put("a.jsonl", lines(200))
    s3.meta.events.register("before-send.s3.PutObject", wait_until_full)
    monkeypatch.setattr(staging, "ThreadPoolExecutor", Pool)
    properties: FlatProperties = {"AssetBucket": bucket, "AssetKey": "a.jsonl", "QueriesPerFile": "1"}
    staging.stage(properties, f"s3://{bucket}/queries/job/0a1b", ITEMS, RetryBudget(60))
    assert len(objects(s3, bucket, "queries/")) == 200
    assert peak == [16]


def test_reports_an_asset_that_changed_between_the_reads(
    s3: Any, put: Callable[[str, bytes], None], bucket: str, requests: list[tuple[str, dict[str, Any]]]
) -> None:
    put("a.jsonl", lines(1))
    reads = []

    def overwrite(**_: Any) -> None:
        reads.append(1)
        if len(reads) == 2:
            put("a.jsonl", lines(2))

    s3.meta.events.register("before-call.s3.GetObject", overwrite)
    with pytest.raises(JobError) as refused:
        staging.stage({"AssetBucket": bucket, "AssetKey": "a.jsonl"}, f"s3://{bucket}/q/x", ITEMS, RetryBudget(60))
    assert str(refused.value).startswith(
        f"job_input: 's3://{bucket}/a.jsonl': the object changed while it was read: deploy again. GetObject failed "
        "with PreconditionFailed: "
    )
    assert objects(s3, bucket, "q/") == {}


def test_second_read_requests_the_version_of_the_first(stubbed: Any) -> None:
    stubbed.add_response("get_object", body(lines(1), '"abc"'), {"Bucket": "b", "Key": "k"})
    stubbed.add_response("get_object", body(lines(1), '"abc"'), {"Bucket": "b", "Key": "k", "IfMatch": '"abc"'})
    stubbed.add_response("put_object", {})
    staging.stage({"AssetBucket": "b", "AssetKey": "k"}, "s3://in/q", ITEMS, RetryBudget(60))


def test_names_the_assets_key_if_a_permission_is_missing(stubbed: Any, clock: Any) -> None:
    stub_errors(stubbed, "get_object", "AccessDenied", KMS_DENIED.format("it"), 8, http_status_code=403)
    with pytest.raises(JobError) as refused:
        staging.stage({"AssetBucket": "b", "AssetKey": "k", "AssetKmsKeyArn": KEY}, "s3://in/q", ITEMS, RetryBudget(60))
    assert str(refused.value).startswith(
        f"job_input: 's3://b/k': grant kms:Decrypt on the KMS key '{KEY}' to the handler: set asset_encryption_key of "
        "BatchSegmentProvider. GetObject failed with AccessDenied: "
    )
