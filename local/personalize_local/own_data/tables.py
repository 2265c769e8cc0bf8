"""Creates the tables of the loaded data.

The tables:
    ``items(item, id, is_listed, c0, …)`` and ``users(person, id, is_listed, c0, …)``: each id of the files and of the
    interactions. The keys are numbers in the order of the ids. ``c0`` is the first column of the CSV file.
    ``events(event, name)``: the event types.
    ``interactions(item, person, moment, event)``: in the order of the items, so that a query of few items reads few
    blocks.
    ``item_counts(item, interactions, people)``: for each item that has any interactions.
    ``item_values(field, value, item)``: each value of each column of items that queries can name. ``field`` is the
    index of the column. A number is the text of a DOUBLE.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import duckdb

from . import sources
from .catalog import Column
from .csv_file import CsvFile
from .csv_validation import lines_of_rows
from .database import Progress, execute
from .dataset_types import AvroType, Field
from .problems import Problem, excerpt

_SQL_TYPES: dict[AvroType, str] = {
    "int": "BIGINT",
    "long": "BIGINT",
    "float": "DOUBLE",
    "double": "DOUBLE",
    "string": "VARCHAR",
    # Filters and training do not use it: https://docs.aws.amazon.com/personalize/latest/dg/how-it-works-dataset-schema.html
    "boolean": "VARCHAR",
}


_SORTED_AT_ONCE = 10_000_000


@dataclass(frozen=True, slots=True)
class EntityTable:
    """A table of items or users.

    Attributes:
        dataset: The name of the data set.
        name: The name of the table.
        key: The column of the keys.
        id_name: The column of the ids in CSV files.
    """

    dataset: str
    name: str
    key: str
    id_name: str


ITEM_TABLE = EntityTable("Items", "items", "item", "ITEM_ID")
USER_TABLE = EntityTable("Users", "users", "person", "USER_ID")


def stage(connection: duckdb.DuckDBPyConnection, file: CsvFile) -> None:
    """Copies the rows of a file, as text, to the table ``staged``."""
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE staged AS SELECT row_number() OVER () AS number, * FROM {file.source()}",
        {"path": str(file.path)},
    )


def find_duplicates(connection: duckdb.DuckDBPyConnection, file: CsvFile, table: EntityTable) -> Iterator[Problem]:
    """Returns the problem of staged ids that are not unique. No page says which of the rows an import keeps."""
    column = file.column(table.id_name)
    found = connection.execute(
        f"SELECT {column}, number, sum(times - 1) OVER () FROM (SELECT {column}, count(*) AS times, "
        f"list_sort(list(number))[2] AS number FROM staged GROUP BY {column} HAVING count(*) > 1) "
        "ORDER BY number LIMIT 1"
    ).fetchall()
    for value, row, times in found:
        line = lines_of_rows(file.path, [row])[row]
        description = f"{table.id_name}: got {excerpt(value)} again"
        yield Problem(file.name, line, description, "keep one row of each id", sources.CSV_FORMAT, times)


def create_entities(
    connection: duckdb.DuckDBPyConnection,
    file: CsvFile | None,
    interactions: CsvFile,
    table: EntityTable,
    progress: Progress | None,
) -> dict[str, Column]:
    """Creates the table of items or users from the staged rows and from the interactions.

    Args:
        connection: The connection.
        file: The staged file, if there is one.
        interactions: The file of interactions.
        table: The table to make.
        progress: Receives the progress.

    Returns:
        The columns by name.
    """
    columns: dict[str, Column] = {}
    selected, joined = "false AS is_listed", ""
    if file is not None:
        id_column = file.column(table.id_name)
        columns = _typed_columns(connection, file, table)
        casts = [
            f"CAST({column.sql_name} AS {_SQL_TYPES[column.field.type]}) AS {column.sql_name}"
            for column in columns.values()
        ]
        selected = ", ".join([f"{id_column} IS NOT NULL AS is_listed", *casts])
        joined = f"LEFT JOIN staged ON {id_column} = id"
    listed = "" if file is None else f"UNION SELECT {file.column(table.id_name)} FROM staged"
    execute(
        connection,
        f"CREATE TABLE {table.name} AS SELECT CAST(row_number() OVER (ORDER BY id) AS INTEGER) AS {table.key}, id, "
        f"{selected} FROM (SELECT DISTINCT {interactions.column(table.id_name)} AS id FROM {interactions.source()} "
        f"{listed}) {joined}",
        {"path": str(interactions.path)},
        f"loading {table.name}",
        progress,
    )
    connection.execute("DROP TABLE IF EXISTS temp.staged")
    return columns


def _typed_columns(connection: duckdb.DuckDBPyConnection, file: CsvFile, table: EntityTable) -> dict[str, Column]:
    fields = list(file.fields)
    if not file.has_schema:
        # Only columns that are all numbers are numbers. An id such as 007 stays text.
        tests = ", ".join(
            f"count(c{index}) > 0 AND bool_and(regexp_full_match(c{index}, '-?(0|[1-9][0-9]{{0,17}})')), "
            f"count(c{index}) > 0 AND bool_and(regexp_full_match(c{index}, '-?(0|[1-9][0-9]{{0,17}})(\\.[0-9]+)?'))"
            for index in range(len(fields))
        )
        (row,) = connection.execute(f"SELECT {tests} FROM staged").fetchall()
        fields = [_inferred(file, field, *row[2 * index : 2 * index + 2]) for index, field in enumerate(fields)]
    return {field.name: Column(f"c{index}", field) for index, field in enumerate(fields) if field.name != table.id_name}


def _inferred(file: CsvFile, field: Field, is_whole: bool | None, is_decimal: bool | None) -> Field:
    if file.kind.known_field(field.name) is not None or not is_decimal:
        return field
    return replace(field, type="long" if is_whole else "double", is_categorical=False)


def create_item_values(
    connection: duckdb.DuckDBPyConnection, columns: dict[str, Column], progress: Progress | None
) -> None:
    """Creates the table of the values of items, after the table of items.

    Args:
        connection: The connection.
        columns: The columns of items.
        progress: Receives the progress.
    """
    selects = []
    for column in columns.values():
        if not can_be_queried(column.field):
            continue
        name, values = column.sql_name, column.sql_name
        if column.field.is_number:
            values = f"CAST(CAST({name} AS DOUBLE) AS VARCHAR)"
        elif column.field.is_categorical:
            values = f"unnest(list_distinct(string_split({name}, '|')))"
        selects.append(f"SELECT {int(name[1:])} AS field, {values} AS value, item FROM items WHERE {name} IS NOT NULL")
    nothing = "SELECT NULL::INTEGER AS field, NULL::VARCHAR AS value, NULL::INTEGER AS item WHERE false"
    execute(
        connection,
        f"CREATE TABLE item_values AS SELECT * FROM ({' UNION ALL '.join(selects) or nothing}) WHERE value <> '' "
        "ORDER BY field, value, item",
        None,
        "indexing items",
        progress,
    )


def can_be_queried(field: Field) -> bool:
    """Returns whether ``itemAttributes`` can name a column.

    "You can't use unstructured textual metadata": https://docs.aws.amazon.com/personalize/latest/dg/prepare-input-data-user-segment.html
    """
    return not field.is_textual and field.type != "boolean"


def create_interactions(connection: duckdb.DuckDBPyConnection, file: CsvFile, progress: Progress | None) -> None:
    """Creates the tables of interactions, event types and counts, after those of items and users."""
    user, item, time, event = (file.column(name) for name in ("USER_ID", "ITEM_ID", "TIMESTAMP", "EVENT_TYPE"))
    parameters = {"path": str(file.path)}
    if event is None:
        connection.execute("CREATE TABLE events (event UTINYINT, name VARCHAR)")
    else:
        execute(
            connection,
            f"CREATE TABLE events AS SELECT CAST(row_number() OVER (ORDER BY name) AS UINTEGER) AS event, name "
            f"FROM (SELECT DISTINCT {event} AS name FROM {file.source()})",
            parameters,
            "loading event types",
            progress,
        )
    event_join = "" if event is None else f"JOIN events ON events.name = rows.{event}"
    # The order is made in a second step. Joins and a sort at once need more than the memory limit for a gigabyte.
    connection.execute("SET preserve_insertion_order = false")
    execute(
        connection,
        f"CREATE TABLE unordered AS SELECT items.item, users.person, CAST(rows.{time} AS BIGINT) AS moment, "
        f"{'NULL::UINTEGER AS event' if event is None else 'events.event'} FROM {file.source()} AS rows "
        f"JOIN users ON users.id = rows.{user} JOIN items ON items.id = rows.{item} {event_join}",
        parameters,
        "loading interactions",
        progress,
    )
    connection.execute("SET preserve_insertion_order = true")
    connection.execute("CREATE TABLE interactions AS SELECT * FROM unordered LIMIT 0")
    connection.execute("CREATE TABLE item_counts (item INTEGER, interactions BIGINT, people BIGINT)")
    for first, last in _item_ranges(connection):
        between = f"WHERE item BETWEEN {first} AND {last}"
        execute(
            connection,
            f"INSERT INTO interactions SELECT * FROM unordered {between} ORDER BY item",
            None,
            "ordering interactions",
            progress,
        )
        execute(
            connection,
            "INSERT INTO item_counts SELECT item, count(*), count(DISTINCT person) FROM interactions "
            f"{between} GROUP BY item",
            None,
            "counting interactions",
            progress,
        )
    connection.execute("DROP TABLE unordered")


def _item_ranges(connection: duckdb.DuckDBPyConnection) -> list[tuple[int, int]]:
    """Returns ranges of items with as many interactions as can be sorted in memory."""
    found = connection.execute(
        "SELECT min(item), max(item) FROM (SELECT item, sum(count(*)) OVER (ORDER BY item) AS total FROM unordered "
        f"GROUP BY item) GROUP BY total // {_SORTED_AT_ONCE} ORDER BY 1"
    ).fetchall()
    return [(first, last) for first, last in found]
