"""Athena: queries of tables in the Glue Data Catalog, run by DuckDB, with the caller's permissions.

MiniStack finds partitions by the names of folders, and checks no permission. Here, the partitions are those of the
catalog, and the caller needs permissions on the table, on its objects and on the results.
"""

import json
import os
import re
import tempfile
from collections.abc import Iterator
from typing import Any

from ministack.core import iam_evaluator, responses
from ministack.services import athena, glue, s3

from .glue_catalog import table_arn
from .hive_types import duckdb_type
from .patching import replace, require

_JSON_SERDES = ("org.openx.data.jsonserde.JsonSerDe", "org.apache.hive.hcatalog.data.JsonSerDe")
_COMMENTS = re.compile(r"(?:\s|--[^\n]*\n|/\*.*?\*/)*", re.DOTALL)
_QUERIES = re.compile(r"select|with|values|explain|\(", re.IGNORECASE)


def apply() -> None:
    """Patches MiniStack in place."""
    require(athena, "_table_references", "_qualified_column_prefixes", "_data_format", "_hidden", "_executions")
    require(iam_evaluator, "_verified_key")
    replace(athena, "_rewrite_data_paths", "query database catalog", lambda _: _rewrite)
    replace(athena, "_save_query_results", "query_id", _checking_results)
    replace(athena, "_get_query_results", "data", _checking_reader)


async def _rewrite(query: str, database: str, _catalog: str | None = None) -> tuple[str, dict[str, str], list[str]]:
    """Replaces the tables of a query by the objects of their partitions."""
    statement = _COMMENTS.sub("", query, count=1)
    if not _QUERIES.match(statement):
        first = next(iter(statement.split()), "an empty query")
        raise ValueError(f"{first} is not part of the local AWS, which supports SELECT, CREATE TABLE, DROP TABLE")
    edits: list[tuple[int, int, str]] = []
    folders: list[str] = []
    for found in athena._table_references(query):
        if query[found.end :].lstrip().startswith("("):
            # A function, for example UNNEST.
            continue
        name = (found.database or database or "default").lower(), found.table.lower()
        _require("glue:GetTable", table_arn(*name))
        table = glue._tables.get("/".join(name))
        if table is None:
            raise ValueError(f"TABLE_NOT_FOUND: Table 'awsdatacatalog.{name[0]}.{name[1]}' does not exist")
        alias = "" if found.aliased else f' AS "{name[1]}"'
        edits.append((found.start, found.end, _relation(table, name, folders) + alias))
        if not found.aliased:
            edits.extend(athena._qualified_column_prefixes(query, *name, edits[-1]))
    for start, end, replacement in sorted(set(edits), reverse=True):
        query = query[:start] + replacement + query[end:]
    return query, {}, folders


def _relation(table: dict[str, Any], name: tuple[str, str], folders: list[str]) -> str:
    storage = table["StorageDescriptor"]
    library = (storage.get("SerdeInfo") or {}).get("SerializationLibrary", "")
    if library not in _JSON_SERDES:
        raise ValueError(
            f"tables with the SerDe {library!r} are not part of the local AWS, which supports {_JSON_SERDES[0]}"
        )
    keys = table.get("PartitionKeys") or []
    columns = {column["Name"].lower(): duckdb_type(column["Type"]) for column in [*storage["Columns"], *keys]}
    partitions: list[tuple[dict[str, str], str]] = [({}, storage["Location"])]
    if keys:
        _require("glue:GetPartitions", table_arn(*name))
        partitions = [
            (
                dict(zip((key["Name"].lower() for key in keys), partition["Values"], strict=True)),
                (partition.get("StorageDescriptor") or {}).get("Location", ""),
            )
            for partition in glue._partitions.get("/".join(name)) or []
        ]
    lines = [
        json.dumps({**record, **values}, ensure_ascii=False)
        for values, location in partitions
        for record in _records(location)
    ]
    if not lines:
        empty = ", ".join(f'CAST(NULL AS {type}) AS "{column}"' for column, type in columns.items())
        return f"(SELECT {empty} WHERE FALSE)"
    folder = tempfile.mkdtemp(prefix="athena-")
    folders.append(folder)
    path = os.path.join(folder, "rows.jsonl")
    with open(path, "w", encoding="utf-8") as file:
        file.write("".join(f"{line}\n" for line in lines))
    # The longest line is at most four bytes a character.
    longest = max(16 * 1024**2, 4 * max(map(len, lines)))
    typed = ", ".join(f"{_quoted(column)}: {_quoted(type)}" for column, type in columns.items())
    return (
        f"read_json({_quoted(path)}, format = 'newline_delimited', maximum_object_size = {longest}, "
        f"columns = {{{typed}}})"
    )


