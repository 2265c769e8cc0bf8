"""Reads the events of the provider framework, and the Lambda's context."""

from typing import Any

from .errors import JobError
from .text import printable

Event = dict[str, Any]


def require_members(event: Event) -> None:
    """Checks that the event has the members of every CloudFormation request.

    Raises:
        JobError: A member is missing; the message names it.
    """
    members = ["StackId", "LogicalResourceId", "ResourceProperties"]
    if event.get("RequestType") == "Update":
        members.append("PhysicalResourceId")
    for member in members:
        if not event.get(member):
            raise JobError(f"{member} is missing from the event, expected a CloudFormation request")
    if str(event["StackId"]).count(":") < 5:
        raise JobError(f"StackId: got {printable(event['StackId'])}, expected the ARN of a stack")


def job_name(event: Event) -> str:
    """Returns the name of the resource's current job, whose ARN is the physical ID."""
    return str(event["PhysicalResourceId"].rpartition("/")[2])


def seconds_left(context: Any) -> float:
    """Returns the seconds until the function times out."""
    return float(context.get_remaining_time_in_millis()) / 1000
