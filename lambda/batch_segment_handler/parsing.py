"""Reads the resource's properties. CloudFormation delivers numbers as strings."""

import re
from collections.abc import Mapping
from typing import Any, Literal, cast

from . import limits
from .contract import DEFINITION, FlatProperties
from .errors import JobError
from .text import quote

#: https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html, "Maximum object size", 5 TB.
_MAX_ASSET_BYTES = 5 * 1024**4
_Name = Literal[
    "InputIsInline",
    "ValidateInput",
    "JobName",
    "JobNamePrefix",
    "NewJobIfChanged",
    "SolutionVersionArn",
    "SolutionArn",
    "FilterArn",
    "RoleArn",
    "InputPath",
    "InputBucket",
    "InputPrefix",
    "InputKmsKeyArn",
    "InputHash",
    "AssetBucket",
    "AssetKey",
    "OutputPath",
    "OutputKmsKeyArn",
]


def has(properties: FlatProperties, name: _Name) -> bool:
    """Returns whether a property is given. Unlike with ``in``, a misspelled name is a type error."""
    try:
        properties[name]
    except KeyError:
        return False
    return True


def flatten(properties: Any) -> FlatProperties:
    """Returns the properties with those of the definition at the top level as well; empty if they are not a map.

    Keeps the definition itself, since the derived name is a hash of it.
    """
    if not isinstance(properties, Mapping):
        return {}
    definition = properties.get(DEFINITION)
    return cast(FlatProperties, {**properties, **definition} if isinstance(definition, Mapping) else {**properties})


def is_true(properties: FlatProperties, name: Literal["InputIsInline", "ValidateInput"]) -> bool:
    """Returns whether a flag is set."""
    return has(properties, name) and properties[name] == "true"


def require(properties: FlatProperties) -> None:
    """Checks that the required properties are present.

    Raises:
        JobError: A property is missing; the message names it.
    """
    required: list[list[_Name]] = [
        ["JobNamePrefix", "JobName"],
        [DEFINITION],
        ["SolutionVersionArn", "SolutionArn"],
        ["RoleArn"],
        ["OutputPath"],
    ]
    if not has(properties, "InputPath"):
        required += [["InputBucket"], ["InputPrefix"], ["InputHash"], ["AssetBucket"], ["AssetKey"]]
    for names in required:
        if not any(has(properties, name) for name in names):
            raise JobError(
                f"{' or '.join(names)} is missing from the properties of the resource. Deploy the stack with the "
                "version of the library that it was synthesized with"
            )
    definition: object = properties[DEFINITION]
    if not isinstance(definition, Mapping):
        raise JobError(f"{DEFINITION} is malformed: got {type(definition).__name__}, expected a map")


def tags_of(properties: FlatProperties) -> dict[str, str]:
    """Returns the tags.

    Raises:
        JobError: The tags are malformed.
    """
    try:
        return {tag["key"]: tag["value"] for tag in properties.get("Tags") or []}
    except (KeyError, TypeError):
        raise JobError("Tags is malformed: expected a list of tags with key and value") from None


def num_results(properties: FlatProperties) -> int | None:
    """Returns the number of users per segment; None for the service's default."""
    return _whole_number(properties.get("NumResults"), "num_results", 1, limits.MAX_RESULTS)


def max_query_errors(properties: FlatProperties) -> int | None:
    """Returns how many queries may end with an error; None for any number."""
    return _whole_number(properties.get("MaxQueryErrors"), "max_query_errors", 0, limits.MAX_RECORDS)


def queries_per_file(properties: FlatProperties) -> int | None:
    """Returns the user's quota of queries per file; None for the documented quota."""
    return _whole_number(properties.get("QueriesPerFile"), "queries_per_file", 1, limits.MAX_RECORDS)


def asset_range(properties: FlatProperties) -> tuple[int, int | None]:
    """Returns the offset and the length of the queries in the asset; the length is None for all bytes from there on."""
    start = _whole_number(properties.get("AssetStart"), "AssetStart", 0, _MAX_ASSET_BYTES)
    return start or 0, _whole_number(properties.get("AssetLength"), "AssetLength", 1, limits.MAX_INPUT_BYTES)


def wait_seconds(properties: FlatProperties) -> float | None:
    """Returns how long the deployment waits for the job; None if it does not."""
    wait = properties.get("WaitSeconds")
    try:
        return None if wait is None else float(wait)
    except ValueError:
        raise JobError(f"wait_for_completion: got {quote(str(wait))}, expected a number of seconds") from None


def _whole_number(value: int | str | None, prop: str, least: int, most: int) -> int | None:
    if value is None:
        return None
    # `int` also accepts "1_000" and the digits of other scripts.
    number = int(value) if re.fullmatch(r"\d{1,20}", str(value), re.ASCII) else -1
    if not least <= number <= most:
        raise JobError(f"{prop}: got {quote(str(value))}, expected a whole number from {least:,} to {most:,}")
    return number
