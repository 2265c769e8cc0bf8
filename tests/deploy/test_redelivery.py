"""Events that the deployed handler gets twice, concurrently, late or with an unknown physical ID."""

import json
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from batch_segment_handler.contract import RESOURCE_TYPE
from personalize_local.faults import Fault, Faults
from personalize_local.gateway import LocalAws
from support.constants import CREATE_FAILED_MARKER
from support.custom_resources import DeployedJob
from support.local import Clients
from support.stacks import RealStack


class Handler:
    """The deployed function, to which a test sends events.

    Attributes:
        arn: The job that the deployment created.
        trigger: A trigger that no other test uses.
    """

    def __init__(self, deployed: DeployedJob, client: Clients) -> None:
        self.arn = deployed.arn
        self.trigger = uuid.uuid4().hex
        self.function = deployed.stack.resource("ProviderHandler4")
        self._deployed = deployed
        self._lambda = client("lambda")
        self._before = set(deployed.stack.jobs)

    @property
    def new_jobs(self) -> list[str]:
        """The jobs that the test has created."""
        return [arn for arn in self._deployed.stack.jobs if arn not in self._before]

    def send(
        self, request_type: str, physical_id: str | None = None, trigger: str | None = None, **properties: Any
    ) -> Any:
        """Sends an event. `properties` with the value None are omitted."""
        request = self._deployed.changed(**({} if trigger is None else {"Trigger": trigger}))
        sent = {**request.properties, **properties}
        event = {
            "RequestType": request_type,
            "RequestId": "again",
            "ResponseURL": "https://signed.example/?Signature=secret",
            "StackId": request.stack_id,
            "LogicalResourceId": request.logical_id,
            "ResourceType": RESOURCE_TYPE,
            "ResourceProperties": {name: value for name, value in sent.items() if value is not None},
            **({} if physical_id is None else {"PhysicalResourceId": physical_id}),
        }
        response = self._lambda.invoke(FunctionName=self.function, Payload=json.dumps(event))
        payload = json.loads(response["Payload"].read())
        assert "FunctionError" not in response, payload
        return payload

    def job(self, request_type: str, *arguments: Any) -> str:
        """Sends an event, and returns the job in the handler's response."""
        return str(self.send(request_type, *arguments)["PhysicalResourceId"])


@pytest.fixture(scope="session")
def deployed(aws: LocalAws, client: Clients) -> DeployedJob:
    return DeployedJob(RealStack(aws, client, "Redelivery"))


@pytest.fixture
def handler(deployed: DeployedJob, client: Clients) -> Handler:
    return Handler(deployed, client)


def test_a_repeated_event_returns_the_same_job(handler: Handler) -> None:
    assert [handler.job("Create") for _ in range(3)] == [handler.arn] * 3
    assert handler.new_jobs == []


def test_the_same_event_six_times_at_once_creates_one_job(handler: Handler) -> None:
    with ThreadPoolExecutor(6) as pool:
        jobs = list(pool.map(lambda _: handler.job("Create", None, handler.trigger), range(6)))
    assert handler.new_jobs == [jobs[0]]
    assert jobs == [jobs[0]] * 6


def test_an_update_delivered_twice_creates_one_job(handler: Handler) -> None:
    jobs = [handler.job("Update", handler.arn, handler.trigger) for _ in range(2)]
    assert handler.new_jobs == [jobs[0]]
    assert jobs[1] == jobs[0]


def test_an_update_delivered_after_its_rollback_adopts_its_job(handler: Handler) -> None:
    other = handler.job("Update", handler.arn, handler.trigger)
    assert handler.job("Update", other) == handler.arn
    assert handler.job("Update", handler.arn, handler.trigger) == other
    assert handler.new_jobs == [other]


def test_an_event_of_a_later_release_returns_the_same_job(handler: Handler) -> None:
    changed = handler.send("Update", handler.arn, ServiceToken="another", SomethingNew={"a": ["b"]}, RoleArn="other")
    assert changed["PhysicalResourceId"] == handler.arn
    assert handler.new_jobs == []


@pytest.mark.parametrize("physical_id", [None, CREATE_FAILED_MARKER, "invented", "arn:aws:personalize:a:b:c/d"])
def test_delete_succeeds_with_any_physical_id_and_calls_nothing(
    handler: Handler, aws: LocalAws, physical_id: str | None
) -> None:
    before = len(aws.personalize.calls)
    id = physical_id or handler.arn
    assert handler.send("Delete", id) == {"PhysicalResourceId": id}
    assert len(aws.personalize.calls) == before


def test_calls_each_operation_once_when_nothing_fails(handler: Handler, aws: LocalAws) -> None:
    calls: list[str] = aws.personalize.calls
    before = len(calls)
    handler.send("Create", None, handler.trigger)
    assert calls[before:] == ["DescribeBatchSegmentJob", "DescribeSolutionVersion", "CreateBatchSegmentJob"]
    before = len(calls)
    handler.send("Create", None, handler.trigger)
    assert calls[before:] == ["DescribeBatchSegmentJob"]


def test_finds_the_job_of_a_create_whose_response_was_lost(handler: Handler, faults: Faults) -> None:
    faults.inject(Fault("CreateBatchSegmentJob", reset=True, after=True, times=8))
    assert [handler.job("Create", None, handler.trigger)] == handler.new_jobs


@pytest.mark.parametrize("member", ["solutionVersionArn", "roleArn"])
def test_does_not_adopt_a_foreign_job_of_the_same_name(handler: Handler, aws: LocalAws, member: str) -> None:
    foreign = handler.job("Create", None, handler.trigger)
    aws.personalize.jobs[foreign].request[member] += "x"
    assert handler.job("Create", None, handler.trigger) == f"{foreign}-2"
    assert handler.job("Create", None, handler.trigger) == f"{foreign}-2"
    assert handler.new_jobs == [foreign, f"{foreign}-2"]


def test_adopts_a_job_whose_paths_are_described_without_a_slash(handler: Handler, aws: LocalAws) -> None:
    created = handler.job("Create", None, handler.trigger)
    request = aws.personalize.jobs[created].request
    request["jobOutput"]["s3DataDestination"]["path"] = request["jobOutput"]["s3DataDestination"]["path"].rstrip("/")
    request["jobInput"]["s3DataSource"]["path"] = request["jobInput"]["s3DataSource"]["path"].rstrip("/")
    request["filterArn"] = ""
    assert handler.job("Create", None, handler.trigger) == created
    assert handler.new_jobs == [created]


def test_creates_the_job_if_describe_reports_invalid_input(handler: Handler, faults: Faults) -> None:
    faults.inject(Fault("DescribeBatchSegmentJob", "InvalidInputException", "The given ARN does not exist."))
    assert [handler.job("Create", None, handler.trigger)] == handler.new_jobs


def test_names_the_property_that_an_event_lacks(handler: Handler) -> None:
    with pytest.raises(AssertionError, match="JobNamePrefix or JobName is missing from the properties of the resource"):
        handler.send("Create", JobNamePrefix=None)


def test_a_function_keeps_its_process_after_an_error(handler: Handler) -> None:
    from ministack.core import lambda_runtime

    def processes() -> list[int]:
        pools = [workers for key, workers in lambda_runtime._workers.items() if f":{handler.function}:" in key]
        return [worker._proc.pid for workers in pools for worker in workers]

    handler.send("Create")
    before = processes()
    with pytest.raises(AssertionError, match="is missing"):
        handler.send("Create", JobNamePrefix=None)
    assert processes() == before != []
