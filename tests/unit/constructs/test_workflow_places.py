"""Several workflows in a stack, workflows in other stacks, stages and accounts, and with an organization's roles."""

import json
import re
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import aws_cdk.aws_iam as iam
import aws_cdk.aws_kms as kms
import aws_cdk.aws_s3 as s3
import aws_cdk.aws_scheduler as scheduler
import pytest
from cdk_personalize_segments import (
    Audience,
    BatchSegmentInput,
    BatchSegmentProvider,
    BatchSegmentStorage,
)
from support.constants import ACCOUNT, REGION
from support.templates import (
    ENVIRONMENT,
    add_job,
    add_workflow,
    as_list,
    count_resources,
    new_audience,
    only_resource,
    policy_statements,
    resources,
    warnings,
)

MONDAY = scheduler.ScheduleExpression.cron(week_day="MON", hour="3", minute="0", time_zone=cdk.TimeZone.EUROPE_BERLIN)


# -- several in a stack, and in other places


def test_workflows_of_a_stack_share_the_functions(stack: cdk.Stack) -> None:
    storage = BatchSegmentStorage(stack, "Storage")
    first = add_workflow(stack, "Weekly", storage=storage)
    second = add_workflow(stack, "Daily", storage=storage, audiences=[new_audience("others")])
    assert first.workflow_name != second.workflow_name
    assert len(resources(stack, "AWS::Lambda::Function")) == 2
    assert len(resources(stack, "AWS::StepFunctions::StateMachine")) == 2
    # Both workflows write to folders of the same pattern.
    assert len(policy_statements(stack, "StorageRole")) == 4


def test_a_stack_without_jobs_has_no_handler(stack: cdk.Stack) -> None:
    add_workflow(stack)
    assert sorted(re.sub(r"[0-9A-F]{8}$", "", name) for name in resources(stack, "AWS::Lambda::Function")) == [
        "PersonalizeBatchSegmentProviderDescribe",
        "PersonalizeBatchSegmentProviderStart",
    ]


def test_a_workflow_changes_no_job_of_the_stack(stack: cdk.Stack) -> None:
    usual = cdk.Stack(cdk.App(), "Demo", env=ENVIRONMENT)
    for one in (stack, usual):
        add_job(one)
    add_workflow(stack)
    for policy in ("HandlerPolicy", "JobStorageRole"):
        assert policy_statements(stack, policy) == policy_statements(usual, policy)


def test_rejects_an_audience_of_the_same_name_in_one_folder(stack: cdk.Stack) -> None:
    storage = BatchSegmentStorage(stack, "Storage")
    add_workflow(stack, "Weekly", storage=storage)
    with pytest.raises(ValueError, match="audiences") as refused:
        add_workflow(stack, "Daily", storage=storage)
    assert str(refused.value) == (
        "audiences[0]: got the name 'fans', which an audience of another workflow uses for 'segments/audience=fans/', "
        "expected a different name, or a different output_prefix for one of the workflows"
    )
    add_workflow(stack, "Hourly", storage=storage, output_prefix="hourly/")


def test_a_workflow_in_a_nested_stack_has_functions_of_its_own(app: cdk.App, stack: cdk.Stack) -> None:
    nested = cdk.NestedStack(stack, "Nested")
    outer, inner = add_workflow(stack), add_workflow(nested)
    assert outer.workflow_name != inner.workflow_name
    assert len(resources(nested, "AWS::Lambda::Function")) == 2
    app.synth()


def test_workflows_of_stages_have_different_names(app: cdk.App) -> None:
    names = set()
    for name in ("Beta", "Prod"):
        stage = cdk.Stage(app, name, env=ENVIRONMENT)
        names.add(add_workflow(cdk.Stack(stage, "Demo")).workflow_name)
    assert len(names) == 2
    app.synth()


def test_a_storage_of_another_stack_is_shared(app: cdk.App, stack: cdk.Stack) -> None:
    storage = BatchSegmentStorage(stack, "Storage")
    other = cdk.Stack(app, "Other", env=ENVIRONMENT)
    add_workflow(other, storage=storage, schedule=MONDAY)
    app.synth()
    assert "<import " in only_resource(other, "AWS::StepFunctions::StateMachine")["DefinitionString"]


def test_rejects_input_and_storage_of_different_stacks(app: cdk.App, stack: cdk.Stack) -> None:
    other = cdk.Stack(app, "Other", env=ENVIRONMENT)
    storage = BatchSegmentStorage(other, "Storage")
    audience = Audience("fans", BatchSegmentInput.from_bucket(s3.Bucket(stack, "Queries"), "in/"))
    with pytest.raises(ValueError, match=r"segment_input: got a bucket of the stack Demo with a storage of Other"):
        add_workflow(stack, storage=storage, audiences=[audience])


