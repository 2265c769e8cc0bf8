import json
from typing import Any

import aws_cdk as cdk
import aws_cdk.aws_kms as kms
import aws_cdk.aws_s3 as s3
import pytest
from aws_cdk.assertions import Template
from cdk_personalize_segments import BatchSegmentInput, BatchSegmentJob, BatchSegmentStorage, SegmentQuery
from support import (
    ACCOUNT,
    ENVIRONMENT,
    FILTER,
    REGION,
    SOLUTION,
    VERSION,
    count_resources,
    job_properties,
    one,
    readable,
    resources,
)

JOB = "Custom::PersonalizeBatchSegmentJob"
ITEMS_LIKE_105 = BatchSegmentInput.from_queries([SegmentQuery.items_like("105")])
JOBS = "arn:<AWS::Partition>:personalize:eu-west-1:123456789012:batch-segment-job"
BUCKET = "ComedyFansStorageInputBucket1B8156CD"
OURS = {"StringEquals": {"aws:ResourceAccount": ACCOUNT}}
OUTPUT = "ComedyFansStorageOutputBucket44E8F37D"


def job(stack: cdk.Stack, id: str = "ComedyFans", **props: Any) -> BatchSegmentJob:
    if "solution_arn" not in props:
        props.setdefault("solution_version_arn", VERSION)
    return BatchSegmentJob(stack, id, **{"job_input": ITEMS_LIKE_105, **props})


def handler_statements(stack: cdk.Stack) -> list[dict]:
    return one(stack, "AWS::IAM::Policy", "HandlerPolicy")["PolicyDocument"]["Statement"]


@pytest.mark.parametrize(("jobs", "expected"), [(1, 14), (2, 15), (5, 18)])
def test_the_first_job_makes_fourteen_resources_and_each_further_one_on_its_storage_one(
    stack: cdk.Stack, jobs: int, expected: int
) -> None:
    storage = job(stack).storage
    for number in range(1, jobs):
        job(stack, f"More{number}", storage=storage)
    assert count_resources(stack) == expected


@pytest.mark.parametrize(("waiting", "expected"), [(0, 14), (1, 14 + 13), (3, 14 + 13 + 2)])
def test_a_waiting_job_adds_one_waiter_to_the_stack_however_many_wait(
    stack: cdk.Stack, waiting: int, expected: int
) -> None:
    storage = job(stack).storage
    for number in range(waiting):
        job(stack, f"Waits{number}", storage=storage, wait_for_completion=cdk.Duration.minutes(60))
    assert count_resources(stack) == expected
    assert len(resources(stack, "AWS::StepFunctions::StateMachine")) == min(waiting, 1)


def test_a_stack_whose_jobs_all_wait_has_the_waiting_framework_alone(stack: cdk.Stack) -> None:
    job(stack, wait_for_completion=cdk.Duration.minutes(60))
    assert count_resources(stack) == 14 + 13 - 3
    assert all("WaitingFramework" in name for name in resources(stack, "AWS::Lambda::Function") if "framework" in name)


def test_every_parameter_reaches_the_resource(stack: cdk.Stack) -> None:
    bucket = s3.Bucket.from_bucket_name(stack, "Theirs", "theirs")
    job(
        stack,
        job_input=BatchSegmentInput.from_bucket(bucket, "audiences/today.jsonl", queries_per_file=1000),
        storage=BatchSegmentStorage(stack, "Storage", input_bucket=bucket, output_bucket=bucket),
        output_prefix="out/",
        filter_arn=FILTER,
        num_results=5_000_000,
        tags={"team": "growth"},
        job_name="spring-sale",
        wait_for_completion=cdk.Duration.minutes(45),
    )
    properties = one(stack, JOB)
    token = properties.pop("ServiceToken")
    assert "WaitingFramework" in token
    assert properties == {
        "JobName": "spring-sale",
        "NewJobIfChanged": {
            "SolutionVersionArn": VERSION,
            "FilterArn": FILTER,
            "NumResults": 5_000_000,
            "InputPath": "s3://theirs/audiences/today.jsonl",
            "OutputPath": "s3://theirs/out/",
        },
        "RoleArn": properties["RoleArn"],
        "Tags": [{"key": "team", "value": "growth"}],
        "WaitSeconds": 2700,
        "ValidateInput": "true",
        "QueriesPerFile": 1000,
    }
    assert properties["RoleArn"].startswith("<StorageRole")


