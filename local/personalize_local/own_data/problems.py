"""Errors in the user's data, queries and filters."""

from collections.abc import Iterable
from dataclasses import dataclass

from ..errors import QueryError, UsageError

# A value of a CSV file can have thousands of characters.
_MAX_EXCERPT = 40


@dataclass(frozen=True, slots=True)
class Problem:
    """A fault of one file.

    Attributes:
        file: The name of the file within the folder.
        line: The number of the first line at fault, counted from 1. None if the whole file is at fault.
        description: The fault.
        fix: How to fix it.
        source: The address of the documented rule.
        rows: The number of rows with the same fault.
    """

    file: str
    line: int | None
    description: str
    fix: str
    source: str
    rows: int = 1

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        more = f" ({self.rows:,} rows)" if self.rows > 1 else ""
        return f"{place}: {self.description}{more}; {self.fix} [{self.source}]"


class DataError(UsageError):
    """Data that Personalize does not import or train with.

    Attributes:
        problems: The faults, in the order of the files.
    """

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


class ExpressionError(QueryError):
    """An expression that the documentation does not allow, or that does not fit the data.

    Attributes:
        at: The offset of the first character at fault.
        reason: The fault and how to fix it.
    """

    def __init__(self, at: int, reason: str) -> None:
        super().__init__(f"column {at + 1}: {reason}")
        self.at = at
        self.reason = reason


def excerpt(value: str) -> str:
    """Quotes the start of a value for a message and escapes unprintable characters."""
    return repr(value if len(value) <= _MAX_EXCERPT else f"{value[: _MAX_EXCERPT - 1]}…")
