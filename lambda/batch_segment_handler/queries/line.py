"""Parses one line exactly."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import NoReturn, get_args

from ..expressions import MAX_WARNINGS, ExpressionError, excerpt, parse_expression
from ..limits import QueryKind
from .json_text import LineFault, decode_line, offset_in_json, offsets_in_json, read_text

__all__ = ["LineFault", "LineParser"]

_KINDS: tuple[QueryKind, ...] = get_args(QueryKind)
_KEYS = (*_KINDS, "filterValues")
_SPACE = re.compile(r"[ \t\r]*+")
# Greedy, not possessive: Python before 3.11.5 matches such a possessive group wrongly (see fast_path).
_FILTER_VALUE = re.compile(r'\s*+"(?:[^"\\]|\\.)*+"(?:\s*+,\s*+"(?:[^"\\]|\\.)*+")*\s*+|[-+.\d]++', re.S)
_EMPTY_FILTER_VALUE = re.compile(r'"(?:[^"\\]|\\.)++"|("")', re.S)
_TEXT = "text in double quotes"
_GOT = {"{": "an object", "[": "an array", '"': "text", "'": "a single quote", "\ufeff": "a byte order mark"}
_WORD = re.compile(r"[\w.-]+|.")
#: Numbers and booleans that are short enough to show in quotes.
_UNQUOTED = re.compile(r"(?:-?\d[-+.\w]{0,18}|true|false)(?![-+.\w])", re.A)
#: How `SegmentQuery` writes each kind of query.
_IN_PYTHON = {"itemId": "SegmentQuery.items_like(…)", "itemAttributes": "SegmentQuery.where(…)"}


class LineParser:
    """Parses one line up to its first fault.

    Attributes:
        kind: The kind of the line's query.
        warnings: Offset and reason of the first `MAX_WARNINGS`.
    """

    def __init__(
        self,
        expected: QueryKind | None,
        kind_source: str,
        placeholders: Mapping[str, bool] | None,
        *,
        is_inline: bool,
    ) -> None:
        self.kind: QueryKind | None = None
        self.warnings: list[tuple[int, str]] = []
        self._expected, self._kind_source = expected, kind_source
        self._placeholders = placeholders
        self._is_inline = is_inline
        self._line = ""
        self._at = 0
        self._expression: tuple[int, str] | None = None
        self._filter_values: dict[str, int] = {}

    def read(self, line: bytes) -> None:
        """Parses the line, without its newline.

        Raises:
            LineFault: The line is not a query, has the wrong kind, or does not fit the filter's placeholders.
        """
        self._line = decode_line(line)
        if self._next() in ("[", "]", ","):
            reason = "a JSON array: write one object per line, without brackets around them or commas between them"
            raise LineFault(self._at, reason)
        start = self._at
        self._read_object(self._read_member, 'a query, {"itemId": "…"} or {"itemAttributes": "…"}')
        if following := self._next():
            if following == ",":
                raise LineFault(self._at, "a comma after the query: end the line with the closing brace")
            if following == "{":
                raise LineFault(self._at, "a second query on the line: write each query on its own line")
            self._refuse("the end of the line after the query")
        if self.kind is None:
            raise LineFault(start, 'no "itemId" and no "itemAttributes": a query has one of them')
        if self._expression:
            self._check_expression(*self._expression)
        if self._placeholders is not None:
            self._check_filter_values(start, self._placeholders)

    def _check_filter_values(self, start: int, placeholders: Mapping[str, bool]) -> None:
        missing = sorted(placeholders.keys() - self._filter_values)
        for name, at in self._filter_values.items():
            if name in placeholders:
                continue
            if missing:
                # Misspelled. If the value is optional, the service would silently ignore a part of the filter.
                raise LineFault(at, f"unknown filter value {excerpt(name)}, expected {_listed(missing)}")
            self._warn(at, f"a filter value without a placeholder, {excerpt(name)}")
        for name in missing:
            if placeholders[name]:
                fix = f"add .with_filter_values({name}=…)" if self._is_inline else 'give it in "filterValues"'
                raise LineFault(start, f"no value for the filter's placeholder ${name}: {fix}")

    def _read_object(self, read_value: Callable[[str, int], None], expected: str) -> None:
        if self._next() != "{":
            self._refuse(expected)
        self._at += 1
        keys: set[str] = set()
        while self._next() != "}" or keys:
            key_at, key = self._read_text("a key in double quotes")
            if key in keys:
                raise LineFault(key_at, f"the key {excerpt(key)} occurs twice: keep one")
            keys.add(key)
            if self._next() != ":":
                self._refuse("a colon after the key")
            self._at += 1
            read_value(key, key_at)
            if self._next() == "}":
                break
            if self._next() != ",":
                self._refuse("a comma or a closing brace after the value", r"; a quote inside text is written \"")
            self._at += 1
        self._at += 1

    def _read_member(self, key: str, key_at: int) -> None:
        if key == "filterValues":
            self._read_object(self._read_filter_value, r'"filterValues" to be an object, {"GENRE": "\"Comedy\""}')
        elif key not in _KINDS:
            hint = 'a query has "itemId" or "itemAttributes", and may have "filterValues"'
            for known in _KEYS:
                if re.sub("[_-]", "", key).lower() == known.lower():
                    hint = f'write "{known}"'
            raise LineFault(key_at, f"unknown key {excerpt(key)}: {hint}")
        elif self.kind is not None:
            raise LineFault(key_at, 'both "itemId" and "itemAttributes": a query has one of them')
        elif self._expected not in (None, key):
            # Before faults of the value, since the whole line has to change.
            expected, got = f'"{self._expected}"', f'"{key}"'
            if self._is_inline and self._expected:
                expected, got = _IN_PYTHON[self._expected], _IN_PYTHON[key]
            reason = f"got {got}, expected {expected}, {self._kind_source}: a job takes one kind of query"
            raise LineFault(key_at, reason)
        else:
            self.kind = key
            value_at, value = self._read_text(f'"{key}" to be {_TEXT}')
            if not value:
                raise LineFault(value_at, f'"{key}" is empty')
            if key == "itemAttributes":
                self._expression = value_at, value

    def _read_filter_value(self, key: str, key_at: int) -> None:
        if key.startswith("$"):
            raise LineFault(key_at, f"the filter value {excerpt(key)}: write {excerpt(key[1:])}, without the $")
        self._filter_values[key] = key_at
        value_at, value = self._read_text(f"a filter value to be {_TEXT}")
        if not _FILTER_VALUE.fullmatch(value):
            reason = r'a filter value without its own quotes: the documented form is "\"Comedy\""'
            self._warn(value_at, reason)
        elif any(found[1] for found in _EMPTY_FILTER_VALUE.finditer(value)):
            self._warn(value_at, "an empty filter value")

    def _warn(self, at: int, reason: str) -> None:
        if len(self.warnings) < MAX_WARNINGS:
            self.warnings.append((at, reason))

    def _check_expression(self, value_at: int, value: str) -> None:
        # Last: if a quote lacks its backslash, the text ends too early, and a fault of its expression misleads.
        try:
            warnings = parse_expression(value).warnings
        except ExpressionError as error:
            raise LineFault(offset_in_json(self._line, value_at, error.at), error.reason) from None
        self.warnings += offsets_in_json(self._line, value_at, warnings[: MAX_WARNINGS - len(self.warnings)])

    def _read_text(self, expected: str) -> tuple[int, str]:
        """Reads a text and returns it with its offset."""
        if self._next() != '"':
            self._refuse(expected)
        start = self._at
        value, self._at = read_text(self._line, start)
        return start, value

    def _next(self) -> str:
        """Skips white space and returns the next character; empty at the end."""
        space = _SPACE.match(self._line, self._at)
        self._at = space.end() if space else self._at
        return self._line[self._at : self._at + 1]

    def _refuse(self, expected: str, hint: str = "") -> NoReturn:
        char = self._next()
        if not char:
            raise LineFault(self._at, "the line ends inside the query: write each query on one line")
        word = _WORD.match(self._line, self._at)
        is_number = char.isdigit() or char == "-"
        got = "a number" if is_number else _GOT.get(char) or excerpt(word[0] if word else char)
        if expected.endswith(_TEXT) and (bare := _UNQUOTED.match(self._line, self._at)):
            # Filter values that are not numbers have their own quotes.
            is_filter_value = expected.startswith("a filter value") and not is_number
            hint = rf': write "\"{bare[0]}\""' if is_filter_value else f': write "{bare[0]}"'
        raise LineFault(self._at, f"got {got}, expected {expected}{hint}")


def _listed(names: Sequence[str], limit: int = 5) -> str:
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(f"${name[:40]}" for name in names[:limit]) + more
