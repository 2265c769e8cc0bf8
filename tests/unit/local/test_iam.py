"""Policies and permissions boundaries that IAM rejects, through its API and through CloudFormation."""

import json
import time
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError
from personalize_local.gateway import LocalAws

TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "lambda.amazonaws.com"}}],
}


def policy(resource: str = "*", action: str = "s3:*") -> dict[str, Any]:
    return {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": action, "Resource": resource}],
    }


def rejected(call: Callable[..., Any], **request: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as error:
        call(**request)
    return error.value.response["Error"]["Code"], error.value.response["Error"]["Message"]


@pytest.fixture
def name() -> str:
    return f"iam-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def deploy(client: Callable[..., Any], name: str) -> Callable[..., tuple[str, str]]:
    """Creates or updates a stack with one role, and returns its status and failure reasons."""
    cloudformation = client("cloudformation")
    exists = False

    def deploy_role(**properties: Any) -> tuple[str, str]:
        nonlocal exists
        role = {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": TRUST, **properties}}
        request = {
            "StackName": name,
            "TemplateBody": json.dumps({"Resources": {"Role": role}}),
            "Capabilities": ["CAPABILITY_NAMED_IAM"],
        }
        (cloudformation.update_stack if exists else cloudformation.create_stack)(**request)
        exists = True
        for _ in range(500):
            (stack,) = cloudformation.describe_stacks(StackName=name)["Stacks"]
            if not stack["StackStatus"].endswith("_IN_PROGRESS"):
                break
            time.sleep(0.02)
        events = cloudformation.describe_stack_events(StackName=name)["StackEvents"]
        reasons = [event["ResourceStatusReason"] for event in events if event["ResourceStatus"].endswith("_FAILED")]
        return stack["StackStatus"], "\n".join(reasons)

    return deploy_role


def test_api_rejects_a_missing_permissions_boundary(client: Callable[..., Any], local_aws: LocalAws, name: str) -> None:
    boundary = f"arn:aws:iam::{local_aws.account}:policy/{name}"
    assert rejected(
        client("iam").create_role,
        RoleName=name,
        AssumeRolePolicyDocument=json.dumps(TRUST),
        PermissionsBoundary=boundary,
    ) == ("NoSuchEntity", f"Scope ARN: {boundary} does not exist or is not attachable.")


def test_cloudformation_rejects_a_missing_permissions_boundary(
    deploy: Callable[..., tuple[str, str]], local_aws: LocalAws, name: str
) -> None:
    boundary = f"arn:aws:iam::{local_aws.account}:policy/{name}"
    assert deploy(PermissionsBoundary=boundary) == (
        "ROLLBACK_COMPLETE",
        f"Scope ARN: {boundary} does not exist or is not attachable.",
    )


def test_cloudformation_sets_and_removes_a_boundary(
    deploy: Callable[..., tuple[str, str]], client: Callable[..., Any], name: str
) -> None:
    iam = client("iam")
    boundary = iam.create_policy(PolicyName=name, PolicyDocument=json.dumps(policy()))["Policy"]["Arn"]
    cloudformation = client("cloudformation")

    def boundary_of_role() -> str | None:
        (resource,) = cloudformation.list_stack_resources(StackName=name)["StackResourceSummaries"]
        role = iam.get_role(RoleName=resource["PhysicalResourceId"])["Role"]
        arn: str | None = role.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn")
        return arn

    assert deploy(PermissionsBoundary=boundary) == ("CREATE_COMPLETE", "")
    assert boundary_of_role() == boundary
    assert deploy(PermissionsBoundary=f"{boundary}-2")[0] == "UPDATE_ROLLBACK_COMPLETE"
    assert boundary_of_role() == boundary
    assert deploy()[0] == "UPDATE_COMPLETE"
    assert boundary_of_role() is None


def test_enforces_a_permissions_boundary_of_a_stack(
    deploy: Callable[..., tuple[str, str]], client: Callable[..., Any], local_aws: LocalAws, name: str
) -> None:
    iam = client("iam")
    document = json.dumps(policy(action="s3:GetObject"))
    boundary = iam.create_policy(PolicyName=name, PolicyDocument=document)["Policy"]["Arn"]
    statement = {
        "Effect": "Allow",
        "Action": "sts:AssumeRole",
        "Principal": {"AWS": f"arn:aws:iam::{local_aws.account}:root"},
    }
    role = {
        "AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": [statement]},
        "Policies": [{"PolicyName": "all", "PolicyDocument": policy()}],
        "RoleName": name,
    }
    assert deploy(**role, PermissionsBoundary=boundary) == ("CREATE_COMPLETE", "")
    arn = f"arn:aws:iam::{local_aws.account}:role/{name}"
    session = client("sts").assume_role(RoleArn=arn, RoleSessionName="test")["Credentials"]
    s3 = client(
        "s3",
        aws_access_key_id=session["AccessKeyId"],
        aws_secret_access_key=session["SecretAccessKey"],
        aws_session_token=session["SessionToken"],
    )
    assert rejected(s3.list_buckets)[0] == "AccessDenied"
    assert deploy(**role) == ("UPDATE_COMPLETE", "")
    assert s3.list_buckets()["ResponseMetadata"]["HTTPStatusCode"] == 200


@pytest.mark.parametrize("resource", ["bucket", "arn:aws:s3", "s3://bucket/*", ""])
def test_rejects_a_policy_resource_that_is_not_an_arn(
    client: Callable[..., Any], deploy: Callable[..., tuple[str, str]], name: str, resource: str
) -> None:
    message = f'Resource {resource} must be in ARN format or "*".'
    document = json.dumps(policy(resource))
    assert rejected(client("iam").create_policy, PolicyName=name, PolicyDocument=document) == (
        "MalformedPolicyDocument",
        message,
    )
    inline = [{"PolicyName": "none", "PolicyDocument": policy(resource)}]
    assert deploy(Policies=inline) == ("ROLLBACK_COMPLETE", message)


@pytest.mark.parametrize("resource", ["*", "arn:aws:s3:::bucket", "arn:aws:s3:::*", "arn:aws:s3:*", "arn:*:s3:::b"])
def test_accepts_a_policy_resource_that_is_an_arn(client: Callable[..., Any], name: str, resource: str) -> None:
    made = client("iam").create_policy(PolicyName=name, PolicyDocument=json.dumps(policy(resource)))
    assert made["Policy"]["PolicyName"] == name
