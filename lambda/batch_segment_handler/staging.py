"""The job's input in S3: checked in place, or split into files that fit the service's quota.

Sources:
    GET: https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html
    LIST: https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html
    MULTIPART: https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html
    SSE_C: https://docs.aws.amazon.com/AmazonS3/latest/userguide/ServerSideEncryptionCustomerKeys.html
    UNLOAD: https://docs.aws.amazon.com/redshift/latest/dg/r_UNLOAD.html
"""

import contextlib
import re
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

from botocore.exceptions import BotoCoreError, ClientError, IncompleteReadError, ResponseStreamingError

from . import clients, limits, queries
from .expressions import shown
from .failures import JobError, Patience, call, explain
from .log import log
from .preflight import Preflight
from .text import printable

# A part shorter than this is one request, several at a time: 1000 small files one after the other would take a minute.
# A longer one is a multipart upload in pieces of this size, of which all but the last have at least 5 MiB (MULTIPART).
_PIECE = 5 * 1024**2
_AT_ONCE = 8
#: How many parts wait to be uploaded or are under way; the memory that staging takes.
_MAX_UPLOADS = 2 * _AT_ONCE
# Folder objects count for no limit of the service, so the pages are counted.
_MAX_PAGES = 20
#: How many warnings the user is shown, and how many objects an error names.
_MAX_SHOWN = 5
#: Objects that other programs leave beside data, by the last part of their key: Hadoop and Spark (_SUCCESS,
#: _committed_…, hidden checksums), Redshift's manifest (UNLOAD), Finder (.DS_Store), and the output of a job.
_STRAY = re.compile(r"_SUCCESS|_CHECK|_(started|committed)_.*|\..*|.*manifest(\.json)?|.*\.out", re.S)
_COMPRESSED = re.compile(r".*\.(gz|zip|bz2|zst|xz)", re.S | re.I)
_KMS_KEY = re.compile(r"arn:[a-z\d-]+:kms:[a-z\d-]+:\d+:key/[\w-]+")


def stage(properties: Mapping[str, Any], folder: str, preflight: Preflight, patience: Patience) -> str:
    """Checks the asset's queries and writes them to a folder as ``part-00000.jsonl`` and so on.

    The asset is streamed twice, so that nothing is written unless all of it is valid. Writing it again changes
    nothing: the path names the content and how it is split. Objects are written with an explicit encryption,
    ``aws:kms`` with the input's key or ``AES256``, since bucket policies may deny a write without the header
    (https://github.com/aws/aws-cdk/issues/11265).

    Args:
        properties: The resource's properties.
        folder: The start of the ``s3://`` path to write to.
        preflight: What the queries have to be.
        patience: How long the deployment may wait for a permission.

    Returns:
        The path that was written to, ending in "/".

    Raises:
        JobError: A query is invalid, there are too many of them for the service's 1000 files, or S3 refused a request.
    """
    fixes = _Fixes(properties.get("AssetKmsKeyArn"), ": set asset_encryption_key of BatchSegmentProvider")
    asset = _Object(properties["AssetBucket"], properties["AssetKey"], fixes, patience)
    is_inline = properties.get("InputIsInline") == "true"
    quota = queries.Quota(_quota_per_file(properties))
    name = "segment_queries" if is_inline else "job_input"
    report = _check([(name, asset)], preflight, quota, is_inline=is_inline)
    per_file = queries.split_size(report, quota)
    path = f"{folder}-{per_file}/"
    files = _Writer(path, properties, patience).write(asset, per_file)
    log("staged", asset=str(asset), path=shown(path), queries=report.queries, files=files)
    return path


