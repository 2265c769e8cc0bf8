"""The states that the state machines consist of, in Amazon States Language."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from batch_segment_handler import workflow_contract as contract

State = dict[str, Any]
States = dict[str, State]

# A little longer than the functions themselves, so that a lost response does not stop an execution.
_START_TIMEOUT_SECONDS = 870
_DESCRIBE_TIMEOUT_SECONDS = 330
BACKOFF = {"IntervalSeconds": 2, "MaxAttempts": 6, "BackoffRate": 2, "MaxDelaySeconds": 60, "JitterStrategy": "FULL"}
#: Lambda's own faults, https://docs.aws.amazon.com/step-functions/latest/dg/sfn-best-practices.html#bp-lambda-serviceexception.
#: The functions retry what Personalize refuses.
_LAMBDA_FAULTS = [
    "Lambda.ServiceException",
    "Lambda.AWSLambdaException",
    "Lambda.SdkClientException",
    "Lambda.TooManyRequestsException",
]
# For service integrations, whose errors are all faults.
ANY_FAILED_TASK = ["States.TaskFailed"]


@dataclass(frozen=True)
class Functions:
    """The functions that the states call.

    Attributes:
        partition: The partition.
        start: The ARN of the function that prepares runs and starts jobs.
        describe: The ARN of the function that looks whether jobs are complete.
    """

    partition: str
    start: str
    describe: str

    def task(self, task: contract.Task, settings: Mapping[str, Any], members: Mapping[str, Any], path: str) -> State:
        """Returns a state that calls a function with a task. The response is the member ``Payload`` of the path."""
        is_start = task in ("Prepare", "Start")
        return {
            "Type": "Task",
            "Resource": f"arn:{self.partition}:states:::lambda:invoke",
            "Parameters": {
                "FunctionName": self.start if is_start else self.describe,
                "Payload": {"Task": task, "Settings": dict(settings), **members},
            },
            "TimeoutSeconds": _START_TIMEOUT_SECONDS if is_start else _DESCRIBE_TIMEOUT_SECONDS,
            "ResultSelector": {"Payload.$": "$.Payload"},
            "ResultPath": path,
            "Retry": [{"ErrorEquals": _LAMBDA_FAULTS, **BACKOFF}],
        }

    def publish(self, detail_type: str, detail: str | Mapping[str, Any]) -> State:
        """Returns a state that publishes an event on the default bus.

        https://docs.aws.amazon.com/step-functions/latest/dg/connect-eventbridge.html

        Args:
            detail_type: The detail type.
            detail: The path of the detail, or the detail itself.
        """
        entry = {"Source": contract.EVENT_SOURCE, "DetailType": detail_type}
        return {
            "Type": "Task",
            "Resource": f"arn:{self.partition}:states:::events:putEvents",
            "Parameters": {
                "Entries": [{**entry, **({"Detail.$": detail} if isinstance(detail, str) else {"Detail": detail})}]
            },
            # Beside the input, which has the cause of a failure. CDK leaves out a null, which would drop the result.
            "ResultPath": "$.Published",
            "Retry": [{"ErrorEquals": ANY_FAILED_TASK, **BACKOFF}],
        }


def caught(state: State, next_: str, *, path: str = "$.Fault") -> State:
    """Adds a catch-all.

    Args:
        state: The state.
        next_: The name of the next state.
        path: The path of the fault.
    """
    return {**state, "Catch": [{"ErrorEquals": ["States.ALL"], "ResultPath": path, "Next": next_}]}


def status(variable: str, value: str, next_: str) -> State:
    """Returns the choice of a state for a status."""
    return {"Variable": variable, "StringEquals": value, "Next": next_}


def fail(error: str, cause: str) -> State:
    """Returns a state that fails, with the path of the cause."""
    return {"Type": "Fail", "Error": error, "CausePath": cause}
