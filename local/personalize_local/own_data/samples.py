"""Writes sample data sets in the form of the public notebooks: films, and a shop. Everything in them is made up."""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

# Sunday, 13 September 2020, in Unix epoch seconds. The interactions are of the two years after it.
_START = 1_600_000_000
_SECONDS = 63_072_000


@dataclass(frozen=True, slots=True)
class Sample:
    """A sample data set.

    Attributes:
        items: The SQL of the metadata columns of item number ``i``, by name.
        users: The SQL of the metadata columns of user number ``i``, by name.
        event_types: The event types. Each is less frequent than the one before.
        item_types: The Avro type of columns of items that are not categorical.
        user_types: The Avro type of columns of users that are not categorical.
    """

    items: Mapping[str, str]
    users: Mapping[str, str]
    event_types: Sequence[str]
    item_types: Mapping[str, str]
    user_types: Mapping[str, str]


def _pick(values: Sequence[str], seed: str) -> str:
    return f"[{', '.join(repr(value) for value in values)}][1 + CAST(hash({seed}) % {len(values)} AS INTEGER)]"


_GENRES = (
    "Action",
    "Adventure",
    "Animation",
    "Comedy",
    "Crime",
    "Documentary",
    "Drama",
    "Fantasy",
    "Romance",
    "Western",
)
# The second level within each category of the first.
_CATEGORIES = {
    "apparel": ("jacket", "shirt", "socks"),
    "beauty": ("bathing", "fragrance", "grooming"),
    "electronics": ("camera", "headphones", "speaker"),
    "footwear": ("boot", "sandals", "sneaker"),
    "housewares": ("bowls", "kitchen"),
    "tools": ("axe", "drill", "saw"),
}
_STYLES = tuple(f"{category}/{style}" for category, styles in _CATEGORIES.items() for style in styles)
_STYLE = _pick(_STYLES, "i * 7 + 1")

#: Films with genres joined by ``|``.
FILMS = Sample(
    items={
        "GENRES": f"array_to_string(list_sort(list_distinct([{_pick(_GENRES, 'i')}, {_pick(_GENRES, 'i + 5000011')}, "
        f"{_pick(_GENRES, 'i + 7000003')}][1:1 + i % 3])), '|')",
        "YEAR": "1950 + CAST(hash(i + 31) % 75 AS INTEGER)",
        "CREATION_TIMESTAMP": f"{_START} + CAST(hash(i + 41) % {_SECONDS} AS BIGINT)",
    },
    users={
        "AGE": "16 + CAST(hash(i + 51) % 70 AS INTEGER)",
        "GENDER": _pick(("F", "M", "X"), "i + 61"),
        "COUNTRY": _pick(("Brazil", "France", "Germany", "Japan", "Kenya", "United States"), "i + 71"),
    },
    event_types=("watch", "rating"),
    item_types={"YEAR": "int", "CREATION_TIMESTAMP": "long"},
    user_types={"AGE": "int"},
)

#: A shop with categories of two levels.
RETAIL = Sample(
    items={
        "CATEGORY_L1": f"split_part({_STYLE}, '/', 1)",
        "CATEGORY_L2": f"split_part({_STYLE}, '/', 2)",
        "PRICE": "round(4 + (hash(i + 81) % 50000) / 100.0, 2)",
        "GENDER": _pick(("Any", "F", "M"), "i + 91"),
    },
    users={
        "AGE": "18 + CAST(hash(i + 51) % 60 AS INTEGER)",
        "MEMBERSHIP_STATUS": _pick(("basic", "gold", "none", "silver"), "i + 61"),
    },
    event_types=("View", "AddToCart", "Purchase"),
    item_types={"PRICE": "float"},
    user_types={"AGE": "int"},
)

SAMPLES = {"films": FILMS, "retail": RETAIL}


def write_sample(
    folder: Path, sample: Sample, items: int = 500, users: int = 300, interactions: int = 6000, *, schemas: bool = True
) -> None:
    """Writes the CSV files of a sample, and its Avro schemas. The same arguments give the same files.

    Args:
        folder: The folder, which is made if it does not exist.
        sample: The sample.
        items: The number of items.
        users: The number of users.
        interactions: The number of interactions.
        schemas: Whether to write the schemas.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with duckdb.connect() as connection:
        connection.execute("SET enable_progress_bar = false")
        for name, id_name, columns, count in (
            ("items", "ITEM_ID", sample.items, items),
            ("users", "USER_ID", sample.users, users),
        ):
            selected = ", ".join(f"{expression} AS {column}" for column, expression in columns.items())
            _copy(connection, folder / f"{name}.csv", f"SELECT CAST(i + 1 AS VARCHAR) AS {id_name}, {selected}", count)
        # The power makes the first event type frequent, such as views, and the last one rare, such as purchases.
        types = ", ".join(f"'{name}'" for name in sample.event_types)
        share = "pow((hash(i + 13) % 1000003) / 1000003.0, 6)"
        event = f"[{types}][1 + CAST(floor({share} * {len(sample.event_types)}) AS INTEGER)]"
        # The square makes few items popular and most items rare.
        item = f"1 + CAST(floor(pow((hash(i * 3 + 1) % 1000003) / 1000003.0, 2) * {items}) AS BIGINT)"
        _copy(
            connection,
            folder / "interactions.csv",
            f"SELECT 1 + hash(i * 5 + 2) % {users} AS USER_ID, {item} AS ITEM_ID, {event} AS EVENT_TYPE, "
            f"{_START} + hash(i * 11 + 3) % {_SECONDS} AS TIMESTAMP",
            interactions,
        )
    if schemas:
        _write_schema(folder / "items.json", "Items", ["ITEM_ID"], sample.items, sample.item_types)
        _write_schema(folder / "users.json", "Users", ["USER_ID"], sample.users, sample.user_types)
        names = ["USER_ID", "ITEM_ID", "EVENT_TYPE", "TIMESTAMP"]
        _write_schema(folder / "interactions.json", "Interactions", names, (), {"TIMESTAMP": "long"})


def _copy(connection: duckdb.DuckDBPyConnection, path: Path, select: str, count: int) -> None:
    target = str(path).replace("'", "''")
    connection.execute(f"COPY ({select} FROM range({int(count)}) AS numbers(i)) TO '{target}' (HEADER)")


def _write_schema(
    path: Path, name: str, plain: Sequence[str], columns: Mapping[str, str] | Sequence[str], types: Mapping[str, str]
) -> None:
    fields: list[dict[str, Any]] = [{"name": column, "type": types.get(column, "string")} for column in plain]
    for column in columns:
        entry: dict[str, Any] = {"name": column, "type": types.get(column, "string")}
        fields.append(entry if column in types else {**entry, "categorical": True})
    schema = {
        "type": "record",
        "name": name,
        "namespace": "com.amazonaws.personalize.schema",
        "fields": fields,
        "version": "1.0",
    }
    path.write_text(json.dumps(schema, indent=2) + "\n")


def main(arguments: Sequence[str] | None = None) -> None:
    """Writes a sample: ``python -m personalize_local.own_data.samples retail FOLDER``."""
    parser = argparse.ArgumentParser(prog="python -m personalize_local.own_data.samples", description=main.__doc__)
    parser.add_argument("sample", choices=SAMPLES)
    parser.add_argument("folder", type=Path)
    options = parser.parse_args(arguments)
    write_sample(options.folder, SAMPLES[options.sample])


if __name__ == "__main__":
    main()
