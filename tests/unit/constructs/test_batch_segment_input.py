from pathlib import Path
from typing import Any

import aws_cdk as cdk
import aws_cdk.aws_s3 as s3
import pytest
from aws_cdk.assertions import Annotations, Match
from cdk_personalize_segments import BatchSegmentInput, BatchSegmentJob, SegmentQuery
from cdk_personalize_segments.batch_segment_input import StagedInput
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
def test_a_query_is_written_as_the_service_reads_it(stack: cdk.Stack, query: Any, line: Any) -> None:
    assert asset_of(stack, BatchSegmentInput.from_queries([query]), FILTER) == line


def test_queries_keep_their_order(stack: cdk.Stack) -> None:
    queries = [SegmentQuery.items_like(str(number)) for number in range(1000)]
    lines = asset_of(stack, BatchSegmentInput.from_queries(queries)).splitlines()
    assert lines == [b'{"itemId": "%d"}' % number for number in range(1000)]


def test_queries_of_a_file_travel_unchanged_on_tidy_lines(stack: cdk.Stack, tmp_path: Path) -> None:
    file = tmp_path / "queries.jsonl"
    content = b'{ "itemId" : "1" }\r\n{"itemId": "2"}'
    file.write_bytes(content)
    assert asset_of(stack, BatchSegmentInput.from_asset(file)) == b'{ "itemId" : "1" }\n{"itemId": "2"}\n'
    assert file.read_bytes() == content


def bound(stack: cdk.Stack, job_input: BatchSegmentInput, **options: Any) -> StagedInput:
    found = job_input.bind(stack, is_filtered=False, **options)
    assert isinstance(found, StagedInput)
    return found


@pytest.mark.parametrize(
    "content",
    [
        b'{"itemId": "1"}\r\n{"itemId": "2"}\r\n',
        b'{"itemId": "1"}\n{"itemId": "2"}',
        b'{"itemId": "1"}\n{"itemId": "2"}\n\n \r\n',
        b'\xef\xbb\xbf{"itemId": "1"}\n{"itemId": "2"}\n',
    ],
)
def test_the_same_queries_have_the_same_hash(tmp_path: Path, content: bytes) -> None:
    hashes = set()
    for name, written in (("a.jsonl", b'{"itemId": "1"}\n{"itemId": "2"}\n'), ("b.txt", content)):
        file = tmp_path / name
        file.write_bytes(written)
        found = bound(cdk.Stack(), BatchSegmentInput.from_asset(file))
        hashes.add(found.asset.asset_hash)
        assert not found.is_inline
    inline = BatchSegmentInput.from_queries(map(SegmentQuery.items_like, "12"))
    found = bound(cdk.Stack(), inline)
    assert {*hashes, found.asset.asset_hash} == {found.asset.asset_hash}
    assert found.is_inline


def test_another_query_has_another_hash() -> None:
    inputs = [BatchSegmentInput.from_queries([SegmentQuery.items_like(id)]) for id in "12"]
    assert len({bound(cdk.Stack(), one).asset.asset_hash for one in inputs}) == 2


@pytest.mark.parametrize("extension", [".jsonl", ".personalize-8a2cc0"])
def test_the_key_of_the_asset_ends_in_the_extension(stack: cdk.Stack, extension: str) -> None:
    found = bound(stack, BatchSegmentInput.from_queries([SegmentQuery.items_like("1")]), extension=extension)
    assert found.asset.s3_object_key == f"{found.asset.asset_hash}{extension}"


@pytest.mark.parametrize(
    ("queries", "summary"),
    [
        ([SegmentQuery.items_like("105")], "1 query: 105"),
        (
            [
                SegmentQuery.where(GENRES="Comedy"),
                SegmentQuery.where(A="b", C=["d", "e"]).with_filter_values(COUNTRY="Japan", AGE=["1", "2"]),
            ],
            '2 queries: ITEMS.GENRES = "Comedy"; ITEMS.A = "b" AND ITEMS.C = "d" AND ITEMS.C = "e" '
            '(COUNTRY="Japan", AGE="1","2")',
        ),
        ([SegmentQuery.items_like(c * 90) for c in "abcd"], f"4 queries: {'a' * 90}; {'b' * 90}; {'c' * 90}; …"),
        ([SegmentQuery.items_like("x" * 400)], f"1 query: {'x' * 290}…"),
        ([SegmentQuery.items_like("x")] * 1234, f"1,234 queries: {'; '.join('x' * 94)}; …"),
        (
            [SegmentQuery.items_like("{{resolve:ssm:/a}}{{{ ${AWS::Region}\x1b[0m\n")],
            r"1 query: { {resolve:ssm:/a}}{ { { $ {AWS::Region}\x1b[0m\n",
        ),
    ],
)
def test_the_summary_shows_the_first_queries_in_at_most_300_characters(
    stack: cdk.Stack, queries: Any, summary: str
) -> None:
    found = bound(stack, BatchSegmentInput.from_queries(queries)).summary
    assert found == summary
    assert len(found) <= 300


