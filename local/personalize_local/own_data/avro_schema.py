"""Reads the Avro schema beside a CSV file. Rejects a schema that CreateSchema or a later import rejects."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

from . import sources
from .dataset_types import MAX_TEXTUAL_FIELDS, AvroType, DatasetType, Field
from .field_names import check_names
from .problems import DataError, Problem, excerpt

_SUFFIXES = (".json", ".avsc")
_TYPES = get_args(AvroType)


def read_schema(folder: Path, kind: DatasetType) -> list[Field] | None:
    """Reads the schema of a data set.

    Args:
        folder: The folder of the data.
        kind: The type of the data set.

    Returns:
        The fields in the order of the columns, or None if no schema is there.

    Raises:
        DataError: The schema is invalid.
    """
    stem = kind.file.removesuffix(".csv")
    path = next((path for suffix in _SUFFIXES if (path := folder / f"{stem}{suffix}").is_file()), None)
    if path is None:
        return None
    try:
        text = path.read_text("utf-8-sig")
    except UnicodeDecodeError:
        problem = Problem(path.name, None, "got bytes that are not UTF-8", "save the file as UTF-8", sources.SCHEMAS)
        raise DataError([problem]) from None
    return parse_schema(path.name, text, kind)


def parse_schema(name: str, text: str, kind: DatasetType) -> list[Field]:
    """Parses a schema.

    Args:
        name: The name of the file or of the schema, for messages.
        text: The schema.
        kind: The type of the data set.

    Raises:
        DataError: The schema is invalid.
    """
    return _Schema(name, text, kind).fields()


class _Schema:
    def __init__(self, name: str, text: str, kind: DatasetType) -> None:
        self._kind = kind
        self._file = name
        self._text = text
        try:
            self._content = json.loads(self._text)
        except json.JSONDecodeError as error:
            raise DataError(
                [Problem(self._file, error.lineno, f"invalid JSON: {error.msg}", "correct it", sources.SCHEMAS)]
            ) from None
        except RecursionError:
            raise self._error(None, "got nested structures", "write a flat schema") from None

    def fields(self) -> list[Field]:
        content = self._content
        if not isinstance(content, dict) or content.get("type") != "record":
            raise self._error(None, 'expected an Avro schema with "type": "record"', "see the example of the page")
        if content.get("name") != self._kind.name:
            name = excerpt(str(content.get("name")))
            raise self._error('"name"', f"name: got {name}, expected {self._kind.name}", "rename it")
        declared = content.get("fields")
        if not isinstance(declared, list) or not declared:
            raise self._error('"fields"', "fields: expected a list of fields", "declare each column of the CSV file")
        fields = [self._field(entry) for entry in declared]
        check_names(self._file, self._kind, [field.name for field in fields], self._line_of)
        self._check_metadata(fields)
        return fields

    def _field(self, entry: Any) -> Field:
        if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
            raise self._error('"fields"', 'fields: expected objects with "name" and "type"', "correct the field")
        name = entry["name"]
        declared = entry.get("type")
        types = declared if isinstance(declared, list) else [declared]
        values = [one for one in types if one != "null"]
        avro_type: AvroType | None = next((one for one in _TYPES if values == [one]), None)
        if avro_type is None:
            got = excerpt(declared if isinstance(declared, str) else json.dumps(declared))
            expected = f"one of {', '.join(_TYPES)}, alone or in a list with null"
            raise self._error_at(
                name, f"{name}: type: got {got}, expected {expected}", "arrays and maps are not supported"
            )
        field = Field(
            name,
            avro_type,
            is_nullable="null" in types,
            is_categorical=self._flag(entry, "categorical"),
            is_textual=self._flag(entry, "textual"),
        )
        self._check_attributes(field)
        return field

    def _flag(self, entry: dict[str, Any], attribute: str) -> bool:
        value = entry.get(attribute, False)
        if not isinstance(value, bool):
            name = entry["name"]
            raise self._error_at(
                name, f"{name}: {attribute}: got {json.dumps(value)[:20]}, expected true or false", "correct it"
            )
        return value

    def _check_attributes(self, field: Field) -> None:
        known = self._kind.known_field(field.name)
        if known is not None:
            if field.type != known.type:
                raise self._error_at(
                    field.name, f"{field.name}: type: got {field.type}, expected {known.type}", "change the type"
                )
            if field.is_nullable and not known.is_nullable:
                raise self._error_at(
                    field.name, f"{field.name}: got a null type, expected {known.type} alone", "omit null"
                )
            if field.is_categorical or field.is_textual:
                raise self._error_at(
                    field.name,
                    f"{field.name}: got a categorical or textual attribute on a required or reserved field",
                    "omit the attribute",
                )
        if (field.is_categorical or field.is_textual) and field.type != "string":
            raise self._error_at(
                field.name,
                f"{field.name}: got type {field.type} for text, expected string",
                "change the type to string",
            )
        if field.is_textual and self._kind.name != "Items":
            raise self._error_at(
                field.name,
                f"{field.name}: textual fields exist in Items data sets only",
                'set "categorical": true instead',
            )

    def _check_metadata(self, fields: Sequence[Field]) -> None:
        textual = [field.name for field in fields if field.is_textual]
        if len(textual) > MAX_TEXTUAL_FIELDS:
            raise DataError(
                [
                    Problem(
                        self._file,
                        self._line_of(textual[1]),
                        f"got {len(textual)} textual fields, expected at most {MAX_TEXTUAL_FIELDS}",
                        "keep one of them",
                        sources.LIMITS,
                    )
                ]
            )

    def _line_of(self, name: str) -> int | None:
        quoted = json.dumps(name)
        return next((number for number, line in enumerate(self._text.splitlines(), 1) if quoted in line), None)

    def _error_at(self, name: str, description: str, fix: str) -> DataError:
        return DataError([Problem(self._file, self._line_of(name), description, fix, sources.SCHEMAS)])

    def _error(self, text: str | None, description: str, fix: str) -> DataError:
        lines = self._text.splitlines() if text is not None else []
        line = next((number for number, line in enumerate(lines, 1) if text is not None and text in line), None)
        return DataError([Problem(self._file, line, description, fix, sources.SCHEMAS)])
