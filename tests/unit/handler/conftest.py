import json
from collections.abc import Iterator

import batch_segment_handler.failures
import batch_segment_handler.job
import batch_segment_handler.staging
import boto3
import pytest
from botocore.config import Config
from botocore.stub import Stubber


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
    monkeypatch.setattr(batch_segment_handler.job, "personalize", lambda: client)
    with Stubber(client) as stubber:
        yield stubber
        stubber.assert_no_pending_responses()


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long the handler slept each time; it really does not."""
    slept: list[float] = []
    monkeypatch.setattr(batch_segment_handler.failures.time, "sleep", slept.append)
    return slept


@pytest.fixture
def log(capsys: pytest.CaptureFixture[str]):
    """Reads the log lines written so far."""
    return lambda: [json.loads(line) for line in capsys.readouterr().out.splitlines()]
