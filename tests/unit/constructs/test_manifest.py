"""The manifest of a workflow's audiences, and the asset of their queries."""

import hashlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import aws_cdk.aws_kms as kms
import aws_cdk.aws_s3 as s3
import aws_cdk.aws_s3_assets as s3_assets
import pytest
from cdk_personalize_segments import BatchSegmentInput, BatchSegmentStorage, SegmentQuery, manifest, query_source
from cdk_personalize_segments.audience import Audience
from constructs import Construct
from hypothesis import given
from hypothesis import strategies as st
from support.constants import FILTER
from support.templates import warnings


def items(*ids: str, **options: Any) -> BatchSegmentInput:
    return BatchSegmentInput.from_queries(map(SegmentQuery.items_like, ids), **options)


@pytest.fixture
def storage(stack: cdk.Stack) -> BatchSegmentStorage:
    return BatchSegmentStorage(stack, "Storage")


Build = Callable[..., manifest.BoundAudiences]


@pytest.fixture
def build(stack: cdk.Stack, storage: BatchSegmentStorage) -> Build:
    def build(*audiences: Audience, **options: Any) -> manifest.BoundAudiences:
        given = {"storage": storage, "output_prefix": "segments/", "workflow_path": "Weekly", **options}
        return manifest.build(Construct(stack, "Weekly"), audiences, **given)

    return build


def content(asset: s3_assets.Asset | None) -> bytes:
    assert asset is not None
    app = asset.node.root
    assert isinstance(app, cdk.App)
    return (Path(app.synth().directory) / asset.asset_path).read_bytes()


def test_a_line_of_the_manifest_is_an_audience(build: Build) -> None:
    bound = build(
        Audience("fans", items("1", "2"), filter_arn=FILTER, num_results=100, tags={"b": "2", "a": "1"}),
        Audience("others", items("3", queries_per_file=7)),
    )
    first, second = b'{"itemId": "1"}\n{"itemId": "2"}\n', b'{"itemId": "3"}\n'
    assert bound.items == [
        {
            "Name": "fans",
            "JobNamePrefix": "Demo-f959b00b-fansWeekly-4b45682c",
            "Parts": [{"InputHash": hashlib.sha256(first).hexdigest(), "AssetStart": 0, "AssetLength": 32}],
            "InputIsInline": "true",
            "Filter": 0,
            "NumResults": 100,
            "Tags": {"a": "1", "b": "2"},
        },
        {
            "Name": "others",
            "JobNamePrefix": "Demo-f959b00b-othersWeekly-eacfc8f8",
            "Parts": [{"InputHash": hashlib.sha256(second).hexdigest(), "AssetStart": 32, "AssetLength": 16}],
            "InputIsInline": "true",
            "QueriesPerFile": 7,
        },
    ]
    assert [json.loads(line) for line in content(bound.manifest_asset).splitlines()] == bound.items
    assert content(bound.queries_asset) == first + second
    assert (bound.filters, bound.inputs, bound.existing, bound.tag_keys) == ([FILTER], [], [], ["a", "b"])


def test_the_asset_of_queries_has_the_extension_of_the_stack(build: Build) -> None:
    bound = build(Audience("fans", items("1")))
    assert bound.queries_asset is not None
    assert bound.queries_asset.s3_object_key.endswith(".queries-f959b00b")
    assert bound.manifest_asset.s3_object_key.endswith(".jsonl")


def test_the_same_audiences_have_the_same_assets(tmp_path: Path) -> None:
    file = tmp_path / "queries.jsonl"
    file.write_bytes(b'\xef\xbb\xbf{"itemId": "1"}\r\n{"itemId": "2"}')
    hashes = set()
    for one in (items("1", "2"), BatchSegmentInput.from_asset(file)):
        stack = cdk.Stack(cdk.App(), "Demo")
        storage = BatchSegmentStorage(stack, "Storage")
        bound = manifest.build(
            stack, [Audience("a", one)], storage=storage, output_prefix="segments/", workflow_path="W"
        )
        assert bound.queries_asset is not None
        hashes.add((bound.queries_asset.asset_hash, bound.items[0]["Parts"][0]["InputHash"]))
    assert len(hashes) == 1


def test_audiences_share_filters_and_inputs(stack: cdk.Stack, build: Build) -> None:
    key = kms.Key(stack, "Key")
    bucket = s3.Bucket(stack, "Bucket", encryption_key=key)
    today = BatchSegmentInput.from_bucket(bucket, "today/", queries_per_file=9)
    bound = build(
        Audience("a", today, filter_arn=FILTER),
        Audience("b", items("1"), filter_arn=f"{FILTER}-2"),
        Audience("c", BatchSegmentInput.from_bucket(bucket, "today/", validate_input=False)),
        Audience("d", BatchSegmentInput.from_bucket(bucket, "today/"), filter_arn=FILTER),
    )
    assert [(item["Parts"][0].get("Input"), item.get("Filter")) for item in bound.items] == [
        (0, 0),
        (None, 1),
        (1, None),
        (0, 0),
    ]
    assert bound.items[0]["QueriesPerFile"] == 9
    assert bound.filters == [FILTER, f"{FILTER}-2"]
    path = f"s3://{bucket.bucket_name}/today/"
    assert bound.inputs == [
        {"InputPath": path, "InputKmsKeyArn": key.key_arn, "ValidateInput": "true"},
        {"InputPath": path, "InputKmsKeyArn": key.key_arn},
    ]
    assert [(one.bucket, one.key_or_prefix, one.validate) for one in bound.existing] == [
        (bucket, "today/", True),
        (bucket, "today/", False),
    ]


