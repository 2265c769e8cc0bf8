"""Only the library's own findings in the rule packs of cdk-nag are acknowledged."""

from pathlib import Path
from typing import Any

import aws_cdk as cdk
import aws_cdk.aws_iam as iam
import aws_cdk.aws_lambda as lambda_
import aws_cdk.aws_logs as logs
import aws_cdk.aws_scheduler as scheduler
import aws_cdk.aws_stepfunctions as sfn
import aws_cdk.custom_resources as cr
import pytest
from cdk_nag import AwsSolutionsChecks, NagPack, NIST80053R5Checks
from cdk_personalize_segments import (
    BatchSegmentInput,
    BatchSegmentJob,
    BatchSegmentProvider,
    BatchSegmentStorage,
    SegmentsTable,
    acknowledge_nag_findings,
    nag,
    nag_findings,
)
from constructs import Construct
from support import templates
from support.constants import SOLUTION
from support.templates import ENVIRONMENT


@pytest.fixture
def app(tmp_path: Path) -> cdk.App:
    return cdk.App(outdir=str(tmp_path), analytics_reporting=False)


def add_job(scope: Construct, id: str = "Job", **props: Any) -> BatchSegmentJob:
    wait = cdk.Duration.minutes(5)
    return templates.add_job(scope, id, solution_arn=SOLUTION, wait_for_completion=wait, **props)


def enforce(app: cdk.App) -> None:
    """Makes every finding fail the synthesis."""
    cdk.Validations.of(app).add_plugins(AwsSolutionsChecks(app))


def findings(app: cdk.App, *packs: NagPack) -> set[tuple[str, str]]:
    """Returns the rule and construct of each finding."""
    return {
        (violation.rule_name, str(resource.construct_path))
        for pack in packs or (AwsSolutionsChecks(app), NIST80053R5Checks(app))
        for violation in pack.validate_scope(app).violations
        for resource in violation.violating_resources
    }


def acknowledged(app: cdk.App) -> set[tuple[str, str]]:
    return {(rule, construct.node.path) for construct, rule, _ in nag.acknowledgements(app)}


def test_enforced_nag_fails_without_the_call_and_passes_with_it(app: cdk.App, stack: cdk.Stack) -> None:
    add_job(stack)
    enforce(app)
    with pytest.raises(RuntimeError, match="ValidationFailed"):
        app.synth()
    acknowledge_nag_findings(app)
    app.synth()


def test_acknowledges_exactly_the_findings(app: cdk.App, stack: cdk.Stack) -> None:
    add_job(stack)
    assert acknowledged(app) == findings(app)


def test_acknowledges_the_ids_of_renamed_constructs(app: cdk.App) -> None:
    # All logical IDs differ: another stack in a stage, a nested stack, and renamed provider and storage.
    stage = cdk.Stage(app, "Prod", env=ENVIRONMENT)
    shared = cdk.Stack(stage, "Shared")
    nested = cdk.NestedStack(cdk.Stack(stage, "Marketing"), "Segments")
    BatchSegmentProvider(nested, "Renamed")
    add_job(nested, "AlsoRenamed", storage=BatchSegmentStorage(shared, "Store"))
    enforce(app)
    acknowledge_nag_findings(app)
    app.synth()


def test_keeps_a_finding_of_the_app(app: cdk.App, stack: cdk.Stack) -> None:
    job = add_job(stack)
    acknowledge_nag_findings(app)
    role = BatchSegmentProvider.of(stack).role
    for user, resource in ((job.role, "arn:aws:s3:::films/mine/*"), (role, "*")):
        user.add_to_principal_policy(iam.PolicyStatement(actions=["s3:GetObject"], resources=[resource]))
    iam.ManagedPolicy(
        stack, "Own", statements=[iam.PolicyStatement(actions=["sns:Publish"], resources=["arn:aws:sns:::segments/*"])]
    )
    enforce(app)
    with pytest.raises(RuntimeError, match="ValidationFailed"):
        app.synth()
    assert findings(app, AwsSolutionsChecks(app)) == {
        ("AwsSolutions-IAM5[Resource::arn:aws:s3:::films/mine/*]", "Demo/Job/Storage/Role/DefaultPolicy/Resource"),
        ("AwsSolutions-IAM5[Resource::*]", "Demo/PersonalizeBatchSegmentProvider/HandlerRole/DefaultPolicy/Resource"),
        ("AwsSolutions-IAM5[Resource::arn:aws:sns:::segments/*]", "Demo/Own/Resource"),
    }


def test_acknowledges_statements_of_grants_in_roles_of_the_app(app: cdk.App, stack: cdk.Stack) -> None:
    storage = BatchSegmentStorage(stack, "Storage")
    trust = iam.ServicePrincipal("lambda.amazonaws.com")
    of_storage, of_job, writer = (iam.Role(stack, f"Role{number}", assumed_by=trust) for number in range(3))
    storage.grant_read_segments(of_storage)
    add_job(stack, storage=storage).grant_read_segments(of_job)
    in_s3 = BatchSegmentInput.from_bucket(storage.input_bucket, "today/")
    BatchSegmentJob(stack, "Today", solution_arn=SOLUTION, storage=storage, job_input=in_s3).grant_put_queries(writer)
    # Not a construct.
    storage.grant_read_segments(iam.ArnPrincipal("arn:aws:iam::123456789012:role/reader"))
    acknowledge_nag_findings(stack)
    app.synth()
    assert findings(app, AwsSolutionsChecks(app)) == set()


