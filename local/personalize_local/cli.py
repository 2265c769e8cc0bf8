"""The command ``personalize-local``."""

import argparse
import contextlib
import importlib.metadata
import importlib.util
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from .terminal import shown

if TYPE_CHECKING:
    from personalize_segments_reader import Segment

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
  personalize-local run -- sh -c 'cdk deploy || personalize-local status'
  personalize-local serve
  personalize-local segments ComedyFans --users 20
"""
_ENVIRONMENT = (
    "AWS_ENDPOINT_URL",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_EC2_METADATA_DISABLED",
    "AWS_CONFIG_FILE",
    "AWS_SHARED_CREDENTIALS_FILE",
    "NO_PROXY",
    "no_proxy",
    "CDK_DEFAULT_ACCOUNT",
    "CDK_DEFAULT_REGION",
    "CDK_HOME",
)
_LINE_END = "\n"
# What an earlier terminal or a company's settings may have set although it is not set here.
_USUAL = ("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_SESSION_TOKEN", "AWS_CA_BUNDLE")


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
        _say(str(error))
        code = 2
    except KeyboardInterrupt:
        code = 130
    if arguments is None:
        _leave(code)
    return code


def _leave(code: int) -> None:
    """Ends the process although threads of MiniStack are busy: there is nothing left that they work for."""
    busy = [one for one in threading.enumerate() if one is not threading.current_thread() and not one.daemon]
    ends = time.monotonic() + 2
    for thread in busy:
        thread.join(timeout=max(0, ends - time.monotonic()))
    if any(thread.is_alive() for thread in busy):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _parser() -> argparse.ArgumentParser:
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
        help="start it, bootstrap it for the CDK, run a command against it, stop it",
        usage="personalize-local run [options] -- COMMAND…",
    )
    _add_place(run)
    run.add_argument("command", nargs=argparse.REMAINDER, help="the command; its exit code is this command's")
    run.set_defaults(run=_run)

    serve = commands.add_parser("serve", help="start it, bootstrap it for the CDK, keep it running until Ctrl-C")
    _add_place(serve)
    serve.add_argument("--port", type=int, default=4566, help="where to serve on 127.0.0.1 (default: 4566)")
    serve.set_defaults(run=_serve)

    status = commands.add_parser("status", help="list jobs, and why those failed that did; within run or serve")
    _add_names(status)
    status.set_defaults(run=_status)

    segments = commands.add_parser("segments", help="show the first users of every segment; within run or serve")
    _add_names(segments)
    segments.add_argument("--users", type=int, default=5, help="how many users of a segment to show (default: 5)")
    segments.set_defaults(run=_segments)
    return parser


def _add_place(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--account", default="123456789012", help="12 digits (default: 123456789012)")
    parser.add_argument("--region", default="eu-west-1", help="(default: eu-west-1)")
    parser.add_argument(
        "--job-seconds", type=float, default=0.2, metavar="N", help="how long a job is in progress (default: 0.2)"
    )


def _add_names(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", nargs="*", metavar="NAME", help="only jobs that have it in their name (default: all)")


def _start(options: argparse.Namespace, port: int) -> "LocalAws":
    from .gateway import LocalAws

    if not re.fullmatch(r"\d{12}", options.account):
        raise UsageError(f"--account: got {options.account!r}, expected 12 digits")
    if not re.fullmatch(r"[a-z]{2}(-[a-z]+)+-\d", options.region):
        raise UsageError(f"--region: got {options.region!r}, expected a region like eu-west-1")
    if options.job_seconds < 0:
        raise UsageError(f"--job-seconds: got {options.job_seconds}, expected 0 or more")
    if not 0 <= port <= 65535:
        raise UsageError(f"--port: got {port}, expected 0 to 65535, of which 0 takes a free one")
    try:
        return LocalAws(
            port=port, account=options.account, region=options.region, in_progress_seconds=options.job_seconds
        )
    except OSError as error:
        raise UsageError(f"port {port} cannot be used: {error.strerror}; choose another with --port") from error


def _say(text: str) -> None:
    # Not to stdout, which belongs to the command that is run.
    print(f"personalize-local: {shown(text, keep=_LINE_END)}", file=sys.stderr, flush=True)


def _run(options: argparse.Namespace) -> int:
    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    if not command:
        raise UsageError("run: no command; for example: personalize-local run -- cdk deploy")
    # Whoever stops this process by a signal gets everything cleaned up as after Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with _start(options, port=0) as aws:
        _bootstrap(aws)
        _say(f"running {' '.join(command)}")
        code = _run_command(command, aws.environment())
        _say_what_is_lost(aws)
        return code


def _say_what_is_lost(aws: "LocalAws") -> None:
    for job in list(aws.personalize.jobs.values()):
        if job.failure_reason is not None:
            _say(f"the job {job.request['jobName']} ended {job.status}: {shown(job.failure_reason)}")
        elif job.in_flight:
            _say(
                f"the job {job.request['jobName']} was still {job.status}; to see it end, wait for it in the same "
                "command: personalize-local run -- sh -c 'cdk deploy && personalize-local segments'"
            )


def _bootstrap(aws: "LocalAws") -> None:
    from .gateway import OldNodeError

    _say(f"serving {aws.account} {aws.region} at {aws.endpoint_url}")
    try:
        with _progress("bootstrapping it for the CDK"):
            aws.bootstrap()
    except (FileNotFoundError, OldNodeError) as error:
        raise UsageError(str(error)) from error
    except subprocess.CalledProcessError as error:
        raise UsageError(f"cdk bootstrap failed:\n{error.output}") from error


def _run_command(command: Sequence[str], environment: dict[str, str]) -> int:
    try:
        # A process group of its own, as a shell does it, so that all that the command starts can be stopped.
        process = subprocess.Popen(command, env=environment, process_group=0)
    except FileNotFoundError:
        raise UsageError(f"run: there is no command {command[0]!r}") from None
    except OSError as error:
        raise UsageError(f"run: {command[0]!r} cannot be run: {error.strerror}") from error
    try:
        code = _wait(process)
        return code if code >= 0 else 128 - code
    except KeyboardInterrupt:
        _say("stopping")
        for how in (signal.SIGINT, signal.SIGTERM):
            os.killpg(process.pid, how)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=2)
                break
        raise
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _wait(process: "subprocess.Popen[bytes]") -> int:
    """Waits for a command in a process group of its own; Ctrl-Z stops it and this process together."""
    while True:
        with _foreground(process.pid):
            _, status = os.waitpid(process.pid, os.WUNTRACED)
        if not os.WIFSTOPPED(status):
            process.returncode = os.waitstatus_to_exitcode(status)
            return process.returncode
        os.kill(os.getpid(), signal.SIGSTOP)


@contextlib.contextmanager
def _foreground(group: int) -> Iterator[None]:
    """Gives the terminal, if it is ours, to a process group: it may read from it, and gets its Ctrl-C."""
    terminal = sys.stdin.fileno() if sys.stdin is not None and sys.stdin.isatty() else -1
    try:
        is_ours = terminal >= 0 and os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        is_ours = False
    if not is_ours:
        yield
        return
    # Taking the terminal back from the background would stop this process otherwise.
    handler = signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    os.tcsetpgrp(terminal, group)
    # It may have been stopped for reading before it was its turn, or by Ctrl-Z.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGCONT)
    try:
        yield
    finally:
        os.tcsetpgrp(terminal, os.getpgrp())
        signal.signal(signal.SIGTTOU, handler)


def _serve(options: argparse.Namespace) -> int:
    from .personalize import SEEDS
    from .shell import foreign

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # A shell runs the line, so a name that a shell cannot set must not be in it.
    names = {name for name in foreign(os.environ) if name.isascii() and name.isidentifier()}
    unset = sorted({*_USUAL, *names} - set(_ENVIRONMENT))
    with _start(options, options.port) as aws:
        _bootstrap(aws)
        _say("in another terminal, first:")
        environment = aws.environment()
        print(f"unset {' '.join(unset)}")
        for name in (*_ENVIRONMENT, *SEEDS):
            print(f"export {name}={shlex.quote(environment[name])}")
        sys.stdout.flush()
        _say("Ctrl-C stops it; nothing is kept")
        try:
            while True:
                time.sleep(3600)
        except KeyboardInterrupt:
            return 0


@contextlib.contextmanager
def _progress(what: str) -> Iterator[Callable[[str], None]]:
    """Shows what is going on and for how long; where nobody looks it is one line.

    Yields:
        What tells it of something else.
    """
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    is_seen = console.is_terminal and not console.is_dumb_terminal
    columns = [SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()]
    with Progress(*columns, console=console, transient=True, disable=not is_seen) as progress:
        if not is_seen:
            _say(what)
        task = progress.add_task(what)
        yield lambda text: progress.update(task, description=text)


@contextlib.contextmanager
def _personalize(command: str) -> Iterator[tuple[Any, Any]]:
    """The client of the local Personalize and the console."""
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError
    from rich.console import Console

    if "AWS_ENDPOINT_URL" not in os.environ:
        raise UsageError(
            f"{command}: AWS_ENDPOINT_URL is not set; call it within `personalize-local run -- …`, or after the lines "
            "that `personalize-local serve` prints"
        )
    try:
        yield boto3.client("personalize"), Console()
    except (BotoCoreError, ClientError) as error:
        raise UsageError(f"{command}: {error}") from error


def _status(options: argparse.Namespace) -> int:
    import boto3
    from rich.table import Table

    with _personalize("status") as (personalize, console):
        table = Table()
        for column in ("job", "status", "why"):
            table.add_column(column, overflow="fold")
        s3 = boto3.client("s3")
        for job in _jobs(personalize, options.names):
            why = job.get("failureReason") or ""
            if job["status"] == "ACTIVE":
                arn = job["batchSegmentJobArn"]
                why = _query_errors(s3, personalize.describe_batch_segment_job(batchSegmentJobArn=arn))
            table.add_row(_text(job["jobName"]), _text(job["status"]), _text(shown(why)))
        console.print(table if table.row_count else _no_jobs(options.names))
    return 0


def _query_errors(s3: Any, described: dict[str, Any]) -> str:
    """How many queries of an ACTIVE job ended with an error, and the first of the errors; empty if none did."""
    from botocore.exceptions import ClientError

    path = described["batchSegmentJob"]["jobOutput"]["s3DataDestination"]["path"]
    queries, errors, first = 0, 0, ""
    try:
        for _, segment in _read(s3, path):
            queries += 1
            if segment.error is not None:
                errors += 1
                first = first or segment.error
    except (ClientError, ValueError) as error:
        return f"its segments cannot be read: {error}"
    return f"{errors} of {queries} queries failed; the first: {first}" if errors else ""


def _text(text: str, style: str = "") -> Any:
    """Text for a table or the console, with nothing in it that a terminal obeys."""
    from rich.text import Text

    return Text(shown(text, keep=_LINE_END), style)


def _segments(options: argparse.Namespace) -> int:
    import boto3

    with _personalize("segments") as (personalize, console):
        jobs = _ended_jobs(personalize, options.names)
        for job in jobs:
            _print_job(job, boto3.client("s3"), console, options.users)
        if not jobs:
            console.print(_no_jobs(options.names))
    return 0


def _jobs(personalize: Any, names: Sequence[str]) -> list[dict[str, Any]]:
    pages = personalize.get_paginator("list_batch_segment_jobs").paginate()
    jobs = [job for page in pages for job in page["batchSegmentJobs"]]
    return [job for job in jobs if not names or any(name in job["jobName"] for name in names)]


def _no_jobs(names: Sequence[str]) -> str:
    return f"There are no batch segment jobs{' of that name' if names else ''}."


def _ended_jobs(personalize: Any, names: Sequence[str]) -> list[dict[str, Any]]:
    def in_flight() -> int:
        return sum(job["status"] not in ("ACTIVE", "CREATE FAILED") for job in _jobs(personalize, names))

    if number := in_flight():
        with _progress(f"waiting for {number} in flight") as show:
            while number := in_flight():
                show(f"waiting for {number} in flight")
                time.sleep(0.2)
    arns = [job["batchSegmentJobArn"] for job in _jobs(personalize, names)]
    return [personalize.describe_batch_segment_job(batchSegmentJobArn=arn)["batchSegmentJob"] for arn in arns]


def _print_job(job: dict[str, Any], s3: Any, console: Any, users: int) -> None:
    from botocore.exceptions import ClientError
    from rich.text import Text

    reason = shown(job.get("failureReason", ""))
    console.print(Text.assemble(_text(job["jobName"], "bold"), " ", _text(job["status"]), " ", _text(reason)))
    if job["status"] != "ACTIVE":
        return
    path = job["jobOutput"]["s3DataDestination"]["path"]
    console.print(_text(shown(path)), soft_wrap=True)
    try:
        console.print(_table_of_segments(s3, path, users))
    except (ClientError, ValueError) as error:
        # For example a bucket that went with its stack, or an object that somebody else has put there; the job stays.
        console.print(_text(f"its segments cannot be read: {shown(str(error))}"))


def _table_of_segments(s3: Any, path: str, users: int) -> Any:
    from rich.table import Table

    table = Table(caption="from a plain count over made-up data, not from a model")
    for column in ("file", "query", "users", f"the first {users}"):
        table.add_column(column, overflow="fold")
    for name, segment in _read(s3, path):
        first = shown(segment.error or " ".join(segment.user_ids[:users]))
        table.add_row(_text(shown(name)), _text(_text_of(segment.query)), str(len(segment.user_ids)), _text(first))
    return table


def _read(s3: Any, path: str) -> "Iterator[tuple[str, Segment]]":
    """The segments under a path, each with the name of its object.

    Raises:
        ValueError: An object is no output of a job; the message names it.
    """
    from personalize_segments_reader import read_segments

    bucket, _, prefix = path.removeprefix("s3://").partition("/")
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    for found in (found for page in pages for found in page.get("Contents", [])):
        name = found["Key"].removeprefix(prefix)
        if not name.endswith(".out"):
            continue
        body = s3.get_object(Bucket=bucket, Key=found["Key"])["Body"]
        try:
            for segment in read_segments(body.iter_lines()):
                yield name, segment
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error


def _text_of(query: dict[str, Any]) -> str:
    """A query as somebody reads it: what it asks for, and a line for each filter value."""
    asked = query.get("itemAttributes") or query.get("itemId")
    values = query.get("filterValues") or {}
    if not isinstance(asked, str) or not isinstance(values, dict):
        return shown(str(query))
    return "\n".join([shown(asked), *(shown(f"${name} = {value}") for name, value in values.items())])
