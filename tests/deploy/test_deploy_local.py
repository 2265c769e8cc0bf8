"""What ``make deploy-local`` runs: the app with the real CDK CLI on a local AWS of its own."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from personalize_local.display import SCORING

from docs import pages

SCRIPT = pages.ROOT / "tools" / "deploy-local"
TOOL = Path(sys.executable).with_name("personalize-local")


def test_shows_its_progress_and_the_table_of_the_readme() -> None:
    (table,) = [snippet.code for snippet in pages.snippets(pages.ROOT / "README.md") if snippet.language == "text"]
    environment = {**os.environ, "COLUMNS": "80"}
    ran = subprocess.run([TOOL, "run", "--", SCRIPT], env=environment, capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stderr
    progress, deploying, job, path, *shown = [line.rstrip() for line in ran.stdout.splitlines()]
    assert [progress, deploying] == [
        "synthesizing the stack of app.py",
        "deploying the stack and waiting for its job",
    ]
    assert re.fullmatch(r"PersonalizeS-\S+-Job-\S+ ACTIVE", job)
    assert re.fullmatch(rf"s3://\S+/segments/{job.split()[0]}/", path)
    assert shown == [*table.splitlines(), SCORING]
    # The messages of personalize-local are all that there is on stderr.
    assert [line.partition(":")[0] for line in ran.stderr.splitlines()] == ["personalize-local"] * 3


@pytest.mark.parametrize(("arguments", "code"), [(["--help"], 0), (["--quiet"], 2), (["--verbose", "deploy"], 2)])
def test_shows_its_usage(arguments: list[str], code: int) -> None:
    ran = subprocess.run([SCRIPT, *arguments], capture_output=True, text=True, timeout=60)
    assert ran.returncode == code
    assert ran.stdout + ran.stderr == "usage: tools/deploy-local [--verbose] [-c NAME=VALUE]…\n"
