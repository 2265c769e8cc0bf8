"""Prints what the library costs, as ratios from one run, and writes it to results.md: ``make bench``.

Peers of the check of query files are measured if they are there: ``pip install orjson msgspec polars``.
"""

import os
import platform
import subprocess
import time
from importlib.metadata import version
from pathlib import Path

import queries
import staging
import synth
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).with_name("results.md")
os.environ["CDK_VALIDATION"] = "false"


def deploy_local() -> list[synth.Row]:
    """The whole of ``make deploy-local`` when everything is installed."""
    started = time.perf_counter()
    subprocess.run(["make", "deploy-local"], cwd=ROOT, check=True, capture_output=True)
    return [("make deploy-local, everything installed", f"{time.perf_counter() - started:.0f} s", "≤ 40 s")]


def main() -> None:
    """Runs every benchmark."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("aws-cdk-lib", "constructs", "boto3"))
    title = f"Python {platform.python_version()}, {os.cpu_count()} cores, {platform.machine()}; {packages}"
    table = Table(title=title)
    lines = [f"# Benchmarks\n\n{title}\n\n| what | measured | expected |\n|---|---|---|"]
    for column in ("what", "measured", "expected"):
        table.add_column(column)
    with Console().status("measuring, a few minutes"):
        for measure in (synth.run, deploy_local, queries.run, staging.run):
            for what, measured, expected in measure():
                table.add_row(what, measured, expected)
                lines.append(f"| {what.strip()} | {measured} | {expected} |")
    Console().print(table)
    RESULTS.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
