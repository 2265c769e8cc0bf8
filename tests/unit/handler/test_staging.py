"""The input in S3: checked where it is, or moved there. S3 is that of the local AWS."""

import gzip
import io
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
import pytest
from batch_segment_handler import clients, staging
from batch_segment_handler.failures import JobError, Patience, UnavailableError
from batch_segment_handler.preflight import Preflight
from botocore.config import Config
from botocore.response import StreamingBody
from botocore.stub import Stubber

ITEMS = Preflight("arn", "itemId", {})
ATTRIBUTES = Preflight("arn", "itemAttributes", {})
KEY = "arn:aws:kms:eu-west-1:111122223333:key/0a1b2c3d"


def lines(count: int) -> bytes:
    return b"".join(b'{"itemId": "%d"}\n' % number for number in range(count))


@pytest.fixture
def bucket(s3) -> str:
    name = f"queries-{uuid.uuid4().hex[:12]}"
    s3.create_bucket(Bucket=name)
    return name


@pytest.fixture
def put(s3, bucket):
    def put(key: str, content: bytes) -> None:
        s3.put_object(Bucket=bucket, Key=key, Body=content)

    return put


def objects(s3: Any, bucket: str, prefix: str) -> dict[str, bytes]:
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    keys = [found["Key"] for page in pages for found in page.get("Contents", [])]
    return {key: s3.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys}


@pytest.fixture
def stage(s3, bucket):
    """Stages an asset, and returns the path and what was written there."""

    def stage(content: bytes, found: Preflight = ITEMS, **properties: str) -> tuple[str, dict[str, bytes]]:
        s3.put_object(Bucket=bucket, Key="assets/a.jsonl", Body=content)
        given = {"AssetBucket": bucket, "AssetKey": "assets/a.jsonl", **properties}
        path = staging.stage(given, f"s3://{bucket}/queries/job/0a1b", found, Patience(60))
        written = objects(s3, bucket, "queries/")
        prefix = path.removeprefix(f"s3://{bucket}/")
        assert all(key.startswith(prefix) for key in written)
        return path, {key.removeprefix(prefix): body for key, body in written.items()}

    return stage


# -- an asset


def test_queries_are_split_into_files_of_the_recipes_quota_in_order(stage, bucket):
    path, written = stage(lines(1234))
    assert path == f"s3://{bucket}/queries/job/0a1b-500/"
    assert {name: body.count(b"\n") for name, body in written.items()} == {
        "part-00000.jsonl": 500,
        "part-00001.jsonl": 500,
        "part-00002.jsonl": 234,
    }
    assert b"".join(written[name] for name in sorted(written)) == lines(1234)


def test_queries_by_attributes_are_split_by_their_own_quota(stage):
    _, written = stage(b'{"itemAttributes": "ITEMS.A = \\"b\\""}\n' * 21, ATTRIBUTES)
    assert sorted(body.count(b"\n") for body in written.values()) == [1, 10, 10]


def test_a_quota_of_ones_own_replaces_that_of_the_recipe(stage):
    path, written = stage(lines(1234), QueriesPerFile="1000")
    assert path.endswith("/0a1b-1000/")
    assert sorted(body.count(b"\n") for body in written.values()) == [234, 1000]


def test_what_an_attempt_with_another_split_has_written_is_not_read(s3, bucket, put):
    put("a.jsonl", lines(20))
    paths = [
        staging.stage(
            {"AssetBucket": bucket, "AssetKey": "a.jsonl", "QueriesPerFile": per_file},
            f"s3://{bucket}/queries/job/0a1b",
            ITEMS,
            Patience(60),
        )
        for per_file in ("5", "10")
    ]
    found = [objects(s3, bucket, path.removeprefix(f"s3://{bucket}/")) for path in paths]
    assert [len(written) for written in found] == [4, 2]


def test_a_thousand_files_are_written(stage):
    _, written = stage(lines(1000), QueriesPerFile="1")
    assert len(written) == 1000
    assert written["part-00999.jsonl"] == b'{"itemId": "999"}\n'


def test_more_queries_than_a_thousand_files_hold_are_refused_with_what_would_fit(stage, s3, bucket):
    with pytest.raises(JobError) as refused:
        stage(lines(1001), QueriesPerFile="1")
    assert str(refused.value) == (
        "1 fault in the queries:\n  job_input, line 1001: too many queries: a job reads 1,000 files of 1 each, "
        "together 1,000. Split them over several jobs, or set queries_per_file if your quota is higher\n  the rest "
        "was not read"
    )
    assert objects(s3, bucket, "queries/") == {}


