"""EventBridge Scheduler: fires schedules in their time zone, with their role, and with context attributes.

MiniStack checks no expression, ignores time zones and roles, and passes context attributes on as they are.
"""

import contextvars
import json
import re
import threading
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from ministack.core import responses
from ministack.services import scheduler
from ministack.services.cloudformation import provisioners

from .errors import ScheduleError
from .patching import replace, require
from .roles import Roles, may_be_assumed
from .schedule_expressions import Expression, InvalidExpressionError

SERVICE = "scheduler.amazonaws.com"
_TYPE = "AWS::Scheduler::Schedule"
_UNTRUSTED = "The execution role you provide must allow AWS EventBridge Scheduler to assume the role."
_TICK_SECONDS = 1
_UNIVERSAL = re.compile(r"arn:[^:]+:scheduler:::aws-sdk:([a-z0-9]+):([A-Za-z0-9]+)")
_BOTO3_NAMES = {"sfn": "stepfunctions", "eventbridge": "events", "cloudwatchlogs": "logs"}
_SESSION = "EventBridgeScheduler"


class Schedules:
    """Fires schedules, at their times or on request."""

    def __init__(self, roles: Roles) -> None:
        """Patches MiniStack in place.

        Args:
            roles: Creates clients that act as the roles of schedules.
        """
        self._roles = roles
        self._lock = threading.Lock()
        self._last: dict[Any, datetime] = {}
        #: Why targets were not invoked, by the ARN of the schedule. Scheduler itself retries for a day.
        self.failures: dict[str, str] = {}
        require(scheduler, "_schedules", "_schedule_arn", "_SCHEDULE_TICK_INTERVAL", "_ensure_default_group")
        scheduler._SCHEDULE_TICK_INTERVAL = _TICK_SECONDS
        replace(scheduler, "_tick_schedules", "", lambda _: self._tick)
        replace(scheduler, "_create_schedule", "name body", _checked)
        replace(scheduler, "_update_schedule", "name body", _checked)
        handler = provisioners._RESOURCE_HANDLERS[_TYPE]
        if handler["create"] is not provisioners._scheduler_schedule_create:
            raise RuntimeError(f"expected the handlers of {_TYPE} of another version of MiniStack")
        handler |= {"create": _create_resource, "update": _update_resource}
        # CloudFormation replaces a schedule if its name or its group changes.
        provisioners._REPLACING_PROPERTIES[_TYPE] = ("Name", "GroupName")

    def fire(self, name: str | None, at: datetime | None, account: str, region: str) -> datetime:
        """Invokes the target of a schedule now.

        Args:
            name: The schedule, or a part of its name. None selects the only one.
            at: The scheduled time of the context attributes. None selects the next time at which it fires.
            account: The account.
            region: The region.

        Returns:
            The scheduled time.

        Raises:
            ScheduleError: There is no such schedule, or its target cannot be invoked.
        """
        found = [
            schedule
            for (owner, place, _), schedule in list(scheduler._schedules._data.items())
            if (owner, place) == (account, region) and (name is None or name in schedule["Name"])
        ]
        exact = [schedule for schedule in found if schedule["Name"] == name]
        if len(exact or found) != 1:
            names = ", ".join(sorted(schedule["Name"] for schedule in found)) or "none"
            got = "no name" if name is None else repr(name)
            raise ScheduleError(f"schedule: got {got}, expected a name that selects one schedule; found: {names}")
        schedule = (exact or found)[0]
        if at is None:
            now = datetime.now(UTC)
            at = _expression(schedule).next(now, _created(schedule)) or now

        def invoke() -> str | None:
            responses.set_request_account_id(account)
            responses.set_request_region(region)
            return self._invoke(schedule, at)

        failure = contextvars.Context().run(invoke)
        if failure is not None:
            raise ScheduleError(f"the schedule {schedule['Name']} cannot invoke its target: {failure}")
        return at

    def _tick(self) -> None:
        now = datetime.now(UTC)
        for key, schedule in list(scheduler._schedules._data.items()):
            start, end = scheduler._to_epoch(schedule["StartDate"]), scheduler._to_epoch(schedule["EndDate"])
            if schedule["State"] != "ENABLED" or (start or 0) > now.timestamp() or (end or 1e99) < now.timestamp():
                continue
            expression = _expression(schedule)
            # An update restarts the schedule.
            revision = (*key, schedule["LastModificationDate"])
            with self._lock:
                changed = datetime.fromtimestamp(schedule["LastModificationDate"], UTC)
                # A one-time schedule in the past fires at once.
                before = datetime.min.replace(tzinfo=UTC) if expression.at is not None else changed
                due = expression.next(self._last.get(revision, before), _created(schedule))
                if due is None or due > now:
                    continue
                self._last[revision] = due
            account, region, _ = key
            responses.set_request_account_id(account)
            responses.set_request_region(region)
            self._invoke(schedule, due)
            if expression.at is not None and schedule["ActionAfterCompletion"] == "DELETE":
                scheduler._schedules._data.pop(key, None)

    def _invoke(self, schedule: dict[str, Any], due: datetime) -> str | None:
        """Invokes the target of a schedule. Returns the reason if it was not invoked."""
        target, failure = schedule["Target"], None
        try:
            if not may_be_assumed(target["RoleArn"], SERVICE, _group_arn(schedule)):
                raise ScheduleError(_UNTRUSTED)
            self._call(target, _fill(target.get("Input", ""), schedule["Arn"], due))
        except (ClientError, BotoCoreError, ScheduleError, ValueError) as error:
            failure = str(error)
            self.failures[schedule["Arn"]] = failure
        return failure

    def _call(self, target: dict[str, Any], text: str) -> None:
        arn: str = target["Arn"]
        if match := _UNIVERSAL.fullmatch(arn):
            service, action = match[1], match[2][:1].upper() + match[2][1:]
            made = self._client(target, _BOTO3_NAMES.get(service, service))
            methods = {api: method for method, api in made.meta.method_to_api_mapping.items()}
            if action not in methods:
                raise ScheduleError(f"{service} has no operation {action}")
            getattr(made, methods[action])(**_as_wire(made, action, json.loads(text or "{}")))
            return
        service = arn.split(":")[2]
        if service == "states":
            self._client(target, "stepfunctions").start_execution(stateMachineArn=arn, input=text or "{}")
        elif service == "lambda":
            self._client(target, "lambda").invoke(FunctionName=arn, InvocationType="Event", Payload=text.encode())
        elif service == "sqs":
            queue = self._client(target, "sqs").get_queue_url(QueueName=arn.rpartition(":")[2])["QueueUrl"]
            self._client(target, "sqs").send_message(
                QueueUrl=queue, MessageBody=text or "{}", **target.get("SqsParameters", {})
            )
        elif service == "sns":
            self._client(target, "sns").publish(TopicArn=arn, Message=text or "{}")
        elif service == "events":
            parameters = target.get("EventBridgeParameters", {})
            entry = {
                "EventBusName": arn,
                "Source": parameters.get("Source", "aws.scheduler"),
                "DetailType": parameters.get("DetailType", ""),
                "Detail": text or "{}",
            }
            self._client(target, "events").put_events(Entries=[entry])
        else:
            raise ScheduleError(f"targets of {service} are not part of the local AWS")

    def _client(self, target: dict[str, Any], service: str) -> Any:
        return self._roles.client(service, target["RoleArn"], _SESSION)


