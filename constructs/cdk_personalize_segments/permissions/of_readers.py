"""The statements of the app's own readers and writers, and of the handler in another account's bucket."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypedDict

import aws_cdk.aws_iam as iam

from ..buckets import BucketInfo, object_pattern
from .of_personalize import list_condition
from .statements import KEY_ACTIONS_TO_READ, KEY_ACTIONS_TO_WRITE, RESULT_ACTIONS


class GrantOptions(TypedDict, total=False):
    """What `iam.Grant.add_to_principal_or_resource` needs beside grantee and resource."""

    actions: list[str]
    resource_arns: list[str]
    conditions: Mapping[str, Mapping[str, Any]]


# -- the handler in another account's bucket


def handler_on_foreign_bucket(
    account: iam.IPrincipal, info: BucketInfo, *, reads: str | None, writes: str | None
) -> Iterator[iam.PolicyStatement]:
    """The statements of the policy of another account's bucket, for the handler.

    Args:
        account: The handler's account.
        info: The bucket.
        reads: The key or prefix that the handler lists and reads.
        writes: The prefix that the handler writes to.
    """

    def allow(action: str, resource: str, **conditions: Any) -> iam.PolicyStatement:
        return iam.PolicyStatement(principals=[account], actions=[action], resources=[resource], conditions=conditions)

    if reads is not None:
        yield allow("s3:ListBucket", info.arn, StringLike={"s3:prefix": reads})
        yield allow("s3:GetObject", f"{info.arn}/{object_pattern(reads)}")
    if writes is not None:
        yield allow("s3:PutObject", f"{info.arn}/{writes}*")


def results_on_foreign_bucket(account: iam.IPrincipal, info: BucketInfo, prefix: str) -> iam.PolicyStatement:
    """The statement of the policy of another account's bucket, for a Distributed Map that writes its results."""
    return iam.PolicyStatement(principals=[account], actions=RESULT_ACTIONS, resources=[f"{info.arn}/{prefix}*"])


def handler_on_foreign_key(account: iam.IPrincipal, *, writes: bool) -> iam.PolicyStatement:
    """The statement of the policy of another account's key, for the handler."""
    actions = KEY_ACTIONS_TO_WRITE if writes else KEY_ACTIONS_TO_READ
    return iam.PolicyStatement(principals=[account], actions=actions, resources=["*"])


# -- the app's own readers and writers


def list_segments(info: BucketInfo, folders: Iterable[str]) -> GrantOptions:
    """The grant to list segments in folders of the output bucket."""
    return {
        "actions": ["s3:ListBucket"],
        "resource_arns": [info.arn],
        "conditions": {"StringLike": list_condition(folders)},
    }


def read_segments(info: BucketInfo, folders: Iterable[str]) -> GrantOptions:
    """The grant to read segments in folders of the output bucket."""
    return {"actions": ["s3:GetObject"], "resource_arns": [f"{info.arn}/{folder}*" for folder in folders]}


def put_queries(info: BucketInfo, key_or_prefix: str) -> GrantOptions:
    """The grant to upload queries."""
    return {"actions": ["s3:PutObject"], "resource_arns": [f"{info.arn}/{object_pattern(key_or_prefix)}"]}


def grant_key(info: BucketInfo, granted: iam.Grant, grantee: iam.IGrantable, *, writes: bool = False) -> iam.Grant:
    """Adds the grant to use a bucket's key, if the bucket has one."""
    if info.key is None:
        return granted
    return granted.combine(info.key.grant(grantee, *(KEY_ACTIONS_TO_WRITE if writes else KEY_ACTIONS_TO_READ)))
