"""Valid and invalid arguments of a job."""

from typing import Any

import aws_cdk as cdk
import aws_cdk.aws_iam as iam
import aws_cdk.aws_kms as kms
import aws_cdk.aws_s3 as s3
import pytest
from aws_cdk.assertions import Template
from batch_segment_handler.contract import RESOURCE_TYPE
from cdk_personalize_segments import BatchSegmentInput, BatchSegmentStorage
from support.constants import ACCOUNT, FILTER, REGION, SOLUTION, VERSION
from support.templates import (
    ENVIRONMENT,
    add_job,
    job_properties,
    only_resource,
    policy_statements,
)


def test_a_stack_without_environment_accepts_any_arn(app: cdk.App) -> None:
    stack = cdk.Stack(app, "Agnostic")
    add_job(stack, "ComedyFans")
    creating = next(
        s for s in policy_statements(stack, "HandlerPolicy") if s["Action"] == ["personalize:CreateBatchSegmentJob"]
    )
    assert creating["Resource"][0].startswith(
        "arn:<AWS::Partition>:personalize:<AWS::Region>:<AWS::AccountId>:batch-segment-job/Agnostic-"
    )


def test_accepts_tokens(stack: cdk.Stack) -> None:
    parameter = cdk.CfnParameter(stack, "Version").value_as_string
    number = cdk.CfnParameter(stack, "Number", type="Number").value_as_number
    name = cdk.CfnParameter(stack, "Name").value_as_string
    add_job(
        stack, "ComedyFans", solution_version_arn=parameter, filter_arn=parameter, num_results=number, job_name=name
    )
    properties = job_properties(stack)
    assert properties["SolutionVersionArn"] == properties["FilterArn"] == "<Version>"
    assert properties["NumResults"] == "<Number>"
    assert properties["JobName"] == "<Name>"


@pytest.mark.parametrize(
    ("props", "message"),
    [
        ({"solution_version_arn": None}, "solution_version_arn, solution_arn: got neither, expected exactly one"),
        (
            {"solution_version_arn": VERSION, "solution_arn": SOLUTION},
            "solution_version_arn, solution_arn: got both, expected exactly one",
        ),
        (
            {"solution_version_arn": SOLUTION},
            f"solution_version_arn: got a solution ARN, '{SOLUTION}'; expected a solution version ARN, "
            "arn:<partition>:personalize:<region>:<account>:solution/<name>/<version id> (or pass it as solution_arn "
            "to use the latest ACTIVE version)",
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
            "region: a job can use only resources of its own region and account",
        ),
        (
            {"filter_arn": FILTER.replace(ACCOUNT, "210987654321")},
            "filter_arn: got account '210987654321' in 'arn:aws:personalize:eu-west-1:210987654321:filter/adults', "
            "expected '123456789012', the stack's account: a job can use only resources of its own region and "
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
            "trigger: got '2' with job_name 'a', expected only one: job names cannot be reused, so "
            "trigger has no effect together with job_name",
        ),
        (
            {"output_prefix": "out"},
            "output_prefix: got 'out', expected a prefix that ends in '/': without the '/', 'out_test/' would "
            "match as well",
        ),
        (
            {"wait_for_completion": cdk.Duration.minutes(61)},
            "wait_for_completion: got 1 hour 1 minute, expected more than 0 and at most 1 hour, the maximum "
            "timeout of a custom resource in CloudFormation",
        ),
    ],
)
def test_rejects_a_bad_value_with_got_and_expected(stack: cdk.Stack, props: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011
        add_job(stack, "ComedyFans", **{"solution_arn": None, "solution_version_arn": VERSION, **props})
    assert str(refused.value) == message


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        (
            {str(number): "" for number in range(51)},
            "tags: got 51, expected at most 50 on one job, including those of Tags.of(…)",
        ),
        (
            {"a*": "b"},
            "tags: got the key 'a*', expected 1 to 128 letters, digits, spaces or _ . : / = + - @",
        ),
        (
            {"a": "ü" * 257},
            "tags: got '"
            + "ü" * 98
            + "…"
            + "ü" * 98
            + "' for the key 'a', expected at most 256 letters, digits, spaces or "
            "_ . : / = + - @",
        ),
    ],
)
def test_rejects_bad_tags_when_all_are_known(app: cdk.App, stack: cdk.Stack, tags: Any, message: str) -> None:
    add_job(stack, "ComedyFans", tags=tags)
    with pytest.raises(RuntimeError, match="Validation failed") as refused:
        app.synth()
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("props", "message"),
    [
        ({"wait_for_completion": 30}, "wait_for_completion: got int 30, expected a cdk.Duration"),
        ({"tags": ["team"]}, 'tags: got list [\'team\'], expected a mapping, {"key": "value"}'),
        ({"tags": {"team": 1}}, "tags['team']: got int 1, expected a string"),
        ({"storage": "bucket"}, "storage: got str 'bucket', expected a BatchSegmentStorage"),
        (
            {"job_input": None},
            "job_input: got NoneType None, expected a BatchSegmentInput (use from_queries, from_asset or from_bucket)",
        ),
        (
            {"job_input": "a.jsonl"},
            "job_input: got str 'a.jsonl', expected a BatchSegmentInput (use from_queries, from_asset or from_bucket)",
        ),
    ],
)
def test_names_the_property_with_a_value_of_another_type(stack: cdk.Stack, props: dict[str, Any], message: str) -> None:
    with pytest.raises(TypeError) as refused:
        add_job(stack, "ComedyFans", **props)
    assert str(refused.value) == message


