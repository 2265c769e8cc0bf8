"""Random deployments, changes, failures, rollbacks and deletions from a seed, with invariants after each step."""

import os
import random
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import aws_cdk as cdk
import pytest
from batch_segment_handler.contract import RESOURCE_TYPE
from personalize_local.faults import ANY, JOB, Fault, Faults
from support.constants import DELETED, NOT_CREATED
from support.local import seeded_arn
from support.stacks import RealStack
from support.templates import add_job

FIXED_SEED = 20261125
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


@dataclass
class Soak:
    """A stack, and the steps that have been taken on it.

    Attributes:
        stack: The stack.
        faults: The local service's faults.
        seed: The seed, which makes the steps repeatable.
        part: The part. Each part of a seed has different steps.
    """

    stack: RealStack
    faults: Faults
    seed: int
    part: int
    _history: list[str] = field(default_factory=list)
    _templates: dict[str, dict[str, Any]] = field(default_factory=dict)
    _exists: bool = False

    def __post_init__(self) -> None:
        self._random = random.Random(f"{self.seed} {self.part}")

    def run(self, steps: int) -> None:
        """Takes steps, and checks the stack after each step."""
        for _ in range(steps):
            self._step()
            self._check()

    def _step(self) -> None:
        props: dict[str, Any] = {"trigger": str(self._random.randrange(4))}
        if self._random.random() < 0.3:
            props["wait_for_completion"] = cdk.Duration.minutes(30)
        if self._random.random() < 0.3:
            props["tags"] = {"step": str(self._random.randrange(3))}
        fault = None
        if self._random.random() < 0.5:
            fault = replace(self._random.choice(FAULTS))
            self.faults.inject(fault)
        if self._exists and self._random.random() < 0.05:
            self._history.append(f"destroy with {fault}")
            done = self.stack.destroy()
            self._hold(done.status == DELETED, f"destroying ended {done.status}")
            self._exists = False
        else:
            self._history.append(f"deploy {sorted(props)} {props['trigger']} {props.get('tags')} with {fault}")
            done = self.stack.deploy_template(self._template(props))
            self._hold(not done.status.endswith("FAILED"), f"the stack is stuck in {done.status}: {done.said}")
            self._exists = done.status != NOT_CREATED
        self.faults.clear()
        if done.status == NOT_CREATED:
            self.stack.destroy()

    def _template(self, props: dict[str, Any]) -> dict[str, Any]:
        key = f"{props['trigger']} {props.get('tags')} {'wait_for_completion' in props}"
        if key not in self._templates:
            version = seeded_arn(self.stack.aws, "ITEM_AFFINITY_VERSION")
            self._templates[key] = self.stack.template(
                lambda scope: add_job(scope, solution_version_arn=version, **props)
            )
        return self._templates[key]

    def _check(self) -> None:
        jobs = self.stack.aws.personalize.jobs
        if self._exists:
            ids = self.stack.resources_of(RESOURCE_TYPE)
            self._hold(len(ids) == 1 and ids[0] in jobs, f"the physical ID is no job: {ids}")
        # A definition is billed once for each stack, and again after each failure of its job.
        attempts: dict[str, list[Any]] = {}
        for arn in self.stack.jobs:
            attempts.setdefault(re.sub(r"-\d{1,2}$", "", arn), []).append(jobs[arn])
        for first, of_definition in attempts.items():
            billed = [job for job in of_definition if job.status != "CREATE FAILED" and job.fault is None]
            self._hold(len(billed) <= 1, f"{first} was billed {len(billed)} times")

    def _hold(self, condition: bool, failure: str) -> None:
        repeat = f"SOAK_SEED={self.seed}, part {self.part}, step {len(self._history)}"
        assert condition, f"{failure}; {repeat}, the last steps: {self._history[-5:]}"


@pytest.fixture
def soak(stack: RealStack, faults: Faults) -> Callable[[int, int], Soak]:
    """Creates a soak from a seed and a part."""
    return lambda seed, part: Soak(stack, faults, seed, part)


def test_every_invariant_holds_over_20_fixed_steps(soak: Callable[[int, int], Soak]) -> None:
    soak(FIXED_SEED, 0).run(20)


@pytest.mark.soak
@pytest.mark.parametrize("part", range(4))
def test_soak(soak: Callable[[int, int], Soak], part: int) -> None:
    soak(int(os.environ.get("SOAK_SEED") or random.randrange(10**6)), part).run(50)
