"""The cost of changes to a platform with shared storage, a nested stack and a reader in other stacks."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import aws_cdk as cdk
import aws_cdk.aws_events_targets as targets
import aws_cdk.aws_kms as kms
import aws_cdk.aws_lambda as lambda_
import pytest
from cdk_personalize_segments import BatchSegmentInput, BatchSegmentJob, BatchSegmentStorage, SegmentQuery
from personalize_local.gateway import LocalAws
from support.constants import CREATED, DELETED, ROLLED_BACK, UPDATED
from support.local import Clients, seeded_arn
from support.stacks import Outcome, RealStage, add_failing_resource

pytestmark = pytest.mark.slow

READER = "def handler(event, context): print(event)"


@dataclass(frozen=True)
class Job:
    """A job as the app defines it: the year of its only query, and further arguments."""

    year: str = "1999"
    props: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Platform:
    """The definition of a platform team's app at one time.

    Attributes:
        version: The solution version.
        jobs: The jobs of the segments stack by construct ID.
        nested: The job of the nested stack.
        tags: The tags of the stage.
        fails: Whether the segments stack has a resource that fails after the jobs are created.
    """

    version: str
    jobs: Mapping[str, Job] = field(default_factory=lambda: {"Comedy": Job(), "Drama": Job()})
    nested: Job = field(default_factory=Job)
    tags: Mapping[str, str] = field(default_factory=dict)
    fails: bool = False

    def __call__(self, stage: cdk.Stage) -> None:
        """Adds the stacks to the stage."""
        data = cdk.Stack(stage, "Data")
        storage = BatchSegmentStorage(data, "Storage", encryption_key=kms.Key(data, "Key"))
        segments = cdk.Stack(stage, "Segments")
        nested = cdk.NestedStack(segments, "Nested")
        jobs = [self._job(segments, id, job, storage) for id, job in self.jobs.items()]
        jobs.append(self._job(nested, "Romance", self.nested, storage))
        BatchSegmentJob.limit_concurrency(jobs, 2)
        readers = cdk.Stack(stage, "Readers")
        runtime, code = lambda_.Runtime.PYTHON_3_14, lambda_.Code.from_inline(READER)
        function = lambda_.Function(readers, "Reader", runtime=runtime, handler="index.handler", code=code)
        storage.grant_read_segments(function)
        storage.on_segments_written("Written", scope=readers, target=targets.LambdaFunction(function))
        for key, value in self.tags.items():
            cdk.Tags.of(stage).add(key, value)
        if self.fails:
            add_failing_resource(segments, *jobs)

    def _job(self, scope: cdk.Stack, id: str, job: Job, storage: BatchSegmentStorage) -> BatchSegmentJob:
        return BatchSegmentJob(
            scope,
            id,
            storage=storage,
            solution_version_arn=self.version,
            job_input=BatchSegmentInput.from_queries([SegmentQuery.where(GENRES="Comedy", YEAR=job.year)]),
            wait_for_completion=cdk.Duration.minutes(30),
            **job.props,
        )


@pytest.fixture
def platform(aws: LocalAws) -> Platform:
    return Platform(seeded_arn(aws, "ITEM_ATTRIBUTE_AFFINITY_VERSION"))


@pytest.fixture
def stage(aws: LocalAws, client: Clients, request: pytest.FixtureRequest) -> RealStage:
    digest = hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:6]
    return RealStage(aws, client, f"T{digest}")


@pytest.fixture
def deployed(stage: RealStage, platform: Platform) -> Platform:
    """The deployed platform: two jobs in the segments stack and one in the nested stack."""
    assert statuses(stage.deploy(platform)) == {CREATED}
    assert len(stage.jobs) == 3
    return platform


def statuses(outcomes: Mapping[str, Outcome]) -> set[str]:
    return {outcome.status for outcome in outcomes.values()}


@pytest.fixture
def billed(stage: RealStage) -> Callable[[Platform], list[str]]:
    """Deploys a change that must succeed. Returns the names of the new jobs without the stack's part."""

    def billed(change: Platform) -> list[str]:
        before = stage.jobs
        outcomes = stage.deploy(change)
        assert statuses(outcomes) <= {CREATED, UPDATED}, [outcome.said for outcome in outcomes.values()]
        assert set(outcomes) == {"Data", "Segments", "Readers"}
        return [arn.split("/")[1].split("-")[2] for arn in stage.jobs if arn not in before]

    return billed


def with_jobs(platform: Platform, **jobs: Job) -> Platform:
    return replace(platform, jobs={**platform.jobs, **jobs})


def test_a_deployment_without_a_change_starts_no_job(
    deployed: Platform, billed: Callable[[Platform], list[str]]
) -> None:
    assert billed(deployed) == []


def test_a_changed_year_in_a_query_starts_one_job(deployed: Platform, billed: Callable[[Platform], list[str]]) -> None:
    assert billed(with_jobs(deployed, Drama=Job("2001"))) == ["Drama"]
    # Changed back: the first job is adopted.
    assert billed(deployed) == []


def test_a_changed_num_results_in_a_nested_stack_starts_one_job(
    deployed: Platform, billed: Callable[[Platform], list[str]], stage: RealStage, aws: LocalAws
) -> None:
    assert billed(replace(deployed, nested=Job(props={"num_results": 7}))) == ["Romance"]
    assert aws.personalize.jobs[stage.jobs[-1]].request["numResults"] == 7


def test_a_tag_of_the_stage_reaches_every_job_and_starts_none(
    deployed: Platform, billed: Callable[[Platform], list[str]], stage: RealStage, aws: LocalAws
) -> None:
    assert billed(replace(deployed, tags={"team": "growth"})) == []
    assert [aws.personalize.jobs[arn].tags for arn in stage.jobs] == [{"team": "growth"}] * 3


def test_an_added_job_starts_and_a_removed_job_starts_nothing(
    deployed: Platform, billed: Callable[[Platform], list[str]]
) -> None:
    assert billed(with_jobs(deployed, Action=Job())) == ["Action"]
    assert billed(deployed) == []


def test_a_rename_starts_a_job(deployed: Platform, billed: Callable[[Platform], list[str]]) -> None:
    assert billed(replace(deployed, jobs={"Comedy": Job(), "Tragedy": Job()})) == ["Tragedy"]


def test_a_rename_with_the_old_path_as_identity_starts_no_job(
    deployed: Platform, billed: Callable[[Platform], list[str]]
) -> None:
    renamed = Job(props={"identity": "Drama"})
    assert billed(replace(deployed, jobs={"Comedy": Job(), "Tragedy": renamed})) == []
    # Renamed again with the same identity.
    assert billed(replace(deployed, jobs={"Comedy": Job(), "Catastrophe": renamed})) == []


def test_the_deployment_after_a_rollback_adopts_every_job(
    deployed: Platform, billed: Callable[[Platform], list[str]], stage: RealStage
) -> None:
    change = replace(with_jobs(deployed, Drama=Job("2001")), nested=Job(props={"num_results": 7}))
    outcomes = stage.deploy(replace(change, fails=True))
    assert outcomes["Segments"].status == ROLLED_BACK
    assert len(stage.jobs) == 5
    assert billed(change) == []


def test_destroyed_jobs_start_again_when_redeployed(
    deployed: Platform, billed: Callable[[Platform], list[str]], stage: RealStage
) -> None:
    for name in ("Readers", "Segments"):
        gone = stage.stacks[f"{stage.name}-{name}"].destroy()
        assert gone.status == DELETED, gone.said
    assert len(stage.jobs) == 3
    assert sorted(billed(deployed)) == ["Comedy", "Drama", "Romance"]
