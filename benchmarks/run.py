"""Measures the costs of the library as ratios from one run, and writes them to results.md: ``make bench``.

To run one benchmark: ``python benchmarks/run.py queries``. It needs the packages in benchmarks/requirements.txt.
"""

import os
import platform
import re
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import own_data
import queries
import staging
import synth
import workflow
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).with_name("results.md")
os.environ["CDK_VALIDATION"] = "false"


def deploy_local() -> list[synth.Row]:
    """Measures ``make deploy-local`` with everything installed."""
    started = time.perf_counter()
    subprocess.run(["make", "deploy-local"], cwd=ROOT, check=True, capture_output=True)
    return [("make deploy-local, everything installed", f"{time.perf_counter() - started:.0f} s", "≤ 40 s")]


MEASURES = {
    "synth": synth.run,
    "deploy-local": deploy_local,
    "queries": queries.run,
    "staging": staging.run,
    "own-data": own_data.run,
    "workflow": workflow.run,
}


def main(names: list[str]) -> None:
    """Runs the named benchmarks, or all, and replaces their sections in results.md."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("aws-cdk-lib", "constructs", "boto3"))
    title = f"Python {platform.python_version()}, {os.cpu_count()} cores, {platform.machine()}; {packages}"
    sections = dict(re.findall(r"^## (\S+)\n(.*?)(?=^## |\Z)", RESULTS.read_text(), re.M | re.S))
    table = Table("what", "measured", "expected", title=title)
    with Console().status("measuring, a few minutes"):
        for name in names or MEASURES:
            lines = [f"\n{title}\n", "| what | measured | expected |", "|---|---|---|"]
            for what, measured, expected in MEASURES[name]():
                table.add_row(what, measured, expected)
                lines.append(f"| {what.strip()} | {measured} | {expected} |")
            sections[name] = "\n".join(lines) + "\n\n"
    Console().print(table)
    text = "\n\n".join(f"## {name}\n{sections[name].rstrip()}" for name in MEASURES if name in sections)
    RESULTS.write_text(f"# Benchmarks\n\n{text}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
