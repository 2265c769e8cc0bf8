"""A workflow: the settings of its functions, its tags, its schedule, its rules and its metrics."""

import re
from typing import Any

import aws_cdk as cdk
import aws_cdk.aws_events as events
import aws_cdk.aws_kms as kms
import aws_cdk.aws_s3 as s3
import aws_cdk.aws_scheduler as scheduler
import pytest
from cdk_personalize_segments import (
    Audience,
    BatchSegmentInput,
    BatchSegmentStorage,
)
from support.constants import ACCOUNT, FILTER, REGION, SOLUTION, VERSION
from support.templates import (
    add_workflow,
    definition,
    logical_id,
    new_audience,
    only_resource,
    policy_statements,
    resources,
    workflow_settings,
)

NAME = "Demo-f959b00b-Weekly-29751324"
MONDAY = scheduler.ScheduleExpression.cron(week_day="MON", hour="3", minute="0", time_zone=cdk.TimeZone.EUROPE_BERLIN)


# -- the settings of the functions


def test_a_plain_workflow_has_the_settings_of_its_storage(stack: cdk.Stack) -> None:
    workflow = add_workflow(stack)
    assert workflow.workflow_name == NAME
    assert workflow.schedule is None
    assert workflow.output_prefix == "segments/"
    input_bucket, output_bucket, role = (
        logical_id(stack, type_, containing)
        for type_, containing in (
            ("AWS::S3::Bucket", "InputBucket"),
            ("AWS::S3::Bucket", "OutputBucket"),
            ("AWS::IAM::Role", "StorageRole"),
        )
    )
    settings = workflow_settings(stack)
    assert re.fullmatch(r"[0-9a-f]{64}\.queries-f959b00b", settings.pop("AssetKey"))
    assert settings == {
        "Workflow": NAME,
        "StackId": "<AWS::StackId>",
        "SolutionArn": SOLUTION,
        "OnlyNewVersions": True,
        "TimeoutSeconds": 86400,
        "RoleArn": f"<{role}.Arn>",
        "AssetBucket": f"cdk-hnb659fds-assets-{ACCOUNT}-{REGION}",
        "InputBucket": f"<{input_bucket}>",
        "InputPrefix": "queries/",
        "OutputPath": f"s3://<{output_bucket}>/segments/",
    }
    machine = definition(stack)
    assert machine["TimeoutSeconds"] == 86400 + 3600
    audiences = machine["States"]["Audiences"]
    assert audiences["MaxConcurrency"] == 5
    assert audiences["ResultWriter"]["Parameters"] == {
        "Bucket": f"<{output_bucket}>",
        "Prefix": f"segments/_runs/{NAME}",
    }
    assert re.fullmatch(r"[0-9a-f]{64}\.jsonl", audiences["ItemReader"]["Parameters"]["Key"])


def test_every_option_reaches_the_functions(stack: cdk.Stack) -> None:
    key = kms.Key(stack, "Key")
    storage = BatchSegmentStorage(stack, "Storage", encryption_key=key)
    in_s3 = BatchSegmentInput.from_bucket(storage.input_bucket, "today/")
    from_bucket = Audience("viewers", in_s3, filter_arn=FILTER)
    add_workflow(
        stack,
        audiences=[new_audience(filter_arn=FILTER), from_bucket],
        solution_version_arn=VERSION,
        storage=storage,
        output_prefix="weekly/",
        only_new_versions=False,
        max_concurrency=20,
        timeout=cdk.Duration.days(2),
        tags={"team": "growth"},
    )
    settings = workflow_settings(stack)
    arn = f"<{logical_id(stack, 'AWS::KMS::Key', 'Key')}.Arn>"
    bucket = logical_id(stack, "AWS::S3::Bucket", "InputBucket")
    assert "SolutionArn" not in settings
    assert {name: settings[name] for name in settings if name not in ("AssetKey", "RoleArn", "StackId")} == {
        "Workflow": NAME,
        "SolutionVersionArn": VERSION,
        "OnlyNewVersions": False,
        "TimeoutSeconds": 2 * 86400,
        "AssetBucket": f"cdk-hnb659fds-assets-{ACCOUNT}-{REGION}",
        "InputBucket": f"<{bucket}>",
        "InputPrefix": "queries/",
        "InputKmsKeyArn": arn,
        "OutputPath": f"s3://<{logical_id(stack, 'AWS::S3::Bucket', 'OutputBucket')}>/weekly/",
        "OutputKmsKeyArn": arn,
        "Filters": [FILTER],
        "Inputs": [{"InputPath": f"s3://<{bucket}>/today/", "ValidateInput": "true", "InputKmsKeyArn": arn}],
        "Tags": [{"key": "team", "value": "growth"}],
    }
    assert definition(stack)["States"]["Audiences"]["MaxConcurrency"] == 20


