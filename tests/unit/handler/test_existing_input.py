"""Checking queries that exist in S3. S3 is the local AWS or a stub."""

import gzip
from collections.abc import Callable
from typing import Any

import pytest
from batch_segment_handler.errors import JobError
from batch_segment_handler.existing_input import check_existing
from batch_segment_handler.preflight import Preflight
from batch_segment_handler.retries import RetryBudget
from query_objects import ATTRIBUTES, ITEMS, body, lines, listed, objects


def check(path: str, found: Preflight = ITEMS, **properties: Any) -> None:
    given: Any = {"InputPath": path, **properties}
    check_existing(given, found, RetryBudget(60))


def test_checks_every_object_under_a_prefix_and_changes_none(
    put: Callable[[str, bytes], None], s3: Any, bucket: str, log: Any
) -> None:
    put("in/a.jsonl", lines(500))
    put("in/deeper/b.jsonl", lines(3))
    put("in/", b"")
    before = objects(s3, bucket, "")
    check(f"s3://{bucket}/in/")
    assert objects(s3, bucket, "") == before
    assert log()[-1] == {"decision": "checked", "path": f"'s3://{bucket}/in/'", "queries": 503, "files": 2}


def test_checks_a_single_object(put: Callable[[str, bytes], None], bucket: str, log: Any) -> None:
    put("in/a.jsonl", lines(5))
    put("in/a.jsonl.bak", b"not a query")
    check(f"s3://{bucket}/in/a.jsonl")
    assert log()[-1]["queries"] == 5


def test_reports_invalid_queries_as_at_synth(put: Callable[[str, bytes], None], bucket: str) -> None:
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
def test_rejects_missing_input(put: Callable[[str, bytes], None], bucket: str, key: str, words: str) -> None:
    put("in/a.jsonl.bak" if key == "in/a.jsonl" else "other/a.jsonl", lines(1))
    with pytest.raises(JobError) as refused:
        check(f"s3://{bucket}/{key}")
    assert str(refused.value) == f"job_input: there is {words} 's3://{bucket}/{key}'; upload the queries first"


def test_rejects_an_empty_object(put: Callable[[str, bytes], None], bucket: str) -> None:
    put("in/a.jsonl", b"")
    with pytest.raises(JobError, match="no query: a job needs at least one"):
        check(f"s3://{bucket}/in/")


def test_rejects_a_file_with_more_queries_than_the_quota(put: Callable[[str, bytes], None], bucket: str) -> None:
    put("in/a.jsonl", lines(501))
    with pytest.raises(JobError) as refused:
        check(f"s3://{bucket}/in/")
    assert str(refused.value) == (
        f"1 fault in the queries:\n  's3://{bucket}/in/a.jsonl', line 501: too many queries: expected at most 500 in a "
        "file. Split it, pass it to BatchSegmentInput.from_asset, which splits it, or set queries_per_file if your "
        "quota is higher\n  the rest was not read"
    )
    check(f"s3://{bucket}/in/", QueriesPerFile="501")


def test_logs_warnings(put: Callable[[str, bytes], None], bucket: str, log: Any) -> None:
    put("in/a.jsonl", b'\xef\xbb\xbf{"itemId": "1"}')
    check(f"s3://{bucket}/in/")
    assert [line["fault"] for line in log() if line["decision"] == "warning"] == [
        f"'s3://{bucket}/in/a.jsonl', line 1, column 1: a byte order mark, which the service may reject: save the "
        "file as UTF-8 without it"
    ]


def test_logs_the_first_five_warnings(put: Callable[[str, bytes], None], bucket: str, log: Any) -> None:
    put("in/a.jsonl", rb'{"itemAttributes": "ITEMS.year < 1999"}' b"\n" * 6)
    check(f"s3://{bucket}/in/", ATTRIBUTES)
    warnings = [line["fault"] for line in log() if line["decision"] == "warning"]
    assert [warning.split(", ")[1] for warning in warnings] == [f"line {line}" for line in (1, 2, 3, 4, 5)]
    assert "'<' is not documented for segments and may be rejected" in warnings[0]


def test_rejects_or_in_an_existing_object(put: Callable[[str, bytes], None], bucket: str) -> None:
    put("in/a.jsonl", rb'{"itemAttributes": "ITEMS.a = \"1\" OR ITEMS.a = \"2\""}')
    with pytest.raises(JobError) as refused:
        check(f"s3://{bucket}/in/", ATTRIBUTES)
    assert str(refused.value) == (
        f"1 fault in the queries:\n  's3://{bucket}/in/a.jsonl', line 1, column 37: 'OR' fails: write one query for "
        "each alternative"
    )


