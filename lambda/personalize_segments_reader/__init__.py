"""Reads segments from the output of batch segment jobs. Requires only the standard library.

Sources:
    OUTPUT: https://docs.aws.amazon.com/personalize/latest/dg/batch-segment-job-output-examples.html
    OBSERVED: https://github.com/aws-samples/amazon-personalize-samples,
        next_steps/core_use_cases/user_segmentation/user_segmentation_example.ipynb
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

__all__ = ["Segment", "read_segments"]

#: The key of the users: OBSERVED, then OUTPUT.
_USERS = ("usersList", "recommendedUsers")
_MAX_EXCERPT_LENGTH = 20


@dataclass(frozen=True, slots=True)
class Segment:
    """The segment of one query. `read_segments` creates it.

    For example: ``Segment(query={"itemId": "105"}, user_ids=["7", "42"], error=None)``.

    Attributes:
        query: The query from the job's input.
        user_ids: The IDs of the users, most likely first. Empty if the query ended with an error.
        error: The service's error message, or None if the query succeeded.
    """

    query: dict[str, Any]
    user_ids: list[str]
    error: str | None


def read_segments(lines: Iterable[bytes | str]) -> Iterator[Segment]:
    r"""Reads the records of an output object, ``<input name>.out``.

    Reads both known forms of a record: the
    `documented form <https://docs.aws.amazon.com/personalize/latest/dg/batch-segment-job-output-examples.html>`_
    (``recommendedUsers``, and an ``itemAttributes`` query that is not under ``input``), and the form in the output of
    AWS's notebooks (``usersList``, and an ``error``). Queries of an ACTIVE job can end with an error. Such a query does
    not raise an exception: its segment has an ``error``. For example::

        lines = ['{"input": {"itemId": "105"}, "output": {"usersList": ["7", "42"]}}']
        for segment in read_segments(lines):
            print(segment.query, segment.user_ids)

    Args:
        lines: The object's lines, with or without ``\n``. Blank lines are skipped.

    Yields:
        The segments, in the order of the lines, each as soon as its line is read.

    Raises:
        ValueError: A line is not a record. The message names the line.
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
        record = None
    if not isinstance(record, dict):
        text = line.decode(errors="replace") if isinstance(line, bytes) else line
        raise ValueError(f"got {_excerpt(text)}, expected a JSON object")
    error = record.pop("error", None) or None
    output = record.pop("output", None)
    query = record.pop("input", record)
    if error is not None and not isinstance(error, str):
        error = json.dumps(error, ensure_ascii=False)
    users = next((output[key] for key in _USERS if key in output), None) if isinstance(output, dict) else None
    if error is not None:
        # The input might not be a query, and the output might be missing.
        return Segment(query if isinstance(query, dict) else {}, users if isinstance(users, list) else [], error)
    if not isinstance(query, dict) or not query:
        raise ValueError('got no query, expected one in "input" or next to "output"')
    if not isinstance(users, list):
        raise ValueError('got no list of users, expected "usersList" or "recommendedUsers" in "output"')
    for user in users:
        if not isinstance(user, str):
            raise ValueError(f"got a user ID of type {type(user).__name__}, expected a string")
    return Segment(query, users, None)


def _excerpt(text: str) -> str:
    return repr(text if len(text) <= _MAX_EXCERPT_LENGTH else f"{text[: _MAX_EXCERPT_LENGTH - 1]}…")
