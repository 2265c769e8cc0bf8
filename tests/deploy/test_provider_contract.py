"""CDK's provider framework, the real one, around the handler: the cases that its own tests name.

https://github.com/aws/aws-cdk/blob/main/packages/aws-cdk-lib/custom-resources/test/provider-framework/runtime.test.ts
"""

import json
import uuid
from collections.abc import Iterator
from typing import Any

import aws_cdk as cdk
import pytest
from cdk_personalize_segments import BatchSegmentInput, BatchSegmentJob, SegmentQuery
from personalize_local.faults import JOB, Fault
from personalize_local.gateway import LocalAws
from stacks import RealStack

RESOURCE_TYPE = "Custom::PersonalizeBatchSegmentJob"
MARKER = "AWSCDK::CustomResourceProviderFramework::CREATE_FAILED"


class Framework:
    """CloudFormation's side: what it sends to the framework, and what it is answered."""

    def __init__(self, stack: RealStack, aws: LocalAws, *, waits: bool) -> None:
        version = aws.environment()["PERSONALIZE_LOCAL_ITEM_AFFINITY_VERSION_ARN"]
        self.aws = aws
        self.stack = stack
        self._invoked: list[tuple[dict[str, Any], dict[str, Any]]] = []

        def build(scope: cdk.Stack) -> None:
            BatchSegmentJob(
                scope,
                "Job",
                solution_version_arn=version,
                job_input=BatchSegmentInput.from_queries([SegmentQuery.items_like("1")]),
                wait_for_completion=cdk.Duration.minutes(30) if waits else None,
            )

        with pytest.MonkeyPatch.context() as patch:
            self._record(patch)
            done = stack.deploy(build)
        assert done.status == "CREATE_COMPLETE", done.said
        (self.arn,) = stack.jobs
        ((self.created, self.answered),) = self._invoked

    def _record(self, patch: pytest.MonkeyPatch) -> None:
        from ministack.services.cloudformation import custom_resource

        invoke, deliver = custom_resource.invoke_custom_resource, custom_resource.deliver_response
        answers: list[dict[str, Any]] = []

        def recorded(
            kind: str, logical_id: str, props: Any, name: str, stack_id: str, of_type: str, **more: Any
        ) -> Any:
            answer = invoke(kind, logical_id, props, name, stack_id, of_type, **more)
            if of_type == RESOURCE_TYPE:
                event = {"logical_id": logical_id, "props": props, "stack_id": stack_id}
                self._invoked.append((event, answers[-1]))
            return answer

        def delivered(token: str, response: dict[str, Any]) -> bool:
            answers.append(response)
            return bool(deliver(token, response))

        patch.setattr(custom_resource, "invoke_custom_resource", recorded)
        patch.setattr(custom_resource, "deliver_response", delivered)

    def send(self, request_type: str, physical_id: str | None = None, **changes: str) -> dict[str, Any]:
        """Sends an event, and returns what arrives at the ResponseURL."""
        from ministack.core import responses
        from ministack.services.cloudformation import custom_resource

        responses.set_request_account_id(self.aws.account)
        responses.set_request_region(self.aws.region)
        answers: list[dict[str, Any]] = []
        deliver = custom_resource.deliver_response
        props = self.created["props"]
        old = {} if request_type != "Update" else {"old_props": self.created["props"]}
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                custom_resource, "deliver_response", lambda token, got: (answers.append(got), deliver(token, got))[1]
            )
            try:
                custom_resource.invoke_custom_resource(
                    request_type,
                    self.created["logical_id"],
                    {**props, "NewJobIfChanged": {**props["NewJobIfChanged"], **changes}},
                    self.stack.name,
                    self.created["stack_id"],
                    RESOURCE_TYPE,
                    physical_id=physical_id,
                    **old,
                )
            except RuntimeError:
                assert answers[0]["Status"] == "FAILED"
        return answers[0]


