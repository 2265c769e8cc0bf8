"""Exports segments as CSV and Parquet, and compares them with each other. DuckDB does it, in bounded memory."""

import argparse
import csv
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .display import count, describe_query, new_table, printable, safe_text
from .errors import UsageError

if TYPE_CHECKING:
    from personalize_segments_reader import Segment

_COLUMNS = ("job", "file", "query", "rank", "user_id")
# 20 segments have 190 pairs.
_MAX_COMPARED = 20
_TYPES = "{'job': 'VARCHAR', 'file': 'VARCHAR', 'query': 'VARCHAR', 'rank': 'BIGINT', 'user_id': 'VARCHAR'}"
_ROWS = f"read_csv($path, auto_detect=false, header=true, delim=',', quote='\"', escape='\"', columns={_TYPES})"
_PAIRS = f"""
WITH members AS (SELECT DISTINCT job, query, user_id FROM {_ROWS}),
segments AS (
    SELECT row_number() OVER (ORDER BY job, query) AS number, job, query, count(*) AS size
    FROM members GROUP BY job, query
), numbered AS (SELECT number, user_id FROM members JOIN segments USING (job, query)),
shared AS (
    SELECT one.number AS first, other.number AS second, count(*) AS users
    FROM numbered AS one JOIN numbered AS other ON one.user_id = other.user_id AND one.number < other.number
    GROUP BY first, second
)
SELECT one.job, one.query, one.size, other.job, other.query, other.size, coalesce(shared.users, 0)
FROM segments AS one JOIN segments AS other ON one.number < other.number
LEFT JOIN shared ON shared.first = one.number AND shared.second = other.number
ORDER BY coalesce(shared.users, 0) / least(one.size, other.size) DESC, one.number, other.number
"""


def add_export_options(parser: argparse.ArgumentParser) -> None:
    """Adds `--overlap`, `--csv` and `--parquet`."""
    parser.add_argument("--overlap", action="store_true", help="show how many users each pair of segments shares")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write all users of the segments as CSV")
    parser.add_argument("--parquet", type=Path, metavar="FILE", help="write all users of the segments as Parquet")


class SegmentExport:
    """Keeps the segments that a command shows, for the options of the command. Without options, it keeps nothing."""

    def __init__(self, options: argparse.Namespace) -> None:
        """Checks the options.

        Raises:
            UsageError: The folder of a file does not exist.
        """
        self._options = options
        self._keeps = options.overlap or options.csv is not None or options.parquet is not None
        for option, path in (("--csv", options.csv), ("--parquet", options.parquet)):
            if path is not None and not path.absolute().parent.is_dir():
                raise UsageError(f"{option}: there is no folder {path.absolute().parent}")
        self._folder = tempfile.TemporaryDirectory(prefix="personalize-local-segments-") if self._keeps else None
        self._compared = 0
        if self._folder is not None:
            self._file = (Path(self._folder.name) / "segments.csv").open("w", newline="", encoding="utf-8")
            self._writer = csv.writer(self._file)
            self._writer.writerow(_COLUMNS)

    def keep(self, job: str, segments: "Iterable[tuple[str, Segment]]") -> "Iterator[tuple[str, Segment]]":
        """Yields segments unchanged and keeps them.

        Args:
            job: The name of the job.
            segments: The name of the file and the segment, for each query.
        """
        for file, segment in segments:
            if self._keeps and segment.user_ids:
                self._compared += 1
                query = describe_query(segment.query)
                # Half of a surrogate pair has no UTF-8.
                query = query.encode(errors="backslashreplace").decode()
                self._writer.writerows(
                    (job, file, query, rank, user.encode(errors="backslashreplace").decode())
                    for rank, user in enumerate(segment.user_ids, 1)
                )
            yield file, segment

    def finish(self, console: Any) -> None:
        """Writes the files and prints the overlap.

        Args:
            console: The console of rich.

        Raises:
            UsageError: A file cannot be written.
        """
        if self._folder is None:
            return
        self._file.close()
        path = Path(self._file.name)
        try:
            if self._options.overlap:
                self._print_overlap(console, path)
            if self._options.parquet is not None:
                target = str(self._options.parquet).replace("'", "''")
                _query(f"COPY (FROM {_ROWS}) TO '{target}' (FORMAT parquet)", path)
            if self._options.csv is not None:
                shutil.copyfile(path, self._options.csv)
        except OSError as error:
            raise UsageError(f"the export cannot be written: {error}") from error
        finally:
            self._folder.cleanup()

    def _print_overlap(self, console: Any, path: Path) -> None:
        if not 2 <= self._compared <= _MAX_COMPARED:
            fix = "; name fewer jobs" if self._compared > _MAX_COMPARED else ""
            got = count(self._compared, "segment")
            text = f"--overlap: got {got} with users, expected 2 to {_MAX_COMPARED}{fix}"
            console.print(safe_text(text), soft_wrap=True)
            return
        table = new_table("overlap")
        for column in ("segment", "and"):
            table.add_column(column, overflow="fold")
        for column in ("shared users", "of the smaller"):
            table.add_column(column, justify="right")
        for job, query, size, other_job, other_query, other_size, shared in _query(_PAIRS, path):
            table.add_row(
                _segment(job, query, size),
                _segment(other_job, other_query, other_size),
                f"{shared:,}",
                f"{shared / min(size, other_size):.0%}",
            )
        console.print(table)


def _segment(job: str, query: str, size: int) -> Any:
    return safe_text(f"{printable(job)}: {query} ({size:,})")


def _query(statement: str, path: Path) -> list[tuple[Any, ...]]:
    import duckdb

    with duckdb.connect() as connection:
        connection.execute("SET enable_progress_bar = false")
        try:
            return connection.execute(statement, {"path": str(path)}).fetchall()
        except duckdb.IOException as error:
            raise OSError(str(error)) from error
