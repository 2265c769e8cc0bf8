"""The options of a provider that an organization sets: roles, keys, VPC, logs, tracing."""

import json
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import aws_cdk.aws_ec2 as ec2
import aws_cdk.aws_iam as iam
import aws_cdk.aws_kms as kms
import aws_cdk.aws_logs as logs
import aws_cdk.aws_s3 as s3
import aws_cdk.custom_resources as cr
import pytest
from aws_cdk.assertions import Annotations, Match, Template
from cdk_personalize_segments import (
    BatchSegmentProvider,
    BatchSegmentStorage,
)
from support.constants import ACCOUNT, REGION
from support.templates import (
    ENVIRONMENT,
    add_job,
    as_list,
    count_resources,
    job_properties,
    only_resource,
    policy_statements,
    readable,
    resources,
)

WAIT = cdk.Duration.minutes(30)


def lambda_role(stack: cdk.Stack) -> iam.Role:
    return iam.Role(stack, "Mine", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))


# -- roles


@pytest.mark.parametrize("wait", [None, WAIT])
def test_precreated_roles_have_every_statement_in_the_report(tmp_path: Path, wait: cdk.Duration | None) -> None:
    app = cdk.App(outdir=str(tmp_path / "custom"))
    stack = cdk.Stack(app, "Demo", env=ENVIRONMENT)
    iam.Role.customize_roles(stack)
    add_job(stack, wait_for_completion=wait, tags={"team": "growth"})
    app.synth()
    template = json.loads((tmp_path / "custom" / "Demo.template.json").read_text())
    assert [one["Type"] for one in template["Resources"].values() if one["Type"].startswith("AWS::IAM")] == []
    report = json.loads((tmp_path / "custom" / "iam-policy-report.json").read_text())
    reported = {
        role["roleConstructPath"].rpartition("/")[2]: _actions(role["identityPolicyStatements"])
        for role in report["roles"]
    }

    usual = cdk.Stack(cdk.App(), "Demo", env=ENVIRONMENT)
    add_job(usual, wait_for_completion=wait, tags={"team": "growth"})
    written: dict[str, list[str]] = {}
    for logical_id, role in resources(usual, "AWS::IAM::Role").items():
        path = next(name for name in reported if _is_role(logical_id, name))
        written[path] = _actions(
            [
                statement
                for policy in role["Properties"].get("Policies", [])
                for statement in policy["PolicyDocument"]["Statement"]
            ]
        )
        for policy in resources(usual, "AWS::IAM::Policy").values():
            if policy["Properties"]["Roles"] == [f"<{logical_id}>"]:
                written[path] += _actions(policy["Properties"]["PolicyDocument"]["Statement"])
    assert {name: sorted(actions) for name, actions in reported.items()} == {
        name: sorted(actions) for name, actions in written.items()
    }


def _actions(of: list[dict[str, Any]]) -> list[str]:
    return [action for statement in of for action in as_list(statement["Action"])]


def _is_role(logical_id: str, name: str) -> bool:
    return {
        "Role": "StorageRole" in logical_id or "statemachineRole" in logical_id,
        "HandlerRole": "HandlerRole" in logical_id,
        "IsCompleteRole": "IsCompleteRole" in logical_id,
        "FrameworkRole": "ProviderFrameworkRole" in logical_id,
        "WaitingFrameworkRole": "WaitingFrameworkRole" in logical_id,
        "WaiterRole": "WaiterRole" in logical_id,
    }[name]


def test_boundaries_and_tags_of_aspects_reach_every_role(app: cdk.App, stack: cdk.Stack) -> None:
    add_job(stack, wait_for_completion=WAIT)
    boundary = f"arn:aws:iam::{ACCOUNT}:policy/boundary"
    iam.PermissionsBoundary.of(app).apply(iam.ManagedPolicy.from_managed_policy_arn(stack, "Boundary", boundary))
    cdk.Tags.of(app).add("cost-center", "42")
    roles = resources(stack, "AWS::IAM::Role")
    assert len(roles) == 6
    for role in roles.values():
        assert role["Properties"]["PermissionsBoundary"] == boundary
        assert {"Key": "cost-center", "Value": "42"} in role["Properties"]["Tags"]


