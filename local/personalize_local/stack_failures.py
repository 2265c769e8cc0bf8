"""Reads why the newest deployment failed, for `personalize-local status`."""

from typing import Any

_STARTS = ("CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS", "DELETE_IN_PROGRESS")


def list_failures(cloudformation: Any) -> tuple[str, list[tuple[str, str, str]]]:
    """Lists the failed events of the newest operation on the newest stack.

    Args:
        cloudformation: The client of CloudFormation.

    Returns:
        The name of the stack, and the logical ID, the status and the reason of each event, oldest first.
    """
    pages = cloudformation.get_paginator("list_stacks").paginate()
    stacks = [stack for page in pages for stack in page["StackSummaries"]]
    newest = max(stacks, key=lambda stack: stack.get("LastUpdatedTime", stack["CreationTime"]), default=None)
    if newest is None:
        return "", []
    failures = []
    pages = cloudformation.get_paginator("describe_stack_events").paginate(StackName=newest["StackId"])
    # The newest event is first.
    for event in (event for page in pages for event in page["StackEvents"]):
        status = event["ResourceStatus"]
        if status.endswith("_FAILED"):
            failures.append((event["LogicalResourceId"], status, event.get("ResourceStatusReason", "")))
        if event["PhysicalResourceId"] == newest["StackId"] and status in _STARTS:
            break
    return newest["StackName"], failures[::-1]
