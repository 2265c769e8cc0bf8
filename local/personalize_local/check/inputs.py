"""Opens the inputs of the check: files, the standard input, and objects in S3."""

import contextlib
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from batch_segment_handler import limits

from ..errors import UsageError

_CHUNK = 1024**2


@dataclass(frozen=True, slots=True)
class Input:
    """An input.

    Attributes:
        name: Its name for messages.
        path: The file with its content.
    """

    name: str
    path: Path


@contextlib.contextmanager
def open_inputs(names: Sequence[str]) -> Iterator[list[Input]]:
    """Opens inputs. Temporary copies exist only within the context.

    Args:
        names: Paths of files, ``-`` for the standard input, and ``s3://`` paths of objects or of prefixes that end with
            a slash. Only the last use the user's credentials.

    Raises:
        UsageError: An input cannot be read.
    """
    with tempfile.TemporaryDirectory(prefix="personalize-local-check-") as folder:
        yield [found for index, name in enumerate(names) for found in _open(name, Path(folder) / str(index))]


def _open(name: str, copies: Path) -> Iterator[Input]:
    if name == "-":
        _copy_stdin(copies)
        yield Input("stdin", copies)
    elif name.startswith("s3://"):
        copies.mkdir()
        yield from _download(name, copies)
    else:
        path = Path(name)
        if path.is_dir():
            raise UsageError(f"check: {name} is a folder, expected files; for example: {path / '*.jsonl'}")
        try:
            path.open("rb").close()
        except OSError as error:
            raise UsageError(f"check: {name}: {error.strerror}") from error
        yield Input(name, path)


def _copy_stdin(path: Path) -> None:
    # One byte more than a job reads, so that the check reports it.
    left = limits.MAX_INPUT_BYTES + 1
    with path.open("wb") as copy:
        while chunk := sys.stdin.buffer.read(min(left, _CHUNK)):
            copy.write(chunk)
            left -= len(chunk)


def _download(name: str, copies: Path) -> Iterator[Input]:
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    bucket, _, key = name.removeprefix("s3://").partition("/")
    if not bucket:
        raise UsageError(f"check: got {name}, expected s3://BUCKET/KEY")
    try:
        s3 = boto3.client("s3")
        keys = _list(s3, bucket, key) if not key or key.endswith("/") else [key]
        if not keys:
            raise UsageError(f"check: there is no object under {name}")
        if len(keys) > limits.MAX_INPUT_FILES:
            raise UsageError(
                f"check: got more objects under {name}, expected at most {limits.MAX_INPUT_FILES:,}, the limit of a job"
            )
        for index, found in enumerate(keys):
            path = copies / str(index)
            s3.download_file(bucket, found, str(path))
            yield Input(f"s3://{bucket}/{found}", path)
    except (BotoCoreError, ClientError) as error:
        raise UsageError(f"check: {name}: {error}") from error


def _list(s3: Any, bucket: str, prefix: str) -> list[str]:
    keys: list[str] = []
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        # A key that ends in a slash is a folder, created in the console.
        keys += [found["Key"] for found in page.get("Contents", []) if not found["Key"].endswith("/")]
        if len(keys) > limits.MAX_INPUT_FILES:
            break
    return keys