def test_what_is_not_given_is_not_sent(stack: cdk.Stack) -> None:
    job(stack)
    properties = one(stack, JOB)
    assert set(properties) == {
        "ServiceToken",
        "JobNamePrefix",
        "AssetBucket",
        "AssetKey",
        "RoleArn",
        "Queries",
        "InputIsInline",
        "NewJobIfChanged",
    }
    assert set(properties["NewJobIfChanged"]) == {
        "SolutionVersionArn",
        "AssetHash",
        "InputBucket",
        "InputPrefix",
        "OutputPath",
    }


def test_inline_queries_travel_as_an_asset_into_the_input_bucket(stack: cdk.Stack) -> None:
    made = job(stack)
    properties = job_properties(stack)
    assert properties["AssetBucket"] == f"cdk-hnb659fds-assets-{ACCOUNT}-{REGION}"
    assert properties["AssetKey"] == f"{properties['AssetHash']}.queries-f959b00b"
    assert properties["InputBucket"] == f"<{BUCKET}>"
    assert properties["InputPrefix"] == "queries/"
    assert stack.resolve(made.input_bucket.bucket_name) == {"Ref": BUCKET}


def test_the_same_queries_make_the_same_asset_and_other_queries_another(app: cdk.App, stack: cdk.Stack) -> None:
    job(stack)
    same, other = cdk.Stack(app, "Same", env=ENVIRONMENT), cdk.Stack(app, "Other", env=ENVIRONMENT)
    job(same, job_input=BatchSegmentInput.from_queries([SegmentQuery.items_like("105")]))
    job(other, job_input=BatchSegmentInput.from_queries([SegmentQuery.items_like("106")]))
    hashes = [job_properties(one_stack)["AssetHash"] for one_stack in (stack, same, other)]
    assert hashes[0] == hashes[1] != hashes[2]


def test_a_derived_name_has_a_prefix_of_its_own_that_leaves_room_for_hash_and_attempt(app: cdk.App) -> None:
    stack = cdk.Stack(app, "A" * 100, env=ENVIRONMENT)
    job(stack, "B" * 100)
    assert len(one(stack, JOB)["JobNamePrefix"]) <= 63 - len("-0123456789ab-99")


def allowed(actions: list[str], resources: list[str], **more: Any) -> dict:
    return {"Effect": "Allow", "Action": actions, "Resource": resources, **more}


def test_the_handler_may_do_what_one_job_needs_and_nothing_else(stack: cdk.Stack) -> None:
    made = job(stack)
    jobs = f"{JOBS}/Demo-f959b00b-*"
    role = stack.resolve(made.role.role_arn)["Fn::GetAtt"][0]
    assert handler_statements(stack) == [
        allowed(["personalize:DescribeBatchSegmentJob", "personalize:UntagResource"], [jobs]),
        allowed(["personalize:CreateBatchSegmentJob"], [jobs, VERSION]),
        allowed(["personalize:TagResource"], [jobs], Condition={"Null": {"aws:TagKeys": "true"}}),
        allowed(["personalize:DescribeSolutionVersion"], [VERSION]),
        allowed(["personalize:DescribeRecipe"], ["arn:<AWS::Partition>:personalize:::recipe/*"]),
        allowed(["cloudformation:DescribeStacks"], ["<AWS::StackId>"]),
        allowed(
            ["iam:PassRole"],
            [f"<{role}.Arn>"],
            Condition={"StringEquals": {"iam:PassedToService": "personalize.amazonaws.com"}},
        ),
        allowed(
            ["s3:GetObject"],
            [f"arn:<AWS::Partition>:s3:::cdk-hnb659fds-assets-{ACCOUNT}-{REGION}/*.queries-f959b00b"],
            Condition=OURS,
        ),
        allowed(["s3:PutObject"], [f"<{BUCKET}.Arn>/queries/Demo-f959b00b-*/*"], Condition=OURS),
    ]


