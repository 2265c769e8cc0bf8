"""The stand-in for trained solution versions: the sample films, or the user's own data."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from .data_set import User
from .errors import QueryError
from .models import Filter, Job, SolutionVersion
from .seeds import FILTERS, SEEDS, VERSIONS, films

if TYPE_CHECKING:
    from .service import Personalize


class StandIn(Protocol):
    """Solution versions and filters that exist from the start, and the data that answers their queries."""

    @property
    def dataset_group(self) -> str:
        """The name of the dataset group."""

    @property
    def versions(self) -> Sequence[SolutionVersion]:
        """The solution versions, oldest first within a solution."""

    @property
    def filters(self) -> Sequence[Filter]:
        """The filters."""

    @property
    def seeds(self) -> Mapping[str, str]:
        """The environment variables that hold ARNs, and the last part of each ARN."""

    def find_users(self, job: Job, queries: Sequence[Any], number: int) -> Iterator[Sequence[str] | QueryError]:
        """Yields the users of each query in order, or the reason why it has none.

        Args:
            job: The job.
            queries: The content of each line.
            number: The maximum number of users of a query.
        """

    def attach(self, personalize: "Personalize") -> None:
        """Lets stacks create what the stand-in supports in addition to MiniStack's patches."""

    def close(self) -> None:
        """Deletes temporary files."""


class Films:
    """The sample films."""

    dataset_group = "films"
    versions: Sequence[SolutionVersion] = VERSIONS
    filters: Sequence[Filter] = FILTERS
    seeds: Mapping[str, str] = SEEDS

    def find_users(self, job: Job, queries: Sequence[Any], number: int) -> Iterator[Sequence[str] | QueryError]:
        """Yields the users of each query in order, or the reason why it has none."""
        for query in queries:
            try:
                yield _find_users(job, query, number)
            except QueryError as error:
                yield error

    def attach(self, personalize: "Personalize") -> None:
        """Adds nothing."""

    def close(self) -> None:
        """Deletes nothing."""


def _find_users(job: Job, query: Any, number: int) -> list[str]:
    key = job.version.recipe.query_key
    if not isinstance(query, dict) or not isinstance(query.get(key), str):
        raise QueryError(f"the line has no {key}")
    values = query.get("filterValues") or {}
    if not isinstance(values, dict):
        raise QueryError("filterValues is not an object")
    is_allowed = _allow_all if job.filter is None else job.filter.bind(values)
    find_users = films().segment_by_item if key == "itemId" else films().segment_by_attributes
    return find_users(query[key], is_allowed, number)


def _allow_all(_user: User) -> bool:
    return True