def _as_wire(client: Any, action: str, given: dict[str, Any]) -> dict[str, Any]:
    # Universal targets take the members in PascalCase, regardless of their names in the API.
    shape = client.meta.service_model.operation_model(action).input_shape
    names = {name[:1].upper() + name[1:]: name for name in (shape.members if shape is not None else {})}
    return {names.get(name, name): value for name, value in given.items()}


def _fill(text: str, schedule_arn: str, due: datetime) -> str:
    # https://docs.aws.amazon.com/scheduler/latest/UserGuide/managing-schedule-context-attributes.html
    attributes = {
        "<aws.scheduler.schedule-arn>": schedule_arn,
        "<aws.scheduler.scheduled-time>": due.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "<aws.scheduler.execution-id>": responses.new_uuid(),
        "<aws.scheduler.attempt-number>": "1",
    }
    for attribute, value in attributes.items():
        text = text.replace(attribute, value)
    return text


def _expression(schedule: dict[str, Any]) -> Expression:
    return Expression.parse(schedule["ScheduleExpression"], schedule["ScheduleExpressionTimezone"])


def _created(schedule: dict[str, Any]) -> datetime:
    return datetime.fromtimestamp(scheduler._to_epoch(schedule["StartDate"]) or schedule["CreationDate"], UTC)


def _group_arn(schedule: dict[str, Any]) -> str:
    # https://docs.aws.amazon.com/scheduler/latest/UserGuide/cross-service-confused-deputy-prevention.html
    return str(scheduler._group_arn(schedule["GroupName"]))


def _checked(change: Any) -> Any:
    def change_schedule(name: str, body: dict[str, Any]) -> Any:
        try:
            Expression.parse(body.get("ScheduleExpression") or "", body.get("ScheduleExpressionTimezone") or "UTC")
        except InvalidExpressionError as error:
            return scheduler._error(400, "ValidationException", str(error))
        role, group = (body.get("Target") or {}).get("RoleArn", ""), body.get("GroupName") or "default"
        if not may_be_assumed(role, SERVICE, scheduler._group_arn(group)):
            return scheduler._error(400, "ValidationException", _UNTRUSTED)
        return change(name, body)

    return change_schedule


# -- CloudFormation

_PROPERTIES = (
    "ScheduleExpression",
    "ScheduleExpressionTimezone",
    "FlexibleTimeWindow",
    "Target",
    "GroupName",
    "State",
    "Description",
    "StartDate",
    "EndDate",
    "KmsKeyArn",
)


def _create_resource(logical_id: str, props: dict[str, Any], stack_name: str) -> tuple[str, dict[str, str]]:
    name = props.get("Name") or provisioners._physical_name(stack_name, logical_id, max_len=64)
    _require_success(scheduler._create_schedule(name, _body(props)))
    return name, {"Arn": scheduler._schedule_arn(props.get("GroupName", "default"), name)}


def _update_resource(
    physical_id: str, _old: dict[str, Any], props: dict[str, Any], _stack_name: str
) -> tuple[str, dict[str, str]]:
    _require_success(scheduler._update_schedule(physical_id, _body(props)))
    return physical_id, {"Arn": scheduler._schedule_arn(props.get("GroupName", "default"), physical_id)}


def _body(props: dict[str, Any]) -> dict[str, Any]:
    return {name: props[name] for name in _PROPERTIES if name in props}


def _require_success(answer: Any) -> None:
    status, _, body = answer
    if status >= 300:
        error = json.loads(body)
        raise ValueError(f"{error.get('Message', error)} (Service: Scheduler, Status Code: {status})")
