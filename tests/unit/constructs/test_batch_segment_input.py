from pathlib import Path

import aws_cdk as cdk
import aws_cdk.aws_s3 as s3
import pytest
from aws_cdk.assertions import Annotations, Match
from cdk_personalize_segments import BatchSegmentInput, BatchSegmentJob, SegmentQuery
from support import FILTER, VERSION, job_properties, one


def asset_of(stack: cdk.Stack, job_input: BatchSegmentInput, filter_arn: str | None = None) -> bytes:
    """Synthesises a job and reads the asset that its handler would."""
    BatchSegmentJob(stack, "Job", solution_version_arn=VERSION, job_input=job_input, filter_arn=filter_arn)
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
    assert asset_of(stack, BatchSegmentInput.from_queries([query]), FILTER) == line


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


def warnings(stack: cdk.Stack) -> list[str]:
    return [entry.entry.data for entry in Annotations.from_stack(stack).find_warning("*", Match.any_value())]


@pytest.mark.parametrize("filter_arn", [None, FILTER])
def test_filter_values_without_a_filter_are_a_warning_at_synth(stack, filter_arn):
    query = SegmentQuery.items_like("1").with_filter_values(COUNTRY="Japan")
    asset_of(stack, BatchSegmentInput.from_queries([query]), filter_arn)
    said = "segment_queries, line 1, column 34: a filter value that no placeholder takes, 'COUNTRY'"
    ack = " [ack: cdk-personalize-segments:queries]"
    assert warnings(stack) == ([f"{said}{ack}"] if filter_arn is None else [])


def test_what_may_be_refused_is_a_warning_at_synth(stack, tmp_path):
    file = tmp_path / "queries.jsonl"
    file.write_text('{"itemAttributes": "ITEMS.year < 1999"}\n')
    asset_of(stack, BatchSegmentInput.from_asset(file))
    (warning,) = warnings(stack)
    assert warning.startswith(f"{file}, line 1, column 32: '<' is not documented for segments and may be refused")
    assert warning.endswith("[ack: cdk-personalize-segments:queries]")


@pytest.mark.parametrize(("count", "per_file"), [(1001, 1), (500_001, None)])
def test_more_queries_than_a_job_reads_are_refused_at_synth(stack, tmp_path, count, per_file):
    file = tmp_path / "queries.jsonl"
    file.write_text('{"itemId": "1"}\n' * count)
    with pytest.raises(ValueError, match=f"^{count:,} queries are too many: a job reads 1,000 files of") as refused:
        asset_of(stack, BatchSegmentInput.from_asset(file, queries_per_file=per_file))
    assert "set queries_per_file if your quota is higher" in str(refused.value)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: BatchSegmentInput.from_queries([]), "segment_queries: got none, expected at least one SegmentQuery"),
        (
            lambda: BatchSegmentInput.from_asset("no/such.jsonl"),
            "path: got a path where there is no file, 'no/such.jsonl', expected a file of queries, "
            "one JSON object a line",
        ),
        (
            lambda: BatchSegmentInput.from_queries([SegmentQuery.items_like("1"), SegmentQuery.where(G="Comedy")]),
            "segment_queries[1]: got a query with itemAttributes, expected itemId as before: a job takes one kind "
            "of query",
        ),
        (
            lambda: BatchSegmentInput.from_queries([SegmentQuery.items_like("1")], queries_per_file=0),
            "queries_per_file: got 0, expected a whole number from 1 to 50,000,000",
        ),
        (lambda: SegmentQuery.items_like(""), "item_id: got '', expected a string that is not empty"),
        (lambda: SegmentQuery.items_like(105), "item_id: got 105, expected a string that is not empty"),
        (
            lambda: SegmentQuery.items_like("1").with_filter_values(),
            'filter values: got none, expected at least one, for example COUNTRY="Japan"',
        ),
        (
            lambda: SegmentQuery.items_like("1").with_filter_values(AGE=18),
            "filter value AGE: got 18, expected a string or a list of strings",
        ),
    ],
)
def test_a_bad_input_is_refused(make, message):
    with pytest.raises(ValueError) as refused:  # noqa: PT011
        make()
    assert str(refused.value) == message


def test_a_query_that_is_none_is_refused():
    with pytest.raises(TypeError) as refused:
        BatchSegmentInput.from_queries([SegmentQuery.items_like("1"), "105"])
    assert str(refused.value) == "segment_queries[1]: got str '105', expected a SegmentQuery"


def test_a_folder_without_slash_is_refused_as_it_matches_more(stack):
    bucket = s3.Bucket(stack, "Bucket")
    with pytest.raises(ValueError, match="key_or_prefix") as refused:
        BatchSegmentInput.from_bucket(bucket, "folder")
    assert str(refused.value) == (
        "key_or_prefix: got 'folder', expected a prefix that ends in '/': without it, 'folder_test/' would match as "
        "well; if it is the key of one object, pass single_object=True"
    )


def test_an_object_without_an_extension_is_taken_if_it_is_said_to_be_one(stack):
    job_input = BatchSegmentInput.from_bucket(s3.Bucket(stack, "Bucket"), "unload/part-00000", single_object=True)
    BatchSegmentJob(stack, "Job", solution_version_arn=VERSION, job_input=job_input)
    assert job_properties(stack)["InputPath"].endswith("/unload/part-00000")
