"""Requests, checked against the service's own model as botocore has it."""

import functools
import re
import unicodedata
from typing import Any

import botocore.session
from botocore.model import ServiceModel, Shape
from botocore.validate import ParamValidator

from .iam import ServiceError

_TARGET = "AmazonPersonalize."


@functools.cache
def model() -> ServiceModel:
    """The model of the service."""
    return botocore.session.get_session().get_service_model("personalize")


def operation_of(target: str) -> str:
    """The operation that an ``X-Amz-Target`` header names.

    Raises:
        ServiceError: The service has no such operation.
    """
    name = target.removeprefix(_TARGET)
    if name not in model().operation_names:
        raise ServiceError("UnknownOperationException", f"Amazon Personalize has no operation {name}", 404)
    return name


def check(operation: str, request: Any) -> None:
    """Checks types, required members, lengths, ranges, patterns and enumerations.

    Raises:
        ServiceError: Something in the request is not as the model says.
    """
    shape = model().operation_model(operation).input_shape
    if shape is None:
        return
    report = ParamValidator().validate(request, shape)
    if report.has_errors():
        raise ServiceError("ValidationException", report.generate_report())
    faults = list(_faults(request, shape, ""))
    if faults:
        raise ServiceError("InvalidInputException", "; ".join(faults))


def _faults(value: Any, shape: Shape, path: str) -> Any:
    if shape.type_name == "structure":
        for name, member in shape.members.items():  # type: ignore[attr-defined]
            if name in value:
                yield from _faults(value[name], member, f"{path}.{name}" if path else name)
        return
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    size = len(value) if shape.type_name in ("string", "list", "map") else value
    if (low is not None and size < low) or (high is not None and size > high):
        yield f"{path}: expected {low or 0} to {high}, got {size}"
    if shape.type_name == "list":
        for index, one in enumerate(value):
            yield from _faults(one, shape.member, f"{path}[{index}]")  # type: ignore[attr-defined]
    pattern = shape.metadata.get("pattern")
    if pattern is not None and not _matches(pattern, value):
        yield f"{path}: {value!r} does not match {pattern}"
    allowed = shape.metadata.get("enum")
    if allowed and value not in allowed:
        yield f"{path}: {value!r} is none of {', '.join(allowed)}"


def _matches(pattern: str, value: str) -> bool:
    if r"\p{" in pattern:
        # The only patterns with classes of Unicode are those of tags, which Python's `re` cannot read.
        return all(one in "_.:/=+-@" or unicodedata.category(one)[0] in "LZN" for one in value)
    return re.fullmatch(pattern, value) is not None
