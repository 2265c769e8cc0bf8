"""IAM decisions for the local Personalize, made by MiniStack's evaluation of the deployed policies."""

import secrets
import time
from dataclasses import dataclass
from typing import Any

from ministack.core import iam_evaluator
from ministack.services import iam as ministack_iam
from ministack.services import s3 as ministack_s3
from ministack.services import sts as ministack_sts

from .errors import ServiceError

SERVICE = "personalize.amazonaws.com"


@dataclass(frozen=True)
class Caller:
    """The sender of a request, and the account and region of the request."""

    access_key: str
    account: str
    region: str

    @property
    def partition(self) -> str:
        """The partition of the region."""
        return "aws-cn" if self.region.startswith("cn-") else "aws"

    def arn(self, resource: str) -> str:
        """Returns the ARN of a Personalize resource in the caller's account and region."""
        return f"arn:{self.partition}:personalize:{self.region}:{self.account}:{resource}"

    def authorize(self, action: str, resource: str, context: dict[str, Any] | None = None) -> None:
        """Checks that the caller's own policies allow an action.

        Args:
            action: For example ``"personalize:CreateBatchSegmentJob"``.
            resource: The ARN of the resource, or ``"*"``.
            context: Condition keys and their values.

        Raises:
            ServiceError: The action is denied.
        """
        denied = iam_evaluator.enforce(
            self.access_key, action, action.partition(":")[0], self.region, resource, context or {}
        )
        if denied is None:
            return
        if isinstance(denied, iam_evaluator.AuthError):
            raise ServiceError(denied.code, denied.message, 403)
        raise ServiceError(
            "AccessDeniedException",
            f"User: {denied.principal_arn} is not authorized to perform: {action} on resource: {resource} because no "
            f"identity-based policy allows the {action} action",
        )


def _context(service: str, account: str, region: str, source_arn: str | None, action: str, resource: str) -> Any:
    source = {} if source_arn is None else {"aws:sourceaccount": account, "aws:sourcearn": source_arn}
    return iam_evaluator.EvalContext(
        principal_arn=service,
        principal_type="Service",
        principal_account=account,
        action=action,
        resource_arn=resource,
        region=region,
        secure_transport=True,
        service_context=source,
    )


def is_trusted(role_arn: str, service: str, account: str, region: str, source_arn: str) -> bool:
    """Returns whether a role's trust policy allows a service to assume it.

    Args:
        role_arn: The role. A role that does not exist trusts nobody.
        service: The service principal, for example ``"states.amazonaws.com"``.
        account: The ``aws:SourceAccount`` of the request.
        region: The region of the request.
        source_arn: The ``aws:SourceArn`` of the request.
    """
    parts = role_arn.split(":")
    role = ministack_iam._roles.get_scoped(parts[4], None, role_arn.rpartition("/")[2]) if len(parts) > 5 else None
    if role is None:
        return False
    context = _context(service, account, region, source_arn, "sts:AssumeRole", role_arn)
    document = role.get("AssumeRolePolicyDocument")
    return bool(iam_evaluator.evaluate_resource_policy(document, context, service=service).decision == "Allow")


def service_may_assume(caller: Caller, role_arn: str, source_arn: str) -> bool:
    """Returns whether a role's trust policy allows Personalize to assume it for a job."""
    return is_trusted(role_arn, SERVICE, caller.account, caller.region, source_arn)


def bucket_policy_allows(
    caller: Caller, bucket: str, action: str, key: str, source_arn: str | None, prefix: str | None = None
) -> bool:
    """Returns whether a bucket policy allows Personalize an action.

    The guide requires a bucket policy in addition to the role's policy:
    https://docs.aws.amazon.com/personalize/latest/dg/granting-personalize-s3-access.html

    Args:
        caller: The sender of the request that created the job.
        bucket: The name of the bucket.
        action: For example ``"s3:GetObject"``.
        key: The key of an object, or an empty string for the bucket itself.
        source_arn: The ``aws:SourceArn`` of the request. None means that the request has neither ``aws:SourceAccount``
            nor ``aws:SourceArn``.
        prefix: The prefix of ``s3:ListBucket``.
    """
    resource = f"arn:{caller.partition}:s3:::{bucket}" + (f"/{key}" if key else "")
    document = ministack_s3._bucket_policies.get_scoped(caller.account, None, bucket)
    context = _context(SERVICE, caller.account, caller.region, source_arn, action, resource)
    if prefix is not None:
        context.service_context["s3:prefix"] = prefix
    return bool(iam_evaluator.evaluate_resource_policy(document, context, service=SERVICE).decision == "Allow")


def create_role_session(role_arn: str, session_name: str = "personalize") -> dict[str, Any]:
    """Creates a session of a role, without checking its trust policy.

    Args:
        role_arn: The role.
        session_name: The name of the session, for error messages.

    Returns:
        The credentials as keyword arguments for boto3.
    """
    access_key = f"ASIA{secrets.token_hex(8).upper()}"
    credentials = {
        "aws_access_key_id": access_key,
        "aws_secret_access_key": secrets.token_hex(20),
        "aws_session_token": secrets.token_hex(32),
    }
    account, name = role_arn.split(":")[4], role_arn.rpartition("/")[2]
    arn = role_arn.replace(":iam:", ":sts:").partition(":role/")[0] + f":assumed-role/{name}/{session_name}"
    ministack_sts.register_session(
        access_key,
        {
            "Arn": arn,
            "UserId": f"AROA{secrets.token_hex(8).upper()}:{session_name}",
            "SecretAccessKey": credentials["aws_secret_access_key"],
            "SessionToken": credentials["aws_session_token"],
            "Expiration": time.time() + 3600,
            "AccountId": account,
            "PrincipalType": "AssumedRole",
            "SourceAccessKeyId": account,
            "SourcePrincipalArn": arn,
            "SessionTags": [],
            "SessionPolicies": None,
        },
    )
    return credentials
