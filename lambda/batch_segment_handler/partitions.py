"""Registers the segments of an audience as partitions of the workflow's Glue table."""

from collections.abc import Mapping
from typing import Any

from . import clients, log
from .retries import RetryBudget, call_with_retries
from .workflow_contract import RunFacts, TableSettings

#: The partition of the newest run.
LATEST = "latest"
# The parameter of a partition that orders runs. The keys of runs do not, since an app can go back to an older solution
# version.
_STARTED = "started"


def register(table: TableSettings, audience: str, run: RunFacts, location: str, budget: RetryBudget) -> None:
    """Registers the segments of a run, also as the latest ones unless a newer run is registered.

    Args:
        table: The table.
        audience: The audience's name.
        run: The run.
        location: The folder of the segments, as a URI.
        budget: How long to retry.
    """
    partition = {
        "StorageDescriptor": {**table["StorageDescriptor"], "Location": location},
        "Parameters": {_STARTED: str(run["Started"])},
    }
    _set(table, [audience, run["Run"]], partition, budget)
    latest = [audience, LATEST]
    if _started(table, latest, budget) <= run["Started"]:
        _set(table, latest, partition, budget)
    log.event("registered", table=table["Table"], location=location)


def _set(table: TableSettings, values: list[str], partition: Mapping[str, Any], budget: RetryBudget) -> None:
    glue = clients.glue()
    request: dict[str, Any] = {
        "DatabaseName": table["Database"],
        "TableName": table["Table"],
        "PartitionInput": {**partition, "Values": values},
    }
    try:
        call_with_retries(glue.create_partition, budget, **request)
    except glue.exceptions.AlreadyExistsException:
        call_with_retries(glue.update_partition, budget, PartitionValueList=values, **request)


def _started(table: TableSettings, values: list[str], budget: RetryBudget) -> int:
    """Returns when the run of a partition started; 0 if there is no partition, or another program created it."""
    glue = clients.glue()
    try:
        response = call_with_retries(
            glue.get_partition,
            budget,
            DatabaseName=table["Database"],
            TableName=table["Table"],
            PartitionValues=values,
        )
    except glue.exceptions.EntityNotFoundException:
        return 0
    started = response["Partition"].get("Parameters", {}).get(_STARTED, "")
    return int(started) if started.isdecimal() else 0
