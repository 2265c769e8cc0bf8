"""Adds the types of Amazon Personalize to MiniStack's CloudFormation.

https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/AWS_Personalize.html
"""

from collections.abc import Callable, Mapping
from typing import Any

from ministack.core import responses
from ministack.services.cloudformation import provisioners

from .stack_resources import StackResources

_Create = Callable[[str, Mapping[str, Any]], None]


def register(resources: StackResources) -> None:
    """Replaces the handlers of the types."""
    for name, kind, attribute, create in (
        ("DatasetGroup", "dataset-group", "DatasetGroupArn", resources.create_group),
        ("Schema", "schema", "SchemaArn", resources.create_schema),
        ("Dataset", "dataset", "DatasetArn", resources.create_dataset),
        ("Solution", "solution", "SolutionArn", resources.create_solution),
        ("Filter", "filter", "FilterArn", resources.create_filter),
    ):
        provisioners._RESOURCE_HANDLERS[f"AWS::Personalize::{name}"] = _handlers(kind, attribute, create, resources)


def _handlers(kind: str, attribute: str, create: _Create, resources: StackResources) -> dict[str, Any]:
    def create_resource(_logical_id: str, properties: Any, _stack_name: str) -> tuple[str, dict[str, str]]:
        arn = _arn(kind, properties)
        create(arn, properties)
        return arn, _attributes(arn)

    def update_resource(
        physical_id: str, old: Mapping[str, Any], new: Mapping[str, Any], _stack_name: str
    ) -> tuple[str, dict[str, str]]:
        # All properties but the tags require replacement, which CloudFormation does under a new name only.
        if {**old, "Tags": None} != {**new, "Tags": None}:
            create(_arn(kind, new), new)
            resources.delete(physical_id)
            physical_id = _arn(kind, new)
        return physical_id, _attributes(physical_id)

    def _attributes(arn: str) -> dict[str, str]:
        return {attribute: arn, "Status": "ACTIVE"}

    return {
        "create": create_resource,
        "update": update_resource,
        "delete": lambda arn, _properties: resources.delete(arn),
    }


def _arn(kind: str, properties: Mapping[str, Any]) -> str:
    region = responses.get_region()
    partition = "aws-cn" if region.startswith("cn-") else "aws"
    resource = f"{kind}/{properties['Name']}"
    if kind == "dataset":
        # https://docs.aws.amazon.com/personalize/latest/dg/API_CreateDataset.html names it after its group and type.
        group = properties["DatasetGroupArn"].rpartition("/")[2]
        resource = f"dataset/{group}/{properties['DatasetType'].upper()}"
    return f"arn:{partition}:personalize:{region}:{responses.get_account_id()}:{resource}"
