"""CloudFormation's events, the service's answers, and what the handler makes of them."""

from typing import Any

import batch_segment_handler.job
from support import ACCOUNT, REGION, VERSION

STACK = f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/Demo/0e0f"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/service"
LOG_GROUP = "Demo-Logs-5AbC"
NAME = "Demo-ComedyFans-1A2B3C4D-4c915fdafd08"
DEFINITION = {
    "SolutionVersionArn": VERSION,
    "InputPath": "s3://in/queries.jsonl",
    "OutputPath": "s3://out/segments/",
}
PROPERTIES = {
    "ServiceToken": "arn:aws:lambda:eu-west-1:123456789012:function:framework",
    "JobNamePrefix": "Demo-ComedyFans-1A2B3C4D",
    "RoleArn": ROLE,
    "NewJobIfChanged": DEFINITION,
}
#: The properties that define the job. The construct puts them into ``NewJobIfChanged``.
DEFINING = {
    "SolutionVersionArn",
    "SolutionArn",
    "FilterArn",
    "NumResults",
    "InputPath",
    "InputBucket",
    "InputPrefix",
    "AssetHash",
    "InputKmsKeyArn",
    "OutputPath",
    "OutputKmsKeyArn",
    "Trigger",
}
RESPONSE_URL = "https://cloudformation.example/signed?Signature=secret"


class Context:
    log_group_name = LOG_GROUP

    def __init__(self, seconds: float = 840) -> None:
        self._seconds = seconds

    def get_remaining_time_in_millis(self) -> int:
        return int(self._seconds * 1000)


def arn(name: str = NAME) -> str:
    return f"arn:aws:personalize:{REGION}:{ACCOUNT}:batch-segment-job/{name}"


def properties_with(**changes: Any) -> dict[str, Any]:
    """The properties with some changed, each where it belongs; None takes one away."""
    defining = {**DEFINITION, **{key: value for key, value in changes.items() if key in DEFINING}}
    beside = {**PROPERTIES, **{key: value for key, value in changes.items() if key not in DEFINING}}
    properties = {**beside, "NewJobIfChanged": {key: value for key, value in defining.items() if value is not None}}
    return {key: value for key, value in properties.items() if value is not None}


def failure(message: str) -> str:
    """The message of an error as the entry points raise it."""
    return f"{message}{'' if message.endswith('.') else '.'} Log group: {LOG_GROUP}."


def event(request: str = "Create", **changes: Any) -> dict[str, Any]:
    """A request as the framework hands it on: every value a string."""
    return {
        "RequestType": request,
        "RequestId": "b6f0",
        "ResponseURL": RESPONSE_URL,
        "ResourceType": "Custom::PersonalizeBatchSegmentJob",
        "LogicalResourceId": "ComedyFansAF41374F",
        "StackId": STACK,
        "ResourceProperties": properties_with(**changes.pop("properties", {})),
        **({} if request == "Create" else {"PhysicalResourceId": arn()}),
        **changes,
    }


def description(name: str = NAME, status: str = "ACTIVE", **changes: Any) -> dict[str, Any]:
    return {
        "batchSegmentJob": {
            "jobName": name,
            "batchSegmentJobArn": arn(name),
            "solutionVersionArn": VERSION,
            "numResults": 25,
            "jobInput": {"s3DataSource": {"path": "s3://in/queries.jsonl"}},
            "jobOutput": {"s3DataDestination": {"path": f"s3://out/segments/{name}/"}},
            "roleArn": ROLE,
            "status": status,
            **changes,
        }
    }


def answer(name: str = NAME, status: str = "CREATE PENDING", version: str = VERSION) -> dict[str, Any]:
    return {
        "PhysicalResourceId": arn(name),
        "Data": {
            "JobName": name,
            "OutputUri": f"s3://out/segments/{name}/",
            "Status": status,
            "SolutionVersionArn": version,
            "QueryErrors": "unknown",
        },
    }


def there_is(personalize: Any, name: str = NAME, **details: Any) -> None:
    personalize.add_response(
        "describe_batch_segment_job", description(name, **details), {"batchSegmentJobArn": arn(name)}
    )


def there_is_no(personalize: Any, name: str = NAME) -> None:
    personalize.add_client_error(
        "describe_batch_segment_job",
        "ResourceNotFoundException",
        "no such job",
        expected_params={"batchSegmentJobArn": arn(name)},
    )


def version_is(personalize: Any, status: str = "ACTIVE", **details: Any) -> None:
    personalize.add_response(
        "describe_solution_version",
        {"solutionVersion": {"solutionVersionArn": VERSION, "status": status, **details}},
        {"solutionVersionArn": VERSION},
    )


def names_of(stack: str = STACK, **changes: Any) -> list[str]:
    given = batch_segment_handler.job.flatten(properties_with(**changes))
    job = batch_segment_handler.job.BatchSegmentJob(given, stack, patience=None)
    return [next(job._names())]
