"""Prints to the terminal, with the control characters in AWS's responses escaped."""

import contextlib
import sys
import time


def printable(text: str) -> str:
    r"""Escapes nonprintable characters except newlines, for example as ``\x1b``.

    Failure reasons, error messages and names of objects can contain control characters. A terminal would execute them.
    """
    return "".join(
        char if char.isprintable() or char == "\n" else char.encode("unicode_escape").decode("ascii") for char in text
    )


def print_result(text: str) -> None:
    """Prints to stdout."""
    print(printable(text), flush=True)


def print_error(text: str) -> None:
    """Prints an error to stderr."""
    _print_to_stderr(f"verify-account: {text}")


def print_progress(text: str) -> None:
    """Prints a line with the time to stderr."""
    _print_to_stderr(f"{time.strftime('%H:%M:%S')} {text}")


def _print_to_stderr(text: str) -> None:
    # If the terminal is closed, the stacks must still be deleted.
    with contextlib.suppress(OSError):
        print(printable(text), file=sys.stderr, flush=True)
