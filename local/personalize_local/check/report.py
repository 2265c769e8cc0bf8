"""The result of the check as JSON and as tables."""

import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, TextIO

from batch_segment_handler.queries import Fault, QueryReport

from ..display import SCORING, count, describe_query, new_table, printable, safe_text

if TYPE_CHECKING:
    from ..own_data.reach import QueryReach, Reach

_MAX_PROBLEMS = 10


def write_json(
    file: TextIO, checked: QueryReport, reach: "Reach | None", names: Sequence[str], rows: int | None
) -> None:
    """Writes the result as one JSON object, a query at a time.

    Args:
        file: Where to write it.
        checked: The result of the handler's check.
        reach: The reach in the user's data.
        names: The names of the files.
        rows: The maximum number of queries.
    """
    result: dict[str, Any] = {
        "valid": not checked.fault_count and (reach is None or not reach.problems),
        "kind": checked.kind,
        "queries": checked.queries,
        "files": checked.files,
        "bytes": checked.bytes,
        "complete": checked.complete,
        "faultCount": checked.fault_count,
        "faults": [_fault(fault) for fault in checked.faults],
        "warningCount": checked.warning_count,
        "warnings": [_fault(warning) for warning in checked.warnings],
    }
    # Only ASCII: a query can have half of a surrogate pair, and a pipe can have any encoding.
    text = json.dumps(result)
    if reach is None:
        file.write(f"{text}\n")
        return
    summary = json.dumps({"scoring": SCORING, "emptySegments": reach.problems})
    file.write(f'{text[:-1]}, "data": {summary[:-1]}, "reach": [')
    for index, found in enumerate(reach.rows(rows)):
        row = {
            "file": names[found.file],
            "line": found.line,
            "query": found.query,
            "items": found.items,
            "users": found.users,
            "problem": found.problem,
        }
        file.write(("" if index == 0 else ",") + "\n" + json.dumps(row))
    file.write("\n]}}\n")


def print_tables(checked: QueryReport, reach: "Reach | None", names: Sequence[str], rows: int) -> None:
    """Prints the result for people.

    Args:
        checked: The result of the handler's check.
        reach: The reach in the user's data.
        names: The names of the files.
        rows: The maximum number of queries in the table.
    """
    from rich.console import Console

    console = Console()

    def show(text: str) -> None:
        console.print(safe_text(printable(text)), soft_wrap=True)

    for title, faults, number in (
        ("fault", checked.faults, checked.fault_count),
        ("warning", checked.warnings, checked.warning_count),
    ):
        for fault in faults:
            show(f"{title}: {fault}")
        if number > len(faults):
            show(f"and {number - len(faults):,} more {title}s")
    if not checked.complete:
        show("the rest was not read")
    kind = f" with {checked.kind}" if checked.kind else ""
    verdict = count(checked.fault_count, "fault") if checked.fault_count else "all valid"
    show(f"{count(checked.queries, 'query', 'queries')}{kind} in {count(checked.files, 'file')}: {verdict}")
    if reach is None:
        return
    if rows:
        console.print(_table(reach.rows(rows), names))
        if reach.queries > rows:
            show(f"and {reach.queries - rows:,} more queries")
    for found in reach.rows(_MAX_PROBLEMS, only_problems=True):
        show(f"empty: {names[found.file]}, line {found.line}: {found.problem}")
    if reach.problems > _MAX_PROBLEMS:
        show(f"and {reach.problems - _MAX_PROBLEMS:,} more empty segments")
    empty = count(reach.problems, "segment") if reach.problems else "no segment"
    show(f"{empty} would be empty, by {SCORING}")


def _table(found: "Iterable[QueryReach]", names: Sequence[str]) -> Any:
    table = new_table()
    for column in ("file", "line", "query"):
        table.add_column(column, overflow="fold")
    for column in ("items", "users"):
        table.add_column(column, justify="right")
    for row in found:
        table.add_row(
            safe_text(printable(names[row.file])),
            str(row.line),
            safe_text(describe_query(row.query)),
            f"{row.items:,}",
            f"{row.users:,}",
        )
    return table


def _fault(fault: Fault) -> dict[str, Any]:
    return {"file": fault.file, "line": fault.line or None, "column": fault.column, "reason": fault.reason}
