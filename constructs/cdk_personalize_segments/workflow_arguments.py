"""Checks of the arguments of a `BatchSegmentWorkflow` at synth time. `manifest` checks the audiences."""

from collections.abc import Mapping
from typing import TypedDict, Unpack

import aws_cdk as cdk
import aws_cdk.aws_scheduler as scheduler

from . import job_arguments, schedules, validation
from .batch_segment_storage import BatchSegmentStorage
from .provider import BatchSegmentProvider

# Step Functions ends an execution after a year, and the state machine gives a run one hour more:
# https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html#service-limits-state-machine-executions
_MAX_TIMEOUT = cdk.Duration.days(364)
# A Distributed Map runs up to 10,000 at once, and no quota of jobs comes near it.
MAX_CONCURRENCY = 1000


class WorkflowArguments(TypedDict):
    """The arguments that are checked, as `BatchSegmentWorkflow` documents them."""

    solution_arn: str | None
    solution_version_arn: str | None
    storage: BatchSegmentStorage | None
    schedule: scheduler.ScheduleExpression | None
    only_new_versions: bool
    max_concurrency: int
    timeout: cdk.Duration
    tags: Mapping[str, str] | None


def check(provider: BatchSegmentProvider, **arguments: Unpack[WorkflowArguments]) -> None:
    """Checks the arguments of a workflow.

    Args:
        provider: The provider of the workflow's stack.
        **arguments: The arguments.

    Raises:
        ValueError: A value is not as documented.
        TypeError: A value is of another type.
    """
    schedule, timeout, tags = arguments["schedule"], arguments["timeout"], arguments["tags"]
    validation.check_type("storage", arguments["storage"], BatchSegmentStorage | None, "a BatchSegmentStorage")
    validation.check_type(
        "schedule", schedule, scheduler.ScheduleExpression | None, "a ScheduleExpression of aws_cdk.aws_scheduler"
    )
    validation.check_type("only_new_versions", arguments["only_new_versions"], bool, "True or False")
    validation.check_type("timeout", timeout, cdk.Duration, "a cdk.Duration")
    validation.check_type("tags", tags, Mapping | None, 'a mapping, {"key": "value"}')
    for key, value in (tags or {}).items():
        validation.check_type(f"tags[{key!r}]", value, str, "a string")
    job_arguments.check_solution(provider, arguments["solution_arn"], arguments["solution_version_arn"])
    validation.check_max_concurrency(arguments["max_concurrency"], MAX_CONCURRENCY)
    if timeout.is_unresolved() or not 0 < timeout.to_milliseconds() <= _MAX_TIMEOUT.to_milliseconds():
        got = "a value that is known only at deploy time" if timeout.is_unresolved() else timeout.to_human_string()
        raise ValueError(
            f"timeout: got {got}, expected more than 0 and at most {_MAX_TIMEOUT.to_human_string()}: Step Functions "
            "stops an execution after one year"
        )
    if schedule is not None:
        time_zone = schedule.time_zone
        schedules.check_schedule(schedule.expression_string, None if time_zone is None else time_zone.timezone_name)
