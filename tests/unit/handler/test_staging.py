"""The input in S3: checked where it is, or moved there. S3 is that of the local AWS."""

import uuid
from typing import Any

import pytest
from batch_segment_handler import staging
from batch_segment_handler.failures import JobError, Patience
from batch_segment_handler.preflight import Preflight

ITEMS = Preflight("arn", "itemId", {})
ATTRIBUTES = Preflight("arn", "itemAttributes", {})


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
        "job_input: 1,001 queries are too many: a job reads 1,000 files of 1 each, together 1,000. Split them over "
        "several jobs, or set queries_per_file if your quota is higher"
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


def check(path: str, found: Preflight = ITEMS, **properties: str) -> None:
    staging.check_existing({"InputPath": path, **properties}, found, Patience(60))


def test_every_object_under_a_prefix_is_checked_and_none_is_changed(put, s3, bucket, log):
    put("in/a.jsonl", lines(500))
    put("in/deeper/b.jsonl", lines(3))
    put("in/", b"")
    before = objects(s3, bucket, "")
    check(f"s3://{bucket}/in/")
    assert objects(s3, bucket, "") == before
    assert log()[-1] == {"decision": "checked", "path": f"s3://{bucket}/in/", "queries": 503, "files": 2}


def test_one_object_is_checked_alone(put, bucket, log):
    put("in/a.jsonl", lines(5))
    put("in/a.jsonl.bak", b"not a query")
    check(f"s3://{bucket}/in/a.jsonl")
    assert log()[-1]["queries"] == 5


def test_a_fault_in_s3_has_the_words_that_it_has_at_synth(put, bucket):
    put("in/a.jsonl", lines(776) + b'{"itemID": "777"}\n')
    with pytest.raises(JobError) as refused:
        check(f"s3://{bucket}/in/")
    assert str(refused.value) == (
        f"1 fault in the queries:\n  s3://{bucket}/in/a.jsonl, line 777, column 2: unknown key 'itemID': "
        'write "itemId"'
    )


@pytest.mark.parametrize(
    ("key", "words"), [("in/", "no object under"), ("in/a.jsonl", "no object"), ("in/a.json", "no object")]
)
def test_an_input_that_is_not_there_is_refused(put, bucket, key, words):
    put("in/a.jsonl.bak" if key == "in/a.jsonl" else "other/a.jsonl", lines(1))
    with pytest.raises(JobError) as refused:
        check(f"s3://{bucket}/{key}")
    assert str(refused.value) == f"job_input: there is {words} s3://{bucket}/{key}"


def test_an_empty_object_is_refused(put, bucket):
    put("in/a.jsonl", b"")
    with pytest.raises(JobError, match="no query: a job needs at least one"):
        check(f"s3://{bucket}/in/")


def test_a_file_with_more_queries_than_the_quota_is_refused_unless_it_is_higher(put, bucket):
    put("in/a.jsonl", lines(501))
    with pytest.raises(JobError) as refused:
        check(f"s3://{bucket}/in/")
    assert str(refused.value) == (
        f"job_input: s3://{bucket}/in/a.jsonl has 501 queries, expected at most 500 in a file. Split it, pass it as "
        "BatchSegmentInput.from_asset, which is split, or set queries_per_file if your quota is higher"
    )
    check(f"s3://{bucket}/in/", QueriesPerFile="501")


def test_what_may_be_refused_is_a_line_in_the_log(put, bucket, log):
    put("in/a.jsonl", b'\xef\xbb\xbf{"itemId": "1"}')
    check(f"s3://{bucket}/in/")
    assert [line["fault"] for line in log() if line["decision"] == "warning"] == [
        f"s3://{bucket}/in/a.jsonl, line 1, column 1: a byte order mark, which the service may not take: save the "
        "file as UTF-8 without it"
    ]


def test_a_bucket_that_is_not_there_is_named(s3):
    with pytest.raises(s3.exceptions.NoSuchBucket, match="ListObjectsV2"):
        check("s3://no-such-bucket-anywhere/in/")
