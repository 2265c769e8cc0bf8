"""The contract between construct and handler."""

from typing import Any, get_args

import pytest
from batch_segment_handler import contract, handler
from batch_segment_handler.parsing import flatten, has
from botocore.stub import Stubber
from support.events import Context, event, properties_with, stub_existing_job


@pytest.mark.parametrize("name", [contract.ON_EVENT, contract.IS_COMPLETE])
def test_handler_has_the_entry_points(name: Any) -> None:
    assert callable(getattr(handler, name))


def test_response_has_every_attribute(personalize: Stubber) -> None:
    stub_existing_job(personalize)
    data = handler.on_event(event(), Context())["Data"]
    assert set(data) == set(get_args(contract.Attribute)) == set(contract.JobAttributes.__annotations__)


def test_flattens_the_definition_and_keeps_it() -> None:
    properties = properties_with(NumResults="10", JobNamePrefix="Demo")
    flat = flatten(properties)
    assert flat == {**properties, **properties[contract.DEFINITION]}
    assert has(flat, "SolutionVersionArn")
    assert not has(flat, "SolutionArn")


@pytest.mark.parametrize("properties", [None, "text", []])
def test_flattens_anything_else_to_no_properties(properties: list[Any] | str | None) -> None:
    assert flatten(properties) == {}
