"""Fixes differences between MiniStack and AWS that matter to deployments of this library."""

import json
import re
from collections.abc import Callable
from typing import Any
from xml.sax.saxutils import escape

from ministack.core import iam_evaluator, responses
from ministack.services import iam, s3
from ministack.services.cloudformation import custom_resource, provisioners

from . import lambda_processes, nested_stacks


def apply() -> None:
    """Patches MiniStack in place. Raises an error if a patched name does not exist."""
    _delete_after_failed_create()
    _keep_bucket_tags()
    _reject_changed_service_tokens()
    _add_personalize_types()
    _enforce_permissions_boundaries()
    _validate_policy_resources()
    lambda_processes.apply()
    nested_stacks.apply()


def _keep_bucket_tags() -> None:
    # MiniStack's CloudFormation ignores the tags of buckets. CDK's custom resource for auto-delete requires one.
    # https://docs.aws.amazon.com/cdk/api/v2/docs/aws-cdk-lib.aws_s3-readme.html#bucket-deletion
    def xml(tags: list[dict[str, str]]) -> bytes:
        pairs = "".join(
            f"<Tag><Key>{escape(tag['Key'])}</Key><Value>{escape(tag['Value'])}</Value></Tag>" for tag in tags
        )
        return f"<Tagging><TagSet>{pairs}</TagSet></Tagging>".encode()

    configuration = ("Tags", xml, s3._put_bucket_tagging, s3._delete_bucket_tagging)
    provisioners._S3_BUCKET_CONFIGURATIONS += (configuration,)


def _delete_after_failed_create() -> None:
    # CloudFormation sends Delete to a custom resource whose Create failed, with the physical ID of the failed response.
    # MiniStack does not. https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref-requesttypes-delete.html
    invoke, deliver = custom_resource.invoke_custom_resource, custom_resource.deliver_response
    failed_ids: dict[tuple[str, str], str] = {}

    def deliver_response(token: str, response: dict[str, Any]) -> bool:
        if response.get("Status") == "FAILED" and "PhysicalResourceId" in response:
            failed_ids[response["StackId"], response["LogicalResourceId"]] = response["PhysicalResourceId"]
        return bool(deliver(token, response))

    def invoke_custom_resource(
        request_type: str,
        logical_id: str,
        props: Any,
        stack_name: str,
        stack_id: str,
        resource_type: str,
        **kwargs: Any,
    ) -> Any:
        try:
            return invoke(request_type, logical_id, props, stack_name, stack_id, resource_type, **kwargs)
        except RuntimeError:
            physical_id = failed_ids.pop((stack_id, logical_id), None)
            if request_type == "Create" and physical_id is not None:
                invoke("Delete", logical_id, props, stack_name, stack_id, resource_type, physical_id=physical_id)
            raise

    custom_resource.deliver_response = deliver_response
    custom_resource.invoke_custom_resource = invoke_custom_resource


def _reject_changed_service_tokens() -> None:
    # CloudFormation rejects a changed service token: https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-cloudformation-customresource.html
    invoke = custom_resource.invoke_custom_resource
    tokens: dict[tuple[str, str], str] = {}

    def invoke_custom_resource(
        request_type: str, logical_id: str, props: Any, stack_name: str, stack_id: str, *rest: Any, **kwargs: Any
    ) -> Any:
        resource, token = (stack_id, logical_id), props.get("ServiceToken")
        if request_type == "Update" and tokens.get(resource, token) != token:
            raise RuntimeError("Modifying service token is not allowed.")
        answer = invoke(request_type, logical_id, props, stack_name, stack_id, *rest, **kwargs)
        tokens[resource] = token
        return answer

    custom_resource.invoke_custom_resource = invoke_custom_resource


def _add_personalize_types() -> None:
    # MiniStack's CloudFormation does not support Personalize. Here, a dataset group or a solution is only its ARN. If
    # the local Personalize has a seeded solution with the same name, its solution versions are used.
    # https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/AWS_Personalize.html
    def create(kind: str, attribute: str) -> Callable[[str, Any, str], tuple[str, dict[str, str]]]:
        def create_resource(_logical_id: str, props: Any, _stack_name: str) -> tuple[str, dict[str, str]]:
            region = responses.get_region()
            partition = "aws-cn" if region.startswith("cn-") else "aws"
            arn = f"arn:{partition}:personalize:{region}:{responses.get_account_id()}:{kind}/{props['Name']}"
            return arn, {attribute: arn}

        return create_resource

    for type, kind, attribute in (
        ("AWS::Personalize::DatasetGroup", "dataset-group", "DatasetGroupArn"),
        ("AWS::Personalize::Solution", "solution", "SolutionArn"),
    ):
        provisioners._RESOURCE_HANDLERS[type] = {"create": create(kind, attribute), "delete": lambda *_: None}


def _enforce_permissions_boundaries() -> None:
    # MiniStack's CloudFormation ignores the permissions boundary of a role. MiniStack's IAM checks that the boundary
    # exists, with the error message of IAM, and enforces it.
    # https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreateRole.html
    handler = provisioners._RESOURCE_HANDLERS["AWS::IAM::Role"]
    create, update = handler["create"], handler["update"]

    def check(props: dict[str, Any]) -> None:
        boundary = props.get("PermissionsBoundary")
        error = boundary and iam._boundary_policy_error(boundary)
        if error:
            # The error is a tuple of status, headers and body. The body is XML with the message.
            raise ValueError(re.sub(rb".*<Message>(.*)</Message>.*", rb"\1", error[2], flags=re.S).decode())
        for policy in props.get("Policies", []):
            malformed = iam_evaluator.validate_policy_document(policy.get("PolicyDocument", {}))
            if malformed:
                raise ValueError(malformed)

    def set_boundary(answer: tuple[str, dict[str, str]], props: dict[str, Any]) -> tuple[str, dict[str, str]]:
        iam._roles[answer[0]]["PermissionsBoundary"] = props.get("PermissionsBoundary") or None
        return answer

    def create_role(logical_id: str, props: dict[str, Any], stack_name: str) -> Any:
        check(props)
        return set_boundary(create(logical_id, props, stack_name), props)

    def update_role(physical_id: str, old: dict[str, Any], props: dict[str, Any], *rest: Any) -> Any:
        check(props)
        return set_boundary(update(physical_id, old, props, *rest), props)

    handler |= {"create": create_role, "update": update_role}


def _validate_policy_resources() -> None:
    # IAM rejects a policy whose resource is not an ARN with MalformedPolicyDocument, `Resource x must be in ARN format
    # or "*".`
    # https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_resource.html
    validate = iam_evaluator.validate_policy_document

    def validate_policy_document(document: str | dict[str, Any]) -> str | None:
        malformed: str | None = validate(document)
        if malformed is not None:
            return malformed
        policy = json.loads(document) if isinstance(document, str) else document
        statements = policy["Statement"]
        for statement in statements if isinstance(statements, list) else [statements]:
            resources = statement.get("Resource", statement.get("NotResource"))
            for resource in resources if isinstance(resources, list) else [resources]:
                if not (isinstance(resource, str) and re.fullmatch(r"\*|arn:(.*:){4}.*|arn:.*\*", resource, re.S)):
                    return f'Resource {resource} must be in ARN format or "*".'
        return None

    iam_evaluator.validate_policy_document = validate_policy_document
