"""The resources of the local Personalize."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from .behavior import Behavior
from .data_set import User
from .faults import Fault

if TYPE_CHECKING:
    # Importing it imports MiniStack, which reads its settings from the environment. They are not set yet.
    from .iam import Caller

Json = dict[str, Any]


@dataclass(frozen=True)
class Recipe:
    """A recipe of Amazon Personalize. Only user segmentation recipes have a query key and a quota."""

    name: str
    type: str
    query_key: str = ""
    max_queries_per_file: int = 0


@dataclass(frozen=True)
class SolutionVersion:
    """A trained version of a solution.

    Attributes:
        solution: The name of the solution.
        id: The last part of its ARN.
        recipe: Its recipe.
        status: Its status.
        created: When its training started. None for a seeded version, which is as many days old as its id says.
    """

    solution: str
    id: str
    recipe: Recipe
    status: str = "ACTIVE"
    created: datetime | None = None


@dataclass(frozen=True)
class Filter:
    """A filter.

    Attributes:
        name: The last part of its ARN.
        expression: Its expression.
        status: Its status.
        bind: Binds the query's ``filterValues`` to the expression. Returns a function that tells whether the filter
            includes a user. Raises a `QueryError` if the values are invalid.
    """

    name: str
    expression: str
    status: str
    bind: Callable[[Json], Callable[[User], bool]]


@dataclass(frozen=True)
class S3Location:
    """A bucket and a key or prefix in it."""

    bucket: str
    key: str

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}"

    @classmethod
    def parse(cls, path: str) -> "S3Location":
        """Parses a path like ``s3://bucket/key``."""
        bucket, _, key = path.partition("://")[2].partition("/")
        return cls(bucket, key)


@dataclass
class Job:
    """A batch segment job.

    Attributes:
        arn: Its ARN.
        request: The CreateBatchSegmentJob request that created it.
        caller: The sender of that request.
        version: Its solution version.
        filter: Its filter.
        status: Its status, as observed in AWS's notebooks. Descriptions translate it with `Behavior.status_word`.
        failure_reason: The reason for CREATE FAILED.
        fault: The injected fault that fails the job.
        tags: Its tags.
        created: When it was created.
        updated: When its status last changed.
    """

    arn: str
    request: Json
    caller: "Caller"
    version: SolutionVersion
    filter: Filter | None
    status: str = "CREATE PENDING"
    failure_reason: str | None = None
    fault: Fault | None = None
    tags: dict[str, str] = field(default_factory=dict)
    created: datetime = field(default_factory=lambda: datetime.now(UTC))
    updated: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def in_flight(self) -> bool:
        """Whether the job has not ended."""
        return self.status not in ("ACTIVE", "CREATE FAILED")

    @property
    def input(self) -> S3Location:
        """The location of the queries."""
        return S3Location.parse(self.request["jobInput"]["s3DataSource"]["path"])

    @property
    def output(self) -> S3Location:
        """The location of the segments, with a trailing slash even if the request has none.

        No documentation says whether Personalize accepts a path without the slash; see `Behavior`.
        """
        location = S3Location.parse(self.request["jobOutput"]["s3DataDestination"]["path"])
        return S3Location(location.bucket, location.key.removesuffix("/") + "/" if location.key else "")

    def set_status(self, status: str) -> None:
        """Changes the status."""
        self.updated = datetime.now(UTC)
        self.status = status

    def describe(self, behavior: Behavior) -> Json:
        """Returns the job as DescribeBatchSegmentJob does."""
        described = {
            **{key: value for key, value in self.request.items() if key != "tags"},
            "jobInput": {"s3DataSource": _echo(self.request["jobInput"]["s3DataSource"], behavior)},
            "jobOutput": {"s3DataDestination": _echo(self.request["jobOutput"]["s3DataDestination"], behavior)},
            "batchSegmentJobArn": self.arn,
            "status": behavior.status_word(self.status),
            "creationDateTime": self.created.timestamp(),
            "lastUpdatedDateTime": self.updated.timestamp(),
        }
        if behavior.echoes_absent_arns:
            described.setdefault("filterArn", "")
        if behavior.echoes_default_results:
            described.setdefault("numResults", behavior.default_results)
        return described if self.failure_reason is None else described | {"failureReason": self.failure_reason}


def _echo(location: Json, behavior: Behavior) -> Json:
    echoed = location if behavior.echoes_trailing_slash else location | {"path": location["path"].removesuffix("/")}
    return {"kmsKeyArn": ""} | echoed if behavior.echoes_absent_arns else echoed
