"""The arguments of an audience."""

from collections.abc import Callable
from typing import Any

import aws_cdk as cdk
import pytest
from cdk_personalize_segments import BatchSegmentInput, SegmentQuery
from cdk_personalize_segments.audience import Audience

FANS = BatchSegmentInput.from_queries([SegmentQuery.items_like("1")])
NAME = "expected 1 to 63 letters, digits, hyphens or underscores: the name is a folder in S3"
SYNTH = "the list of audiences is written at synth time"
TAG = "letters, digits, spaces or _ . : / = + - @"


@pytest.mark.parametrize("name", ["a", "latest", "-", "_x", "7", "a" * 63, "Comedy-fans_2026"])
def test_accepts_names_of_letters_digits_hyphens_and_underscores(name: str) -> None:
    assert Audience(name, FANS).name == name


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Audience("", FANS), f"name: got '' (0 characters), {NAME}"),
        (lambda: Audience("a" * 64, FANS), f"name: got '{'a' * 64}' (64 characters), {NAME}"),
        (lambda: Audience("a/b", FANS), f"name: got 'a/b' (3 characters), {NAME}"),
        (lambda: Audience("run=1", FANS), f"name: got 'run=1' (5 characters), {NAME}"),
        (lambda: Audience("a.b", FANS), f"name: got 'a.b' (3 characters), {NAME}"),
        (lambda: Audience("a\n", FANS), f"name: got 'a\\n' (2 characters), {NAME}"),
        (lambda: Audience("é", FANS), f"name: got 'é' (1 characters), {NAME}"),
        (
            lambda: Audience("a", FANS, num_results=0),
            "num_results: got 0, expected a whole number from 1 to 5,000,000",
        ),
        (
            lambda: Audience("a", FANS, tags={"aws:x": "1"}),
            "tags: got the key 'aws:x', expected a key that does not start with aws:, which AWS reserves",
        ),
        (
            lambda: Audience("a", FANS, tags={"": "1"}),
            f"tags: got the key '', expected 1 to 128 {TAG}",
        ),
        (
            lambda: Audience("a", FANS, tags={"k": "!"}),
            f"tags: got '!' for the key 'k', expected at most 256 {TAG}",
        ),
        (
            lambda: Audience("a", FANS, tags={str(number): "" for number in range(51)}),
            "tags: got 51, expected at most 50 on one job, including those of Tags.of(…)",
        ),
    ],
)
def test_rejects_bad_values(make: Callable[[], Audience], message: str) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011
        make()
    assert str(refused.value) == message


@pytest.mark.parametrize(
    ("make", "prop", "expected"),
    [
        (lambda: Audience(cdk.Aws.REGION, FANS), "name", "text"),
        (lambda: Audience("a", FANS, num_results=number()), "num_results", "a number"),
        (lambda: Audience("a", FANS, tags={"k": cdk.Aws.REGION}), "tags['k']", "text"),
        (lambda: Audience("a", FANS, tags={cdk.Aws.REGION: "v"}), "tags", "text"),
        (
            lambda: Audience(
                "a", BatchSegmentInput.from_queries([SegmentQuery.items_like("1")], queries_per_file=number())
            ),
            "queries_per_file",
            "a number",
        ),
    ],
)
def test_rejects_values_that_are_known_only_at_deploy(make: Callable[[], Audience], prop: str, expected: str) -> None:
    with pytest.raises(ValueError, match="known only at deploy time") as refused:
        make()
    message = str(refused.value)
    assert message.startswith(f"{prop}: got a value that is known only at deploy time, ")
    assert message.endswith(f", expected {expected}: {SYNTH}")


def number() -> int:
    return int(cdk.Token.as_number(cdk.Fn.ref("Number")))


def test_a_filter_can_be_known_only_at_deploy() -> None:
    arn = cdk.Fn.ref("Filter")
    assert Audience("a", FANS, filter_arn=arn).filter_arn == arn


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((7, FANS, {}), "name: got int 7, expected a string"),
        (
            ("a", "fans", {}),
            "segment_input: got str 'fans', expected a BatchSegmentInput (use from_queries, from_asset or from_bucket)",
        ),
        (("a", FANS, {"filter_arn": 7}), "filter_arn: got int 7, expected a filter ARN"),
        (("a", FANS, {"tags": ["x"]}), 'tags: got list [\'x\'], expected a mapping, {"key": "value"}'),
        (("a", FANS, {"tags": {"k": 7}}), "tags['k']: got int 7, expected a string"),
    ],
)
def test_rejects_other_types(arguments: Any, message: str) -> None:
    name, segment_input, options = arguments
    with pytest.raises(TypeError) as refused:
        Audience(name, segment_input, **options)
    assert str(refused.value) == message