def test_every_arn_has_the_partition_of_the_stack() -> None:
    stack = cdk.Stack(cdk.App(), "China", env=cdk.Environment(account=ACCOUNT, region="cn-north-1"))
    solution = f"arn:aws-cn:personalize:cn-north-1:{ACCOUNT}:solution/films"
    add_workflow(stack, solution_arn=solution, schedule=MONDAY)
    for type_ in ("AWS::IAM::Role", "AWS::IAM::Policy", "AWS::StepFunctions::StateMachine"):
        assert "arn:aws:" not in str(resources(stack, type_))


# -- resources


@pytest.mark.parametrize("number", [1, 300])
def test_has_eighteen_resources_at_most_beyond_the_storage(stack: cdk.Stack, number: int) -> None:
    storage = BatchSegmentStorage(stack, "Storage")
    before = 6  # Two buckets, their policies, the role and its policy.
    audiences = [new_audience(f"a{one}", str(one)) for one in range(number)]
    add_workflow(stack, storage=storage, schedule=MONDAY, audiences=audiences).on_failed("Failed")
    assert count_resources(stack) - before == 13


def test_the_functions_and_the_machine_can_be_traced(stack: cdk.Stack) -> None:
    BatchSegmentProvider(stack, "Provider", tracing=True)
    add_workflow(stack)
    assert only_resource(stack, "AWS::StepFunctions::StateMachine")["TracingConfiguration"] == {"Enabled": True}
    for function in resources(stack, "AWS::Lambda::Function").values():
        assert function["Properties"]["TracingConfig"] == {"Mode": "Active"}
    assert [one["Action"] for one in policy_statements(stack, "StateMachinePolicy") if one["Resource"] == ["*"]] == [
        [
            "xray:PutTelemetryRecords",
            "xray:PutTraceSegments",
            "xray:GetSamplingRules",
            "xray:GetSamplingTargets",
        ]
    ]


def test_too_many_inputs_for_a_role_are_an_error(stack: cdk.Stack) -> None:
    bucket = s3.Bucket(stack, "Queries")
    audiences = [
        Audience(f"a{number}", BatchSegmentInput.from_bucket(bucket, f"a-long-folder-name/{number}/"))
        for number in range(200)
    ]
    with pytest.raises(ValueError, match="the policy of the starting function has about"):
        add_workflow(stack, audiences=audiences)


# -- an organization's roles, buckets and keys


def of_iam(template: dict[str, Any]) -> list[str]:
    return [one["Type"] for one in template["Resources"].values() if one["Type"].startswith("AWS::IAM")]


def actions(statements: list[dict[str, Any]]) -> list[str]:
    return sorted(action for one in statements for action in as_list(one["Action"]))


def test_precreated_roles_have_every_statement_in_the_report(tmp_path: Path) -> None:
    app = cdk.App(outdir=str(tmp_path / "custom"))
    stack = cdk.Stack(app, "Demo", env=ENVIRONMENT)
    iam.Role.customize_roles(stack)
    add_workflow(stack, schedule=MONDAY)
    app.synth()
    assert of_iam(json.loads((tmp_path / "custom" / "Demo.template.json").read_text())) == []
    report = json.loads((tmp_path / "custom" / "iam-policy-report.json").read_text())
    reported = {
        role["roleConstructPath"].rpartition("/")[2]: actions(role["identityPolicyStatements"])
        for role in report["roles"]
    }
    usual = cdk.Stack(cdk.App(), "Demo", env=ENVIRONMENT)
    add_workflow(usual, schedule=MONDAY)
    written: dict[str, list[str]] = {}
    for role_id, role in resources(usual, "AWS::IAM::Role").items():
        path = next(
            name for name in sorted(reported, key=len, reverse=True) if re.search(f"{name}[0-9A-F]{{8}}$", role_id)
        )
        statements = [
            statement
            for policy in role["Properties"].get("Policies", [])
            for statement in policy["PolicyDocument"]["Statement"]
        ]
        for policy in resources(usual, "AWS::IAM::Policy").values():
            if policy["Properties"]["Roles"] == [f"<{role_id}>"]:
                statements += policy["Properties"]["PolicyDocument"]["Statement"]
        written[path] = actions(statements)
    assert reported == written
    assert set(reported) == {"DescribeRole", "Role", "ScheduleRole", "StartRole", "StateMachineRole"}


