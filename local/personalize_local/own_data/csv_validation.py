"""Checks the values of a CSV file and names the lines at fault."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import duckdb

from . import sources
from .csv_file import CsvFile
from .database import Progress, execute
from .problems import Problem
from .value_rules import Rule, rules_of

_MAX_STRUCTURE_PROBLEMS = 3
_STRUCTURE = {
    "MISSING COLUMNS": "add the missing values",
    "TOO MANY COLUMNS": "put values that have a comma in double quotes",
    "UNQUOTED VALUE": 'close the quotation mark, and write \\" for a quotation mark within a value',
    "INVALID ENCODING": "save the file as UTF-8",
    "LINE SIZE OVER MAXIMUM": "close the quotation mark that this line opens",
}


def find_problems(
    connection: duckdb.DuckDBPyConnection, file: CsvFile, progress: Progress | None
) -> tuple[int, list[Problem]]:
    """Checks the values of a file.

    Args:
        connection: The connection to read it with.
        file: The file.
        progress: Receives the progress.

    Returns:
        The number of rows, and the problems in the order of their lines.
    """
    rules = list(rules_of(file))
    counts = ", ".join(f"count_if({rule.condition})" for rule in rules)
    statement = f"SELECT count(*), {counts} FROM {file.source()}"
    try:
        ((rows, *faults),) = execute(connection, statement, {"path": str(file.path)}, f"checking {file.name}", progress)
    except duckdb.InvalidInputException as error:
        return 0, [_unreadable(file, str(error))]
    if problems := list(_structure_problems(connection, file)):
        return rows, problems
    broken = [(rule, count) for rule, count in zip(rules, faults, strict=True) if count]
    return rows, list(_locate(connection, file, broken)) if broken else []


def _unreadable(file: CsvFile, error: str) -> Problem:
    with file.path.open("rb") as lines:
        expected = lines.readline().endswith(b"\r\n")
        for number, line in enumerate(lines, 2):
            if line.endswith(b"\n") and line.endswith(b"\r\n") != expected:
                got, before = ("LF", "CRLF") if expected else ("CRLF", "LF")
                description = f"got a line that ends with {got}, and the lines before end with {before}"
                return Problem(file.name, number, description, "end all lines alike", sources.CSV_FORMAT)
    reason = error.removeprefix("Invalid Input Error: ").partition("\n")[0]
    return Problem(file.name, None, f"cannot be read as CSV: {reason}", "correct it", sources.CSV_FORMAT)


def _structure_problems(connection: duckdb.DuckDBPyConnection, file: CsvFile) -> Iterator[Problem]:
    found = connection.execute(
        "SELECT line, error_type::VARCHAR, error_message FROM reject_errors ORDER BY line, column_idx"
    ).fetchall()
    connection.execute("DROP TABLE reject_errors; DROP TABLE reject_scans")
    lines: dict[int, tuple[str, str]] = {}
    for line, kind, message in found:
        lines.setdefault(line, (kind, message))
    for line, (kind, message) in list(lines.items())[:_MAX_STRUCTURE_PROBLEMS]:
        fix = _STRUCTURE.get(kind, "correct the line")
        yield Problem(file.name, line, _describe_structure(file, kind, message), fix, sources.CSV_FORMAT)


def _describe_structure(file: CsvFile, kind: str, message: str) -> str:
    if kind in ("MISSING COLUMNS", "TOO MANY COLUMNS"):
        return f"got {message.rpartition(' ')[2]} values, expected {len(file.fields)}"
    if kind == "INVALID ENCODING":
        return "got bytes that are not UTF-8"
    if kind == "UNQUOTED VALUE":
        return "got a quotation mark that is not closed, or text after a closed one"
    return message.partition("\n")[0]


def _locate(
    connection: duckdb.DuckDBPyConnection, file: CsvFile, broken: Sequence[tuple[Rule, int]]
) -> Iterator[Problem]:
    # Numbering all rows takes longer than checking them, and only invalid files need it.
    found = ", ".join(
        f"min(number) FILTER ({rule.condition}), arg_min({rule.column}, number) FILTER ({rule.condition})"
        for rule, _ in broken
    )
    (row,) = connection.execute(
        f"SELECT {found} FROM (SELECT row_number() OVER () AS number, * FROM {file.source()})", {"path": str(file.path)}
    ).fetchall()
    first = [(row[2 * index], row[2 * index + 1]) for index in range(len(broken))]
    lines = lines_of_rows(file.path, [number for number, _ in first])
    problems = [
        (number, Problem(file.name, lines[number], rule.describe(value), rule.fix, rule.source, count))
        for (rule, count), (number, value) in zip(broken, first, strict=True)
    ]
    multi_line = [problem for _, problem in problems if "single line" in problem.description]
    # After a record of several lines, the number of a row does not give the number of its line.
    yield from multi_line[:1] or [problem for _, problem in sorted(problems, key=lambda found: found[0])]


def lines_of_rows(path: Path, rows: Sequence[int]) -> dict[int, int]:
    """Returns the line of each row of a file. Empty lines have no row.

    Args:
        path: The file.
        rows: The numbers of rows, from 1 for the first row after the header.
    """
    wanted, lines, row = set(rows), dict[int, int](), -1
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if line.strip(b"\r\n"):
                row += 1
                if row in wanted:
                    lines[row] = number
                    if len(lines) == len(wanted):
                        break
    return lines | {row: row + 1 for row in wanted - lines.keys()}
