"""docs/lifecycle.md says what the tests prove."""

import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "lifecycle.md").read_text()


def test_every_test_that_the_page_names_is_there() -> None:
    sources = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    named = set(re.findall(r"`(test_\w+)`", PAGE))
    assert len(named) > 15
    assert [name for name in sorted(named) if f"def {name}(" not in sources] == []


def test_every_scenario_is_in_the_page_with_what_it_ends_with_and_costs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "tests" / "deploy"))
    monkeypatch.delitem(sys.modules, "test_failures", raising=False)
    import test_failures

    rows = [tuple(cell.strip() for cell in line.split("|")[1:5]) for line in PAGE.splitlines() if line.count("|") == 6]
    expected = [
        (*scenario.name.split(": ", 1), scenario.status, str(scenario.bill)) for scenario in test_failures.SCENARIOS
    ]
    assert [row for row in rows if row[0] in ("create", "replace", "tags")] == expected
