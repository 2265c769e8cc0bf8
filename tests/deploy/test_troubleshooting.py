"""docs/troubleshooting.md: each error on the page is provoked, and its message has the lines on the page.

The tests read the page: its level-3 headings are the failures, and the error message must have the lines of the
indented block below the heading.
"""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from deploy.provocations import PROVOKE, World
from personalize_local.faults import Faults
from personalize_local.gateway import LocalAws
from support.cdk_cli import Cdk
from support.local import Clients
from support.stacks import RealStack

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "troubleshooting.md").read_text()
#: The expected lines of each failure, by its heading.
SECTIONS = {
    title: [line.strip() for line in block.splitlines()]
    for title, block in re.findall(r"^### (.+)\n\n((?: {4}.+\n)+)\n\*\*Cause:\*\* ", PAGE, re.M)
}


@pytest.fixture
def world(
    aws: LocalAws,
    client: Clients,
    stack: RealStack,
    cdk: Callable[..., Cdk],
    faults: Faults,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> World:
    return World(aws, client, stack, cdk, faults, monkeypatch, tmp_path)


def test_provokes_every_failure_of_the_page() -> None:
    assert list(SECTIONS) == re.findall(r"^### (.+)$", PAGE, re.M)
    assert list(SECTIONS) == list(PROVOKE)


def test_every_failure_has_a_fix() -> None:
    for section in re.split(r"^### ", PAGE, flags=re.M)[1:]:
        assert section.count("**Cause:**") == section.count("**Fix:**") == 1


@pytest.mark.parametrize("title", SECTIONS)
def test_the_error_has_the_lines_of_the_page(title: str, world: World) -> None:
    said = " ".join(PROVOKE[title](world).split())
    for words in SECTIONS[title]:
        assert words in said
