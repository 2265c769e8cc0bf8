"""Compares an existing job with the job that a resource describes."""

from collections.abc import Mapping
from typing import Any, Literal

from . import limits
from .identity import JobIdentity, normalize
from .parsing import has, num_results


def differences(identity: JobIdentity, name: str, description: Mapping[str, Any]) -> list[str]:
    """Returns the names of the members in which an existing job differs from the properties.

    Skips required members that are missing from the description. A missing optional member equals an empty one.
    """
    properties = identity.properties

    def is_same(key: Literal["FilterArn", "InputKmsKeyArn", "OutputKmsKeyArn"], described: str | None) -> bool:
        return (described or None) == (properties.get(key) or None)

    source = (description.get("jobInput") or {}).get("s3DataSource") or {}
    destination = (description.get("jobOutput") or {}).get("s3DataDestination") or {}
    version = description.get("solutionVersionArn")
    number, described_number = num_results(properties), description.get("numResults")
    if number is None:
        # A derived name implies that num_results was omitted. With an explicit name, a number up to the documented
        # default counts as omitted, in case the service has a smaller default.
        same_number = not has(properties, "JobName") or (described_number or 0) <= limits.DEFAULT_RESULTS
    else:
        same_number = described_number in (None, number)
    if has(properties, "SolutionArn"):
        same_version = not version or version.startswith(f"{properties['SolutionArn']}/")
    else:
        same_version = not version or version == properties["SolutionVersionArn"]
    role, input_path, output_path = description.get("roleArn"), source.get("path"), destination.get("path")
    same = {
        "solution version": same_version,
        "filter": is_same("FilterArn", description.get("filterArn")),
        "num_results": same_number,
        "input": not input_path or identity.has_input(name, input_path),
        "input key": is_same("InputKmsKeyArn", source.get("kmsKeyArn")),
        "output": not output_path or normalize(output_path) == normalize(identity.output_uri(name)),
        "output key": is_same("OutputKmsKeyArn", destination.get("kmsKeyArn")),
        "role": not role or role == properties["RoleArn"],
    }
    return [member for member, is_equal in same.items() if not is_equal]
