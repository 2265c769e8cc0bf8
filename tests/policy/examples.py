"""Example stacks, and the code paths that need their permissions."""

import contextlib
import itertools
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import aws_cdk as cdk
import aws_cdk.aws_kms as kms
import aws_cdk.aws_s3 as s3
from batch_segment_handler.contract import DEFINITION, RESOURCE_TYPE
from cdk_personalize_segments import BatchSegmentInput, BatchSegmentJob, BatchSegmentStorage, SegmentQuery
from personalize_local.gateway import LocalAws
from support.custom_resources import recorded, send
from support.local import Clients, seeded_arn, use_account, wait_until
from support.stacks import RealStack

#: The result of a path that succeeds.
WORKS = ""
#: Builds the stack of an example.
Builder = Callable[[LocalAws], Callable[[cdk.Stack], BatchSegmentJob]]


def given_in_the_app(aws: LocalAws) -> Callable[[cdk.Stack], BatchSegmentJob]:
    """Queries in the app, tags, and a filter with a placeholder."""

    def build(stack: cdk.Stack) -> BatchSegmentJob:
        query = SegmentQuery.items_like("1").with_filter_values(COUNTRY=["Japan"])
        return BatchSegmentJob(
            stack,
            "Job",
            job_input=BatchSegmentInput.from_queries([query]),
            solution_version_arn=seeded_arn(aws, "ITEM_AFFINITY_VERSION"),
            filter_arn=seeded_arn(aws, "FILTER_WITH_PLACEHOLDER"),
            tags={"team": "films"},
        )

    return build


def in_s3_already(aws: LocalAws) -> Callable[[cdk.Stack], BatchSegmentJob]:
    """Queries in a bucket of the stack, which are checked; the latest version of a solution; a waiting deployment."""

    def build(stack: cdk.Stack) -> BatchSegmentJob:
        return BatchSegmentJob(
            stack,
            "Job",
            job_input=BatchSegmentInput.from_bucket(s3.Bucket(stack, "Queries"), "in/"),
            solution_arn=seeded_arn(aws, "ITEM_AFFINITY_SOLUTION"),
            wait_for_completion=cdk.Duration.minutes(30),
        )

    return build


def with_a_key_and_strict_conditions(aws: LocalAws) -> Callable[[cdk.Stack], BatchSegmentJob]:
    """Buckets with a key, and all optional conditions."""

    def build(stack: cdk.Stack) -> BatchSegmentJob:
        return BatchSegmentJob(
            stack,
            "Job",
            job_input=BatchSegmentInput.from_queries([SegmentQuery.items_like("1")]),
            solution_version_arn=seeded_arn(aws, "ITEM_AFFINITY_VERSION"),
            storage=BatchSegmentStorage(stack, "Storage", encryption_key=kms.Key(stack, "Key"), strict_conditions=True),
        )

    return build


EXAMPLES = (given_in_the_app, in_s3_already, with_a_key_and_strict_conditions)


