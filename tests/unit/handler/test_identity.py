"""The derived name: what it depends on, and which names are attempts of a job."""

import re
from typing import Any

import pytest
from support.constants import FILTER, VERSION
from support.events import NAME, STACK, derived_name, identity_with


def test_derived_name_is_the_prefix_and_a_hash() -> None:
    assert re.fullmatch(r"Demo-ComedyFans-1A2B3C4D-[0-9a-f]{12}", derived_name())


def test_derived_name_of_released_properties_never_changes() -> None:
    # If this fails, an upgrade of the library would start every user's jobs again.
    assert derived_name() == NAME


@pytest.mark.parametrize(
    "changes",
    [
        {"RoleArn": "arn:aws:iam::123456789012:role/other"},
        {"Tags": [{"key": "a", "value": "b"}]},
        {"ServiceToken": "other"},
        {"WaitSeconds": "600"},
        {"ValidateInput": "false"},
        {"AssetBucket": "other"},
        {"AssetKey": "other"},
        {"AssetKmsKeyArn": "other"},
        {"QueriesPerFile": "9"},
        {"MaxQueryErrors": "0"},
        {"InputIsInline": "true"},
        {"Queries": "3 queries"},
        {"SomethingOfALaterVersion": "1"},
    ],
)
def test_settings_do_not_change_the_derived_name(changes: dict[str, Any]) -> None:
    assert derived_name(**changes) == NAME


@pytest.mark.parametrize(
    "changes",
    [
        {"stack": f"{STACK}1"},
        {"JobNamePrefix": "Demo-DramaFans-1A2B3C4D"},
        {"SolutionVersionArn": f"{VERSION}1"},
        {"FilterArn": FILTER},
        {"NumResults": "10"},
        {"InputPath": "s3://in/other.jsonl"},
        {"InputPath": None, "InputBucket": "in"},
        {"InputHash": "00"},
        {"InputPrefix": "other/"},
        {"OutputPath": "s3://out/other/"},
        {"InputKmsKeyArn": "key"},
        {"OutputKmsKeyArn": "key"},
        {"Trigger": "2"},
    ],
)
def test_definition_changes_the_derived_name(changes: dict[str, Any]) -> None:
    assert derived_name(**changes) != NAME


@pytest.mark.parametrize(
    ("suffix", "is_attempt"),
    [("", True), ("-2", True), ("-10", True), ("-99", True), ("-1", False), ("-02", False), ("-100", False)],
)
def test_recognizes_only_names_of_attempts(suffix: str, is_attempt: bool) -> None:
    identity = identity_with()
    assert identity.has_name(f"{NAME}{suffix}") == is_attempt
    assert (f"{NAME}{suffix}" in identity.names()) == is_attempt


@pytest.mark.parametrize(
    ("path", "is_input"),
    [
        ("s3://in/queries/{name}/0123456789ab-500/", True),
        ("S3://in/queries/{name}/0123456789ab-500", True),
        ("s3://in/queries/{name}/0123456789ac-500/", False),
        ("s3://in/queries/{name}/0123456789ab/", False),
    ],
)
def test_compares_staged_input_by_content_and_not_by_split_size(path: str, is_input: bool) -> None:
    identity = identity_with(InputPath=None, InputBucket="in", InputPrefix="queries/", InputHash="0123456789ab" * 5)
    name = next(identity.names())
    assert identity.has_input(name, path.format(name=name)) == is_input
