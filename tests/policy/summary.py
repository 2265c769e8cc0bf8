"""The summary of the permission tests at the end of a test run."""

from collections import Counter

import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Prints the counts. Tests record them as properties, which xdist's workers report too."""
    counted: Counter[str] = Counter()
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport) and report.when == "call" and "/policy/" in report.nodeid:
                counted.update({name: number for name, number in report.user_properties if isinstance(number, int)})
    if not counted:
        return
    terminalreporter.section("permissions")
    kinds = ("actions", "resources", "principals", "conditions")
    removed = {kind: counted[f"{kind} removed"] for kind in kinds}
    if any(removed.values()):
        listed = ", ".join(f"{number} {kind}" for kind, number in removed.items())
        terminalreporter.write_line(
            f"{sum(removed.values())} permissions removed ({listed}): {counted['missed']} broke a path; "
            f"{counted['unproven']} more cannot be tested on the local AWS"
        )
    if counted["refused"]:
        terminalreporter.write_line(f"{counted['refused']} calls denied, {counted['allowed']} allowed")
