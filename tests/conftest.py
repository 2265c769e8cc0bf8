from collections.abc import Iterator

import pytest
from personalize_local.gateway import LocalAws


@pytest.fixture(scope="session")
def local_aws() -> Iterator[LocalAws]:
    """The one local AWS of a test run; it is in this process, and tests may look at its jobs."""
    # Waits are counted and not timed, and nothing here needs time: two minutes pass at once.
    with LocalAws(wait_scale=0.0005) as aws:
        yield aws