def test_rejects_output_inside_the_input(stack: cdk.Stack) -> None:
    bucket = s3.Bucket.from_bucket_name(stack, "Theirs", "theirs")
    storage = BatchSegmentStorage(stack, "Storage", output_bucket=s3.Bucket.from_bucket_name(stack, "Same", "theirs"))
    with pytest.raises(ValueError, match="would read its own output as input"):
        add_job(
            stack,
            "ComedyFans",
            job_input=BatchSegmentInput.from_bucket(bucket, "a/"),
            storage=storage,
            output_prefix="a/b/",
        )


@pytest.mark.parametrize("value", [cdk.Aws.STACK_NAME, f"x-{cdk.Aws.STACK_NAME}"], ids=["alone", "in a text"])
def test_accepts_a_tag_value_known_only_at_deploy(stack: cdk.Stack, value: Any) -> None:
    add_job(stack, "ComedyFans", tags={"stack": value})
    ((tag),) = only_resource(stack, RESOURCE_TYPE)["Tags"]
    assert tag == {"key": "stack", "value": value.replace(cdk.Aws.STACK_NAME, "<AWS::StackName>")}


def test_accepts_a_scope_tag_value_known_only_at_deploy(stack: cdk.Stack) -> None:
    add_job(stack, "ComedyFans")
    cdk.Tags.of(stack).add("stack", cdk.Aws.STACK_NAME)
    assert only_resource(stack, RESOURCE_TYPE)["Tags"] == [{"key": "stack", "value": "<AWS::StackName>"}]


def test_counts_tags_when_all_are_known(app: cdk.App) -> None:
    stack = cdk.Stack(app, "Tagged", env=ENVIRONMENT)
    add_job(stack, "ComedyFans")
    for number in range(50):
        cdk.Tags.of(stack).add(f"tag-{number}-{'x' * 110}", "value")
    with pytest.raises(RuntimeError, match="too many jobs for one stack: the policy of the handler function has about"):
        Template.from_stack(stack)


def test_rejects_an_explicit_name_used_twice_in_a_stack(stack: cdk.Stack) -> None:
    storage = add_job(stack, "ComedyFans", job_name="mine").storage
    with pytest.raises(ValueError, match=r"^job_name: got 'mine', which another job of the stack has, expected a diff"):
        add_job(stack, "Again", job_name="mine", storage=storage)


def test_rejects_an_output_prefix_that_is_too_long(stack: cdk.Stack) -> None:
    with pytest.raises(ValueError, match=r"^output_prefix: got 200 characters, expected at most 123: an S3 path"):
        add_job(stack, "ComedyFans", output_prefix="x" * 199 + "/")


@pytest.mark.parametrize(
    ("prop", "value"),
    [
        ("solution_arn", f"arn:aws:personalize:{REGION}:{ACCOUNT}:solution/*"),
        ("solution_version_arn", f"arn:aws:personalize:{REGION}:{ACCOUNT}:solution/*/*"),
        ("solution_version_arn", "{token}/*"),
        ("filter_arn", f"arn:aws:personalize:{REGION}:{ACCOUNT}:filter/${{aws:username}}"),
        ("filter_arn", "{token}?"),
        ("job_name", "*{token}"),
        ("output_prefix", "*{token}/"),
    ],
)
def test_rejects_wildcards_in_every_text_that_policies_name(stack: cdk.Stack, prop: str, value: str) -> None:
    value = value.replace("{token}", cdk.CfnParameter(stack, "Text").value_as_string)
    with pytest.raises(ValueError, match=rf"^{prop}: got "):
        add_job(stack, **{prop: value})


def test_rejects_a_wildcard_in_the_name_of_an_imported_bucket(stack: cdk.Stack) -> None:
    bucket = s3.Bucket.from_bucket_name(stack, "Bucket", f"*-{cdk.Aws.ACCOUNT_ID}")
    with pytest.raises(ValueError, match=r"^bucket: got '\*-[^']*', expected a value without '\*', '\?' and"):
        BatchSegmentStorage(stack, "Storage", output_bucket=bucket)


def test_rejects_a_wildcard_in_the_arns_of_roles_and_keys(stack: cdk.Stack) -> None:
    role = iam.Role.from_role_arn(stack, "Role", f"arn:aws:iam::{ACCOUNT}:role/*")
    with pytest.raises(ValueError, match=r"^role: got 'arn:aws:iam::\d+:role/\*', expected a value without '\*'"):
        BatchSegmentStorage(stack, "Storage", role=role)
    for id, arn in (
        ("Key", f"arn:aws:kms:{REGION}:{ACCOUNT}:key/*"),
        ("TokenKey", f"arn:{cdk.Aws.PARTITION}:kms:{REGION}:{ACCOUNT}:key/*"),
        ("FakeToken", f"arn:aws:kms:{REGION}:{ACCOUNT}:key/${{Token[*]}}"),
    ):
        key = kms.Key.from_key_arn(stack, id, arn)
        with pytest.raises(ValueError, match=r"^encryption_key: got 'arn:[^']*', expected a value without '\*'"):
            BatchSegmentStorage(stack, f"Storage{id}", encryption_key=key)
