"""The command line."""

import argparse
import contextlib
import io
import os
import secrets
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import boto3
from batch_segment_handler.queries import check_queries
from botocore.exceptions import BotoCoreError, ClientError

from .cdk import Cdk, CdkError
from .questions import QUESTIONS, Question, trials_for
from .report import Report, Result
from .settings import LIBRARY_STACKS, PAIRS, PROBES, Settings, UsageError, excerpt, parse_arn
from .terminal import print_error, print_progress, print_result
from .trials import AT_ONCE, TRIALS, NotAnsweredError, Trials

_RECIPES = ("aws-item-affinity", "aws-item-attribute-affinity")
_OK, _INCOMPLETE, _USAGE, _INTERRUPTED = 0, 1, 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command.

    Args:
        arguments: The command line without the program's name; that of the process if omitted.

    Returns:
        0 if every question is answered and all stacks are deleted, 1 if not, 2 for invalid arguments, 130 after Ctrl-C.
    """
    options = _parser().parse_args(arguments)
    try:
        questions = _chosen(options.only)
        settings = parse_arn(options.solution_version_arn, secrets.token_hex(3), os.environ)
        settings = _checked(settings, options.query)
        with tempfile.TemporaryDirectory(prefix="verify-account-") as folder:
            cdk = Cdk(settings, Path(folder))
            print_progress("synthesizing the stacks; nothing is created yet")
            try:
                cdk.synth()
            except CdkError as error:
                raise UsageError(str(error)) from error
            print_result(_plan(settings, questions))
            if not (options.yes or _confirmed()):
                print_result("Aborted. Nothing was created.")
                return _INCOMPLETE
            return _run(settings, cdk, questions, options)
    except UsageError as error:
        print_error(str(error))
        return _USAGE
    except KeyboardInterrupt:
        print_result("\nAborted. Nothing was created.")
        return _INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="verify-account",
        description="Tests in an AWS account how Amazon Personalize behaves, with small jobs that are billed, and "
        "writes a report. At the end, everything except the records of the jobs is deleted.",
    )
    parser.add_argument("solution_version_arn", help="an ACTIVE solution version of a USER_SEGMENTATION recipe")
    parser.add_argument(
        "--query",
        help='an item id, or an expression such as ITEMS.GENRES = "Comedy"; required for aws-item-attribute-affinity',
    )
    parser.add_argument(
        "--report", default="verify-account.md", metavar="FILE", help="the report to write (default: verify-account.md)"
    )
    parser.add_argument("--only", metavar="ID,…", help="answer only these questions, with only the jobs that they need")
    parser.add_argument("--yes", action="store_true", help="do not ask before jobs are created")
    parser.add_argument("--show-account", action="store_true", help="show the account number in the report")
    parser.add_argument(
        "--poll-seconds",
        type=float,
        default=15,
        metavar="N",
        help="the seconds between two checks of a job (default: 15)",
    )
    parser.add_argument(
        "--patience-seconds",
        type=float,
        default=120,
        metavar="N",
        help="the seconds to wait for permissions to propagate (default: 120)",
    )
    parser.add_argument(
        "--job-minutes", type=float, default=180, metavar="N", help="the minutes to wait for a job (default: 180)"
    )
    return parser


def _chosen(only: str | None) -> list[Question]:
    if only is None:
        return list(QUESTIONS)
    ids = [id.strip() for id in only.split(",")]
    known = {question.id: question for question in QUESTIONS}
    unknown = [id for id in ids if id not in known]
    if unknown:
        raise UsageError(f"--only: got {unknown[0]!r}, expected {', '.join(known)}")
    return [known[id] for id in ids]


def _checked(settings: Settings, query: str | None) -> Settings:
    """Checks account, solution version and query without creating anything."""
    session = boto3.Session(region_name=settings.region)
    try:
        account = session.client("sts").get_caller_identity()["Account"]
    except (BotoCoreError, ClientError) as error:
        raise UsageError(f"credentials: {error}") from error
    if account != settings.account:
        raise UsageError(
            f"solution version: got the account {settings.account} in {settings.solution_version_arn!r}, expected "
            f"{account}, the account of your credentials"
        )
    try:
        version = session.client("personalize").describe_solution_version(
            solutionVersionArn=settings.solution_version_arn
        )["solutionVersion"]
    except (BotoCoreError, ClientError) as error:
        raise UsageError(f"solution version: {error}") from error
    recipe = version.get("recipeArn", "").rpartition("/")[2]
    if recipe not in _RECIPES:
        raise UsageError(f"solution version: got the recipe {recipe!r}, expected {' or '.join(_RECIPES)}")
    if version.get("status") != "ACTIVE":
        raise UsageError(f"solution version: got the status {version.get('status')!r}, expected 'ACTIVE'")
    if query is None and recipe == "aws-item-attribute-affinity":
        raise UsageError(
            "query: got none, expected an expression with a column of your Items data, for example "
            "QUERY='ITEMS.GENRES = \"Comedy\"'"
        )
    settings = replace(settings, recipe=recipe, query=query or "1")
    try:
        check_queries([("query", io.BytesIO(settings.line().encode()))]).raise_if_faulty()
    except ValueError as error:
        raise UsageError(str(error)) from error
    return settings


def _plan(settings: Settings, questions: list[Question]) -> str:
    trials = trials_for(questions)
    stacks = [trial for trial in trials if trial in LIBRARY_STACKS]
    described = [f"  {settings.stack(trial)}: {LIBRARY_STACKS[trial]}" for trial in stacks]
    if set(trials) - set(stacks):
        described.append(
            f"  {settings.stack(PROBES)}: {2 * len(PAIRS)} buckets and 3 roles for jobs without the library"
        )
    jobs = [f"  {trial}: {TRIALS[trial].what}" for trial in trials if TRIALS[trial].jobs]
    refused = [f"  {trial}: {TRIALS[trial].what}" for trial in trials if not TRIALS[trial].jobs]
    lines = [
        f"Account {settings.account}, region {settings.region}, {len(questions)} questions.",
        "",
        f"{len(described)} stacks will be created, and deleted at the end:",
        *described,
        "",
        f"{len(jobs)} batch segment jobs will be created and billed, at most {AT_ONCE} at once:",
        *jobs,
    ]
    if refused:
        lines += [
            "",
            f"{len(refused)} more requests should be refused or will not be needed. Each is a billed job if the "
            f"service accepts it, so at most {len(trials)} jobs are billed:",
            *refused,
        ]
    lines += ["", "Personalize can neither stop nor delete a job: the records of the jobs stay."]
    return "\n".join(lines)


def _confirmed() -> bool:
    if not sys.stdin.isatty():
        print_result("There is no terminal to ask for confirmation: pass --yes to continue.")
        return False
    try:
        return input("Continue? [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        return False


def _run(settings: Settings, cdk: Cdk, questions: list[Question], options: argparse.Namespace) -> int:
    trials = Trials(
        settings,
        cdk,
        print_progress,
        poll=options.poll_seconds,
        patience=options.patience_seconds,
        longest=options.job_minutes * 60,
    )
    notes: list[str] = []
    interrupted = False
    results: list[Result] = []
    # Clean up after SIGTERM, and when the terminal closes, as after Ctrl-C. `nohup` ignores SIGHUP.
    for signum in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(signum) is not signal.SIG_IGN:
            signal.signal(signum, signal.default_int_handler)
    try:
        try:
            trials.run(trials_for(questions))
        except KeyboardInterrupt:
            interrupted = True
            notes.append("Interrupted before all trials had ended. A job that is in progress cannot be stopped.")
        results = [_result(question, trials) for question in questions]
    except KeyboardInterrupt:
        interrupted = True
        notes.append("Interrupted before all questions were asked.")
        results = results or [Result(question, None, "interrupted") for question in questions]
    finally:
        notes += _clean_up(cdk)
    clean = not cdk.stacks
    jobs = [arn.rpartition("/")[2] for arn in trials.jobs]
    notes.append(f"The records of these jobs stay: {', '.join(jobs)}." if jobs else "No job was created.")
    report = Report(settings, results, notes, show_account=options.show_account)
    path = Path(options.report)
    try:
        path.write_text(report.markdown(), encoding="utf-8")
    except OSError as error:
        # The jobs are billed, so do not lose their results.
        print_result(report.markdown())
        print_error(f"the report could not be written: {error}")
        return _INCOMPLETE
    for note in notes:
        print_progress(note)
    print_result(f"The report is in {path}.")
    if interrupted:
        return _INTERRUPTED
    return _OK if clean and all(result.answer is not None for result in results) else _INCOMPLETE


def _result(question: Question, trials: Trials) -> Result:
    try:
        return Result(question, question.answer(trials))
    except NotAnsweredError as error:
        return Result(question, None, str(error))
    except Exception as error:
        # An unexpected response must not stop the other questions.
        return Result(question, None, excerpt(f"{type(error).__name__}: {error}"))


def _clean_up(cdk: Cdk) -> list[str]:
    if not cdk.stacks:
        return []
    print_progress(f"deleting {len(cdk.stacks)} stacks with their buckets; Ctrl-C now would leave them in the account")
    try:
        with _terminable():
            failures = cdk.destroy()
    except KeyboardInterrupt:
        cdk.stop()
        failures = ["interrupted"]
    if not failures:
        return ["All stacks and buckets of this run are deleted."]
    left = "; ".join(cdk.stacks)
    return [f"NOT deleted: {left}. Delete these stacks yourself.", *failures]


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """Ignores a second Ctrl-C within a second, because shells and users can send it twice."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    timer = signal.signal(signal.SIGALRM, lambda *_: signal.signal(signal.SIGINT, before))
    signal.alarm(1)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, timer)
        signal.signal(signal.SIGINT, before)
