"""The result of a check: faults, warnings and counts."""

from dataclasses import dataclass, field

from ..limits import QueryKind


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault in a file, or a warning about it.

    Attributes:
        file: The file's name, or the inline query, for example ``segment_queries[12]``.
        line: Counted from 1; 0 for the file as a whole.
        column: Counted from 1, in characters; None for the line as a whole.
        reason: The cause, and how to fix it.
    """

    file: str
    line: int
    column: int | None
    reason: str

    def __str__(self) -> str:
        line = f", line {self.line}" if self.line else ""
        column = f", column {self.column}" if self.column else ""
        return f"{self.file}{line}{column}: {self.reason}"


class QueryFileError(ValueError):
    """The queries have faults; the message lists the first of them."""


@dataclass(slots=True)
class QueryReport:
    """The result of one pass over the files.

    Attributes:
        kind: The key that the queries have, or should have; None if it is unknown and there is no valid query.
        queries: The number of queries, faulty ones included.
        files: The number of files.
        bytes: The size of all files.
        faults: The first faults.
        fault_count: The number of all faults.
        warnings: The first uses of undocumented syntax.
        warning_count: The number of all warnings, counting at most five of a line.
        complete: False if reading stopped early, at a limit or after 10,000 faults or 16 MiB of faulty lines.
    """

    kind: QueryKind | None = None
    queries: int = 0
    files: int = 0
    bytes: int = 0
    faults: list[Fault] = field(default_factory=list)
    fault_count: int = 0
    warnings: list[Fault] = field(default_factory=list)
    warning_count: int = 0
    complete: bool = True

    def raise_if_faulty(self) -> None:
        """Raises all faults as one error.

        Raises:
            QueryFileError: There is a fault.
        """
        if not self.fault_count:
            return
        lines = [f"{self.fault_count} {'fault' if self.fault_count == 1 else 'faults'} in the queries:", *self.faults]
        if more := self.fault_count - len(self.faults):
            lines.append(f"and {more} more")
        if not self.complete:
            lines.append("the rest was not read")
        raise QueryFileError("\n  ".join(map(str, lines)))
