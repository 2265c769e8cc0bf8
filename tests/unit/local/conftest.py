from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config
from personalize_local.gateway import LocalAws
from support import wait_until
from unit.local.job_fixture import JobFixture


@pytest.fixture(scope="session")
def client(local_aws: LocalAws) -> Callable[..., Any]:
    """Makes clients of the local AWS, with the root user's credentials by default."""
    session: Any = boto3.Session(region_name=local_aws.region)

    def make(service: str, config: Config | None = None, **credentials: str) -> Any:
        root = {"aws_access_key_id": local_aws.access_key, "aws_secret_access_key": local_aws.secret_key}
        config = Config(retries={"total_max_attempts": 1}).merge(config or Config())
        return session.client(service, endpoint_url=local_aws.endpoint_url, config=config, **{**root, **credentials})

    return make


@pytest.fixture
def jobs(client: Callable[..., Any], local_aws: LocalAws) -> Iterator[JobFixture]:
    yield JobFixture(client, local_aws)
    # The next test starts with no job in flight, because only five can be.
    wait_until(lambda: not any(job.in_flight for job in local_aws.personalize.jobs.values()))
