"""Invalid arguments of inputs and queries."""

from collections.abc import Callable

import aws_cdk as cdk
import aws_cdk.aws_s3 as s3
import pytest
from cdk_personalize_segments import BatchSegmentInput, BatchSegmentJob, SegmentQuery
from support.constants import VERSION
from support.templates import job_properties


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: BatchSegmentInput.from_queries([]), "segment_queries: got none, expected at least one SegmentQuery"),
        (
            lambda: BatchSegmentInput.from_asset("no/such.jsonl"),
            "path: got a path that does not exist, 'no/such.jsonl', expected a file of queries, "
            "one JSON object per line",
        ),
        (
            lambda: BatchSegmentInput.from_queries([SegmentQuery.items_like("1"), SegmentQuery.where(G="Comedy")]),
            "segment_queries[1]: got a query with itemAttributes, expected itemId, as in the queries before: "
            "a job takes one kind of query",
        ),
        (
            lambda: BatchSegmentInput.from_queries([SegmentQuery.items_like("1")], queries_per_file=0),
            "queries_per_file: got 0, expected a whole number from 1 to 50,000,000",
        ),
        (lambda: SegmentQuery.items_like(""), "item_id: got '', expected a non-empty string"),
        (
            lambda: SegmentQuery.items_like("1").with_filter_values(),
            'filter values: got none, expected at least one, for example COUNTRY="Japan"',
        ),
        (
            lambda: SegmentQuery.items_like("1").with_filter_values(AGE=18),  # type: ignore[arg-type]
            'filter value AGE: got 18, expected a string or a list of strings: write AGE="18"',
        ),
        (
            lambda: SegmentQuery.items_like("1").with_filter_values(AGE=["17", 18.5]),  # type: ignore[list-item]
            "filter value AGE: got ['17', 18.5], expected a string or a list of strings: write AGE=\"18.5\"",
        ),
        (
            lambda: SegmentQuery.items_like("1").with_filter_values(NEW=True),  # type: ignore[arg-type]
            "filter value NEW: got True, expected a string or a list of strings: write it as the data has it, for "
            'example NEW="true"',
        ),
        (
            lambda: SegmentQuery.items_like("1").with_filter_values(A=[]),
            "filter value A: got [], expected a string or a list of strings",
        ),
        (
            lambda: SegmentQuery.items_like("1").with_filter_values(**{"$C": "a"}),
            "filter values: got the name '$C', expected 'C': write it without the $",
        ),
        (
            lambda: SegmentQuery.items_like(105),  # type: ignore[arg-type]
            'item_id: got 105, expected a non-empty string: write "105"',
        ),
        (
            lambda: SegmentQuery.where(YEAR=1999),  # type: ignore[arg-type]
            'column YEAR: got 1999, expected a non-empty string: write YEAR="1999"',
        ),
        (
            lambda: SegmentQuery.where(YEAR=["1998", 1999]),  # type: ignore[list-item]
            'column YEAR: got 1999, expected a non-empty string: write YEAR="1999"',
        ),
        (
            lambda: SegmentQuery.where(NEW=False),  # type: ignore[arg-type]
            'column NEW: got False, expected a non-empty string: write it as the data has it, for example NEW="false"',
        ),
    ],
)
def test_rejects_bad_input(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011
        make()
    assert str(refused.value) == message


def test_rejects_a_query_of_another_type() -> None:
    with pytest.raises(TypeError) as refused:
        BatchSegmentInput.from_queries([SegmentQuery.items_like("1"), "105"])  # type: ignore[list-item]
    assert str(refused.value) == "segment_queries[1]: got str '105', expected a SegmentQuery"


def test_rejects_a_prefix_without_a_slash(stack: cdk.Stack) -> None:
    bucket = s3.Bucket(stack, "Bucket")
    with pytest.raises(ValueError, match="key_or_prefix") as refused:
        BatchSegmentInput.from_bucket(bucket, "folder")
    assert str(refused.value) == (
        "key_or_prefix: got 'folder', expected a prefix that ends in '/': without the '/', 'folder_test/' would "
        "match as "
        "well; if it is the key of one object, pass single_object=True"
    )


def test_accepts_an_object_without_an_extension_if_declared(stack: cdk.Stack) -> None:
    job_input = BatchSegmentInput.from_bucket(s3.Bucket(stack, "Bucket"), "unload/part-00000", single_object=True)
    BatchSegmentJob(stack, "Job", solution_version_arn=VERSION, job_input=job_input)
    assert job_properties(stack)["InputPath"].endswith("/unload/part-00000")
