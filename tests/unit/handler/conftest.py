import json
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import batch_segment_handler.clients
import batch_segment_handler.log
import boto3
import pytest
from batch_segment_handler import audiences, handler, results, retries, runs, watcher, workflow
from botocore.config import Config
from botocore.stub import Stubber
from personalize_local.gateway import LocalAws


def _stub(monkeypatch: pytest.MonkeyPatch, service: Any) -> Iterator[Stubber]:
    client = boto3.client(
        service,
        region_name="eu-west-1",
        aws_access_key_id="key",
        aws_secret_access_key="secret",
        config=Config(retries={"total_max_attempts": 1}),
    )
    monkeypatch.setattr(batch_segment_handler.clients, service, lambda: client)
    with Stubber(client) as stubber:
        yield stubber
        stubber.assert_no_pending_responses()


@pytest.fixture
def personalize(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stubber]:
    """The handler's client, with the answers of a test, in order."""
    yield from _stub(monkeypatch, "personalize")


@pytest.fixture(autouse=True)
def cloudformation(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stubber]:
    """The handler's client of CloudFormation, with the answers of a test, in order."""
    yield from _stub(monkeypatch, "cloudformation")


@pytest.fixture
def glue(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stubber]:
    """The handler's client of Glue, with the answers of a test, in order."""
    yield from _stub(monkeypatch, "glue")


@pytest.fixture
def stepfunctions(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stubber]:
    """The handler's client of Step Functions, with the answers of a test, in order."""
    yield from _stub(monkeypatch, "stepfunctions")


@pytest.fixture
def new_stack(cloudformation: Stubber, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stack that is being created, however often the handler reads its status."""

    class CloudFormation:
        def describe_stacks(self, StackName: str) -> Any:  # noqa: N803 - the API's name
            return {"Stacks": [{"StackName": StackName, "StackStatus": "CREATE_IN_PROGRESS"}]}

    monkeypatch.setattr(batch_segment_handler.clients, "cloudformation", CloudFormation)


@pytest.fixture
def s3(local_aws: LocalAws, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The handler's client of S3, with the local AWS as its endpoint."""
    client = boto3.client(
        "s3",
        endpoint_url=local_aws.endpoint_url,
        region_name="us-east-1",
        aws_access_key_id=local_aws.access_key,
        aws_secret_access_key=local_aws.secret_key,
    )
    monkeypatch.setattr(batch_segment_handler.clients, "s3", lambda: client)
    return client


@pytest.fixture
def bucket(s3: Any) -> str:
    name = f"queries-{uuid.uuid4().hex[:12]}"
    s3.create_bucket(Bucket=name)
    return name


@pytest.fixture
def put(s3: Any, bucket: str) -> Any:
    def put(key: str, content: bytes) -> None:
        s3.put_object(Bucket=bucket, Key=key, Body=content)

    return put


@pytest.fixture
def requests(s3: Any) -> list[tuple[str, dict[str, Any]]]:
    """The requests to S3 from now on: operation and parameters."""
    sent: list[tuple[str, dict[str, Any]]] = []

    def note(params: dict[str, Any], model: Any, **_: Any) -> None:
        sent.append((model.name, dict(params)))

    s3.meta.events.register("provide-client-params.s3.*", note)
    return sent


@pytest.fixture
def stubbed(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stubber]:
    """The handler's client of S3, with the answers of a test, in order."""
    yield from _stub(monkeypatch, "s3")


class Clock:
    """The handler's clock. It advances while the handler sleeps, or when a test sets it.

    Attributes:
        now: The time in seconds.
        sleeps: How long the handler slept each time.
        jitter: The random part of each wait, from 0 to 1.
    """

    def __init__(self) -> None:
        self.now = 1000.0
        self.sleeps: list[float] = []
        self.jitter = 1.0

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.now += seconds

    def uniform(self, low: float, high: float) -> float:
        return low + self.jitter * (high - low)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The handler's clock, on which sleeping takes no time."""
    clock = Clock()
    for module in (audiences, handler, results, retries, runs, watcher, workflow):
        monkeypatch.setattr(module, "time", clock)
    monkeypatch.setattr(retries, "random", clock)
    return clock


@pytest.fixture(autouse=True)
def _no_event_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_segment_handler.log, "_bound", {})


@pytest.fixture
def log(capsys: pytest.CaptureFixture[str]) -> Callable[[], list[dict[str, Any]]]:
    """Reads the log lines written so far, without stack, resource and metrics."""
    context = {"Stack", "Resource", "_aws", *batch_segment_handler.log.METRICS.values()}

    def read() -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        return [{key: value for key, value in line.items() if key not in context} for line in lines]

    return read


@pytest.fixture
def metrics(capsys: pytest.CaptureFixture[str]) -> Callable[[], list[tuple[str, int, dict[str, Any]]]]:
    """Reads the metrics written so far: name, value, and the dimensions with their values."""

    def read() -> list[tuple[str, int, dict[str, Any]]]:
        found = []
        for line in map(json.loads, capsys.readouterr().out.splitlines()):
            for directive in line.get("_aws", {}).get("CloudWatchMetrics", []):
                (dimensions,) = directive["Dimensions"]
                (metric,) = directive["Metrics"]
                found.append((metric["Name"], line[metric["Name"]], {name: line[name] for name in dimensions}))
        return found

    return read
