"""CDK's real provider framework with the handler: the cases in the framework's own tests.

https://github.com/aws/aws-cdk/blob/main/packages/aws-cdk-lib/custom-resources/test/provider-framework/runtime.test.ts
"""

import json
import uuid
from dataclasses import replace
from typing import Any

import pytest
from personalize_local.faults import JOB, Fault, Faults
from personalize_local.gateway import LocalAws
from support.constants import CREATE_FAILED_MARKER
from support.custom_resources import DeployedJob, send
from support.local import Clients
from support.stacks import RealStack

INVALID = Fault("CreateBatchSegmentJob", "InvalidInputException", "numResults is odd")


class Framework:
    """Sends CloudFormation's requests to a deployed job."""

    def __init__(self, deployed: DeployedJob) -> None:
        self.stack, self.arn, self.response = deployed.stack, deployed.arn, deployed.response
        self._deployed = deployed

    def send(self, request_type: str, physical_id: str | None = None, trigger: str | None = None) -> dict[str, Any]:
        """Sends a request, and returns the response that arrives at the ResponseURL."""
        request = self._deployed.changed(**({} if trigger is None else {"Trigger": trigger}))
        old = {} if request_type != "Update" else {"old_props": self._deployed.request.properties}
        return send(self.stack.aws, request_type, request, physical_id=physical_id, **old)


@pytest.fixture(scope="session")
def synchronous(aws: LocalAws, client: Clients) -> DeployedJob:
    return DeployedJob(RealStack(aws, client, "Synchronous"))


@pytest.fixture(scope="session")
def waiting(aws: LocalAws, client: Clients) -> DeployedJob:
    return DeployedJob(RealStack(aws, client, "Waiting"), waits=True)


@pytest.fixture(params=["synchronous", "waiting"])
def framework(request: pytest.FixtureRequest) -> Framework:
    return Framework(request.getfixturevalue(request.param))


@pytest.fixture
def trigger() -> str:
    """Returns a trigger that no other test uses."""
    return uuid.uuid4().hex


def test_create_responds_with_the_job_arn_and_its_attributes(framework: Framework) -> None:
    response = framework.response
    assert (response["Status"], response["PhysicalResourceId"]) == ("SUCCESS", framework.arn)
    assert set(response["Data"]) == {"JobName", "OutputUri", "Status", "SolutionVersionArn", "QueryErrors"}
    assert all(isinstance(value, str) for value in response["Data"].values())
    assert len(json.dumps(response)) < 4096


def test_update_keeps_the_physical_id_or_responds_with_a_new_one(framework: Framework, trigger: str) -> None:
    kept = framework.send("Update", framework.arn)
    assert (kept["Status"], kept["PhysicalResourceId"]) == ("SUCCESS", framework.arn)
    other = framework.send("Update", framework.arn, trigger)
    assert other["Status"] == "SUCCESS"
    assert other["PhysicalResourceId"] == framework.stack.jobs[-1] != framework.arn


def test_delete_keeps_the_physical_id(framework: Framework) -> None:
    for physical_id in (framework.arn, "invented"):
        response = framework.send("Delete", physical_id)
        assert (response["Status"], response["PhysicalResourceId"]) == ("SUCCESS", physical_id)


def test_delete_after_a_failed_create_never_reaches_the_handler(framework: Framework, aws: LocalAws) -> None:
    before = len(aws.personalize.calls)
    response = framework.send("Delete", CREATE_FAILED_MARKER)
    assert (response["Status"], response["PhysicalResourceId"]) == ("SUCCESS", CREATE_FAILED_MARKER)
    assert len(aws.personalize.calls) == before


def test_a_failed_create_has_the_marker_as_its_physical_id(framework: Framework, trigger: str, faults: Faults) -> None:
    faults.inject(replace(INVALID))
    response = framework.send("Create", trigger=trigger)
    assert (response["Status"], response["PhysicalResourceId"]) == ("FAILED", CREATE_FAILED_MARKER)
    assert "num_results: numResults is odd (InvalidInputException)" in response["Reason"]
    assert len(response["Reason"].encode()) < 4096


def test_a_failed_update_keeps_the_physical_id(framework: Framework, trigger: str, faults: Faults) -> None:
    faults.inject(replace(INVALID))
    response = framework.send("Update", framework.arn, trigger)
    assert (response["Status"], response["PhysicalResourceId"]) == ("FAILED", framework.arn)


def test_a_failed_wait_reports_the_cause(waiting: DeployedJob, trigger: str, faults: Faults) -> None:
    faults.inject(Fault(JOB, message="no data"))
    response = Framework(waiting).send("Create", trigger=trigger)
    assert response["Status"] == "FAILED"
    assert "ended CREATE FAILED: no data" in response["Reason"]


def test_merges_the_attributes_of_start_and_wait(waiting: DeployedJob) -> None:
    assert waiting.response["Data"]["Status"] == "ACTIVE"
    assert waiting.response["Data"]["QueryErrors"] == "none"
    assert waiting.response["Data"]["OutputUri"].startswith("s3://")


@pytest.mark.parametrize(("name", "waiters"), [("synchronous", 0), ("waiting", 1)])
def test_only_a_waiting_job_has_a_waiter(name: str, waiters: int, request: pytest.FixtureRequest) -> None:
    deployed: DeployedJob = request.getfixturevalue(name)
    assert len(deployed.stack.resources_of("AWS::StepFunctions::StateMachine")) == waiters
    assert ("WaitSeconds" in deployed.request.properties) == bool(waiters)
