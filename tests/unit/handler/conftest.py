import json
from collections.abc import Callable, Iterator
from typing import Any

import batch_segment_handler.clients
import batch_segment_handler.failures
import batch_segment_handler.log
import boto3
import pytest
from botocore.config import Config
from botocore.stub import Stubber
from personalize_local.gateway import LocalAws


@pytest.fixture
def personalize(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stubber]:
    """The handler's client, answering what a test says, in order, and nothing else."""
    client = boto3.client(
        "personalize",
        region_name="eu-west-1",
        aws_access_key_id="key",
        aws_secret_access_key="secret",
        config=Config(retries={"total_max_attempts": 1}),
    )
    monkeypatch.setattr(batch_segment_handler.clients, "personalize", lambda: client)
    with Stubber(client) as stubber:
        yield stubber
        stubber.assert_no_pending_responses()


@pytest.fixture(autouse=True)
def cloudformation(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stubber]:
    """The handler's client of CloudFormation, answering what a test says and nothing else."""
    client = boto3.client(
        "cloudformation", region_name="eu-west-1", aws_access_key_id="key", aws_secret_access_key="secret"
    )
    monkeypatch.setattr(batch_segment_handler.clients, "cloudformation", lambda: client)
    with Stubber(client) as stubber:
        yield stubber
        stubber.assert_no_pending_responses()


@pytest.fixture
def s3(local_aws: LocalAws, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The handler's client of S3, which is that of the local AWS."""
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
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long the handler slept each time; it really does not."""
    slept: list[float] = []
    monkeypatch.setattr(batch_segment_handler.failures.time, "sleep", slept.append)
    return slept


@pytest.fixture(autouse=True)
def _no_event_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_segment_handler.log, "_about", {})


@pytest.fixture
def log(capsys: pytest.CaptureFixture[str]) -> Callable[[], list[dict[str, Any]]]:
    """Reads the log lines written so far, without what says whose they are and without metrics."""
    context = {"Stack", "Resource", "_aws", *batch_segment_handler.log.METRICS.values()}

    def read() -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        return [{key: value for key, value in line.items() if key not in context} for line in lines]

    return read
