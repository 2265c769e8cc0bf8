"""The events of jobs that are created at deploy time, and the state machine that waits for these jobs."""

import json
from typing import Any

import aws_cdk as cdk
import aws_cdk.aws_events_targets as targets
import aws_cdk.aws_kms as kms
import aws_cdk.aws_s3 as s3
import aws_cdk.aws_sns as sns
import pytest
from batch_segment_handler.contract import RESOURCE_TYPE
from cdk_personalize_segments import BatchSegmentProvider, BatchSegmentStorage
from support.constants import ACCOUNT, REGION
from support.templates import (
    ENVIRONMENT,
    add_job,
    add_workflow,
    as_list,
    count_resources,
    definition,
    job_properties,
    logical_id,
    only_resource,
    policy_statements,
    resources,
    warnings,
)

PREFIX = "Demo-f959b00b-Job-ad617a0f"
OF_STACK = f"arn:<AWS::Partition>:personalize:{REGION}:{ACCOUNT}:batch-segment-job/Demo-f959b00b-*"


@pytest.mark.parametrize(
    ("method", "types"),
    [
        ("on_succeeded", ["Personalize Segments Succeeded"]),
        ("on_failed", ["Personalize Segments Failed"]),
        ("on_completed", ["Personalize Segments Succeeded", "Personalize Segments Failed"]),
    ],
)
def test_a_rule_matches_the_events_of_the_construct(stack: cdk.Stack, method: str, types: list[str]) -> None:
    topic = sns.Topic(stack, "Topic")
    getattr(add_job(stack), method)("Rule", target=targets.SnsTopic(topic), description="for the team")
    rule = only_resource(stack, "AWS::Events::Rule")
    assert rule["EventPattern"] == {
        "source": ["cdk-personalize-segments"],
        "detail-type": types,
        "detail": {"jobNames": [{"prefix": f"{PREFIX}-"}]},
    }
    assert rule["Description"] == "for the team"
    assert [target["Arn"] for target in rule["Targets"]] == [f"<{logical_id(stack, 'AWS::SNS::Topic', 'Topic')}>"]


def test_a_rule_matches_an_explicit_name_exactly(stack: cdk.Stack) -> None:
    add_job(stack, job_name="mine").on_failed("Rule")
    assert only_resource(stack, "AWS::Events::Rule")["EventPattern"]["detail"] == {"jobNames": ["mine"]}


def test_a_rule_can_be_in_the_stack_of_its_target(app: cdk.App, stack: cdk.Stack) -> None:
    other = cdk.Stack(app, "Other", env=ENVIRONMENT)
    add_job(stack).on_failed("Rule", scope=other, target=targets.SnsTopic(sns.Topic(other, "Topic")))
    assert len(resources(other, "AWS::Events::Rule")) == 1
    assert not resources(stack, "AWS::Events::Rule")
    assert stack.dependencies == []


def test_a_job_without_rules_is_not_watched(stack: cdk.Stack) -> None:
    add_job(stack)
    assert "WatcherArn" not in job_properties(stack)
    assert not resources(stack, "AWS::StepFunctions::StateMachine")


def test_events_do_not_change_the_jobs_definition(stack: cdk.Stack) -> None:
    usual = cdk.Stack(cdk.App(), "Demo", env=ENVIRONMENT)
    add_job(usual)
    add_job(stack).on_failed("Rule")
    watched, unwatched = (only_resource(one, RESOURCE_TYPE) for one in (stack, usual))
    assert watched.pop("WatcherArn") == f"<{logical_id(stack, 'AWS::StepFunctions::StateMachine', 'Watcher')}>"
    assert watched == unwatched


def test_the_jobs_of_a_stack_share_a_watcher(stack: cdk.Stack) -> None:
    storage = BatchSegmentStorage(stack, "Storage")
    first, second = add_job(stack, "First", storage=storage), add_job(stack, "Second", storage=storage)
    add_job(stack, "Third", storage=storage)
    before = count_without_events()
    first.on_failed("Failed")
    first.on_succeeded("Succeeded")
    second.on_failed("Failed")
    watched = {
        name: "WatcherArn" in resource["Properties"] for name, resource in resources(stack, RESOURCE_TYPE).items()
    }
    assert sorted(watched.values()) == [False, True, True]
    # The Describe function and the watcher, each with a role and a policy, and three rules.
    assert count_resources(stack) - before == 6 + 3


def count_without_events() -> int:
    stack = cdk.Stack(cdk.App(), "Demo", env=ENVIRONMENT)
    storage = BatchSegmentStorage(stack, "Storage")
    for name in ("First", "Second", "Third"):
        add_job(stack, name, storage=storage)
    return count_resources(stack)


def test_the_watcher_waits_before_the_first_check(stack: cdk.Stack) -> None:
    add_job(stack).on_failed("Rule")
    machine = definition(stack, "Watcher")
    assert machine["StartAt"] == "Wait"
    describe = machine["States"]["Describe"]["Parameters"]
    assert describe["FunctionName"] == f"<{logical_id(stack, 'AWS::Lambda::Function', 'Describe')}.Arn>"
    assert describe["Payload"]["Settings"] == {"Workflow": "", "StackId": "<AWS::StackId>"}