def test_a_part_that_is_large_arrives_whole(stage):
    content = b"".join(b'{"itemId": "%0200d"}\n' % number for number in range(100_000))
    assert len(content) > 20 * 1024**2
    _, written = stage(content, QueriesPerFile="60000")
    assert b"".join(written[name] for name in sorted(written)) == content
    assert len(written) == 2


def test_staging_again_changes_nothing(stage):
    assert stage(lines(1001)) == stage(lines(1001))


def test_a_fault_names_the_line_and_nothing_is_written(stage, s3, bucket):
    with pytest.raises(JobError) as refused:
        stage(lines(776) + b'{"itemID": "777"}\n' + lines(1))
    assert str(refused.value) == (
        "1 fault in the queries:\n  job_input, line 777, column 2: unknown key 'itemID': write \"itemId\""
    )
    assert objects(s3, bucket, "queries/") == {}


def test_queries_of_the_other_recipe_are_refused(stage):
    with pytest.raises(JobError, match='expected "itemAttributes", which the solution\'s recipe takes, got "itemId"'):
        stage(lines(1), ATTRIBUTES)


def test_a_query_without_a_value_for_the_filters_placeholder_is_refused(stage):
    with pytest.raises(JobError, match=r"line 1, column 1: no value for the filter's placeholder \$COUNTRY"):
        stage(lines(1), Preflight("arn", "itemId", {"COUNTRY": True}))


# -- what is in S3 already


def check(path: str, found: Preflight = ITEMS, **properties: str) -> list[str]:
    return staging.check_existing({"InputPath": path, **properties}, found, Patience(60))


def test_every_object_under_a_prefix_is_checked_and_none_is_changed(put, s3, bucket, log):
    put("in/a.jsonl", lines(500))
    put("in/deeper/b.jsonl", lines(3))
    put("in/", b"")
    before = objects(s3, bucket, "")
    check(f"s3://{bucket}/in/")
    assert objects(s3, bucket, "") == before
    assert log()[-1] == {"decision": "checked", "path": f"'s3://{bucket}/in/'", "queries": 503, "files": 2}


def test_one_object_is_checked_alone(put, bucket, log):
    put("in/a.jsonl", lines(5))
    put("in/a.jsonl.bak", b"not a query")
    check(f"s3://{bucket}/in/a.jsonl")
    assert log()[-1]["queries"] == 5


def test_a_fault_in_s3_has_the_words_that_it_has_at_synth(put, bucket):
    put("in/a.jsonl", lines(776) + b'{"itemID": "777"}\n')
    with pytest.raises(JobError) as refused:
        check(f"s3://{bucket}/in/", QueriesPerFile="777")
    assert str(refused.value) == (
        f"1 fault in the queries:\n  's3://{bucket}/in/a.jsonl', line 777, column 2: unknown key 'itemID': "
        'write "itemId"'
    )


@pytest.mark.parametrize(
    ("key", "words"), [("in/", "no object under"), ("in/a.jsonl", "no object"), ("in/a.json", "no object")]
)
def test_an_input_that_is_not_there_is_refused(put, bucket, key, words):
    put("in/a.jsonl.bak" if key == "in/a.jsonl" else "other/a.jsonl", lines(1))
    with pytest.raises(JobError) as refused:
        check(f"s3://{bucket}/{key}")
    assert str(refused.value) == f"job_input: there is {words} 's3://{bucket}/{key}'"


def test_an_empty_object_is_refused(put, bucket):
    put("in/a.jsonl", b"")
    with pytest.raises(JobError, match="no query: a job needs at least one"):
        check(f"s3://{bucket}/in/")


def test_a_file_with_more_queries_than_the_quota_is_refused_unless_it_is_higher(put, bucket):
    put("in/a.jsonl", lines(501))
    with pytest.raises(JobError) as refused:
        check(f"s3://{bucket}/in/")
    assert str(refused.value) == (
        f"1 fault in the queries:\n  's3://{bucket}/in/a.jsonl', line 501: too many queries: expected at most 500 in a "
        "file. Split it, pass it as BatchSegmentInput.from_asset, which is split, or set queries_per_file if your "
        "quota is higher\n  the rest was not read"
    )
    check(f"s3://{bucket}/in/", QueriesPerFile="501")