@pytest.fixture(params=[False, True], ids=["synchronous", "waiting"])
def framework(stack: RealStack, aws: LocalAws, request: pytest.FixtureRequest) -> Framework:
    return Framework(stack, aws, waits=request.param)


@pytest.fixture
def faults(aws: LocalAws) -> Iterator[Any]:
    yield aws.faults
    aws.faults.clear()


def test_create_answers_with_the_physical_id_of_the_job_and_its_attributes(framework: Any) -> None:
    answer = framework.answered
    assert (answer["Status"], answer["PhysicalResourceId"]) == ("SUCCESS", framework.arn)
    assert set(answer["Data"]) == {"JobName", "OutputUri", "Status", "SolutionVersionArn", "QueryErrors"}
    assert all(isinstance(value, str) for value in answer["Data"].values())
    assert len(json.dumps(answer)) < 4096


def test_update_keeps_the_physical_id_or_answers_with_another(framework: Any) -> None:
    kept = framework.send("Update", framework.arn)
    assert (kept["Status"], kept["PhysicalResourceId"]) == ("SUCCESS", framework.arn)
    other = framework.send("Update", framework.arn, Trigger="2")
    assert other["Status"] == "SUCCESS"
    assert other["PhysicalResourceId"] == framework.stack.jobs[1] != framework.arn


def test_delete_does_not_change_the_physical_id(framework: Any) -> None:
    for physical_id in (framework.arn, "invented"):
        answer = framework.send("Delete", physical_id)
        assert (answer["Status"], answer["PhysicalResourceId"]) == ("SUCCESS", physical_id)


def test_delete_after_a_create_that_failed_never_reaches_the_handler(framework: Any) -> None:
    before = len(framework.aws.personalize.calls)
    answer = framework.send("Delete", MARKER)
    assert (answer["Status"], answer["PhysicalResourceId"]) == ("SUCCESS", MARKER)
    assert len(framework.aws.personalize.calls) == before


def test_a_create_that_fails_has_the_frameworks_marker_as_its_id(framework: Any, faults: Any) -> None:
    faults.inject(Fault("CreateBatchSegmentJob", "InvalidInputException", "numResults is odd"))
    answer = framework.send("Create", Trigger=uuid.uuid4().hex)
    assert (answer["Status"], answer["PhysicalResourceId"]) == ("FAILED", MARKER)
    assert "num_results: numResults is odd (InvalidInputException)" in answer["Reason"]
    assert len(answer["Reason"].encode()) < 4096


def test_an_update_that_fails_keeps_the_physical_id(framework: Any, faults: Any) -> None:
    faults.inject(Fault("CreateBatchSegmentJob", "InvalidInputException", "numResults is odd"))
    answer = framework.send("Update", framework.arn, Trigger=uuid.uuid4().hex)
    assert (answer["Status"], answer["PhysicalResourceId"]) == ("FAILED", framework.arn)


def test_a_wait_that_fails_says_why(stack: RealStack, aws: LocalAws, faults: Any) -> None:
    framework = Framework(stack, aws, waits=True)
    faults.inject(Fault(JOB, message="no data"))
    answer = framework.send("Create", Trigger="fails")
    assert answer["Status"] == "FAILED"
    assert "ended CREATE FAILED: no data" in answer["Reason"]


def test_attributes_of_the_wait_are_merged_into_those_of_the_start(stack: RealStack, aws: LocalAws) -> None:
    framework = Framework(stack, aws, waits=True)
    assert framework.answered["Data"]["Status"] == "ACTIVE"
    assert framework.answered["Data"]["QueryErrors"] == "none"
    assert framework.answered["Data"]["OutputUri"].startswith("s3://")


def test_a_job_that_is_not_waited_for_has_no_waiter(framework: Any) -> None:
    waits = "WaitSeconds" in framework.created["props"]
    assert len(framework.stack.resources_of("AWS::StepFunctions::StateMachine")) == waits
