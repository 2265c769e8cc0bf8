from collections.abc import Callable
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest
from batch_segment_handler.contract import RESOURCE_TYPE
from cdk_personalize_segments import BatchSegmentInput, BatchSegmentJob, SegmentQuery
from cdk_personalize_segments.batch_segment_input import StagedInput
from support.constants import FILTER, VERSION
from support.templates import only_resource, warnings


def asset_of(stack: cdk.Stack, job_input: BatchSegmentInput, filter_arn: str | None = None) -> bytes:
    """Synthesizes a job and reads the asset that its handler would."""
    BatchSegmentJob(stack, "Job", solution_version_arn=VERSION, job_input=job_input, filter_arn=filter_arn)
    app = stack.node.root
    assert isinstance(app, cdk.App)
    key = only_resource(stack, RESOURCE_TYPE)["AssetKey"]
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
def test_a_query_is_written_as_the_service_reads_it(stack: cdk.Stack, query: SegmentQuery, line: bytes) -> None:
    assert asset_of(stack, BatchSegmentInput.from_queries([query]), FILTER) == line


def test_queries_keep_their_order(stack: cdk.Stack) -> None:
    queries = [SegmentQuery.items_like(str(number)) for number in range(1000)]
    lines = asset_of(stack, BatchSegmentInput.from_queries(queries)).splitlines()
    assert lines == [b'{"itemId": "%d"}' % number for number in range(1000)]


def test_queries_of_a_file_stay_unchanged_on_normalized_lines(stack: cdk.Stack, tmp_path: Path) -> None:
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


def test_different_queries_have_different_hashes() -> None:
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
def test_the_summary_has_at_most_300_characters(stack: cdk.Stack, queries: list[SegmentQuery], summary: str) -> None:
    found = bound(stack, BatchSegmentInput.from_queries(queries)).summary
    assert found == summary
    assert len(found) <= 300


def test_a_token_marker_in_a_file_stays_text(stack: cdk.Stack, tmp_path: Path) -> None:
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
def test_rejects_a_value_that_is_known_only_at_deploy(query: Callable[[], SegmentQuery]) -> None:
    with pytest.raises(
        ValueError, match=r"^segment_queries\[1\]: got a value that is known only at deploy time, '"
    ) as refused:
        BatchSegmentInput.from_queries([SegmentQuery.items_like("1"), query()])
    assert str(refused.value).endswith(
        "Token["
        + str(refused.value).partition("Token[")[2].partition("'")[0]
        + "', expected text: queries are written "
        "at synth time. Upload them to S3 and use BatchSegmentInput.from_bucket"
    )


def test_names_the_line_of_a_fault_in_a_file_at_synth(stack: cdk.Stack, tmp_path: Path) -> None:
    file = tmp_path / "queries.jsonl"
    file.write_text('{"itemId": "1"}\n{"itemID": "2"}\n')
    with pytest.raises(ValueError, match="line 2") as refused:
        asset_of(stack, BatchSegmentInput.from_asset(file))
    assert str(file) in str(refused.value)


def test_rejects_an_expression_that_is_known_only_at_deploy() -> None:
    with pytest.raises(ValueError, match=r"^segment_queries\[0\]: got a value that is known only at deploy time, '"):
        BatchSegmentInput.from_queries([SegmentQuery.where(GENRES=cdk.Aws.REGION)])


def test_rejects_a_number_that_is_known_only_at_deploy() -> None:
    with pytest.raises(
        ValueError, match=r", expected a non-empty string, known at synth time: queries are written at synth time$"
    ):
        SegmentQuery.where(YEAR=cdk.Token.as_number(cdk.Aws.REGION))  # type: ignore[arg-type]


def test_warns_of_an_empty_filter_value(stack: cdk.Stack) -> None:
    query = SegmentQuery.items_like("1").with_filter_values(COUNTRY="")
    asset_of(stack, BatchSegmentInput.from_queries([query]), FILTER)
    assert warnings(stack) == ["segment_queries[0]: an empty filter value [ack: cdk-personalize-segments:queries]"]


def test_rejects_or_in_a_file_at_synth(stack: cdk.Stack, tmp_path: Path) -> None:
    file = tmp_path / "queries.jsonl"
    file.write_text(r'{"itemAttributes": "ITEMS.a = \"1\" OR ITEMS.a = \"2\""}')
    with pytest.raises(ValueError, match=r"'OR' fails: write one query for each alternative$"):
        asset_of(stack, BatchSegmentInput.from_asset(file))


@pytest.mark.parametrize("filter_arn", [None, FILTER])
def test_warns_of_filter_values_without_a_filter(stack: cdk.Stack, filter_arn: str | None) -> None:
    query = SegmentQuery.items_like("1").with_filter_values(COUNTRY="Japan")
    asset_of(stack, BatchSegmentInput.from_queries([query]), filter_arn)
    said = "segment_queries[0]: a filter value without a placeholder, 'COUNTRY'"
    ack = " [ack: cdk-personalize-segments:queries]"
    assert warnings(stack) == ([f"{said}{ack}"] if filter_arn is None else [])


def test_warns_of_undocumented_operators(stack: cdk.Stack, tmp_path: Path) -> None:
    file = tmp_path / "queries.jsonl"
    file.write_text('{"itemAttributes": "ITEMS.year < 1999"}\n')
    asset_of(stack, BatchSegmentInput.from_asset(file))
    (warning,) = warnings(stack)
    assert warning.startswith(f"'{file}', line 1, column 32: '<' is not documented for segments and may be rejected")
    assert warning.endswith("[ack: cdk-personalize-segments:queries]")


@pytest.mark.parametrize(("count", "per_file"), [(1001, 1), (500_001, None)])
def test_rejects_too_many_queries_at_synth(stack: cdk.Stack, tmp_path: Path, count: int, per_file: int | None) -> None:
    file = tmp_path / "queries.jsonl"
    file.write_text('{"itemId": "1"}\n' * count)
    with pytest.raises(
        ValueError, match=f"line {count}: too many queries: a job reads at most 1,000 files of"
    ) as refused:
        asset_of(stack, BatchSegmentInput.from_asset(file, queries_per_file=per_file))
    assert "set queries_per_file if your quota is higher" in str(refused.value)
