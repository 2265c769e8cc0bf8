"""Returns the properties of an audience's jobs and the folders of its segments."""

import hashlib

from .contract import DEFINITION, FlatProperties, JobDefinition, JobProperties
from .parsing import flatten
from .workflow_contract import AudienceItem, RunFacts, WorkflowSettings


def job_properties(settings: WorkflowSettings, item: AudienceItem, number: int, run: RunFacts) -> FlatProperties:
    """Returns the properties of the job for one part of an audience.

    The run's key is part of the output path and so of the definition. A restarted run therefore finds its jobs by name.

    Args:
        settings: The settings of the workflow.
        item: The audience.
        number: The index of the part.
        run: The run.
    """
    part = item["Parts"][number]
    definition: JobDefinition = {
        "SolutionVersionArn": run["SolutionVersionArn"],
        "OutputPath": segments_folder(settings, item, run),
    }
    properties: JobProperties = {
        "JobNamePrefix": item["JobNamePrefix"],
        "RoleArn": settings["RoleArn"],
        "Tags": _tags(settings, item),
    }
    if "Filter" in item:
        definition["FilterArn"] = settings["Filters"][item["Filter"]]
    if "NumResults" in item:
        definition["NumResults"] = item["NumResults"]
    if "OutputKmsKeyArn" in settings:
        definition["OutputKmsKeyArn"] = settings["OutputKmsKeyArn"]
    if "QueriesPerFile" in item:
        properties["QueriesPerFile"] = item["QueriesPerFile"]
    if "Input" in part:
        existing = settings["Inputs"][part["Input"]]
        definition["InputPath"] = existing["InputPath"]
        if "InputKmsKeyArn" in existing:
            definition["InputKmsKeyArn"] = existing["InputKmsKeyArn"]
        if "ValidateInput" in existing:
            properties["ValidateInput"] = existing["ValidateInput"]
    else:
        definition["InputBucket"] = settings["InputBucket"]
        definition["InputPrefix"] = settings["InputPrefix"]
        definition["InputHash"] = part["InputHash"]
        if "InputKmsKeyArn" in settings:
            definition["InputKmsKeyArn"] = settings["InputKmsKeyArn"]
        properties["AssetBucket"] = settings["AssetBucket"]
        properties["AssetKey"] = settings["AssetKey"]
        properties["AssetStart"] = part["AssetStart"]
        properties["AssetLength"] = part["AssetLength"]
        if "AssetKmsKeyArn" in settings:
            properties["AssetKmsKeyArn"] = settings["AssetKmsKeyArn"]
        if "InputIsInline" in item:
            properties["InputIsInline"] = item["InputIsInline"]
    return flatten({**properties, DEFINITION: definition})


def audience_folder(settings: WorkflowSettings, item: AudienceItem) -> str:
    """Returns the folder of the segments of all runs of an audience, as a URI that ends in "/"."""
    return f"{settings['OutputPath']}audience={item['Name']}/"


def run_folder(settings: WorkflowSettings, item: AudienceItem, run: RunFacts) -> str:
    """Returns the folder of a run of an audience, as a URI that ends in "/"."""
    return f"{audience_folder(settings, item)}run={run['Run']}/"


def segments_folder(settings: WorkflowSettings, item: AudienceItem, run: RunFacts) -> str:
    """Returns the folder that contains the folders of an audience's jobs in a run.

    If there are several jobs, its name is a hash of the queries, so that other queries get another folder.
    """
    folder = run_folder(settings, item, run)
    if len(item["Parts"]) == 1:
        return folder
    hashes = ",".join(part["InputHash"] for part in item["Parts"])
    return f"{folder}{hashlib.sha256(hashes.encode()).hexdigest()[:12]}/"


def _tags(settings: WorkflowSettings, item: AudienceItem) -> list[dict[str, str]]:
    tags = {tag["key"]: tag["value"] for tag in settings.get("Tags") or []} | item.get("Tags", {})
    return [{"key": key, "value": value} for key, value in tags.items()]
