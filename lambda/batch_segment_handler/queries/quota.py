"""The number of queries that an input may have."""

from dataclasses import dataclass

from .. import limits
from .report import QueryReport


@dataclass(frozen=True, slots=True)
class Quota:
    """A quota of queries.

    Attributes:
        per_file: The user's quota of queries per file; None for the documented quota of the kind of query.
        is_split: Whether the input will be split. Then the quota limits only the total of all files.
    """

    per_file: int | None = None
    is_split: bool = True


def split_size(report: QueryReport, quota: Quota) -> int:
    """Returns the number of queries per file for splitting a checked input."""
    assert report.kind is not None
    return quota.per_file or limits.MAX_QUERIES_PER_FILE[report.kind]


def room(report: QueryReport, quota: Quota | None, in_file: int) -> tuple[int, str]:
    """Returns the number of queries still allowed, and the reason to report if there are more.

    Args:
        report: The queries counted so far.
        quota: The quota; None for the limit of a job alone.
        in_file: The queries counted in the current file.
    """
    allowed = limits.MAX_RECORDS - report.queries
    reason = f"too many queries: a job reads at most {limits.MAX_RECORDS:,}"
    if quota is None or report.kind is None:
        return allowed, reason
    per_file = split_size(report, quota)
    in_all = per_file * limits.MAX_INPUT_FILES
    if not quota.is_split and per_file - in_file < allowed:
        allowed = per_file - in_file
        reason = (
            f"too many queries: expected at most {per_file:,} in a file. Split it, pass it to "
            "BatchSegmentInput.from_asset, which splits it, or set queries_per_file if your quota is higher"
        )
    if quota.is_split and in_all - report.queries < allowed:
        allowed = in_all - report.queries
        reason = (
            f"too many queries: a job reads at most {limits.MAX_INPUT_FILES:,} files of {per_file:,} "
            f"each, {in_all:,} in all. Split them over several jobs, or set queries_per_file if your quota is higher"
        )
    return allowed, reason