def check_existing(properties: Mapping[str, Any], preflight: Preflight, patience: Patience) -> list[str]:
    """Checks the queries that are in S3 already, as the service will read them: every object under the prefix.

    Args:
        properties: The resource's properties.
        preflight: What the queries have to be.
        patience: How long the deployment may wait for a permission.

    Returns:
        The first warnings, at most five.

    Raises:
        JobError: There is no object, a query is invalid, a file has more queries than the service takes, or S3 refused
            a request.
    """
    path = properties["InputPath"]
    bucket, _, key = path.removeprefix("s3://").partition("/")
    fixes = _Fixes(
        properties.get("InputKmsKeyArn"), ": import the bucket with its encryption_key, or pass validate_input=False"
    )
    found = _list(bucket, key, fixes, patience)
    if not found:
        raise JobError(f"job_input: there is no {'object under' if key.endswith('/') else 'object'} {shown(path)}")
    if len(found) > limits.MAX_INPUT_FILES:
        raise JobError(
            f"job_input: got more than {limits.MAX_INPUT_FILES:,} objects under {shown(path)}, expected at most "
            f"{limits.MAX_INPUT_FILES:,}, the service's limit. Every object under the prefix is input: join them, or "
            "move others away"
        )
    if key.endswith("/"):
        _refuse_stray(path, [one.removeprefix(key) for one, _ in found])
    _refuse_too_large(shown(path), sum(size for _, size in found))
    objects = [_Object(bucket, one, fixes, patience) for one, _ in found]
    quota = queries.Quota(_quota_per_file(properties), is_split=False)
    report = _check([(str(one), one) for one in objects], preflight, quota)
    log("checked", path=shown(path), queries=report.queries, files=report.files)
    return [str(warning) for warning in report.warnings]


def _quota_per_file(properties: Mapping[str, Any]) -> int | None:
    # A string: CloudFormation hands all values over as strings.
    number = properties.get("QueriesPerFile")
    if number is None:
        return None
    if not re.fullmatch(r"\d{1,8}", str(number), re.A) or not 1 <= int(number) <= limits.MAX_RECORDS:
        raise JobError(
            f"queries_per_file: got {shown(str(number))}, expected a whole number from 1 to {limits.MAX_RECORDS:,}"
        )
    return int(number)


def _check(
    objects: Iterable[tuple[str, "_Object"]], preflight: Preflight, quota: queries.Quota, *, is_inline: bool = False
) -> queries.QueryReport:
    def files() -> Generator[tuple[str, BinaryIO]]:
        for name, one in objects:
            with contextlib.closing(one.open()) as body:
                # An object's size as it is now; it may have changed since it was listed.
                _refuse_too_large(str(one), body.size)
                yield name, cast(BinaryIO, body)

    with contextlib.closing(files()) as opened:
        report = queries.check_queries(
            opened,
            kind=preflight.kind,
            placeholders=preflight.placeholders,
            quota=quota,
            is_inline=is_inline,
            max_faults=_MAX_SHOWN,
        )
    for warning in report.warnings:
        log("warning", fault=str(warning))
    try:
        report.raise_if_faulty()
    except queries.QueryFileError as error:
        raise JobError(str(error)) from error
    return report


# -- what is there


def _list(bucket: str, key: str, fixes: "_Fixes", patience: Patience) -> list[tuple[str, int]]:
    """Keys and sizes of an object or of those under a prefix; of too many, only one more than a job reads."""
    client, found = clients.s3(), list[tuple[str, int]]()
    request: dict[str, Any] = {"Bucket": bucket, "Prefix": key}
    if not key.endswith("/"):
        # Keys are listed in the order of their UTF-8 bytes (LIST), so the object is the first with this prefix.
        request["MaxKeys"] = 1
    place = f"s3://{bucket}/{key}"
    for _ in range(_MAX_PAGES):
        page = _ask(client.list_objects_v2, fixes, place, patience, **request)
        contents = [(one["Key"], int(one["Size"])) for one in page.get("Contents", [])]
        if not key.endswith("/"):
            return [one for one in contents if one[0] == key]
        # A key that ends in a slash is a folder made in the console.
        found += [one for one in contents if not one[0].endswith("/")]
        if len(found) > limits.MAX_INPUT_FILES:
            return found[: limits.MAX_INPUT_FILES + 1]
        if not page.get("NextContinuationToken"):
            return found
        request["ContinuationToken"] = page["NextContinuationToken"]
    raise JobError(
        f"job_input: got too many keys that end in '/' under {shown(place)}, expected query files: move the folder "
        "objects away"
    )


