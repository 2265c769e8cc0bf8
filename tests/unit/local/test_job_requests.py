"""The local Personalize rejects invalid requests, and describes and tags resources.

Errors: https://docs.aws.amazon.com/personalize/latest/dg/API_CreateBatchSegmentJob.html. Their causes are documented
only in part: https://docs.aws.amazon.com/personalize/latest/dg/error-messages.html. The texts of messages are those of
the local Personalize.
"""

import threading
from typing import Any

import pytest
from personalize_local.gateway import LocalAws
from unit.local.job_fixture import JobFixture, create, rejected


def test_rejects_a_used_job_name(jobs: JobFixture) -> None:
    jobs.put('{"itemId": "1"}')
    job = jobs.run(jobName=f"taken-{jobs.role_name}")
    assert create(jobs, jobName=job["jobName"]) == (
        "ResourceAlreadyExistsException",
        f"Another resource with Arn {job['batchSegmentJobArn']} already exists.",
    )


def test_rejects_a_sixth_job_in_flight(jobs: JobFixture, local_aws: LocalAws, monkeypatch: pytest.MonkeyPatch) -> None:
    runner, may_run = local_aws.personalize.runner, threading.Event()
    run = runner.run
    monkeypatch.setattr(runner, "run", lambda *arguments: may_run.wait(60) and run(*arguments))
    jobs.put('{"itemId": "1"}')
    try:
        for _ in range(5):
            jobs.personalize.create_batch_segment_job(**jobs.request())
        code, message = create(jobs)
    finally:
        may_run.set()
    assert code == "LimitExceededException"
    assert "5 pending or in progress batch segment jobs" in message


@pytest.mark.parametrize("resource", ["films-item-affinity/9999", "films-item-affinity", "other/0001"])
def test_rejects_an_unknown_solution_version(jobs: JobFixture, resource: str) -> None:
    arn = f"{jobs.request()['solutionVersionArn'].rpartition('solution/')[0]}solution/{resource}"
    code, message = create(jobs, solutionVersionArn=arn)
    assert code == "ResourceNotFoundException"
    assert message.startswith(f"Solution version {arn} does not exist.")


@pytest.mark.parametrize(
    ("parameter", "seed", "message"),
    [
        (
            "solutionVersionArn",
            "PERSONALIZE_LOCAL_VERSION_IN_PROGRESS_ARN",
            "Solution version {} is CREATE IN_PROGRESS",
        ),
        ("filterArn", "PERSONALIZE_LOCAL_FILTER_IN_PROGRESS_ARN", "Filter {} is CREATE IN_PROGRESS"),
    ],
)
def test_rejects_a_solution_version_or_filter_in_progress(
    jobs: JobFixture, local_aws: LocalAws, parameter: str, seed: str, message: str
) -> None:
    arn = local_aws.environment()[seed]
    assert create(jobs, **{parameter: arn}) == ("ResourceInUseException", message.format(arn))


def test_rejects_more_than_50_tags(jobs: JobFixture) -> None:
    tags = [{"tagKey": str(number), "tagValue": ""} for number in range(51)]
    assert create(jobs, tags=tags)[0] == "TooManyTagsException"
    jobs.put('{"itemId": "1"}')
    arn = jobs.run(tags=tags[:50])["batchSegmentJobArn"]
    assert rejected(jobs.personalize.tag_resource, resourceArn=arn, tags=tags[50:])[0] == "TooManyTagsException"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"numResults": 0}, "numResults must be from 1 to 5000000, got 0"),
        ({"numResults": 5_000_001}, "numResults must be from 1 to 5000000, got 5000001"),
        ({"jobName": "a b"}, r"jobName: 'a b' does not match ^[a-zA-Z0-9][a-zA-Z0-9\-_]*"),
        ({"jobName": "a" * 64}, "jobName: got 64 characters, expected 1 to 63"),
        ({"tags": [{"tagKey": "a*", "tagValue": ""}]}, "tags[0].tagKey: 'a*' does not match"),
        ({"jobInput": {"s3DataSource": {"path": "bucket/key"}}}, "does not match (s3|http|https)://.+"),
        ({"roleArn": "arn:aws:iam::210987654321:role/other"}, "is in another account"),
        ({"roleArn": "arn:aws:iam::123456789012:role/none"}, "cannot be assumed: fix its trust policy"),
    ],
)
def test_rejects_invalid_parameters(jobs: JobFixture, changes: dict[str, Any], message: str) -> None:
    code, got = create(jobs, **changes)
    assert code == "InvalidInputException"
    assert message in got


def test_rejects_an_output_inside_the_input(jobs: JobFixture) -> None:
    code, message = create(
        jobs,
        jobInput={"s3DataSource": {"path": f"s3://{jobs.output}/out/"}},
        jobOutput={"s3DataDestination": {"path": f"s3://{jobs.output}/out/more/"}},
    )
    assert (code, "it must be a different location" in message) == ("InvalidInputException", True)


def test_rejects_a_recipe_of_another_type(jobs: JobFixture, local_aws: LocalAws) -> None:
    arn = local_aws.environment()["PERSONALIZE_LOCAL_USER_PERSONALIZATION_VERSION_ARN"]
    code, message = create(jobs, solutionVersionArn=arn)
    assert code == "InvalidInputException"
    assert message == f"The recipe aws-user-personalization of {arn} is not supported for batch segment jobs"


def test_sets_and_removes_tags(jobs: JobFixture) -> None:
    jobs.put('{"itemId": "1"}')
    arn = jobs.run()["batchSegmentJobArn"]
    tags = [{"tagKey": "a", "tagValue": "1"}, {"tagKey": "b", "tagValue": "2"}]
    jobs.personalize.tag_resource(resourceArn=arn, tags=tags)
    jobs.personalize.untag_resource(resourceArn=arn, tagKeys=["a"])
    assert jobs.personalize.list_tags_for_resource(resourceArn=arn)["tags"] == tags[1:]


def test_describes_solutions_filters_and_recipes(jobs: JobFixture, local_aws: LocalAws) -> None:
    environment = local_aws.environment()
    personalize = jobs.personalize
    solution = environment["PERSONALIZE_LOCAL_ITEM_AFFINITY_SOLUTION_ARN"]
    described = personalize.describe_solution(solutionArn=solution)["solution"]
    assert described["latestSolutionVersion"]["status"] == "CREATE IN_PROGRESS"
    versions = personalize.list_solution_versions(solutionArn=solution)["solutionVersions"]
    assert [version["status"] for version in versions] == ["ACTIVE", "ACTIVE", "CREATE IN_PROGRESS"]
    version = personalize.describe_solution_version(solutionVersionArn=versions[1]["solutionVersionArn"])
    recipe_arn = version["solutionVersion"]["recipeArn"]
    assert recipe_arn == "arn:aws:personalize:::recipe/aws-item-affinity"
    assert personalize.describe_recipe(recipeArn=recipe_arn)["recipe"]["recipeType"] == "USER_SEGMENTATION"
    filter_ = personalize.describe_filter(filterArn=environment["PERSONALIZE_LOCAL_FILTER_WITH_PLACEHOLDER_ARN"])
    assert filter_["filter"]["filterExpression"] == "INCLUDE UserID WHERE Users.COUNTRY IN ($COUNTRY)"


def test_lists_the_operations_if_one_is_not_implemented(jobs: JobFixture) -> None:
    code, message = rejected(jobs.personalize.list_campaigns)
    assert code == "NotImplementedException"
    assert message.startswith(
        "ListCampaigns is not part of the local Personalize, which supports CreateBatchSegmentJob, "
    )
