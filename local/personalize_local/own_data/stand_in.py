"""The user's own data as the stand-in for trained solution versions."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..errors import QueryError
from ..models import Filter, Job, SolutionVersion
from ..seeds import SEEDS, VERSIONS
from .engine import OwnData
from .scoring import UserSegment

if TYPE_CHECKING:
    from ..service import Personalize

_FILTER_VARIABLE = "PERSONALIZE_LOCAL_FILTER_ARN"


class OwnDataStandIn:
    """Solutions of both recipes over the user's own data.

    Attributes:
        data: The data.
        dataset_group: The name of the dataset group.
        versions: The seeded solution versions: those of the films, with ``own`` in place of ``films``.
        filters: The filter of the command line, if there is one.
        seeds: The environment variables that hold ARNs, and the last part of each ARN.
    """

    dataset_group = "own"

    def __init__(self, data: OwnData, filter_expression: str | None = None) -> None:
        """Prepares to answer.

        Args:
            data: The data.
            filter_expression: The expression of the seeded filter.

        Raises:
            ExpressionError: The filter is not documented for user segments or does not fit the data.
        """
        self.data = data
        self.versions: Sequence[SolutionVersion] = [
            replace(version, solution=_own(version.solution)) for version in VERSIONS
        ]
        self.filters: Sequence[Filter] = []
        self.seeds: Mapping[str, str] = {
            name: _own(resource) for name, resource in SEEDS.items() if not resource.startswith("filter/")
        }
        if filter_expression is not None:
            data.filter(filter_expression)
            self.filters = [Filter("own", filter_expression, "ACTIVE")]
            self.seeds = {**self.seeds, _FILTER_VARIABLE: "filter/own"}

    def find_users(self, job: Job, queries: Sequence[Any], number: int) -> Iterator[Sequence[str] | QueryError]:
        """Yields the users of each query in order, or the reason why it has none."""
        key = job.version.recipe.query_key
        valid = [query for query in queries if _has(query, key)]
        user_filter = None if job.filter is None else self.data.filter(job.filter.expression)
        found = self.data.segments(valid, user_filter, number)
        for query in queries:
            yield _answer(next(found)) if _has(query, key) else QueryError(f"the line has no {key}")

    def attach(self, personalize: "Personalize") -> None:
        """Lets stacks create dataset groups, schemas, datasets, solutions and filters."""
        from .stack_resources import StackResources
        from .stack_types import register

        resources = StackResources(self.data, personalize.catalog)
        personalize.add_operations(resources.operations())
        register(resources)

    def close(self) -> None:
        """Deletes the loaded data."""
        self.data.close()


def _own(resource: str) -> str:
    return resource.replace("films-", "own-")


def _has(query: Any, key: str) -> bool:
    return isinstance(query, dict) and isinstance(query.get(key), str)


def _answer(segment: UserSegment) -> Sequence[str] | QueryError:
    return segment.users if segment.error is None else QueryError(segment.error)