def _refuse_stray(path: str, names: Sequence[str]) -> None:
    last = [name.rpartition("/")[2] for name in names]
    stray = [name for name, end in zip(names, last, strict=True) if _STRAY.fullmatch(end) or _COMPRESSED.fullmatch(end)]
    if not stray:
        return
    listed = [
        shown(name, 80) + (" (compressed: unpack it)" if _COMPRESSED.fullmatch(name) else "")
        for name in stray[:_MAX_SHOWN]
    ]
    more = f" and {len(stray) - _MAX_SHOWN} more" if len(stray) > _MAX_SHOWN else ""
    raise JobError(
        f"job_input: got objects that are not query files: {', '.join(listed)}{more}. Every object under the prefix "
        f"{shown(path)} is input: move them away"
    )


def _refuse_too_large(name: str, size: int) -> None:
    if size > limits.MAX_INPUT_BYTES:
        raise JobError(
            f"job_input: got {size:,} bytes in {name}, expected at most {limits.MAX_INPUT_BYTES:,}, the service's "
            "limit of all files together. Split them over several jobs"
        )


# -- requests, and what to say if one is refused


def _ask(operation: Callable[..., Any], fixes: "_Fixes", place: str, patience: Patience, **request: Any) -> Any:
    """Calls S3 with retries; an error names the place and the fix."""
    try:
        return call(operation, patience, **request)
    except (JobError, ClientError) as error:
        # A JobError ends the retries of its cause.
        answer = error if isinstance(error, ClientError) else error.__cause__
        explained = explain(error, {})
        text = str(explained)
        # A fix of the object replaces the general one.
        if isinstance(answer, ClientError) and (fix := fixes.of(answer)):
            told = answer.response["Error"]
            said = printable(told.get("Message", ""), 500)
            text = f"{fix}. {answer.operation_name} failed with {told.get('Code')}: {said}"
        raise type(explained)(f"job_input: {shown(place)}: {text}") from error


@dataclass(frozen=True)
class _Fixes:
    """What to do about an error of S3.

    Attributes:
        key_arn: The KMS key of the object, if it is known.
        grant: How the handler gets a permission for the key.
    """

    key_arn: str | None
    grant: str = ""

    def of(self, error: ClientError) -> str:
        """The sentence to begin with; empty if there is no better one than the service's answer."""
        code, message = error.response["Error"].get("Code", ""), error.response["Error"].get("Message", "")
        if code == "InvalidObjectState":
            return "the object is archived: restore it, or copy it to the storage class STANDARD"  # GET
        if code == "PreconditionFailed":
            return "the object changed while it was read: deploy again"
        if code == "InvalidRequest" and "Server Side Encryption" in message:
            return (
                "the object is encrypted with a customer-provided key (SSE-C), which neither the handler nor "
                "Personalize has: write it again with SSE-S3 or SSE-KMS"
            )
        named = _KMS_KEY.search(message)
        arn = named[0] if named else self.key_arn
        key = "the object's KMS key" if arn is None else f"the KMS key {shown(arn)}"
        if code.startswith("KMS."):
            return f"{key} cannot be used: enable it"
        if action := re.search(r"kms:[A-Za-z]+", message):
            return f"grant {action[0]} on {key} to the handler{self.grant}"
        return ""


# -- reading


@dataclass
class _Object:
    """An object of the input. Opened again, it has to be the same version."""

    bucket: str
    key: str
    fixes: _Fixes
    patience: Patience
    etag: str | None = None

    def __str__(self) -> str:
        return shown(f"s3://{self.bucket}/{self.key}")

    def open(self) -> "_Body":
        """Opens the object; only this request is retried."""
        return _Body(self)

    def get(self, offset: int) -> Mapping[str, Any]:
        """Requests the object's content from an offset on."""
        request: dict[str, Any] = {"Bucket": self.bucket, "Key": self.key}
        if self.etag is not None:
            request["IfMatch"] = self.etag
        if offset:
            request["Range"] = f"bytes={offset}-"
        answer = _ask(clients.s3().get_object, self.fixes, f"s3://{self.bucket}/{self.key}", self.patience, **request)
        self.etag = answer.get("ETag")
        return cast(Mapping[str, Any], answer)


