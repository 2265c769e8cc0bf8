"""A CSV file of a data set: its header, and how DuckDB reads it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from . import sources
from .avro_schema import read_schema
from .dataset_types import DatasetType, Field
from .field_names import check_names
from .problems import DataError, Problem, excerpt

_MAX_HEADER_BYTES = 2**20
# An Excel workbook is a ZIP archive too.
_PACKED = {b"\x1f\x8b": "a gzip file", b"PK\x03\x04": "a ZIP archive or an Excel workbook", b"PAR1": "a Parquet file"}


@dataclass(frozen=True, slots=True)
class CsvFile:
    """A CSV file with a valid header.

    Attributes:
        path: The path.
        kind: The type of its data set.
        fields: The columns in order.
        has_schema: Whether the types are declared in a schema. Otherwise, they follow from the values.
    """

    path: Path
    kind: DatasetType
    fields: tuple[Field, ...]
    has_schema: bool

    @property
    def name(self) -> str:
        """The name of the file."""
        return self.path.name

    def column(self, name: str) -> str | None:
        """Returns the SQL name of a column. Names of users never become part of SQL."""
        return next((f"c{index}" for index, field in enumerate(self.fields) if field.name == name), None)

    def source(self) -> str:
        r"""Returns the table function that reads the rows as text, with the path as the parameter ``$path``.

        The escape character is documented ("Use the \\ character to escape any double quotes"):
        https://docs.aws.amazon.com/personalize/latest/dg/items-datasets.html
        """
        columns = ", ".join(f"'c{index}': 'VARCHAR'" for index in range(len(self.fields)))
        return (
            "read_csv($path, auto_detect=false, header=true, delim=',', quote='\"', escape='\\', "
            f"store_rejects=true, rejects_limit=20, columns={{{columns}}})"
        )


def open_csv(folder: Path, kind: DatasetType) -> CsvFile | None:
    """Reads the header of a data set's file, and its schema if there is one.

    Args:
        folder: The folder of the data.
        kind: The type of the data set.

    Returns:
        The file, or None if it does not exist.

    Raises:
        DataError: The header or the schema is invalid, or they do not match.
    """
    path = folder / kind.file
    if not path.is_file():
        packed = folder / f"{kind.file}.gz"
        if packed.is_file():
            raise _error(
                packed.name,
                None,
                "got a compressed file, expected CSV",
                f"run gunzip {packed.name}",
                sources.CSV_FORMAT,
            )
        return None
    names = _read_header(path)
    schema = read_schema(folder, kind)
    if schema is None:
        check_names(path.name, kind, names, lambda _: 1)
        return CsvFile(path, kind, tuple(_undeclared(kind, name) for name in names), has_schema=False)
    _check_against_schema(path.name, names, [field.name for field in schema])
    return CsvFile(path, kind, tuple(schema), has_schema=True)


def _undeclared(kind: DatasetType, name: str) -> Field:
    known = kind.known_field(name)
    return Field(name, "string", is_nullable=True, is_categorical=True) if known is None else known


def _read_header(path: Path) -> list[str]:
    with path.open("rb") as file:
        line = file.readline(_MAX_HEADER_BYTES)
    for start, name in _PACKED.items():
        if line.startswith(start):
            raise _error(path.name, None, f"got {name}, expected CSV", "unpack or export it", sources.CSV_FORMAT)
    try:
        text = line.decode("utf-8-sig").rstrip("\r\n")
    except UnicodeDecodeError:
        raise _error(
            path.name, 1, "got bytes that are not UTF-8", "save the file as UTF-8", sources.CSV_FORMAT
        ) from None
    if not text.strip():
        raise _error(path.name, 1, "expected the names of the columns", "add a header", sources.CSV_FORMAT)
    if "\r" in text:
        raise _error(
            path.name,
            1,
            "got lines that end with a carriage return alone",
            "save it with line feeds",
            sources.CSV_FORMAT,
        )
    if '"' in text:
        raise _error(path.name, 1, "got a header in quotation marks", "remove the quotation marks", sources.CSV_FORMAT)
    for separator, name in ((";", "semicolons"), ("\t", "tabs")):
        if separator in text and "," not in text:
            raise _error(
                path.name, 1, f"got {name} between columns, expected commas", "save it with commas", sources.CSV_FORMAT
            )
    return text.split(",")


def _check_against_schema(file: str, names: Sequence[str], declared: Sequence[str]) -> None:
    missing = [name for name in declared if name not in names]
    extra = [name for name in names if name not in declared]
    if missing:
        raise _error(file, 1, f"missing columns of the schema: {', '.join(missing)}", "add the columns", sources.ERRORS)
    if extra:
        listed = ", ".join(map(excerpt, extra))
        raise _error(
            file,
            1,
            f"got columns that the schema does not have: {listed}",
            "declare or remove them",
            sources.CSV_FORMAT,
        )
    if list(names) != list(declared):
        at = next(index for index, (name, other) in enumerate(zip(names, declared, strict=False)) if name != other)
        raise _error(
            file,
            1,
            f"got {names[at]} as column {at + 1}, expected {declared[at]} as in the schema",
            "use the same order in both files",
            sources.SCHEMAS,
        )


def _error(file: str, line: int | None, description: str, fix: str, source: str) -> DataError:
    return DataError([Problem(file, line, description, fix, source)])
