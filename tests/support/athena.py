"""Queries with Athena."""

from typing import Any

from support.local import Clients, wait_until


def query(client: Clients, sql: str, database: str, results: str) -> list[list[str | None]]:
    """Runs a query and returns its rows.

    Args:
        client: Creates clients.
        sql: The query.
        database: The database of its tables.
        results: The folder of its results, as a URI.

    Raises:
        AssertionError: The query failed; the message is the reason.
    """
    athena = client("athena")
    started = athena.start_query_execution(
        QueryString=sql,
        QueryExecutionContext={"Database": database},
        ResultConfiguration={"OutputLocation": results},
    )["QueryExecutionId"]
    status: dict[str, Any] = {}

    def has_ended() -> bool:
        status.update(athena.get_query_execution(QueryExecutionId=started)["QueryExecution"]["Status"])
        return status["State"] not in ("QUEUED", "RUNNING")

    wait_until(has_ended, interval=0.02)
    assert status["State"] == "SUCCEEDED", status.get("StateChangeReason")
    _header, *rows = athena.get_query_results(QueryExecutionId=started)["ResultSet"]["Rows"]
    return [[cell.get("VarCharValue") for cell in row["Data"]] for row in rows]
