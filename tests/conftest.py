import functools
import os
from collections.abc import Iterator

import boto3
import pytest
from personalize_local.faults import Faults
from personalize_local.gateway import LocalAws
from policy.summary import pytest_terminal_summary  # noqa: F401 - pytest finds hooks only in this file
from support.local import Clients


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int | None:
    """Starts one worker more than there are cores: deployments mostly wait for the CDK CLI, which polls slowly."""
    if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ:
        return None
    return (len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1) + 1


@pytest.fixture(scope="session")
def local_aws() -> Iterator[LocalAws]:
    """The local AWS of a test run. It runs in this process, so that tests can inspect its jobs."""
    # The handler counts its waits, so they can be scaled: two minutes pass at once.
    with LocalAws(wait_scale=0.0005) as aws:
        yield aws


@pytest.fixture(scope="session")
def aws(local_aws: LocalAws) -> LocalAws:
    """The local AWS with the resources of `cdk bootstrap`."""
    local_aws.bootstrap()
    return local_aws


@pytest.fixture(scope="session")
def client(aws: LocalAws) -> Clients:
    """Creates clients of the local AWS with the root user's credentials."""
    session = boto3.Session(
        aws_access_key_id=aws.access_key, aws_secret_access_key=aws.secret_key, region_name=aws.region
    )
    # The overloads in boto3's stubs expect literals. Clients are cached: creating one takes about 0.1 seconds.
    return functools.cache(lambda service: session.client(service, endpoint_url=aws.endpoint_url))


@pytest.fixture
def faults(aws: LocalAws) -> Iterator[Faults]:
    """The faults of the local Personalize, cleared before and after the test."""
    yield aws.faults
    aws.faults.clear()
