"""The local AWS: clients, seeded ARNs, and waiting."""

import json
import time
from collections.abc import Callable
from typing import Any

from personalize_local.gateway import LocalAws

#: Makes a client of a service.
Clients = Callable[[str], Any]


def wait_until(condition: Callable[[], object], timeout: float = 120, *, interval: float = 0.01) -> None:
    """Waits for a condition.

    Args:
        condition: Returns something true when it is met.
        timeout: How many seconds to wait.
        interval: Seconds between two checks. Checks that call the local AWS slow everything else down.

    Raises:
        AssertionError: The condition was not met in time.
    """
    ends = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < ends, f"not met within {timeout} seconds"
        time.sleep(interval)


def seeded_arn(aws: LocalAws, name: str) -> str:
    """Returns the ARN of a resource that every local Personalize has, for example ``ITEM_AFFINITY_VERSION``."""
    return aws.environment()[f"PERSONALIZE_LOCAL_{name}_ARN"]


def role_session(role_arn: str) -> dict[str, Any]:
    """Returns the credentials of a session of a role, as keyword arguments for boto3."""
    from personalize_local.iam import create_role_session

    return create_role_session(role_arn)


def split_s3_uri(uri: str) -> tuple[str, str]:
    """Returns the bucket and the key of ``s3://bucket/key``."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key


def allow_personalize(client: Clients, bucket: str) -> None:
    """Adds the bucket policy that Personalize needs to read queries."""
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "personalize.amazonaws.com"},
        "Action": ["s3:ListBucket", "s3:GetObject"],
        "Resource": [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"],
    }
    policy = {"Version": "2012-10-17", "Statement": [statement]}
    client("s3").put_bucket_policy(Bucket=bucket, Policy=json.dumps(policy))


def use_account(aws: LocalAws) -> None:
    """Sets the account and region for functions of MiniStack that a test calls without a request."""
    from ministack.core import responses

    responses.set_request_account_id(aws.account)
    responses.set_request_region(aws.region)