def test_a_permissions_boundary_and_tags_reach_every_role(stack: cdk.Stack) -> None:
    add_workflow(stack, schedule=MONDAY)
    boundary = iam.ManagedPolicy.from_managed_policy_name(stack, "Boundary", "boundary")
    iam.PermissionsBoundary.of(stack).apply(boundary)
    cdk.Tags.of(stack).add("cost-center", "42")
    roles = resources(stack, "AWS::IAM::Role")
    assert len(roles) == 5
    for role in roles.values():
        assert role["Properties"]["PermissionsBoundary"] == f"arn:<AWS::Partition>:iam::{ACCOUNT}:policy/boundary"
        assert role["Properties"]["Tags"] == [{"Key": "cost-center", "Value": "42"}]


def test_a_role_of_the_app_gets_the_statements_of_both_functions(stack: cdk.Stack) -> None:
    role = iam.Role(stack, "Mine", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
    BatchSegmentProvider(stack, "Provider", role=role)
    add_workflow(stack)
    assert {name for name in resources(stack, "AWS::IAM::Role") if "Start" in name or "Describe" in name} == set()
    assert "personalize:CreateBatchSegmentJob" in actions(policy_statements(stack, "StartPolicy"))
    for policy in ("StartPolicy", "DescribePolicy"):
        assert policy_statements(stack, policy)[0]["Action"] == ["logs:CreateLogStream", "logs:PutLogEvents"]
        assert only_resource(stack, "AWS::IAM::Policy", policy)["PolicyName"] == f"Demo-f959b00b-{policy}"


def test_warns_with_the_statements_for_an_imported_lambda_role(stack: cdk.Stack) -> None:
    role = iam.Role.from_role_arn(stack, "Theirs", f"arn:aws:iam::{ACCOUNT}:role/theirs")
    BatchSegmentProvider(stack, "Provider", role=role)
    add_workflow(stack)
    found = [text for text in warnings(stack) if "because it is imported" in text]
    assert len(found) == 2
    assert "personalize:CreateBatchSegmentJob" in "".join(found)


def test_warns_of_an_imported_role_and_bucket_of_the_storage(stack: cdk.Stack) -> None:
    storage = BatchSegmentStorage(
        stack,
        "Storage",
        output_bucket=s3.Bucket.from_bucket_name(stack, "Theirs", "theirs"),
        role=iam.Role.from_role_arn(stack, "Role", f"arn:aws:iam::{ACCOUNT}:role/theirs", mutable=False),
    )
    add_workflow(stack, storage=storage)
    text = "".join(warnings(stack))
    assert "cannot modify the policy of the bucket theirs because it is imported" in text
    assert "cannot modify the policy of the role" in text
    assert "arn:aws:s3:::theirs/segments/audience=*/run=*/Demo-f959b00b-*/*" in text


def test_warns_of_the_statements_for_a_foreign_bucket(stack: cdk.Stack) -> None:
    key = kms.Key.from_key_arn(stack, "TheirKey", f"arn:aws:kms:{REGION}:210987654321:key/1a2b")
    bucket = s3.Bucket.from_bucket_attributes(
        stack, "Theirs", bucket_arn="arn:aws:s3:::theirs", account="210987654321", region=REGION, encryption_key=key
    )
    name = add_workflow(stack, storage=BatchSegmentStorage(stack, "Storage", output_bucket=bucket)).workflow_name
    (of_bucket,) = [text for text in warnings(stack) if "the policy of the bucket theirs" in text]
    listed = json.loads(of_bucket[of_bucket.index(": [") + 2 : of_bucket.rindex("}]") + 2])
    root = {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}
    assert [(one["Action"], one["Resource"], one.get("Condition")) for one in listed if one["Principal"] == root] == [
        ("s3:ListBucket", "arn:aws:s3:::theirs", {"StringLike": {"s3:prefix": "segments/audience=*"}}),
        ("s3:GetObject", "arn:aws:s3:::theirs/segments/audience=*", None),
        (
            ["s3:PutObject", "s3:GetObject", "s3:ListMultipartUploadParts", "s3:AbortMultipartUpload"],
            f"arn:aws:s3:::theirs/segments/_runs/{name}/*",
            None,
        ),
    ]
    (of_key,) = [text for text in warnings(stack) if "the policy of the key" in text]
    assert "kms:GenerateDataKey" in of_key
    # The bucket belongs to another account, so there is no condition on its account.
    results = next(one for one in policy_statements(stack, "StateMachinePolicy") if "s3:PutObject" in one["Action"])
    assert "Condition" not in results
