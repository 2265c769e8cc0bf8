import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from personalize_local.gateway import LocalAws
from support.cdk_cli import ROOT, Cdk
from support.local import Clients
from support.stacks import RealStack


@pytest.fixture
def stack(aws: LocalAws, client: Clients, request: pytest.FixtureRequest) -> RealStack:
    """A stack for this test only, deployed without the CLI."""
    digest = hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:8]
    return RealStack(aws, client, f"Test{digest}")


@pytest.fixture
def cdk(aws: LocalAws, tmp_path: Path) -> Callable[..., Cdk]:
    """Creates CLIs for apps, with the feature flags of this project's ``cdk.json``."""

    def make(app: str, stack: str) -> Cdk:
        (tmp_path / "cdk.json").write_text((ROOT / "cdk.json").read_text())
        return Cdk(aws, tmp_path, app, stack)

    return make


@pytest.fixture
def train(aws: LocalAws) -> Iterator[Callable[[], str]]:
    """Trains the solution of the recipe Item-Attribute-Affinity. Deletes the new versions after the test."""
    before = aws.personalize.catalog.versions
    yield lambda: aws.train("films-item-attribute-affinity")
    aws.personalize.catalog.versions = before
