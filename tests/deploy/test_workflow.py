"""A workflow runs on the local AWS: state machine, functions, jobs and events, with the permissions of the stack."""

from typing import Any

import aws_cdk as cdk
import pytest
from cdk_personalize_segments import BatchSegmentWorkflow
from personalize_local.gateway import LocalAws
from support.constants import CREATED
from support.local import Clients, seeded_arn
from support.segments import segments_at
from support.stacks import RealStack
from support.templates import new_audience
from support.workflows import RealWorkflow


@pytest.fixture
def workflow(stack: RealStack, client: Clients) -> RealWorkflow:
    return RealWorkflow(stack, client)


def test_a_run_writes_the_segments_of_all_audiences(workflow: RealWorkflow, aws: LocalAws, client: Clients) -> None:
    solution = seeded_arn(aws, "ITEM_AFFINITY_SOLUTION")

    def build(stack: cdk.Stack) -> BatchSegmentWorkflow:
        audiences = [new_audience("comedy", "1", "2"), new_audience("drama", "3")]
        return BatchSegmentWorkflow(stack, "Weekly", audiences=audiences, solution_arn=solution)

    outcome = workflow.deploy(build)
    assert outcome.status == CREATED, outcome.said
    run = workflow.run()
    assert run.status == "SUCCEEDED", run.execution
    assert run.completed["status"] == "SUCCEEDED", run.events
    assert (run.completed["total"], run.completed["succeeded"], run.completed["failed"]) == (2, 2, 0)
    assert set(run.audiences) == {"comedy", "drama"}
    found: dict[str, Any] = {name: segments_at(client, detail["outputUri"]) for name, detail in run.audiences.items()}
    assert found
