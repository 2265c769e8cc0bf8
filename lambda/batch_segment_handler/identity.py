"""The names and paths of a job. Calls no service.

The name is the state: it is derived from the job's definition, so an event identifies the same job however often it is
delivered. CreateBatchSegmentJob has no client token, and a name can be used only once:
https://docs.aws.amazon.com/personalize/latest/dg/API_CreateBatchSegmentJob.html
"""

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

from .contract import DEFINITION, FlatProperties
from .parsing import has

#: Names end in "", "-2" … "-99". The construct reserves three characters for the suffix.
MAX_ATTEMPTS = 99


@dataclass(frozen=True)
class JobIdentity:
    """The names and paths of the job that a resource describes.

    Attributes:
        properties: The resource's properties.
        stack_id: The stack's ARN.
    """

    properties: FlatProperties
    stack_id: str

    @property
    def base_name(self) -> str:
        """The derived name of the first attempt."""
        # The prefix is unique for each construct. The logical ID changes with wait_for_completion.
        definition = {key: str(value) for key, value in self.properties[DEFINITION].items()}
        seed = json.dumps(
            [self.stack_id, self.properties["JobNamePrefix"], definition],
            sort_keys=True,
            separators=(",", ":"),
        )
        return f"{self.properties['JobNamePrefix']}-{hashlib.sha256(seed.encode()).hexdigest()[:12]}"

    def names(self) -> Iterator[str]:
        """Yields the explicit name, or the derived names of all attempts."""
        if has(self.properties, "JobName"):
            yield self.properties["JobName"]
            return
        yield self.base_name
        for attempt in range(2, MAX_ATTEMPTS + 1):
            yield f"{self.base_name}-{attempt}"

    def has_name(self, name: str) -> bool:
        """Returns whether this is the explicit name, or the derived name of any attempt."""
        if has(self.properties, "JobName"):
            return name == self.properties["JobName"]
        return re.fullmatch(rf"{re.escape(self.base_name)}(-([2-9]|[1-9]\d))?", name) is not None

    def arn(self, name: str) -> str:
        """Returns the ARN of a job in the stack's account and region."""
        _, partition, _, region, account, _ = self.stack_id.split(":", 5)
        return f"arn:{partition}:personalize:{region}:{account}:batch-segment-job/{name}"

    def input_path(self, name: str) -> str:
        """Returns the path of existing input, or the prefix of the path of staged input."""
        if has(self.properties, "InputPath"):
            return self.properties["InputPath"]
        # A hash of the queries is part of the path, so the job's description identifies them. Staging appends the split
        # size, so a job never reads files of an earlier attempt with another size.
        return (
            f"s3://{self.properties['InputBucket']}/{self.properties['InputPrefix']}{name}/"
            f"{self.properties['InputHash'][:12]}"
        )

    def has_input(self, name: str, path: str) -> bool:
        """Returns whether a path is the job's input."""
        expected, path = normalize(self.input_path(name)), normalize(path)
        if has(self.properties, "InputPath"):
            return path == expected
        return re.fullmatch(rf"{re.escape(expected)}-\d+", path) is not None

    def output_uri(self, name: str) -> str:
        """Returns the prefix of a job's segments."""
        return f"{self.properties['OutputPath']}{name}/"


def normalize(path: str) -> str:
    """Returns a path in a form that can be compared: the service might return it in another form."""
    scheme, separator, rest = path.partition("://")
    return f"{scheme.lower()}{separator}{rest.removesuffix('/')}"
