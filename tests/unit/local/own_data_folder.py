"""A small folder of valid data, in which tests change files."""

import json
from pathlib import Path
from typing import Any

#: 50 users with 20 interactions each, of 40 items.
INTERACTIONS = ["USER_ID,ITEM_ID,EVENT_TYPE,TIMESTAMP"] + [
    f"u{user:02},i{(user + step) % 40:02},{'watch' if step % 4 else 'rate'},{1_600_000_000 + 1000 * step + user}"
    for user in range(50)
    for step in range(20)
]
ITEMS = ["ITEM_ID,GENRES,YEAR"] + [
    f"i{item:02},{'Drama|Comedy' if item % 2 else 'Action'},{1980 + item}" for item in range(40)
]
USERS = ["USER_ID,AGE,COUNTRY"] + [f"u{user:02},{10 + user},{'Japan' if user % 3 else 'Kenya'}" for user in range(50)]


#: The content of files by name. None for a missing file.
Files = dict[str, str | bytes | None]


def schema(name: str, **types: Any) -> str:
    """Returns an Avro schema. A type is a name, or an object that has further attributes too."""
    fields = [
        {"name": field, **(type_ if isinstance(type_, dict) else {"type": type_})} for field, type_ in types.items()
    ]
    record = {"type": "record", "name": name, "namespace": "com.amazonaws.personalize.schema", "version": "1.0"}
    return json.dumps({**record, "fields": fields}, indent=1)


ITEMS_SCHEMA = {"ITEM_ID": "string", "GENRES": {"type": "string", "categorical": True}, "YEAR": "int"}


def write_folder(folder: Path, files: Files | None = None) -> Path:
    """Writes the folder.

    Args:
        folder: The folder to create.
        files: The content of files that differ, by name. None for a missing file.
    """
    content: Files = {
        "interactions.csv": text(INTERACTIONS),
        "items.csv": text(ITEMS),
        "users.csv": text(USERS),
        **(files or {}),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in content.items():
        if value is not None:
            (folder / name).write_bytes(value if isinstance(value, bytes) else value.encode())
    return folder


def text(lines: list[str]) -> str:
    """Joins lines."""
    return "".join(f"{line}\n" for line in lines)


def with_line(lines: list[str], number: int, line: str) -> str:
    """Replaces a line, counted from 1."""
    return text([*lines[: number - 1], line, *lines[number:]])


def rename(lines: list[str], old: str, new: str) -> str:
    """Replaces text in the header."""
    return text([lines[0].replace(old, new), *lines[1:]])