class Example:
    """A deployed stack, and the paths that its permissions serve."""

    def __init__(self, aws: LocalAws, client: Clients, example: Builder) -> None:
        """Deploys the stack by CloudFormation, as its users do; the job runs once."""
        self.aws = aws
        self.stack = RealStack(aws, client, "Policy-" + example.__name__.replace("_", "-"))
        self._lambda, self._logs, self._iam = client("lambda"), client("logs"), client("iam")
        self._states = client("stepfunctions")
        self._runs = itertools.count()
        self.template = self.stack.template(example(aws))
        for name in self.named("AWS::Lambda::Function"):
            # A short timeout, so that the handler soon stops retrying: a removed permission does not come back.
            self.template["Resources"][name]["Properties"]["Timeout"] = 105
        without_job = json.loads(json.dumps(self.template))
        for name in self.named(RESOURCE_TYPE):
            del without_job["Resources"][name]
        # Two deployments: existing queries in S3 must be uploaded before the job is created.
        assert self.stack.deploy_template(without_job).status == "CREATE_COMPLETE"
        self.physical_ids = self._physical_ids(client)
        for name in self.named("AWS::S3::Bucket"):
            if name.startswith("Queries"):
                client("s3").put_object(Bucket=self.physical_ids[name], Key="in/a.jsonl", Body=b'{"itemId": "1"}\n')
        with recorded() as recording:
            done = self.stack.deploy_template(self.template)
        assert done.status == "UPDATE_COMPLETE", done.said
        self.physical_ids = self._physical_ids(client)
        (self._request,) = recording.requests
        #: The ARN of the job that the deployment created.
        self.job = self.physical_ids[self._request.logical_id]
        #: The job's properties as the handler received them.
        self.properties = self._request.properties

    def _physical_ids(self, client: Clients) -> dict[str, str]:
        found = client("cloudformation").list_stack_resources(StackName=self.stack.name)["StackResourceSummaries"]
        return {one["LogicalResourceId"]: one["PhysicalResourceId"] for one in found}

    def named(self, of_type: str) -> list[str]:
        """Returns the logical IDs of the resources of a type."""
        return [name for name, one in self.template["Resources"].items() if one["Type"] == of_type]

    # -- paths

    @property
    def paths(self) -> list[Callable[[], str]]:
        """All paths that need permissions. Each returns the failure, or `WORKS`."""
        waits = [self.is_looked_at, self.a_wait_in_a_rollback, self.the_waiter] if self._function("IsComplete") else []
        return [self.a_new_job, *waits, self.other_tags, self.a_recipe_nobody_knows, self.a_rollback, self.framework]

    def a_new_job(self) -> str:
        """The handler creates a job, and the service runs it."""
        return self._handled("Create", self._properties())

    def is_looked_at(self) -> str:
        """The `is_complete` function checks a job that is complete."""
        event = {"PhysicalResourceId": self.job, "Deadline": int(time.time()) + 1000}
        answer, error = self._invoke("IsComplete", "Create", self._properties(), **event)
        return error or (WORKS if answer["Data"]["QueryErrors"] == "none" else f"{answer}, {self._logs_of_call()}")

    def other_tags(self) -> str:
        """An update that creates no job removes the earlier tags."""
        old = {**self.properties, "Tags": [{"key": "old", "value": "1"}]}
        event = {"PhysicalResourceId": self.job, "OldResourceProperties": old}
        return self._invoke("Handler", "Update", self.properties, **event)[1]

    def a_recipe_nobody_knows(self) -> str:
        """The handler looks up the type of an unknown recipe, and rejects it."""
        version = seeded_arn(self.aws, "USER_PERSONALIZATION_VERSION")
        role = {"RoleName": self.physical_ids[self._named_like("HandlerRole")], "PolicyName": "OfTheTest"}
        statement = {"Effect": "Allow", "Action": "personalize:DescribeSolutionVersion", "Resource": version}
        self._iam.put_role_policy(**role, PolicyDocument=json.dumps({"Statement": [statement]}))
        error = self._handled("Create", self._properties(SolutionVersionArn=version))
        self._iam.delete_role_policy(**role)
        return WORKS if "of type USER_PERSONALIZATION, expected" in error else error

    def a_rollback(self) -> str:
        """An update that would fail succeeds during a rollback of the stack."""
        event = {"PhysicalResourceId": self.job, "OldResourceProperties": self._properties()}
        with self._rolling_back():
            error = self._handled("Update", self._properties(NumResults="0"), **event)
            return f"{error}\n{self._logs_of_call()}" if error else WORKS

    def a_wait_in_a_rollback(self) -> str:
        """A wait that has timed out succeeds during a rollback of the stack."""
        none = f"{self.job}-99"
        with self._rolling_back():
            event = {"PhysicalResourceId": none, "Deadline": 0, "Created": True}
            error = self._invoke("IsComplete", "Update", self._properties(), **event)[1]
            return f"{error}\n{self._logs_of_call()}" if error else WORKS

    def the_waiter(self) -> str:
        """The framework's state machine invokes each of its functions. The half hour of retries is skipped."""
        (waiter,) = self.named("AWS::StepFunctions::StateMachine")
        machine = self._states.describe_state_machine(stateMachineArn=self.physical_ids[waiter])
        for state in json.loads(machine["definition"])["States"].values():
            cause = self._cause(state["Resource"], machine["roleArn"])
            # The functions reject an event without a request, but the invocation itself works.
            if "is not authorized" in cause:
                return cause
        return WORKS

    def _cause(self, resource: str, role_arn: str) -> str:
        """Runs a state machine of one task, and returns the cause of its failure."""
        task = {"Type": "Task", "Resource": resource, "End": True}
        machine = self._states.create_state_machine(
            name=f"{self.stack.name}-{next(self._runs)}",
            definition=json.dumps({"StartAt": "Task", "States": {"Task": task}}),
            roleArn=role_arn,
        )["stateMachineArn"]
        execution = self._states.start_execution(stateMachineArn=machine, input="{}")["executionArn"]
        wait_until(lambda: self._states.describe_execution(executionArn=execution)["status"] != "RUNNING")
        cause = str(self._states.describe_execution(executionArn=execution).get("cause", ""))
        self._states.delete_state_machine(stateMachineArn=machine)
        return cause

    @contextlib.contextmanager
    def _rolling_back(self) -> Iterator[None]:
        from ministack.services import cloudformation

        use_account(self.aws)
        stack = cloudformation._stacks[self.stack.name]
        stack["StackStatus"] = "UPDATE_ROLLBACK_IN_PROGRESS"
        try:
            yield
        finally:
            stack["StackStatus"] = "UPDATE_COMPLETE"

    def framework(self) -> str:
        """CloudFormation calls CDK's framework, which calls the handler and waits if the job waits."""
        response = send(self.aws, "Create", replace(self._request, properties=self._properties()))
        return WORKS if response["Status"] == "SUCCESS" else str(response["Reason"])

    # -- helpers of the paths

    def _properties(self, **changed: str) -> dict[str, Any]:
        definition = {**self.properties[DEFINITION], "Trigger": str(next(self._runs)), **changed}
        return {**self.properties, DEFINITION: definition}

    def _handled(self, request_type: str, properties: dict[str, Any], **event: Any) -> str:
        answer, error = self._invoke("Handler", request_type, properties, **event)
        if error:
            return error
        job = self.aws.personalize.jobs.get(answer["PhysicalResourceId"])
        wait_until(lambda: job is None or not job.in_flight)
        return WORKS if job is None else job.failure_reason or WORKS

    def _invoke(self, function: str, request_type: str, properties: dict[str, Any], **more: Any) -> tuple[Any, str]:
        event: dict[str, Any] = {
            "RequestType": request_type,
            "StackId": self._request.stack_id,
            "LogicalResourceId": self._request.logical_id,
            "ResourceProperties": properties,
            **more,
        }
        self._called = int(time.time() * 1000)
        name = self._function(function)
        assert name is not None
        done = self._lambda.invoke(FunctionName=self.physical_ids[name], Payload=json.dumps(event))
        answer = json.load(done["Payload"])
        return (None, str(answer["errorMessage"])) if "FunctionError" in done else (answer, WORKS)

    def _logs_of_call(self) -> str:
        group = self.physical_ids[self._named_like("Logs")]
        events = self._logs.filter_log_events(logGroupName=group, startTime=self._called)["events"]
        return "\n".join(event["message"] for event in events)

    def _function(self, part: str) -> str | None:
        return next((name for name in self.named("AWS::Lambda::Function") if f"Provider{part}" in name), None)

    def _named_like(self, part: str) -> str:
        (found,) = [name for name in self.template["Resources"] if f"Provider{part}" in name]
        return str(found)


#: Deploys an example once.
Deployments = Callable[[Builder], Example]
