"""Tells linear time from quadratic time on a machine that does other work too."""

import math
import time
from collections.abc import Callable
from typing import TypeVar

import pytest

T = TypeVar("T")
#: The ratio of the lengths of the long and the short input.
_GROWTH = 16
#: Linear time grows 16-fold and quadratic time 256-fold. The limit is a factor of 4 away from both.
_LIMIT = 4 * _GROWTH
#: Calls are repeated until they take this long. A shorter measurement says little.
_SECONDS = 0.005
_ATTEMPTS = 10
# The threads of the local AWS can run in the same process. Python in WebAssembly has no clock for each thread.
_cpu_seconds: Callable[[], float] = getattr(time, "thread_time", time.process_time)


def assert_linear(work: Callable[[T], object], make: Callable[[int], T], length: int) -> None:
    """Asserts that the time of some work grows linearly with the length of its input.

    Compares the fastest of several measurements of two lengths, in CPU time of this thread. Other processes empty the
    caches of this one, so a measurement can be too long. It cannot be too short.

    Args:
        work: Takes an input.
        make: Creates an input of a length.
        length: The longer of the two lengths. Choose it so that quadratic time takes seconds, not minutes.

    Raises:
        Failed: The time grows faster.
    """
    short_input, long_input = make(length // _GROWTH), make(length)
    repeats = _enough_repeats(work, short_input)
    short = long = math.inf
    for _ in range(_ATTEMPTS):
        short = min(short, _seconds(work, short_input, repeats))
        long = min(long, _seconds(work, long_input, 1))
        if long < _LIMIT * short:
            return
    pytest.fail(
        f"got {long / short:.0f} times the seconds for {_GROWTH} times the length, expected about {_GROWTH} times and "
        f"less than {_LIMIT} times: {short:.6f} s for {length // _GROWTH}, {long:.6f} s for {length}"
    )


def _enough_repeats(work: Callable[[T], object], given: T) -> int:
    """Returns how many calls take long enough to be measured."""
    repeats = 1
    while repeats * _seconds(work, given, repeats) < _SECONDS:
        repeats *= 2
    return repeats


def _seconds(work: Callable[[T], object], given: T, repeats: int) -> float:
    """Returns the seconds of one call."""
    start = _cpu_seconds()
    for _ in range(repeats):
        work(given)
    return (_cpu_seconds() - start) / repeats
