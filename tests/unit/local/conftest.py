import http.client
import json
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config
from personalize_local.gateway import LocalAws
from support.local import wait_until
from unit.local.job_fixture import JobFixture
from unit.local.machine_fixture import MachineFixture
from unit.local.signed_requests import Answer


@pytest.fixture(scope="session")
def client(local_aws: LocalAws) -> Callable[..., Any]:
    """Creates clients of the local AWS, by default with the root user's credentials."""
    session: Any = boto3.Session(region_name=local_aws.region)

    def make(service: str, config: Config | None = None, **credentials: str) -> Any:
        root = {"aws_access_key_id": local_aws.access_key, "aws_secret_access_key": local_aws.secret_key}
        config = Config(retries={"total_max_attempts": 1}).merge(config or Config())
        return session.client(service, endpoint_url=local_aws.endpoint_url, config=config, **{**root, **credentials})

    return make


@pytest.fixture
def jobs(client: Callable[..., Any], local_aws: LocalAws) -> Iterator[JobFixture]:
    yield JobFixture(client, local_aws)
    # The next test starts without a job in flight: only five can run.
    wait_until(lambda: not any(job.in_flight for job in local_aws.personalize.jobs.values()))


@pytest.fixture
def caller(jobs: JobFixture, client: Callable[..., Any]) -> Callable[..., Any]:
    """Creates clients of a user with the given policy statements."""

    def make(*statements: dict[str, Any]) -> Any:
        name = f"user-{jobs.role_name}"
        jobs.iam.create_user(UserName=name)
        jobs.iam.put_user_policy(
            UserName=name,
            PolicyName="own",
            PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": list(statements)}),
        )
        key = jobs.iam.create_access_key(UserName=name)["AccessKey"]
        return client("personalize", aws_access_key_id=key["AccessKeyId"], aws_secret_access_key=key["SecretAccessKey"])

    return make


@pytest.fixture
def send(local_aws: LocalAws) -> Callable[..., Answer]:
    """Sends a request unchanged. Only a missing Host header is added."""

    def sent(method: str, target: str, headers: dict[str, str], body: str = "") -> Answer:
        connection = http.client.HTTPConnection(local_aws.endpoint_url.partition("://")[2], timeout=120)
        try:
            connection.request(method, target, body.encode(), headers)
            return Answer(connection.getresponse())
        finally:
            connection.close()

    return sent


@pytest.fixture
def roles(client: Callable[..., Any]) -> Callable[[], set[str]]:
    return lambda: {role["RoleName"] for role in client("iam").list_roles()["Roles"]}


@pytest.fixture
def machine(client: Callable[..., Any], local_aws: LocalAws) -> MachineFixture:
    return MachineFixture(client, local_aws)
