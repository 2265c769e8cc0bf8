"""Compares an existing job with the job that a resource describes."""

from collections.abc import Mapping
from typing import Any, Literal

from .identity import JobIdentity, normalize
from .properties import has, num_results


def differences(identity: JobIdentity, name: str, description: Mapping[str, Any]) -> list[str]:
    """Returns the members in which a job's description differs from the properties.

    If a member that every job has is missing, there is nothing to compare. An optional member that is missing equals an
    empty one.

    Args:
        identity: The job that the resource describes.
        name: The name of the existing job.
        description: The answer of DescribeBatchSegmentJob.
    """
    properties = identity.properties

    def is_same(key: Literal["FilterArn", "InputKmsKeyArn", "OutputKmsKeyArn"], described: str | None) -> bool:
        return (described or None) == (properties.get(key) or None)

    source = (description.get("jobInput") or {}).get("s3DataSource") or {}
    destination = (description.get("jobOutput") or {}).get("s3DataDestination") or {}
    version, number = description.get("solutionVersionArn"), num_results(properties)
    if has(properties, "SolutionArn"):
        same_version = not version or version.startswith(f"{properties['SolutionArn']}/")
    else:
        same_version = not version or version == properties["SolutionVersionArn"]
    role, input_path, output_path = description.get("roleArn"), source.get("path"), destination.get("path")
    same = {
        "solution version": same_version,
        "filter": is_same("FilterArn", description.get("filterArn")),
        # The service's default is not documented.
        "num_results": number is None or description.get("numResults") in (None, number),
        "input": not input_path or identity.has_input(name, input_path),
        "input key": is_same("InputKmsKeyArn", source.get("kmsKeyArn")),
        "output": not output_path or normalize(output_path) == normalize(identity.output_uri(name)),
        "output key": is_same("OutputKmsKeyArn", destination.get("kmsKeyArn")),
        "role": not role or role == properties["RoleArn"],
    }
    return [member for member, is_equal in same.items() if not is_equal]
