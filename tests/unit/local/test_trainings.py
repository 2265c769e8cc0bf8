"""New solution versions, and the record of jobs in flight for tests."""

from collections.abc import Callable
from typing import Any

from personalize_local.gateway import LocalAws
from support.local import wait_until
from unit.local.job_fixture import JobFixture, allow, rejected

SOLUTION = "films-item-affinity"


def test_a_training_adds_the_newest_version(jobs: JobFixture, local_aws: LocalAws, caller: Callable[..., Any]) -> None:
    solution = local_aws.environment()["PERSONALIZE_LOCAL_ITEM_AFFINITY_SOLUTION_ARN"]
    before = local_aws.personalize.catalog.versions
    try:
        first, second = local_aws.train(SOLUTION), local_aws.train(SOLUTION)
        described = [
            jobs.personalize.describe_solution_version(solutionVersionArn=arn)["solutionVersion"]
            for arn in (first, second)
        ]
        assert [version["status"] for version in described] == ["ACTIVE", "ACTIVE"]
        assert described[0]["creationDateTime"] < described[1]["creationDateTime"]
        assert described[0]["creationDateTime"].microsecond == 0
        listed = jobs.personalize.list_solution_versions(solutionArn=solution)["solutionVersions"]
        assert listed[-1]["solutionVersionArn"] == second
        assert listed[-1]["creationDateTime"] == described[1]["creationDateTime"]
        latest = jobs.personalize.describe_solution(solutionArn=solution)["solution"]["latestSolutionVersion"]
        assert latest["solutionVersionArn"] == second
        jobs.put('{"itemId": "1"}\n')
        assert jobs.run(solutionVersionArn=second)["status"] == "ACTIVE"
        trained = caller(allow(["personalize:CreateSolutionVersion"], solution)).create_solution_version(
            solutionArn=solution
        )
        assert trained["solutionVersionArn"] != second
        assert local_aws.train(SOLUTION, "CREATE IN_PROGRESS").endswith(f"/{SOLUTION}/0007")
    finally:
        local_aws.personalize.catalog.versions = before


def test_a_training_needs_permission(local_aws: LocalAws, caller: Callable[..., Any]) -> None:
    solution = local_aws.environment()["PERSONALIZE_LOCAL_ITEM_AFFINITY_SOLUTION_ARN"]
    create = caller(allow(["personalize:DescribeSolution"])).create_solution_version
    assert rejected(create, solutionArn=solution)[0] == "AccessDeniedException"


def test_shows_jobs_in_flight_and_refused_creates(jobs: JobFixture, local_aws: LocalAws) -> None:
    service = local_aws.personalize
    jobs.put('{"itemId": "1"}\n')
    before, refused = service.in_progress_seconds, service.refused_creates["LimitExceededException"]
    try:
        # Long enough for all creates on a slow machine.
        service.in_progress_seconds = 5
        for number in range(5):
            jobs.personalize.create_batch_segment_job(**jobs.request(jobName=f"{jobs.input}-{number}"))
        for _ in range(2):
            assert rejected(jobs.personalize.create_batch_segment_job, **jobs.request())[0] == "LimitExceededException"
    finally:
        service.in_progress_seconds = before
    assert service.max_in_flight == 5
    assert service.refused_creates["LimitExceededException"] == refused + 2
    found = service.jobs_named(f"{jobs.input}-")
    assert [job.request["jobName"] for job in found] == [f"{jobs.input}-{number}" for number in range(5)]
    wait_until(lambda: not any(job.in_flight for job in found))