def _records(location: str) -> Iterator[dict[str, Any]]:
    """Yields the lines of the objects in a folder, as the SerDe reads them."""
    bucket, _, prefix = location.removeprefix("s3://").partition("/")
    prefix = f"{prefix.removesuffix('/')}/" if prefix else ""
    _require("s3:ListBucket", f"arn:aws:s3:::{bucket}", {"s3:prefix": prefix})
    stored = s3._buckets.get(bucket)
    if stored is None:
        raise ValueError(f"The specified bucket does not exist: {bucket}")
    for key in sorted(key for key in list(stored["objects"]) if key.startswith(prefix) and not key.endswith("/")):
        # Files whose names start with "_" or "." are not read: https://docs.aws.amazon.com/athena/latest/ug/tables-location-format.html
        if athena._hidden(key[len(prefix) :]):
            continue
        _require("s3:GetObject", f"arn:aws:s3:::{bucket}/{key}")
        for number, line in enumerate((s3._get_object_data(bucket, key) or b"").splitlines(), 1):
            if not line.strip():
                continue
            try:
                record = json.loads(line)
            except ValueError:
                record = None
            if not isinstance(record, dict):
                raise ValueError(
                    f"HIVE_CURSOR_ERROR: Row is not a valid JSON Object: s3://{bucket}/{key} line {number}"
                )
            yield _lower(record)


def _lower(value: Any) -> Any:
    # The SerDe ignores case: https://docs.aws.amazon.com/athena/latest/ug/openx-json-serde.html
    if isinstance(value, dict):
        return {key.lower(): _lower(item) for key, item in value.items()}
    return (
        [_lower(item) for item in value] if isinstance(value, list) and value and isinstance(value[0], dict) else value
    )


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _require(action: str, resource: str, context: dict[str, Any] | None = None) -> None:
    denied = _denied(action, resource, context)
    if denied is not None:
        raise ValueError(f"Insufficient permissions to execute the query. {denied}")


def _denied(action: str, resource: str, context: dict[str, Any] | None = None) -> str | None:
    """Returns why the sender of the request may not do something, or None."""
    access_key = iam_evaluator._verified_key.get() or ""
    denied = iam_evaluator.enforce(
        access_key, action, action.partition(":")[0], responses.get_region(), resource, context or {}
    )
    if denied is None:
        return None
    who = getattr(denied, "principal_arn", "") or access_key
    return f"User: {who} is not authorized to perform: {action} on resource: {resource}"


def _results_arn(query_id: str) -> str:
    location: str = athena._executions[query_id]["ResultConfiguration"]["OutputLocation"]
    return f"arn:aws:s3:::{location.removeprefix('s3://')}"


def _checking_results(save: Any) -> Any:
    async def save_results(query_id: str) -> None:
        if denied := _denied("s3:PutObject", _results_arn(query_id)):
            raise ValueError(f"Access denied when writing the results. {denied}")
        await save(query_id)

    return save_results


def _checking_reader(get: Any) -> Any:
    def get_query_results(data: dict[str, Any]) -> Any:
        query_id = data.get("QueryExecutionId", "")
        if query_id in athena._executions and (denied := _denied("s3:GetObject", _results_arn(query_id))):
            return responses.error_response_json("AccessDeniedException", denied, 400)
        return get(data)

    return get_query_results