def test_warnings_are_returned_and_logged(put, bucket, log):
    put("in/a.jsonl", b'\xef\xbb\xbf{"itemId": "1"}')
    warning = (
        f"'s3://{bucket}/in/a.jsonl', line 1, column 1: a byte order mark, which the service may not take: save the "
        "file as UTF-8 without it"
    )
    assert check(f"s3://{bucket}/in/") == [warning]
    assert [line["fault"] for line in log() if line["decision"] == "warning"] == [warning]


def test_the_first_five_warnings_are_returned(put, bucket):
    put("in/a.jsonl", rb'{"itemAttributes": "ITEMS.year < 1999"}' b"\n" * 6)
    warnings = check(f"s3://{bucket}/in/", ATTRIBUTES)
    assert [warning.split(", ")[1] for warning in warnings] == [f"line {line}" for line in (1, 2, 3, 4, 5)]
    assert "'<' is not documented for segments and may be refused" in warnings[0]


def test_rejects_or_in_an_existing_object(put, bucket):
    put("in/a.jsonl", rb'{"itemAttributes": "ITEMS.a = \"1\" OR ITEMS.a = \"2\""}')
    with pytest.raises(JobError) as refused:
        check(f"s3://{bucket}/in/", ATTRIBUTES)
    assert str(refused.value) == (
        f"1 fault in the queries:\n  's3://{bucket}/in/a.jsonl', line 1, column 37: 'OR' fails: write one query for "
        "each alternative"
    )


def test_a_bucket_that_is_not_there_is_named(s3):
    with pytest.raises(JobError) as refused:
        check("s3://no-such-bucket-anywhere/in/")
    assert str(refused.value) == (
        "job_input: 's3://no-such-bucket-anywhere/in/': ListObjectsV2 failed with NoSuchBucket: The specified bucket "
        "does not exist"
    )


def test_rejects_a_prefix_with_objects_that_are_not_query_files(put, bucket):
    put("in/a.jsonl", lines(1))
    for name in ("_SUCCESS", ".DS_Store", "a.jsonl.out", "sub/unload_manifest", "b.jsonl.gz", "_CHECK"):
        put(f"in/{name}", b"\x00")
    with pytest.raises(JobError) as refused:
        check(f"s3://{bucket}/in/")
    assert str(refused.value) == (
        "job_input: got objects that are not query files: '.DS_Store', '_CHECK', '_SUCCESS', 'a.jsonl.out', "
        f"'b.jsonl.gz' (compressed: unpack it) and 1 more. Every object under the prefix 's3://{bucket}/in/' is input: "
        "move them away"
    )


@pytest.mark.parametrize(
    ("name", "is_stray"),
    [
        ("_SUCCESS", True),
        ("_committed_123", True),
        ("sub/.part-0000.crc", True),
        ("todaymanifest", True),
        ("manifest.json", True),
        ("in.jsonl.out", True),
        ("A.GZ", True),
        ("_queries.jsonl", False),
        ("manifest.jsonl", False),
        (".hidden/a.jsonl", False),
        ("out/a.outline", False),
        ("part-00000", False),
    ],
)
def test_objects_of_other_programs_are_told_by_the_last_part_of_their_key(put, bucket, name, is_stray):
    put(f"in/{name}", lines(1))
    if is_stray:
        with pytest.raises(JobError, match="move them away"):
            check(f"s3://{bucket}/in/")
    else:
        check(f"s3://{bucket}/in/")


def test_a_compressed_file_has_one_reason(put, bucket):
    put("in/a.jsonl", gzip.compress(lines(10_000)))
    put("in/b.jsonl", b"\x1f\x8b\n\n\xff\n")
    with pytest.raises(JobError) as refused:
        check(f"s3://{bucket}/in/")
    assert str(refused.value) == (
        f"2 faults in the queries:\n  's3://{bucket}/in/a.jsonl': the file is compressed: unpack it\n"
        f"  's3://{bucket}/in/b.jsonl': the file is compressed: unpack it"
    )


