"""The log: one JSON object a line for each decision, and the metrics that CloudWatch extracts from it.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
"""

import json
import time

#: The metrics' namespace and dimensions, and by decision their names: the construct's ``metric_…`` methods name them.
NAMESPACE = "PersonalizeBatchSegments"
STACK = "Stack"
RESOURCE = "Resource"
METRICS = {
    "created": "JobsCreated",
    "adopted": "JobsAdopted",
    "waited": "Retries",
    "failed": "DeploymentsFailed",
    "output read": "QueryErrors",
}
_about: dict[str, object] = {}


def start(stack_id: str, logical_id: str) -> None:
    """Starts the log of an event. Every line names the stack and the resource.

    Args:
        stack_id: The stack's ARN.
        logical_id: The resource's logical ID.
    """
    _about.clear()
    _about.update({STACK: stack_id.split("/")[1] if "/" in stack_id else stack_id, RESOURCE: logical_id})


def about(**details: object) -> None:
    """Adds details to all further lines, for example the job."""
    _about.update(details)


def log(decision: str, *, metric_value: int = 1, **details: object) -> None:
    """Writes a line.

    Args:
        decision: The decision, for example ``"created"``. Decisions in `METRICS` are counted.
        metric_value: The value of the decision's metric.
        **details: What the decision is about. Never the event: its ``ResponseURL`` is signed and lets whoever reads it
            answer CloudFormation.
    """
    line = {"decision": decision, **_about, **details}
    metric = METRICS.get(decision)
    if metric is not None:
        line |= {
            metric: metric_value,
            "_aws": {
                "Timestamp": int(time.time() * 1000),
                "CloudWatchMetrics": [
                    {
                        "Namespace": NAMESPACE,
                        "Dimensions": [[STACK], [STACK, RESOURCE]],
                        "Metrics": [{"Name": metric, "Unit": "Count"}],
                    }
                ],
            },
        }
    print(_escaped(json.dumps(line, default=str, ensure_ascii=False)), flush=True)


def _escaped(line: str) -> str:
    # JSON itself leaves C1 control characters, bidirectional marks and lone surrogates as they are. Somebody who looks
    # at the log in a terminal must not be at the mercy of an object's key.
    if line.isprintable():
        return line
    return "".join(one if one.isprintable() else json.dumps(one)[1:-1] for one in line)
