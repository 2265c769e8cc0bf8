"""Query files, and S3's responses with them."""

import io
from typing import Any

from batch_segment_handler.preflight import Preflight
from botocore.response import StreamingBody

ITEMS = Preflight("arn", "itemId", {})
ATTRIBUTES = Preflight("arn", "itemAttributes", {})
KEY = "arn:aws:kms:eu-west-1:111122223333:key/0a1b2c3d"
KMS_DENIED = (
    "User: arn:aws:sts::111122223333:assumed-role/Handler/f is not authorized to perform: kms:Decrypt on {} because no "
    "identity-based policy allows the kms:Decrypt action"
)


def lines(count: int) -> bytes:
    return b"".join(b'{"itemId": "%d"}\n' % number for number in range(count))


def objects(s3: Any, bucket: str, prefix: str) -> dict[str, bytes]:
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    keys = [found["Key"] for page in pages for found in page.get("Contents", [])]
    return {key: s3.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys}


def body(content: bytes, etag: str = '"1"', broken_after: int | None = None) -> dict[str, Any]:
    stream: Any = io.BytesIO(content[:broken_after])
    return {"Body": StreamingBody(stream, len(content)), "ContentLength": len(content), "ETag": etag}


def listed(*keys: str, size: int = 1, token: str | None = None) -> dict[str, Any]:
    return {
        "Contents": [{"Key": key, "Size": size} for key in keys],
        **({} if token is None else {"NextContinuationToken": token}),
    }
