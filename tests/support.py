"""What tests of several folders share.

The handler's tests use it where no CDK is installed, so it imports CDK only in the functions that need it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import aws_cdk as cdk

ACCOUNT = "123456789012"
REGION = "eu-west-1"
ENVIRONMENT = {"account": ACCOUNT, "region": REGION}
SOLUTION = f"arn:aws:personalize:{REGION}:{ACCOUNT}:solution/films"
VERSION = f"{SOLUTION}/0123abcd"
FILTER = f"arn:aws:personalize:{REGION}:{ACCOUNT}:filter/adults"


def wait_until(condition: Callable[[], object], timeout: float = 30, *, interval: float = 0.01) -> None:
    """Waits for a condition, and fails if it is not met in time.

    Args:
        condition: Returns something true when it is met.
        timeout: How many seconds to wait.
        interval: Seconds between two looks. A look that calls the local AWS often keeps it from all else.
    """
    ends = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < ends, f"not met within {timeout} seconds"
        time.sleep(interval)


def readable(value: Any) -> Any:
    """A template's value with its intrinsic functions written as ``<LogicalId.Attribute>``."""
    match value:
        case {"Ref": name} if len(value) == 1:
            return f"<{name}>"
        case {"Fn::GetAtt": [name, attribute]}:
            return f"<{name}.{attribute}>"
        case {"Fn::Join": ["", parts]}:
            return "".join(readable(part) for part in parts)
        case {"Fn::Sub": text}:
            return text.replace("${", "<").replace("}", ">")
        case {"Fn::ImportValue": name}:
            return f"<import {readable(name)}>"
        case dict():
            return {key: readable(part) for key, part in value.items()}
        case list():
            return [readable(part) for part in value]
        case _:
            return value


def resources(stack: cdk.Stack, of_type: str) -> dict[str, dict[str, Any]]:
    """The resources of a type by logical id, in readable form."""
    from aws_cdk.assertions import Template

    found = Template.from_stack(stack).find_resources(of_type)
    return {logical_id: readable(resource) for logical_id, resource in found.items()}


def one(stack: cdk.Stack, of_type: str, containing: str = "") -> dict[str, Any]:
    """The properties of the one resource of a type whose logical id contains a text."""
    (found,) = [resource for logical_id, resource in resources(stack, of_type).items() if containing in logical_id]
    return found["Properties"]


def count_resources(stack: cdk.Stack) -> int:
    """How many resources a stack has."""
    from aws_cdk.assertions import Template

    return len(Template.from_stack(stack).to_json()["Resources"])


def job_properties(stack: cdk.Stack) -> dict[str, Any]:
    """The properties of a stack's one job, those that define it beside the others."""
    properties = one(stack, "Custom::PersonalizeBatchSegmentJob")
    definition = properties.pop("NewJobIfChanged")
    assert not properties.keys() & definition.keys()
    return properties | definition