@pytest.mark.parametrize(("location", "objects"), [("audiences/", "audiences/*"), ("today.jsonl", "today.jsonl")])
def test_input_in_s3_may_be_looked_at_where_it_is(stack: cdk.Stack, location: str, objects: str) -> None:
    key = kms.Key(stack, "Key")
    bucket = s3.Bucket(stack, "Bucket", encryption_key=key)
    job(stack, job_input=BatchSegmentInput.from_bucket(bucket, location))
    arn = readable(stack.resolve(bucket.bucket_arn))
    assert [statement for statement in handler_statements(stack) if "s3:" in str(statement["Action"])] == [
        allowed(["s3:ListBucket"], [arn], Condition={"StringLike": {"s3:prefix": [location]}, **OURS}),
        allowed(["s3:GetObject"], [f"{arn}/{objects}"], Condition=OURS),
    ]
    assert allowed(["kms:Decrypt"], [readable(stack.resolve(key.key_arn))]) in handler_statements(stack)


def test_input_in_s3_that_is_not_to_be_looked_at_gives_the_handler_no_permission_on_any_bucket(
    stack: cdk.Stack,
) -> None:
    job(stack, job_input=BatchSegmentInput.from_bucket(s3.Bucket(stack, "Bucket"), "in/", validate_input=False))
    assert "s3:" not in str([statement["Action"] for statement in handler_statements(stack)])
    assert "ValidateInput" not in one(stack, JOB)


@pytest.mark.parametrize(
    ("props", "action", "resource"),
    [
        ({"filter_arn": FILTER}, "personalize:DescribeFilter", FILTER),
        ({"solution_arn": SOLUTION}, "personalize:ListSolutionVersions", "*"),
    ],
)
def test_a_permission_comes_with_the_property_that_needs_it(
    stack: cdk.Stack, props: dict[str, Any], action: str, resource: Any
) -> None:
    bare = cdk.Stack(cdk.App(), "Bare", env=ENVIRONMENT)
    job(bare)
    assert action not in str(handler_statements(bare))
    job(stack, **props)
    assert allowed([action], [resource]) in handler_statements(stack)


def test_with_a_solution_its_versions_may_be_looked_at_and_used(stack: cdk.Stack) -> None:
    job(stack, solution_arn=SOLUTION)
    assert job_properties(stack)["SolutionArn"] == SOLUTION
    jobs = f"{JOBS}/Demo-f959b00b-*"
    statements = handler_statements(stack)
    assert allowed(["personalize:DescribeSolutionVersion"], [f"{SOLUTION}/*"]) in statements
    assert allowed(["personalize:CreateBatchSegmentJob"], [jobs, f"{SOLUTION}/*"]) in statements


def test_tags_of_a_scope_reach_the_job_and_the_permission_to_set_them(app: cdk.App, stack: cdk.Stack) -> None:
    job(stack, tags={"team": "growth"})
    cdk.Tags.of(app).add("stage", "prod")
    assert one(stack, JOB)["Tags"] == [{"key": "stage", "value": "prod"}, {"key": "team", "value": "growth"}]
    jobs = f"{JOBS}/Demo-f959b00b-*"
    condition = {"ForAllValues:StringEquals": {"aws:TagKeys": ["stage", "team"]}}
    statements = handler_statements(stack)
    assert allowed(["personalize:TagResource"], [jobs], Condition=condition) in statements
    assert allowed(["personalize:CreateBatchSegmentJob"], [jobs, VERSION], Condition=condition) in statements


