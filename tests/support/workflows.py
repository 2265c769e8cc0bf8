"""Workflows deployed to the local AWS: their runs and the events that they publish."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import aws_cdk as cdk
import aws_cdk.aws_events as events
import aws_cdk.aws_events_targets as targets
import aws_cdk.aws_sqs as sqs
from batch_segment_handler.workflow_contract import EVENT_SOURCE, RUN_COMPLETED
from cdk_personalize_segments import BatchSegmentWorkflow

from support.local import Clients, wait_until
from support.stacks import Outcome, RealStack

_ENDED = ("SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED")


class RealWorkflow:
    """A stack with one workflow, and a queue that receives all events of the workflow."""

    def __init__(self, stack: RealStack, client: Clients) -> None:
        self.stack = stack
        self.outputs: dict[str, str] = {}
        self._client = client

    def deploy(self, build: Callable[[cdk.Stack], BatchSegmentWorkflow]) -> Outcome:
        """Creates or updates the stack."""
        outcome = self.stack.deploy(lambda stack: observe(stack, build(stack)))
        self.outputs = outcome.outputs
        return outcome

    def start(self, **given: str) -> str:
        """Starts a run and returns the ARN of the execution."""
        started = self._client("stepfunctions").start_execution(
            stateMachineArn=self.outputs["Machine"], input=json.dumps(given)
        )
        return str(started["executionArn"])

    def wait(self, execution: str, timeout: float = 120) -> dict[str, Any]:
        """Waits for the end of an execution and returns its description."""
        described: dict[str, Any] = {}

        def is_over() -> bool:
            described.update(self._client("stepfunctions").describe_execution(executionArn=execution))
            return described["status"] in _ENDED

        wait_until(is_over, timeout, interval=0.1)
        return described

    def run(self, **given: str) -> "Run":
        """Starts a run, waits for its end, and returns it with its events."""
        return self.finish(self.start(**given))

    def finish(self, execution: str) -> "Run":
        """Waits for the end of a run and returns it with the events since the last call."""
        described = self.wait(execution)
        return Run(described, self.events())

    def events(self) -> list[dict[str, Any]]:
        """Returns the events that arrived since the last call, in the order of their arrival."""
        queue, sqs = self.outputs["Events"], self._client("sqs")
        found: list[dict[str, Any]] = []
        while messages := sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages"):
            for message in messages:
                found.append(json.loads(message["Body"]))
                sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
        return found


class Run:
    """A run that has ended."""

    def __init__(self, execution: Mapping[str, Any], published: list[dict[str, Any]]) -> None:
        self.status: str = execution["status"]
        self.execution = execution
        self.events = published

    @property
    def completed(self) -> dict[str, Any]:
        """The detail of the only event that reports the completion of the run."""
        (detail,) = (event["detail"] for event in self.events if event["detail-type"] == RUN_COMPLETED)
        return dict(detail)

    @property
    def audiences(self) -> dict[str, dict[str, Any]]:
        """The details of the events of audiences, by audience."""
        details = [event["detail"] for event in self.events if event["detail-type"] != RUN_COMPLETED]
        by_name = {detail["audience"]: detail for detail in details}
        assert len(by_name) == len(details), f"an audience has several events: {details}"
        return by_name


def observe(stack: cdk.Stack, workflow: BatchSegmentWorkflow) -> None:
    """Adds a queue that receives all events of a workflow."""
    queue = sqs.Queue(stack, "EventsQueue")
    events.Rule(
        stack,
        "AllEvents",
        event_pattern=events.EventPattern(source=[EVENT_SOURCE], detail={"workflow": [workflow.workflow_name]}),
        targets=[targets.SqsQueue(queue)],
    )
    cdk.CfnOutput(stack, "Machine", value=workflow.state_machine.state_machine_arn)
    cdk.CfnOutput(stack, "Events", value=queue.queue_url)
