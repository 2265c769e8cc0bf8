"""Opens the inputs of the check: files, the standard input, and objects in S3."""

import contextlib
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import UsageError

# "Maximum number of input files per batch segment job": https://docs.aws.amazon.com/personalize/latest/dg/limits.html
_MAX_OBJECTS = 1000


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
        with copies.open("wb") as copy:
            shutil.copyfileobj(sys.stdin.buffer, copy)
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
        if len(keys) > _MAX_OBJECTS:
            raise UsageError(
                f"check: got more than {_MAX_OBJECTS:,} objects under {name}, expected at most {_MAX_OBJECTS:,}, the "
                "service's limit"
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
        if len(keys) > _MAX_OBJECTS:
            break
    return keys
