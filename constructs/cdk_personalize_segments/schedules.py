"""The schedules of workflows, and the checks of their expressions.

https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html
"""

import re
import zoneinfo
from datetime import datetime

import aws_cdk.aws_iam as iam
import aws_cdk.aws_scheduler as scheduler
import aws_cdk.aws_scheduler_targets as targets
import aws_cdk.aws_stepfunctions as sfn
from batch_segment_handler.text import quote
from constructs import Construct

from . import function_policies
from .naming import StackFacts
from .permissions import of_workflows
from .validation import is_token

_DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
#: The fields of a cron expression: name, least and largest number, names of numbers, patterns of further values.
_FIELDS: tuple[tuple[str, int, int, tuple[str, ...], str], ...] = (
    ("minutes", 0, 59, (), ""),
    ("hours", 0, 23, (), ""),
    ("day of month", 1, 31, (), r"\?|L|LW|L-\d+|\d+W"),
    ("month", 1, 12, _MONTHS, ""),
    ("day of week", 1, 7, _DAYS, r"\?|L|(\d|[A-Z]{3})L|(\d|[A-Z]{3})#[1-5]"),
    ("year", 1970, 2199, (), ""),
)
_DAY_OF_MONTH, _DAY_OF_WEEK = 2, 4
_EXPECTED = "cron(minutes hours day-of-month month day-of-week year), rate(value unit) or at(yyyy-mm-ddThh:mm:ss)"
_RATE = re.compile(r"(\d+) (minute|hour|day)s?", re.ASCII)


def new_schedule(
    scope: Construct, facts: StackFacts, state_machine: sfn.StateMachine, expression: scheduler.ScheduleExpression
) -> scheduler.Schedule:
    """Creates a schedule that starts runs of a workflow.

    Args:
        scope: The workflow.
        facts: The stack.
        state_machine: The state machine.
        expression: When a run starts.
    """
    statement = of_workflows.start_run(state_machine.state_machine_arn)
    role = iam.Role(
        scope,
        "ScheduleRole",
        description="Starts the runs of a workflow",
        assumed_by=iam.ServicePrincipal(of_workflows.SCHEDULER, conditions=of_workflows.scheduler_source(facts)),
        inline_policies={"Start": iam.PolicyDocument.from_json(function_policies.document([statement]))},
    )
    # The scheduled time is the run's key: it is the same when Scheduler delivers an event again.
    run = scheduler.ScheduleTargetInput.from_object({"run": scheduler.ContextAttribute.scheduled_time})
    target = targets.StepFunctionsStartExecution(state_machine, input=run, role=role.without_policy_updates())
    return scheduler.Schedule(
        scope, "Schedule", schedule=expression, target=target, description="Starts the runs of a workflow"
    )


def check_schedule(expression: str, time_zone: str | None) -> None:
    """Checks a schedule as far as it is known at synth time.

    Args:
        expression: The expression.
        time_zone: The name of the time zone in the IANA database.

    Raises:
        ValueError: Scheduler refuses the schedule.
    """
    if time_zone is not None and not is_token(time_zone):
        _check_time_zone(time_zone)
    if is_token(expression):
        return
    match = re.fullmatch(r"(cron|rate|at)\((.*)\)", expression)
    fault = "expected " + _EXPECTED
    if match is not None:
        fault = {"cron": _cron_fault, "rate": _rate_fault, "at": _at_fault}[match[1]](match[2])
    if fault:
        raise ValueError(f"schedule: got {quote(expression)}, {fault}")


def _check_time_zone(name: str) -> None:
    known = zoneinfo.available_timezones()
    # A machine can have no database of time zones, as Windows without tzdata.
    if known and name not in known:
        raise ValueError(f"schedule: got the time zone {quote(name)}, expected a name such as 'Europe/Berlin'")


def _rate_fault(text: str) -> str:
    match = _RATE.fullmatch(text)
    if match is None or int(match[1]) == 0:
        return "expected rate(value unit) with a whole number of at least 1 and the unit minutes, hours or days"
    return ""


def _at_fault(text: str) -> str:
    try:
        datetime.strptime(text, "%Y-%m-%dT%H:%M:%S")
    except ValueError:
        return "expected at(yyyy-mm-ddThh:mm:ss), without fractions of a second and without a time zone"
    return ""


def _cron_fault(text: str) -> str:
    fields = text.split()
    if len(fields) != len(_FIELDS):
        return f"expected six fields instead of {len(fields)}: {_EXPECTED.partition('),')[0]})"
    for given, (name, least, largest, names, further) in zip(fields, _FIELDS, strict=True):
        if not all(_is_value(value, least, largest, names, further) for value in given.upper().split(",")):
            return f"expected {name} from {least} to {largest} instead of {quote(given)}"
    if (fields[_DAY_OF_MONTH] == "?") == (fields[_DAY_OF_WEEK] == "?"):
        return "expected '?' as the day of month or as the day of week, not as both"
    return ""


def _is_value(value: str, least: int, largest: int, names: tuple[str, ...], further: str) -> bool:
    """Whether an element of a field's list is valid: ``*``, a number or name, a range, each with a step or without."""
    if further and re.fullmatch(further, value):
        numbers = [int(number) for number in re.findall(r"\d+", value.partition("#")[0])]
        return all(least <= number <= largest for number in numbers if not value.startswith("L-"))
    start, slash, step = value.partition("/")
    if slash and (not re.fullmatch(r"[1-9]\d*", step, re.ASCII) or int(step) > largest):
        return False
    if start == "*":
        return True
    ends = [_number(text, least, names) for text in start.split("-")]
    return len(ends) <= 2 and all(number is not None and least <= number <= largest for number in ends)


def _number(text: str, least: int, names: tuple[str, ...]) -> int | None:
    if text in names:
        return names.index(text) + least
    return int(text) if re.fullmatch(r"\d{1,4}", text, re.ASCII) else None