def test_a_job_waits_for_the_permissions_of_its_watcher(stack: cdk.Stack) -> None:
    add_job(stack).on_failed("Rule")
    (job,) = resources(stack, RESOURCE_TYPE).values()
    assert any("WatcherPolicy" in name for name in job["DependsOn"])


def test_the_handler_may_start_the_watcher_and_nothing_else(stack: cdk.Stack) -> None:
    usual = cdk.Stack(cdk.App(), "Demo", env=ENVIRONMENT)
    add_job(usual)
    add_job(stack).on_failed("Rule")
    *before, start = policy_statements(stack, "HandlerPolicy")
    assert before == policy_statements(usual, "HandlerPolicy")
    watcher = logical_id(stack, "AWS::StepFunctions::StateMachine", "Watcher")
    assert start == {"Effect": "Allow", "Action": ["states:StartExecution"], "Resource": [f"<{watcher}>"]}


def test_the_watcher_may_call_one_function_and_publish(stack: cdk.Stack) -> None:
    add_job(stack).on_failed("Rule")
    describe = logical_id(stack, "AWS::Lambda::Function", "Describe")
    assert policy_statements(stack, "WatcherPolicy") == [
        {"Effect": "Allow", "Action": ["lambda:InvokeFunction"], "Resource": [f"<{describe}.Arn>"]},
        {
            "Effect": "Allow",
            "Action": ["events:PutEvents"],
            "Resource": [f"arn:<AWS::Partition>:events:{REGION}:{ACCOUNT}:event-bus/default"],
            "Condition": {"StringEquals": {"events:source": "cdk-personalize-segments"}},
        },
    ]


def test_the_function_reads_the_output_of_watched_jobs(stack: cdk.Stack) -> None:
    key = kms.Key(stack, "Key")
    storage = BatchSegmentStorage(stack, "Storage", encryption_key=key)
    add_job(stack, storage=storage).on_failed("Rule")
    add_job(stack, "Explicit", job_name="mine", storage=storage).on_failed("Rule")
    add_job(stack, "Unwatched", job_name="theirs", storage=storage)
    bucket = logical_id(stack, "AWS::S3::Bucket", "OutputBucket")
    describe, listing, reading, of_key = policy_statements(stack, "DescribePolicy")
    assert describe["Resource"] == [OF_STACK, OF_STACK.replace("Demo-f959b00b-*", "mine")]
    assert listing["Condition"]["StringLike"] == {
        "s3:prefix": ["segments/Demo-f959b00b-*/", "segments/mine/"],
    }
    assert reading["Resource"] == [f"<{bucket}.Arn>/segments/Demo-f959b00b-*/*", f"<{bucket}.Arn>/segments/mine/*"]
    assert of_key["Action"] == ["kms:Decrypt"]
    assert of_key["Resource"] == [f"<{logical_id(stack, 'AWS::KMS::Key', 'Key')}.Arn>"]


def test_a_waiting_job_can_have_events(stack: cdk.Stack) -> None:
    add_job(stack, wait_for_completion=cdk.Duration.minutes(30)).on_succeeded("Rule")
    assert "WatcherArn" in job_properties(stack)


def test_a_watcher_and_a_workflow_share_the_function(stack: cdk.Stack) -> None:
    add_job(stack).on_failed("Rule")
    add_workflow(stack)
    functions = [name for name in resources(stack, "AWS::Lambda::Function") if "Describe" in name]
    assert len(functions) == 1
    (describe,) = [one for one in policy_statements(stack, "DescribePolicy") if "personalize:" in str(one["Action"])]
    assert describe["Resource"] == [OF_STACK]


def test_the_watcher_can_be_traced(stack: cdk.Stack) -> None:
    BatchSegmentProvider(stack, "Provider", tracing=True)
    add_job(stack).on_failed("Rule")
    machine = only_resource(stack, "AWS::StepFunctions::StateMachine", "Watcher")
    assert machine["TracingConfiguration"] == {"Enabled": True}


def test_warns_of_the_functions_statement_for_a_foreign_bucket(stack: cdk.Stack) -> None:
    bucket = s3.Bucket.from_bucket_attributes(
        stack, "Theirs", bucket_arn="arn:aws:s3:::theirs", account="210987654321", region=REGION
    )
    add_job(stack, storage=BatchSegmentStorage(stack, "Storage", output_bucket=bucket)).on_failed("Rule")
    (text,) = [one for one in warnings(stack) if "the policy of the bucket theirs" in one]
    listed: list[dict[str, Any]] = json.loads(text[text.index(": [") + 2 : text.rindex("}]") + 2])
    root = {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}
    assert [(as_list(one["Action"]), one["Resource"]) for one in listed if one["Principal"] == root] == [
        (["s3:ListBucket"], "arn:aws:s3:::theirs"),
        (["s3:GetObject"], "arn:aws:s3:::theirs/segments/Demo-f959b00b-*/*"),
    ]
