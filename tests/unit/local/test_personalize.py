import dataclasses
import json
import re
import threading

import pytest
from botocore.exceptions import ClientError
from personalize_local.behavior import Behavior
from support import wait_until

COMEDY = '{"itemAttributes": "ITEMS.GENRES = \\"Comedy\\""}'


def refused(call, **request) -> tuple[str, str]:
    with pytest.raises(ClientError) as error:
        call(**request)
    return error.value.response["Error"]["Code"], error.value.response["Error"]["Message"]


def create(place, **changes) -> tuple[str, str]:
    return refused(place.personalize.create_batch_segment_job, **place.request(**changes))


# -- jobs that run


def test_a_job_writes_users_for_every_query_in_order(place):
    place.put('{"itemId": "1"}\n{"itemId": "2"}\n')
    job = place.run(numResults=3)
    assert job["status"] == "ACTIVE"
    records = place.results()
    assert [record["input"] for record in records] == [{"itemId": "1"}, {"itemId": "2"}]
    assert [len(record["output"]["usersList"]) for record in records] == [3, 3]
    assert [record["error"] for record in records] == [None, None]


def test_a_job_takes_attributes(place):
    place.put(COMEDY)
    place.run(recipe="item-attribute-affinity", numResults=7)
    (record,) = place.results()
    assert len(record["output"]["usersList"]) == 7


@pytest.mark.parametrize("genre", ["Komödie", 'The \\"New\\" Wave'])
def test_values_with_quotes_and_other_letters_are_found(place, genre):
    place.put(json.dumps({"itemAttributes": f'ITEMS.GENRES = "{genre}"'}))
    place.run(recipe="item-attribute-affinity")
    (record,) = place.results()
    assert record["error"] is None
    assert len(record["output"]["usersList"]) == 25


def test_both_conditions_have_to_hold(place):
    place.put(f'{COMEDY}\n{{"itemAttributes": "ITEMS.GENRES = \\"Comedy\\" AND ITEMS.YEAR = \\"1801\\""}}')
    place.run(recipe="item-attribute-affinity")
    some, none = place.results()
    assert some["output"]["usersList"]
    assert none["output"]["usersList"] == []


def test_all_files_under_the_prefix_are_input_and_each_has_an_output(place):
    place.put('{"itemId": "1"}', "in/a.jsonl")
    place.put('{"itemId": "2"}', "in/b.jsonl")
    place.put('{"itemId": "3"}', "elsewhere/c.jsonl")
    place.run()
    keys = [found["Key"] for found in place.s3.list_objects_v2(Bucket=place.output)["Contents"]]
    assert keys == ["out/_CHECK", "out/a.jsonl.out", "out/b.jsonl.out"]


def test_a_bad_line_is_that_lines_error_and_the_job_is_active_all_the_same(place):
    place.put('{"itemId": "1"}\nnonsense\n{"itemId": "no such item"}\n{"itemAttributes": "x"}\n')
    assert place.run()["status"] == "ACTIVE"
    assert [record["error"] for record in place.results()] == [
        None,
        "the line is not JSON",
        "the item no such item is not in the data of the solution version",
        "the line has no itemId",
    ]


def test_a_filter_leaves_users_out(place, local_aws):
    place.put(
        '{"itemId": "1", "filterValues": {"COUNTRY": "\\"Japan\\""}}\n'
        '{"itemId": "1", "filterValues": {"COUNTRY": "\\"Japan\\",\\"France\\""}}\n{"itemId": "1"}\n'
    )
    arn = local_aws.environment()["PERSONALIZE_LOCAL_FILTER_WITH_PLACEHOLDER_ARN"]
    place.run(filterArn=arn, numResults=1000)
    one, two, none = place.results()
    assert 0 < len(one["output"]["usersList"]) < len(two["output"]["usersList"])
    assert none["error"] == "filterValues: no value for the placeholder COUNTRY"


