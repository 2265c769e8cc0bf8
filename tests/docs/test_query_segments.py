"""Runs the SQL of the page on queries with files in both formats of segments.

DuckDB replaces Athena, as in the local AWS. The columns have the types of the Glue table. The keys of the files are
converted to lower case, as the table's SerDe does.
"""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import duckdb
import pytest
from aws_cdk.assertions import Template
from cdk_personalize_segments import SegmentsTable
from support.templates import add_workflow

from docs import pages

PAGE = pages.DOCS / "how-to" / "query-segments.md"
SQL = [snippet.code for snippet in pages.snippets(PAGE) if snippet.language == "sql"]
COMEDY, DRAMA = 'ITEMS.GENRES = "Comedy"', 'ITEMS.GENRES = "Drama"'


def observed(expression: str, users: list[str], error: str | None = None) -> dict[str, Any]:
    return {"input": {"itemAttributes": expression}, "output": {"usersList": users}, "error": error}


def documented(expression: str, users: list[str]) -> dict[str, Any]:
    return {"itemAttributes": expression, "output": {"recommendedUsers": users}}


#: The lines of files by audience and run.
SEGMENTS = {
    ("comedy-fans", "20261116T030000Z"): [observed(COMEDY, ["9"])],
    ("comedy-fans", "20261123T030000Z"): [documented(COMEDY, ["1", "2"]), documented(COMEDY, ["2", "3"])],
    ("comedy-fans", "20261130T030000Z"): [observed(COMEDY, ["3", "4", "5"]), documented(COMEDY, ["5", "6", "9"])],
    ("drama-fans", "20261130T030000Z"): [
        documented(DRAMA, ["5", "3", "7"]),
        observed('ITEMS.GENRES = "Nothing"', [], "no such item"),
    ],
}
SEGMENTS |= {(audience, "latest"): SEGMENTS[audience, "20261130T030000Z"] for audience in ("comedy-fans", "drama-fans")}


@pytest.fixture(scope="module")
def table() -> dict[str, str]:
    """The columns of the Glue table with DuckDB's types."""
    stack = cdk.Stack()
    SegmentsTable(stack, "Table", workflow=add_workflow(stack))
    (found,) = Template.from_stack(stack).find_resources("AWS::Glue::Table").values()
    table = found["Properties"]["TableInput"]
    assert table["Name"] == "weekly"
    columns = [*table["StorageDescriptor"]["Columns"], *table["PartitionKeys"]]
    return {column["Name"]: duckdb_type(column["Type"]) for column in columns}


def duckdb_type(type_: str) -> str:
    """Translates a type of Glue, for example ``struct<userslist:array<string>>``."""
    type_ = type_.replace("string", "VARCHAR")
    type_ = re.sub(r"array<(\w+)>", r"\1[]", type_)
    type_ = re.sub(r"map<(\w+),(\w+)>", r"MAP(\1, \2)", type_)
    return re.sub(r"struct<(.*)>", lambda found: f"STRUCT({found[1].replace(':', ' ')})", type_)


def lower(value: Any) -> Any:
    return {key.lower(): lower(one) for key, one in value.items()} if isinstance(value, dict) else value


Query = Callable[[str], list[tuple[Any, ...]]]


@pytest.fixture
def query(table: dict[str, str], tmp_path: Path) -> Query:
    file = tmp_path / "rows.jsonl"
    file.write_text(
        "".join(
            f"{json.dumps({**lower(line), 'audience': audience, 'run': run})}\n"
            for (audience, run), lines in SEGMENTS.items()
            for line in lines
        )
    )
    connection = duckdb.connect()
    columns = ", ".join(f"'{name}': '{type_}'" for name, type_ in table.items())
    rows = f"read_json('{file}', format = 'newline_delimited', columns = {{{columns}}})"
    connection.execute(f"CREATE VIEW weekly AS SELECT * FROM {rows}")
    return lambda sql: connection.execute(sql).fetchall()


def test_finds_the_users_of_an_audience(query: Query) -> None:
    assert sorted(query(SQL[0])) == [("3",), ("4",), ("5",), ("6",), ("9",)]


def test_counts_the_users_of_all_audiences(query: Query) -> None:
    assert query(SQL[1]) == [("comedy-fans", 5), ("drama-fans", 3)]


def test_finds_the_overlap_of_two_audiences(query: Query) -> None:
    assert sorted(query(SQL[2])) == [("3",), ("5",)]
    assert sorted(query(SQL[2].replace("INTERSECT", "EXCEPT"))) == [("4",), ("6",), ("9",)]


def test_finds_the_users_that_are_new_since_last_week(query: Query) -> None:
    # "9" was in the segment two weeks ago, but not last week.
    assert sorted(query(SQL[3])) == [("4",), ("5",), ("6",), ("9",)]


def test_finds_queries_without_segments(query: Query) -> None:
    assert query(SQL[4]) == [("drama-fans", 'ITEMS.GENRES = "Nothing"', "no such item")]


def test_every_query_of_the_page_is_run() -> None:
    assert len(SQL) == 5
