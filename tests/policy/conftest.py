import functools

import pytest
from personalize_local.gateway import LocalAws
from policy.examples import Deployments, Example
from policy.workflow_examples import WorkflowExample
from support.local import Clients


@pytest.fixture(autouse=True)
def jobs_take_no_time(aws: LocalAws, monkeypatch: pytest.MonkeyPatch) -> None:
    """These tests examine permissions, not durations."""
    monkeypatch.setattr(aws.personalize, "pending_seconds", 0)
    monkeypatch.setattr(aws.personalize, "in_progress_seconds", 0)


@pytest.fixture(scope="session")
def deployed(aws: LocalAws, client: Clients) -> Deployments:
    """Deploys an example, once."""
    return functools.cache(lambda example: Example(aws, client, example))


@pytest.fixture(scope="session")
def deployed_workflow(aws: LocalAws, client: Clients) -> WorkflowExample:
    """Deploys the workflow, once."""
    return WorkflowExample(aws, client)
