"""What a job is asked: queries given inline, in a local file, or in S3 already."""

import itertools
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import aws_cdk.aws_s3 as s3
import aws_cdk.aws_s3_assets as s3_assets
from batch_segment_handler import queries
from batch_segment_handler.text import quote
from constructs import Construct

from . import query_lines, validation


@dataclass(frozen=True)
class SegmentQuery:
    """One query: one line of the job's input, and one segment of its output.

    Made by `items_like` and `where`.
    """

    #: The query as the service reads it, for example ``{"itemId": "105"}``.
    content: Mapping[str, Any] = field()

    @classmethod
    def items_like(cls, item_id: str) -> "SegmentQuery":
        """Users with an affinity for an item; for a solution of the Item-Affinity recipe.

        Args:
            item_id: The item's id as in the Items or Interactions data.

        Raises:
            ValueError: The id is empty or not a string.
        """
        if not isinstance(item_id, str) or not item_id:
            got = f"item_id: got {validation.shown(item_id)}, expected a non-empty string"
            raise ValueError(f"{got}{query_lines.as_text(item_id)}")
        return cls({"itemId": item_id})

    @classmethod
    def where(cls, **columns: str | Sequence[str]) -> "SegmentQuery":
        """Users with an affinity for items of given attributes; for a solution of the Item-Attribute-Affinity recipe.

        Args:
            **columns: Columns of the Items data and their values. All have to hold; several values for one column are
                given as a list. Quotes and backslashes in values are escaped.

        Raises:
            ValueError: No column is given, a column is not a name of a schema's field, or a value is not a string.
        """
        return cls({"itemAttributes": query_lines.attribute_expression(columns)})

    def with_filter_values(self, **values: str | Sequence[str]) -> "SegmentQuery":
        """The same query with values for the placeholders of the job's filter.

        Args:
            **values: Names of placeholders, without the ``$``, and their values; several values for one placeholder
                are given as a list. https://docs.aws.amazon.com/personalize/latest/dg/filter-batch.html

        Raises:
            ValueError: There is none, a name starts with ``$``, or a value is not a string.
        """
        if not values:
            raise ValueError('filter values: got none, expected at least one, for example COUNTRY="Japan"')
        rendered = {}
        for name, value in values.items():
            listed: Sequence[object] = value if isinstance(value, list | tuple) else [value]
            if name.startswith("$"):
                got = f"filter values: got the name {validation.shown(name)}"
                raise ValueError(f"{got}, expected {validation.shown(name[1:])}: write it without the $")
            texts = [one for one in listed if isinstance(one, str)]
            if not texts or len(texts) < len(listed):
                other = next((one for one in listed if not isinstance(one, str)), None)
                got = f"filter value {name[:40]}: got {validation.shown(value)}, expected a string or a list of strings"
                raise ValueError(f"{got}{query_lines.as_text(other, name[:40])}")
            rendered[name] = ",".join(query_lines.quoted(text) for text in texts)
        return replace(self, content={**self.content, "filterValues": rendered})


@dataclass(frozen=True)
class StagedInput:
    """An asset that the handler checks, splits and writes to the input bucket at deploy.

    Attributes:
        asset: The tidied queries. The same queries have the same hash, whatever their line ends and blank lines.
        queries_per_file: The quota of queries per file, if it was given.
        summary: The number of queries and the first of them, for ``cdk diff``; at most 300 characters.
        is_inline: Whether the queries were given in the program.
    """

    asset: s3_assets.Asset
    queries_per_file: int | None
    summary: str
    is_inline: bool


@dataclass(frozen=True)
class ExistingInput:
    """Objects that are in S3 when the stack is deployed."""

    bucket: s3.IBucket
    key_or_prefix: str
    validate: bool
    queries_per_file: int | None


