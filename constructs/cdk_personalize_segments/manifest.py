"""Writes the audiences of a workflow into two assets: the manifest, and one file with the queries of all audiences."""

import contextlib
import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import aws_cdk.aws_s3_assets as s3_assets
from batch_segment_handler import limits, queries
from batch_segment_handler.limits import QueryKind
from batch_segment_handler.text import quote
from batch_segment_handler.workflow_contract import AudienceItem, AudiencePart, ExistingInputSettings
from constructs import Construct

from . import query_source, validation
from .audience import Audience
from .batch_segment_input import ExistingInput
from .batch_segment_storage import BatchSegmentStorage
from .naming import StackFacts
from .query_source import QuerySource

# The run's key is a time, yyyymmddThhmmssZ, or "version-" and the id of a solution version.
_MAX_RUN_LENGTH = len("20261130T030000Z")
# The shared folder of an audience with several jobs.
_PARTS_FOLDER = "0123456789ab/"
# The suffix of a job's name: the hash of its definition and the number of the attempt.
_MAX_JOB_SUFFIX = "-0123456789ab-99"
_MAX_SHOWN_WARNINGS = 10


@dataclass(frozen=True)
class BoundAudiences:
    """The checked audiences of a workflow, and their assets.

    Attributes:
        manifest_asset: The manifest in JSON Lines. Each line is an `AudienceItem`.
        queries_asset: The queries of all audiences, or None if all queries are in S3.
        items: The lines of the manifest.
        filters: The ARNs of the filters. The items refer to them by index.
        inputs: The settings of the inputs in S3. The items refer to them by index.
        existing: The inputs in S3. Call `ExistingInput.allow` on each of them.
        tag_keys: The keys of the audiences' tags, sorted.
    """

    manifest_asset: s3_assets.Asset
    queries_asset: s3_assets.Asset | None
    items: list[AudienceItem]
    filters: list[str]
    inputs: list[ExistingInputSettings]
    existing: list[ExistingInput]
    tag_keys: list[str]


def build(
    scope: Construct,
    audiences: Sequence[Audience],
    *,
    storage: BatchSegmentStorage,
    output_prefix: str,
    workflow_path: str,
) -> BoundAudiences:
    """Checks the audiences of a workflow and creates their assets.

    Args:
        scope: The workflow. The assets become its children ``Manifest`` and ``Queries``.
        audiences: The audiences.
        storage: The storage of the workflow.
        output_prefix: The folder in the output bucket that contains the folders of the audiences, ending in "/".
        workflow_path: The workflow's path in its stack. The names of an audience's jobs are derived from this path and
            the audience's name.

    Raises:
        ValueError: An audience is invalid, or conflicts with another audience. The message names the audience by its
            index and its name.
        TypeError: An element is not an `Audience`.
    """
    check_list(audiences)
    facts = StackFacts.of(scope)
    with tempfile.TemporaryDirectory() as folder:
        # The key of a stack's query assets ends in the stack's extension, so that a policy can name them.
        file = Path(folder).resolve() / f"queries{facts.names.extension}"
        with file.open("wb") as stream:
            writer = _Writer(facts, storage, output_prefix, workflow_path, stream)
            for number, audience in enumerate(audiences):
                with _named(number, audience):
                    writer.add(number, audience)
        manifest = file.with_name("manifest.jsonl")
        manifest.write_text("".join(f"{json.dumps(item, sort_keys=True)}\n" for item in writer.items))
        # The assets are copied into the assembly before the folder is deleted.
        queries_asset = s3_assets.Asset(scope, "Queries", path=str(file)) if file.stat().st_size else None
        manifest_asset = s3_assets.Asset(scope, "Manifest", path=str(manifest))
    query_source.warn(scope, writer.warnings[:_MAX_SHOWN_WARNINGS], writer.warning_count)
    return BoundAudiences(
        manifest_asset,
        queries_asset,
        writer.items,
        list(writer.filters),
        [one for one, _ in writer.inputs.values()],
        [one for _, one in writer.inputs.values()],
        sorted({key for audience in audiences for key in audience.tags}),
    )


def check_list(audiences: Sequence[Audience]) -> None:
    """Checks that there is an audience, and that the names are unique.

    Raises:
        ValueError: The list is empty, or two audiences have the same name.
        TypeError: The value is not a list, or an element is not an `Audience`.
    """
    if isinstance(audiences, str) or not isinstance(audiences, Sequence):
        expected = "a list of Audience"
        raise TypeError(f"audiences: got {type(audiences).__name__} {quote(audiences)}, expected {expected}")
    if not audiences:
        raise ValueError("audiences: got none, expected at least one Audience")
    numbers: dict[str, int] = {}
    for number, audience in enumerate(audiences):
        validation.check_type(f"audiences[{number}]", audience, Audience, "an Audience")
        first = numbers.setdefault(audience.name, number)
        if first != number:
            raise ValueError(
                f"audiences[{number}] {audience.name!r}: name: got the name of audiences[{first}], expected a "
                "different name for each audience: the name is the folder of the segments"
            )


@contextlib.contextmanager
def _named(number: int, audience: Audience) -> Iterator[None]:
    """Adds the audience to the message of an error."""
    try:
        yield
    except ValueError as error:
        type_ = queries.QueryFileError if isinstance(error, queries.QueryFileError) else ValueError
        raise type_(f"audiences[{number}] {audience.name!r}: {error}") from None


