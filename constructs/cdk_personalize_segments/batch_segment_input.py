"""The input of a job: queries in the app, in a local file, or in S3."""

import itertools
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import aws_cdk.aws_s3 as s3
import aws_cdk.aws_s3_assets as s3_assets
from batch_segment_handler import contract, queries
from batch_segment_handler.text import quote
from constructs import Construct

from . import locations, query_source, query_summary, validation
from .batch_segment_storage import BatchSegmentStorage
from .buckets import BucketInfo
from .job_needs import JobNeeds
from .query_source import QuerySource
from .segment_query import SegmentQuery, find_token, query_line


@dataclass(frozen=True)
class StagedInput:
    """An asset that the handler checks, splits and writes to the input bucket at deploy time.

    Attributes:
        asset: The normalized queries.
        input_hash: Their SHA-256 in hex. It does not depend on line ends and blank lines.
        queries_per_file: The user's quota of queries per file, or None.
        summary: The number of queries and the first queries, for ``cdk diff``; at most 300 characters.
        is_inline: Whether the queries are defined in the app.
    """

    asset: s3_assets.Asset
    input_hash: str
    queries_per_file: int | None
    summary: str
    is_inline: bool

    def properties(
        self, storage: BatchSegmentStorage, needs: JobNeeds, names_of_stack: str
    ) -> tuple[contract.JobDefinition, contract.JobSettings]:
        """Grants access to the asset and the input bucket, and returns the job's input properties.

        Args:
            storage: The job's storage.
            needs: The resources that the handler uses.
            names_of_stack: A pattern of the stack's job names.
        """
        info = storage.bucket_info(storage.input_bucket)
        folders = f"{storage.input_prefix}{names_of_stack}/"
        storage.allow_reading(storage.input_bucket, folders)
        storage.service_access.allow_handler(info, writes=folders)
        settings = needs.allow_staging(self.asset, info, folders)
        settings["Queries"] = self.summary
        if self.is_inline:
            settings["InputIsInline"] = "true"
        definition: contract.JobDefinition = {
            "InputHash": self.input_hash,
            "InputBucket": info.name,
            "InputPrefix": storage.input_prefix,
        }
        _add_common(definition, settings, info, self.queries_per_file)
        return definition, settings


@dataclass(frozen=True)
class ExistingInput:
    """Objects that exist in S3 when the stack is deployed."""

    bucket: s3.IBucket
    key_or_prefix: str
    validate: bool
    queries_per_file: int | None

    def properties(
        self, storage: BatchSegmentStorage, needs: JobNeeds, _names_of_stack: str
    ) -> tuple[contract.JobDefinition, contract.JobSettings]:
        """Grants access to the objects, and returns the job's input properties.

        Args:
            storage: The job's storage.
            needs: The resources that the handler uses.
        """
        definition: contract.JobDefinition = {"InputPath": self.path(storage, "job_input")}
        settings: contract.JobSettings = {"ValidateInput": "true"} if self.validate else {}
        self.allow(storage, needs)
        _add_common(definition, settings, storage.bucket_info(self.bucket), self.queries_per_file)
        return definition, settings

    def path(self, storage: BatchSegmentStorage, prop: str) -> str:
        """Returns the S3 URI of the object or the prefix.

        Args:
            storage: The job's storage.
            prop: The property to name in an error.

        Raises:
            ValueError: The URI exceeds the service's limit.
        """
        path = f"s3://{storage.bucket_info(self.bucket).name}/{self.key_or_prefix}"
        locations.check_s3_path(prop, path)
        return path

    def allow(self, storage: BatchSegmentStorage, needs: JobNeeds) -> None:
        """Grants access to the objects.

        Args:
            storage: The job's storage.
            needs: The resources that the checking function uses.
        """
        storage.allow_reading(self.bucket, self.key_or_prefix)
        if self.validate:
            info = storage.bucket_info(self.bucket)
            needs.allow_reading_input(info, self.key_or_prefix)
            storage.service_access.allow_handler(info, reads=self.key_or_prefix)


def _add_common(
    definition: contract.JobDefinition, settings: contract.JobSettings, info: BucketInfo, queries_per_file: int | None
) -> None:
    if queries_per_file is not None:
        settings["QueriesPerFile"] = queries_per_file
    if info.key_arn is not None:
        definition["InputKmsKeyArn"] = info.key_arn