def test_what_looks_like_a_token_in_a_file_stays_text(stack: cdk.Stack, tmp_path: Path) -> None:
    file = tmp_path / "queries.jsonl"
    file.write_text('{"itemId": "${Token[AWS.Region.1]}"}\n{"itemId": "#{Token[A.2]}"}\n')
    found = bound(stack, BatchSegmentInput.from_asset(file))
    assert found.summary == "2 queries: $ {Token[AWS.Region.1]}; # {Token[A.2]}"
    assert stack.resolve(found.summary) == found.summary


@pytest.mark.parametrize(
    "query",
    [
        lambda: SegmentQuery.items_like(cdk.Aws.REGION),
        lambda: SegmentQuery.items_like(f"a-{cdk.Aws.REGION}"),
        lambda: SegmentQuery.items_like("1").with_filter_values(COUNTRY=cdk.Aws.REGION),
        lambda: SegmentQuery.items_like(cdk.Token.as_list(cdk.Fn.ref("List"))[0]),
    ],
)
def test_rejects_a_value_that_is_known_only_at_deploy(query: Any) -> None:
    with pytest.raises(
        ValueError, match=r"^segment_queries\[1\]: got a value that is known only at deploy, '"
    ) as refused:
        BatchSegmentInput.from_queries([SegmentQuery.items_like("1"), query()])
    assert str(refused.value).endswith(
        "Token["
        + str(refused.value).partition("Token[")[2].partition("'")[0]
        + "', expected text: queries are written "
        "at synth. Write them to S3 and pass them as BatchSegmentInput.from_bucket"
    )


def test_a_fault_in_a_file_is_an_error_at_synth_that_names_the_line(stack: cdk.Stack, tmp_path: Path) -> None:
    file = tmp_path / "queries.jsonl"
    file.write_text('{"itemId": "1"}\n{"itemID": "2"}\n')
    with pytest.raises(ValueError, match="line 2") as refused:
        asset_of(stack, BatchSegmentInput.from_asset(file))
    assert str(file) in str(refused.value)


def warnings(stack: cdk.Stack) -> list[str]:
    return [entry.entry.data for entry in Annotations.from_stack(stack).find_warning("*", Match.any_value())]


def test_rejects_an_expression_that_is_known_only_at_deploy() -> None:
    with pytest.raises(ValueError, match=r"^segment_queries\[0\]: got a value that is known only at deploy, '"):
        BatchSegmentInput.from_queries([SegmentQuery.where(GENRES=cdk.Aws.REGION)])


def test_rejects_a_number_that_is_known_only_at_deploy() -> None:
    with pytest.raises(ValueError, match=r", expected text, known at synth: queries are written then$"):
        SegmentQuery.where(YEAR=cdk.Token.as_number(cdk.Aws.REGION))


def test_an_empty_filter_value_is_a_warning_at_synth(stack: cdk.Stack) -> None:
    query = SegmentQuery.items_like("1").with_filter_values(COUNTRY="")
    asset_of(stack, BatchSegmentInput.from_queries([query]), FILTER)
    assert warnings(stack) == ["segment_queries[0]: an empty filter value [ack: cdk-personalize-segments:queries]"]


def test_rejects_or_in_a_file_at_synth(stack: cdk.Stack, tmp_path: Path) -> None:
    file = tmp_path / "queries.jsonl"
    file.write_text(r'{"itemAttributes": "ITEMS.a = \"1\" OR ITEMS.a = \"2\""}')
    with pytest.raises(ValueError, match=r"'OR' fails: write one query for each alternative$"):
        asset_of(stack, BatchSegmentInput.from_asset(file))


