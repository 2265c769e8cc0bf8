"""The parts that statements are made of."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ..job_needs import ReadAccess

#: A statement as JSON, with tokens.
Statement = dict[str, Any]
Statements = Iterator[Statement]

KEY_ACTIONS_TO_READ = ["kms:Decrypt"]
#: https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingKMSEncryption.html: a multipart upload decrypts its parts.
KEY_ACTIONS_TO_WRITE = ["kms:GenerateDataKey", "kms:Decrypt"]
#: https://docs.aws.amazon.com/step-functions/latest/dg/input-output-resultwriter.html#resultwriter-iam-policies
RESULT_ACTIONS = ["s3:PutObject", "s3:GetObject", "s3:ListMultipartUploadParts", "s3:AbortMultipartUpload"]
# https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsx-ray.html: the actions have no resource.
TRACING_ACTIONS = ["xray:PutTelemetryRecords", "xray:PutTraceSegments"]


def of_account(account: str | None) -> dict[str, Any]:
    """The condition that a resource is of an account: nothing about how the caller calls matters."""
    return {} if account is None else {"StringEquals": {"aws:ResourceAccount": account}}


def via_s3(region: str) -> dict[str, Any]:
    """The condition that a key is used by way of S3."""
    # https://docs.aws.amazon.com/kms/latest/developerguide/conditions-kms.html#conditions-kms-via-service. The wildcard
    # stands for the suffix of China regions.
    return {"StringLike": {"kms:ViaService": f"s3.{region}.amazonaws.com*"}}


def on_objects(action: str, arns_by_account: Mapping[str | None, Iterable[str]]) -> Statements:
    """One statement for each account that buckets must be of."""
    for account, arns in arns_by_account.items():
        yield allow([action], list(arns), of_account(account))


def read_objects(needs: ReadAccess, region: str) -> Statements:
    """The statements to list and read objects, and to use the keys of their buckets."""
    for bucket, prefixes in needs.prefixes.items():
        conditions = {"StringLike": {"s3:prefix": list(prefixes)}, **of_account(bucket.account)}
        yield allow(["s3:ListBucket"], [bucket.arn], conditions)
    yield from on_objects("s3:GetObject", needs.objects)
    if needs.keys:
        yield allow(KEY_ACTIONS_TO_READ, list(needs.keys), via_s3(region))


def allow(actions: list[str], resources: list[str], conditions: Mapping[str, Any] | None = None) -> Statement:
    """A statement that allows actions on resources."""
    statement = {"Effect": "Allow", "Action": actions, "Resource": resources}
    return {**statement, "Condition": conditions} if conditions else statement