def test_a_workflow_with_queries_in_s3_has_no_query_asset(stack: cdk.Stack) -> None:
    bucket = s3.Bucket(stack, "Queries")
    audience = Audience("fans", BatchSegmentInput.from_bucket(bucket, "in/", validate_input=False))
    add_workflow(stack, audiences=[audience])
    settings = workflow_settings(stack)
    assert not settings.keys() & {"AssetBucket", "AssetKey", "InputBucket", "InputPrefix"}
    assert settings["Inputs"] == [{"InputPath": f"s3://<{logical_id(stack, 'AWS::S3::Bucket', 'Queries')}>/in/"}]
    assert not [one for one in policy_statements(stack, "StartPolicy") if "s3:" in str(one["Action"])]
    assert len(resources(stack, "AWS::S3::Bucket")) == 2


def test_rounds_a_timeout_up_to_whole_seconds(stack: cdk.Stack) -> None:
    add_workflow(stack, timeout=cdk.Duration.millis(1500))
    assert workflow_settings(stack)["TimeoutSeconds"] == 2


def test_values_known_at_deploy_reach_the_functions(stack: cdk.Stack) -> None:
    solution = cdk.CfnParameter(stack, "Solution").value_as_string
    concurrency = cdk.CfnParameter(stack, "Concurrency", type="Number").value_as_number
    filter_arn = cdk.CfnParameter(stack, "Filter").value_as_string
    add_workflow(
        stack,
        solution_arn=solution,
        max_concurrency=concurrency,
        audiences=[new_audience(filter_arn=filter_arn)],
        tags={"team": cdk.Aws.STACK_NAME},
    )
    machine = only_resource(stack, "AWS::StepFunctions::StateMachine")
    text = machine["DefinitionString"]
    assert '"SolutionArn":"<Solution>"' in text
    assert '"MaxConcurrency":<Concurrency>' in text
    assert '"Filters":["<Filter>"]' in text
    assert '"Tags":[{"key":"team","value":"<AWS::StackName>"}]' in text


# -- tags


def test_tags_of_a_scope_reach_the_jobs(stack: cdk.Stack) -> None:
    add_workflow(stack, tags={"team": "growth"}, audiences=[new_audience(tags={"tier": "gold"})])
    cdk.Tags.of(stack).add("cost-center", "42")
    assert workflow_settings(stack)["Tags"] == [
        {"key": "cost-center", "value": "42"},
        {"key": "team", "value": "growth"},
    ]
    create = next(
        one for one in policy_statements(stack, "StartPolicy") if "personalize:CreateBatchSegmentJob" in one["Action"]
    )
    assert create["Condition"] == {"ForAllValues:StringEquals": {"aws:TagKeys": ["cost-center", "team", "tier"]}}


def test_a_workflow_without_tags_sets_none(stack: cdk.Stack) -> None:
    add_workflow(stack)
    assert "Tags" not in workflow_settings(stack)
    tag = next(one for one in policy_statements(stack, "StartPolicy") if "personalize:TagResource" in one["Action"])
    assert tag["Condition"] == {"Null": {"aws:TagKeys": "true"}}


@pytest.mark.parametrize(
    ("of_workflow", "of_audience", "message"),
    [
        (30, 21, "tags: got 51 for the audience 'fans', expected at most 50 on one job"),
        (51, 0, r"tags: got 51, expected at most 50 on one job, including those of Tags.of\(…\)"),
    ],
)
def test_rejects_more_tags_than_a_job_can_have(
    app: cdk.App, stack: cdk.Stack, of_workflow: int, of_audience: int, message: str
) -> None:
    tags = {f"w{number}": "x" for number in range(of_workflow)}
    own = {f"a{number}": "x" for number in range(of_audience)}
    add_workflow(stack, tags=tags, audiences=[new_audience(tags=own)])
    with pytest.raises(RuntimeError, match=message):
        app.synth()


def test_an_audience_overrides_a_tag_at_the_limit_of_50(app: cdk.App, stack: cdk.Stack) -> None:
    tags = {f"w{number}": "x" for number in range(50)}
    add_workflow(stack, tags=tags, audiences=[new_audience(tags={"w0": "y"})])
    app.synth()


# -- the schedule


