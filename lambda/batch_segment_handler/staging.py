"""Splits the queries of an asset into input files that fit the service's quota."""

import contextlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any, BinaryIO, cast

from botocore.exceptions import BotoCoreError, ClientError

from . import clients, log, queries
from .contract import FlatProperties
from .parsing import asset_range, is_true, queries_per_file
from .preflight import Preflight
from .retries import RetryBudget
from .s3_input import InputObject, ObjectHints, call_s3, check_objects
from .text import quote

# A file shorter than this is one request. Several run at a time: 1000 small files in sequence would take a minute.
# A longer file is a multipart upload in pieces of this size, the smallest that S3 allows:
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html
_PIECE_BYTES = 5 * 1024**2
_MAX_THREADS = 8
#: Files that are queued or being uploaded. Limits the memory.
_MAX_UPLOADS = 2 * _MAX_THREADS


def stage(properties: FlatProperties, folder: str, preflight: Preflight, budget: RetryBudget) -> str:
    """Checks the asset's queries, or a range of them, and writes them to a folder as ``part-00000.jsonl`` and so on.

    Reads the asset twice, so that it writes nothing unless all queries are valid. Repeating it changes nothing: the
    path identifies the content and how it is split.

    Returns:
        The path of the files: the folder and the split size, ending in "/".

    Raises:
        JobError: A query is invalid, or there are too many queries for the service's 1000 files.
    """
    hints = ObjectHints(properties.get("AssetKmsKeyArn"), ": set asset_encryption_key of BatchSegmentProvider")
    start, length = asset_range(properties)
    asset = InputObject(properties["AssetBucket"], properties["AssetKey"], hints, budget, start, length)
    is_inline = is_true(properties, "InputIsInline")
    quota = queries.Quota(queries_per_file(properties))
    name = "segment_queries" if is_inline else "job_input"
    report = check_objects([(name, asset)], preflight, quota, is_inline=is_inline)
    per_file = queries.split_size(report, quota)
    path = f"{folder}-{per_file}/"
    files = _Writer(path, properties.get("InputKmsKeyArn"), budget).write(asset, per_file)
    log.event("staged", asset=str(asset), path=quote(path), queries=report.queries, files=files)
    return path


class _Writer:
    """Writes input files."""

    def __init__(self, path: str, key_arn: str | None, budget: RetryBudget) -> None:
        self._bucket, _, self._prefix = path.removeprefix("s3://").partition("/")
        self._hints = ObjectHints(key_arn)
        self._budget = budget
        # Bucket policies can deny writes without it: https://github.com/aws/aws-cdk/issues/11265
        self._encryption = {"ServerSideEncryption": "AES256"}
        if key_arn:
            self._encryption = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key_arn}

    def write(self, asset: InputObject, per_file: int) -> int:
        """Writes all files and returns how many there are."""
        s3: Any = clients.s3()
        uploads: dict[Future[Any], dict[str, Any]] = {}
        number = -1
        with contextlib.closing(asset.open()) as file, ThreadPoolExecutor(_MAX_THREADS) as pool:
            for number, part in enumerate(queries.split_queries(cast(BinaryIO, file), per_file)):
                target = {"Bucket": self._bucket, "Key": f"{self._prefix}part-{number:05d}.jsonl"}
                pieces = _pieces(part)
                first = next(pieces)
                if len(first) == _PIECE_BYTES:
                    self._write_large(target, itertools.chain([first], pieces))
                    continue
                request = {**target, **self._encryption, "Body": first}
                uploads[pool.submit(s3.put_object, **request)] = request
                if len(uploads) >= _MAX_UPLOADS:
                    self._finish(uploads, wait(uploads, return_when=FIRST_COMPLETED).done)
            self._finish(uploads, list(uploads))
        return number + 1

    def _finish(self, uploads: dict[Future[Any], dict[str, Any]], done: Iterable[Future[Any]]) -> None:
        """Removes completed uploads. Retries failed ones here, since the retry budget is not thread-safe."""
        for upload in done:
            request = uploads.pop(upload)
            error = upload.exception()
            if isinstance(error, ClientError | BotoCoreError):
                self._call(clients.s3().put_object, **request)
            elif error is not None:
                raise error

    def _write_large(self, target: Mapping[str, str], pieces: Iterable[bytes]) -> None:
        s3: Any = clients.s3()
        upload_id = self._call(s3.create_multipart_upload, **target, **self._encryption)["UploadId"]
        upload = {**target, "UploadId": upload_id}
        try:
            parts = []
            for number, piece in enumerate(pieces, start=1):
                response = self._call(s3.upload_part, **upload, PartNumber=number, Body=piece)
                parts.append({"PartNumber": number, "ETag": response["ETag"]})
            self._call(s3.complete_multipart_upload, **upload, MultipartUpload={"Parts": parts})
        except BaseException:
            # The parts of an incomplete upload are billed.
            with contextlib.suppress(ClientError, BotoCoreError):
                s3.abort_multipart_upload(**upload)
            raise

    def _call(self, operation: Callable[..., Any], **request: Any) -> Any:
        return call_s3(operation, self._hints, f"s3://{self._bucket}/{request['Key']}", self._budget, **request)


def _pieces(part: Iterator[bytes]) -> Iterator[bytes]:
    """Yields a file in pieces of the same size; the last may be shorter."""
    piece = bytearray()
    for chunk in part:
        piece += chunk
        while len(piece) >= _PIECE_BYTES:
            yield bytes(piece[:_PIECE_BYTES])
            del piece[:_PIECE_BYTES]
    if piece:
        yield bytes(piece)
