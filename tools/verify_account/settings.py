"""The settings of a run, checked before any call to AWS."""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import boto3

#: The environment variable that passes the settings to the CDK app.
VARIABLE = "VERIFY_ACCOUNT_SETTINGS"
#: The prefix of the names of stacks, and of jobs that are created without a stack.
NAME = "VerifySegments"
#: The library's own stacks by the ID of their trial, with their content.
LIBRARY_STACKS = {
    "default": "BatchSegmentJob with the default storage",
    "strict": "BatchSegmentJob with strict_conditions=True",
    "kms": "BatchSegmentJob with buckets encrypted by a new KMS key",
}
#: The stack of buckets and roles for jobs that are created without the library.
PROBES = "probes"
#: Pairs of buckets, with the special feature of their policies.
PAIRS = {
    "guide": "the policies that the service's guide requires",
    "nopolicy": "no statement for Personalize",
    "nolisting": "no s3:ListBucket on the output bucket",
    "sourceaccount": "aws:SourceAccount in each statement",
    "sourcearn": "aws:SourceArn in each statement",
    "listprefix": "s3:prefix in the statements for s3:ListBucket",
    "ifexists": "aws:SourceAccount and aws:SourceArn with IfExists in each statement",
}

_ARN = re.compile(
    r"arn:(?P<partition>aws[a-z-]*):personalize:(?P<region>[a-z\d-]+):(?P<account>\d{12}):(?P<resource>solution/.+)"
)
_DIGITS = "0123456789"
_FORM = "arn:<partition>:personalize:<region>:<account>:solution/<name>/<version id>"


class UsageError(Exception):
    """The arguments are invalid. The message is one sentence."""


@dataclass(frozen=True)
class Settings:
    """One run.

    Attributes:
        run: Six hexadecimal digits, unique for each run.
        solution_version_arn: The solution version that creates the segments.
        partition: Its partition.
        region: Its region.
        account: Its account.
        query: An item id, or an expression of item attributes.
        recipe: The last part of the recipe's ARN.
    """

    run: str
    solution_version_arn: str
    partition: str
    region: str
    account: str
    query: str = ""
    recipe: str = ""

    @property
    def kind(self) -> str:
        """The key of the recipe's queries."""
        return "itemId" if self.recipe == "aws-item-affinity" else "itemAttributes"

    @property
    def quota(self) -> int:
        """The documented number of queries in a file: https://docs.aws.amazon.com/personalize/latest/dg/limits.html."""
        return 500 if self.kind == "itemId" else 10

    @property
    def solution_arn(self) -> str:
        """The solution of the version."""
        return self.solution_version_arn.rpartition("/")[0]

    @property
    def jobs_arn(self) -> str:
        """The prefix of the ARNs of jobs."""
        return f"arn:{self.partition}:personalize:{self.region}:{self.account}:batch-segment-job/"

    def stack(self, trial: str) -> str:
        """Returns the name of a trial's stack."""
        return f"{NAME}-{self.run}-{trial}"

    def job(self, trial: str) -> str:
        """Returns the name of a job that is created without the library."""
        return f"{NAME}-{self.run}-{trial}"

    def line(self) -> str:
        """Returns the query as a line of a query file, without a newline."""
        return json.dumps({self.kind: self.query})

    def to_json(self) -> str:
        """Returns the settings as JSON, for the CDK app."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Settings":
        """Reads the JSON of `to_json`."""
        return cls(**json.loads(text))


def parse_arn(arn: str, run: str, environment: Mapping[str, str]) -> Settings:
    """Parses the ARN of a solution version without calling AWS.

    Args:
        arn: The ARN.
        run: The ID of the run.
        environment: The environment variables, which can name a region.

    Raises:
        UsageError: The ARN is invalid, or of another region.
    """
    match = _ARN.fullmatch(arn)
    if match is None:
        raise UsageError(f"solution version: got {arn!r}, expected {_FORM}")
    parts = match["resource"].split("/")
    if len(parts) != 3 or not all(parts):
        what = "a solution ARN" if len(parts) == 2 else "an ARN"
        raise UsageError(f"solution version: got {what}, {arn!r}, expected a solution version ARN, {_FORM}")
    partition, region = match["partition"], match["region"]
    regions = boto3.Session().get_available_regions("personalize", partition_name=partition)
    if region not in regions:
        raise UsageError(
            f"solution version: got the region {region!r} in {arn!r}, expected a region of Amazon Personalize in the "
            f"partition {partition}: {', '.join(regions) or 'none'}"
        )
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        if environment.get(name, region) != region:
            raise UsageError(
                f"solution version: got the region {region!r} in {arn!r}, expected {environment[name]!r}, the value of "
                f"{name}. Pass a solution version of that region, or unset {name}"
            )
    return Settings(run, arn, partition, region, match["account"])


def excerpt(value: Any, longest: int = 1500) -> str:
    """Returns a value as text for the report, shortened to a maximum length.

    It is not cut within a number, because the report can redact only a complete account number.
    """
    text = value if isinstance(value, str) else json.dumps(value, indent=2, default=str, ensure_ascii=False)
    if len(text) <= longest:
        return text
    cut = text[:longest]
    return f"{cut.rstrip(_DIGITS) if text[longest] in _DIGITS else cut}…"
