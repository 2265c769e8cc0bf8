"""The command ``personalize-local``."""

import argparse
import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .gateway import LocalAws

_DESCRIPTION = """\
An AWS on this machine that has Amazon Personalize, for any CDK app.

It is MiniStack, which really runs CloudFormation, S3, IAM, Step Functions and Lambda functions in one
process, with a Personalize in front that runs batch segment jobs over the objects in S3. IAM is enforced.
Users come from a plain count over a made-up data set of films: it follows the service's contract, not its
model. Nothing is kept when it stops.
"""
_EXAMPLES = """\
examples:
  personalize-local run -- cdk deploy --require-approval never
  personalize-local run -- sh -c 'cdk deploy && personalize-local segments'
  personalize-local serve
"""


class UsageError(Exception):
    """Something that the user can mend, in one sentence."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command.

    Args:
        arguments: The command line without the program's name; that of the process if left out.

    Returns:
        The exit code.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        for module in ("ministack", "hypercorn", "boto3", "rich"):
            if importlib.util.find_spec(module) is None:
                raise UsageError(f"{module} is missing; install it: pip install 'cdk-personalize-segments[local]'")
        code: int = options.run(options)
    except UsageError as error:
        print(f"personalize-local: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="personalize-local",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    run = commands.add_parser(
        "run",
        help="start it, bootstrap it for the CDK, run a command against it, stop it",
        usage="personalize-local run [options] -- COMMAND…",
    )
    _add_place(run)
    run.add_argument("command", nargs=argparse.REMAINDER, help="the command; its exit code is this command's")
    run.set_defaults(run=_run)

    serve = commands.add_parser("serve", help="start it and keep it running until Ctrl-C")
    _add_place(serve)
    serve.add_argument("--port", type=int, default=4566, help="where to serve on 127.0.0.1 (default: 4566)")
    serve.set_defaults(run=_serve)

    segments = commands.add_parser(
        "segments", help="show jobs and the first users of every segment; in the environment that run or serve gives"
    )
    segments.add_argument("--users", type=int, default=5, help="how many users of a segment to show (default: 5)")
    segments.set_defaults(run=_segments)
    return parser


def _add_place(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--account", default="123456789012", help="12 digits (default: 123456789012)")
    parser.add_argument("--region", default="eu-west-1", help="(default: eu-west-1)")
    parser.add_argument(
        "--job-seconds", type=float, default=0.2, metavar="N", help="how long a job is in progress (default: 0.2)"
    )


def _start(options: argparse.Namespace, port: int) -> "LocalAws":
    from .gateway import LocalAws

    if not (options.account.isdigit() and len(options.account) == 12):
        raise UsageError(f"--account: got {options.account!r}, wanted 12 digits")
    try:
        aws = LocalAws(
            port=port, account=options.account, region=options.region, in_progress_seconds=options.job_seconds
        )
    except OSError as error:
        raise UsageError(f"port {port} cannot be used: {error.strerror}; choose another with --port") from error
    if aws.node_modules is None:
        _say(
            "node_modules has no @aws-sdk/client-lambda, client-sfn and client-s3: CDK's provider framework runs on "
            "MiniStack's stub of them, which proves nothing of the framework's own permissions"
        )
    return aws


def _say(text: str) -> None:
    # Not to stdout, which belongs to the command that is run.
    print(f"personalize-local: {text}", file=sys.stderr, flush=True)


def _run(options: argparse.Namespace) -> int:
    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    if not command:
        raise UsageError("run: no command; for example: personalize-local run -- cdk deploy")
    # Whoever stops this process by a signal gets everything cleaned up as after Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with _start(options, port=0) as aws:
        _say(f"serving {aws.account} {aws.region} at {aws.endpoint_url}")
        try:
            _say("bootstrapping for the CDK")
            aws.bootstrap()
            _say(f"running {' '.join(command)}")
            return _run_command(command, aws.environment())
        except FileNotFoundError as error:
            raise UsageError(str(error)) from error
        except subprocess.CalledProcessError as error:
            raise UsageError(f"cdk bootstrap failed:\n{error.output}") from error


def _run_command(command: Sequence[str], environment: dict[str, str]) -> int:
    try:
        process = subprocess.Popen(command, env=environment)
    except FileNotFoundError:
        raise UsageError(f"run: there is no command {command[0]!r}") from None
    try:
        return process.wait()
    except KeyboardInterrupt:
        # Ctrl-C has reached the command too; a signal to this process alone has not.
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
        raise


def _serve(options: argparse.Namespace) -> int:
    from rich.console import Console
    from rich.table import Table

    from .personalize import SEEDS

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with _start(options, options.port) as aws:
        console = Console()
        table = Table(title="In front of MiniStack: a Personalize that follows the contract, not the model", box=None)
        table.add_column("variable")
        table.add_column("value", overflow="fold")
        environment = aws.environment()
        shown = ["AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"]
        for name in (*shown, *SEEDS):
            table.add_row(name, environment[name])
        console.print(table)
        console.print("Ctrl-C stops it; nothing is kept.")
        try:
            while True:
                time.sleep(3600)
        except KeyboardInterrupt:
            return 0


def _segments(options: argparse.Namespace) -> int:
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError
    from rich.console import Console

    if "AWS_ENDPOINT_URL" not in os.environ:
        raise UsageError("segments: AWS_ENDPOINT_URL is not set; run it within: personalize-local run -- …")
    console = Console()
    try:
        personalize = boto3.client("personalize")
        for job in _ended_jobs(personalize, console):
            _print_job(job, boto3.client("s3"), console, options.users)
    except (BotoCoreError, ClientError) as error:
        raise UsageError(f"segments: {error}") from error
    return 0


def _ended_jobs(personalize: Any, console: Any) -> Iterator[dict[str, Any]]:
    def jobs() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = personalize.list_batch_segment_jobs()["batchSegmentJobs"]
        return found

    with console.status("waiting for jobs in flight"):
        while any(job["status"] not in ("ACTIVE", "CREATE FAILED") for job in jobs()):
            time.sleep(0.2)
    if not jobs():
        console.print("There are no batch segment jobs.")
    for job in jobs():
        described = personalize.describe_batch_segment_job(batchSegmentJobArn=job["batchSegmentJobArn"])
        yield described["batchSegmentJob"]


def _print_job(job: dict[str, Any], s3: Any, console: Any, users: int) -> None:
    from batch_segment_handler.segments import read_segments
    from rich.table import Table
    from rich.text import Text

    console.print(f"[bold]{job['jobName']}[/] {job['status']} {job.get('failureReason', '')}", highlight=False)
    if job["status"] != "ACTIVE":
        return
    path = job["jobOutput"]["s3DataDestination"]["path"]
    console.print(Text(path))
    bucket, _, prefix = path.removeprefix("s3://").partition("/")
    table = Table(caption="from a plain count over made-up data, not from a model")
    for column in ("file", "query", "users", f"the first {users}"):
        table.add_column(column, overflow="fold")
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    for found in (found for page in pages for found in page.get("Contents", [])):
        if not found["Key"].endswith(".out"):
            continue
        body = s3.get_object(Bucket=bucket, Key=found["Key"])["Body"]
        for segment in read_segments(body.iter_lines()):
            query = segment.query.get("itemAttributes") or segment.query.get("itemId") or str(segment.query)
            first = segment.error or " ".join(segment.user_ids[:users])
            name = found["Key"].removeprefix(prefix)
            table.add_row(Text(name), Text(query), str(len(segment.user_ids)), Text(first))
    console.print(table)
