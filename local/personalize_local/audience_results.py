"""Reads the segments of audiences from the local AWS that the environment names."""

import time
from collections.abc import Sequence
from typing import Any

from . import control_client
from .display import count, progress

# Each poll lists all executions.
_POLL_SECONDS = 0.5


def wait_for_audiences(names: Sequence[str]) -> list[dict[str, Any]]:
    """Waits until all runs of some audiences end, and returns the newest result of each audience.

    Args:
        names: The exact names of the audiences. Names of others are ignored.
    """
    if not names:
        return []
    found, waiting = _audiences(names)
    if not waiting:
        return found
    with progress(f"waiting for {count(len(waiting), 'audience')}") as update:
        while waiting:
            update(f"waiting for {count(len(waiting), 'audience')}")
            time.sleep(_POLL_SECONDS)
            found, waiting = _audiences(names)
    return found


def _audiences(names: Sequence[str]) -> tuple[list[dict[str, Any]], set[str]]:
    """Returns the audiences with some names, and the names of those that a run has not finished."""
    response = control_client.call("ListRuns")
    found = [audience for audience in response["audiences"] if audience["audience"] in names]
    waiting = {audience["audience"] for audience in found if audience["status"] == "RUNNING"}
    starts = [run["started"] for run in response["runs"] if run["status"] == "RUNNING"]
    if starts:
        # A run can have an audience that it has not started yet. Such an audience is not listed, or with an older end.
        waiting |= set(names) - {audience["audience"] for audience in found if audience["ended"] >= max(starts)}
    return found, waiting
