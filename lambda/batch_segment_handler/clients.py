"""The clients of AWS, each created on first use and cached for the lifetime of the execution environment."""

import functools
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_personalize import PersonalizeClient
    from mypy_boto3_s3 import S3Client

# Keep botocore's retries and timeouts short. Longer retries happen in `failures.call`, which can explain them to the
# user, and a service that hangs must not outlast the function.
_ATTEMPTS, _CONNECT, _READ = 2, 5, 15
_CONFIG = Config(
    retries={"mode": "standard", "total_max_attempts": _ATTEMPTS}, connect_timeout=_CONNECT, read_timeout=_READ
)
#: The longest time one call can take, in seconds.
LONGEST_CALL = _ATTEMPTS * (_CONNECT + _READ)


@functools.cache
def personalize() -> "PersonalizeClient":
    """The client of Personalize."""
    return boto3.client("personalize", config=_CONFIG)


@functools.cache
def s3() -> "S3Client":
    """The client of S3."""
    return boto3.client("s3", config=_CONFIG)


@functools.cache
def cloudformation() -> "CloudFormationClient":
    """The client of CloudFormation."""
    return boto3.client("cloudformation", config=_CONFIG)
