from pathlib import Path

import aws_cdk as cdk
import aws_cdk.aws_s3 as s3
import pytest
from cdk_personalize_segments import BatchSegmentInput, BatchSegmentJob, SegmentQuery
from support import VERSION, one


def asset_of(stack: cdk.Stack, job_input: BatchSegmentInput) -> bytes:
    """Synthesises a job and reads the asset that its handler would."""
    BatchSegmentJob(stack, "Job", solution_version_arn=VERSION, job_input=job_input)
    app = stack.node.root
    assert isinstance(app, cdk.App)
    key = one(stack, "Custom::PersonalizeBatchSegmentJob")["AssetKey"]
    return (Path(app.synth().directory) / f"asset.{key}").read_bytes()


@pytest.mark.parametrize(
    ("query", "line"),
    [
        (SegmentQuery.items_like("105"), b'{"itemId": "105"}\n'),
        (SegmentQuery.items_like('a"b\\c'), b'{"itemId": "a\\"b\\\\c"}\n'),
        (SegmentQuery.where(GENRES="Comedy"), b'{"itemAttributes": "ITEMS.GENRES = \\"Comedy\\""}\n'),
        (
            SegmentQuery.where(GENRES=["Comedy", "Action"], YEAR="1999"),
            b'{"itemAttributes": "ITEMS.GENRES = \\"Comedy\\" AND ITEMS.GENRES = \\"Action\\" AND '
            b'ITEMS.YEAR = \\"1999\\""}\n',
        ),
        (
            SegmentQuery.where(TITLE='The "Big" one'),
            b'{"itemAttributes": "ITEMS.TITLE = \\"The \\\\\\"Big\\\\\\" one\\""}\n',
        ),
        (
            SegmentQuery.where(TITLE="C:\\films"),
            b'{"itemAttributes": "ITEMS.TITLE = \\"C:\\\\\\\\films\\""}\n',
        ),
        (SegmentQuery.where(GENRES="Komödie"), '{"itemAttributes": "ITEMS.GENRES = \\"Komödie\\""}\n'.encode()),
        (
            SegmentQuery.items_like("1").with_filter_values(COUNTRY="Japan"),
            b'{"itemId": "1", "filterValues": {"COUNTRY": "\\"Japan\\""}}\n',
        ),
        (
            SegmentQuery.items_like("1").with_filter_values(GENRES=["horror", "comedy"]),
            b'{"itemId": "1", "filterValues": {"GENRES": "\\"horror\\",\\"comedy\\""}}\n',
        ),
    ],
)
def test_a_query_is_written_as_the_service_reads_it(stack, query, line):
    assert asset_of(stack, BatchSegmentInput.from_queries([query])) == line


def test_queries_keep_their_order(stack):
    queries = [SegmentQuery.items_like(str(number)) for number in range(1000)]
    lines = asset_of(stack, BatchSegmentInput.from_queries(queries)).splitlines()
    assert lines == [b'{"itemId": "%d"}' % number for number in range(1000)]


def test_a_file_travels_unchanged(stack, tmp_path):
    file = tmp_path / "queries.jsonl"
    file.write_bytes(b'{ "itemId" : "1" }\r\n{"itemId": "2"}')
    assert asset_of(stack, BatchSegmentInput.from_asset(file)) == b'{ "itemId" : "1" }\r\n{"itemId": "2"}'


def test_a_fault_in_a_file_is_an_error_at_synth_that_names_the_line(stack, tmp_path):
    file = tmp_path / "queries.jsonl"
    file.write_text('{"itemId": "1"}\n{"itemID": "2"}\n')
    with pytest.raises(ValueError, match="line 2") as refused:
        asset_of(stack, BatchSegmentInput.from_asset(file))
    assert str(file) in str(refused.value)


def test_the_two_kinds_of_query_are_not_mixed(stack):
    mixed = BatchSegmentInput.from_queries([SegmentQuery.items_like("1"), SegmentQuery.where(GENRES="Comedy")])
    with pytest.raises(ValueError, match="segment_queries, line 2"):
        asset_of(stack, mixed)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: BatchSegmentInput.from_queries([]), "segment_queries: got none, wanted at least one SegmentQuery"),
        (
            lambda: BatchSegmentInput.from_asset("no/such.jsonl"),
            "path: got 'no/such.jsonl', wanted a file of queries, one JSON object a line",
        ),
        (lambda: SegmentQuery.items_like(""), "item_id: got '', wanted a string that is not empty"),
        (lambda: SegmentQuery.items_like(105), "item_id: got 105, wanted a string that is not empty"),
        (
            lambda: SegmentQuery.items_like("1").with_filter_values(AGE=18),
            "filter value AGE: got 18, wanted a string or a list of strings",
        ),
    ],
)
def test_a_bad_input_is_refused(make, message):
    with pytest.raises(ValueError) as refused:  # noqa: PT011
        make()
    assert str(refused.value) == message


def test_a_folder_without_slash_is_refused_as_it_matches_more(stack):
    bucket = s3.Bucket(stack, "Bucket")
    with pytest.raises(ValueError, match="wanted a prefix that ends in '/': without it, 'folder_test/' would match"):
        BatchSegmentInput.from_bucket(bucket, "folder")
