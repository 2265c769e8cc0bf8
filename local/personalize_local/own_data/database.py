"""A DuckDB database in a temporary folder, with bounded memory and with progress."""

import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import duckdb

#: Receives the name of a step and the share of it that is done, from 0 to 1.
Progress = Callable[[str, float], None]

# Measured with 10 million interactions: loading takes 13 s with 1 GiB and peaks at 1.4 GiB for the process.
_MEMORY_LIMIT = "1GiB"
_POLL_SECONDS = 0.1


class Database:
    """A database whose tables are on disk, so that only a part of them is in memory."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="personalize-local-data-", ignore_cleanup_errors=True)
        folder = Path(self._folder.name)
        self._connection = duckdb.connect(
            folder / "data.duckdb",
            config={
                "memory_limit": _MEMORY_LIMIT,
                "temp_directory": str(folder / "spilled"),
                # Extensions are downloaded otherwise.
                "autoinstall_known_extensions": "false",
                "preserve_insertion_order": "true",
            },
        )

    def cursor(self) -> duckdb.DuckDBPyConnection:
        """Returns a connection for one thread. Its temporary tables are its own."""
        connection = self._connection.cursor()
        # Each connection has its own settings. DuckDB would print a bar to stdout, or measure no progress.
        connection.execute("SET enable_progress_bar = true; SET enable_progress_bar_print = false")
        return connection

    def close(self) -> None:
        """Deletes the database."""
        self._connection.close()
        self._folder.cleanup()


def execute(
    connection: duckdb.DuckDBPyConnection,
    statement: str,
    parameters: Mapping[str, Any] | None,
    step: str,
    progress: Progress | None,
) -> list[tuple[Any, ...]]:
    """Executes a statement and reports its progress.

    Args:
        connection: The connection.
        statement: The statement.
        parameters: The values of its named parameters.
        step: The name of the step.
        progress: Receives the progress, in the thread of the caller.

    Returns:
        The rows.
    """
    if progress is None:
        return connection.execute(statement, parameters).fetchall()
    progress(step, 0)
    with ThreadPoolExecutor(1) as pool:
        rows = pool.submit(lambda: connection.execute(statement, parameters).fetchall())
        try:
            while not rows.done():
                time.sleep(_POLL_SECONDS if connection.query_progress() >= 0 else _POLL_SECONDS / 10)
                progress(step, min(max(connection.query_progress() / 100, 0), 1))
        except BaseException:
            connection.interrupt()
            raise
    progress(step, 1)
    return rows.result()