def test_inputs_in_s3_need_no_asset_of_queries(stack: cdk.Stack, build: Build) -> None:
    bound = build(Audience("a", BatchSegmentInput.from_bucket(s3.Bucket(stack, "Bucket"), "today/")))
    assert bound.queries_asset is None


# -- parts


@pytest.mark.parametrize(
    ("one", "count", "lengths"),
    [
        ({"itemId": "1"}, 500_000, [500_000]),
        ({"itemId": "1"}, 500_001, [500_000, 1]),
        ({"itemAttributes": 'ITEMS.A = "b"'}, 10_001, [10_000, 1]),
    ],
)
def test_queries_beyond_1000_files_are_several_parts(
    build: Build, tmp_path: Path, one: dict[str, str], count: int, lengths: list[int]
) -> None:
    file = tmp_path / "queries.jsonl"
    line = f"{json.dumps(one)}\n"
    file.write_text(line * count)
    bound = build(Audience("a", BatchSegmentInput.from_asset(file)))
    assert [part["AssetLength"] for part in bound.items[0]["Parts"]] == [len(line) * part for part in lengths]


def test_the_quota_decides_how_many_parts_there_are(build: Build) -> None:
    ids = [str(number) for number in range(2001)]
    bound = build(Audience("before", items("x")), Audience("a", items(*ids, queries_per_file=1)))
    queries = content(bound.queries_asset)
    parts = [queries[part["AssetStart"] :][: part["AssetLength"]] for part in bound.items[1]["Parts"]]
    assert [part.count(b"\n") for part in parts] == [1000, 1000, 1]
    assert b"".join(parts) == b"".join(b'{"itemId": "%s"}\n' % one.encode() for one in ids)
    assert [part["InputHash"] for part in bound.items[1]["Parts"]] == [
        hashlib.sha256(part).hexdigest() for part in parts
    ]


@given(
    sources=st.lists(
        st.lists(st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=9), min_size=1, max_size=12),
        min_size=1,
        max_size=6,
    ),
    size=st.integers(1, 13),
    line_end=st.sampled_from(["\n", "\r\n", " \n"]),
    start=st.sampled_from(["", "\ufeff", "\n\n"]),
)
def test_the_range_of_every_part_is_its_queries(sources: list[list[str]], size: int, line_end: str, start: str) -> None:
    target = io.BytesIO()
    found = []
    for ids in sources:
        lines = [json.dumps({"itemId": one}, ensure_ascii=False) for one in ids]
        stream = io.BytesIO((start + "".join(f"{line}{line_end}" for line in lines)).encode())
        found.append(list(query_source.write_parts(stream, size, target)))
    written = target.getvalue()
    end = 0
    for ids, parts in zip(sources, found, strict=True):
        read: list[str] = []
        for at, part in parts:
            assert at == end
            end += part.length
            queries = written[at:end]
            assert part.sha256 == hashlib.sha256(queries).hexdigest()
            # `splitlines` also splits at other characters.
            lines = queries.decode().removesuffix("\n").split("\n")
            assert len(lines) == min(size, len(ids) - len(read))
            read += [json.loads(line)["itemId"] for line in lines]
        assert read == ids
    assert end == len(written)


# -- warnings and faults


def test_warns_once_of_all_audiences(stack: cdk.Stack, build: Build) -> None:
    query = SegmentQuery.items_like("1").with_filter_values(COUNTRY="Japan")
    audiences = [Audience(f"a{number}", BatchSegmentInput.from_queries([query] * 6)) for number in range(2)]
    build(*audiences)
    (warning,) = warnings(stack)
    lines = warning.splitlines()
    said = "a filter value without a placeholder, 'COUNTRY'"
    assert lines[0] == f"audiences[0] 'a0': segment_queries[0]: {said}"
    assert lines[6] == f"  audiences[1] 'a1': segment_queries[0]: {said}"
    assert lines[10:] == ["  and 2 more [ack: cdk-personalize-segments:queries]"]


LONG = "a" * 63