def test_users_are_the_same_in_every_run(place):
    place.put('{"itemId": "105"}')
    place.run(numResults=4)
    (record,) = place.results()
    assert record["output"]["usersList"] == ["user-207", "user-177", "user-246", "user-017"]


def test_a_job_goes_through_its_statuses(place, local_aws):
    place.put('{"itemId": "1"}')
    arn = place.personalize.create_batch_segment_job(**place.request())["batchSegmentJobArn"]
    seen: list[str] = []

    def is_active() -> bool:
        status = place.personalize.describe_batch_segment_job(batchSegmentJobArn=arn)["batchSegmentJob"]["status"]
        if status not in seen:
            seen.append(status)
        return status == "ACTIVE"

    wait_until(is_active)
    assert seen == ["CREATE PENDING", "CREATE IN_PROGRESS", "ACTIVE"]


# -- jobs that fail


@pytest.mark.parametrize(
    ("recipe", "line", "quota"),
    [("item-affinity", '{"itemId": "1"}', 500), ("item-attribute-affinity", COMEDY, 10)],
)
def test_a_file_with_more_queries_than_the_quota_fails_the_job(place, recipe, line, quota):
    place.put(f"{line}\n" * quota)
    assert place.run(recipe=recipe)["status"] == "ACTIVE"
    place.put(f"{line}\n" * (quota + 1))
    job = place.run(recipe=recipe)
    assert job["status"] == "CREATE FAILED"
    assert job["failureReason"] == (
        f"The file in/queries.jsonl has more than {quota} queries, the quota of aws-{recipe}"
    )


def test_no_input_fails_the_job(place):
    job = place.run()
    assert job["status"] == "CREATE FAILED"
    assert job["failureReason"] == f"No input files found at s3://{place.input}/in/"


# -- the six exceptions, each for its cause


def test_a_name_is_taken_for_ever(place):
    place.put('{"itemId": "1"}')
    job = place.run(jobName=f"taken-{place.role_name}")
    assert create(place, jobName=job["jobName"]) == (
        "ResourceAlreadyExistsException",
        f"Another resource with Arn {job['batchSegmentJobArn']} already exists.",
    )


def test_five_jobs_run_at_once(place, local_aws, monkeypatch):
    runner, may_run = local_aws.personalize.runner, threading.Event()
    run = runner.run
    monkeypatch.setattr(runner, "run", lambda *arguments: may_run.wait(60) and run(*arguments))
    place.put('{"itemId": "1"}')
    try:
        for _ in range(5):
            place.personalize.create_batch_segment_job(**place.request())
        code, message = create(place)
    finally:
        may_run.set()
    assert code == "LimitExceededException"
    assert "5 pending or in progress batch segment jobs" in message


@pytest.mark.parametrize("what", ["films-item-affinity/9999", "films-item-affinity", "other/0001"])
def test_an_unknown_solution_version_is_not_found(place, what):
    arn = f"{place.request()['solutionVersionArn'].rpartition('solution/')[0]}solution/{what}"
    code, message = create(place, solutionVersionArn=arn)
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
def test_what_is_still_being_made_is_in_use(place, local_aws, parameter, seed, message):
    arn = local_aws.environment()[seed]
    assert create(place, **{parameter: arn}) == ("ResourceInUseException", message.format(arn))


def test_more_than_fifty_tags_are_too_many(place):
    tags = [{"tagKey": str(number), "tagValue": ""} for number in range(51)]
    assert create(place, tags=tags)[0] == "TooManyTagsException"
    place.put('{"itemId": "1"}')
    arn = place.run(tags=tags[:50])["batchSegmentJobArn"]
    assert refused(place.personalize.tag_resource, resourceArn=arn, tags=tags[50:])[0] == "TooManyTagsException"


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
def test_what_is_not_as_the_model_or_the_guide_says_is_invalid(place, changes, message):
    code, got = create(place, **changes)
    assert code == "InvalidInputException"
    assert message in got


