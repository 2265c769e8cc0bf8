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
    """One more than there are cores: deployments mostly wait for the CDK CLI, which looks every five seconds."""
    if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ:
        return None
    return (len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1) + 1


@pytest.fixture(scope="session")
def local_aws() -> Iterator[LocalAws]:
    """The one local AWS of a test run; it is in this process, and tests may look at its jobs."""
    # Waits are counted and not timed, and nothing here needs time: two minutes pass at once.
    with LocalAws(wait_scale=0.0005) as aws:
        yield aws


@pytest.fixture(scope="session")
def aws(local_aws: LocalAws) -> LocalAws:
    """The local AWS, bootstrapped for the CDK."""
    local_aws.bootstrap()
    return local_aws


@pytest.fixture(scope="session")
def client(aws: LocalAws) -> Clients:
    """Makes clients of the local AWS, as the account's root."""
    session = boto3.Session(
        aws_access_key_id=aws.access_key, aws_secret_access_key=aws.secret_key, region_name=aws.region
    )
    # The overloads of boto3's stubs take literals. A client takes about 0.1 seconds to create.
    return functools.cache(lambda service: session.client(service, endpoint_url=aws.endpoint_url))


@pytest.fixture
def faults(aws: LocalAws) -> Iterator[Faults]:
    """The local service's faults, none before the test and none after it."""
    yield aws.faults
    aws.faults.clear()