def test_without_tags_there_is_no_permission_to_set_them(stack: cdk.Stack) -> None:
    job(stack)
    (tagging,) = [one for one in handler_statements(stack) if one["Action"] == ["personalize:TagResource"]]
    assert tagging["Condition"] == {"Null": {"aws:TagKeys": "true"}}


def test_an_explicit_name_is_all_that_the_handler_may_create(stack: cdk.Stack) -> None:
    job(stack, job_name="spring-sale")
    creating = next(s for s in handler_statements(stack) if s["Action"] == ["personalize:CreateBatchSegmentJob"])
    assert creating["Resource"] == [f"{JOBS}/spring-sale", VERSION]


def test_the_framework_may_call_the_handler_and_write_its_log(stack: cdk.Stack) -> None:
    job(stack)
    (handler,) = [name for name in resources(stack, "AWS::Lambda::Function") if "ProviderHandler" in name]
    (logs,) = [name for name in resources(stack, "AWS::Logs::LogGroup") if "FrameworkLogs" in name]
    role = one(stack, "AWS::IAM::Role", "FrameworkRole")
    assert "ManagedPolicyArns" not in role
    assert [policy["PolicyDocument"]["Statement"] for policy in role["Policies"]] == [
        [
            {
                "Action": ["logs:CreateLogStream", "logs:PutLogEvents"],
                "Effect": "Allow",
                "Resource": f"<{logs}.Arn>",
            },
            {
                "Action": ["lambda:InvokeFunction", "lambda:GetFunction"],
                "Effect": "Allow",
                "Resource": f"<{handler}.Arn>",
            },
        ]
    ]


def test_the_function_that_looks_whether_a_job_is_complete_may_only_look(stack: cdk.Stack) -> None:
    job(stack, wait_for_completion=cdk.Duration.minutes(30))
    assert one(stack, "AWS::IAM::Policy", "IsCompletePolicy")["PolicyDocument"]["Statement"] == [
        allowed(["cloudformation:DescribeStacks"], ["<AWS::StackId>"]),
        allowed(["personalize:DescribeBatchSegmentJob"], [f"{JOBS}/Demo-f959b00b-*"]),
        allowed(
            ["s3:ListBucket"],
            [f"<{OUTPUT}.Arn>"],
            Condition={"StringLike": {"s3:prefix": ["segments/Demo-f959b00b-*/"]}, **OURS},
        ),
        allowed(["s3:GetObject"], [f"<{OUTPUT}.Arn>/segments/Demo-f959b00b-*/*"], Condition=OURS),
    ]


def test_the_job_is_created_after_the_policies_that_it_needs(stack: cdk.Stack) -> None:
    job(stack)
    (made,) = resources(stack, JOB).values()
    assert {name.rstrip("0123456789ABCDEF") for name in made["DependsOn"]} == {
        "ComedyFansStorageInputBucketPolicy",
        "ComedyFansStorageOutputBucketPolicy",
        "ComedyFansStorageRoleDefaultPolicy",
    }
    (handler,) = [
        function for name, function in resources(stack, "AWS::Lambda::Function").items() if "ProviderHandler" in name
    ]
    assert any("HandlerPolicy" in name for name in handler["DependsOn"])


def test_the_handler_has_a_log_group_with_retention(stack: cdk.Stack) -> None:
    job(stack)
    handler = one(stack, "AWS::Lambda::Function", "ProviderHandler")
    (logs,) = [name for name in resources(stack, "AWS::Logs::LogGroup") if "ProviderLogs" in name]
    assert handler["LoggingConfig"] == {"LogGroup": f"<{logs}>"}
    assert resources(stack, "AWS::Logs::LogGroup")[logs]["Properties"] == {"RetentionInDays": 90}


