"""Reads the segments of audiences from the local AWS that the environment names."""

import time
from collections.abc import Sequence
from typing import Any

from . import control_client
from .display import progress

# Each look asks for all executions.
_POLL_SECONDS = 0.5


def wait_for_audiences(names: Sequence[str]) -> list[dict[str, Any]]:
    """Waits until no run of some audiences is left, and returns the newest end of each.

    Args:
        names: The exact names of the audiences. Names of others are ignored.
    """
    if not names or not (running := _running(found := _audiences(names))):
        return found if names else []
    with progress(f"waiting for {len(running)} audiences") as update:
        while running := _running(found):
            update(f"waiting for {len(running)} audiences")
            time.sleep(_POLL_SECONDS)
            found = _audiences(names)
    return found


def _audiences(names: Sequence[str]) -> list[dict[str, Any]]:
    return [found for found in control_client.call("ListRuns")["audiences"] if found["audience"] in names]


def _running(audiences: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [audience for audience in audiences if audience["status"] == "RUNNING"]
