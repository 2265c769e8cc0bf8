"""The event schema matches the types that the functions return and the examples on the page."""

import json
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest
from batch_segment_handler import workflow_contract as contract
from support.event_schema import DETAILS, faults_of

from docs import pages

EXAMPLES = [json.loads(found.code) for found in pages.snippets(pages.DOCS / "events.md") if found.language == "json"]
SEGMENTS = [contract.SEGMENTS_SUCCEEDED, contract.SEGMENTS_FAILED]


def type_of(schema: dict[str, Any]) -> Any:
    """Returns the part of a schema that a Python type can express."""
    return {name: value for name, value in resolved(schema).items() if name in ("type", "items", "values")}


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    """Returns a schema with its reference resolved and constants as lists of one value."""
    if "$ref" in schema:
        definitions = next(iter(DETAILS.values()))["$defs"]
        schema = {**definitions[schema["$ref"].removeprefix("#/$defs/")], **schema}
    if "const" in schema:
        return {"values": [schema["const"]]}
    return {"values": schema["enum"]} if "enum" in schema else schema


def schema_of(hint: Any) -> dict[str, Any]:
    """Returns the schema of a type."""
    if get_origin(hint) is Literal:
        return {"values": list(get_args(hint))}
    if get_origin(hint) is list:
        return {"type": "array", "items": schema_of(get_args(hint)[0])}
    return {"type": {str: "string", int: "integer"}[hint]}


def test_has_a_schema_for_each_event() -> None:
    assert set(DETAILS) == {*SEGMENTS, contract.RUN_COMPLETED}


@pytest.mark.parametrize(
    ("detail_types", "detail"),
    [(SEGMENTS, contract.SegmentsDetail), ([contract.RUN_COMPLETED], contract.RunDetail)],
    ids=["segments", "run"],
)
def test_schema_has_the_members_and_types_of_the_contract(detail_types: list[str], detail: Any) -> None:
    schemas = [DETAILS[detail_type] for detail_type in detail_types]
    found: dict[str, Any] = {}
    for schema in schemas:
        for name, member in schema["properties"].items():
            values = found.get(name, {}).get("values", [])
            found[name] = type_of(member)
            if "values" in found[name] and values != found[name]["values"]:
                # Each schema fixes the status to one value.
                found[name] = {"values": [*values, *found[name]["values"]]}
    assert found == {name: schema_of(hint) for name, hint in get_type_hints(detail).items()}
    # Both events share a type, in which the members of only one event are optional.
    shared = set.intersection(*(set(schema["required"]) for schema in schemas))
    assert shared == detail.__required_keys__


def test_schema_tells_the_events_of_segments_apart() -> None:
    members = {detail_type: DETAILS[detail_type]["properties"].keys() for detail_type in SEGMENTS}
    only = {"outputUri", "queryErrors"}, {"reason"}
    assert (
        members[SEGMENTS[0]] - members[SEGMENTS[1]],
        members[SEGMENTS[1]] - members[SEGMENTS[0]],
    ) == only


def test_page_has_an_example_of_each_event() -> None:
    assert {example["detail-type"] for example in EXAMPLES} == set(DETAILS)
    assert {example["source"] for example in EXAMPLES} == {contract.EVENT_SOURCE}


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example["detail-type"])
def test_example_follows_the_schema(example: dict[str, Any]) -> None:
    assert faults_of(example) == []


@pytest.mark.parametrize("detail_type", DETAILS)
def test_examples_show_every_member(detail_type: str) -> None:
    shown = {name for example in EXAMPLES if example["detail-type"] == detail_type for name in example["detail"]}
    assert shown == DETAILS[detail_type]["properties"].keys()


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"version": "2"}, "'1' was expected"),
        ({"status": "FAILED"}, "'SUCCEEDED' was expected"),
        ({"jobNames": []}, "expected minimum item count: 1"),
        ({"jobArns": [1]}, "1 is not of type 'string'"),
        ({"run": "2026-11-30"}, "'2026-11-30' does not match"),
        ({"outputUri": "s3://bucket/folder"}, "'s3://bucket/folder' does not match"),
        ({"runs": "1"}, "runs is not documented"),
    ],
)
def test_schema_rejects_other_details(change: dict[str, Any], fault: str) -> None:
    example = EXAMPLES[0]
    (found,) = faults_of({**example, "detail": {**example["detail"], **change}})
    assert fault in found


@pytest.mark.parametrize("name", ["audience", "outputUri", "queryErrors", "version"])
def test_schema_requires_members(name: str) -> None:
    example = EXAMPLES[0]
    faults = faults_of(
        {**example, "detail": {member: value for member, value in example["detail"].items() if member != name}}
    )
    assert [fault for fault in faults if repr(name) in fault]
