"""Moves query files from the asset bucket to the input bucket, in files as small as the service wants them."""

import functools
import io
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import boto3

from . import limits, queries
from .failures import JobError
from .log import log

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@functools.cache
def s3() -> "S3Client":
    """The client, made on first use in a function's life; only jobs with an asset need it."""
    return boto3.client("s3")


def stage(properties: Mapping[str, Any], input_path: str, recipe_arn: str) -> None:
    """Checks the asset's queries and writes them to the input path as ``part-00000.jsonl`` and so on.

    The asset is streamed twice, so that nothing is written unless all of it is right. Writing it again changes
    nothing: the path names the content.

    Args:
        properties: The resource's properties.
        input_path: The ``s3://…/`` path to write to.
        recipe_arn: The recipe of the solution version, which decides the kind of query and the quota of each file.

    Raises:
        JobError: A query is at fault, or there are too many of them for the service's 1000 files.
    """
    kind = cast(queries.QueryKind | None, limits.QUERY_KIND_BY_RECIPE.get(recipe_arn.rpartition("/")[2]))
    name = properties["AssetKey"]
    report = queries.check_queries([("job_input", _open(properties))], kind=kind)
    try:
        report.raise_if_faulty()
    except ValueError as error:
        raise JobError(str(error)) from error
    assert report.kind is not None
    per_file = int(properties.get("QueriesPerFile") or limits.MAX_QUERIES_PER_FILE[report.kind])
    if report.queries > per_file * limits.MAX_INPUT_FILES:
        raise JobError(
            f"job_input: got {report.queries:,} queries; {limits.MAX_INPUT_FILES} files of {per_file} each hold "
            f"{per_file * limits.MAX_INPUT_FILES:,}. If your quota of queries per file is higher, set queries_per_file"
        )
    bucket, _, prefix = input_path.removeprefix("s3://").partition("/")
    files = 0
    for files, part in enumerate(queries.split_queries(_open(properties), per_file), 1):
        file = io.BufferedReader(_Chunks(part))
        s3().upload_fileobj(file, bucket, f"{prefix}part-{files - 1:05d}.jsonl")
    log("staged", asset=name, path=input_path, queries=report.queries, files=files)


def _open(properties: Mapping[str, Any]) -> BinaryIO:
    body = s3().get_object(Bucket=properties["AssetBucket"], Key=properties["AssetKey"])["Body"]
    return cast(BinaryIO, body)


class _Chunks(io.RawIOBase):
    """A part's chunks as a file, which is what boto3 uploads."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._rest:
            self._rest = next(self._chunks, b"")
        data, self._rest = self._rest[: len(buffer)], self._rest[len(buffer) :]
        buffer[: len(data)] = data
        return len(data)