def test_an_output_inside_the_input_is_invalid(place):
    code, message = create(
        place,
        jobInput={"s3DataSource": {"path": f"s3://{place.output}/out/"}},
        jobOutput={"s3DataDestination": {"path": f"s3://{place.output}/out/more/"}},
    )
    assert (code, "it must be a different location" in message) == ("InvalidInputException", True)


def test_a_recipe_that_makes_no_segments_is_invalid(place, local_aws):
    arn = local_aws.environment()["PERSONALIZE_LOCAL_USER_PERSONALIZATION_VERSION_ARN"]
    code, message = create(place, solutionVersionArn=arn)
    assert code == "InvalidInputException"
    assert message == f"The recipe aws-user-personalization of {arn} is not supported for batch segment jobs"


# -- the service's own permissions


@pytest.mark.parametrize("missing", range(4))
def test_each_statement_of_the_role_is_needed(place, missing):
    place.put('{"itemId": "1"}')
    place.allow_role([statement for index, statement in enumerate(place.statements()) if index != missing])
    assert_does_not_run(place, f"role {place.role}")


@pytest.mark.parametrize("missing", range(4))
def test_each_statement_of_the_bucket_policies_is_needed(place, missing):
    place.put('{"itemId": "1"}')
    bucket = place.input if missing < 2 else place.output
    own = place.statements()[:2] if missing < 2 else place.statements()[2:]
    place.allow_service(bucket, [statement for statement in own if statement != place.statements()[missing]])
    assert_does_not_run(place, f"fix bucket policy on {bucket}")


def assert_does_not_run(place, hint: str) -> None:
    """Some of it shows when the job is created, some when it runs."""
    try:
        created = place.personalize.create_batch_segment_job(**place.request())
    except ClientError as error:
        reason = error.response["Error"]["Message"]
    else:
        job = place.end(created["batchSegmentJobArn"])
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
def test_the_trust_policys_conditions_count(place, condition):
    place.put('{"itemId": "1"}')
    place.iam.update_assume_role_policy(RoleName=place.role_name, PolicyDocument=json.dumps(place.trust(**condition)))
    assert create(place)[1] == f"Role {place.role} cannot be assumed: fix its trust policy"


# -- the caller's permissions


@pytest.fixture
def caller(place, client):
    """Makes clients of a user who may do what is listed."""

    def make(*statements: dict):
        name = f"user-{place.role_name}"
        place.iam.create_user(UserName=name)
        place.iam.put_user_policy(
            UserName=name,
            PolicyName="own",
            PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": list(statements)}),
        )
        key = place.iam.create_access_key(UserName=name)["AccessKey"]
        return client("personalize", aws_access_key_id=key["AccessKeyId"], aws_secret_access_key=key["SecretAccessKey"])

    return make


def allow(actions, resource="*", **conditions) -> dict:
    return {"Effect": "Allow", "Action": actions, "Resource": resource, "Condition": conditions}


CREATE = allow(["personalize:CreateBatchSegmentJob"])
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
            [CREATE, PASS, allow(["personalize:TagResource"], **{"ForAllValues:StringEquals": {"aws:TagKeys": ["x"]}})],
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
def test_a_caller_without_permission_is_denied_and_told_which(place, caller, statements, tags, missing):
    code, message = refused(
        caller(*statements).create_batch_segment_job, **place.request(**({"tags": tags} if tags else {}))
    )
    assert code == "AccessDeniedException"
    assert f"is not authorized to perform: {missing} on resource: " in message


def test_a_caller_with_permission_creates_and_tags_a_job(place, caller):
    place.put('{"itemId": "1"}')
    personalize = caller(CREATE, PASS, allow(["personalize:TagResource", "personalize:ListTagsForResource"]))
    arn = personalize.create_batch_segment_job(**place.request(tags=[{"tagKey": "a", "tagValue": "b"}]))
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
def test_every_operation_asks_for_permission(place, caller, operation, parameters):
    place_arn = f"arn:aws:personalize:{place.aws.region}:{place.aws.account}:"
    given = {key: place_arn + value if isinstance(value, str) else value for key, value in parameters.items()}
    assert refused(getattr(caller(CREATE), operation), **given)[0] == "AccessDeniedException"


