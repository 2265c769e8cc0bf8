"""Finds out whether an update is part of a rollback. The event does not say; only the stack's status does."""

from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from . import clients, log
from .errors import JobError, StackUnknownError, explain
from .events import Event, seconds_left
from .retries import RetryBudget, call_with_retries

# For a last call that hangs, and for the response.
_RESERVED_SECONDS = clients.MAX_CALL_SECONDS + 10


def is_rolling_back(event: Event, context: Any) -> bool:
    """Returns whether an event is part of a rollback of the stack.

    Raises:
        StackUnknownError: CloudFormation does not say.
    """
    if event.get("RequestType") != "Update":
        return False
    try:
        response = call_with_retries(
            clients.cloudformation().describe_stacks,
            RetryBudget(seconds_left(context) - _RESERVED_SECONDS),
            member="Stacks",
            StackName=event["StackId"],
        )
        (stack,) = response["Stacks"]
    except (BotoCoreError, ClientError, JobError, KeyError, ValueError) as error:
        explained = explain(error, {})
        log.event("stack not known", error=str(explained))
        raise StackUnknownError(
            f"cannot tell whether the stack is rolling back, so no job was created: {explained}"
        ) from error
    return "ROLLBACK" in stack["StackStatus"]
