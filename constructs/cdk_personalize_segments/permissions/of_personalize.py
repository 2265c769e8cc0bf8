"""The statements of the role that Personalize assumes, and of the service in the policies of buckets and keys."""

from collections.abc import Iterable, Mapping
from typing import Any

import aws_cdk.aws_iam as iam

from .statements import of_account

SERVICE = "personalize.amazonaws.com"
#: https://docs.aws.amazon.com/personalize/latest/dg/granting-personalize-key-needs.html
_KEY_ACTIONS_OF_ROLE = ["kms:Decrypt", "kms:GenerateDataKey", "kms:DescribeKey", "kms:ListGrants"]
_KEY_ACTIONS_OF_SERVICE = [*_KEY_ACTIONS_OF_ROLE, "kms:CreateGrant"]


def service_source(partition: str, region: str, account: str) -> dict[str, dict[str, str]]:
    """The conditions under which Personalize calls for this account and region only.

    https://docs.aws.amazon.com/personalize/latest/dg/cross-service-confused-deputy-prevention.html
    """
    return {
        "StringEquals": {"aws:SourceAccount": account},
        "ArnLike": {"aws:SourceArn": f"arn:{partition}:personalize:{region}:{account}:*"},
    }


def service_source_if_sent(account: str) -> dict[str, dict[str, str]]:
    """The same as far as a call carries the key: whether Personalize sends it to S3 and KMS is not documented."""
    return {"StringEqualsIfExists": {"aws:SourceAccount": account}}


def service_role_on_bucket(action: str, resource: str, account: str | None) -> iam.PolicyStatement:
    """A statement of the role that Personalize assumes."""
    return iam.PolicyStatement(actions=[action], resources=[resource], conditions=of_account(account))


def service_on_bucket(
    service: iam.ServicePrincipal, action: str, resource: str, conditions: Mapping[str, Any]
) -> iam.PolicyStatement:
    """A statement of a bucket's policy, for Personalize."""
    return iam.PolicyStatement(principals=[service], actions=[action], resources=[resource], conditions=conditions)


def service_role_on_key(key_arn: str) -> iam.PolicyStatement:
    """The statement of the role that Personalize assumes, for a key."""
    return iam.PolicyStatement(actions=_KEY_ACTIONS_OF_ROLE, resources=[key_arn])


def service_on_key(principal: iam.IPrincipal, conditions: Mapping[str, Any]) -> iam.PolicyStatement:
    """A statement of a key's policy, for Personalize or for the role that it assumes."""
    return iam.PolicyStatement(
        principals=[principal], actions=_KEY_ACTIONS_OF_SERVICE, resources=["*"], conditions=conditions
    )


def list_condition(prefixes: Iterable[str]) -> dict[str, list[str]]:
    """The condition that limits ListBucket to prefixes, for ``StringLike``."""
    return {"s3:prefix": [f"{prefix}*" for prefix in dict.fromkeys(prefixes)]}