def test_acknowledges_the_statements_in_a_role_of_the_app(app: cdk.App, stack: cdk.Stack) -> None:
    role = iam.Role(stack, "Own", assumed_by=iam.ServicePrincipal("personalize.amazonaws.com"))
    handler = iam.Role(stack, "Handler", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
    BatchSegmentProvider(stack, "Provider", role=handler, tracing=True)
    add_job(stack, storage=BatchSegmentStorage(stack, "Storage", role=role))
    acknowledge_nag_findings(app)
    app.synth()
    assert findings(app, AwsSolutionsChecks(app)) == set()


def test_waiter_logs_and_tracing_leave_no_finding(app: cdk.App, stack: cdk.Stack) -> None:
    options = cr.LogOptions(destination=logs.LogGroup(stack, "Logs"), level=sfn.LogLevel.ALL)
    BatchSegmentProvider(stack, "Provider", tracing=True, waiter_log_options=options)
    add_job(stack)
    found = findings(app, AwsSolutionsChecks(app))
    assert not [rule for rule, _ in found | acknowledged(app) if rule.startswith("AwsSolutions-SF")]
    assert found <= acknowledged(app)


def test_acknowledges_logging_of_errors_only(app: cdk.App, stack: cdk.Stack) -> None:
    options = cr.LogOptions(destination=logs.LogGroup(stack, "Logs"), level=sfn.LogLevel.ERROR)
    BatchSegmentProvider(stack, "Provider", waiter_log_options=options)
    add_job(stack)
    assert {rule for rule, _ in acknowledged(app)} >= {"AwsSolutions-SF1", "AwsSolutions-SF2"}
    assert findings(app, AwsSolutionsChecks(app)) <= acknowledged(app)


@pytest.mark.parametrize("tracing", [False, True])
def test_acknowledges_exactly_the_findings_of_state_machines(app: cdk.App, stack: cdk.Stack, tracing: bool) -> None:
    BatchSegmentProvider(stack, "Provider", tracing=tracing)
    schedule = scheduler.ScheduleExpression.rate(cdk.Duration.days(7))
    SegmentsTable(stack, "Table", workflow=templates.add_workflow(stack, schedule=schedule))
    templates.add_job(stack).on_failed("Failed")
    assert acknowledged(app) == findings(app)


def test_acknowledges_a_workflows_grants_to_roles_of_the_app(app: cdk.App, stack: cdk.Stack) -> None:
    trust = iam.ServicePrincipal("lambda.amazonaws.com")
    reader, handler = (iam.Role(stack, f"Role{number}", assumed_by=trust) for number in range(2))
    BatchSegmentProvider(stack, "Provider", role=handler)
    workflow = templates.add_workflow(stack)
    workflow.grant_read_segments(reader)
    workflow.grant_start_execution(reader)
    SegmentsTable(stack, "Table", workflow=workflow).grant_query(reader)
    acknowledge_nag_findings(app)
    app.synth()
    assert findings(app, AwsSolutionsChecks(app)) == set()


def test_keeps_a_state_machine_of_the_app(app: cdk.App, stack: cdk.Stack) -> None:
    templates.add_workflow(stack)
    sfn.StateMachine(stack, "Own", definition_body=sfn.DefinitionBody.from_chainable(sfn.Succeed(stack, "Done")))
    acknowledge_nag_findings(app)
    app.synth()
    assert {path.split("/")[1] for _, path in findings(app, AwsSolutionsChecks(app))} == {"Own"}


def test_keeps_a_function_of_the_app_in_the_same_stack(app: cdk.App, stack: cdk.Stack) -> None:
    add_job(stack)
    lambda_.Function(
        stack, "Own", runtime=lambda_.Runtime.PYTHON_3_14, handler="index.on_event", code=lambda_.Code.from_inline("…")
    )
    acknowledge_nag_findings(app)
    app.synth()
    assert {path.split("/")[1] for _, path in findings(app)} == {"Own"}


def test_every_reason_is_a_sentence() -> None:
    for entry in (*nag_findings.OF_PROVIDER, *nag_findings.OF_STORAGE, *nag_findings.OF_WORKFLOW):
        assert len(entry.reason) > 40
        assert entry.reason.endswith(".")


def test_the_dead_letter_queue_reason_names_the_caller(app: cdk.App, stack: cdk.Stack) -> None:
    add_job(stack)
    caller = {
        construct.node.path.removeprefix("Demo/PersonalizeBatchSegmentProvider/"): entry.reason.split(" calls ")[0]
        for construct, rule, entry in nag.acknowledgements(app)
        if rule == "NIST.800.53.R5-LambdaDLQ"
    }
    assert caller["WaitingFramework/framework-onEvent/Resource"] == "CloudFormation"
    assert caller["Handler/Resource"].startswith("CDK's provider framework")


def test_rejects_an_aws_cdk_lib_without_validations(stack: cdk.Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nag, "cdk", _Without(cdk))
    with pytest.raises(RuntimeError, match=r"acknowledge_nag_findings: got an aws-cdk-lib .* expected 2\.257\.0 or"):
        acknowledge_nag_findings(stack)


class _Without:
    def __init__(self, module: object) -> None:
        self.__dict__ = {name: value for name, value in vars(module).items() if name != "Validations"}
