"""Facts about buckets that several modules need."""

from dataclasses import dataclass

import aws_cdk.aws_kms as kms


@dataclass(frozen=True)
class BucketInfo:
    """Bucket attributes, read once and cached: in Python every jsii property access is a call to another process."""

    name: str
    arn: str
    key: kms.IKey | None
    key_arn: str | None
    #: The account, where the bucket is known to be of the stack's own.
    account: str | None
    #: Whether the bucket is imported with another account than the stack's.
    is_foreign: bool


def object_pattern(key_or_prefix: str) -> str:
    """Returns the keys that a location stands for, as policies name them."""
    return f"{key_or_prefix}*" if key_or_prefix.endswith("/") else key_or_prefix
