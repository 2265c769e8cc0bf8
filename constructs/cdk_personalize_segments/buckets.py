"""Attributes of buckets."""

from dataclasses import dataclass

import aws_cdk.aws_kms as kms


@dataclass(frozen=True)
class BucketInfo:
    """Bucket attributes, read once and cached: in Python every jsii property access is a call to another process."""

    name: str
    arn: str
    key: kms.IKey | None
    key_arn: str | None
    #: The stack's account if the bucket is known to belong to it; otherwise None.
    account: str | None
    #: Whether the bucket is imported with an account other than the stack's.
    is_foreign: bool


def object_pattern(key_or_prefix: str) -> str:
    """Returns the pattern of the keys at a location, for policies."""
    return f"{key_or_prefix}*" if key_or_prefix.endswith("/") else key_or_prefix
