"""EventBridge Scheduler in the local AWS: expressions, time zones, roles, context attributes, CloudFormation."""

import json
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError
from personalize_local.errors import ScheduleError
from personalize_local.gateway import LocalAws
from support.local import wait_until
from unit.local.machine_fixture import MachineFixture

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
EVERY_ATTRIBUTE = {
    "run": "<aws.scheduler.scheduled-time>",
    "id": "<aws.scheduler.execution-id>",
    "schedule": "<aws.scheduler.schedule-arn>",
    "attempt": "<aws.scheduler.attempt-number>",
}


class ScheduleFixture:
    """A schedule with its own role that starts a state machine."""

    def __init__(self, machine: MachineFixture) -> None:
        aws = machine.aws
        self.machine, self.name, self.scheduler = machine, machine.name, machine.client("scheduler")
        machine.create(json.dumps({"StartAt": "End", "States": {"End": {"Type": "Pass", "End": True}}}))
        group = f"arn:aws:scheduler:{aws.region}:{aws.account}:schedule-group/default"
        self.role_name = f"{self.name}-schedule"
        self.role = machine.create_role(
            self.role_name,
            "scheduler.amazonaws.com",
            StringEquals={"aws:SourceAccount": aws.account, "aws:SourceArn": group},
        )

    def allow(self) -> None:
        self.machine.allow(("states:StartExecution", self.machine.arn), role=self.role_name)

    def properties(self, expression: str, time_zone: str = "UTC", given: Any = EVERY_ATTRIBUTE) -> dict[str, Any]:
        target = {"Arn": self.machine.arn, "RoleArn": self.role, "Input": json.dumps(given)}
        return {
            "Name": self.name,
            "ScheduleExpression": expression,
            "ScheduleExpressionTimezone": time_zone,
            "FlexibleTimeWindow": {"Mode": "OFF"},
            "Target": target,
        }

    def create(self, expression: str, time_zone: str = "UTC", **more: Any) -> None:
        self.scheduler.create_schedule(**self.properties(expression, time_zone), **more)

    def inputs(self) -> list[Any]:
        """The inputs of the executions, newest first."""
        listed = self.machine.states.list_executions(stateMachineArn=self.machine.arn)["executions"]
        return [
            json.loads(self.machine.states.describe_execution(executionArn=found["executionArn"])["input"])
            for found in listed
        ]


@pytest.fixture
def schedule(machine: MachineFixture) -> ScheduleFixture:
    return ScheduleFixture(machine)


def test_fires_with_context_attributes_and_can_fire_again(schedule: ScheduleFixture, local_aws: LocalAws) -> None:
    schedule.allow()
    schedule.create("cron(0 3 ? * MON *)", "Europe/Berlin")
    at = local_aws.tick(schedule.name)
    assert at > datetime.now(UTC)
    assert (at.weekday(), at.hour) in ((0, 2), (0, 1))
    assert local_aws.tick(schedule.name, at) == at
    first, second = schedule.inputs()
    assert first["run"] == second["run"] == at.strftime("%Y-%m-%dT%H:%M:%SZ")
    assert first["schedule"].endswith(f":schedule/default/{schedule.name}")
    assert first["attempt"] == "1"
    assert uuid.UUID(first["id"]) != uuid.UUID(second["id"])


def test_fires_only_with_permission(schedule: ScheduleFixture, local_aws: LocalAws) -> None:
    schedule.create("rate(7 days)")
    with pytest.raises(ScheduleError, match=r"assumed-role/.* is not authorized to perform: states:StartExecution"):
        local_aws.tick(schedule.name)
    assert schedule.inputs() == []
    schedule.allow()
    local_aws.tick(schedule.name)
    assert len(schedule.inputs()) == 1


def test_a_time_in_the_past_fires_once_by_itself(schedule: ScheduleFixture) -> None:
    schedule.allow()
    schedule.create("at(2026-01-31T10:30:00)", "America/New_York", ActionAfterCompletion="DELETE")
    wait_until(schedule.inputs, interval=0.2)
    assert [given["run"] for given in schedule.inputs()] == ["2026-01-31T15:30:00Z"]
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        schedule.scheduler.get_schedule(Name=schedule.name)


def test_names_the_schedules_if_the_name_is_not_clear(local_aws: LocalAws) -> None:
    with pytest.raises(
        ScheduleError, match=r"'no-such-schedule', expected a name that selects one schedule; found: none"
    ):
        local_aws.tick("no-such-schedule")


def test_rejects_a_role_that_does_not_trust_scheduler(schedule: ScheduleFixture) -> None:
    properties = schedule.properties("rate(1 day)")
    properties["Target"]["RoleArn"] = schedule.machine.role
    with pytest.raises(ClientError, match="must allow AWS EventBridge Scheduler to assume the role"):
        schedule.scheduler.create_schedule(**properties)


def test_calls_any_operation_as_a_universal_target(schedule: ScheduleFixture, local_aws: LocalAws) -> None:
    queue = schedule.machine.client("sqs").create_queue(QueueName=schedule.name)["QueueUrl"]
    schedule.machine.allow(("sqs:SendMessage", "*"), role=schedule.role_name)
    properties = schedule.properties("rate(1 day)", given={"QueueUrl": queue, "MessageBody": "hello"})
    properties["Target"]["Arn"] = "arn:aws:scheduler:::aws-sdk:sqs:sendMessage"
    schedule.scheduler.create_schedule(**properties)
    local_aws.tick(schedule.name)
    [message] = schedule.machine.client("sqs").receive_message(QueueUrl=queue)["Messages"]
    assert message["Body"] == "hello"