@pytest.mark.parametrize(
    ("audiences", "message"),
    [
        ([], "audiences: got none, expected at least one Audience"),
        (
            [Audience("a", items("1")), Audience("b", items("1")), Audience("a", items("2"))],
            "audiences[2] 'a': name: got the name of audiences[0], expected a different name for each audience: the "
            "name is the folder of the segments",
        ),
        (
            [
                Audience("a", items("1")),
                Audience("b", BatchSegmentInput.from_queries([SegmentQuery.where(GENRES="Comedy")])),
            ],
            "audiences[1] 'b': segment_input: got queries with itemAttributes, expected itemId as in audiences[0] 'a': "
            "all audiences use the workflow's solution, whose recipe supports one kind of query",
        ),
        (
            [Audience("a", items("1")), Audience("b", items("1"), filter_arn="adults")],
            "audiences[1] 'b': filter_arn: got 'adults', expected a filter ARN, "
            "arn:<partition>:personalize:<region>:<account>:filter/<name>, at most 256 characters",
        ),
        (
            [Audience("a", items("1"), filter_arn=FILTER.replace("eu-west-1", "us-east-1"))],
            f"audiences[0] 'a': filter_arn: got region 'us-east-1' in '{FILTER.replace('eu-west-1', 'us-east-1')}', "
            "expected 'eu-west-1', the stack's region: a job can use only resources of its own region and "
            "account",
        ),
    ],
)
def test_rejects_audiences_that_do_not_fit(build: Build, audiences: list[Audience], message: str) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011
        build(*audiences)
    assert str(refused.value) == message


@pytest.mark.parametrize(
    ("audiences", "message"),
    [
        ("fans", "audiences: got str 'fans', expected a list of Audience"),
        (["fans"], "audiences[0]: got str 'fans', expected an Audience"),
    ],
)
def test_rejects_other_types(stack: cdk.Stack, storage: BatchSegmentStorage, audiences: Any, message: str) -> None:
    with pytest.raises(TypeError) as refused:
        manifest.build(stack, audiences, storage=storage, output_prefix="segments/", workflow_path="W")
    assert str(refused.value) == message


def test_names_the_audience_of_a_faulty_query(build: Build, tmp_path: Path) -> None:
    file = tmp_path / "queries.jsonl"
    file.write_text('{"itemId": "1"}\n{"itemID": "2"}\n')
    with pytest.raises(ValueError, match="fault") as refused:
        build(Audience("a", items("1")), Audience("b", BatchSegmentInput.from_asset(file)))
    first, second = str(refused.value).splitlines()
    assert first == "audiences[1] 'b': 1 fault in the queries:"
    assert second.startswith(f"  '{file}', line 2, column 2: ")


def test_rejects_paths_over_256_characters(stack: cdk.Stack) -> None:
    bucket = s3.Bucket.from_bucket_name(stack, "Bucket", "b" * 63)
    storage = BatchSegmentStorage(stack, "Storage", output_bucket=bucket, output_prefix="p" * 49 + "/")

    def build(name: str, one: BatchSegmentInput) -> None:
        manifest.build(
            Construct(stack, f"{name}{one.queries_per_file}"),
            [Audience(name, one)],
            storage=storage,
            output_prefix=storage.output_prefix,
            workflow_path="Weekly",
        )

    # 206 without the name: s3:// and bucket 70, prefix 50, audience= 9, /run=…/ 22, job 14 + 15 + 9 + 16 and a slash.
    build("a" * 50, items("1"))
    with pytest.raises(ValueError, match="name") as refused:
        build("a" * 51, items("1"))
    assert str(refused.value) == (
        f"audiences[0] '{'a' * 51}': name: got 51 characters, expected at most 50: the path of the segments can "
        "have at most 256 characters, including output_prefix, run and job. Shorten the name or output_prefix"
    )
    # An audience of several parts has one more folder level.
    ids = [str(number) for number in range(1001)]
    with pytest.raises(ValueError, match="got 50 characters, expected at most 37: "):
        build("a" * 50, items(*ids, queries_per_file=1))
    build("a" * 37, items(*ids, queries_per_file=1))


def test_rejects_input_in_the_folder_of_the_output(
    stack: cdk.Stack, storage: BatchSegmentStorage, build: Build
) -> None:
    with pytest.raises(ValueError, match="output_prefix") as refused:
        build(Audience("a", BatchSegmentInput.from_bucket(storage.output_bucket, "segments/queries/")))
    assert str(refused.value) == (
        "audiences[0] 'a': output_prefix: got 'segments/', expected a prefix outside of segment_input, "
        "'segments/queries/', in the same bucket: Personalize would read its own output as input"
    )


def test_rejects_a_path_of_input_over_256_characters(stack: cdk.Stack, build: Build) -> None:
    bucket = s3.Bucket.from_bucket_name(stack, "Bucket", "queries")
    with pytest.raises(ValueError, match="segment_input") as refused:
        build(Audience("a", BatchSegmentInput.from_bucket(bucket, "q" * 250 + "/")))
    assert str(refused.value).startswith(
        "audiences[0] 'a': segment_input: got a path of 264 characters, 's3://queries/qq"
    )
    assert str(refused.value).endswith(", expected at most 256")
