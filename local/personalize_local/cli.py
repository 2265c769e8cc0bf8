"""The command ``personalize-local``."""

import argparse
import importlib.metadata
import importlib.util
import os
import re
import subprocess
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from . import audience_results, control_client, data_options, display, job_results, process
from .check import command as check_command
from .display import print_message
from .errors import UsageError
from .segment_export import SegmentExport, add_export_options

if TYPE_CHECKING:
    from .gateway import LocalAws

# Modules that start slowly are imported by the commands that need them.

_DESCRIPTION = """\
An AWS on this machine with Amazon Personalize, for any CDK app.

MiniStack runs CloudFormation, S3, IAM, Step Functions and Lambda functions in one process. In front of
it, a local Personalize runs batch segment jobs over the objects in S3. IAM policies are enforced.
Segments come from counting interactions in a made-up data set of films, or in your own with --data: the
local Personalize implements the contract of the service, not its model. Stopping it discards all state.
"""
_EXAMPLES = """\
examples:
  personalize-local run -- cdk deploy --require-approval never
  personalize-local run -- sh -c 'cdk deploy && personalize-local segments'
  personalize-local run -- sh -c 'cdk deploy || personalize-local status'
  personalize-local serve
  personalize-local run --data FOLDER -- cdk deploy
  personalize-local segments ComedyFans --users 20 --overlap --csv users.csv
  personalize-local check queries.jsonl --data FOLDER
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command.

    Args:
        arguments: The command line without the program's name. Defaults to that of the process.

    Returns:
        The exit code.
    """
    options = build_parser().parse_args(arguments)
    try:
        for module in ("ministack", "hypercorn", "boto3", "rich"):
            if importlib.util.find_spec(module) is None:
                raise UsageError(f"{module} is missing; install it: pip install 'cdk-personalize-segments[local]'")
        code: int = options.run(options)
    except UsageError as error:
        print_message(str(error))
        code = 2
    except KeyboardInterrupt:
        code = 130
    if arguments is None:
        process.exit_process(code)
    return code