def test_names_a_missing_bucket(s3: Any) -> None:
    with pytest.raises(JobError) as refused:
        check("s3://no-such-bucket-anywhere/in/")
    assert str(refused.value) == (
        "job_input: 's3://no-such-bucket-anywhere/in/': ListObjectsV2 failed with NoSuchBucket: The specified bucket "
        "does not exist"
    )


def test_rejects_a_prefix_with_objects_that_are_not_query_files(put: Callable[[str, bytes], None], bucket: str) -> None:
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
def test_recognizes_files_of_other_programs_by_their_name(
    put: Callable[[str, bytes], None], bucket: str, name: str, is_stray: bool
) -> None:
    put(f"in/{name}", lines(1))
    if is_stray:
        with pytest.raises(JobError, match="move them away"):
            check(f"s3://{bucket}/in/")
    else:
        check(f"s3://{bucket}/in/")


def test_reports_a_compressed_file_once(put: Callable[[str, bytes], None], bucket: str) -> None:
    put("in/a.jsonl", gzip.compress(lines(10_000)))
    put("in/b.jsonl", b"\x1f\x8b\n\n\xff\n")
    with pytest.raises(JobError) as refused:
        check(f"s3://{bucket}/in/")
    assert str(refused.value) == (
        f"2 faults in the queries:\n  's3://{bucket}/in/a.jsonl': the file is compressed: unpack it\n"
        f"  's3://{bucket}/in/b.jsonl': the file is compressed: unpack it"
    )


def test_escapes_keys_in_messages(put: Callable[[str, bytes], None], bucket: str, log: Any) -> None:
    put("in/today\x1b]0;pwned\x07.jsonl", b"x\n")
    with pytest.raises(JobError) as refused:
        check(f"s3://{bucket}/in/")
    assert f"'s3://{bucket}/in/today\\x1b]0;pwned\\x07.jsonl', line 1, column 1: " in str(refused.value)
    assert str(refused.value).replace("\n", "").isprintable()


@pytest.mark.parametrize("quota", ["", "x", "0", "1.5", "-1", "50000001", "\u0661"])
def test_rejects_a_quota_that_is_not_a_whole_number(put: Callable[[str, bytes], None], bucket: str, quota: str) -> None:
    put("in/a.jsonl", lines(1))
    with pytest.raises(JobError) as refused:
        check(f"s3://{bucket}/in/", QueriesPerFile=quota)
    assert str(refused.value) == f"queries_per_file: got {quota!r}, expected a whole number from 1 to 50,000,000"


def test_stops_listing_after_one_object_too_many(stubbed: Any) -> None:
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
        "object under the prefix is input: merge files, or move others away"
    )


def test_accepts_a_thousand_objects(stubbed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    stubbed.add_response("list_objects_v2", listed("in/", *(f"in/{n}" for n in range(999)), token="2"))
    stubbed.add_response("list_objects_v2", listed("in/999", "in/folder/"))
    for _ in range(1000):
        stubbed.add_response("get_object", body(lines(1)))
    check("s3://b/in/")


def test_requests_one_key_to_list_one_object(stubbed: Any) -> None:
    stubbed.add_response("list_objects_v2", listed("in/a", token="2"), {"Bucket": "b", "Prefix": "in/a", "MaxKeys": 1})
    stubbed.add_response("get_object", body(lines(1)), {"Bucket": "b", "Key": "in/a"})
    check("s3://b/in/a")


def test_rejects_too_many_bytes_by_the_listing_without_reading(stubbed: Any) -> None:
    half = 1024**3 // 2
    stubbed.add_response("list_objects_v2", listed("in/a", "in/b", size=half + 1))
    with pytest.raises(JobError) as refused:
        check("s3://b/in/")
    assert str(refused.value) == (
        "job_input: got 1,073,741,826 bytes in 's3://b/in/', expected at most 1,073,741,824, the service's limit for "
        "all files together. Split them over several jobs"
    )


def test_accepts_a_gibibyte(stubbed: Any) -> None:
    stubbed.add_response("list_objects_v2", listed("in/a", "in/b", size=1024**3 // 2))
    stubbed.add_response("get_object", body(lines(1)))
    stubbed.add_response("get_object", body(lines(1)))
    check("s3://b/in/")


def test_stops_reading_at_the_quota(
    requests: list[tuple[str, dict[str, Any]]], s3: Any, bucket: str, put: Callable[[str, bytes], None]
) -> None:
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


def test_stops_listing_keys_of_folders_that_do_not_end(stubbed: Any) -> None:
    for page in range(20):
        stubbed.add_response("list_objects_v2", listed("in/a/", token=str(page + 2)))
    with pytest.raises(JobError) as refused:
        check("s3://b/in/")
    assert str(refused.value) == (
        "job_input: got too many keys that end in '/' under 's3://b/in/', expected query files: move the folder "
        "objects away"
    )
