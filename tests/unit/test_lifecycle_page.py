"""docs/lifecycle.md says what the tests prove."""

import re
from pathlib import Path

from deploy.scenarios import SCENARIOS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "lifecycle.md").read_text()


def test_every_test_that_the_page_names_exists() -> None:
    sources = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    named = set(re.findall(r"`(test_\w+)`", PAGE))
    assert len(named) > 15
    assert [name for name in sorted(named) if f"def {name}(" not in sources] == []


def test_the_page_lists_every_scenario_with_its_outcome_cost_and_message() -> None:
    rows = [tuple(cell.strip() for cell in line.split("|")[1:6]) for line in PAGE.splitlines() if line.count("|") == 6]
    expected = [
        (*scenario.name.split(": ", 1), scenario.status, str(scenario.bill), message(scenario.says))
        for scenario in SCENARIOS
    ]
    assert [row for row in rows if row[0] in ("create", "replace", "tags")] == expected


def test_every_scenario_that_the_page_names_elsewhere_exists() -> None:
    named = re.findall(r"`(replace: [^`]+)`", PAGE)
    assert len(named) == 1
    assert set(named) - {scenario.name for scenario in SCENARIOS} == set()


def message(text: str) -> str:
    """A part of a message as the page shows it."""
    return text and f"`{text.strip()}`"