def test_a_role_of_the_app_gets_the_statements_of_both_functions(stack: cdk.Stack) -> None:
    BatchSegmentProvider(stack, "Provider", role=lambda_role(stack))
    add_job(stack, wait_for_completion=WAIT)
    assert not [name for name in resources(stack, "AWS::IAM::Role") if "HandlerRole" in name or "IsComplete" in name]
    (logs_,) = [name for name in resources(stack, "AWS::Logs::LogGroup") if name.startswith("ProviderLogs")]
    for policy in ("HandlerPolicy", "IsCompletePolicy"):
        assert policy_statements(stack, policy)[0] == {
            "Effect": "Allow",
            "Action": ["logs:CreateLogStream", "logs:PutLogEvents"],
            "Resource": [f"<{logs_}.Arn>"],
        }
    assert "personalize:CreateBatchSegmentJob" in _actions(policy_statements(stack, "HandlerPolicy"))


def test_warns_with_every_statement_of_an_imported_role(app: cdk.App, stack: cdk.Stack) -> None:
    role = iam.Role.from_role_arn(stack, "Theirs", f"arn:aws:iam::{ACCOUNT}:role/theirs")
    BatchSegmentProvider(stack, "Provider", role=role)
    add_job(stack)
    app.synth()
    (found,) = Annotations.from_stack(stack).find_warning("*", Match.string_like_regexp("because it is imported"))
    text = str(found.entry.data)
    listed = json.loads(text[text.index(": [") + 2 : text.rindex("]", 0, text.rindex("[ack")) + 1])
    usual = cdk.Stack(cdk.App(), "Demo", env=ENVIRONMENT)
    add_job(usual)
    assert _actions(listed) == [
        "logs:CreateLogStream",
        "logs:PutLogEvents",
        *_actions(policy_statements(usual, "HandlerPolicy")),
    ]
    assert "Fn::" not in text


def test_rejects_a_second_provider_in_a_stack(stack: cdk.Stack) -> None:
    add_job(stack)
    with pytest.raises(
        ValueError, match=r"^provider: got a second BatchSegmentProvider in the stack Demo, expected one: create it"
    ):
        BatchSegmentProvider(stack, "Provider")


# -- keys and logs


def test_a_provider_without_jobs_has_a_log_group_only(stack: cdk.Stack) -> None:
    BatchSegmentProvider(stack, "Provider")
    assert count_resources(stack) == 1
    assert len(resources(stack, "AWS::Logs::LogGroup")) == 1


def test_without_jobs_the_role_can_only_describe_its_stack(stack: cdk.Stack) -> None:
    assert BatchSegmentProvider(stack, "Provider").role.node.id == "HandlerRole"
    assert policy_statements(stack, "HandlerPolicy") == [
        {"Effect": "Allow", "Action": ["cloudformation:DescribeStacks"], "Resource": ["<AWS::StackId>"]}
    ]


def test_the_provider_that_a_job_creates_has_the_default_id(stack: cdk.Stack) -> None:
    add_job(stack)
    assert stack.node.find_child(BatchSegmentProvider.DEFAULT_ID) is BatchSegmentProvider.of(stack)


def test_grants_and_names_the_key_of_the_assets(stack: cdk.Stack) -> None:
    key = kms.Key.from_key_arn(stack, "Key", f"arn:aws:kms:{REGION}:{ACCOUNT}:key/1a2b")
    BatchSegmentProvider(stack, "Provider", asset_encryption_key=key)
    add_job(stack)
    granted = [one for one in policy_statements(stack, "HandlerPolicy") if "kms:Decrypt" in one["Action"]]
    via_s3 = {"StringLike": {"kms:ViaService": f"s3.{REGION}.amazonaws.com*"}}
    assert granted == [{"Effect": "Allow", "Action": ["kms:Decrypt"], "Resource": [key.key_arn], "Condition": via_s3}]
    assert job_properties(stack)["AssetKmsKeyArn"] == key.key_arn


def test_grants_no_key_without_a_key_of_the_assets(stack: cdk.Stack) -> None:
    add_job(stack)
    assert "kms:" not in str(_actions(policy_statements(stack, "HandlerPolicy")))
    assert "AssetKmsKeyArn" not in job_properties(stack)


