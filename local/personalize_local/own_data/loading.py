"""Loads a folder of CSV files: opens them, checks them, and creates the tables."""

from collections.abc import Iterator
from pathlib import Path

import duckdb

from ..errors import UsageError
from . import sources
from .catalog import Catalog
from .csv_file import CsvFile, open_csv
from .csv_validation import find_problems
from .database import Progress
from .dataset_types import DATASET_TYPES, INTERACTIONS
from .field_names import raise_if_any
from .minimums import find_shortages
from .problems import DataError, Problem
from .tables import (
    ITEM_TABLE,
    USER_TABLE,
    create_entities,
    create_interactions,
    create_item_values,
    find_duplicates,
    stage,
)

# "Minimum number of item interaction records per dataset import job":
# https://docs.aws.amazon.com/personalize/latest/dg/limits.html
_MIN_ROWS = 1000


def load(connection: duckdb.DuckDBPyConnection, folder: Path, progress: Progress | None) -> Catalog:
    """Checks the files of a folder and loads them.

    Args:
        connection: The connection.
        folder: The folder.
        progress: Receives the progress.

    Returns:
        The contents.

    Raises:
        DataError: Personalize does not import the files or does not train with them.
        UsageError: The folder does not exist.
    """
    if not folder.is_dir():
        raise UsageError(f"--data: got {str(folder)!r}, expected a folder with {INTERACTIONS.file}")
    files = _open_files(folder)
    problems: list[Problem] = []
    rows = dict.fromkeys(files, 0)
    for name, file in files.items():
        rows[name], found = find_problems(connection, file, progress)
        problems += found
    raise_if_any(problems)
    raise_if_any(list(_too_few_rows(rows["Interactions"])))
    interactions = files["Interactions"]
    columns = {}
    for table in (ITEM_TABLE, USER_TABLE):
        entities = files.get(table.dataset)
        if entities is not None:
            stage(connection, entities)
            raise_if_any(list(find_duplicates(connection, entities, table)))
        columns[table.dataset] = create_entities(connection, entities, interactions, table, progress)
    create_item_values(connection, columns["Items"], progress)
    create_interactions(connection, interactions, progress)
    raise_if_any(list(find_shortages(connection, interactions)))
    return Catalog(
        columns["Items"],
        columns["Users"],
        {name: frozenset(field.name for field in file.fields) for name, file in files.items()},
        has_event_types=interactions.column("EVENT_TYPE") is not None,
        interaction_count=rows["Interactions"],
        item_count=_count(connection, "items"),
        user_count=_count(connection, "users"),
    )


def _open_files(folder: Path) -> dict[str, CsvFile]:
    files: dict[str, CsvFile] = {}
    problems: list[Problem] = []
    for kind in DATASET_TYPES:
        try:
            file = open_csv(folder, kind)
        except DataError as error:
            problems += error.problems
            continue
        if file is not None:
            files[kind.name] = file
        elif kind is INTERACTIONS:
            problems.append(_missing(folder))
    raise_if_any(problems)
    return files


def _missing(folder: Path) -> Problem:
    found = sorted(path.name for path in folder.glob("*.csv"))
    got = f"got {', '.join(found[:5])}" if found else "got no CSV file"
    name = INTERACTIONS.file
    return Problem(name, None, f"the file is missing, {got}", f"add {name}", sources.CUSTOM_SCHEMAS)


def _too_few_rows(rows: int) -> Iterator[Problem]:
    if rows < _MIN_ROWS:
        description = f"got {rows:,} interactions, expected at least {_MIN_ROWS:,}"
        yield Problem(INTERACTIONS.file, None, description, "add interactions", sources.LIMITS)


def _count(connection: duckdb.DuckDBPyConnection, table: str) -> int:
    ((count,),) = connection.execute(f"SELECT count(*) FROM {table}").fetchall()
    found: int = count
    return found
