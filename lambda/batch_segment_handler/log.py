"""The log: one JSON object a line for each decision, and the metrics that CloudWatch reads from it.

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
}
_about: dict[str, object] = {}


def start(stack_id: str, logical_id: str) -> None:
    """Starts the log of an event; every line says whose it is.

    Args:
        stack_id: The stack's ARN.
        logical_id: The resource's logical id.
    """
    _about.clear()
    _about.update({STACK: stack_id.split("/")[1], RESOURCE: logical_id})


def about(**details: object) -> None:
    """Adds what all further lines are about, for example the job."""
    _about.update(details)


def log(decision: str, **details: object) -> None:
    """Writes a line.

    Args:
        decision: What was decided, for example ``"created"``; those in `METRICS` are counted.
        **details: What it was decided about. Never the event: its ``ResponseURL`` is signed and lets whoever reads it
            answer CloudFormation.
    """
    line = {"decision": decision, **_about, **details}
    metric = METRICS.get(decision)
    if metric is not None:
        line |= {
            metric: 1,
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
    print(json.dumps(line, default=str, ensure_ascii=False), flush=True)
