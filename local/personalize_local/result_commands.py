"""The commands that read a running local AWS: `status`, `segments` and `run-schedule`."""

import argparse
import datetime
import re
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from . import audience_results, control_client, display, job_results, stack_failures
from .display import print_message
from .errors import UsageError
from .segment_export import SegmentExport

Row = TypeVar("Row")

# Modules that start slowly are imported by the functions that need them.

# A longer table of `status` shows only what is not complete or has failures.
_MAX_ROWS = 20


def run_schedule(options: argparse.Namespace) -> int:
    """Runs a schedule now.

    Returns:
        The exit code.

    Raises:
        UsageError: There is no such schedule, or the local AWS cannot be reached.
    """
    if options.at is not None and not _is_time(options.at):
        raise UsageError(f"--at: got {options.at!r}, expected a time like 2026-11-30T03:00:00Z")
    with job_results.connect("run-schedule"):
        fired = control_client.call("RunSchedule", name=options.name, at=options.at)
    print_message(f"fired with the scheduled time {fired['at']}")
    return 0


def _is_time(text: str) -> bool:
    try:
        return bool(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", text) and datetime.datetime.fromisoformat(text))
    except ValueError:
        return False


def status(options: argparse.Namespace) -> int:
    """Prints runs, audiences and jobs. Without a job, prints why the newest stack failed.

    Returns:
        The exit code.

    Raises:
        UsageError: The local AWS cannot be reached.
    """
    from rich.console import Console

    console = Console()
    with job_results.connect("status") as (personalize, s3):
        has_runs = _print_runs(console, options.names)
        rows = []
        for job in job_results.list_jobs(personalize, options.names):
            reason = job.get("failureReason") or ""
            if job["status"] == "ACTIVE":
                reason = job_results.summarize_query_errors(s3, job_results.describe_job(personalize, job))
            rows.append((job["jobName"], job["status"], reason))
        if rows:
            shown, hidden = _shorten(rows, options.names, lambda row: row[1:] == ("ACTIVE", ""))
            _print_table(console, display.job_table(shown), shown, display.count(hidden, "job"), hidden)
        elif not has_runs:
            console.print(display.no_jobs(options.names))
            _print_stack_failures(console)
    return 0


def _shorten(rows: list[Row], names: Sequence[str], is_fine: Callable[[Row], bool]) -> tuple[list[Row], int]:
    """Returns the rows to show, and the number of the others."""
    if names or len(rows) <= _MAX_ROWS:
        return rows, 0
    shown = [row for row in rows if not is_fine(row)]
    return shown, len(rows) - len(shown)


def _print_table(console: Any, table: Any, rows: Sequence[object], others: str, hidden: int) -> None:
    if rows:
        console.print(table)
    if hidden:
        console.print(
            f"{others} without a failure {'is' if hidden == 1 else 'are'} not shown. To show one, pass its name."
        )


def _print_stack_failures(console: Any) -> None:
    import boto3

    stack, failures = stack_failures.list_failures(boto3.Session().client("cloudformation"))
    if failures:
        console.print(display.failure_table(stack, failures))


def _print_runs(console: Any, names: Sequence[str]) -> bool:
    """Prints runs and audiences, and returns whether there are any."""
    found = control_client.call("ListRuns")
    runs, audiences = (
        [row for row in found[kind] if not names or any(name in str(row.values()) for name in names)]
        for kind in ("runs", "audiences")
    )
    if runs:
        console.print(display.run_table(runs))
    shown, hidden = _shorten(
        audiences, names, lambda row: row["status"] == "SUCCEEDED" and row["queryErrors"] in ("", "none")
    )
    _print_table(console, display.audience_table(shown), shown, display.count(hidden, "audience"), hidden)
    return bool(runs or audiences)


def segments(options: argparse.Namespace) -> int:
    """Waits for jobs and audiences, and prints the first users of their segments.

    Returns:
        The exit code: 1 if the segments of a job cannot be read, so that an export is not complete.

    Raises:
        UsageError: An option is invalid, the local AWS cannot be reached, or an export cannot be written.
    """
    from rich.console import Console

    if options.users < 0:
        raise UsageError(f"--users: got {options.users}, expected 0 or more")
    console = Console()
    export = SegmentExport(options)
    with job_results.connect("segments") as (personalize, s3):
        audiences = audience_results.wait_for_audiences(options.names)
        are_read = [_print_audience(audience, s3, console, options.users, export) for audience in audiences]
        names = [name for name in options.names if name not in {audience["audience"] for audience in audiences}]
        jobs = job_results.wait_for_jobs(personalize, names) if names or not options.names else []
        are_read += [_print_job(job, s3, console, options.users, export) for job in jobs]
        if not jobs and not audiences:
            console.print(display.no_jobs(options.names))
    export.finish(console)
    return 0 if all(are_read) else 1


def _print_audience(audience: dict[str, Any], s3: Any, console: Any, limit: int, export: SegmentExport) -> bool:
    console.print(display.audience_line(audience))
    if audience["status"] != "SUCCEEDED":
        return True
    return _print_segments(audience["audience"], audience["outputUri"], s3, console, limit, export)


def _print_job(job: dict[str, Any], s3: Any, console: Any, limit: int, export: SegmentExport) -> bool:
    console.print(display.job_line(job))
    if job["status"] != "ACTIVE":
        return True
    return _print_segments(job["jobName"], job_results.output_path(job), s3, console, limit, export)


def _print_segments(name: str, path: str, s3: Any, console: Any, limit: int, export: SegmentExport) -> bool:
    """Prints segments, and returns whether they can be read."""
    from botocore.exceptions import ClientError

    console.print(display.safe_text(display.printable(path)), soft_wrap=True)
    try:
        kept = export.keep(name, job_results.read_segments_at(s3, path))
        for part in display.segment_tables((segment for _, segment in kept), limit):
            console.print(part)
    except (ClientError, ValueError) as error:
        # For example, the bucket was deleted with its stack, or another program wrote an object. Show the other jobs.
        console.print(display.safe_text(f"cannot read the segments: {display.printable(str(error))}"))
        return False
    return True
