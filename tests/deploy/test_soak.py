"""Two hundred random steps from a seed: deploy, change, fail, roll back, deliver again; and what must always hold."""

import os
import random
import re
from typing import Any

import aws_cdk as cdk
import pytest
from cdk_personalize_segments import BatchSegmentInput, BatchSegmentJob, SegmentQuery
from personalize_local.faults import ANY, JOB, Fault
from personalize_local.gateway import LocalAws
from stacks import RealStack

#: The same steps each time, so that a test that fails fails again; SOAK_SEED=<number> takes other ones.
DEFAULT_SEED = 20261125
STEPS = 200
PARTS = 4  # side by side, each with a stack of its own
FAULTS = [
    Fault("CreateBatchSegmentJob", "InvalidInputException", "numResults is odd"),
    Fault("CreateBatchSegmentJob", "ThrottlingException", times=6),
    Fault("CreateBatchSegmentJob", "LimitExceededException", times=None),
    Fault("CreateBatchSegmentJob", reset=True, after=True, times=5),
    Fault("CreateBatchSegmentJob", malformed=True, after=True),
    Fault("DescribeBatchSegmentJob", "AccessDeniedException", times=None),
    Fault("TagResource", "TooManyTagsException"),
    Fault(ANY, "ServiceUnavailable", status=503, times=None),
    Fault(ANY, "InternalServerError", status=500, times=None, probability=0.3),
    Fault(JOB, message="no data"),
]


@pytest.mark.parametrize("part", range(PARTS))
def test_soak(stack: RealStack, aws: LocalAws, part: Any) -> None:
    seed = int(os.environ.get("SOAK_SEED") or DEFAULT_SEED)
    chance = random.Random(f"{seed} {part}")
    version = aws.environment()["PERSONALIZE_LOCAL_ITEM_AFFINITY_VERSION_ARN"]
    job_input = BatchSegmentInput.from_queries([SegmentQuery.items_like("1")])
    history: list[str] = []

    templates: dict[str, dict] = {}

    def template(props: dict) -> dict:
        def build(scope: cdk.Stack) -> None:
            wait = {"wait_for_completion": cdk.Duration.minutes(30)} if props["waits"] else {}
            given = {name: value for name, value in props.items() if name != "waits"}
            BatchSegmentJob(scope, "Job", job_input=job_input, solution_version_arn=version, **given, **wait)

        if str(props) not in templates:
            templates[str(props)] = stack.template(build)
        return templates[str(props)]

    def holds(what: bool, why: str) -> None:
        assert what, f"{why}; SOAK_SEED={seed}, part {part}, after {len(history)} steps, the last: {history[-5:]}"

    exists = False
    for _ in range(STEPS // PARTS):
        props = {"trigger": str(chance.randrange(4)), "waits": chance.random() < 0.3}
        if chance.random() < 0.3:
            props["tags"] = {"step": str(chance.randrange(3))}
        fault = None
        if chance.random() < 0.5:
            fault = Fault(**vars(chance.choice(FAULTS)))
            aws.faults.inject(fault)
        if exists and chance.random() < 0.05:
            history.append(f"destroy with {fault}")
            done = stack.destroy()
            holds(done.status == "DELETE_COMPLETE", f"destroying ended {done.status}")
            exists = False
        else:
            history.append(f"deploy {props} with {fault}")
            done = stack.deploy_template(template(props))
            holds(not done.status.endswith("FAILED"), f"the stack is stuck in {done.status}: {done.said}")
            exists = True
            if done.status == "ROLLBACK_COMPLETE":
                aws.faults.clear()
                stack.destroy()
                exists = False
        aws.faults.clear()
        if exists:
            # The physical id is a job that there is.
            ids = stack.resources_of("Custom::PersonalizeBatchSegmentJob")
            holds(len(ids) == 1 and ids[0] in aws.personalize.jobs, f"the physical id is no job: {ids}")
        # A definition is billed once for each stack, and once more for each time its job failed.
        by_definition: dict[str, list] = {}
        for arn in stack.jobs:
            base = re.sub(r"-\d{1,2}$", "", arn)
            by_definition.setdefault(base, []).append(aws.personalize.jobs[arn])
        for base, jobs in by_definition.items():
            going = [job for job in jobs if job.status != "CREATE FAILED" and job.fault is None]
            holds(len(going) <= 1, f"{base} was billed {len(going)} times")
