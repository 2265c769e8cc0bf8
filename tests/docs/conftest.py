"""Fixtures of the tests of the documentation."""

import subprocess
import sys
from pathlib import Path

import pytest

from docs import pages


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The documentation, built without a warning."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-n", "-q", "-b", "html"]
    built = subprocess.run([*command, str(pages.DOCS), str(folder)], capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    return folder
