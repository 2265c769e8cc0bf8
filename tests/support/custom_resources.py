"""Records and repeats the requests that MiniStack's CloudFormation sends to custom resources."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import aws_cdk as cdk
import pytest
from batch_segment_handler.contract import DEFINITION, RESOURCE_TYPE
from personalize_local.gateway import LocalAws

from support.constants import CREATED
from support.local import seeded_arn, use_account
from support.stacks import RealStack
from support.templates import add_job


@dataclass(frozen=True)
class Request:
    """A request for a job, without the URL to respond to.

    Attributes:
        stack_name: The stack.
        stack_id: The stack's ARN.
        logical_id: The logical ID of the job.
        properties: The resource's properties, as CloudFormation resolved them.
    """

    stack_name: str
    stack_id: str
    logical_id: str
    properties: dict[str, Any]


@dataclass(frozen=True)
class Recording:
    """Recorded requests for jobs, and the responses to them."""

    requests: list[Request] = field(default_factory=list)
    responses: list[dict[str, Any]] = field(default_factory=list)


@contextlib.contextmanager
def recorded() -> Iterator[Recording]:
    """Records CloudFormation's requests for jobs and the responses until the context ends."""
    from ministack.services.cloudformation import custom_resource

    recording = Recording()
    invoke, deliver = custom_resource.invoke_custom_resource, custom_resource.deliver_response

    def record(kind: str, logical_id: str, props: Any, name: str, stack_id: str, of_type: str, **more: Any) -> Any:
        if of_type == RESOURCE_TYPE:
            properties = custom_resource._normalise_resource_properties(props)
            recording.requests.append(Request(name, stack_id, logical_id, properties))
        return invoke(kind, logical_id, props, name, stack_id, of_type, **more)

    def deliver_response(token: str, response: dict[str, Any]) -> bool:
        recording.responses.append(response)
        return bool(deliver(token, response))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(custom_resource, "invoke_custom_resource", record)
        patch.setattr(custom_resource, "deliver_response", deliver_response)
        yield recording


def send(aws: LocalAws, request_type: str, request: Request, **more: Any) -> dict[str, Any]:
    """Sends a request to the provider framework as CloudFormation does, and returns the response.

    Args:
        aws: The local AWS.
        request_type: ``Create``, ``Update`` or ``Delete``.
        request: The request.
        **more: ``physical_id`` and ``old_props``.

    Returns:
        The response, or one with the status FAILED if none arrives.
    """
    from ministack.services.cloudformation import custom_resource

    use_account(aws)
    stack = (request.stack_name, request.stack_id)
    with recorded() as recording:
        try:
            custom_resource.invoke_custom_resource(
                request_type, request.logical_id, request.properties, *stack, RESOURCE_TYPE, **more
            )
        except RuntimeError as error:
            if not recording.responses:
                return {"Status": "FAILED", "Reason": str(error)}
    return recording.responses[0]


class DeployedJob:
    """A stack with one job, and the request and response that created the job.

    Tests share the stack: each sends its own definitions with `Trigger`, and checks only the new jobs.

    Attributes:
        stack: The stack.
        arn: The ARN of the job.
        request: The request.
        response: The response.
    """

    def __init__(self, stack: RealStack, *, waits: bool = False) -> None:
        """Deploys the stack.

        Args:
            stack: The stack, which does not exist yet.
            waits: Whether the deployment waits for the job.
        """
        version = seeded_arn(stack.aws, "ITEM_AFFINITY_VERSION")
        wait = cdk.Duration.minutes(30) if waits else None
        with recorded() as recording:
            done = stack.deploy(lambda scope: add_job(scope, solution_version_arn=version, wait_for_completion=wait))
        assert done.status == CREATED, done.said
        self.stack = stack
        (self.arn,) = stack.jobs
        (self.request,) = recording.requests
        (self.response,) = [
            response for response in recording.responses if response["LogicalResourceId"] == self.request.logical_id
        ]

    def changed(self, **definition: str) -> Request:
        """Returns the request with another definition."""
        properties = self.request.properties
        return replace(self.request, properties={**properties, DEFINITION: {**properties[DEFINITION], **definition}})
