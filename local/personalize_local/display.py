"""Output for people: messages, progress, and the tables of `status` and `segments`."""

import contextlib
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from personalize_segments_reader import Segment

    from .models import Job

_NEWLINE = "\n"
#: How the local Personalize ranks users. Every output of segments and numbers of users says so.
SCORING = "counts of interactions, not the predictions of a model"
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
    # If the terminal is closed, the cleanup must still happen.
    with contextlib.suppress(OSError):
        print(f"personalize-local: {printable(text, keep=_NEWLINE)}", file=sys.stderr, flush=True)


def count(number: int, one: str, many: str = "") -> str:
    """Returns a number with its noun.

    Args:
        number: The number.
        one: The noun in the singular.
        many: The noun in the plural. Defaults to the singular with an s.
    """
    return f"{number:,} {one if number == 1 else many or one + 's'}"


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
    return _table(("job", "status", "reason"), rows)


def failure_table(stack: str, failures: Iterable[tuple[str, str, str]]) -> Any:
    """Returns a table of the failed events of a stack.

    Args:
        stack: The name of the stack.
        failures: The logical ID, status and reason of each event.
    """
    return _table(("resource", "status", "reason"), failures, f"failures of the stack {stack}")


def run_table(runs: Iterable[dict[str, Any]]) -> Any:
    """Returns a table of the runs of workflows."""
    rows = []
    for run in runs:
        counts = run["counts"]
        audiences = ", ".join(f"{counts[status]} {status}" for status in _COUNTED if counts.get(status))
        rows.append((run["workflow"], run["started"], run["status"], audiences, run["reason"]))
    return _table(("workflow", "started", "status", "audiences", "reason"), rows)


def audience_table(audiences: Iterable[dict[str, Any]]) -> Any:
    """Returns a table of audiences and their newest runs."""
    rows = [
        (audience["workflow"], audience["audience"], audience["run"], audience["status"], _why(audience))
        for audience in audiences
    ]
    return _table(("workflow", "audience", "run", "status", "reason"), rows)


def audience_line(audience: dict[str, Any]) -> Any:
    """Returns a line with the name, run and status of an audience, and why it failed."""
    from rich.text import Text

    parts = (audience["run"], audience["status"], _why(audience))
    return Text.assemble(safe_text(audience["audience"], "bold"), " ", safe_text(" ".join(filter(None, parts))))


def _why(audience: dict[str, Any]) -> str:
    if audience["status"] == "SUCCEEDED":
        return "" if audience["queryErrors"] in ("", "none") else str(audience["queryErrors"])
    return str(audience["reason"])


def new_table(title: str = "") -> Any:
    """Returns an empty table without borders, so that it can be copied.

    Args:
        title: The line above the table.
    """
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    return Table(title=title or None, title_justify="left", box=SIMPLE_HEAD, show_edge=False, pad_edge=False)


def _table(columns: Iterable[str], rows: Iterable[Iterable[str]], title: str = "") -> Any:
    table = new_table(title)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(safe_text(printable(cell)) for cell in row))
    return table


def job_line(job: dict[str, Any]) -> Any:
    """Returns a line with the name, status and failure reason of a job."""
    from rich.text import Text

    parts = (job["status"], job.get("failureReason", ""))
    return Text.assemble(safe_text(job["jobName"], "bold"), " ", safe_text(printable(" ".join(filter(None, parts)))))


def segment_tables(segments: "Iterable[Segment]", limit: int) -> list[Any]:
    """Returns a table of the segments with its explanation, and a table of failed queries. Omits tables without rows.

    Args:
        segments: The segment of each query.
        limit: The maximum number of users to show in each row.
    """
    found, errors = new_table(), new_table("errors")
    found.add_column("query", overflow="fold")
    found.add_column("users", justify="right")
    found.add_column(f"the first {limit}", overflow="fold")
    errors.add_column("query", overflow="fold")
    errors.add_column("error", overflow="fold")
    for segment in segments:
        query = safe_text(describe_query(segment.query))
        if segment.error is None:
            users = " ".join(segment.user_ids[:limit])
            found.add_row(query, f"{len(segment.user_ids):,}", safe_text(printable(users)))
        else:
            errors.add_row(query, safe_text(printable(segment.error)))
    return [*([found, safe_text(SCORING)] if found.row_count else []), *([errors] if errors.row_count else [])]


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