def test_a_wrong_signature_is_refused(place, client):
    place.iam.create_user(UserName=place.role_name)
    key = place.iam.create_access_key(UserName=place.role_name)["AccessKey"]["AccessKeyId"]
    personalize = client("personalize", aws_access_key_id=key, aws_secret_access_key="wrong")
    assert refused(personalize.list_batch_segment_jobs)[0] == "SignatureDoesNotMatch"


# -- everything else


def test_tags_are_set_and_taken_off(place):
    place.put('{"itemId": "1"}')
    arn = place.run()["batchSegmentJobArn"]
    tags = [{"tagKey": "a", "tagValue": "1"}, {"tagKey": "b", "tagValue": "2"}]
    place.personalize.tag_resource(resourceArn=arn, tags=tags)
    place.personalize.untag_resource(resourceArn=arn, tagKeys=["a"])
    assert place.personalize.list_tags_for_resource(resourceArn=arn)["tags"] == tags[1:]


def test_solutions_filters_and_recipes_are_described(place, local_aws):
    environment = local_aws.environment()
    personalize = place.personalize
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


def test_an_operation_that_is_not_there_says_what_is(place):
    code, message = refused(place.personalize.list_campaigns)
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
def test_rejects_a_query_on_a_column_that_is_not_there_in_its_record(place, expression):
    place.put(f"{json.dumps({'itemAttributes': expression})}\n{COMEDY}")
    assert place.run(recipe="item-attribute-affinity")["status"] == "ACTIVE"
    wrong, right = place.results()
    assert wrong == {
        "input": {"itemAttributes": expression},
        "output": None,
        "error": "the column GENRE is not in the Items data set, which has GENRES, YEAR, TITLE; column names are case "
        "sensitive",
    }
    assert (right["error"], len(right["output"]["usersList"])) == (None, 25)


def test_rejects_a_column_in_another_case_in_its_record(place):
    place.put(json.dumps({"itemAttributes": 'ITEMS.genres = "Comedy"'}))
    place.run(recipe="item-attribute-affinity")
    (record,) = place.results()
    assert record["error"].startswith("the column genres is not in the Items data set, which has GENRES, ")


# -- answers that nobody has published, turned round


@pytest.fixture
def behave(local_aws, monkeypatch):
    """Turns answers round until the test is over."""

    def behave(**changes) -> None:
        behavior = dataclasses.replace(local_aws.personalize.behavior, **changes)
        monkeypatch.setattr(local_aws.personalize, "behavior", behavior)

    return behave


def test_each_answer_has_a_default_and_a_reason():
    documented = re.findall(r"^        (\w+): ", Behavior.__doc__, re.M)
    assert documented == [field.name for field in dataclasses.fields(Behavior)]
    assert Behavior() == Behavior()


