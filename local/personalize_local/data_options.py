"""The options of commands that use the user's own data. Its modules are imported only if `--data` is given."""

import argparse
import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from .display import SCORING, print_message
from .errors import QueryError, UsageError

if TYPE_CHECKING:
    from .own_data.engine import OwnData
    from .own_data.stand_in import OwnDataStandIn

_DATA = "a folder with interactions.csv, and optionally items.csv and users.csv, in the format that Personalize imports"


def add_data_option(parser: argparse.ArgumentParser) -> None:
    """Adds `--data` and `--filter`."""
    parser.add_argument("--data", type=Path, metavar="FOLDER", help=_DATA)
    parser.add_argument("--filter", metavar="EXPRESSION", help="a filter expression for the users in that data")


def load_stand_in(options: argparse.Namespace) -> "OwnDataStandIn | None":
    """Loads the data that the options name.

    Returns:
        The stand-in, or None without `--data`.

    Raises:
        UsageError: Personalize does not accept the data or the filter.
    """
    if options.data is None:
        if options.filter is not None:
            raise UsageError("--filter: got a filter without --data, expected both")
        return None
    data = load_data(options.data)
    from .own_data.stand_in import OwnDataStandIn

    try:
        return OwnDataStandIn(data, options.filter)
    except QueryError as error:
        data.close()
        raise UsageError(f"--filter: {error}") from error


def load_data(folder: Path) -> "OwnData":
    """Loads a folder and shows the progress.

    Raises:
        UsageError: Personalize does not accept the data.
    """
    try:
        from .own_data.engine import OwnData
    except ModuleNotFoundError as error:
        raise UsageError(
            f"--data: {error.name} is missing; install it: pip install 'cdk-personalize-segments[local]'"
        ) from error
    with _progress(f"loading {folder}") as progress:
        data = OwnData.load(folder, progress)
    catalog = data.catalog
    print_message(
        f"loaded {catalog.interaction_count:,} interactions, {catalog.item_count:,} items and {catalog.user_count:,} "
        f"users; segments are {SCORING}"
    )
    return data


@contextlib.contextmanager
def _progress(description: str) -> Iterator[Callable[[str, float], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    is_interactive = console.is_terminal and not console.is_dumb_terminal
    columns = [TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn()]
    with Progress(*columns, console=console, transient=True, disable=not is_interactive) as bar:
        if not is_interactive:
            print_message(description)
        task = bar.add_task(description, total=1)
        yield lambda step, share: bar.update(task, description=step, completed=share)