@pytest.mark.parametrize("filter_arn", [None, FILTER])
def test_filter_values_without_a_filter_are_a_warning_at_synth(stack: cdk.Stack, filter_arn: Any) -> None:
    query = SegmentQuery.items_like("1").with_filter_values(COUNTRY="Japan")
    asset_of(stack, BatchSegmentInput.from_queries([query]), filter_arn)
    said = "segment_queries[0]: a filter value that no placeholder takes, 'COUNTRY'"
    ack = " [ack: cdk-personalize-segments:queries]"
    assert warnings(stack) == ([f"{said}{ack}"] if filter_arn is None else [])


def test_what_may_be_refused_is_a_warning_at_synth(stack: cdk.Stack, tmp_path: Path) -> None:
    file = tmp_path / "queries.jsonl"
    file.write_text('{"itemAttributes": "ITEMS.year < 1999"}\n')
    asset_of(stack, BatchSegmentInput.from_asset(file))
    (warning,) = warnings(stack)
    assert warning.startswith(f"'{file}', line 1, column 32: '<' is not documented for segments and may be refused")
    assert warning.endswith("[ack: cdk-personalize-segments:queries]")


@pytest.mark.parametrize(("count", "per_file"), [(1001, 1), (500_001, None)])
def test_more_queries_than_a_job_reads_are_refused_at_synth(
    stack: cdk.Stack, tmp_path: Path, count: int, per_file: int | None
) -> None:
    file = tmp_path / "queries.jsonl"
    file.write_text('{"itemId": "1"}\n' * count)
    with pytest.raises(ValueError, match=f"line {count}: too many queries: a job reads 1,000 files of") as refused:
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
        (lambda: SegmentQuery.items_like(""), "item_id: got '', expected a non-empty string"),
        (
            lambda: SegmentQuery.items_like("1").with_filter_values(),
            'filter values: got none, expected at least one, for example COUNTRY="Japan"',
        ),
        (
            lambda: SegmentQuery.items_like("1").with_filter_values(AGE=18),
            'filter value AGE: got 18, expected a string or a list of strings: write AGE="18"',
        ),
        (
            lambda: SegmentQuery.items_like("1").with_filter_values(AGE=["17", 18.5]),
            "filter value AGE: got ['17', 18.5], expected a string or a list of strings: write AGE=\"18.5\"",
        ),
        (
            lambda: SegmentQuery.items_like("1").with_filter_values(NEW=True),
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
        (lambda: SegmentQuery.items_like(105), 'item_id: got 105, expected a non-empty string: write "105"'),
        (lambda: SegmentQuery.where(YEAR=1999), 'column YEAR: got 1999, expected text: write YEAR="1999"'),
        (
            lambda: SegmentQuery.where(YEAR=["1998", 1999]),
            'column YEAR: got 1999, expected text: write YEAR="1999"',
        ),
        (
            lambda: SegmentQuery.where(NEW=False),
            'column NEW: got False, expected text: write it as the data has it, for example NEW="false"',
        ),
    ],
)
def test_a_bad_input_is_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011
        make()
    assert str(refused.value) == message


def test_a_query_that_is_none_is_refused() -> None:
    with pytest.raises(TypeError) as refused:
        BatchSegmentInput.from_queries([SegmentQuery.items_like("1"), "105"])
    assert str(refused.value) == "segment_queries[1]: got str '105', expected a SegmentQuery"


def test_a_folder_without_slash_is_refused_as_it_matches_more(stack: cdk.Stack) -> None:
    bucket = s3.Bucket(stack, "Bucket")
    with pytest.raises(ValueError, match="key_or_prefix") as refused:
        BatchSegmentInput.from_bucket(bucket, "folder")
    assert str(refused.value) == (
        "key_or_prefix: got 'folder', expected a prefix that ends in '/': without it, 'folder_test/' would match as "
        "well; if it is the key of one object, pass single_object=True"
    )


def test_an_object_without_an_extension_is_taken_if_it_is_said_to_be_one(stack: cdk.Stack) -> None:
    job_input = BatchSegmentInput.from_bucket(s3.Bucket(stack, "Bucket"), "unload/part-00000", single_object=True)
    BatchSegmentJob(stack, "Job", solution_version_arn=VERSION, job_input=job_input)
    assert job_properties(stack)["InputPath"].endswith("/unload/part-00000")