def test_log_groups_can_have_a_key_and_are_retained(stack: cdk.Stack) -> None:
    key = kms.Key(stack, "Key")
    BatchSegmentProvider(stack, "Provider", log_encryption_key=key, log_retention=logs.RetentionDays.ONE_YEAR)
    add_job(stack)
    groups = resources(stack, "AWS::Logs::LogGroup")
    assert len(groups) == 2
    for group in groups.values():
        assert group["DeletionPolicy"] == "Retain"
        assert group["Properties"]["KmsKeyId"] == readable(stack.resolve(key.key_arn))
        assert group["Properties"]["RetentionInDays"] == 365
    assert only_resource(stack, "AWS::KMS::Key")["KeyPolicy"]["Statement"][-1] == {
        "Action": ["kms:Encrypt*", "kms:Decrypt*", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:Describe*"],
        "Condition": {
            "ArnLike": {
                "kms:EncryptionContext:aws:logs:arn": [
                    f"arn:<AWS::Partition>:logs:{REGION}:{ACCOUNT}:log-group:Demo-{logical_id}-*"
                    for logical_id in groups
                ]
            }
        },
        "Effect": "Allow",
        "Principal": {"Service": f"logs.{REGION}.amazonaws.com"},
        "Resource": "*",
    }


# -- VPC and tracing


def test_functions_in_a_vpc_have_its_permissions(stack: cdk.Stack) -> None:
    vpc = ec2.Vpc(stack, "Vpc", max_azs=2)
    BatchSegmentProvider(stack, "Provider", vpc=vpc)
    add_job(stack, wait_for_completion=WAIT)
    functions = resources(stack, "AWS::Lambda::Function")
    ours = {name: one for name, one in functions.items() if name.startswith("Provider")}
    assert len(ours) == 5
    assert all("VpcConfig" in one["Properties"] for one in ours.values())
    roles = [one["Properties"] for name, one in resources(stack, "AWS::IAM::Role").items() if name.startswith("Prov")]
    for role in roles:
        assert "ManagedPolicyArns" not in role
    in_vpc = [role for role in roles if "ec2:CreateNetworkInterface" in json.dumps(role)]
    assert len(in_vpc) == 4


def test_tracing_and_waiter_logs_can_be_turned_on(stack: cdk.Stack) -> None:
    destination = logs.LogGroup(stack, "WaiterLogs")
    BatchSegmentProvider(stack, "Provider", tracing=True, waiter_log_options=cr.LogOptions(destination=destination))
    add_job(stack, wait_for_completion=WAIT)
    for name, function in resources(stack, "AWS::Lambda::Function").items():
        if "ramework" not in name:
            assert function["Properties"]["TracingConfig"] == {"Mode": "Active"}
    machine = only_resource(stack, "AWS::StepFunctions::StateMachine")
    assert machine["TracingConfiguration"] == {"Enabled": True}
    assert machine["LoggingConfiguration"]["Level"] == "ERROR"
    traced = [name for name, role in resources(stack, "AWS::IAM::Role").items() if "xray:" in json.dumps(role)]
    assert len(traced) == 2
    assert "xray:GetSamplingRules" in json.dumps(resources(stack, "AWS::IAM::Policy"))


def test_the_defaults_add_nothing(stack: cdk.Stack) -> None:
    add_job(stack)
    assert count_resources(stack) == 14
    Template.from_stack(stack).resource_count_is("AWS::IAM::Role", 3)


def test_a_role_that_serves_two_stacks_has_a_policy_of_each(app: cdk.App) -> None:
    roles = cdk.Stack(app, "Roles", env=ENVIRONMENT)
    role = lambda_role(roles)
    stacks = [cdk.Stack(app, name, env=ENVIRONMENT) for name in ("A", "B")]
    for stack in stacks:
        BatchSegmentProvider(stack, "Provider", role=role)
        add_job(stack)
    found = [only_resource(stack, "AWS::IAM::Policy", "HandlerPolicy")["PolicyName"] for stack in stacks]
    assert found[0] != found[1]
    assert all(name.endswith("-HandlerPolicy") for name in found)


def test_roles_reach_no_other_stacks_folders_in_a_shared_bucket() -> None:
    reached = []
    for stack_name in ("segments-dev", "segments-prod"):
        stack = cdk.Stack(cdk.App(), "Segments", env=ENVIRONMENT, stack_name=stack_name)
        bucket = s3.Bucket.from_bucket_name(stack, "Shared", "shared")
        add_job(stack, storage=BatchSegmentStorage(stack, "Storage", input_bucket=bucket, output_bucket=bucket))
        objects = {
            resource
            for policy in resources(stack, "AWS::IAM::Policy").values()
            for statement in policy["Properties"]["PolicyDocument"]["Statement"]
            for resource in (
                [statement["Resource"]] if isinstance(statement["Resource"], str) else statement["Resource"]
            )
            if ":::shared/" in resource
        }
        reached.append(objects)
    dev, prod = reached
    assert len(dev) == len(prod) == 2
    assert not dev & prod
    assert all("/segmentsdev-" in resource for resource in dev)