class _Body:
    """The content of an object. A connection that breaks is resumed where it broke.

    Attributes:
        size: How many bytes there are.
    """

    def __init__(self, one: _Object) -> None:
        self._object = one
        self._offset = 0
        answer = one.get(0)
        self.size = int(answer.get("ContentLength", 0))
        self._stream: Any = answer["Body"]

    def read(self, size: int) -> bytes:
        try:
            data = call(self._read, self._object.patience, size=size)
        except JobError as error:
            if isinstance(error.__cause__, BotoCoreError):
                raise type(error)(f"job_input: {self._object}: {error}") from error
            raise
        self._offset += len(data)
        return data

    def _read(self, size: int) -> bytes:
        if self._stream is None:
            self._stream = self._object.get(self._offset)["Body"]
        try:
            return bytes(self._stream.read(size))
        except (BotoCoreError, OSError) as error:
            self.close()
            if isinstance(error, IncompleteReadError | OSError):
                # `call` retries what botocore says of a broken connection.
                raise ResponseStreamingError(error=error) from error
            raise

    def close(self) -> None:
        if self._stream is not None:
            self._stream.close()
        self._stream = None


# -- writing


class _Writer:
    """Writes the parts of an input."""

    def __init__(self, path: str, properties: Mapping[str, Any], patience: Patience) -> None:
        self._bucket, _, self._prefix = path.removeprefix("s3://").partition("/")
        self._fixes = _Fixes(properties.get("InputKmsKeyArn"))
        self._patience = patience
        key = properties.get("InputKmsKeyArn")
        # What the requests that create an object have in common.
        self._encryption = {"ServerSideEncryption": "AES256"}
        if key:
            self._encryption = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key}

    def write(self, asset: _Object, per_file: int) -> int:
        """Writes all parts and returns how many there are."""
        s3: Any = clients.s3()
        uploads: dict[Future[Any], dict[str, Any]] = {}
        number = -1
        with contextlib.closing(asset.open()) as file, ThreadPoolExecutor(_AT_ONCE) as pool:
            for number, part in enumerate(queries.split_queries(cast(BinaryIO, file), per_file)):
                where = {"Bucket": self._bucket, "Key": f"{self._prefix}part-{number:05d}.jsonl"}
                pieces = _pieces(part)
                first = next(pieces)
                if len(first) == _PIECE:
                    self._write_large(where, first, pieces)
                    continue
                request = {**where, **self._encryption, "Body": first}
                uploads[pool.submit(s3.put_object, **request)] = request
                if len(uploads) >= _MAX_UPLOADS:
                    self._finish(uploads, wait(uploads, return_when=FIRST_COMPLETED).done)
            self._finish(uploads, list(uploads))
        return number + 1

    def _finish(self, uploads: dict[Future[Any], dict[str, Any]], done: Iterable[Future[Any]]) -> None:
        """Takes uploads off the list. One that failed is repeated here, where it can be waited for."""
        for upload in done:
            request = uploads.pop(upload)
            error = upload.exception()
            if isinstance(error, ClientError | BotoCoreError):
                self._ask(clients.s3().put_object, **request)
            elif error is not None:
                raise error

    def _write_large(self, where: Mapping[str, str], first: bytes, rest: Iterator[bytes]) -> None:
        s3: Any = clients.s3()
        upload = {**where, "UploadId": self._ask(s3.create_multipart_upload, **where, **self._encryption)["UploadId"]}
        try:
            parts = []
            for number, piece in enumerate(_chain(first, rest), start=1):
                answer = self._ask(s3.upload_part, **upload, PartNumber=number, Body=piece)
                parts.append({"PartNumber": number, "ETag": answer["ETag"]})
            self._ask(s3.complete_multipart_upload, **upload, MultipartUpload={"Parts": parts})
        except BaseException:
            # Parts of an upload that was not completed are billed.
            with contextlib.suppress(ClientError, BotoCoreError):
                s3.abort_multipart_upload(**upload)
            raise

    def _ask(self, operation: Callable[..., Any], **request: Any) -> Any:
        return _ask(operation, self._fixes, f"s3://{self._bucket}/{request['Key']}", self._patience, **request)


def _pieces(part: Iterator[bytes]) -> Iterator[bytes]:
    """A part in pieces of the same size, but for the last; one at least."""
    piece = bytearray()
    for chunk in part:
        piece += chunk
        while len(piece) >= _PIECE:
            yield bytes(piece[:_PIECE])
            del piece[:_PIECE]
    if piece:
        yield bytes(piece)


def _chain(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest
