"""A list of audiences in a CSV file."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

Made = TypeVar("Made")


def read(path: Path, *, make: Callable[..., Made], filter_arn: str | None) -> list[Made]:
    """Reads a list of audiences."""
    raise NotImplementedError
