"""boto3 clients, created on first use and cached for the lifetime of the execution environment."""

import functools
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_glue import GlueClient
    from mypy_boto3_personalize import PersonalizeClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_stepfunctions import SFNClient

# Keep botocore's retries and timeouts short, so that a call that hangs ends before the function times out. Longer
# retries happen in `retries.call_with_retries`, which explains them to the user.
_ATTEMPTS, _CONNECT_SECONDS, _READ_SECONDS = 2, 5, 15
_CONFIG = Config(
    retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
    connect_timeout=_CONNECT_SECONDS,
    read_timeout=_READ_SECONDS,
)
#: The maximum duration of a call.
MAX_CALL_SECONDS = _ATTEMPTS * (_CONNECT_SECONDS + _READ_SECONDS)


@functools.cache
def personalize() -> "PersonalizeClient":
    """Returns the client of Personalize."""
    return boto3.client("personalize", config=_CONFIG)


@functools.cache
def s3() -> "S3Client":
    """Returns the client of S3."""
    return boto3.client("s3", config=_CONFIG)


@functools.cache
def cloudformation() -> "CloudFormationClient":
    """Returns the client of CloudFormation."""
    return boto3.client("cloudformation", config=_CONFIG)


@functools.cache
def stepfunctions() -> "SFNClient":
    """Returns the client of Step Functions."""
    return boto3.client("stepfunctions", config=_CONFIG)


@functools.cache
def glue() -> "GlueClient":
    """Returns the client of Glue."""
    return boto3.client("glue", config=_CONFIG)
