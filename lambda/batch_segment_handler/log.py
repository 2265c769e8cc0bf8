"""Writes the log, one line of JSON for each decision, from which CloudWatch extracts the metrics.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
"""

import json
import time

#: The metrics' namespace and dimensions, and their names by decision. The construct's ``metric_…`` methods use them.
NAMESPACE = "PersonalizeBatchSegments"
STACK = "Stack"
RESOURCE = "Resource"
WORKFLOW = "Workflow"
AUDIENCE = "Audience"
METRICS = {
    "created": "JobsCreated",
    "adopted": "JobsAdopted",
    "waited": "Retries",
    "failed": "DeploymentsFailed",
    "output read": "QueryErrors",
    "segments succeeded": "JobsSucceeded",
    "segments failed": "JobsFailed",
    "queued": "JobsQueued",
    "run completed": "RunDuration",
    "segment age": "SegmentAge",
}
_IN_SECONDS = {"RunDuration", "SegmentAge"}
_BY_AUDIENCE = {"SegmentAge"}
_bound: dict[str, object] = {}


def begin(stack_id: str, logical_id: str) -> None:
    """Starts the log of an invocation. Every line names the stack and the resource."""
    _bound.clear()
    _bound.update({STACK: stack_id.split("/")[1] if "/" in stack_id else stack_id, RESOURCE: logical_id})


def begin_step(stack_id: str, workflow: str, audience: str) -> None:
    """Starts the log of a step of a state machine.

    Args:
        stack_id: The stack's ARN.
        workflow: The workflow's name; "" for a job created at deploy time.
        audience: The audience's name; "" for a step of the whole run.
    """
    begin(stack_id, "")
    del _bound[RESOURCE]
    _bound.update({name: value for name, value in ((WORKFLOW, workflow), (AUDIENCE, audience)) if value})


def bind(**details: object) -> None:
    """Adds details to all further lines, for example the job."""
    _bound.update(details)


def event(decision: str, *, metric_value: int = 1, **details: object) -> None:
    """Writes a line.

    Args:
        decision: The decision, for example ``"created"``. Decisions in `METRICS` are counted.
        metric_value: The value of the decision's metric.
        **details: Details of the decision. Never CloudFormation's event: its signed ``ResponseURL`` allows anyone who
            reads the log to respond to CloudFormation.
    """
    line = {"decision": decision, **_bound, **details}
    metric = METRICS.get(decision)
    if metric is not None:
        line |= {
            metric: metric_value,
            "_aws": {
                "Timestamp": int(time.time() * 1000),
                "CloudWatchMetrics": [
                    {
                        "Namespace": NAMESPACE,
                        "Dimensions": _dimensions(metric),
                        "Metrics": [{"Name": metric, "Unit": "Seconds" if metric in _IN_SECONDS else "Count"}],
                    }
                ],
            },
        }
    print(_escape(json.dumps(line, default=str, ensure_ascii=False)), flush=True)


def _dimensions(metric: str) -> list[list[str]]:
    if WORKFLOW in _bound:
        return [[WORKFLOW, AUDIENCE]] if metric in _BY_AUDIENCE else [[WORKFLOW]]
    return [[STACK], [STACK, RESOURCE]] if RESOURCE in _bound else [[STACK]]


def _escape(line: str) -> str:
    # `json.dumps` keeps C1 control characters, bidirectional marks and lone surrogates. In an object's key, they could
    # control the terminal that shows the log.
    if line.isprintable():
        return line
    return "".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in line)