@pytest.mark.parametrize("code", ["ResourceNotFoundException", "InvalidInputException"])
def test_an_unknown_job_is_described_with_the_chosen_error(place, behave, code):
    behave(unknown_job_error=code)
    arn = f"arn:aws:personalize:{place.aws.region}:{place.aws.account}:batch-segment-job/none"
    assert refused(place.personalize.describe_batch_segment_job, batchSegmentJobArn=arn) == (
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
def test_members_that_were_not_given_are_described_as_chosen(place, behave, changes, expected):
    behave(**changes)
    place.put('{"itemId": "1"}')
    job = place.run()
    assert {key: job.get(key) for key in expected} == expected
    assert ("filterArn" in job) == ("filterArn" in expected)
    for location in (job["jobInput"]["s3DataSource"], job["jobOutput"]["s3DataDestination"]):
        assert location.get("kmsKeyArn") == expected.get("filterArn")
    (record,) = place.results()
    assert len(record["output"]["usersList"]) == changes.get("default_results", 25)


@pytest.mark.parametrize(("echoes", "end"), [(True, "/"), (False, "")])
def test_paths_are_described_with_or_without_their_trailing_slash(place, behave, echoes, end):
    behave(echoes_trailing_slash=echoes)
    place.put('{"itemId": "1"}')
    job = place.run()
    assert job["jobInput"]["s3DataSource"]["path"] == f"s3://{place.input}/in{end}"
    assert job["jobOutput"]["s3DataDestination"]["path"] == f"s3://{place.output}/out{end}"


def test_statuses_are_said_in_the_documented_words(place, behave, local_aws):
    behave(statuses="documented")
    place.put('{"itemId": "1"}')
    arn = place.personalize.create_batch_segment_job(**place.request())["batchSegmentJobArn"]
    seen: list[str] = []

    def is_active() -> bool:
        status = place.personalize.describe_batch_segment_job(batchSegmentJobArn=arn)["batchSegmentJob"]["status"]
        seen.extend({status} - set(seen))
        return status == "ACTIVE"

    wait_until(is_active)
    assert seen == ["PENDING", "IN PROGRESS", "ACTIVE"]
    version = local_aws.environment()["PERSONALIZE_LOCAL_VERSION_IN_PROGRESS_ARN"]
    described = place.personalize.describe_solution_version(solutionVersionArn=version)["solutionVersion"]
    assert described["status"] == "IN PROGRESS"


@pytest.mark.parametrize(
    ("when", "created", "ended"),
    [
        ("created", ["out/_CHECK"], ["out/_CHECK", "out/queries.jsonl.out"]),
        ("running", [], ["out/_CHECK", "out/queries.jsonl.out"]),
        ("never", [], ["out/queries.jsonl.out"]),
    ],
)
def test_check_is_written_when_it_is_said_to_be(place, behave, local_aws, monkeypatch, when, created, ended):
    behave(check_object=when)
    monkeypatch.setattr(local_aws.personalize, "pending_seconds", 0.5)
    place.put('{"itemId": "1"}')

    def keys() -> list[str]:
        return [found["Key"] for found in place.s3.list_objects_v2(Bucket=place.output).get("Contents", [])]

    arn = place.personalize.create_batch_segment_job(**place.request())["batchSegmentJobArn"]
    assert keys() == created
    assert place.end(arn)["status"] == "ACTIVE"
    assert keys() == ended


def test_segments_are_written_in_the_documented_form(place, behave):
    behave(output_format="documented")
    place.put('{"itemId": "1"}\n{"itemId": "none"}')
    place.run(numResults=1)
    assert place.results() == [
        {"input": {"itemId": "1"}, "output": {"recommendedUsers": ["user-270"]}},
        {"input": {"itemId": "none"}, "output": {"recommendedUsers": []}},
    ]
    place.put(COMEDY)
    place.run(recipe="item-attribute-affinity", numResults=1)
    (record,) = place.results()
    assert record == {**json.loads(COMEDY), "output": {"recommendedUsers": record["output"]["recommendedUsers"]}}
    assert len(record["output"]["recommendedUsers"]) == 1


@pytest.mark.parametrize("missing", range(4))
def test_access_can_be_checked_only_as_the_job_runs(place, behave, missing):
    behave(checks_access="running", check_object="running")
    place.put('{"itemId": "1"}')
    assert place.run()["status"] == "ACTIVE"
    place.allow_role([statement for index, statement in enumerate(place.statements()) if index != missing])
    job = place.run()
    assert job["status"] == "CREATE FAILED"
    action, _ = place.statements()[missing]
    assert action in job["failureReason"]


def test_a_trust_policy_can_be_checked_only_as_the_job_runs(place, behave):
    behave(checks_access="running", check_object="running")
    place.put('{"itemId": "1"}')
    trust = place.trust(StringEquals={"aws:SourceAccount": "210987654321"})
    place.iam.update_assume_role_policy(RoleName=place.role_name, PolicyDocument=json.dumps(trust))
    job = place.run()
    assert (job["status"], job["failureReason"]) == (
        "CREATE FAILED",
        f"Role {place.role} cannot be assumed: fix its trust policy",
    )


@pytest.mark.parametrize(("lists", "expected"), [(True, "s3:ListBucket"), (False, None)])
def test_listing_the_output_is_needed_or_not(place, behave, lists, expected):
    behave(lists_output=lists)
    place.put('{"itemId": "1"}')
    without = [statement for index, statement in enumerate(place.statements()) if index != 2]
    place.allow_role(without)
    place.allow_service(place.output, without[2:])
    if expected is None:
        assert place.run()["status"] == "ACTIVE"
    else:
        code, message = create(place)
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
def test_requests_to_s3_carry_their_source_or_not(place, behave, sends, condition, allowed):
    behave(sends_source=sends)
    place.put('{"itemId": "1"}')
    document = [
        {
            "Effect": "Allow",
            "Principal": {"Service": "personalize.amazonaws.com"},
            "Action": action,
            "Resource": arn,
            "Condition": condition,
        }
        for action, arn in place.statements()[:2]
    ]
    policy = json.dumps({"Version": "2012-10-17", "Statement": document})
    place.s3.put_bucket_policy(Bucket=place.input, Policy=policy)
    if allowed:
        assert place.run()["status"] == "ACTIVE"
    else:
        code, message = create(place)
        assert (code, f"fix bucket policy on {place.input}" in message) == ("InvalidInputException", True)


@pytest.mark.parametrize(
    ("parameter", "seed"),
    [
        ("solutionVersionArn", "PERSONALIZE_LOCAL_VERSION_IN_PROGRESS_ARN"),
        ("filterArn", "PERSONALIZE_LOCAL_FILTER_IN_PROGRESS_ARN"),
    ],
)
def test_an_unready_resource_is_invalid_input_where_chosen(place, behave, local_aws, parameter, seed):
    behave(unready_error="InvalidInputException")
    arn = local_aws.environment()[seed]
    code, message = create(place, **{parameter: arn})
    assert (code, message.endswith(f"{arn} is CREATE IN_PROGRESS")) == ("InvalidInputException", True)


@pytest.mark.parametrize("needed", [False, True])
def test_creating_is_authorized_on_the_solution_version_too_where_chosen(place, behave, caller, needed):
    behave(authorizes_solution_version=needed)
    place.put('{"itemId": "1"}')
    only_on_jobs = allow(["personalize:CreateBatchSegmentJob"], "arn:aws:personalize:*:*:batch-segment-job/*")
    personalize = caller(only_on_jobs, PASS)
    if needed:
        code, message = refused(personalize.create_batch_segment_job, **place.request())
        assert code == "AccessDeniedException"
        assert message.partition(" on resource: ")[2].startswith(place.request()["solutionVersionArn"])
    else:
        assert personalize.create_batch_segment_job(**place.request())["batchSegmentJobArn"]


@pytest.mark.parametrize("when", ["with tags", "always"])
def test_tagging_is_authorized_without_tags_where_chosen(place, behave, caller, when):
    behave(authorizes_tagging=when)
    place.put('{"itemId": "1"}')
    personalize = caller(CREATE, PASS)
    if when == "always":
        code, message = refused(personalize.create_batch_segment_job, **place.request())
        assert (code, "perform: personalize:TagResource on" in message) == ("AccessDeniedException", True)
    else:
        assert personalize.create_batch_segment_job(**place.request())["batchSegmentJobArn"]


def test_rejects_an_output_without_a_trailing_slash_where_chosen(place, behave):
    place.put('{"itemId": "1"}')
    output = {"s3DataDestination": {"path": f"s3://{place.output}/out"}}
    assert place.run(jobOutput=output)["status"] == "ACTIVE"
    behave(refuses_output_without_slash=True)
    assert create(place, jobOutput=output) == (
        "InvalidInputException",
        f"Invalid S3 output path s3://{place.output}/out: it must end with /",
    )
    assert place.run()["status"] == "ACTIVE"
