"""The local Personalize implements the documented contract of the service.

The documentation of the rules, besides the pages cited below:

* Jobs, statuses, the number of users: https://docs.aws.amazon.com/personalize/latest/dg/creating-batch-seg-job.html
* Quotas: https://docs.aws.amazon.com/personalize/latest/dg/limits.html
* Errors: https://docs.aws.amazon.com/personalize/latest/dg/API_CreateBatchSegmentJob.html

The texts of messages are those of the local Personalize. So is every rule that `Behavior` or the docstring of
`personalize_local.service` lists as assumed.
"""

import dataclasses
import json
import re
import threading
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError
from personalize_local.behavior import Behavior
from personalize_local.gateway import LocalAws
from support import wait_until
from unit.local.job_fixture import JobFixture

COMEDY = '{"itemAttributes": "ITEMS.GENRES = \\"Comedy\\""}'


def rejected(call: Callable[..., Any], **request: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as error:
        call(**request)
    return error.value.response["Error"]["Code"], error.value.response["Error"]["Message"]


def create(jobs: JobFixture, **changes: Any) -> tuple[str, str]:
    return rejected(jobs.personalize.create_batch_segment_job, **jobs.request(**changes))


# -- jobs that run
# Input: https://docs.aws.amazon.com/personalize/latest/dg/prepare-input-data-user-segment.html
# Output: https://docs.aws.amazon.com/personalize/latest/dg/batch-segment-job-output-examples.html
# The `error` of a record is documented only in a notebook:
# https://github.com/aws-samples/amazon-personalize-samples/blob/master/next_steps/core_use_cases/updating_datasets/update-item-dataset-schema-example.ipynb


def test_writes_segments_in_the_order_of_queries(jobs: JobFixture) -> None:
    jobs.put('{"itemId": "1"}\n{"itemId": "2"}\n')
    job = jobs.run(numResults=3)
    assert job["status"] == "ACTIVE"
    records = jobs.results()
    assert [record["input"] for record in records] == [{"itemId": "1"}, {"itemId": "2"}]
    assert [len(record["output"]["usersList"]) for record in records] == [3, 3]
    assert [record["error"] for record in records] == [None, None]


def test_accepts_item_attributes(jobs: JobFixture) -> None:
    jobs.put(COMEDY)
    jobs.run(recipe="item-attribute-affinity", numResults=7)
    (record,) = jobs.results()
    assert len(record["output"]["usersList"]) == 7


@pytest.mark.parametrize("genre", ["Komödie", 'The \\"New\\" Wave'])
def test_matches_values_with_quotes_and_umlauts(jobs: JobFixture, genre: str) -> None:
    jobs.put(json.dumps({"itemAttributes": f'ITEMS.GENRES = "{genre}"'}))
    jobs.run(recipe="item-attribute-affinity")
    (record,) = jobs.results()
    assert record["error"] is None
    assert len(record["output"]["usersList"]) == 25


def test_and_requires_both_conditions(jobs: JobFixture) -> None:
    jobs.put(f'{COMEDY}\n{{"itemAttributes": "ITEMS.GENRES = \\"Comedy\\" AND ITEMS.YEAR = \\"1801\\""}}')
    jobs.run(recipe="item-attribute-affinity")
    some, none = jobs.results()
    assert some["output"]["usersList"]
    assert none["output"]["usersList"] == []


def test_reads_all_files_with_the_prefix(jobs: JobFixture) -> None:
    jobs.put('{"itemId": "1"}', "in/a.jsonl")
    jobs.put('{"itemId": "2"}', "in/b.jsonl")
    jobs.put('{"itemId": "3"}', "elsewhere/c.jsonl")
    jobs.run()
    keys = [found["Key"] for found in jobs.s3.list_objects_v2(Bucket=jobs.output)["Contents"]]
    assert keys == ["out/_CHECK", "out/a.jsonl.out", "out/b.jsonl.out"]


def test_an_invalid_line_does_not_fail_the_job(jobs: JobFixture) -> None:
    jobs.put('{"itemId": "1"}\nnonsense\n{"itemId": "no such item"}\n{"itemAttributes": "x"}\n')
    assert jobs.run()["status"] == "ACTIVE"
    assert [record["error"] for record in jobs.results()] == [
        None,
        "the line is not JSON",
        "the item no such item is not in the data of the solution version",
        "the line has no itemId",
    ]


def test_a_filter_excludes_users(jobs: JobFixture, local_aws: LocalAws) -> None:
    jobs.put(
        '{"itemId": "1", "filterValues": {"COUNTRY": "\\"Japan\\""}}\n'
        '{"itemId": "1", "filterValues": {"COUNTRY": "\\"Japan\\",\\"France\\""}}\n{"itemId": "1"}\n'
    )
    arn = local_aws.environment()["PERSONALIZE_LOCAL_FILTER_WITH_PLACEHOLDER_ARN"]
    jobs.run(filterArn=arn, numResults=1000)
    one, two, none = jobs.results()
    assert 0 < len(one["output"]["usersList"]) < len(two["output"]["usersList"])
    assert none["error"] == "filterValues: no value for the placeholder COUNTRY"


def test_segments_are_the_same_in_every_run(jobs: JobFixture) -> None:
    jobs.put('{"itemId": "105"}')
    jobs.run(numResults=4)
    (record,) = jobs.results()
    assert record["output"]["usersList"] == ["user-207", "user-177", "user-246", "user-017"]


def test_changes_the_status_until_active(jobs: JobFixture, local_aws: LocalAws) -> None:
    jobs.put('{"itemId": "1"}')
    arn = jobs.personalize.create_batch_segment_job(**jobs.request())["batchSegmentJobArn"]
    seen: list[str] = []

    def is_active() -> bool:
        status = jobs.personalize.describe_batch_segment_job(batchSegmentJobArn=arn)["batchSegmentJob"]["status"]
        if status not in seen:
            seen.append(status)
        return bool(status == "ACTIVE")

    wait_until(is_active)
    assert seen == ["CREATE PENDING", "CREATE IN_PROGRESS", "ACTIVE"]


# -- jobs that fail
# The quotas are documented. The local Personalize assumes that exceeding them fails the job.


@pytest.mark.parametrize(
    ("recipe", "line", "quota"),
    [("item-affinity", '{"itemId": "1"}', 500), ("item-attribute-affinity", COMEDY, 10)],
)
def test_fails_a_job_with_a_file_above_the_quota(jobs: JobFixture, recipe: str, line: str, quota: int) -> None:
    jobs.put(f"{line}\n" * quota)
    assert jobs.run(recipe=recipe)["status"] == "ACTIVE"
    jobs.put(f"{line}\n" * (quota + 1))
    job = jobs.run(recipe=recipe)
    assert job["status"] == "CREATE FAILED"
    assert job["failureReason"] == (
        f"The file in/queries.jsonl has more than {quota} queries, the quota of aws-{recipe}"
    )


def test_fails_a_job_without_input(jobs: JobFixture) -> None:
    job = jobs.run()
    assert job["status"] == "CREATE FAILED"
    assert job["failureReason"] == f"No input files found at s3://{jobs.input}/in/"


# -- the six exceptions that CreateBatchSegmentJob declares
# Their causes are documented only in part: https://docs.aws.amazon.com/personalize/latest/dg/error-messages.html


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
        ({"jobName": "a" * 64}, "jobName: expected 1 to 63, got 64"),
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


# -- permissions of the service role and the bucket policies
# https://docs.aws.amazon.com/personalize/latest/dg/granting-personalize-s3-access.html
# https://docs.aws.amazon.com/personalize/latest/dg/cross-service-confused-deputy-prevention.html


@pytest.mark.parametrize("missing", range(4))
def test_requires_each_statement_of_the_service_role(jobs: JobFixture, missing: int) -> None:
    jobs.put('{"itemId": "1"}')
    jobs.allow_role([statement for index, statement in enumerate(jobs.statements()) if index != missing])
    assert_lacks_permission(jobs, f"role {jobs.role}")


@pytest.mark.parametrize("missing", range(4))
def test_requires_each_statement_of_the_bucket_policies(jobs: JobFixture, missing: int) -> None:
    jobs.put('{"itemId": "1"}')
    bucket = jobs.input if missing < 2 else jobs.output
    own = jobs.statements()[:2] if missing < 2 else jobs.statements()[2:]
    jobs.allow_service(bucket, [statement for statement in own if statement != jobs.statements()[missing]])
    assert_lacks_permission(jobs, f"fix bucket policy on {bucket}")


def assert_lacks_permission(jobs: JobFixture, hint: str) -> None:
    """Asserts that creating or running a job fails, depending on when the permission is checked."""
    try:
        created = jobs.personalize.create_batch_segment_job(**jobs.request())
    except ClientError as error:
        reason = error.response["Error"]["Message"]
    else:
        job = jobs.end(created["batchSegmentJobArn"])
        assert job["status"] == "CREATE FAILED"
        reason = job["failureReason"]
    assert hint in reason or "is not authorized to perform: s3:GetObject" in reason


@pytest.mark.parametrize(
    "condition",
    [
        {"StringEquals": {"aws:SourceAccount": "210987654321"}},
        {"ArnLike": {"aws:SourceArn": "arn:aws:personalize:us-east-1:123456789012:*"}},
    ],
)
def test_evaluates_the_conditions_of_the_trust_policy(jobs: JobFixture, condition: dict[str, Any]) -> None:
    jobs.put('{"itemId": "1"}')
    jobs.iam.update_assume_role_policy(RoleName=jobs.role_name, PolicyDocument=json.dumps(jobs.trust(**condition)))
    assert create(jobs)[1] == f"Role {jobs.role} cannot be assumed: fix its trust policy"


# -- permissions of the caller
# https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonpersonalize.html


@pytest.fixture
def caller(jobs: JobFixture, client: Callable[..., Any]) -> Callable[..., Any]:
    """Makes clients of a user with the given policy statements."""

    def make(*statements: dict[str, Any]) -> Any:
        name = f"user-{jobs.role_name}"
        jobs.iam.create_user(UserName=name)
        jobs.iam.put_user_policy(
            UserName=name,
            PolicyName="own",
            PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": list(statements)}),
        )
        key = jobs.iam.create_access_key(UserName=name)["AccessKey"]
        return client("personalize", aws_access_key_id=key["AccessKeyId"], aws_secret_access_key=key["SecretAccessKey"])

    return make


def allow(actions: list[str], resource: str = "*", **conditions: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": actions, "Resource": resource, "Condition": conditions}


CREATE = allow(["personalize:CreateBatchSegmentJob"])
# A condition operator with a colon cannot be a keyword argument.
TAG_ONLY_X = allow(["personalize:TagResource"]) | {"Condition": {"ForAllValues:StringEquals": {"aws:TagKeys": ["x"]}}}
PASS = allow(["iam:PassRole"], StringEquals={"iam:PassedToService": "personalize.amazonaws.com"})


@pytest.mark.parametrize(
    ("statements", "tags", "missing"),
    [
        ([PASS], [], "personalize:CreateBatchSegmentJob"),
        ([CREATE], [], "iam:PassRole"),
        (
            [CREATE, allow(["iam:PassRole"], StringEquals={"iam:PassedToService": "sagemaker.amazonaws.com"})],
            [],
            "iam:PassRole",
        ),
        ([CREATE, PASS], [{"tagKey": "a", "tagValue": "b"}], "personalize:TagResource"),
        (
            [CREATE, PASS, TAG_ONLY_X],
            [{"tagKey": "a", "tagValue": "b"}],
            "personalize:TagResource",
        ),
        (
            [allow(["personalize:CreateBatchSegmentJob"], "arn:aws:personalize:*:*:batch-segment-job/other-*"), PASS],
            [],
            "personalize:CreateBatchSegmentJob",
        ),
    ],
)
def test_denies_a_caller_without_permission_and_names_it(
    jobs: JobFixture,
    caller: Callable[..., Any],
    statements: list[dict[str, Any]],
    tags: list[dict[str, str]],
    missing: str,
) -> None:
    request = jobs.request() | ({"tags": tags} if tags else {})
    code, message = rejected(caller(*statements).create_batch_segment_job, **request)
    assert code == "AccessDeniedException"
    assert f"is not authorized to perform: {missing} on resource: " in message


def test_allows_a_caller_with_permissions(jobs: JobFixture, caller: Callable[..., Any]) -> None:
    jobs.put('{"itemId": "1"}')
    personalize = caller(CREATE, PASS, allow(["personalize:TagResource", "personalize:ListTagsForResource"]))
    arn = personalize.create_batch_segment_job(**jobs.request(tags=[{"tagKey": "a", "tagValue": "b"}]))
    tags = personalize.list_tags_for_resource(resourceArn=arn["batchSegmentJobArn"])["tags"]
    assert tags == [{"tagKey": "a", "tagValue": "b"}]


@pytest.mark.parametrize(
    ("operation", "parameters"),
    [
        ("describe_batch_segment_job", {"batchSegmentJobArn": "batch-segment-job/x"}),
        ("describe_solution", {"solutionArn": "solution/films-item-affinity"}),
        ("describe_solution_version", {"solutionVersionArn": "solution/films-item-affinity/0001"}),
        ("list_solution_versions", {"solutionArn": "solution/films-item-affinity"}),
        ("describe_filter", {"filterArn": "filter/adults"}),
        ("untag_resource", {"resourceArn": "batch-segment-job/x", "tagKeys": ["a"]}),
        ("list_tags_for_resource", {"resourceArn": "batch-segment-job/x"}),
    ],
)
def test_authorizes_every_operation(
    jobs: JobFixture, caller: Callable[..., Any], operation: str, parameters: dict[str, Any]
) -> None:
    arn_prefix = f"arn:aws:personalize:{jobs.aws.region}:{jobs.aws.account}:"
    given = {key: arn_prefix + value if isinstance(value, str) else value for key, value in parameters.items()}
    assert rejected(getattr(caller(CREATE), operation), **given)[0] == "AccessDeniedException"


def test_rejects_a_wrong_signature(jobs: JobFixture, client: Callable[..., Any]) -> None:
    jobs.iam.create_user(UserName=jobs.role_name)
    key = jobs.iam.create_access_key(UserName=jobs.role_name)["AccessKey"]["AccessKeyId"]
    personalize = client("personalize", aws_access_key_id=key, aws_secret_access_key="wrong")
    assert rejected(personalize.list_batch_segment_jobs)[0] == "SignatureDoesNotMatch"


# -- other operations


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
    assert message.startswith("ListCampaigns is not part of the local Personalize, which has CreateBatchSegmentJob, ")


# -- queries on columns


@pytest.mark.parametrize(
    "expression",
    [
        'ITEMS.GENRE = "Drama"',
        'ITEMS.YEAR = "1801" AND ITEMS.GENRE = "Drama"',
        'ITEMS.GENRES = "Drama" AND ITEMS.GENRE = "Drama"',
    ],
)
def test_reports_an_unknown_column_in_the_record(jobs: JobFixture, expression: str) -> None:
    jobs.put(f"{json.dumps({'itemAttributes': expression})}\n{COMEDY}")
    assert jobs.run(recipe="item-attribute-affinity")["status"] == "ACTIVE"
    wrong, right = jobs.results()
    assert wrong == {
        "input": {"itemAttributes": expression},
        "output": None,
        "error": "the column GENRE is not in the Items data set, which has GENRES, YEAR, TITLE; column names are case "
        "sensitive",
    }
    assert (right["error"], len(right["output"]["usersList"])) == (None, 25)


def test_column_names_are_case_sensitive(jobs: JobFixture) -> None:
    jobs.put(json.dumps({"itemAttributes": 'ITEMS.genres = "Comedy"'}))
    jobs.run(recipe="item-attribute-affinity")
    (record,) = jobs.results()
    assert record["error"].startswith("the column genres is not in the Items data set, which has GENRES, ")


# -- alternatives for unpublished answers


@pytest.fixture
def behave(local_aws: LocalAws, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Changes unpublished answers until the test ends."""

    def change(**changes: Any) -> None:
        behavior = dataclasses.replace(local_aws.personalize.behavior, **changes)
        monkeypatch.setattr(local_aws.personalize, "behavior", behavior)

    return change


def test_documents_every_behavior() -> None:
    documented = re.findall(r"^        (\w+): ", Behavior.__doc__ or "", re.M)
    assert documented == [field.name for field in dataclasses.fields(Behavior)]
    assert Behavior() == Behavior()


@pytest.mark.parametrize("code", ["ResourceNotFoundException", "InvalidInputException"])
def test_answers_an_unknown_job_with_either_error(jobs: JobFixture, behave: Callable[..., None], code: str) -> None:
    behave(unknown_job_error=code)
    arn = f"arn:aws:personalize:{jobs.aws.region}:{jobs.aws.account}:batch-segment-job/none"
    assert rejected(jobs.personalize.describe_batch_segment_job, batchSegmentJobArn=arn) == (
        code,
        f"Batch segment job {arn} does not exist.",
    )


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, {"numResults": 25}),
        ({"echoes_default_results": False}, {"numResults": None}),
        ({"default_results": 3}, {"numResults": 3}),
        ({"echoes_absent_arns": True}, {"numResults": 25, "filterArn": ""}),
    ],
)
def test_descriptions_show_or_omit_defaults(
    jobs: JobFixture, behave: Callable[..., None], changes: dict[str, Any], expected: dict[str, Any]
) -> None:
    behave(**changes)
    jobs.put('{"itemId": "1"}')
    job = jobs.run()
    assert {key: job.get(key) for key in expected} == expected
    assert ("filterArn" in job) == ("filterArn" in expected)
    for location in (job["jobInput"]["s3DataSource"], job["jobOutput"]["s3DataDestination"]):
        assert location.get("kmsKeyArn") == expected.get("filterArn")
    (record,) = jobs.results()
    assert len(record["output"]["usersList"]) == changes.get("default_results", 25)


@pytest.mark.parametrize(("echoes", "end"), [(True, "/"), (False, "")])
def test_descriptions_keep_or_drop_the_trailing_slash(
    jobs: JobFixture, behave: Callable[..., None], echoes: bool, end: str
) -> None:
    behave(echoes_trailing_slash=echoes)
    jobs.put('{"itemId": "1"}')
    job = jobs.run()
    assert job["jobInput"]["s3DataSource"]["path"] == f"s3://{jobs.input}/in{end}"
    assert job["jobOutput"]["s3DataDestination"]["path"] == f"s3://{jobs.output}/out{end}"


def test_can_show_documented_statuses(jobs: JobFixture, behave: Callable[..., None], local_aws: LocalAws) -> None:
    behave(statuses="documented")
    jobs.put('{"itemId": "1"}')
    arn = jobs.personalize.create_batch_segment_job(**jobs.request())["batchSegmentJobArn"]
    seen: list[str] = []

    def is_active() -> bool:
        status = jobs.personalize.describe_batch_segment_job(batchSegmentJobArn=arn)["batchSegmentJob"]["status"]
        seen.extend({status} - set(seen))
        return bool(status == "ACTIVE")

    wait_until(is_active)
    assert seen == ["PENDING", "IN PROGRESS", "ACTIVE"]
    version = local_aws.environment()["PERSONALIZE_LOCAL_VERSION_IN_PROGRESS_ARN"]
    described = jobs.personalize.describe_solution_version(solutionVersionArn=version)["solutionVersion"]
    assert described["status"] == "IN PROGRESS"


@pytest.mark.parametrize(
    ("when", "created", "ended"),
    [
        ("created", ["out/_CHECK"], ["out/_CHECK", "out/queries.jsonl.out"]),
        ("running", [], ["out/_CHECK", "out/queries.jsonl.out"]),
        ("never", [], ["out/queries.jsonl.out"]),
    ],
)
def test_writes_the_check_object_in_either_phase_or_never(
    jobs: JobFixture,
    behave: Callable[..., None],
    local_aws: LocalAws,
    monkeypatch: pytest.MonkeyPatch,
    when: str,
    created: list[str],
    ended: list[str],
) -> None:
    behave(check_object=when)
    monkeypatch.setattr(local_aws.personalize, "pending_seconds", 0.5)
    jobs.put('{"itemId": "1"}')

    def keys() -> list[str]:
        return [found["Key"] for found in jobs.s3.list_objects_v2(Bucket=jobs.output).get("Contents", [])]

    arn = jobs.personalize.create_batch_segment_job(**jobs.request())["batchSegmentJobArn"]
    assert keys() == created
    assert jobs.end(arn)["status"] == "ACTIVE"
    assert keys() == ended


def test_can_write_segments_in_the_documented_format(jobs: JobFixture, behave: Callable[..., None]) -> None:
    behave(output_format="documented")
    jobs.put('{"itemId": "1"}\n{"itemId": "none"}')
    jobs.run(numResults=1)
    assert jobs.results() == [
        {"input": {"itemId": "1"}, "output": {"recommendedUsers": ["user-270"]}},
        {"input": {"itemId": "none"}, "output": {"recommendedUsers": []}},
    ]
    jobs.put(COMEDY)
    jobs.run(recipe="item-attribute-affinity", numResults=1)
    (record,) = jobs.results()
    assert record == {**json.loads(COMEDY), "output": {"recommendedUsers": record["output"]["recommendedUsers"]}}
    assert len(record["output"]["recommendedUsers"]) == 1


@pytest.mark.parametrize("missing", range(4))
def test_can_check_access_while_the_job_runs(jobs: JobFixture, behave: Callable[..., None], missing: int) -> None:
    behave(checks_access="running", check_object="running")
    jobs.put('{"itemId": "1"}')
    assert jobs.run()["status"] == "ACTIVE"
    jobs.allow_role([statement for index, statement in enumerate(jobs.statements()) if index != missing])
    job = jobs.run()
    assert job["status"] == "CREATE FAILED"
    action, _ = jobs.statements()[missing]
    assert action in job["failureReason"]


def test_can_check_the_trust_policy_while_the_job_runs(jobs: JobFixture, behave: Callable[..., None]) -> None:
    behave(checks_access="running", check_object="running")
    jobs.put('{"itemId": "1"}')
    trust = jobs.trust(StringEquals={"aws:SourceAccount": "210987654321"})
    jobs.iam.update_assume_role_policy(RoleName=jobs.role_name, PolicyDocument=json.dumps(trust))
    job = jobs.run()
    assert (job["status"], job["failureReason"]) == (
        "CREATE FAILED",
        f"Role {jobs.role} cannot be assumed: fix its trust policy",
    )


@pytest.mark.parametrize(("lists", "expected"), [(True, "s3:ListBucket"), (False, None)])
def test_can_require_listing_the_output(
    jobs: JobFixture, behave: Callable[..., None], lists: bool, expected: str | None
) -> None:
    behave(lists_output=lists)
    jobs.put('{"itemId": "1"}')
    without = [statement for index, statement in enumerate(jobs.statements()) if index != 2]
    jobs.allow_role(without)
    jobs.allow_service(jobs.output, without[2:])
    if expected is None:
        assert jobs.run()["status"] == "ACTIVE"
    else:
        code, message = create(jobs)
        assert (code, expected in message) == ("InvalidInputException", True)


SOURCE = {"StringEquals": {"aws:SourceAccount": "123456789012"}}
SOURCE_IF_EXISTS = {"StringEqualsIfExists": {"aws:SourceAccount": "123456789012"}}
OTHER_SOURCE_IF_EXISTS = {"StringEqualsIfExists": {"aws:SourceAccount": "210987654321"}}


@pytest.mark.parametrize(
    ("sends", "condition", "allowed"),
    [
        (True, SOURCE, True),
        (False, SOURCE, False),
        (True, SOURCE_IF_EXISTS, True),
        (False, SOURCE_IF_EXISTS, True),
        (True, OTHER_SOURCE_IF_EXISTS, False),
        (False, OTHER_SOURCE_IF_EXISTS, True),
    ],
)
def test_can_omit_the_source_of_requests_to_s3(
    jobs: JobFixture, behave: Callable[..., None], sends: bool, condition: dict[str, Any], allowed: bool
) -> None:
    behave(sends_source=sends)
    jobs.put('{"itemId": "1"}')
    document = [
        {
            "Effect": "Allow",
            "Principal": {"Service": "personalize.amazonaws.com"},
            "Action": action,
            "Resource": arn,
            "Condition": condition,
        }
        for action, arn in jobs.statements()[:2]
    ]
    policy = json.dumps({"Version": "2012-10-17", "Statement": document})
    jobs.s3.put_bucket_policy(Bucket=jobs.input, Policy=policy)
    if allowed:
        assert jobs.run()["status"] == "ACTIVE"
    else:
        code, message = create(jobs)
        assert (code, f"fix bucket policy on {jobs.input}" in message) == ("InvalidInputException", True)


@pytest.mark.parametrize(
    ("parameter", "seed"),
    [
        ("solutionVersionArn", "PERSONALIZE_LOCAL_VERSION_IN_PROGRESS_ARN"),
        ("filterArn", "PERSONALIZE_LOCAL_FILTER_IN_PROGRESS_ARN"),
    ],
)
def test_can_reject_an_unready_resource_as_invalid_input(
    jobs: JobFixture, behave: Callable[..., None], local_aws: LocalAws, parameter: str, seed: str
) -> None:
    behave(unready_error="InvalidInputException")
    arn = local_aws.environment()[seed]
    code, message = create(jobs, **{parameter: arn})
    assert (code, message.endswith(f"{arn} is CREATE IN_PROGRESS")) == ("InvalidInputException", True)


@pytest.mark.parametrize("needed", [False, True])
def test_can_authorize_the_solution_version(
    jobs: JobFixture, behave: Callable[..., None], caller: Callable[..., Any], needed: bool
) -> None:
    behave(authorizes_solution_version=needed)
    jobs.put('{"itemId": "1"}')
    only_on_jobs = allow(["personalize:CreateBatchSegmentJob"], "arn:aws:personalize:*:*:batch-segment-job/*")
    personalize = caller(only_on_jobs, PASS)
    if needed:
        code, message = rejected(personalize.create_batch_segment_job, **jobs.request())
        assert code == "AccessDeniedException"
        assert message.partition(" on resource: ")[2].startswith(jobs.request()["solutionVersionArn"])
    else:
        assert personalize.create_batch_segment_job(**jobs.request())["batchSegmentJobArn"]


@pytest.mark.parametrize("when", ["with tags", "always"])
def test_can_authorize_tagging_without_tags(
    jobs: JobFixture, behave: Callable[..., None], caller: Callable[..., Any], when: str
) -> None:
    behave(authorizes_tagging=when)
    jobs.put('{"itemId": "1"}')
    personalize = caller(CREATE, PASS)
    if when == "always":
        code, message = rejected(personalize.create_batch_segment_job, **jobs.request())
        assert (code, "perform: personalize:TagResource on" in message) == ("AccessDeniedException", True)
    else:
        assert personalize.create_batch_segment_job(**jobs.request())["batchSegmentJobArn"]


def test_can_reject_an_output_without_a_trailing_slash(jobs: JobFixture, behave: Callable[..., None]) -> None:
    jobs.put('{"itemId": "1"}')
    output = {"s3DataDestination": {"path": f"s3://{jobs.output}/out"}}
    assert jobs.run(jobOutput=output)["status"] == "ACTIVE"
    behave(refuses_output_without_slash=True)
    assert create(jobs, jobOutput=output) == (
        "InvalidInputException",
        f"Invalid S3 output path s3://{jobs.output}/out: it must end with /",
    )
    assert jobs.run()["status"] == "ACTIVE"
