"""What a test run says at its end about permissions."""

from collections import Counter

import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Says how much was proven; tests record it, so that it arrives from the processes of xdist as well."""
    counted: Counter[str] = Counter()
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport) and report.when == "call" and "/policy/" in report.nodeid:
                counted.update({name: number for name, number in report.user_properties if isinstance(number, int)})
    if not counted:
        return
    terminalreporter.section("permissions")
    kinds = ("actions", "resources", "principals", "conditions")
    taken_away = {kind: counted[f"{kind} taken away"] for kind in kinds}
    if any(taken_away.values()):
        listed = ", ".join(f"{number} {kind}" for kind, number in taken_away.items())
        terminalreporter.write_line(
            f"{sum(taken_away.values())} permissions taken away ({listed}), {counted['missed']} missed; "
            f"{counted['unproven']} cannot be proven here"
        )
    if counted["refused"]:
        terminalreporter.write_line(f"{counted['refused']} attempts refused, {counted['allowed']} allowed")
