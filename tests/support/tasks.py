"""Tasks of a workflow's state machine, as the functions get them."""

from typing import Any, cast

from batch_segment_handler.audience_job import job_properties
from batch_segment_handler.identity import JobIdentity
from batch_segment_handler.workflow_contract import AudienceItem, JobFacts, Progress, RunFacts, TaskEvent

from support.constants import ACCOUNT, FILTER, REGION, SOLUTION, VERSION
from support.events import ROLE, STACK, arn

WORKFLOW = "Demo/Weekly"
EXECUTION = f"arn:aws:states:{REGION}:{ACCOUNT}:execution:Weekly:7c1e"
RUN: RunFacts = {"Run": "20261101T030000Z", "SolutionVersionArn": VERSION, "Started": 900, "Deadline": 5000}
AUDIENCE: AudienceItem = {"Name": "fans", "JobNamePrefix": "Demo-Weekly-fans", "Parts": [{"Input": 0}]}
#: The folder of a run's job of the audience.
FOLDER = "s3://out/segments/audience=fans/run=20261101T030000Z/"
#: An audience with two jobs, whose queries are those of the app.
SPLIT_AUDIENCE: AudienceItem = {
    **AUDIENCE,
    "Parts": [
        {"InputHash": "a1" * 32, "AssetStart": 0, "AssetLength": 100},
        {"InputHash": "b2" * 32, "AssetStart": 100, "AssetLength": 50},
    ],
}
TABLE = {"Database": "segments", "Table": "weekly", "StorageDescriptor": {"InputFormat": "text"}}


def settings_with(**changes: Any) -> dict[str, Any]:
    """The settings of a workflow with changes; None removes a setting."""
    settings = {
        "Workflow": WORKFLOW,
        "StackId": STACK,
        "SolutionArn": SOLUTION,
        "OnlyNewVersions": True,
        "TimeoutSeconds": 3600,
        "RoleArn": ROLE,
        "AssetBucket": "assets",
        "AssetKey": "queries.zip",
        "InputBucket": "in",
        "InputPrefix": "queries/",
        "OutputPath": "s3://out/segments/",
        "Filters": [f"{FILTER}-0", FILTER],
        "Inputs": [{"InputPath": "s3://in/queries.jsonl"}],
        **changes,
    }
    return {name: value for name, value in settings.items() if value is not None}


def prepare_task(given: Any = None, start: str = "1970-01-01T00:15:00Z", **changes: Any) -> TaskEvent:
    """The first task of a run that started at 900 seconds."""
    event = {"Task": "Prepare", "Input": given, "ExecutionArn": EXECUTION, "StartTime": start}
    return cast(TaskEvent, {**event, "Settings": settings_with(**changes)})


def audience_task(task: str, *jobs: JobFacts, item: AudienceItem | None = AUDIENCE, **members: Any) -> TaskEvent:
    """A task of an audience; with ``item=None``, of a job created at deploy time."""
    progress: Progress = {"Status": "IN_PROGRESS", "Jobs": list(jobs)}
    event = {"Task": task, "Settings": settings_with(), "Run": RUN, "Progress": progress, **members}
    return cast(TaskEvent, event if item is None else {**event, "Audience": item})


def complete_task(**members: Any) -> TaskEvent:
    """The last task of a run."""
    event = {
        "Task": "Complete",
        "Settings": settings_with(),
        "ExecutionArn": EXECUTION,
        "StartTime": "1970-01-01T00:15:00Z",
        **members,
    }
    return cast(TaskEvent, event)


def name_of(item: AudienceItem = AUDIENCE, number: int = 0, **settings: Any) -> str:
    """The name of the job of a part of an audience."""
    properties = job_properties(cast(Any, settings_with(**settings)), item, number, RUN)
    return JobIdentity(properties, STACK).base_name


def job_facts(name: str | None = None, folder: str = FOLDER) -> JobFacts:
    """A job that was started."""
    name = name_of() if name is None else name
    return {"JobName": name, "JobArn": arn(name), "OutputUri": f"{folder}{name}/"}
