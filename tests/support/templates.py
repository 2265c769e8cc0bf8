"""Reading synthesized templates."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import aws_cdk as cdk
from aws_cdk.assertions import Annotations, Match, Template
from batch_segment_handler.contract import DEFINITION, RESOURCE_TYPE
from cdk_personalize_segments import (
    Audience,
    BatchSegmentInput,
    BatchSegmentJob,
    BatchSegmentWorkflow,
    SegmentQuery,
)
from constructs import Construct

from support.constants import ACCOUNT, REGION, SOLUTION, VERSION

ENVIRONMENT = cdk.Environment(account=ACCOUNT, region=REGION)


def add_job(scope: Construct, id: str = "Job", **props: Any) -> BatchSegmentJob:
    """Adds a job with one query for an item. `props` replace and add properties."""
    if "solution_arn" not in props:
        props.setdefault("solution_version_arn", VERSION)
    if "job_input" not in props:
        props["job_input"] = BatchSegmentInput.from_queries([SegmentQuery.items_like("105")])
    return BatchSegmentJob(scope, id, **props)


def new_audience(name: str = "fans", *items: str, **options: Any) -> Audience:
    """Returns an audience with queries for items, by default for one."""
    queries = [SegmentQuery.items_like(item) for item in items or ("105",)]
    return Audience(name, BatchSegmentInput.from_queries(queries), **options)


def add_workflow(scope: Construct, id: str = "Weekly", **props: Any) -> BatchSegmentWorkflow:
    """Adds a workflow with one audience. `props` replace and add properties."""
    if "solution_version_arn" not in props:
        props.setdefault("solution_arn", SOLUTION)
    props.setdefault("audiences", [new_audience()])
    return BatchSegmentWorkflow(scope, id, **props)


def definition(stack: cdk.Stack, containing: str = "Weekly") -> dict[str, Any]:
    """Returns the definition of the only state machine whose logical ID contains a text."""
    machine = only_resource(stack, "AWS::StepFunctions::StateMachine", containing)
    found: dict[str, Any] = json.loads(machine["DefinitionString"])
    return found


def workflow_settings(stack: cdk.Stack, containing: str = "Weekly") -> dict[str, Any]:
    """Returns the settings of a workflow, as its Start function receives them."""
    states = definition(stack, containing)["States"]
    settings = states["Audiences"]["ItemProcessor"]["States"]["Start"]["Parameters"]["Payload"]["Settings"]
    return dict(settings)


def readable(value: Any) -> Any:
    """Returns a template's value with its intrinsic functions written as ``<LogicalId.Attribute>``."""
    match value:
        case {"Ref": name} if len(value) == 1:
            return f"<{name}>"
        case {"Fn::GetAtt": [name, attribute]}:
            return f"<{name}.{attribute}>"
        case {"Fn::Join": ["", parts]}:
            return "".join(readable(part) for part in parts)
        case {"Fn::Sub": text}:
            return text.replace("${", "<").replace("}", ">")
        case {"Fn::ImportValue": name}:
            return f"<import {readable(name)}>"
        case dict():
            return {key: readable(part) for key, part in value.items()}
        case list():
            return [readable(part) for part in value]
        case _:
            return value


def resources(stack: cdk.Stack, of_type: str) -> dict[str, dict[str, Any]]:
    """Returns the resources of a type by logical ID, in readable form."""
    found = Template.from_stack(stack).find_resources(of_type)
    return {logical_id: readable(resource) for logical_id, resource in found.items()}


def only_resource(stack: cdk.Stack, of_type: str, containing: str = "") -> dict[str, Any]:
    """Returns the properties of the only resource of a type whose logical ID contains a text."""
    (found,) = [resource for logical_id, resource in resources(stack, of_type).items() if containing in logical_id]
    properties: dict[str, Any] = found["Properties"]
    return properties


def logical_id(stack: cdk.Stack, of_type: str, containing: str) -> str:
    """Returns the logical ID of the only resource of a type whose logical ID contains a text."""
    (found,) = [name for name in resources(stack, of_type) if containing in name]
    return found


def policy_statements(stack: cdk.Stack, policy: str) -> list[dict[str, Any]]:
    """Returns the statements of the only IAM policy whose logical ID contains a text."""
    found: list[dict[str, Any]] = only_resource(stack, "AWS::IAM::Policy", policy)["PolicyDocument"]["Statement"]
    return found


def count_resources(stack: cdk.Stack) -> int:
    """Returns how many resources a stack has."""
    return len(Template.from_stack(stack).to_json()["Resources"])


def job_properties(stack: cdk.Stack) -> dict[str, Any]:
    """Returns the properties of a stack's only job, with its definition merged in."""
    properties = only_resource(stack, RESOURCE_TYPE)
    definition: dict[str, Any] = properties.pop(DEFINITION)
    assert not properties.keys() & definition.keys()
    return properties | definition


def warnings(stack: cdk.Stack) -> list[str]:
    """Returns the texts of a stack's warnings."""
    found = Annotations.from_stack(stack).find_warning("*", Match.any_value())
    return [str(entry.entry.data) for entry in found]


def resource_names(template: Mapping[str, Any], of_type: str, containing: str = "") -> list[str]:
    """Returns the logical IDs of a type in a template as JSON."""
    named = template["Resources"].items()
    return [name for name, resource in named if resource["Type"] == of_type and containing in name]


def policies(template: Mapping[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yields the policies in a template: logical ID of the resource, name of the policy, document."""
    for logical_id, resource in template["Resources"].items():
        properties = resource.get("Properties", {})
        match resource["Type"]:
            case "AWS::IAM::Role":
                yield logical_id, "trust", properties["AssumeRolePolicyDocument"]
                for inline in properties.get("Policies", []):
                    yield logical_id, inline["PolicyName"], inline["PolicyDocument"]
            case "AWS::IAM::Policy":
                yield logical_id, properties["PolicyName"], properties["PolicyDocument"]
            case "AWS::S3::BucketPolicy":
                yield logical_id, "bucket", properties["PolicyDocument"]
            case "AWS::KMS::Key":
                yield logical_id, "key", properties["KeyPolicy"]


def as_list(value: Any) -> list[Any]:
    """Returns an element of a policy as a list. IAM accepts a single value without a list."""
    return value if isinstance(value, list) else [value]
