"""docs/lifecycle.md and docs/runs.md match the scenarios in the tests."""

import re
from pathlib import Path

import pytest
from deploy.run_scenarios import RUN_SCENARIOS
from deploy.scenarios import SCENARIOS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "lifecycle.md").read_text()
RUNS_PAGE = (ROOT / "docs" / "runs.md").read_text()


@pytest.mark.parametrize(("page", "minimum"), [(PAGE, 16), (RUNS_PAGE, 3)], ids=["lifecycle", "runs"])
def test_every_test_that_a_page_names_exists(page: str, minimum: int) -> None:
    sources = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    named = set(re.findall(r"`(test_\w+)`", page))
    assert len(named) >= minimum
    assert [name for name in sorted(named) if f"def {name}(" not in sources] == []


def test_the_page_lists_every_scenario_of_a_deployment() -> None:
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


def test_the_page_lists_every_scenario_of_a_run() -> None:
    rows = [line.split("|")[1:6] for line in RUNS_PAGE.splitlines() if line.count("|") == 6]
    expected = [
        [
            scenario.name,
            str(scenario.failed) if scenario.is_prepared else "the run",
            str(scenario.bill),
            str(scenario.in_the_end),
            message(scenario.says),
        ]
        for scenario in RUN_SCENARIOS
    ]
    assert [[cell.strip() for cell in row] for row in rows[2:]] == expected


def message(text: str) -> str:
    """Returns a part of a message as the page shows it."""
    return text and f"`{text.strip()}`"
