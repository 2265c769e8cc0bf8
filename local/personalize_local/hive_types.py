"""The types of columns in the Glue Data Catalog, as DuckDB names them."""

import re

_SIMPLE = {
    "string": "VARCHAR",
    "boolean": "BOOLEAN",
    "tinyint": "TINYINT",
    "smallint": "SMALLINT",
    "int": "INTEGER",
    "integer": "INTEGER",
    "bigint": "BIGINT",
    "float": "FLOAT",
    "double": "DOUBLE",
    "date": "DATE",
    "timestamp": "TIMESTAMP",
    "binary": "BLOB",
}


def duckdb_type(hive: str) -> str:
    """Translates a type, for example ``struct<userslist:array<string>>``.

    Raises:
        ValueError: There is no such type.
    """
    text = re.sub(r"\s+", "", hive.lower())
    translated, rest = _parse(text)
    if rest:
        raise ValueError(f"the type {hive!r} is not valid")
    return translated


def _parse(text: str) -> tuple[str, str]:
    """Returns the translation of the type at the start of a text, and the rest."""
    match = re.match(r"[a-z]+(\(\d+(,\d+)?\))?", text)
    if match is None:
        raise ValueError(f"expected a type at {text!r}")
    name, rest = match[0].partition("(")[0], text[match.end() :]
    if name == "array" and rest.startswith("<"):
        item, rest = _parse(rest[1:])
        return f"{item}[]", _closed(rest)
    if name == "map" and rest.startswith("<"):
        key, rest = _parse(rest[1:])
        value, rest = _parse(rest.removeprefix(","))
        return f"MAP({key}, {value})", _closed(rest)
    if name == "struct" and rest.startswith("<"):
        return _parse_struct(rest[1:])
    if name == "decimal":
        return match[0].upper(), rest
    if name in ("varchar", "char"):
        return "VARCHAR", rest
    if name not in _SIMPLE:
        raise ValueError(f"the type {name!r} is not known")
    return _SIMPLE[name], rest


def _parse_struct(text: str) -> tuple[str, str]:
    fields = []
    while True:
        name, _, text = text.partition(":")
        type, text = _parse(text)
        quoted = name.replace('"', '""')
        fields.append(f'"{quoted}" {type}')
        if not text.startswith(","):
            return f"STRUCT({', '.join(fields)})", _closed(text)
        text = text[1:]


def _closed(text: str) -> str:
    if not text.startswith(">"):
        raise ValueError(f"expected '>' at {text!r}")
    return text[1:]
