"""Runs jobs and a stack with a folder of data in its own local AWS, and prints the results as JSON."""

import functools
import json
import sys
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from personalize_local.gateway import LocalAws
from personalize_local.own_data.engine import OwnData
from personalize_local.own_data.stand_in import OwnDataStandIn
from support.local import wait_until
from unit.local.job_fixture import JobFixture

_FILTER = 'INCLUDE UserID WHERE Users.MEMBERSHIP_STATUS IN ("gold")'


def schema(name: str, *fields: str) -> str:
    """Returns an Avro schema. ``PRICE:float`` is a field with a type."""
    declared = [{"name": field.partition(":")[0], "type": field.partition(":")[2] or "string"} for field in fields]
    for field in declared:
        if field["name"] not in ("USER_ID", "ITEM_ID", "EVENT_TYPE") and field["type"] == "string":
            field.update(categorical=True)  # type: ignore[call-overload]
    return json.dumps({"type": "record", "name": name, "namespace": "own", "fields": declared, "version": "1.0"})


def template(**changes: Any) -> str:
    """Returns a template with all resources that a solution needs."""

    def resource(kind: str, **properties: Any) -> dict[str, Any]:
        return {"Type": f"AWS::Personalize::{kind}", "Properties": properties}

    group = {"Fn::GetAtt": ["Group", "DatasetGroupArn"]}
    columns = {
        "Interactions": schema("Interactions", "USER_ID", "ITEM_ID", "EVENT_TYPE", "TIMESTAMP:long"),
        "Items": schema("Items", "ITEM_ID", "CATEGORY_L1", "CATEGORY_L2", "PRICE:float", "GENDER"),
        **changes,
    }
    resources: dict[str, Any] = {"Group": resource("DatasetGroup", Name="shop")}
    for kind, text in columns.items():
        resources[f"{kind}Schema"] = resource("Schema", Name=f"shop-{kind}", Schema=text)
        arn = {"Fn::GetAtt": [f"{kind}Schema", "SchemaArn"]}
        resources[kind] = resource(
            "Dataset", Name=f"shop-{kind}", DatasetType=kind, DatasetGroupArn=group, SchemaArn=arn
        )
    recipe = "arn:aws:personalize:::recipe/aws-item-attribute-affinity"
    resources["Solution"] = resource("Solution", Name="shop-attributes", DatasetGroupArn=group, RecipeArn=recipe)
    resources["Solution"]["DependsOn"] = list(columns)
    resources["Filter"] = resource("Filter", Name="gold", DatasetGroupArn=group, FilterExpression=_FILTER)
    outputs = {name: {"Value": {"Fn::GetAtt": [name, f"{name}Arn"]}} for name in ("Solution", "Filter")}
    return json.dumps({"Resources": resources, "Outputs": outputs})


def main(folder: Path) -> None:
    """Prints the answers."""
    data = OwnData.load(folder)
    with LocalAws(wait_scale=0.0005, stand_in=OwnDataStandIn(data, "INCLUDE UserID WHERE Users.AGE >= 40")) as aws:
        session: Any = boto3.Session(aws.access_key, aws.secret_key, region_name=aws.region)
        config = Config(retries={"total_max_attempts": 1})
        make = functools.partial(session.client, endpoint_url=aws.endpoint_url, config=config)
        print(json.dumps(answers(JobFixture(make, aws), make("cloudformation")), default=str))


def answers(jobs: JobFixture, cloudformation: Any) -> dict[str, Any]:
    """Runs the jobs."""
    seeds = {name: arn for name, arn in jobs.aws.environment().items() if name.endswith("_ARN")}
    jobs.put('{"itemId": "1"}\n{"itemId": "none"}\n{"itemAttributes": "x"}\nnonsense\n{"itemId": "2"}\n')
    item = jobs.run(
        solutionVersionArn=seeds["PERSONALIZE_LOCAL_ITEM_AFFINITY_VERSION_ARN"],
        filterArn=seeds["PERSONALIZE_LOCAL_FILTER_ARN"],
        numResults=5,
    )
    item_results = jobs.results()

    cloudformation.create_stack(StackName="shop", TemplateBody=template())
    wait_until(lambda: not status(cloudformation, "shop").endswith("IN_PROGRESS"))
    (stack,) = cloudformation.describe_stacks(StackName="shop")["Stacks"]
    outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
    solution = jobs.personalize.describe_solution(solutionArn=outputs["Solution"])["solution"]
    jobs.put(r'{"itemAttributes": "ITEMS.CATEGORY_L1 = \"tools\""}')
    version = solution["latestSolutionVersion"]["solutionVersionArn"]
    attributes = jobs.run(solutionVersionArn=version, filterArn=outputs["Filter"], numResults=5)
    attribute_results = jobs.results()
    found = jobs.personalize.describe_filter(filterArn=outputs["Filter"])["filter"]
    dataset = jobs.personalize.describe_dataset(
        datasetArn=f"arn:aws:personalize:{jobs.aws.region}:{jobs.aws.account}:dataset/shop/ITEMS"
    )["dataset"]
    cloudformation.delete_stack(StackName="shop")
    wait_until(
        lambda: not any(version.solution == "shop-attributes" for version in jobs.aws.personalize.catalog.versions)
    )

    cloudformation.create_stack(StackName="wrong", TemplateBody=template(Items=schema("Items", "ITEM_ID", "GENRES")))
    wait_until(lambda: not status(cloudformation, "wrong").endswith("IN_PROGRESS"))
    events = cloudformation.describe_stack_events(StackName="wrong")["StackEvents"]
    return {
        "seeds": seeds,
        "item": [item["status"], item_results],
        "attributes": [attributes["status"], attribute_results],
        "solution": solution,
        "filter": found,
        "dataset": dataset,
        "reasons": [
            event["ResourceStatusReason"] for event in events if "differ" in event.get("ResourceStatusReason", "")
        ],
    }


def status(cloudformation: Any, name: str) -> str:
    """Returns the status of a stack."""
    found: str = cloudformation.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"]
    return found


if __name__ == "__main__":
    main(Path(sys.argv[1]))
