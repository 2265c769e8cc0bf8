"""The clients of AWS, each made on first use and once in a function's life."""

import functools
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_personalize import PersonalizeClient
    from mypy_boto3_s3 import S3Client

# Few attempts and short ones: what has to be waited for longer is waited for where it can be explained
# (`failures.call`), and a service that hangs must not outlast the function.
_ATTEMPTS, _CONNECT, _READ = 2, 5, 15
_CONFIG = Config(
    retries={"mode": "standard", "total_max_attempts": _ATTEMPTS}, connect_timeout=_CONNECT, read_timeout=_READ
)
#: How long one call can take, in seconds.
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
