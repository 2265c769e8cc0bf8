"""CloudFormation's events, responses of the services, and the handler's responses."""

from typing import Any

from batch_segment_handler.contract import RESOURCE_TYPE, JobDefinition
from batch_segment_handler.identity import JobIdentity
from batch_segment_handler.parsing import flatten

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
    "NewJobIfChanged": DEFINITION,
}
DEFINING = set(JobDefinition.__annotations__)
#: Properties of a job with an explicit name, and of a waiting job.
EXPLICIT = {"JobNamePrefix": None, "JobName": "mine"}
WAIT = {"WaitSeconds": "1800"}
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
    """Returns the properties with changes, nested as in the template. None removes a property."""
    defining = {**DEFINITION, **{key: value for key, value in changes.items() if key in DEFINING}}
    beside = {**PROPERTIES, **{key: value for key, value in changes.items() if key not in DEFINING}}
    properties = {**beside, "NewJobIfChanged": {key: value for key, value in defining.items() if value is not None}}
    return {key: value for key, value in properties.items() if value is not None}


def failure(message: str) -> str:
    """Returns the message of an error as the entry points raise it."""
    return f"{message}{'' if message.endswith('.') else '.'} Log group: {LOG_GROUP}."


def event(request: str = "Create", **changes: Any) -> dict[str, Any]:
    """Returns a request as the framework passes it, with every value as a string."""
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


def waiting(request: str = "Create", deadline: float = 9e9, **changes: Any) -> dict[str, Any]:
    """Returns the event of `is_complete` for a waiting job."""
    physical_id = changes.pop("PhysicalResourceId", arn())
    return event(request, properties={**WAIT, **changes}, PhysicalResourceId=physical_id, Deadline=deadline)


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


def stub_existing_job(personalize: Any, name: str = NAME, **details: Any) -> None:
    personalize.add_response(
        "describe_batch_segment_job", description(name, **details), {"batchSegmentJobArn": arn(name)}
    )


def stub_missing_job(personalize: Any, name: str = NAME) -> None:
    personalize.add_client_error(
        "describe_batch_segment_job",
        "ResourceNotFoundException",
        "no such job",
        expected_params={"batchSegmentJobArn": arn(name)},
    )


def stub_solution_version(personalize: Any, status: str = "ACTIVE", **details: Any) -> None:
    personalize.add_response(
        "describe_solution_version",
        {"solutionVersion": {"solutionVersionArn": VERSION, "status": status, **details}},
        {"solutionVersionArn": VERSION},
    )


def stub_errors(stubber: Any, operation: str, code: str, message: str, times: int, **details: Any) -> None:
    """Adds an error response for each expected call."""
    for _ in range(times):
        stubber.add_client_error(operation, code, message, **details)


def stub_stack(cloudformation: Any, status: str, times: int = 1) -> None:
    stack = {"StackName": "Demo", "CreationTime": 0, "StackStatus": status}
    for _ in range(times):
        cloudformation.add_response("describe_stacks", {"Stacks": [stack]}, {"StackName": STACK})


def stub_create(personalize: Any, name: str = NAME, **more: Any) -> None:
    """Adds the response to the request that creates the job of `PROPERTIES`, with more members."""
    personalize.add_response("create_batch_segment_job", {"batchSegmentJobArn": arn(name)}, _request(name, **more))


def stub_any_create(personalize: Any, name: str = NAME) -> None:
    """Adds the response to any request that creates a job."""
    personalize.add_response("create_batch_segment_job", {"batchSegmentJobArn": arn(name)}, None)


def stub_create_error(personalize: Any, code: str, message: str = "no", **more: Any) -> None:
    personalize.add_client_error("create_batch_segment_job", code, message, expected_params=_request(**more))


def _request(name: str = NAME, **more: Any) -> dict[str, Any]:
    return {
        "jobName": name,
        "solutionVersionArn": VERSION,
        "roleArn": ROLE,
        "jobInput": {"s3DataSource": {"path": "s3://in/queries.jsonl"}},
        "jobOutput": {"s3DataDestination": {"path": f"s3://out/segments/{name}/"}},
        **more,
    }


def identity_with(stack: str = STACK, **changes: Any) -> JobIdentity:
    return JobIdentity(flatten(properties_with(**changes)), stack)


def derived_name(stack: str = STACK, **changes: Any) -> str:
    return next(identity_with(stack, **changes).names())
