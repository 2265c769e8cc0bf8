"""Output for people: messages, progress, and the tables of `status` and `segments`."""

import contextlib
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from personalize_segments_reader import Segment

    from .models import Job

_NEWLINE = "\n"
_COUNTED = ("succeeded", "failed", "running", "pending", "aborted")


def printable(text: str, *, keep: str = "") -> str:
    r"""Escapes nonprintable characters, for example as ``\x1b``.

    Names of objects and failure reasons can contain control characters. A terminal would execute them: clear the
    screen, change its title, or reverse the text direction.

    Args:
        text: The text.
        keep: The characters to keep, for example a newline.
    """
    return "".join(
        char if char.isprintable() or char in keep else char.encode("unicode_escape").decode("ascii") for char in text
    )


def print_message(text: str) -> None:
    """Prints a message of the command to stderr. Stdout belongs to the command that `run` runs."""
    print(f"personalize-local: {printable(text, keep=_NEWLINE)}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def progress(description: str) -> Iterator[Callable[[str], None]]:
    """Shows a description with the elapsed time. Without a terminal, prints one line.

    Yields:
        A function that changes the description.
    """
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    is_interactive = console.is_terminal and not console.is_dumb_terminal
    columns = [SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()]
    with Progress(*columns, console=console, transient=True, disable=not is_interactive) as bar:
        if not is_interactive:
            print_message(description)
        task = bar.add_task(description)
        yield lambda text: bar.update(task, description=text)


def report_unfinished_jobs(jobs: "Iterable[Job]") -> None:
    """Prints the jobs that failed, and those that stop with the local AWS before they end."""
    for job in jobs:
        name = job.request["jobName"]
        if job.failure_reason is not None:
            print_message(f"the job {name} ended {job.status}: {printable(job.failure_reason)}")
        elif job.in_flight:
            print_message(
                f"the job {name} was still {job.status}; to see it end, wait for it in the same command: "
                "personalize-local run -- sh -c 'cdk deploy && personalize-local segments'"
            )


def no_jobs(names: Iterable[str]) -> str:
    """Returns the message that no job was found."""
    return f"There are no batch segment jobs{' of that name' if list(names) else ''}."


def job_table(rows: Iterable[tuple[str, str, str]]) -> Any:
    """Returns a table of jobs.

    Args:
        rows: The name, status and failure reason of each job.
    """
    return _table(("job", "status", "why"), rows)


def run_table(runs: Iterable[dict[str, Any]]) -> Any:
    """Returns a table of the runs of workflows."""
    rows = []
    for run in runs:
        counts = run["counts"]
        audiences = ", ".join(f"{counts[status]} {status}" for status in _COUNTED if counts.get(status))
        rows.append((run["workflow"], run["started"], run["status"], audiences, run["reason"]))
    return _table(("workflow", "started", "status", "audiences", "why"), rows)


def audience_table(audiences: Iterable[dict[str, Any]]) -> Any:
    """Returns a table of audiences and their newest runs."""
    rows = [
        (audience["workflow"], audience["audience"], audience["run"], audience["status"], _why(audience))
        for audience in audiences
    ]
    return _table(("workflow", "audience", "run", "status", "why"), rows)


def audience_line(audience: dict[str, Any]) -> Any:
    """Returns a line with the name, run and status of an audience, and why it failed."""
    from rich.text import Text

    parts = (audience["run"], audience["status"], _why(audience))
    return Text.assemble(safe_text(audience["audience"], "bold"), " ", safe_text(" ".join(filter(None, parts))))


def _why(audience: dict[str, Any]) -> str:
    if audience["status"] == "SUCCEEDED":
        return "" if audience["queryErrors"] in ("", "none") else str(audience["queryErrors"])
    return str(audience["reason"])


def _table(columns: Iterable[str], rows: Iterable[Iterable[str]]) -> Any:
    from rich.table import Table

    table = Table()
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(safe_text(printable(cell)) for cell in row))
    return table


def job_line(job: dict[str, Any]) -> Any:
    """Returns a line with the name, status and failure reason of a job."""
    from rich.text import Text

    reason = printable(job.get("failureReason", ""))
    return Text.assemble(safe_text(job["jobName"], "bold"), " ", safe_text(job["status"]), " ", safe_text(reason))


def segment_table(segments: "Iterable[tuple[str, Segment]]", limit: int) -> Any:
    """Returns a table of segments.

    Args:
        segments: The name of the file and the segment, for each query.
        limit: The maximum number of users to show in each row.
    """
    from rich.table import Table

    table = Table(caption="from a plain count over made-up data, not from a model")
    for column in ("file", "query", "users", f"the first {limit}"):
        table.add_column(column, overflow="fold")
    for name, segment in segments:
        first = printable(segment.error or " ".join(segment.user_ids[:limit]))
        table.add_row(
            safe_text(printable(name)),
            safe_text(describe_query(segment.query)),
            str(len(segment.user_ids)),
            safe_text(first),
        )
    return table


def describe_query(query: dict[str, Any]) -> str:
    """Returns the item or expression of a query, and one line for each filter value."""
    subject = query.get("itemAttributes") or query.get("itemId")
    values = query.get("filterValues") or {}
    if not isinstance(subject, str) or not isinstance(values, dict):
        return printable(str(query))
    return "\n".join([printable(subject), *(printable(f"${name} = {value}") for name, value in values.items())])


def safe_text(text: str, style: str = "") -> Any:
    """Returns text for a table or the console, without control characters and without rich's markup."""
    from rich.text import Text

    return Text(printable(text, keep=_NEWLINE), style)
