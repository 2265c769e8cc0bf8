"""Events of the handler, the responses it gives, and stubbed answers of Personalize."""

from typing import Any

import batch_segment_handler.job
from batch_segment_handler.contract import DEFINITION as DEFINITION_PROPERTY
from batch_segment_handler.contract import RESOURCE_TYPE, JobDefinition
from batch_segment_handler.failures import Patience
from botocore.stub import Stubber

from support.constants import ACCOUNT, REGION, VERSION

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
    DEFINITION_PROPERTY: DEFINITION,
}
#: The properties that define a job.
DEFINING = JobDefinition.__annotations__.keys()
RESPONSE_URL = "https://cloudformation.example/signed?Signature=secret"


class Context:
    """The context of an invocation."""

    log_group_name = LOG_GROUP

    def __init__(self, seconds: float = 840) -> None:
        self._seconds = seconds

    def get_remaining_time_in_millis(self) -> int:
        return int(self._seconds * 1000)


def arn(name: str = NAME) -> str:
    """Returns the ARN of a job."""
    return f"arn:aws:personalize:{REGION}:{ACCOUNT}:batch-segment-job/{name}"


def properties_with(**changes: Any) -> dict[str, Any]:
    """Returns the resource's properties with changes: a property of the definition or another, None to omit it."""
    defining = {**DEFINITION, **{key: value for key, value in changes.items() if key in DEFINING}}
    beside = {**PROPERTIES, **{key: value for key, value in changes.items() if key not in DEFINING}}
    properties = {**beside, DEFINITION_PROPERTY: {key: value for key, value in defining.items() if value is not None}}
    return {key: value for key, value in properties.items() if value is not None}


def failure(message: str) -> str:
    """Returns the message of an error as the entry points raise it."""
    return f"{message}{'' if message.endswith('.') else '.'} Log group: {LOG_GROUP}."


def event(request: str = "Create", **changes: Any) -> dict[str, Any]:
    """Returns an event as the framework forwards it: every value is a string."""
    return {
        "RequestType": request,
        "RequestId": "b6f0",
        "ResponseURL": RESPONSE_URL,
        "ResourceType": RESOURCE_TYPE,
        "LogicalResourceId": "ComedyFansAF41374F",
        "StackId": STACK,
        "ResourceProperties": properties_with(**changes.pop("properties", {})),
        **({} if request == "Create" else {"PhysicalResourceId": arn()}),
        **changes,
    }


def description(name: str = NAME, status: str = "ACTIVE", **changes: Any) -> dict[str, Any]:
    """Returns the answer of DescribeBatchSegmentJob."""
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
    """Returns the handler's response."""
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


def stub_existing_job(personalize: Stubber, name: str = NAME, **details: Any) -> None:
    """Lets Personalize find a job."""
    personalize.add_response(
        "describe_batch_segment_job", description(name, **details), {"batchSegmentJobArn": arn(name)}
    )


def stub_missing_job(personalize: Stubber, name: str = NAME) -> None:
    """Lets Personalize find no job of a name."""
    personalize.add_client_error(
        "describe_batch_segment_job",
        "ResourceNotFoundException",
        "no such job",
        expected_params={"batchSegmentJobArn": arn(name)},
    )


def stub_solution_version(personalize: Stubber, status: str = "ACTIVE", **details: Any) -> None:
    """Lets Personalize find the solution version."""
    personalize.add_response(
        "describe_solution_version",
        {"solutionVersion": {"solutionVersionArn": VERSION, "status": status, **details}},
        {"solutionVersionArn": VERSION},
    )


def derived_name(stack: str = STACK, **changes: Any) -> str:
    """Returns the name of the first attempt at a job."""
    given = batch_segment_handler.job.flatten(properties_with(**changes))
    job = batch_segment_handler.job.BatchSegmentJob(given, stack, patience=Patience(0))
    return next(job._names())
