"""The pytest plugin of `make test-pythons`, for the Python versions on which only a part of the tests runs.

It leaves out tests that an interpreter cannot run, and long tests whose result depends on no version. It lists the
files that it leaves out, and fails the run if fewer tests than ``--at-least`` pass.
"""

import importlib.util
import re
import sys
from pathlib import Path

import pytest

_IMPORTS_CDK = re.compile(
    r"^(?:from|import) (?:aws_cdk|cdk_personalize_segments|support\.(?:stacks|templates|segments|custom_resources))\b",
    re.MULTILINE,
)
# Staging uploads the parts of an object from threads.
_STARTS_THREADS = {"test_staging.py"}
_left_out: dict[str, str] = {}
_passed: list[str] = []


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the option ``--at-least``."""
    parser.addoption("--at-least", type=int, default=1, metavar="N", help="fail if fewer than N tests pass")


def pytest_configure() -> None:
    """Reduces Hypothesis to a quarter of the examples. `make test` runs all of them on one version."""
    if sys.platform == "emscripten":
        # Hypothesis has compiled parts, so Pyodide lacks it. No test that runs there needs it.
        return
    import hypothesis

    hypothesis.settings.register_profile("other_pythons", max_examples=25)
    hypothesis.settings.load_profile("other_pythons")


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Leaves out the files that cannot run: those that import CDK where it is not installed, and threads in Pyodide."""
    name = collection_path.name
    if not re.fullmatch(r"test_.*\.py", name):
        return None
    if sys.platform == "emscripten" and name in _STARTS_THREADS:
        _left_out[name] = "starts threads"
    elif not importlib.util.find_spec("aws_cdk") and _IMPORTS_CDK.search(collection_path.read_text()):
        _left_out[name] = "imports CDK"
    else:
        return None
    return True


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselects tests marked ``exhaustive``, and tests that use the local AWS, which runs in a thread."""
    deselected = [
        item
        for item in items
        if "local_aws" in getattr(item, "fixturenames", ()) or item.get_closest_marker("exhaustive")
    ]
    config.hook.pytest_deselected(items=deselected)
    items[:] = [item for item in items if item not in deselected]


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Counts the tests that pass."""
    if report.when == "call" and report.passed:
        _passed.append(report.nodeid)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fails a run in which too few tests passed."""
    if not hasattr(session.config, "workerinput") and len(_passed) < session.config.getoption("at_least"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Lists the files that were left out, and reports if too few tests passed."""
    for name, reason in sorted(_left_out.items()):
        terminalreporter.write_line(f"left out: {name} {reason}")
    expected = config.getoption("at_least")
    if len(_passed) < expected:
        terminalreporter.write_line(f"{len(_passed)} tests passed, expected at least {expected}", red=True)