def test_attributes_are_what_the_handler_returns(stack: cdk.Stack) -> None:
    made = job(stack)
    (logical_id,) = resources(stack, JOB)
    assert stack.resolve(made.batch_segment_job_arn) == {"Ref": logical_id}
    for attribute, name in {
        made.job_name: "JobName",
        made.output_uri: "OutputUri",
        made.status: "Status",
        made.solution_version_arn: "SolutionVersionArn",
    }.items():
        assert stack.resolve(attribute) == {"Fn::GetAtt": [logical_id, name]}


def test_a_stack_without_environment_takes_any_region_and_account(app: cdk.App) -> None:
    stack = cdk.Stack(app, "Agnostic")
    job(stack)
    creating = next(s for s in handler_statements(stack) if s["Action"] == ["personalize:CreateBatchSegmentJob"])
    assert creating["Resource"][0].startswith(
        "arn:<AWS::Partition>:personalize:<AWS::Region>:<AWS::AccountId>:batch-segment-job/Agnostic-"
    )


def test_tokens_are_let_through(stack: cdk.Stack) -> None:
    parameter = cdk.CfnParameter(stack, "Version").value_as_string
    number = cdk.CfnParameter(stack, "Number", type="Number").value_as_number
    name = cdk.CfnParameter(stack, "Name").value_as_string
    job(stack, solution_version_arn=parameter, filter_arn=parameter, num_results=number, job_name=name)
    properties = job_properties(stack)
    assert properties["SolutionVersionArn"] == properties["FilterArn"] == "<Version>"
    assert properties["NumResults"] == "<Number>"
    assert properties["JobName"] == "<Name>"


