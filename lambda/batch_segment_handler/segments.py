"""The job's output: who is in each segment. For programs that use segments; not part of what the handler is.

Sources:
    OUTPUT: https://docs.aws.amazon.com/personalize/latest/dg/batch-segment-job-output-examples.html
    OBSERVED: https://github.com/aws-samples/amazon-personalize-samples,
        next_steps/core_use_cases/user_segmentation/user_segmentation_example.ipynb
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from .expressions import excerpt

#: OBSERVED and OUTPUT, in this order: the key that holds the users.
_USERS = ("usersList", "recommendedUsers")


@dataclass(frozen=True, slots=True)
class Segment:
    """The answer to one query.

    Attributes:
        query: The query, as it was asked.
        user_ids: The users, likeliest first; none if there was an error.
        error: Why the service could not answer, in its words; None if it could.
    """

    query: dict[str, Any]
    user_ids: list[str]
    error: str | None


def read_segments(lines: Iterable[bytes | str]) -> Iterator[Segment]:
    r"""Reads the records of an output object, ``<input name>.out``.

    The records are taken in both forms that are known: the
    `documented one <https://docs.aws.amazon.com/personalize/latest/dg/batch-segment-job-output-examples.html>`_
    (``recommendedUsers``, and an ``itemAttributes`` query that is not under ``input``), and what the service was seen
    to write in AWS's notebooks (``usersList``, and an ``error``). A job can be ACTIVE and yet have queries that ended
    with an error: that is no failure here but the segment's ``error``.

    Args:
        lines: The object's lines, with or without ``\n``, for example ``body.iter_lines()``. Blank lines are passed
            over.

    Yields:
        The segments, in the order of the lines, each as soon as its line is read.

    Raises:
        ValueError: A line is no such record; the message names the line.
    """
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                segment = _segment(line)
            except ValueError as error:
                raise ValueError(f"line {number}: {error}") from None
            yield segment


def _segment(line: bytes | str) -> Segment:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        raise ValueError(f"expected a JSON object, got {_shown(line)}") from None
    if not isinstance(record, dict):
        raise ValueError(f"expected a JSON object, got {_shown(line)}")
    error = record.pop("error", None) or None
    output = record.pop("output", None)
    query = record.pop("input", record)
    if error is not None and not isinstance(error, str):
        error = json.dumps(error, ensure_ascii=False)
    users = next((output[key] for key in _USERS if key in output), None) if isinstance(output, dict) else None
    if error is not None:
        # What was asked may be no query, and there may be no answer.
        return Segment(query if isinstance(query, dict) else {}, users if isinstance(users, list) else [], error)
    if not isinstance(query, dict) or not query:
        raise ValueError('expected the query, in "input" or beside "output", got none')
    if not isinstance(users, list):
        raise ValueError('expected a list of users in "output", "usersList" or "recommendedUsers", got none')
    if strangers := [user for user in users if not isinstance(user, str)]:
        raise ValueError(f"expected the IDs of users to be text, got {excerpt(strangers[0])}")
    return Segment(query, users, None)


def _shown(line: bytes | str) -> str:
    return excerpt(line.decode(errors="replace") if isinstance(line, bytes) else line)