def test_keys_are_shown_escaped(put, bucket, log):
    put("in/today\x1b]0;pwned\x07.jsonl", b"x\n")
    with pytest.raises(JobError) as refused:
        check(f"s3://{bucket}/in/")
    assert f"'s3://{bucket}/in/today\\x1b]0;pwned\\x07.jsonl', line 1, column 1: " in str(refused.value)
    assert str(refused.value).replace("\n", "").isprintable()


@pytest.mark.parametrize("quota", ["", "x", "0", "1.5", "-1", "50000001", "\u0661"])
def test_rejects_a_quota_that_is_no_whole_number(put, bucket, quota):
    put("in/a.jsonl", lines(1))
    with pytest.raises(JobError) as refused:
        check(f"s3://{bucket}/in/", QueriesPerFile=quota)
    assert str(refused.value) == f"queries_per_file: got {quota!r}, expected a whole number from 1 to 50,000,000"


def test_inline_queries_are_named_by_their_index(stage):
    with pytest.raises(JobError) as refused:
        stage(lines(3), Preflight("arn", "itemId", {"COUNTRY": True}), InputIsInline="true")
    assert str(refused.value) == "3 faults in the queries:\n" + "\n".join(
        f"  segment_queries[{index}]: no value for the filter's placeholder $COUNTRY: add "
        ".with_filter_values(COUNTRY=…)"
        for index in range(3)
    )


# -- what is requested, and what is said if it is refused


@pytest.fixture
def requests(s3) -> list[tuple[str, dict[str, Any]]]:
    """The requests to S3 from now on: operation and parameters."""
    sent: list[tuple[str, dict[str, Any]]] = []

    def note(params: dict[str, Any], model: Any, **_: Any) -> None:
        sent.append((model.name, dict(params)))

    s3.meta.events.register("provide-client-params.s3.*", note)
    return sent


@pytest.fixture
def stubbed(monkeypatch):
    """The handler's client of S3, answering what a test says, in order, and nothing else."""
    client = boto3.client(
        "s3",
        region_name="eu-west-1",
        aws_access_key_id="key",
        aws_secret_access_key="secret",
        config=Config(retries={"total_max_attempts": 1}),
    )
    monkeypatch.setattr(clients, "s3", lambda: client)
    with Stubber(client) as stubber:
        yield stubber
        stubber.assert_no_pending_responses()


def body(content: bytes, etag: str = '"1"', broken_after: int | None = None) -> dict[str, Any]:
    stream: Any = io.BytesIO(content[:broken_after])
    return {"Body": StreamingBody(stream, len(content)), "ContentLength": len(content), "ETag": etag}


def listed(*keys: str, size: int = 1, token: str | None = None) -> dict[str, Any]:
    return {
        "Contents": [{"Key": key, "Size": size} for key in keys],
        **({} if token is None else {"NextContinuationToken": token}),
    }


def test_a_prefix_is_listed_no_further_than_one_object_too_many(stubbed):
    stubbed.add_response("list_objects_v2", listed(*(f"in/{n}" for n in range(1000)), token="2"))
    stubbed.add_response(
        "list_objects_v2",
        listed(*(f"in/{n}" for n in range(1000, 2000)), token="3"),
        {"Bucket": "b", "Prefix": "in/", "ContinuationToken": "2"},
    )
    with pytest.raises(JobError) as refused:
        check("s3://b/in/")
    assert str(refused.value) == (
        "job_input: got more than 1,000 objects under 's3://b/in/', expected at most 1,000, the service's limit. Every "
        "object under the prefix is input: join them, or move others away"
    )


def test_a_thousand_objects_are_accepted(stubbed, monkeypatch):
    stubbed.add_response("list_objects_v2", listed("in/", *(f"in/{n}" for n in range(999)), token="2"))
    stubbed.add_response("list_objects_v2", listed("in/999", "in/folder/"))
    for _ in range(1000):
        stubbed.add_response("get_object", body(lines(1)))
    assert check("s3://b/in/") == []


def test_the_listing_of_one_object_asks_for_one(stubbed):
    stubbed.add_response("list_objects_v2", listed("in/a", token="2"), {"Bucket": "b", "Prefix": "in/a", "MaxKeys": 1})
    stubbed.add_response("get_object", body(lines(1)), {"Bucket": "b", "Key": "in/a"})
    check("s3://b/in/a")


