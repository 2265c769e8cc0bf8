"""The rules for names of columns, which headers and schemas share."""

import difflib
import re
from collections.abc import Callable, Sequence

from . import sources
from .dataset_types import KEYWORDS, DatasetType
from .problems import DataError, Problem, excerpt

# Avro's names: https://avro.apache.org/docs/current/specification/#names
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def check_names(file: str, kind: DatasetType, names: Sequence[str], line_of: Callable[[str], int | None]) -> None:
    """Checks the names of the columns of a data set.

    Args:
        file: The file that has the names.
        kind: The type of the data set.
        names: The names in order.
        line_of: Returns the line of a name.

    Raises:
        DataError: A required column is missing, a name is invalid, or there are too many or too few columns.
    """
    problems = [
        Problem(file, line_of(name), *found)
        for name in dict.fromkeys(names)
        if (found := _fault(kind, name)) is not None
    ]
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(name.replace("_", ""), name)
        if other == name and names.count(name) == 1:
            continue
        if other == name:
            if all(problem.description != f"{name}: got the name more than once" for problem in problems):
                problems.append(
                    Problem(
                        file, line_of(name), f"{name}: got the name more than once", "remove a column", sources.SCHEMAS
                    )
                )
        else:
            problems.append(
                Problem(
                    file,
                    line_of(name),
                    f"{name}: got a name that differs from {other} in underscores only",
                    "rename one of them",
                    sources.SCHEMAS,
                )
            )
    missing = [field.name for field in kind.required if field.name not in names]
    if missing:
        problems.append(_missing(file, missing, names))
    raise_if_any(problems)
    raise_if_any(_count_problems(file, kind, names))


def raise_if_any(problems: Sequence[Problem]) -> None:
    """Raises DataError if there are problems."""
    if problems:
        raise DataError(problems)


def _fault(kind: DatasetType, name: str) -> tuple[str, str, str] | None:
    if not _NAME.fullmatch(name):
        return (
            f"got the column name {excerpt(name)}, expected letters, digits and underscores",
            "rename the column",
            sources.SCHEMAS,
        )
    if name in KEYWORDS and kind.known_field(name) is None:
        return f"{name}: the name is reserved for another data set", "rename the column", sources.CUSTOM_SCHEMAS
    return None


def _missing(file: str, missing: Sequence[str], names: Sequence[str]) -> Problem:
    hints = []
    for name in missing:
        near = difflib.get_close_matches(name, [other.upper() for other in names], 1, cutoff=0.75)
        found = next((other for other in names if near and other.upper() == near[0] and other != name), None)
        if found is not None:
            hints.append(f"rename {found} to {name}")
    return Problem(
        file,
        1 if file.endswith(".csv") else None,
        f"missing the required columns {', '.join(missing)}"
        if len(missing) > 1
        else f"missing the required column {missing[0]}",
        " and ".join(hints) or "add them" if len(missing) > 1 else " and ".join(hints) or "add it",
        sources.CUSTOM_SCHEMAS,
    )


def _count_problems(file: str, kind: DatasetType, names: Sequence[str]) -> list[Problem]:
    metadata = [name for name in names if kind.known_field(name) is None]
    line = 1 if file.endswith(".csv") else None
    if len(metadata) > kind.max_metadata:
        return [
            Problem(
                file,
                line,
                f"got {len(metadata)} metadata columns, expected at most {kind.max_metadata}",
                f"remove {len(metadata) - kind.max_metadata} of them",
                sources.LIMITS,
            )
        ]
    if len(metadata) < kind.min_metadata:
        return [
            Problem(file, line, "got no metadata column, expected at least 1", "add a column", sources.CUSTOM_SCHEMAS)
        ]
    return []
