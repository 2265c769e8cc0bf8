"""The statements of a workflow's state machine, of a watcher, and of the schedule."""

from batch_segment_handler.workflow_contract import EVENT_SOURCE

from ..buckets import BucketInfo
from ..naming import StackFacts
from .statements import (
    KEY_ACTIONS_TO_READ,
    KEY_ACTIONS_TO_WRITE,
    RESULT_ACTIONS,
    TRACING_ACTIONS,
    Statement,
    Statements,
    allow,
    of_account,
    via_s3,
)

SERVICE = "states.amazonaws.com"
SCHEDULER = "scheduler.amazonaws.com"


def service_source(facts: StackFacts) -> dict[str, dict[str, str]]:
    """The conditions under which Step Functions assumes a role: for this account and region only.

    https://docs.aws.amazon.com/step-functions/latest/dg/procedure-create-iam-role.html#prevent-cross-service-confused-deputy
    """
    return {
        "StringEquals": {"aws:SourceAccount": facts.account},
        "ArnLike": {"aws:SourceArn": f"arn:{facts.partition}:states:{facts.region}:{facts.account}:stateMachine:*"},
    }


def scheduler_source(facts: StackFacts) -> dict[str, dict[str, str]]:
    """The conditions under which Scheduler assumes a role: for schedules of the default group only.

    https://docs.aws.amazon.com/scheduler/latest/UserGuide/cross-service-confused-deputy-prevention.html
    """
    group = f"arn:{facts.partition}:scheduler:{facts.region}:{facts.account}:schedule-group/default"
    return {"StringEquals": {"aws:SourceAccount": facts.account, "aws:SourceArn": group}}


def default_bus(facts: StackFacts) -> str:
    """The ARN of the account's default event bus."""
    return f"arn:{facts.partition}:events:{facts.region}:{facts.account}:event-bus/default"


def start_run(state_machine_arn: str) -> Statement:
    """The statement of the schedule: https://docs.aws.amazon.com/scheduler/latest/UserGuide/managing-targets-templated.html."""
    return allow(["states:StartExecution"], [state_machine_arn])


def publisher(functions: list[str], bus: str, *, is_traced: bool) -> Statements:
    """The statements of a state machine that calls functions and publishes events.

    Args:
        functions: The ARNs of the functions.
        bus: The ARN of the event bus.
        is_traced: Whether X-Ray traces the state machine.
    """
    yield allow(["lambda:InvokeFunction"], functions)
    # https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-use-conditions.html: only the events of this library.
    yield allow(["events:PutEvents"], [bus], {"StringEquals": {"events:source": EVENT_SOURCE}})
    if is_traced:
        # https://docs.aws.amazon.com/step-functions/latest/dg/concepts-xray-tracing.html
        yield allow([*TRACING_ACTIONS, "xray:GetSamplingRules", "xray:GetSamplingTargets"], ["*"])


def distributed_map(facts: StackFacts, name: str, label: str) -> Statements:
    """The statements of a state machine that runs a Distributed Map and counts its results.

    https://docs.aws.amazon.com/step-functions/latest/dg/iam-policies-eg-dist-map.html names the executions without the
    label for DescribeExecution and StopExecution, and with it for RedriveExecution. The ARN of a child execution has
    the label, so the former are granted on both. Either answer works.

    Args:
        facts: The stack.
        name: The name of the state machine.
        label: The label of the map.
    """
    states = f"arn:{facts.partition}:states:{facts.region}:{facts.account}"
    children = f"{states}:execution:{name}/{label}:*"
    yield allow(["states:StartExecution"], [f"{states}:stateMachine:{name}"])
    yield allow(["states:DescribeExecution", "states:StopExecution"], [f"{states}:execution:{name}:*", children])
    yield allow(["states:RedriveExecution"], [children])
    yield allow(["states:DescribeMapRun"], [f"{states}:mapRun:{name}/{label}:*"])


def manifest(facts: StackFacts, bucket: str, key: str, encryption_key: str | None) -> Statements:
    """The statements to read the manifest.

    Args:
        facts: The stack.
        bucket: The name of the bucket of assets, which is the account's own.
        key: The key of the manifest.
        encryption_key: The ARN of the bucket's key, if it is known.
    """
    yield allow(["s3:GetObject"], [f"arn:{facts.partition}:s3:::{bucket}/{key}"], of_account(facts.account))
    if encryption_key is not None:
        yield allow(KEY_ACTIONS_TO_READ, [encryption_key], via_s3(facts.region))


def map_results(info: BucketInfo, prefix: str, region: str) -> Statements:
    """The statements to write the results of a Distributed Map.

    Args:
        info: The output bucket.
        prefix: The folder, ending in "/".
        region: The region.
    """
    yield allow(RESULT_ACTIONS, [f"{info.arn}/{prefix}*"], of_account(info.account))
    if info.key_arn is not None:
        yield allow(KEY_ACTIONS_TO_WRITE, [info.key_arn], via_s3(region))