def test_rejects_too_many_bytes_by_the_listing_without_reading(stubbed):
    half = 1024**3 // 2
    stubbed.add_response("list_objects_v2", listed("in/a", "in/b", size=half + 1))
    with pytest.raises(JobError) as refused:
        check("s3://b/in/")
    assert str(refused.value) == (
        "job_input: got 1,073,741,826 bytes in 's3://b/in/', expected at most 1,073,741,824, the service's limit of "
        "all files together. Split them over several jobs"
    )


def test_a_gibibyte_by_the_listing_is_read(stubbed):
    stubbed.add_response("list_objects_v2", listed("in/a", "in/b", size=1024**3 // 2))
    stubbed.add_response("get_object", body(lines(1)))
    stubbed.add_response("get_object", body(lines(1)))
    check("s3://b/in/")


def test_rejects_an_asset_that_is_too_large_before_reading_it(stubbed):
    stubbed.add_response("get_object", {**body(b""), "ContentLength": 1024**3 + 1})
    with pytest.raises(JobError, match=r"^job_input: got 1,073,741,825 bytes in 's3://b/k', expected at most"):
        staging.stage({"AssetBucket": "b", "AssetKey": "k"}, "s3://in/x", ITEMS, Patience(60))


def test_reading_stops_at_the_quota_of_the_job(requests, s3, bucket, put):
    large = rb'{"itemAttributes": "ITEMS.genres = \"Comedy\""}' b"\n" * 300_000
    put("in/a.jsonl", large)
    put("in/b.jsonl", large)
    requests.clear()
    with pytest.raises(JobError, match=r"a\.jsonl', line 11: too many queries: expected at most 10 in a file"):
        check(f"s3://{bucket}/in/", ATTRIBUTES)
    assert [(name, sent.get("Key")) for name, sent in requests] == [
        ("ListObjectsV2", None),
        ("GetObject", "in/a.jsonl"),
    ]


@pytest.mark.parametrize(
    ("properties", "encryption"),
    [
        ({}, {"ServerSideEncryption": "AES256"}),
        ({"InputKmsKeyArn": KEY}, {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": KEY}),
    ],
)
def test_every_write_sends_its_encryption(stubbed, properties, encryption):
    where = {"Bucket": "in", "Key": "q-500/part-00000.jsonl", **encryption}
    for _ in range(2):
        stubbed.add_response("get_object", body(lines(1)))
    stubbed.add_response("put_object", {}, {**where, "Body": lines(1)})
    staging.stage({"AssetBucket": "b", "AssetKey": "k", **properties}, "s3://in/q", ITEMS, Patience(60))

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
        {"AssetBucket": "b", "AssetKey": "k", "QueriesPerFile": "30000", **properties}, "s3://in/q", ITEMS, Patience(60)
    )


def test_a_large_part_that_fails_is_aborted(stubbed):
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
            {"AssetBucket": "b", "AssetKey": "k", "QueriesPerFile": "30000"}, "s3://in/q", ITEMS, Patience(60)
        )
    assert str(refused.value) == (
        "job_input: 's3://in/q-30000/part-00000.jsonl': UploadPart failed with EntityTooSmall: too small"
    )


def test_retries_only_the_part_that_was_refused(stubbed, waits):
    for _ in range(2):
        stubbed.add_response("get_object", body(lines(1)))
    for _ in range(3):
        stubbed.add_client_error("put_object", "AccessDenied", "no", http_status_code=403)
    stubbed.add_response("put_object", {})
    staging.stage({"AssetBucket": "b", "AssetKey": "k"}, "s3://in/q", ITEMS, Patience(60))
    assert len(waits) == 2


def test_a_part_that_is_denied_is_named(stubbed, waits):
    for _ in range(2):
        stubbed.add_response("get_object", body(lines(1)))
    for _ in range(30):
        stubbed.add_client_error("put_object", "AccessDenied", "no", http_status_code=403)
    with pytest.raises(JobError) as refused:
        staging.stage({"AssetBucket": "b", "AssetKey": "k"}, "s3://in/q", ITEMS, Patience(20))
    stubbed.deactivate()
    stubbed._queue.clear()
    assert str(refused.value).startswith(
        "job_input: 's3://in/q-500/part-00000.jsonl': a permission is missing (PutObject: AccessDenied: no; "
    )


def test_at_most_sixteen_parts_wait_or_are_under_way(s3, put, bucket, monkeypatch):
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
    properties = {"AssetBucket": bucket, "AssetKey": "a.jsonl", "QueriesPerFile": "1"}
    staging.stage(properties, f"s3://{bucket}/queries/job/0a1b", ITEMS, Patience(60))
    assert len(objects(s3, bucket, "queries/")) == 200
    assert peak == [16]


def test_an_asset_that_changed_between_the_reads_is_an_error(s3, put, bucket, requests):
    put("a.jsonl", lines(1))
    reads = []

    def overwrite(**_: Any) -> None:
        reads.append(1)
        if len(reads) == 2:
            put("a.jsonl", lines(2))

    s3.meta.events.register("before-call.s3.GetObject", overwrite)
    with pytest.raises(JobError) as refused:
        staging.stage({"AssetBucket": bucket, "AssetKey": "a.jsonl"}, f"s3://{bucket}/q/x", ITEMS, Patience(60))
    assert str(refused.value).startswith(
        f"job_input: 's3://{bucket}/a.jsonl': the object changed while it was read: deploy again. GetObject failed "
        "with PreconditionFailed: "
    )
    assert objects(s3, bucket, "q/") == {}


def test_the_second_read_asks_for_the_version_of_the_first(stubbed):
    stubbed.add_response("get_object", body(lines(1), '"abc"'), {"Bucket": "b", "Key": "k"})
    stubbed.add_response("get_object", body(lines(1), '"abc"'), {"Bucket": "b", "Key": "k", "IfMatch": '"abc"'})
    stubbed.add_response("put_object", {})
    staging.stage({"AssetBucket": "b", "AssetKey": "k"}, "s3://in/q", ITEMS, Patience(60))


def test_a_connection_that_breaks_is_resumed_where_it_broke(stubbed, waits):
    content = lines(1000)
    stubbed.add_response("list_objects_v2", listed("a", size=len(content)))
    stubbed.add_response("get_object", body(content, broken_after=5000))
    stubbed.add_response(
        "get_object",
        {"Body": StreamingBody(io.BytesIO(content[5000:]), len(content) - 5000), "ETag": '"1"'},  # type: ignore[arg-type]
        {"Bucket": "b", "Key": "a", "IfMatch": '"1"', "Range": "bytes=5000-"},
    )
    assert check("s3://b/a", QueriesPerFile="1000") == []
    assert len(waits) == 1


def test_a_connection_that_breaks_again_and_again_names_the_object(stubbed, waits):
    stubbed.add_response("list_objects_v2", listed("a"))
    for _ in range(20):
        stubbed.add_response("get_object", body(lines(1000), broken_after=0))
    with pytest.raises(UnavailableError, match=r"^job_input: 's3://b/a': AWS returned an unexpected response or none "):
        check("s3://b/a", QueriesPerFile="1000")
    stubbed._queue.clear()


def test_an_archived_object_is_named_with_the_fix(s3, bucket):
    s3.put_object(Bucket=bucket, Key="in/a.jsonl", Body=lines(1))
    s3.put_object(Bucket=bucket, Key="in/b.jsonl", Body=lines(1), StorageClass="GLACIER")
    with pytest.raises(JobError) as refused:
        check(f"s3://{bucket}/in/")
    assert str(refused.value).startswith(
        f"job_input: 's3://{bucket}/in/b.jsonl': the object is archived: restore it, or copy it to the storage class "
        "STANDARD. GetObject failed with InvalidObjectState: "
    )


def test_an_object_with_a_customer_provided_key_is_named_with_the_fix(s3, bucket):
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
        "neither the handler nor Personalize has: write it again with SSE-S3 or SSE-KMS. GetObject failed with "
        "InvalidRequest: "
    )


def test_retries_only_the_object_that_was_denied(stubbed, waits):
    stubbed.add_response("list_objects_v2", listed("in/a", "in/b", "in/c"))
    stubbed.add_response("get_object", body(lines(1)), {"Bucket": "b", "Key": "in/a"})
    for _ in range(3):
        stubbed.add_client_error(
            "get_object", "AccessDenied", "no", http_status_code=403, expected_params={"Bucket": "b", "Key": "in/b"}
        )
    stubbed.add_response("get_object", body(lines(1)), {"Bucket": "b", "Key": "in/b"})
    stubbed.add_response("get_object", body(lines(1)), {"Bucket": "b", "Key": "in/c"})
    assert check("s3://b/in/") == []
    assert len(waits) == 3


def test_an_object_that_stays_denied_is_named_escaped(stubbed, waits):
    stubbed.add_response("list_objects_v2", listed("in/a", "in/\x1b'b"))
    stubbed.add_response("get_object", body(lines(1)))
    for _ in range(30):
        stubbed.add_client_error("get_object", "AccessDenied", "no", http_status_code=403)
    with pytest.raises(JobError) as refused:
        check("s3://b/in/")
    stubbed._queue.clear()
    expected = """job_input: "s3://b/in/\\x1b'b": a permission is missing (GetObject: AccessDenied: no; """
    assert str(refused.value).startswith(expected)


KMS_DENIED = (
    "User: arn:aws:sts::111122223333:assumed-role/Handler/f is not authorized to perform: kms:Decrypt on {} because no "
    "identity-based policy allows the kms:Decrypt action"
)


@pytest.mark.parametrize(
    ("properties", "resource", "named"),
    [
        ({"InputKmsKeyArn": KEY}, "the resource associated with this ciphertext", f"the KMS key '{KEY}'"),
        ({"InputKmsKeyArn": "arn:other"}, f"resource: {KEY}", f"the KMS key '{KEY}'"),
        ({}, "the resource associated with this ciphertext", "the object's KMS key"),
    ],
)
def test_a_missing_permission_for_the_inputs_key_names_key_and_fix(stubbed, waits, properties, resource, named):
    stubbed.add_response("list_objects_v2", listed("a"))
    for _ in range(30):
        stubbed.add_client_error("get_object", "AccessDenied", KMS_DENIED.format(resource), http_status_code=403)
    with pytest.raises(JobError) as refused:
        check("s3://b/a", **properties)
    stubbed._queue.clear()
    assert str(refused.value).startswith(
        f"job_input: 's3://b/a': grant kms:Decrypt on {named} to the handler: import the bucket with its "
        "encryption_key, or pass validate_input=False. GetObject failed with AccessDenied: "
    )


def test_a_missing_permission_for_the_assets_key_names_key_and_fix(stubbed, waits):
    for _ in range(30):
        stubbed.add_client_error("get_object", "AccessDenied", KMS_DENIED.format("it"), http_status_code=403)
    with pytest.raises(JobError) as refused:
        staging.stage({"AssetBucket": "b", "AssetKey": "k", "AssetKmsKeyArn": KEY}, "s3://in/q", ITEMS, Patience(60))
    stubbed._queue.clear()
    assert str(refused.value).startswith(
        f"job_input: 's3://b/k': grant kms:Decrypt on the KMS key '{KEY}' to the handler: set asset_encryption_key of "
        "BatchSegmentProvider. GetObject failed with AccessDenied: "
    )


def test_a_key_that_is_disabled_is_named(stubbed):
    stubbed.add_response("list_objects_v2", listed("a"))
    stubbed.add_client_error("get_object", "KMS.DisabledException", f"{KEY} is disabled.\x1b[0m", http_status_code=400)
    with pytest.raises(JobError) as refused:
        check("s3://b/a")
    assert str(refused.value) == (
        f"job_input: 's3://b/a': the KMS key '{KEY}' cannot be used: enable it. GetObject failed with "
        f"KMS.DisabledException: {KEY} is disabled.\\x1b[0m"
    )


def test_stops_listing_keys_of_folders_that_do_not_end(stubbed):
    for page in range(20):
        stubbed.add_response("list_objects_v2", listed("in/a/", token=str(page + 2)))
    with pytest.raises(JobError) as refused:
        check("s3://b/in/")
    assert str(refused.value) == (
        "job_input: got too many keys that end in '/' under 's3://b/in/', expected query files: move the folder "
        "objects away"
    )


def test_an_explicit_denial_of_an_object_names_the_policy_and_is_not_retried(stubbed):
    stubbed.add_response("list_objects_v2", listed("a"))
    said = "User: x is not authorized to perform: s3:GetObject with an explicit deny in a resource-based policy"
    stubbed.add_client_error("get_object", "AccessDenied", said, http_status_code=403)
    with pytest.raises(JobError) as refused:
        check("s3://b/a")
    assert str(refused.value) == (
        "job_input: 's3://b/a': GetObject is explicitly denied by a resource-based policy. Change the Deny statement "
        f"in the policy of the bucket or the key (AccessDenied: {said})"
    )