@pytest.mark.parametrize(
    ("props", "message"),
    [
        ({"solution_version_arn": None}, "solution_version_arn, solution_arn: got neither, expected one of the two"),
        (
            {"solution_version_arn": VERSION, "solution_arn": SOLUTION},
            "solution_version_arn, solution_arn: got both, expected one of the two",
        ),
        (
            {"solution_version_arn": SOLUTION},
            f"solution_version_arn: got a solution ARN, '{SOLUTION}'; expected a solution version ARN, "
            "arn:<partition>:personalize:<region>:<account>:solution/<name>/<version id> (or pass it as solution_arn: "
            "the latest ACTIVE version is taken)",
        ),
        (
            {"solution_version_arn": None, "solution_arn": VERSION},
            f"solution_arn: got a solution version ARN, '{VERSION}'; expected a solution ARN, "
            "arn:<partition>:personalize:<region>:<account>:solution/<name> (or pass it as solution_version_arn)",
        ),
        (
            {"solution_version_arn": "films"},
            "solution_version_arn: got 'films', expected a solution version ARN, "
            "arn:<partition>:personalize:<region>:<account>:solution/<name>/<version id>, at most 256 characters",
        ),
        (
            {"solution_version_arn": VERSION.replace("eu-west-1", "us-east-1")},
            "solution_version_arn: got region 'us-east-1' in "
            "'arn:aws:personalize:us-east-1:123456789012:solution/films/0123abcd', expected 'eu-west-1', the stack's "
            "region: Personalize takes only what is in the job's own region and account",
        ),
        (
            {"filter_arn": FILTER.replace(ACCOUNT, "210987654321")},
            "filter_arn: got account '210987654321' in 'arn:aws:personalize:eu-west-1:210987654321:filter/adults', "
            "expected '123456789012', the stack's account: Personalize takes only what is in the job's own region and "
            "account",
        ),
        (
            {"filter_arn": VERSION},
            f"filter_arn: got a solution version ARN, '{VERSION}'; expected a filter ARN, "
            "arn:<partition>:personalize:<region>:<account>:filter/<name>",
        ),
        ({"num_results": 0}, "num_results: got 0, expected a whole number from 1 to 5,000,000"),
        ({"num_results": 5_000_001}, "num_results: got 5000001, expected a whole number from 1 to 5,000,000"),
        (
            {"job_name": "spring sale"},
            "job_name: got 'spring sale' (11 characters), expected 1 to 63 letters, digits, hyphens or underscores, "
            "the first one a letter or a digit",
        ),
        (
            {"job_name": "a" * 64},
            f"job_name: got '{'a' * 64}' (64 characters), expected 1 to 63 letters, digits, hyphens or underscores, "
            "the first one a letter or a digit",
        ),
        (
            {"job_name": "a\n"},
            "job_name: got 'a\\n' (2 characters), expected 1 to 63 letters, digits, hyphens or underscores, "
            "the first one a letter or a digit",
        ),
        (
            {"job_name": "a", "trigger": "2"},
            "trigger: got '2' with job_name 'a', expected one of the two: job names cannot be reused, so "
            "trigger has no effect together with job_name",
        ),
        (
            {"output_prefix": "out"},
            "output_prefix: got 'out', expected a prefix that ends in '/': without it, 'out_test/' would match as well",
        ),
        (
            {"wait_for_completion": cdk.Duration.minutes(61)},
            "wait_for_completion: got 1 hour 1 minute, expected more than nothing and at most 1 hour, which is how "
            "long CloudFormation waits for a custom resource",
        ),
    ],
)
def test_a_bad_value_is_refused_with_what_was_got_and_what_was_wanted(
    stack: cdk.Stack, props: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011
        job(stack, **{"solution_arn": None, "solution_version_arn": VERSION, **props})
    assert str(refused.value) == message


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        (
            {str(number): "" for number in range(51)},
            "tags: got 51, expected at most 50 on one job, those of Tags.of(…) included",
        ),
        (
            {"a*": "b"},
            "tags: got the key 'a*', expected 1 to 128 letters, digits, spaces or _ . : / = + - @",
        ),
        (
            {"a": "ü" * 257},
            "tags: got '" + "ü" * 198 + "… for the key 'a', expected at most 256 letters, digits, spaces or "
            "_ . : / = + - @",
        ),
    ],
)
def test_bad_tags_are_refused_when_all_are_known(app: cdk.App, stack: cdk.Stack, tags: Any, message: str) -> None:
    job(stack, tags=tags)
    with pytest.raises(RuntimeError, match="Validation failed") as refused:
        app.synth()
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("props", "message"),
    [
        ({"wait_for_completion": 30}, "wait_for_completion: got int 30, expected a cdk.Duration"),
        ({"tags": ["team"]}, 'tags: got list [\'team\'], expected a mapping, {"key": "value"}'),
        ({"tags": {"team": 1}}, "tags['team']: got int 1, expected text"),
        ({"storage": "bucket"}, "storage: got str 'bucket', expected a BatchSegmentStorage"),
        ({"job_input": None}, "job_input: got NoneType None, expected one made by BatchSegmentInput.from_…"),
        ({"job_input": "a.jsonl"}, "job_input: got str 'a.jsonl', expected one made by BatchSegmentInput.from_…"),
    ],
)
def test_a_value_of_another_type_is_refused_by_the_propertys_name(
    stack: cdk.Stack, props: dict[str, Any], message: str
) -> None:
    with pytest.raises(TypeError) as refused:
        job(stack, **props)
    assert str(refused.value) == message


def test_output_inside_the_input_is_refused(stack: cdk.Stack) -> None:
    bucket = s3.Bucket.from_bucket_name(stack, "Theirs", "theirs")
    storage = BatchSegmentStorage(stack, "Storage", output_bucket=s3.Bucket.from_bucket_name(stack, "Same", "theirs"))
    with pytest.raises(ValueError, match="would read its own output as input"):
        job(stack, job_input=BatchSegmentInput.from_bucket(bucket, "a/"), storage=storage, output_prefix="a/b/")


# -- a job that is waited for is another resource


