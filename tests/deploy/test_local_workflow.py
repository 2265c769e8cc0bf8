"""The local AWS runs a workflow made of CDK's own constructs, with the permissions that they grant."""

import json
import zoneinfo
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import aws_cdk.aws_events as events
import aws_cdk.aws_events_targets as events_targets
import aws_cdk.aws_lambda as lambda_
import aws_cdk.aws_s3 as s3
import aws_cdk.aws_s3_assets as s3_assets
import aws_cdk.aws_scheduler as scheduler
import aws_cdk.aws_scheduler_targets as scheduler_targets
import aws_cdk.aws_sqs as sqs
import aws_cdk.aws_stepfunctions as sfn
import aws_cdk.aws_stepfunctions_tasks as tasks
import pytest
from personalize_local.errors import ScheduleError
from personalize_local.gateway import LocalAws
from support.constants import CREATED, UPDATED
from support.local import Clients, wait_until
from support.stacks import RealStack

CODE = "def handler(event, context):\n    return {'segments': event['name'].upper(), 'run': event['run']}\n"


class Workflow(cdk.Stack):
    """A schedule that starts a Distributed Map over the lines of an asset, and an event for each item."""

    def __init__(self, scope: cdk.App, id: str, items: Path, *, hour: str = "3", **kwargs: Any) -> None:
        super().__init__(scope, id, **kwargs)
        self.node.set_context("@aws-cdk/aws-stepfunctions:useDistributedMapResultWriterV2", True)
        manifest = s3_assets.Asset(self, "Manifest", path=str(items))
        results = s3.Bucket(self, "Results")
        function = lambda_.Function(
            self,
            "Function",
            runtime=lambda_.Runtime.PYTHON_3_13,
            handler="index.handler",
            code=lambda_.Code.from_inline(CODE),
        )
        invoke = tasks.LambdaInvoke(self, "Invoke", lambda_function=function, result_path="$.Done")
        publish = tasks.EventBridgePutEvents(
            self,
            "Publish",
            entries=[
                tasks.EventBridgePutEventsEntry(
                    source=self.stack_name,
                    detail_type="Done",
                    detail=sfn.TaskInput.from_json_path_at("$.Done.Payload"),
                )
            ],
        )
        items_map = sfn.DistributedMap(
            self,
            "Items",
            label="Items",
            max_concurrency=2,
            item_reader=sfn.S3JsonLItemReader(bucket=manifest.bucket, key=manifest.s3_object_key),
            item_selector={
                "name": sfn.JsonPath.string_at("$$.Map.Item.Value.name"),
                "run": sfn.JsonPath.string_at("$.run"),
            },
            result_writer_v2=sfn.ResultWriterV2(bucket=results, prefix="runs"),
        )
        items_map.item_processor(invoke.next(publish))
        machine = sfn.StateMachine(self, "Machine", definition_body=sfn.DefinitionBody.from_chainable(items_map))
        scheduler.Schedule(
            self,
            "Weekly",
            schedule=scheduler.ScheduleExpression.cron(
                week_day="MON", hour=hour, minute="0", time_zone=cdk.TimeZone.EUROPE_BERLIN
            ),
            target=scheduler_targets.StepFunctionsStartExecution(
                machine,
                input=scheduler.ScheduleTargetInput.from_object({"run": scheduler.ContextAttribute.scheduled_time}),
            ),
        )
        queue = sqs.Queue(self, "Queue")
        events.Rule(
            self,
            "Rule",
            event_pattern=events.EventPattern(source=[self.stack_name]),
            targets=[events_targets.SqsQueue(queue)],
        )
        for name, value in {"Machine": machine.state_machine_arn, "Queue": queue.queue_url}.items():
            cdk.CfnOutput(self, f"{name}Output", value=value)


@pytest.fixture
def items(tmp_path: Path) -> Path:
    path = tmp_path / "items.jsonl"
    path.write_text("".join(json.dumps({"name": name}) + "\n" for name in ("comedy", "drama", "action")))
    return path


def test_runs_a_scheduled_distributed_map_of_the_cdk(
    stack: RealStack, aws: LocalAws, client: Clients, items: Path
) -> None:
    environment = cdk.Environment(account=aws.account, region=aws.region)

    def deploy(hour: str) -> Any:
        return stack.deploy_app(lambda app: Workflow(app, stack.name, items, hour=hour, env=environment))

    outcome = deploy("3")
    assert outcome.status == CREATED, outcome.said
    (schedule,) = stack.resources_of("AWS::Scheduler::Schedule")
    at = aws.tick(schedule)
    states, machine = client("stepfunctions"), outcome.outputs["MachineOutput"]
    execution = states.list_executions(stateMachineArn=machine)["executions"][0]["executionArn"]
    ended: dict[str, Any] = {}

    def is_over() -> bool:
        ended.update(states.describe_execution(executionArn=execution))
        return bool(ended["status"] != "RUNNING")

    wait_until(is_over, interval=0.1)
    assert ended["status"] == "SUCCEEDED", ended
    result = json.loads(ended["output"])["ResultWriterDetails"]
    (bucket,) = stack.resources_of("AWS::S3::Bucket")
    assert result["Bucket"] == bucket
    manifest = json.loads(client("s3").get_object(Bucket=bucket, Key=result["Key"])["Body"].read())
    assert [len(files) for files in manifest["ResultFiles"].values()] == [0, 0, 1]
    messages = client("sqs").receive_message(QueueUrl=outcome.outputs["QueueOutput"], MaxNumberOfMessages=10)[
        "Messages"
    ]
    details = [json.loads(message["Body"])["detail"] for message in messages]
    run = at.strftime("%Y-%m-%dT%H:%M:%SZ")
    assert sorted(detail["segments"] for detail in details) == ["ACTION", "COMEDY", "DRAMA"]
    assert {detail["run"] for detail in details} == {run}

    # An update moves the schedule.
    assert deploy("15").status == UPDATED
    berlin = zoneinfo.ZoneInfo("Europe/Berlin")
    assert [fired.astimezone(berlin).hour for fired in (at, aws.tick(schedule))] == [3, 15]
    role = client("scheduler").get_schedule(Name=schedule)["Target"]["RoleArn"].rpartition("/")[2]
    (policy,) = client("iam").list_role_policies(RoleName=role)["PolicyNames"]
    client("iam").delete_role_policy(RoleName=role, PolicyName=policy)
    with pytest.raises(ScheduleError, match="is not authorized to perform: states:StartExecution"):
        aws.tick(schedule)
