"""Prints what the library costs, as ratios from one run: ``make bench``."""

import os
import platform

import synth
from rich.console import Console
from rich.table import Table

os.environ["CDK_VALIDATION"] = "false"


def main() -> None:
    """Runs every benchmark."""
    table = Table(title=f"Python {platform.python_version()}, {os.cpu_count()} cores")
    for column in ("what", "measured", "at most"):
        table.add_column(column)
    for row in synth.run():
        table.add_row(*row)
    Console().print(table)


if __name__ == "__main__":
    main()