def test_a_job_that_is_waited_for_has_a_logical_id_of_its_own_and_the_same_name(app: cdk.App) -> None:
    made = {}
    for name, wait in (("Plain", None), ("Waiting", cdk.Duration.minutes(30))):
        stack = cdk.Stack(cdk.App(), "Demo", env=ENVIRONMENT)
        job(stack, wait_for_completion=wait)
        ((logical_id, resource),) = resources(stack, JOB).items()
        made[name] = (logical_id, resource["Properties"]["JobNamePrefix"])
    assert made["Plain"][0] != made["Waiting"][0]
    assert made["Plain"][1] == made["Waiting"][1]


# -- tags whose value is known at deploy


@pytest.mark.parametrize("value", [cdk.Aws.STACK_NAME, f"x-{cdk.Aws.STACK_NAME}"], ids=["alone", "in a text"])
def test_a_tag_may_have_a_value_that_is_known_at_deploy(stack: cdk.Stack, value: Any) -> None:
    job(stack, tags={"stack": value})
    ((tag),) = one(stack, JOB)["Tags"]
    assert tag == {"key": "stack", "value": value.replace(cdk.Aws.STACK_NAME, "<AWS::StackName>")}


def test_a_tag_of_a_scope_may_have_a_value_that_is_known_at_deploy(stack: cdk.Stack) -> None:
    job(stack)
    cdk.Tags.of(stack).add("stack", cdk.Aws.STACK_NAME)
    assert one(stack, JOB)["Tags"] == [{"key": "stack", "value": "<AWS::StackName>"}]


# -- one stack's limits


def test_the_handlers_policy_does_not_grow_with_jobs_on_one_storage() -> None:
    lengths = []
    for number in (1, 12):
        stack = cdk.Stack(cdk.App(), f"Stack{number:02}", env=ENVIRONMENT)
        storage = BatchSegmentStorage(stack, "Storage")
        jobs = [
            job(
                stack,
                f"Job{index:02}",
                storage=storage,
                job_input=BatchSegmentInput.from_queries([SegmentQuery.items_like(str(index))]),
                wait_for_completion=cdk.Duration.minutes(30),
            )
            for index in range(number)
        ]
        assert len(jobs) == number
        lengths.append([len(json.dumps(one(stack, "AWS::IAM::Policy", name))) for name in ("HandlerP", "IsCompleteP")])
    assert lengths[0] == lengths[1]


def test_rejects_more_jobs_than_fit_into_the_policy_of_a_role(app: cdk.App) -> None:
    stack = cdk.Stack(app, "TooMany", env=ENVIRONMENT)
    storage = BatchSegmentStorage(stack, "Storage")
    job_input = BatchSegmentInput.from_bucket(storage.input_bucket, "in/")

    def jobs(number: int) -> None:
        for index in range(number):
            job(stack, f"Job{index}", storage=storage, job_input=job_input, job_name=f"{index:03}-{'x' * 59}")

    with pytest.raises(ValueError, match=r"^too many jobs for one stack: the policy of the handler function has about"):
        jobs(80)


def test_tags_count_when_all_of_them_are_known(app: cdk.App) -> None:
    stack = cdk.Stack(app, "Tagged", env=ENVIRONMENT)
    job(stack)
    for number in range(50):
        cdk.Tags.of(stack).add(f"tag-{number}-{'x' * 110}", "value")
    with pytest.raises(RuntimeError, match="too many jobs for one stack: the policy of the handler function has about"):
        Template.from_stack(stack)


def test_an_explicit_name_is_used_once_in_a_stack(stack: cdk.Stack) -> None:
    storage = job(stack, job_name="mine").storage
    with pytest.raises(ValueError, match=r"^job_name: 'mine' is already used by another job in this stack"):
        job(stack, "Again", job_name="mine", storage=storage)


def test_an_output_prefix_that_is_too_long_is_refused(stack: cdk.Stack) -> None:
    with pytest.raises(ValueError, match=r"^output_prefix: got 200 characters, expected at most 123: a path that the"):
        job(stack, output_prefix="x" * 199 + "/")