@dataclass
class _Writer:
    """Converts audiences to items, and appends their queries to one file."""

    facts: StackFacts
    storage: BatchSegmentStorage
    output_prefix: str
    workflow_path: str
    file: BinaryIO
    items: list[AudienceItem] = field(default_factory=list)
    #: The index of each filter by its ARN, and the settings of each input by its path.
    filters: dict[str, int] = field(default_factory=dict)
    inputs: dict[str, tuple[ExistingInputSettings, ExistingInput]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    warning_count: int = 0
    #: The kind of query, and the first audience, which determines the kind.
    kind: QueryKind | None = None
    kind_source: str = ""

    def add(self, number: int, audience: Audience) -> None:
        """Adds an audience.

        Raises:
            ValueError: The audience is invalid, or conflicts with an earlier audience.
        """
        # The readable part of a job's name is short, so the audience's name comes first. The path of a
        # `BatchSegmentJob` never contains two slashes in a row, so the identities cannot be the same.
        prefix = self.facts.names.job_prefix(f"{audience.name}//{self.workflow_path}")
        item: AudienceItem = {"Name": audience.name, "JobNamePrefix": prefix, "Parts": []}
        existing, source = audience.segment_input.existing, audience.segment_input.source
        if existing is not None:
            item["Parts"] = [{"Input": self._index_of(existing)}]
        else:
            assert source is not None
            item["Parts"] = self._write(number, audience, source)
            if source.is_inline:
                item["InputIsInline"] = "true"
        if audience.filter_arn is not None:
            validation.check_personalize_arn(
                "filter_arn", audience.filter_arn, region=self.facts.region, account=self.facts.account
            )
            item["Filter"] = self.filters.setdefault(audience.filter_arn, len(self.filters))
        if audience.num_results is not None:
            item["NumResults"] = int(audience.num_results)
        if audience.segment_input.queries_per_file is not None:
            item["QueriesPerFile"] = int(audience.segment_input.queries_per_file)
        if audience.tags:
            item["Tags"] = dict(sorted(audience.tags.items()))
        self._check_path(audience.name, prefix, is_split=len(item["Parts"]) > 1)
        self.items.append(item)

    def _write(self, number: int, audience: Audience, source: QuerySource) -> list[AudiencePart]:
        report = source.check(is_filtered=audience.filter_arn is not None, quota=None)
        kind = report.kind
        assert kind is not None
        if self.kind is None:
            self.kind, self.kind_source = kind, f"audiences[{number}] {audience.name!r}"
        elif kind != self.kind:
            raise ValueError(
                f"segment_input: got queries with {kind}, expected {self.kind} as in {self.kind_source}: all audiences "
                "use the workflow's solution, whose recipe supports one kind of query"
            )
        self.warnings.extend(f"audiences[{number}] {audience.name!r}: {warning}" for warning in report.warnings)
        self.warning_count += report.warning_count
        per_file = int(audience.segment_input.queries_per_file or limits.MAX_QUERIES_PER_FILE[kind])
        with source.open() as stream:
            parts = query_source.write_parts(stream, per_file * limits.MAX_INPUT_FILES, self.file)
            # Parts with the same queries share one job.
            return [
                {"InputHash": written.sha256, "AssetStart": start, "AssetLength": written.length}
                for start, written in parts
            ]

    def _index_of(self, existing: ExistingInput) -> int:
        path = existing.path(self.storage, "segment_input")
        self.storage.check_no_overlap(
            existing.bucket, existing.key_or_prefix, "segment_input", self.output_prefix, "output_prefix"
        )
        settings: ExistingInputSettings = {"InputPath": path}
        if existing.validate:
            settings["ValidateInput"] = "true"
        key_arn = self.storage.bucket_info(existing.bucket).key_arn
        if key_arn is not None:
            settings["InputKmsKeyArn"] = key_arn
        # The same objects with and without a check are two inputs.
        identity = f"{path} {existing.validate}"
        self.inputs.setdefault(identity, (settings, existing))
        return list(self.inputs).index(identity)

    def _check_path(self, name: str, prefix: str, *, is_split: bool) -> None:
        """Checks the length of the output path (botocore's model, shape S3Location)."""
        bucket = self.storage.bucket_info(self.storage.output_bucket).name
        bucket_length = 63 if validation.is_token(bucket) else len(bucket)
        folders = f"audience={name}/run=/{_PARTS_FOLDER if is_split else ''}{prefix}{_MAX_JOB_SUFFIX}/"
        length = len("s3:///") + bucket_length + len(self.output_prefix) + len(folders) + _MAX_RUN_LENGTH
        excess = length - limits.MAX_S3_PATH_LENGTH
        if validation.is_token(self.output_prefix) or excess <= 0:
            return
        limit = f"the path of the segments can have at most {limits.MAX_S3_PATH_LENGTH} characters"
        if excess < len(name):
            raise ValueError(
                f"name: got {len(name)} characters, expected at most {len(name) - excess}: {limit}, including "
                "output_prefix, run and job. Shorten the name or output_prefix"
            )
        raise ValueError(
            f"output_prefix: got {len(self.output_prefix)} characters, expected at most "
            f"{len(self.output_prefix) - excess}: {limit}, including run, job and the name of this audience"
        )