def test_a_schedule_starts_this_machine_with_the_scheduled_time(stack: cdk.Stack) -> None:
    workflow = add_workflow(stack, schedule=MONDAY)
    assert workflow.schedule is not None
    machine = logical_id(stack, "AWS::StepFunctions::StateMachine", "Weekly")
    role = logical_id(stack, "AWS::IAM::Role", "ScheduleRole")
    assert only_resource(stack, "AWS::Scheduler::Schedule") == {
        "Description": "Starts the runs of a workflow",
        "FlexibleTimeWindow": {"Mode": "OFF"},
        "ScheduleExpression": "cron(0 3 ? * MON *)",
        "ScheduleExpressionTimezone": "Europe/Berlin",
        "State": "ENABLED",
        "Target": {
            "Arn": f"<{machine}>",
            "Input": '{"run":"<aws.scheduler.scheduled-time>"}',
            "RetryPolicy": {"MaximumEventAgeInSeconds": 86400, "MaximumRetryAttempts": 185},
            "RoleArn": f"<{role}.Arn>",
        },
    }
    properties = only_resource(stack, "AWS::IAM::Role", "ScheduleRole")
    (trust,) = properties["AssumeRolePolicyDocument"]["Statement"]
    assert trust == {
        "Effect": "Allow",
        "Action": "sts:AssumeRole",
        "Principal": {"Service": "scheduler.amazonaws.com"},
        "Condition": {
            "StringEquals": {
                "aws:SourceAccount": ACCOUNT,
                "aws:SourceArn": f"arn:<AWS::Partition>:scheduler:{REGION}:{ACCOUNT}:schedule-group/default",
            }
        },
    }
    (policy,) = properties["Policies"]
    assert policy["PolicyDocument"]["Statement"] == [
        {"Effect": "Allow", "Action": "states:StartExecution", "Resource": f"<{machine}>"}
    ]
    # Nothing else is granted to the role.
    assert not [name for name in resources(stack, "AWS::IAM::Policy") if "ScheduleRole" in name]


def test_a_schedule_waits_for_the_permissions_of_its_runs(stack: cdk.Stack) -> None:
    add_workflow(stack, schedule=MONDAY)
    (schedule,) = resources(stack, "AWS::Scheduler::Schedule").values()
    for part in ("StateMachinePolicy", "InputBucketPolicy", "OutputBucketPolicy", "StorageRoleDefaultPolicy"):
        assert any(part in name for name in schedule["DependsOn"])


# -- rules and metrics


@pytest.mark.parametrize(
    ("method", "types", "detail"),
    [
        ("on_succeeded", ["Personalize Segments Succeeded"], {}),
        (
            "on_failed",
            ["Personalize Segments Failed", "Personalize Segments Run Completed"],
            {"status": ["FAILED"], "reason": [{"exists": True}]},
        ),
        ("on_completed", ["Personalize Segments Run Completed"], {}),
    ],
)
def test_a_rule_matches_the_workflows_own_events(
    stack: cdk.Stack, method: str, types: list[str], detail: dict[str, Any]
) -> None:
    rule = getattr(add_workflow(stack), method)("Rule", description="for the team")
    assert isinstance(rule, events.Rule)
    assert only_resource(stack, "AWS::Events::Rule") == {
        "Description": "for the team",
        "EventPattern": {
            "source": ["cdk-personalize-segments"],
            "detail-type": types,
            "detail": {"workflow": [NAME], **detail},
        },
        "State": "ENABLED",
    }


@pytest.mark.parametrize(
    ("method", "name", "statistic"),
    [
        ("metric_jobs_succeeded", "JobsSucceeded", "Sum"),
        ("metric_jobs_failed", "JobsFailed", "Sum"),
        ("metric_jobs_queued", "JobsQueued", "Sum"),
        ("metric_query_errors", "QueryErrors", "Sum"),
        ("metric_run_duration", "RunDuration", "Maximum"),
    ],
)
def test_a_metric_has_the_dimension_of_the_workflow(stack: cdk.Stack, method: str, name: str, statistic: str) -> None:
    metric = getattr(add_workflow(stack), method)(period=cdk.Duration.minutes(1))
    assert (metric.namespace, metric.metric_name, metric.statistic) == ("PersonalizeBatchSegments", name, statistic)
    assert metric.dimensions == {"Workflow": NAME}
    assert metric.period.to_seconds() == 60


def test_the_age_metric_has_the_dimension_of_an_audience(stack: cdk.Stack) -> None:
    audience = new_audience()
    workflow = add_workflow(stack, audiences=[audience])
    for metric in (workflow.metric_segment_age(audience), workflow.metric_segment_age("fans")):
        assert (metric.metric_name, metric.statistic) == ("SegmentAge", "Maximum")
        assert metric.dimensions == {"Workflow": NAME, "Audience": "fans"}
    with pytest.raises(ValueError, match="audience") as refused:
        workflow.metric_segment_age("nobody")
    assert str(refused.value) == f"audience: got 'nobody', expected the name of an audience of {NAME}"
