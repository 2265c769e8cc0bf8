"""Validates requests against the service model in botocore."""

import functools
import re
import unicodedata
from collections.abc import Mapping
from typing import Any

import botocore.session
from botocore.model import ServiceModel, Shape
from botocore.validate import ParamValidator

from .errors import ServiceError

_TARGET = "AmazonPersonalize."


@functools.cache
def model() -> ServiceModel:
    """Returns the service model."""
    return botocore.session.get_session().get_service_model("personalize")


def is_personalize(headers: Mapping[str, str]) -> bool:
    """Returns whether the headers, with lowercase names, are those of a request to Personalize."""
    return headers.get("x-amz-target", "").startswith(_TARGET)


def operation_of(target: str) -> str:
    """Returns the operation that an ``X-Amz-Target`` header names.

    Raises:
        ServiceError: The operation does not exist.
    """
    name = target.removeprefix(_TARGET)
    if name not in model().operation_names:
        raise ServiceError("UnknownOperationException", f"Amazon Personalize has no operation {name}", 404)
    return name


def check(operation: str, request: Any) -> None:
    """Checks types, required members, lengths, ranges, patterns and enumerations.

    Raises:
        ServiceError: The request does not match the model.
    """
    shape = model().operation_model(operation).input_shape
    if shape is None:
        return
    report = ParamValidator().validate(request, shape)
    if report.has_errors():
        raise ServiceError("ValidationException", report.generate_report())
    violations = list(_violations(request, shape, ""))
    if violations:
        raise ServiceError("InvalidInputException", "; ".join(violations))


def _violations(value: Any, shape: Shape, path: str) -> Any:
    if shape.type_name == "structure":
        for name, member in shape.members.items():  # type: ignore[attr-defined]
            if name in value:
                yield from _violations(value[name], member, f"{path}.{name}" if path else name)
        return
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    size = len(value) if shape.type_name in ("string", "list", "map") else value
    if (low is not None and size < low) or (high is not None and size > high):
        unit = {"string": " characters", "list": " elements", "map": " entries"}.get(shape.type_name, "")
        yield f"{path}: got {size}{unit}, expected {low or 0} to {high}"
    if shape.type_name == "list":
        for index, item in enumerate(value):
            yield from _violations(item, shape.member, f"{path}[{index}]")  # type: ignore[attr-defined]
    pattern = shape.metadata.get("pattern")
    if pattern is not None and not _matches(pattern, value):
        yield f"{path}: {value!r} does not match {pattern}"
    allowed = shape.metadata.get("enum")
    if allowed and value not in allowed:
        yield f"{path}: got {value!r}, expected one of {', '.join(allowed)}"


def _matches(pattern: str, value: str) -> bool:
    if r"\p{" in pattern:
        # Only tags have such a pattern, `[\p{L}\p{Z}\p{N}_.:/=+\-@]*`. Python's `re` does not support \p.
        return all(char in "_.:/=+-@" or unicodedata.category(char)[0] in "LZN" for char in value)
    return re.fullmatch(pattern, value) is not None
