"""The interface of the user's own data."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from .catalog import Catalog
from .database import Database, Progress
from .loading import load
from .reach import Reach
from .scoring import UserSegment, find_segments
from .user_filter import UserFilter


class OwnData:
    """A folder of items, users and interactions. Threads can use it at the same time.

    Attributes:
        catalog: The columns and the numbers of rows.
    """

    def __init__(self, database: Database, catalog: Catalog) -> None:
        self._database = database
        self.catalog = catalog

    @classmethod
    def load(cls, folder: Path, progress: Progress | None = None) -> "OwnData":
        """Loads a folder of ``interactions.csv``, and ``items.csv`` and ``users.csv`` if they exist.

        Args:
            folder: The folder. Avro schemas, such as ``items.json``, can be beside the files.
            progress: Receives the name and the done share of each step, in the thread of the caller.

        Raises:
            DataError: Personalize does not import the files or does not train with them.
            UsageError: The folder does not exist.
        """
        database = Database()
        try:
            return cls(database, load(database.cursor(), folder, progress))
        except BaseException:
            database.close()
            raise

    def close(self) -> None:
        """Deletes the loaded data."""
        self._database.close()

    def __enter__(self) -> "OwnData":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def filter(self, expression: str) -> UserFilter:
        """Parses the expression of a filter and checks it against the data.

        Raises:
            ExpressionError: The filter is not documented for user segments or does not fit the data.
        """
        return UserFilter(expression, self.catalog)

    def segments(
        self, queries: Sequence[Mapping[str, Any]], user_filter: UserFilter | None = None, number: int = 25
    ) -> Iterator[UserSegment]:
        """Yields the segment of each query in order. A query at fault has an error and no users.

        Args:
            queries: The objects of the input lines, with ``itemId`` or ``itemAttributes``, and ``filterValues``.
            user_filter: The filter of the job.
            number: The maximum number of users in a segment. The default is the documented one of ``numResults``:
                https://docs.aws.amazon.com/personalize/latest/dg/API_CreateBatchSegmentJob.html
        """
        return find_segments(self._database.cursor(), self.catalog, queries, user_filter, number)

    def reach(self, files: Sequence[Path], kind: str, user_filter: UserFilter | None = None) -> Reach:
        """Counts the items and users of each query of files.

        Args:
            files: Files with valid queries.
            kind: ``itemId`` or ``itemAttributes``, which all queries have.
            user_filter: The filter of the job.
        """
        return Reach(self._database.cursor(), self.catalog, files, kind, user_filter)
