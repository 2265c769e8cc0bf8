"""Checks and splits query files.

A file is JSON Lines, each line a query: an object with ``itemId`` or ``itemAttributes`` (INPUT) and, if the filter has
placeholders, ``filterValues`` (FILTER).

Sources:
    INPUT: https://docs.aws.amazon.com/personalize/latest/dg/prepare-input-data-user-segment.html
    FILTER: https://docs.aws.amazon.com/personalize/latest/dg/filter-batch.html
"""

from collections.abc import Iterable, Mapping
from typing import BinaryIO

from ..limits import QueryKind
from .checker import Checker
from .quota import Quota, split_size
from .report import Fault, QueryFileError, QueryReport
from .split import split_queries, tidy_blocks

__all__ = [
    "Fault",
    "QueryFileError",
    "QueryReport",
    "Quota",
    "check_queries",
    "split_queries",
    "split_size",
    "tidy_blocks",
]


def check_queries(
    files: Iterable[tuple[str, BinaryIO]],
    *,
    kind: QueryKind | None = None,
    placeholders: Mapping[str, bool] | None = None,
    quota: Quota | None = None,
    is_inline: bool = False,
    max_faults: int = 10,
) -> QueryReport:
    """Checks query files in one pass, in memory that does not grow with their size.

    Reading stops at the first query beyond a limit or the quota.

    Args:
        files: Name and content of each file. Messages show the name unescaped. Of the content, only ``read(n)`` is
            used.
        kind: The key that the solution's recipe requires; None for either, the same in all files.
        placeholders: The placeholders of the job's filter, and whether each query must give a value for them; empty
            without a filter. None if the filter is not known.
        quota: The number of queries allowed; None for the limit of a job alone.
        is_inline: Whether `SegmentQuery` wrote the lines. Then messages name the index of a query and show the fix in
            Python.
        max_faults: The number of faults, and of warnings, to keep. For what is counted, see `QueryReport`.

    Returns:
        The faults, warnings and counts. Faults do not raise an exception.
    """
    checker = Checker(kind, placeholders, quota, max_faults, is_inline=is_inline)
    checker.check(files)
    return checker.report
