"""Where MiniStack differs from CloudFormation in a way that matters here."""

from collections.abc import Callable
from typing import Any
from xml.sax.saxutils import escape

from ministack.core import responses
from ministack.services import s3
from ministack.services.cloudformation import custom_resource, provisioners


def apply() -> None:
    """Changes MiniStack in place; fails loudly where it is not as expected."""
    _delete_after_failed_create()
    _tags_of_buckets()
    _service_tokens_that_stay()
    _types_of_personalize()


def _tags_of_buckets() -> None:
    # MiniStack leaves out a bucket's tags, by which CDK's custom resource knows the buckets that it may empty.
    # https://docs.aws.amazon.com/cdk/api/v2/docs/aws-cdk-lib.aws_s3-readme.html#bucket-deletion
    def xml(tags: list[dict[str, str]]) -> bytes:
        pairs = "".join(
            f"<Tag><Key>{escape(tag['Key'])}</Key><Value>{escape(tag['Value'])}</Value></Tag>" for tag in tags
        )
        return f"<Tagging><TagSet>{pairs}</TagSet></Tagging>".encode()

    configuration = ("Tags", xml, s3._put_bucket_tagging, s3._delete_bucket_tagging)
    provisioners._S3_BUCKET_CONFIGURATIONS += (configuration,)


def _delete_after_failed_create() -> None:
    # CloudFormation sends Delete to a custom resource whose Create failed, with the id that the failure named;
    # MiniStack does not. https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref-requesttypes-delete.html
    invoke, deliver = custom_resource.invoke_custom_resource, custom_resource.deliver_response
    failed_ids: dict[tuple[str, str], str] = {}

    def deliver_response(token: str, response: dict[str, Any]) -> bool:
        if response.get("Status") == "FAILED" and "PhysicalResourceId" in response:
            failed_ids[response["StackId"], response["LogicalResourceId"]] = response["PhysicalResourceId"]
        return bool(deliver(token, response))

    def invoke_custom_resource(
        request_type: str, logical_id: str, props: Any, stack_name: str, stack_id: str, resource_type: str, **more: Any
    ) -> Any:
        try:
            return invoke(request_type, logical_id, props, stack_name, stack_id, resource_type, **more)
        except RuntimeError:
            physical_id = failed_ids.pop((stack_id, logical_id), None)
            if request_type == "Create" and physical_id is not None:
                invoke("Delete", logical_id, props, stack_name, stack_id, resource_type, physical_id=physical_id)
            raise

    custom_resource.deliver_response = deliver_response
    custom_resource.invoke_custom_resource = invoke_custom_resource


def _service_tokens_that_stay() -> None:
    # CloudFormation changes no service token: https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-cloudformation-customresource.html
    invoke = custom_resource.invoke_custom_resource
    tokens: dict[tuple[str, str], str] = {}

    def invoke_custom_resource(
        request_type: str, logical_id: str, props: Any, stack_name: str, stack_id: str, *more: Any, **named: Any
    ) -> Any:
        resource, token = (stack_id, logical_id), props.get("ServiceToken")
        if request_type == "Update" and tokens.get(resource, token) != token:
            raise RuntimeError("Modifying service token is not allowed.")
        answer = invoke(request_type, logical_id, props, stack_name, stack_id, *more, **named)
        tokens[resource] = token
        return answer

    custom_resource.invoke_custom_resource = invoke_custom_resource


def _types_of_personalize() -> None:
    # MiniStack's CloudFormation has no types of Personalize. A data set group and a solution are only their ARNs here,
    # since the local service has its own; of one of the same name the local service has trained versions.
    # https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/AWS_Personalize.html
    def create(kind: str, attribute: str) -> Callable[[str, Any, str], tuple[str, dict[str, str]]]:
        def made(_logical_id: str, props: Any, _stack_name: str) -> tuple[str, dict[str, str]]:
            region = responses.get_region()
            partition = "aws-cn" if region.startswith("cn-") else "aws"
            arn = f"arn:{partition}:personalize:{region}:{responses.get_account_id()}:{kind}/{props['Name']}"
            return arn, {attribute: arn}

        return made

    for type, kind, attribute in (
        ("AWS::Personalize::DatasetGroup", "dataset-group", "DatasetGroupArn"),
        ("AWS::Personalize::Solution", "solution", "SolutionArn"),
    ):
        provisioners._RESOURCE_HANDLERS[type] = {"create": create(kind, attribute), "delete": lambda *_: None}
