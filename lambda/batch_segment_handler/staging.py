"""The job's input in S3: checked where it is, or moved there in files as small as the service wants them."""

import contextlib
import io
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

from . import clients, queries
from .failures import JobError, Patience, call
from .log import log
from .preflight import Preflight

# A part up to this size is one request, several at a time: 1000 small files one after the other would take a minute.
_SMALL = 4 * 1024**2
_AT_ONCE = 8


@dataclass(frozen=True)
class _Object:
    """An object of the input."""

    bucket: str
    key: str

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}"

    def open(self) -> BinaryIO:
        return cast(BinaryIO, clients.s3().get_object(Bucket=self.bucket, Key=self.key)["Body"])


def stage(properties: Mapping[str, Any], folder: str, preflight: Preflight, patience: Patience) -> str:
    """Checks the asset's queries and writes them to a folder as ``part-00000.jsonl`` and so on.

    The asset is streamed twice, so that nothing is written unless all of it is right. Writing it again changes
    nothing: the path names the content and how it is split.

    Args:
        properties: The resource's properties.
        folder: The start of the ``s3://`` path to write to.
        preflight: What the queries have to be.
        patience: How long the deployment may wait for a permission.

    Returns:
        The path that was written to, ending in "/".

    Raises:
        JobError: A query is at fault, or there are too many of them for the service's 1000 files.
    """
    asset = _Object(properties["AssetBucket"], properties["AssetKey"])
    report = call(lambda: _check([("job_input", asset)], preflight), patience)
    per_file = _queries_per_file(report, properties)
    path = f"{folder}-{per_file}/"
    files = call(lambda: _write(asset, per_file, path), patience)
    log("staged", asset=str(asset), path=path, queries=report.queries, files=files)
    return path


def check_existing(properties: Mapping[str, Any], preflight: Preflight, patience: Patience) -> None:
    """Checks the queries that are in S3 already, as the service will read them: every object under the prefix.

    Args:
        properties: The resource's properties.
        preflight: What the queries have to be.
        patience: How long the deployment may wait for a permission.

    Raises:
        JobError: There is nothing, a query is at fault, or a file has more queries than the service takes.
    """
    path = properties["InputPath"]
    bucket, _, key = path.removeprefix("s3://").partition("/")
    keys = call(lambda: list(_keys(bucket, key)), patience)
    if key in keys:
        # The only one that the service role may read.
        keys = [key]
    if not keys or (keys != [key] and not key.endswith("/")):
        raise JobError(f"job_input: there is no {'object under' if key.endswith('/') else 'object'} {path}")
    objects = [_Object(bucket, key) for key in keys]
    report = call(lambda: _check([(str(one), one) for one in objects], preflight), patience)
    per_file = _queries_per_file(report, properties)
    for name, number in report.queries_by_file.items():
        if number > per_file:
            raise JobError(
                f"job_input: {name} has {number:,} queries, expected at most {per_file:,} in a file. Split it, pass it "
                "as BatchSegmentInput.from_asset, which is split, or set queries_per_file if your quota is higher"
            )
    log("checked", path=path, queries=report.queries, files=len(report.queries_by_file))


def _queries_per_file(report: queries.QueryReport, properties: Mapping[str, Any]) -> int:
    try:
        return queries.queries_per_file(report, int(properties.get("QueriesPerFile", 0)) or None)
    except queries.QueryFileError as error:
        raise JobError(f"job_input: {error}") from error


def _keys(bucket: str, prefix: str) -> Iterator[str]:
    pages = clients.s3().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    # What ends in a slash is a folder that somebody made in the console.
    return (found["Key"] for page in pages for found in page.get("Contents", []) if not found["Key"].endswith("/"))


def _check(objects: Iterable[tuple[str, _Object]], preflight: Preflight) -> queries.QueryReport:
    with contextlib.ExitStack() as opened:
        files = ((name, opened.enter_context(contextlib.closing(one.open()))) for name, one in objects)
        report = queries.check_queries(files, kind=preflight.kind, placeholders=preflight.placeholders, max_faults=5)
    for warning in report.warnings:
        log("warning", fault=str(warning))
    try:
        report.raise_if_faulty()
    except queries.QueryFileError as error:
        raise JobError(str(error)) from error
    return report


def _write(asset: _Object, per_file: int, path: str) -> int:
    bucket, _, prefix = path.removeprefix("s3://").partition("/")
    s3 = clients.s3()
    uploads: set[Future[Any]] = set()
    number = -1
    with contextlib.closing(asset.open()) as file, ThreadPoolExecutor(_AT_ONCE) as pool:
        for number, part in enumerate(queries.split_queries(file, per_file)):
            key = f"{prefix}part-{number:05d}.jsonl"
            stream = io.BufferedReader(_Chunks(part), _SMALL)
            start = stream.read(_SMALL)
            if len(start) < _SMALL:
                uploads.add(pool.submit(s3.put_object, Bucket=bucket, Key=key, Body=start))
                if len(uploads) >= 2 * _AT_ONCE:
                    done, uploads = wait(uploads, return_when=FIRST_COMPLETED)
                    _raise_first_error(done)
            else:
                s3.upload_fileobj(io.BufferedReader(_Chunks(_put_back(start, stream)), _SMALL), bucket, key)
        _raise_first_error(uploads)
    return number + 1


def _raise_first_error(uploads: Iterable[Future[Any]]) -> None:
    for upload in uploads:
        upload.result()


def _put_back(start: bytes, rest: BinaryIO) -> Iterator[bytes]:
    yield start
    while chunk := rest.read(_SMALL):
        yield chunk


class _Chunks(io.RawIOBase):
    """A part's chunks as a file, which is what boto3 uploads."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._rest:
            self._rest = memoryview(next(self._chunks, b""))
        data, self._rest = self._rest[: len(buffer)], self._rest[len(buffer) :]
        buffer[: len(data)] = data
        return len(data)
