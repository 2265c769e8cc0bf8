"""The partitions of a workflow's table: one for each run, and the latest."""

from typing import Any, cast

import pytest
from batch_segment_handler import partitions
from batch_segment_handler.errors import UnavailableError
from batch_segment_handler.retries import RetryBudget
from botocore.exceptions import ClientError
from botocore.stub import Stubber
from support.events import stub_errors
from support.tasks import RUN, TABLE

NAMES = {"DatabaseName": "segments", "TableName": "weekly"}
LOCATION = "s3://out/segments/audience=fans/run=20261101T030000Z/job/"
OF_RUN, LATEST = ["fans", "20261101T030000Z"], ["fans", "latest"]


def request(values: list[str]) -> dict[str, Any]:
    partition = {
        "StorageDescriptor": {"InputFormat": "text", "Location": LOCATION},
        "Parameters": {"started": "900"},
        "Values": values,
    }
    return {**NAMES, "PartitionInput": partition}


def stub_created(glue: Stubber, values: list[str]) -> None:
    glue.add_response("create_partition", {}, request(values))


def stub_updated(glue: Stubber, values: list[str]) -> None:
    glue.add_client_error("create_partition", "AlreadyExistsException", "there", expected_params=request(values))
    glue.add_response("update_partition", {}, {**request(values), "PartitionValueList": values})


def stub_latest(glue: Stubber, **partition: Any) -> None:
    glue.add_response("get_partition", {"Partition": partition}, {**NAMES, "PartitionValues": LATEST})


def stub_no_latest(glue: Stubber) -> None:
    glue.add_client_error(
        "get_partition", "EntityNotFoundException", "no", expected_params={**NAMES, "PartitionValues": LATEST}
    )


def register(seconds: float = 100) -> None:
    partitions.register(cast(Any, TABLE), "fans", RUN, LOCATION, RetryBudget(seconds))


def test_registers_the_first_run_and_makes_it_the_latest(glue: Stubber) -> None:
    stub_created(glue, OF_RUN)
    stub_no_latest(glue)
    stub_created(glue, LATEST)
    register()


@pytest.mark.parametrize("parameters", [{"started": "899"}, {"started": "900"}, {"started": "-1"}, {"other": "1"}, {}])
def test_latest_moves_to_a_run_that_started_later(glue: Stubber, parameters: dict[str, str]) -> None:
    stub_created(glue, OF_RUN)
    stub_latest(glue, Parameters=parameters)
    stub_updated(glue, LATEST)
    register()


def test_latest_stays_at_a_run_that_started_later(glue: Stubber) -> None:
    stub_created(glue, OF_RUN)
    stub_latest(glue, Parameters={"started": "901"})
    register()


def test_latest_moves_from_a_partition_without_parameters(glue: Stubber) -> None:
    stub_created(glue, OF_RUN)
    stub_latest(glue)
    stub_updated(glue, LATEST)
    register()


def test_repeated_registration_changes_the_partition_of_the_run(glue: Stubber, log: Any) -> None:
    stub_updated(glue, OF_RUN)
    stub_latest(glue, Parameters={"started": "900"})
    stub_updated(glue, LATEST)
    register()
    assert log() == [{"decision": "registered", "table": "weekly", "location": LOCATION}]


def test_retries_while_glue_throttles(glue: Stubber, clock: Any) -> None:
    stub_errors(glue, "create_partition", "ThrottlingException", "Rate exceeded", 2)
    stub_created(glue, OF_RUN)
    stub_latest(glue, Parameters={"started": "901"})
    register()
    assert clock.sleeps == [2, 4]


def test_reports_that_glue_stays_unavailable(glue: Stubber, clock: Any) -> None:
    stub_errors(glue, "create_partition", "ThrottlingException", "Rate exceeded", 3)
    with pytest.raises(UnavailableError, match="CreatePartition: ThrottlingException: Rate exceeded; 3 attempts"):
        register(seconds=5)


def test_raises_any_other_error(glue: Stubber) -> None:
    glue.add_client_error("create_partition", "EntityNotFoundException", "no table")
    with pytest.raises(ClientError, match="no table"):
        register()