class BatchSegmentInput:
    """The input of a job. Made by `from_queries`, `from_asset` and `from_bucket`."""

    def __init__(self, content: bytes | Path | ExistingInput, queries_per_file: int | None) -> None:
        """Use the class methods."""
        validation.queries_per_file(queries_per_file)
        self._content = content
        self._queries_per_file = queries_per_file

    @classmethod
    def from_queries(
        cls, segment_queries: Iterable[SegmentQuery], *, queries_per_file: int | None = None
    ) -> "BatchSegmentInput":
        """Queries given in the program, one for each segment.

        Args:
            segment_queries: At least one; all made by `SegmentQuery.items_like`, or all by `SegmentQuery.where`. They
                are split into as many files as the service wants, at most 1000.
            queries_per_file: Your quota of queries per input file. Without it the documented one of the solution's
                recipe is kept, 500 for Item-Affinity and 10 for Item-Attribute-Affinity
                (https://docs.aws.amazon.com/personalize/latest/dg/limits.html).

        Raises:
            ValueError: There is none, the two kinds are mixed, a value is known only at deploy, or `queries_per_file`
                is not a positive whole number.
            TypeError: One is no `SegmentQuery`.
        """
        content, first = [], ""
        for number, query in enumerate(segment_queries):
            validation.type_of(f"segment_queries[{number}]", query, SegmentQuery, "a SegmentQuery")
            kind = next((key for key in query.content if key != "filterValues"), "nothing")
            first = first or kind
            if kind != first:
                raise ValueError(
                    f"segment_queries[{number}]: got a query with {kind}, expected {first} as before: a job takes one "
                    "kind of query"
                )
            line = query_lines.query_line(query.content)
            if token := query_lines.find_token(line):
                raise ValueError(
                    f"segment_queries[{number}]: got a value that is known only at deploy, {validation.shown(token)}, "
                    "expected text: queries are written at synth. Write them to S3 and pass them as "
                    "BatchSegmentInput.from_bucket"
                )
            content.append(line)
        if not content:
            raise ValueError("segment_queries: got none, expected at least one SegmentQuery")
        return cls(b"".join(content), queries_per_file)

    @classmethod
    def from_asset(cls, path: str | Path, *, queries_per_file: int | None = None) -> "BatchSegmentInput":
        r"""A local file of queries in JSON Lines, checked at synth.

        Args:
            path: The file, for example ``queries.jsonl`` with lines like ``{"itemId": "105"}`` or
                ``{"itemAttributes": "ITEMS.genres = \"Comedy\""}``. It is split to fit when the stack is deployed.
                A change of line ends, of blank lines at the end or of a byte order mark starts no new job.
            queries_per_file: As for `from_queries`.

        Raises:
            ValueError: There is no such file, or `queries_per_file` is not a positive whole number.
        """
        file = Path(path)
        if not file.is_file():
            what = "a folder" if file.is_dir() else "a path where there is no file"
            raise ValueError(
                f"path: got {what}, {validation.shown(str(path))}, expected a file of queries, one JSON object a line"
            )
        return cls(file, queries_per_file)

    @classmethod
    def from_bucket(
        cls,
        bucket: s3.IBucket,
        key_or_prefix: str,
        *,
        single_object: bool = False,
        validate_input: bool = True,
        queries_per_file: int | None = None,
    ) -> "BatchSegmentInput":
        """Queries that are in S3 when the stack is deployed. They are never rewritten.

        The bucket has to be in the job's region. Changing the objects does not start a new job: change the job's
        ``trigger`` to start one. The handler checks the objects once, before it creates the job. Personalize reads
        them later, so an object that is overwritten in between is processed without a check: do not write to the
        location while a job starts.

        Args:
            bucket: The bucket.
            key_or_prefix: The key of one object, for example ``queries/today.jsonl``, or a prefix that ends in "/",
                for example ``queries/today/``: then every object under it is input.
            single_object: Set to True if the key has no file extension, for example ``unload/part-00000``. Otherwise
                such a key is rejected as a prefix without a trailing "/".
            validate_input: Whether the handler reads and checks the objects before it creates the job. If False, the
                handler gets no read permission and Personalize reports invalid queries in the job output.
            queries_per_file: Your quota of queries per input file. Without it a file that has more than the
                documented one is refused at deploy, see `from_queries`.

        Raises:
            ValueError: It looks like a folder and does not end in "/", or `queries_per_file` is not a positive whole
                number.
        """
        looks_like_folder = not validation.is_token(key_or_prefix) and "." not in key_or_prefix.rpartition("/")[2]
        if looks_like_folder and not single_object:
            validation.prefix(
                "key_or_prefix", key_or_prefix, hint="; if it is the key of one object, pass single_object=True"
            )
        validation.s3_key("key_or_prefix", key_or_prefix)
        return cls(ExistingInput(bucket, key_or_prefix, validate_input, queries_per_file), queries_per_file)

    @property
    def existing(self) -> ExistingInput | None:
        """The objects that are in S3 already, if that is the kind of this input.

        :meta private:
        """
        return self._content if isinstance(self._content, ExistingInput) else None

    def bind(self, scope: Construct, *, is_filtered: bool, extension: str = ".jsonl") -> StagedInput | ExistingInput:
        """Checks the queries and makes the asset that carries them.

        :meta private:

        Args:
            scope: The job.
            is_filtered: Whether the job has a filter; without one filter values are a warning.
            extension: How the key of the asset's object ends, after the hash.

        Raises:
            QueryFileError: A query is invalid; a `ValueError` that names line and column, or the index.
        """
        content = self._content
        if isinstance(content, ExistingInput):
            return content
        with tempfile.TemporaryDirectory() as folder:
            is_inline = isinstance(content, bytes)
            if isinstance(content, bytes):
                name, file = "segment_queries", Path(folder) / "segment_queries"
                file.write_bytes(content)
            else:
                name, file = quote(str(content)), content
            report = self._check(scope, file, name, is_filtered=is_filtered, is_inline=is_inline)
            # The job is defined by its queries, not by how their lines end: the asset's hash is that of a tidied copy.
            tidied = Path(folder) / f"queries{extension}"
            with file.open("rb") as source, tidied.open("wb") as target:
                target.writelines(queries.tidy_blocks(source))
            with tidied.open("rb") as lines:
                summary = query_lines.summary(report.queries, itertools.islice(lines, 100))
            # The asset is copied into the assembly before the folder is deleted.
            asset = s3_assets.Asset(scope, "Queries", path=str(tidied.resolve()))
        return StagedInput(asset, self._queries_per_file, summary, is_inline)

    def _check(
        self, scope: Construct, file: Path, name: str, *, is_filtered: bool, is_inline: bool
    ) -> queries.QueryReport:
        given = self._queries_per_file
        quota = None if validation.is_token(given or 0) else queries.Quota(None if given is None else int(given))
        with file.open("rb") as stream:
            # The placeholders of a filter are known only at deploy.
            placeholders: dict[str, bool] | None = None if is_filtered else {}
            report = queries.check_queries(
                [(name, stream)], placeholders=placeholders, quota=quota, is_inline=is_inline
            )
        report.raise_if_faulty()
        if report.warnings:
            more = report.warning_count - len(report.warnings)
            listed = [*map(str, report.warnings), *([f"and {more} more"] if more else [])]
            cdk.Annotations.of(scope).add_warning_v2("cdk-personalize-segments:queries", "\n  ".join(listed))
        return report
