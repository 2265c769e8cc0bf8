"""The command line of the check."""

import argparse
import contextlib
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..data_options import add_data_option, load_data
from ..errors import QueryError, UsageError
from ..help_texts import add_command

if TYPE_CHECKING:
    from batch_segment_handler.queries import QueryReport

    from ..own_data.reach import Reach
    from .inputs import Input

# Functions import the modules of the handler, which the other commands do not need.

_ROWS = 20
_NOTES = """\
Requires no running local AWS.

exit codes:
  0  the queries are valid, and with --data each reaches a user
  1  a query is invalid, or its segment would be empty
  2  the command line or the data is invalid
"""


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the command."""
    parser = add_command(
        commands,
        "check",
        "Checks query files as the deployment does, and with --data against your data.",
        ["personalize-local check queries.jsonl", "personalize-local check queries.jsonl --data data --rows 5"],
        notes=_NOTES,
    )
    parser.add_argument(
        "queries",
        nargs="+",
        metavar="QUERIES",
        help="files of JSON Lines, - for stdin, or s3:// paths of objects or of prefixes that end with /",
    )
    add_data_option(parser)
    parser.add_argument("--json", action="store_true", help="print the result as JSON")
    parser.add_argument(
        "--rows", type=int, metavar="N", help=f"show the reach of N queries (default: {_ROWS}, or all as JSON)"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Checks the queries and prints the result.

    Returns:
        The exit code.

    Raises:
        UsageError: An input cannot be read, or the data or the filter is invalid.
    """
    from batch_segment_handler.expressions import filter_placeholders

    from .inputs import open_inputs

    if options.rows is not None and options.rows < 0:
        raise UsageError(f"--rows: got {options.rows}, expected 0 or more")
    for name in options.queries:
        if name.lower().endswith(".csv"):
            raise UsageError(f"check: got {name!r}, expected JSON Lines: `cdk synth` checks a spreadsheet of audiences")
    placeholders = None if options.filter is None else filter_placeholders(options.filter)
    with open_inputs(options.queries) as inputs, contextlib.ExitStack() as stack:
        checked = _check(inputs, placeholders)
        reach = None
        # Invalid lines have no reach.
        if options.data is not None and not checked.fault_count:
            data = stack.enter_context(load_data(options.data))
            try:
                user_filter = None if options.filter is None else data.filter(options.filter)
            except QueryError as error:
                raise UsageError(f"--filter: {error}") from error
            assert checked.kind is not None
            reach = data.reach([one.path for one in inputs], checked.kind, user_filter)
        _print(options, checked, reach, [one.name for one in inputs])
        return 1 if checked.fault_count or (reach is not None and reach.problems) else 0


def _check(inputs: "Sequence[Input]", placeholders: dict[str, bool] | None) -> "QueryReport":
    from batch_segment_handler.queries import check_queries

    from ..display import printable

    with contextlib.ExitStack() as stack:
        files = ((printable(one.name), stack.enter_context(one.path.open("rb"))) for one in inputs)
        return check_queries(files, placeholders=placeholders)


def _print(options: argparse.Namespace, checked: "QueryReport", reach: "Reach | None", names: Sequence[str]) -> None:
    from . import report

    try:
        if options.json:
            report.write_json(sys.stdout, checked, reach, names, options.rows)
        else:
            report.print_tables(checked, reach, names, _ROWS if options.rows is None else options.rows)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader, for example `head`, closed the pipe. Python would print the same error again at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