@pytest.mark.parametrize(
    ("expression", "time_zone"),
    [
        ("cron(0 3 * * MON *)", "UTC"),
        ("cron(0 3 ? * ? *)", "UTC"),
        ("cron(0 3 ? * MON)", "UTC"),
        ("cron(60 3 ? * MON *)", "UTC"),
        ("cron(0 24 ? * MON *)", "UTC"),
        ("cron(0 3 32 * ? *)", "UTC"),
        ("cron(0 3 ? 13 MON *)", "UTC"),
        ("cron(0 3 ? * 8 *)", "UTC"),
        ("cron(0/0 3 ? * MON *)", "UTC"),
        ("cron(0  3 ? * MON *)", "UTC"),
        ("0 3 ? * MON *", "UTC"),
        ("rate(0 days)", "UTC"),
        ("rate(1 days)", "UTC"),
        ("rate(2 day)", "UTC"),
        ("rate(1 week)", "UTC"),
        ("at(2026-13-01T00:00:00)", "UTC"),
        ("at(2026-11-30)", "UTC"),
        ("cron(0 3 ? * MON *)", "Europe/Atlantis"),
    ],
)
def test_rejects_expressions(schedule: ScheduleFixture, expression: str, time_zone: str) -> None:
    with pytest.raises(ClientError) as error:
        schedule.create(expression, time_zone)
    assert error.value.response["Error"]["Code"] == "ValidationException"


@pytest.mark.parametrize(
    ("expression", "time_zone", "times"),
    [
        ("cron(0 3 ? * MON *)", "UTC", ["2026-11-30T03:00", "2026-12-07T03:00"]),
        ("cron(0 3 ? * MON *)", "Europe/Berlin", ["2026-11-30T02:00", "2026-12-07T02:00"]),
        ("cron(15 10 L * ? *)", "America/New_York", ["2026-11-30T15:15", "2026-12-31T15:15"]),
        ("cron(0/20 8-9 ? * MON-FRI 2026-2027)", "UTC", ["2026-11-26T08:00", "2026-11-26T08:20"]),
        ("cron(0 12 ? * 2#1 *)", "UTC", ["2026-12-07T12:00", "2027-01-04T12:00"]),
        # In the night when clocks go forward, 2:30 does not exist. The schedule fires a day later.
        ("cron(30 2 28-29 3 ? 2027)", "Europe/Berlin", ["2027-03-29T00:30"]),
        # In the night when clocks go back, 2:30 exists twice.
        ("cron(30 2 31 10 ? 2027)", "Europe/Berlin", ["2027-10-31T00:30"]),
        ("rate(7 days)", "UTC", ["2026-11-28T00:00", "2026-12-05T00:00"]),
        ("at(2026-12-24T18:00:00)", "Europe/Berlin", ["2026-12-24T17:00"]),
    ],
)
def test_fires_at_the_times_of_an_expression(
    local_aws: LocalAws, expression: str, time_zone: str, times: list[str]
) -> None:
    from personalize_local.schedule_expressions import Expression

    parsed, created = Expression.parse(expression, time_zone), datetime(2026, 11, 21, tzinfo=UTC)
    found, after = [], NOW
    for _ in times:
        fires = parsed.next(after, created)
        assert fires is not None
        found.append(fires.strftime("%Y-%m-%dT%H:%M"))
        after = fires
    assert found == times
    assert expression.startswith(("cron", "rate")) or parsed.next(after + timedelta(days=1), created) is None


def test_a_stack_creates_updates_and_deletes_a_schedule(
    schedule: ScheduleFixture, client: Callable[..., Any], local_aws: LocalAws
) -> None:
    cloudformation = client("cloudformation")

    def deploy(operation: str, **changes: Any) -> dict[str, Any]:
        properties = {**schedule.properties("cron(0 3 ? * MON *)", "Europe/Berlin"), **changes}
        del properties["Name"]
        template = json.dumps({"Resources": {"Weekly": {"Type": "AWS::Scheduler::Schedule", "Properties": properties}}})
        getattr(cloudformation, operation)(StackName=schedule.name, TemplateBody=template)
        return described("COMPLETE")

    def described(end: str) -> dict[str, Any]:
        found: dict[str, Any] = {}

        def has_ended() -> bool:
            found.update(cloudformation.describe_stacks(StackName=schedule.name)["Stacks"][0])
            return not found["StackStatus"].endswith("IN_PROGRESS")

        wait_until(has_ended, interval=0.1)
        return found

    def deployed() -> list[dict[str, Any]]:
        listed = schedule.scheduler.list_schedules()["Schedules"]
        found = [item["Name"] for item in listed if item["Name"].startswith(schedule.name)]
        return [schedule.scheduler.get_schedule(Name=name) for name in found]

    assert deploy("create_stack")["StackStatus"] == "CREATE_COMPLETE"
    [created] = deployed()
    assert created["ScheduleExpressionTimezone"] == "Europe/Berlin"
    schedule.allow()
    local_aws.tick(created["Name"])
    updated = deploy("update_stack", ScheduleExpression="rate(2 days)", ScheduleExpressionTimezone="Asia/Tokyo")
    assert updated["StackStatus"] == "UPDATE_COMPLETE"
    [changed] = deployed()
    assert (changed["Name"], changed["ScheduleExpression"], changed["ScheduleExpressionTimezone"]) == (
        created["Name"],
        "rate(2 days)",
        "Asia/Tokyo",
    )
    assert deploy("update_stack", ScheduleExpression="rate(2 day)")["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    events = cloudformation.describe_stack_events(StackName=schedule.name)["StackEvents"]
    assert any("Invalid Schedule Expression rate(2 day)." in event.get("ResourceStatusReason", "") for event in events)
    assert deployed()[0]["ScheduleExpression"] == "rate(2 days)"
    cloudformation.delete_stack(StackName=schedule.name)
    wait_until(lambda: not deployed(), interval=0.1)
