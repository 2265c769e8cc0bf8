import functools
from collections.abc import Callable
from typing import Any

import pytest
from personalize_local.gateway import LocalAws
from policy.examples import Example


@pytest.fixture(autouse=True)
def jobs_take_no_time(aws: LocalAws, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a job may is looked at here, not how long it takes."""
    monkeypatch.setattr(aws.personalize, "pending_seconds", 0)
    monkeypatch.setattr(aws.personalize, "in_progress_seconds", 0)


@pytest.fixture(scope="session")
def deployed(aws: LocalAws, client: Callable[[str], Any]) -> Callable[[Any], Example]:
    """Deploys an example, once."""
    return functools.cache(lambda example: Example(aws, client, example))
