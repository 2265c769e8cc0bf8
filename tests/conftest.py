from collections.abc import Iterator

import pytest
from personalize_local.gateway import LocalAws


@pytest.fixture(scope="session")
def local_aws() -> Iterator[LocalAws]:
    """The one local AWS of a test run; it is in this process, and tests may look at its jobs."""
    with LocalAws() as aws:
        yield aws