class BatchSegmentInput:
    """The input of a job. Create it with `from_queries`, `from_asset` or `from_bucket`.

    For example: ``BatchSegmentInput.from_asset("queries.jsonl")``.
    """

    def __init__(self, content: bytes | Path | ExistingInput, queries_per_file: int | None) -> None:
        """Use the class methods."""
        validation.check_queries_per_file(queries_per_file)
        self._content = content
        self._queries_per_file = queries_per_file

    @classmethod
    def from_queries(
        cls, segment_queries: Iterable[SegmentQuery], *, queries_per_file: int | None = None
    ) -> "BatchSegmentInput":
        """Creates an input from queries that are defined in the app, one for each segment.

        For example: ``BatchSegmentInput.from_queries([SegmentQuery.where(GENRES="Comedy")])``.

        Args:
            segment_queries: At least one query; all created by `SegmentQuery.items_like`, or all by
                `SegmentQuery.where`. The handler splits them into at most 1,000 files of the quota's size.
            queries_per_file: Your quota of queries per input file. Default: the documented quota of the solution's
                recipe, 500 for Item-Affinity and 10 for Item-Attribute-Affinity
                (https://docs.aws.amazon.com/personalize/latest/dg/limits.html).

        Raises:
            ValueError: There is no query, the two kinds are mixed, a value is known only at deploy time, or
                `queries_per_file` is not a positive whole number.
            TypeError: An element is not a `SegmentQuery`.
        """
        content, first = [], ""
        for number, query in enumerate(segment_queries):
            validation.check_type(f"segment_queries[{number}]", query, SegmentQuery, "a SegmentQuery")
            kind = next((key for key in query.content if key != "filterValues"), "nothing")
            first = first or kind
            if kind != first:
                raise ValueError(
                    f"segment_queries[{number}]: got a query with {kind}, expected {first}, as in the queries before: "
                    "a job takes one kind of query"
                )
            line = query_line(query.content)
            if token := find_token(line):
                got = f"got a value that is known only at deploy time, {quote(token)}"
                raise ValueError(
                    f"segment_queries[{number}]: {got}, expected text: queries are written at synth time. Upload them "
                    "to S3 and use BatchSegmentInput.from_bucket"
                )
            content.append(line)
        if not content:
            raise ValueError("segment_queries: got none, expected at least one SegmentQuery")
        return cls(b"".join(content), queries_per_file)

    @classmethod
    def from_asset(cls, path: str | Path, *, queries_per_file: int | None = None) -> "BatchSegmentInput":
        r"""Creates an input from a local file of queries in JSON Lines, which is checked at synth time.

        For example: ``BatchSegmentInput.from_asset("queries.jsonl")``.

        Args:
            path: The file. Its lines look like ``{"itemId": "105"}`` or
                ``{"itemAttributes": "ITEMS.genres = \"Comedy\""}``. The handler splits it to fit the quota. Changing
                line ends, blank lines at the end or a byte order mark does not start a new job.
            queries_per_file: See `from_queries`.

        Raises:
            ValueError: The file does not exist, or `queries_per_file` is not a positive whole number.
        """
        file = Path(path)
        if not file.is_file():
            what = "a folder" if file.is_dir() else "a path that does not exist"
            raise ValueError(
                f"path: got {what}, {quote(str(path))}, expected a file of queries, one JSON object per line"
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
        """Creates an input from queries that exist in S3 when the stack is deployed. The library never rewrites them.

        The bucket must be in the job's region. Changing the objects does not start a new job: change the job's
        ``trigger`` to start one. The handler checks the objects once, before it creates the job, and Personalize reads
        them later. Do not write to the location while a job starts: an object that you overwrite in between is
        processed without a check. For example: ``BatchSegmentInput.from_bucket(bucket, "queries/today/")``.

        Args:
            bucket: The bucket.
            key_or_prefix: The key of one object, for example ``queries/today.jsonl``, or a prefix that ends in "/", for
                example ``queries/today/``. Every object under a prefix is input.
            single_object: Set to True if the key has no file extension, for example ``unload/part-00000``. Otherwise
                such a key is rejected as a prefix without a trailing "/".
            validate_input: Whether the handler reads and checks the objects before it creates the job. If False, the
                handler gets no read permission and Personalize reports invalid queries in the job output.
            queries_per_file: Your quota of queries per input file. A file that exceeds it is rejected at deploy time.
                Default: the documented quota, see `from_queries`.

        Raises:
            ValueError: The key has no file extension and does not end in "/", or `queries_per_file` is not a positive
                whole number.
        """
        looks_like_folder = not validation.is_token(key_or_prefix) and "." not in key_or_prefix.rpartition("/")[2]
        if looks_like_folder and not single_object:
            locations.check_prefix(
                "key_or_prefix", key_or_prefix, hint="; if it is the key of one object, pass single_object=True"
            )
        locations.check_s3_key("key_or_prefix", key_or_prefix)
        return cls(ExistingInput(bucket, key_or_prefix, validate_input, queries_per_file), queries_per_file)

    @property
    def existing(self) -> ExistingInput | None:
        """The objects in S3, or None if the queries are part of the app.

        :meta private:
        """
        return self._content if isinstance(self._content, ExistingInput) else None

    @property
    def source(self) -> QuerySource | None:
        """The queries of the app, or None if they are in S3.

        :meta private:
        """
        return None if isinstance(self._content, ExistingInput) else QuerySource(self._content)

    @property
    def queries_per_file(self) -> int | None:
        """The user's quota of queries per file, or None.

        :meta private:
        """
        return self._queries_per_file

    def bind(self, scope: Construct, *, is_filtered: bool, extension: str = ".jsonl") -> StagedInput | ExistingInput:
        """Checks the queries and creates their asset.

        :meta private:

        Args:
            scope: The job.
            is_filtered: Whether the job has a filter. Without a filter, filter values cause a warning.
            extension: The end of the asset's object key, after the hash.

        Raises:
            QueryFileError: A query is invalid. The `ValueError` names the line and column, or the index.
        """
        if isinstance(self._content, ExistingInput):
            return self._content
        source, given = QuerySource(self._content), self._queries_per_file
        quota = None if validation.is_token(given or 0) else queries.Quota(None if given is None else int(given))
        report = source.check(is_filtered=is_filtered, quota=quota)
        query_source.warn(scope, [*map(str, report.warnings)], report.warning_count)
        with tempfile.TemporaryDirectory() as folder:
            tidied = Path(folder) / f"queries{extension}"
            with source.open() as stream, tidied.open("wb") as target:
                written = query_source.write(queries.tidy_blocks(stream), target)
            with tidied.open("rb") as lines:
                summary = query_summary.summarize(report.queries, itertools.islice(lines, 100))
            # The asset is copied into the assembly before the folder is deleted.
            asset = s3_assets.Asset(scope, "Queries", path=str(tidied.resolve()))
        return StagedInput(asset, written.sha256, given, summary, source.is_inline)
