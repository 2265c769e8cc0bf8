import json

import pytest
from botocore.exceptions import ClientError

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
    seen = []
    while "ACTIVE" not in seen:
        status = place.personalize.describe_batch_segment_job(batchSegmentJobArn=arn)["batchSegmentJob"]["status"]
        if status not in seen:
            seen.append(status)
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
    monkeypatch.setattr(local_aws.personalize, "pending_seconds", 2.0)
    place.put('{"itemId": "1"}')
    for _ in range(5):
        place.personalize.create_batch_segment_job(**place.request())
    code, message = create(place)
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
