"""The command ``personalize-local``."""

import argparse
import importlib.metadata
import importlib.util
from collections.abc import Sequence

from . import data_options, process, result_commands, start_commands
from .check import command as check_command
from .display import print_message
from .errors import UsageError
from .segment_export import add_export_options

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
    run.set_defaults(run=start_commands.run)

    serve = commands.add_parser("serve", help="start the local AWS, bootstrap it for CDK, serve until Ctrl-C")
    _add_start_options(serve)
    serve.add_argument("--port", type=int, default=4566, help="the port on 127.0.0.1 (default: 4566)")
    serve.set_defaults(run=start_commands.serve)

    env = commands.add_parser("env", help="print the variables of a running serve, for eval in another terminal")
    env.add_argument("--port", type=int, help="the port of serve (default: the only one that runs)")
    env.set_defaults(run=start_commands.env)

    schedule = commands.add_parser("run-schedule", help="fire a schedule now; within run or serve")
    schedule.add_argument("name", nargs="?", metavar="NAME", help="the schedule (default: the only one)")
    schedule.add_argument(
        "--at", metavar="TIME", help="its scheduled time, for example 2026-11-30T03:00:00Z (default: its next one)"
    )
    schedule.set_defaults(run=result_commands.run_schedule)

    status = commands.add_parser("status", help="list runs, audiences, jobs and failure reasons; within run or serve")
    _add_names(status)
    status.set_defaults(run=result_commands.status)

    segments = commands.add_parser("segments", help="show the first users of each segment; within run or serve")
    _add_names(segments)
    segments.add_argument("--users", type=int, default=5, help="the number of users to show (default: 5)")
    add_export_options(segments)
    segments.set_defaults(run=result_commands.segments)

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