def build_parser() -> argparse.ArgumentParser:
    """Returns the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="personalize-local",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    version = importlib.metadata.version("cdk-personalize-segments")
    parser.add_argument("--version", action="version", version=f"%(prog)s {version}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    run = commands.add_parser(
        "run",
        help="start the local AWS, bootstrap it for CDK, run a command, stop it",
        usage="personalize-local run [options] -- COMMAND…",
    )
    _add_start_options(run)
    run.add_argument("command", nargs=argparse.REMAINDER, help="the command; its exit code is passed on")
    run.set_defaults(run=_run)

    serve = commands.add_parser("serve", help="start the local AWS, bootstrap it for CDK, serve until Ctrl-C")
    _add_start_options(serve)
    serve.add_argument("--port", type=int, default=4566, help="the port on 127.0.0.1 (default: 4566)")
    serve.set_defaults(run=_serve)

    schedule = commands.add_parser("run-schedule", help="fire a schedule now; within run or serve")
    schedule.add_argument("name", nargs="?", metavar="NAME", help="the schedule (default: the only one)")
    schedule.add_argument(
        "--at", metavar="TIME", help="its scheduled time, for example 2026-11-30T03:00:00Z (default: its next one)"
    )
    schedule.set_defaults(run=_run_schedule)

    status = commands.add_parser("status", help="list runs, audiences, jobs and failure reasons; within run or serve")
    _add_names(status)
    status.set_defaults(run=_status)

    segments = commands.add_parser("segments", help="show the first users of each segment; within run or serve")
    _add_names(segments)
    segments.add_argument("--users", type=int, default=5, help="the number of users to show (default: 5)")
    add_export_options(segments)
    segments.set_defaults(run=_segments)

    check_command.add_parser(commands)
    return parser


def _add_start_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--account", default="123456789012", help="the account ID (default: 123456789012)")
    parser.add_argument("--region", default="eu-west-1", help="the region (default: eu-west-1)")
    parser.add_argument(
        "--job-seconds", type=float, default=0.2, metavar="N", help="how long a job is in progress (default: 0.2)"
    )
    data_options.add_data_option(parser)


def _add_names(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", nargs="*", metavar="NAME", help="only jobs with NAME in their name (default: all)")


def _run(options: argparse.Namespace) -> int:
    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    if not command:
        raise UsageError("run: no command; for example: personalize-local run -- cdk deploy")
    process.interrupt_on_sigterm()
    with _start(options, port=0) as aws:
        _bootstrap(aws)
        print_message(f"running {' '.join(command)}")
        code = process.run_command(command, aws.environment())
        display.report_unfinished_jobs(list(aws.personalize.jobs.values()))
        return code


def _serve(options: argparse.Namespace) -> int:
    from .environment import shell_commands

    process.interrupt_on_sigterm()
    # LocalAws replaces the variables of this process.
    shell = list(os.environ)
    with _start(options, options.port) as aws:
        _bootstrap(aws)
        print_message("in another terminal, first:")
        print("\n".join(shell_commands(aws.environment(), shell)), flush=True)
        print_message("Ctrl-C stops it; nothing is kept")
        try:
            while True:
                time.sleep(3600)
        except KeyboardInterrupt:
            return 0


def _start(options: argparse.Namespace, port: int) -> "LocalAws":
    from .gateway import LocalAws

    if not re.fullmatch(r"\d{12}", options.account):
        raise UsageError(f"--account: got {options.account!r}, expected 12 digits")
    if not re.fullmatch(r"[a-z]{2}(-[a-z]+)+-\d", options.region):
        raise UsageError(f"--region: got {options.region!r}, expected a region like eu-west-1")
    if options.job_seconds < 0:
        raise UsageError(f"--job-seconds: got {options.job_seconds}, expected 0 or more")
    if not 0 <= port <= 65535:
        raise UsageError(f"--port: got {port}, expected 0 to 65535 (0 selects a free port)")
    stand_in = data_options.load_stand_in(options)
    try:
        return LocalAws(
            port=port,
            account=options.account,
            region=options.region,
            in_progress_seconds=options.job_seconds,
            stand_in=stand_in,
        )
    except OSError as error:
        raise UsageError(f"port {port} cannot be used: {error.strerror}; choose another with --port") from error


def _bootstrap(aws: "LocalAws") -> None:
    from .toolchain import OldNodeError

    print_message(f"serving {aws.account} {aws.region} at {aws.endpoint_url}")
    try:
        with display.progress("bootstrapping it for the CDK"):
            aws.bootstrap()
    except (FileNotFoundError, OldNodeError) as error:
        raise UsageError(str(error)) from error
    except subprocess.CalledProcessError as error:
        raise UsageError(f"cdk bootstrap failed:\n{error.output}") from error


def _run_schedule(options: argparse.Namespace) -> int:
    if options.at is not None and not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", options.at):
        raise UsageError(f"--at: got {options.at!r}, expected a time like 2026-11-30T03:00:00Z")
    with job_results.connect("run-schedule"):
        fired = control_client.call("RunSchedule", name=options.name, at=options.at)
    print_message(f"fired with the scheduled time {fired['at']}")
    return 0


def _status(options: argparse.Namespace) -> int:
    from rich.console import Console

    console = Console()
    with job_results.connect("status") as (personalize, s3):
        _print_runs(console, options.names)
        rows = []
        for job in job_results.list_jobs(personalize, options.names):
            reason = job.get("failureReason") or ""
            if job["status"] == "ACTIVE":
                reason = job_results.summarize_query_errors(s3, job_results.describe_job(personalize, job))
            rows.append((job["jobName"], job["status"], reason))
        console.print(display.job_table(rows) if rows else display.no_jobs(options.names))
    return 0


def _print_runs(console: Any, names: Sequence[str]) -> None:
    found = control_client.call("ListRuns")
    for title, rows in (("runs", found["runs"]), ("audiences", found["audiences"])):
        chosen = [row for row in rows if not names or any(name in str(row.values()) for name in names)]
        if chosen:
            console.print(display.run_table(chosen) if title == "runs" else display.audience_table(chosen))


def _segments(options: argparse.Namespace) -> int:
    from rich.console import Console

    console = Console()
    export = SegmentExport(options)
    with job_results.connect("segments") as (personalize, s3):
        audiences = audience_results.wait_for_audiences(options.names)
        for audience in audiences:
            _print_audience(audience, s3, console, options.users, export)
        names = [name for name in options.names if name not in {audience["audience"] for audience in audiences}]
        jobs = job_results.wait_for_jobs(personalize, names) if names or not options.names else []
        for job in jobs:
            _print_job(job, s3, console, options.users, export)
        if not jobs and not audiences:
            console.print(display.no_jobs(options.names))
    export.finish(console)
    return 0


def _print_audience(audience: dict[str, Any], s3: Any, console: Any, limit: int, export: SegmentExport) -> None:
    console.print(display.audience_line(audience))
    if audience["status"] == "SUCCEEDED":
        _print_segments(audience["audience"], audience["outputUri"], s3, console, limit, export)


def _print_job(job: dict[str, Any], s3: Any, console: Any, limit: int, export: SegmentExport) -> None:
    console.print(display.job_line(job))
    if job["status"] == "ACTIVE":
        _print_segments(job["jobName"], job_results.output_path(job), s3, console, limit, export)


def _print_segments(name: str, path: str, s3: Any, console: Any, limit: int, export: SegmentExport) -> None:
    from botocore.exceptions import ClientError

    console.print(display.safe_text(display.printable(path)), soft_wrap=True)
    try:
        kept = export.keep(name, job_results.read_segments_at(s3, path))
        for part in display.segment_tables((segment for _, segment in kept), limit):
            console.print(part)
    except (ClientError, ValueError) as error:
        # For example, the bucket was deleted with its stack, or another program wrote an object. Show the other jobs.
        console.print(display.safe_text(f"its segments cannot be read: {display.printable(str(error))}"))
