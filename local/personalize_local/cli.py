"""The command ``personalize-local``."""

import argparse
import importlib.metadata
import importlib.util
from collections.abc import Sequence

from . import data_options, process, result_commands, start_commands
from .check import command as check_command
from .display import print_message
from .errors import UsageError
from .help_texts import HelpFormatter, add_command, format_examples
from .segment_export import add_export_options

_DESCRIPTION = """\
Runs a local AWS with Amazon Personalize on this machine, for any CDK app.

MiniStack runs CloudFormation, S3, IAM, Step Functions and Lambda functions in one process, and a local Personalize
runs batch segment jobs on the objects in S3. IAM policies are enforced. Users are ranked by counts of interactions, not
by a model, in the sample films or in your own data with --data. State is discarded when the local AWS stops.
"""
_WITHIN = 'Use this command within `personalize-local run`, or after eval "$(personalize-local env)".'


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command.

    Args:
        arguments: The command line without the program's name. Defaults to that of the process.

    Returns:
        The exit code.
    """
    options = build_parser().parse_args(arguments)
    if arguments is None:
        process.interrupt_on_termination()
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
        epilog=format_examples(
            [
                "personalize-local run -- sh -c 'cdk deploy && personalize-local segments'",
                "personalize-local check queries.jsonl --data data",
            ]
        ),
        formatter_class=HelpFormatter,
    )
    version = importlib.metadata.version("cdk-personalize-segments")
    parser.add_argument("--version", action="version", version=f"%(prog)s {version}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    run = add_command(
        commands,
        "run",
        "Starts a local AWS, bootstraps it for CDK, runs a command, and stops the local AWS.",
        [
            "personalize-local run -- cdk deploy --require-approval never",
            "personalize-local run -- sh -c 'cdk deploy && personalize-local segments'",
        ],
        usage="personalize-local run [options] -- COMMAND…",
    )
    _add_start_options(run)
    run.add_argument("command", nargs=argparse.REMAINDER, help="the command; its exit code is passed on")
    run.set_defaults(run=start_commands.run)

    serve = add_command(
        commands,
        "serve",
        "Starts a local AWS, bootstraps it for CDK, and serves it until Ctrl-C.",
        ["personalize-local serve", "personalize-local serve --port 4567 --data data"],
    )
    _add_start_options(serve)
    serve.add_argument("--port", type=int, default=4566, help="the port on 127.0.0.1 (default: 4566)")
    serve.set_defaults(run=start_commands.serve)

    env = add_command(
        commands,
        "env",
        "Prints the environment variables of a running serve, for eval in another terminal.",
        ['eval "$(personalize-local env)"', 'eval "$(personalize-local env --port 4567)"'],
    )
    env.add_argument("--port", type=int, help="the port of serve (default: the only one that is running)")
    env.set_defaults(run=start_commands.env)

    schedule = add_command(
        commands,
        "run-schedule",
        "Runs a schedule now.",
        [
            "personalize-local run-schedule Weekly",
            "personalize-local run-schedule Weekly --at 2026-11-30T03:00:00Z",
        ],
        notes=_WITHIN,
    )
    schedule.add_argument(
        "name", nargs="?", metavar="NAME", help="the name of the schedule, or a part of it (default: the only one)"
    )
    schedule.add_argument(
        "--at", metavar="TIME", help="the scheduled time that the target receives (default: the next one)"
    )
    schedule.set_defaults(run=result_commands.run_schedule)

    status = add_command(
        commands,
        "status",
        "Lists workflow runs, audiences and jobs, and the reason of each failure.",
        ["personalize-local status", "personalize-local run -- sh -c 'cdk deploy || personalize-local status'"],
        notes=_WITHIN,
    )
    _add_names(status)
    status.set_defaults(run=result_commands.status)

    segments = add_command(
        commands,
        "segments",
        "Waits for jobs and audiences, and shows the first users of each segment.",
        [
            "personalize-local segments ComedyFans --users 20",
            "personalize-local segments --overlap --csv users.csv",
        ],
        notes=_WITHIN,
    )
    _add_names(segments)
    segments.add_argument(
        "--users", type=int, default=5, metavar="N", help="show the first N users of each segment (default: 5)"
    )
    add_export_options(segments)
    segments.set_defaults(run=result_commands.segments)

    check_command.add_parser(commands)
    return parser


def _add_start_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--account", default="123456789012", metavar="ID", help="the account ID (default: 123456789012)"
    )
    parser.add_argument("--region", default="eu-west-1", help="the region (default: eu-west-1)")
    parser.add_argument(
        "--job-seconds",
        type=float,
        default=0.2,
        metavar="N",
        help="the seconds that a job is in progress (default: 0.2)",
    )
    data_options.add_data_option(parser)


def _add_names(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="show only jobs and audiences with NAME in their name (default: all)"
    )
