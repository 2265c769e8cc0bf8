"""The Glue Data Catalog: permissions on catalog, database and table, and partitions as AWS checks them."""

import json
import time
from typing import Any

from ministack.core import iam_actions, iam_evaluator, responses
from ministack.services import glue

from .patching import replace, require

# The operations on tables that name them as `Name`. The others name a database or something else.
_NAMED_TABLES = ("GetTable", "DeleteTable")
_INPUT_TABLES = ("CreateTable", "UpdateTable")


def apply() -> None:
    """Patches MiniStack in place."""
    require(glue, "_tables", "_partitions", "_databases")
    replace(
        iam_actions,
        "extract_resource_arn",
        "service method path headers body query_params region account_id",
        _with_tables,
    )
    replace(
        iam_evaluator,
        "enforce",
        "access_key_id iam_action service region resource_arn service_context",
        _with_parents,
    )
    for name in ("_create_partition", "_batch_create_partition"):
        replace(glue, name, "data", _checked)
    replace(glue, "_handle_request_sync", "method path headers body query_params", _with_update_partition)


def table_arn(database: str, table: str) -> str:
    """Returns the ARN of a table in the account and region in use."""
    return f"arn:aws:glue:{responses.get_region()}:{responses.get_account_id()}:table/{database}/{table}"


def _with_tables(extract: Any) -> Any:
    def extract_resource_arn(service: str, method: str, path: str, headers: Any, body: Any, *rest: Any) -> Any:
        resource = extract(service, method, path, headers, body, *rest)
        if service != "glue":
            return resource
        try:
            members = json.loads(body or b"{}")
        except ValueError:
            return resource
        action = headers.get("x-amz-target", "").rpartition(".")[2]
        table = members.get("TableName")
        if action in _NAMED_TABLES:
            table = members.get("Name")
        elif action in _INPUT_TABLES:
            table = (members.get("TableInput") or {}).get("Name")
        elif table is None and action.endswith("Database"):
            name = members.get("Name") or (members.get("DatabaseInput") or {}).get("Name", "")
            return str(table_arn(name, "")).replace(":table/", ":database/").removesuffix("/")
        return table_arn(members.get("DatabaseName", ""), table) if table else resource

    return extract_resource_arn


def _with_parents(enforce: Any) -> Any:
    # "you must have permissions on the table, the database and the catalog":
    # https://docs.aws.amazon.com/glue/latest/dg/glue-specifying-resource-arns.html
    def enforce_with_parents(
        access_key_id: str,
        iam_action: str,
        service: str,
        region: str,
        resource_arn: str = "*",
        service_context: Any = None,
    ) -> Any:
        denied = enforce(access_key_id, iam_action, service, region, resource_arn, service_context)
        prefix, kind, path = resource_arn.rpartition(":")[0], *resource_arn.rpartition(":")[2].partition("/")[::2]
        if denied or service != "glue" or kind not in ("table", "database"):
            return denied
        parents = [f"{prefix}:catalog"]
        if kind == "table":
            parents.append(f"{prefix}:database/{path.partition('/')[0]}")
        for parent in parents:
            if denied := enforce(access_key_id, iam_action, service, region, parent, service_context):
                break
        return denied

    return enforce_with_parents


def _checked(create: Any) -> Any:
    def create_partitions(data: dict[str, Any]) -> Any:
        inputs = data.get("PartitionInputList") or [data.get("PartitionInput") or {}]
        return _invalid(data, inputs) or create(data)

    return create_partitions


def _invalid(data: dict[str, Any], inputs: list[dict[str, Any]]) -> Any:
    table = glue._tables.get(f"{data.get('DatabaseName')}/{data.get('TableName')}")
    if table is None:
        return responses.error_response_json(
            "EntityNotFoundException", f"Table {data.get('TableName')} not found.", 400
        )
    for partition in inputs:
        if len(partition.get("Values") or []) != len(table.get("PartitionKeys") or []):
            return responses.error_response_json(
                "InvalidInputException",
                "The number of partition keys do not match the number of partition values",
                400,
            )
    return None


def _with_update_partition(handle: Any) -> Any:
    # MiniStack has no UpdatePartition.
    def handle_request(method: str, path: str, headers: Any, body: Any, query_params: Any) -> Any:
        if headers.get("x-amz-target", "") != "AWSGlue.UpdatePartition":
            return handle(method, path, headers, body, query_params)
        data = json.loads(body or b"{}")
        given = data.get("PartitionInput") or {}
        if invalid := _invalid(data, [given]):
            return invalid
        partitions = glue._partitions.get(f"{data['DatabaseName']}/{data['TableName']}") or []
        for partition in partitions:
            if partition.get("Values") == data.get("PartitionValueList"):
                kept = {key: partition.get(key) for key in ("DatabaseName", "TableName", "CreationTime", "CatalogId")}
                partition.clear()
                partition.update({**given, **kept, "LastAccessTime": int(time.time())})
                return responses.json_response({})
        return responses.error_response_json("EntityNotFoundException", "Partition not found.", 400)

    return handle_request
