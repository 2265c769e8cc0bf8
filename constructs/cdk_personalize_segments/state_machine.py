"""The state machines of workflows, and the one that watches jobs, in Amazon States Language.

The functions are pure: they return dictionaries, in which ARNs and settings may be tokens. The language is JSONPath.
https://docs.aws.amazon.com/step-functions/latest/dg/concepts-amazon-states-language.html
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from batch_segment_handler import workflow_contract as contract
from batch_segment_handler.workflow_contract import WorkflowSettings

from .states import ANY_FAILED_TASK, BACKOFF, Functions, State, States, caught, fail, status

#: The label of the Distributed Map. It is part of the ARNs of its executions.
LABEL = "Audiences"
# A job takes about an hour, which is nine looks.
_WAIT_SECONDS = 420
_BUSY_WAIT_SECONDS = 300
# What the functions need of the settings. The others only take space in the definition and in each payload.
_OF_PREPARE = ("Workflow", "StackId", "SolutionVersionArn", "SolutionArn", "OnlyNewVersions", "TimeoutSeconds")
_OF_DESCRIBE = ("Workflow", "StackId", "OutputPath", "Table")
_OF_COMPLETE = ("Workflow", "StackId")

_MEMBERS_OF_AUDIENCE = {"Audience.$": "$.Audience", "Run.$": "$.Run", "Progress.$": "$.Step.Payload"}
_MEMBERS_OF_JOB = {"Run.$": "$.Run", "Progress.$": "$.Step.Payload"}
_EXECUTION = {"ExecutionArn.$": "$$.Execution.Id", "StartTime.$": "$$.Execution.StartTime"}
_FAULT = {"Fault.$": "$.Fault"}
# A fault while a fault is reported. The event has the first one.
_SECOND_FAULT = "$.SecondFault"
# Each fault has an error, and not each a cause.
_REASON_OF_FAULT = {"reason.$": "States.JsonToString($.Fault)"}


@dataclass(frozen=True)
class MapOptions:
    """The Distributed Map of a workflow.

    Attributes:
        manifest_bucket: The bucket of the manifest.
        manifest_key: The key of the manifest.
        results_bucket: The bucket that the results go to.
        results_prefix: The folder of the results, without a "/" at its end.
        max_concurrency: How many audiences run at once.
    """

    manifest_bucket: str
    manifest_key: str
    results_bucket: str
    results_prefix: str
    max_concurrency: int


def workflow(functions: Functions, settings: WorkflowSettings, options: MapOptions) -> dict[str, Any]:
    """Returns the state machine of a workflow.

    A run with failed audiences succeeds as an execution, since its events tell what failed. A run that fails as a whole
    fails.

    Args:
        functions: The functions.
        settings: The settings of the workflow.
        options: The map over the audiences.
    """
    name = settings["Workflow"]
    completes = _only(settings, _OF_COMPLETE)
    run = {"Run.$": "$.Prepared.Payload.Run"}
    fault_detail = {
        "version": "1",
        "status": "FAILED",
        "workflow": name,
        "executionArn.$": "$$.Execution.Id",
        "total": 0,
        "succeeded": 0,
        "failed": 0,
        **_REASON_OF_FAULT,
    }

    def completed(detail: str | Mapping[str, Any]) -> State:
        return functions.publish(contract.RUN_COMPLETED, detail)

    prepared = functions.task(
        "Prepare", _only(settings, _OF_PREPARE), {"Input.$": "$$.Execution.Input", **_EXECUTION}, "$.Prepared"
    )
    counted = {
        "Type": "Task",
        "Resource": f"arn:{functions.partition}:states:::aws-sdk:sfn:describeMapRun",
        "Parameters": {"MapRunArn.$": "$.Map.MapRunArn"},
        "ResultSelector": {"Counts.$": "$.ItemCounts"},
        "ResultPath": "$.MapRun",
        "Retry": [{"ErrorEquals": ANY_FAILED_TASK, **BACKOFF}],
    }
    complete = functions.task(
        "Complete", completes, {**_EXECUTION, **run, "Counts.$": "$.MapRun.Counts"}, "$.Completion"
    )
    report_run = functions.task("Complete", completes, {**_EXECUTION, **run, **_FAULT}, "$.Completion")
    report_execution = functions.task("Complete", completes, {**_EXECUTION, **_FAULT}, "$.Completion")
    return {
        "Comment": f"Refreshes the segments of {name}",
        "StartAt": "Prepare",
        "TimeoutSeconds": settings["TimeoutSeconds"] + 3600,
        "States": {
            "Prepare": caught(prepared, "ReportUnprepared") | {"Next": "IsReady"},
            "IsReady": {
                "Type": "Choice",
                "Choices": [status("$.Prepared.Payload.Status", "READY", "Audiences")],
                "Default": "PublishNotReady",
            },
            "Audiences": caught(_map(functions, settings, options), "ReportRunFault") | {"Next": "CountAudiences"},
            "CountAudiences": caught(counted, "ReportRunFault") | {"Next": "Complete"},
            "Complete": caught(complete, "PublishRunFault") | {"Next": "PublishCompleted"},
            "PublishCompleted": completed("$.Completion.Payload.Detail") | {"Next": "Completed"},
            "Completed": {"Type": "Succeed"},
            # What goes wrong. Each way ends in one event and a failed execution.
            "PublishNotReady": caught(completed("$.Prepared.Payload.Detail"), "PublishRunFault") | {"Next": "NotReady"},
            "NotReady": fail("NotReady", "$.Prepared.Payload.Detail.reason"),
            "ReportUnprepared": caught(report_execution, "PublishRunFault", path=_SECOND_FAULT)
            | {"Next": "PublishRunFailed"},
            "ReportRunFault": caught(report_run, "PublishRunFault", path=_SECOND_FAULT) | {"Next": "PublishRunFailed"},
            "PublishRunFailed": completed("$.Completion.Payload.Detail") | {"Next": "RunFailed"},
            "PublishRunFault": completed(fault_detail) | {"Next": "RunFailed"},
            "RunFailed": fail("RunFailed", "$.Fault.Error"),
        },
    }


def watcher(functions: Functions, settings: WorkflowSettings) -> dict[str, Any]:
    """Returns the state machine that waits for a job created at deploy time, and publishes its end.

    The handler starts it, with the job as ``$.Step.Payload`` and the deadline as ``$.Run``.

    Args:
        functions: The functions. Only `describe` is called.
        settings: The settings: the stack's ARN, and the name of no workflow.
    """
    return {
        "Comment": "Waits for batch segment jobs created at deploy time, and publishes an event when they are complete",
        "StartAt": "Wait",
        "States": _watching(functions, _only(settings, _OF_DESCRIBE), _MEMBERS_OF_JOB, {}),
    }


def _map(functions: Functions, settings: WorkflowSettings, options: MapOptions) -> State:
    start_settings = {key: value for key, value in settings.items() if key != "Table"}
    identity = {
        "workflow": settings["Workflow"],
        "audience.$": "$.Audience.Name",
        "run.$": "$.Run.Run",
        "solutionVersionArn.$": "$.Run.SolutionVersionArn",
    }
    start = functions.task("Start", start_settings, _MEMBERS_OF_AUDIENCE, "$.Step")
    states: States = {
        "Start": caught(start, "ReportFault") | {"Next": "Decide"},
        "WaitForCapacity": {"Type": "Wait", "Seconds": _BUSY_WAIT_SECONDS, "Next": "Start"},
        **_watching(functions, _only(settings, _OF_DESCRIBE), _MEMBERS_OF_AUDIENCE, identity),
    }
    states["Decide"]["Choices"] += [
        status("$.Step.Payload.Status", "BUSY", "WaitForCapacity"),
        status("$.Step.Payload.Status", "NEXT_PART", "Start"),
    ]
    return {
        "Type": "Map",
        "Label": LABEL,
        "MaxConcurrency": options.max_concurrency,
        # One audience's failure is no reason to stop the others.
        "ToleratedFailurePercentage": 100,
        # https://docs.aws.amazon.com/step-functions/latest/dg/input-output-itemreader.html
        "ItemReader": {
            "Resource": f"arn:{functions.partition}:states:::s3:getObject",
            "ReaderConfig": {"InputType": "JSONL"},
            "Parameters": {"Bucket": options.manifest_bucket, "Key": options.manifest_key},
        },
        "ItemSelector": {
            "Audience.$": "$$.Map.Item.Value",
            "Run.$": "$.Prepared.Payload.Run",
            "Step": {"Payload": {"Status": "BUSY", "Jobs": []}},
        },
        "ItemProcessor": {
            "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
            "StartAt": "Start",
            "States": states,
        },
        # Without it the output of all audiences would have to fit into the state's 256 KiB:
        # https://docs.aws.amazon.com/step-functions/latest/dg/input-output-resultwriter.html
        "ResultWriter": {
            "Resource": f"arn:{functions.partition}:states:::s3:putObject",
            "Parameters": {"Bucket": options.results_bucket, "Prefix": options.results_prefix},
        },
        "ResultPath": "$.Map",
    }


def _watching(
    functions: Functions, settings: Mapping[str, Any], members: Mapping[str, Any], identity: Mapping[str, Any]
) -> States:
    """The states from a job that runs to the event of its end. `Decide` is also where a started job goes."""
    fault_detail = {
        "version": "1",
        "status": "FAILED",
        **identity,
        "jobNames.$": "$.Step.Payload.Jobs[*].JobName",
        "jobArns.$": "$.Step.Payload.Jobs[*].JobArn",
        **_REASON_OF_FAULT,
    }
    describe = functions.task("Describe", settings, members, "$.Step")
    report = functions.task("ReportFault", settings, {**members, **_FAULT}, "$.Step")
    detail = "$.Step.Payload.Detail"
    return {
        "Wait": {"Type": "Wait", "Seconds": _WAIT_SECONDS, "Next": "Describe"},
        "Describe": caught(describe, "ReportFault") | {"Next": "Decide"},
        "Decide": {
            "Type": "Choice",
            "Choices": [
                status("$.Step.Payload.Status", "IN_PROGRESS", "Wait"),
                status("$.Step.Payload.Status", "CHECK", "Describe"),
                status("$.Step.Payload.Status", "SUCCEEDED", "PublishSucceeded"),
            ],
            "Default": "PublishFailed",
        },
        "PublishSucceeded": functions.publish(contract.SEGMENTS_SUCCEEDED, detail) | {"Next": "Succeeded"},
        "Succeeded": {"Type": "Succeed"},
        "PublishFailed": caught(functions.publish(contract.SEGMENTS_FAILED, detail), "PublishFault")
        | {"Next": "Failed"},
        "Failed": fail("SegmentsFailed", "$.Step.Payload.Detail.reason"),
        # What no function could report.
        "ReportFault": caught(report, "PublishFault", path=_SECOND_FAULT) | {"Next": "PublishFailed"},
        "PublishFault": functions.publish(contract.SEGMENTS_FAILED, fault_detail) | {"Next": "Faulted"},
        "Faulted": fail("SegmentsFailed", "$.Fault.Error"),
    }


def _only(settings: WorkflowSettings, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: value for name, value in cast(dict[str, Any], settings).items() if name in names}
