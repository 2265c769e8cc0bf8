"""Reads CSV files that spreadsheets export, as rows with line numbers."""

import codecs
import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_SAVE = 'save it as "CSV UTF-8"'
#: Other formats, by their first bytes.
_OTHER_FORMATS = {
    b"PK\x03\x04": "an Excel workbook or a zip file",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}
#: Excel writes semicolons in locales whose decimal separator is a comma.
_DELIMITERS = ",;"
_OTHER_DELIMITERS = "\t|"


@dataclass(frozen=True)
class Row:
    """A non-empty row.

    Attributes:
        line: The number of its first line, from 1.
        cells: The cells, without surrounding spaces.
    """

    line: int
    cells: list[str]


def rows(content: bytes) -> Iterator[Row]:
    """Reads the rows of a file, the header first.

    Args:
        content: The file's content: UTF-8, with or without a byte order mark, with commas or semicolons.

    Raises:
        ValueError: The content is invalid. The message names the line.
    """
    for mark, name in _OTHER_FORMATS.items():
        if content.startswith(mark):
            raise ValueError(f"got {name}, expected CSV: {_SAVE}")
    content = content.removeprefix(codecs.BOM_UTF8)
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        got = f"line {line}: got the byte 0x{content[error.start]:02x}, which is not UTF-8"
        raise ValueError(f"{got}, expected UTF-8: {_SAVE}") from None
    first_line = next(iter(text.lstrip().splitlines()), "")
    delimiter = max(_DELIMITERS, key=lambda one: len(next(csv.reader([first_line], delimiter=one), [])))
    # Do not translate line ends: a line end in quotation marks is part of a cell.
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True, skipinitialspace=True)
    while True:
        line = reader.line_num + 1
        try:
            cells = [cell.strip() for cell in next(reader)]
        except StopIteration:
            return
        except csv.Error as error:
            raise ValueError(f"line {line}: {_reason(error, delimiter)}") from None
        if len(cells) == 1 and (other := next((one for one in _OTHER_DELIMITERS if one in cells[0]), None)):
            raise ValueError(f"line {line}: got cells with {other!r} between them, expected commas or semicolons")
        if any(cells):
            yield Row(line, cells)


def read(path: Path) -> bytes:
    """Reads a file.

    Raises:
        ValueError: The file does not exist.
    """
    if not path.is_file():
        what = "a folder" if path.is_dir() else "a path that does not exist"
        raise ValueError(f"path: got {what}, {str(path)!r}, expected a CSV file of audiences")
    return path.read_bytes()


def _reason(error: csv.Error, delimiter: str) -> str:
    # The messages of `csv`: https://github.com/python/cpython/blob/3.11/Modules/_csv.c
    text = str(error)
    if "end of data" in text:
        return "got an unclosed quotation mark, expected a closing one: double a quotation mark that is part of a text"
    if "expected after" in text:
        expected = f"expected {delimiter!r} or the end of the line: double a quotation mark that is part of a text"
        return f"got text after a closing quotation mark, {expected}"
    if "field limit" in text:
        return f"got a cell of more than {csv.field_size_limit():,} characters, expected a shorter one"
    return f"got a line that is not valid CSV ({text})"
