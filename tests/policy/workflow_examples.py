"""A stack with a workflow, and a run of it that needs every permission of its principals."""

import datetime
import itertools
from collections.abc import Callable

import aws_cdk as cdk
import aws_cdk.aws_s3 as s3
import aws_cdk.aws_scheduler as scheduler
from cdk_personalize_segments import Audience, BatchSegmentInput, BatchSegmentWorkflow, SegmentQuery, SegmentsTable
from personalize_local.errors import ScheduleError
from personalize_local.gateway import LocalAws
from policy.examples import WORKS
from support.local import Clients, seeded_arn
from support.stacks import RealStack
from support.templates import resource_names
from support.workflows import RealWorkflow, observe

_EXPRESSION = "rate(1000 days)"


def a_workflow(aws: LocalAws) -> Callable[[cdk.Stack], BatchSegmentWorkflow]:
    """Queries in the app and in a bucket, a filter, tags, a schedule, and a table."""

    def build(stack: cdk.Stack) -> BatchSegmentWorkflow:
        query = SegmentQuery.items_like("1").with_filter_values(COUNTRY=["Japan"])
        filter_arn = seeded_arn(aws, "FILTER_WITH_PLACEHOLDER")
        workflow = BatchSegmentWorkflow(
            stack,
            "Weekly",
            audiences=[
                Audience("in-the-app", BatchSegmentInput.from_queries([query]), filter_arn=filter_arn),
                Audience("in-s3", BatchSegmentInput.from_bucket(s3.Bucket(stack, "Queries"), "in/")),
            ],
            solution_arn=seeded_arn(aws, "ITEM_AFFINITY_SOLUTION"),
            only_new_versions=False,
            schedule=scheduler.ScheduleExpression.expression(_EXPRESSION),
            tags={"team": "films"},
        )
        SegmentsTable(stack, "Table", workflow=workflow)
        observe(stack, workflow)
        return workflow

    return build


class WorkflowExample:
    """A deployed stack with a workflow, and its runs."""

    def __init__(self, aws: LocalAws, client: Clients) -> None:
        """Deploys the stack by CloudFormation, as its users do."""
        self.aws = aws
        self.stack = RealStack(aws, client, "Policy-a-workflow")
        self.template = self.stack.template(a_workflow(aws))
        self._client = client
        self._days = itertools.count()
        outcome = self.stack.deploy_template(self.template)
        assert outcome.status == "CREATE_COMPLETE", outcome.said
        self._workflow = RealWorkflow(self.stack, client)
        self._workflow.outputs = outcome.outputs
        found = client("cloudformation").list_stack_resources(StackName=self.stack.name)["StackResourceSummaries"]
        self.physical_ids: dict[str, str] = {one["LogicalResourceId"]: one["PhysicalResourceId"] for one in found}
        (queries,) = [name for name in self.physical_ids if name.startswith("Queries") and "Policy" not in name]
        client("s3").put_object(Bucket=self.physical_ids[queries], Key="in/a.jsonl", Body=b'{"itemId": "1"}\n')

    @property
    def job(self) -> str:
        """The ARN of the newest job whose queries are in the app."""
        jobs = self.aws.personalize.jobs
        bucket = next(name for key, name in self.physical_ids.items() if "StorageOutputBucket" in key)
        folder = f"s3://{bucket}/segments/audience=in-the-app/"
        return [
            arn for arn, job in jobs.items() if job.request["jobOutput"]["s3DataDestination"]["path"].startswith(folder)
        ][-1]

    @property
    def paths(self) -> list[Callable[[], str]]:
        """All paths that need permissions. Each returns the failure, or `WORKS`."""
        return [self.a_scheduled_run]

    def a_scheduled_run(self) -> str:
        """The schedule starts a run, which starts a job for each audience and registers its segments."""
        day = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC) + datetime.timedelta(days=next(self._days))
        before = self._executions()
        for other in before:
            # A run that another test started still publishes events.
            self._workflow.wait(other)
        self._workflow.events()
        (schedule,) = resource_names(self.template, "AWS::Scheduler::Schedule")
        try:
            self.aws.tick(self.physical_ids[schedule], at=day)
        except ScheduleError as error:
            return str(error)
        (execution,) = self._executions() - before
        run = self._workflow.finish(execution)
        reasons = [str(event["detail"].get("reason", "")) for event in run.events]
        if run.status == "SUCCEEDED" and not any(reasons) and len(run.events) == 3:
            return WORKS
        return "\n".join([run.status, str(run.execution.get("error")), str(run.execution.get("cause")), *reasons])

    def _executions(self) -> set[str]:
        machine = self._workflow.outputs["Machine"]
        pages = self._client("stepfunctions").get_paginator("list_executions").paginate(stateMachineArn=machine)
        return {execution["executionArn"] for page in pages for execution in page["executions"]}
