"""CloudWatch in the local AWS: metrics from logs, alarms on them, and the metrics of Step Functions."""

import json
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from support.local import wait_until
from unit.local.machine_fixture import MachineFixture

MINUTES_AGO = datetime.now(UTC) - timedelta(minutes=5)


def line(namespace: str, **values: Any) -> str:
    metrics = [{"Name": "JobsFailed", "Unit": "Count"}, {"Name": "SegmentAge", "Unit": "Seconds"}]
    directive = {"Namespace": namespace, "Dimensions": [["Workflow"], ["Workflow", "Audience"]], "Metrics": metrics}
    return json.dumps({"_aws": {"Timestamp": int(time.time() * 1000), "CloudWatchMetrics": [directive]}, **values})


@pytest.fixture
def namespace() -> str:
    return f"Test{uuid.uuid4().hex}"


@pytest.fixture
def log(client: Callable[..., Any], namespace: str) -> Callable[[str], None]:
    """Writes a line to a log group."""
    logs = client("logs")
    logs.create_log_group(logGroupName=namespace)
    logs.create_log_stream(logGroupName=namespace, logStreamName="stream")

    def put(message: str) -> None:
        events = [{"timestamp": int(time.time() * 1000), "message": message}]
        logs.put_log_events(logGroupName=namespace, logStreamName="stream", logEvents=events)

    return put


def sums(client: Callable[..., Any], namespace: str, metric: str, **dimensions: str) -> list[tuple[float, str]]:
    points = client("cloudwatch").get_metric_statistics(
        Namespace=namespace,
        MetricName=metric,
        Dimensions=[{"Name": name, "Value": value} for name, value in dimensions.items()],
        StartTime=MINUTES_AGO,
        EndTime=datetime.now(UTC) + timedelta(minutes=1),
        Period=3600,
        Statistics=["Sum"],
    )["Datapoints"]
    return [(point["Sum"], point["Unit"]) for point in points]


def test_lines_in_logs_become_metrics(client: Callable[..., Any], log: Callable[[str], None], namespace: str) -> None:
    log(line(namespace, Workflow="Weekly", Audience="comedy", JobsFailed=1, SegmentAge=[3600, 60]))
    log("no metric, although it names _aws")
    log(json.dumps({"_aws": {"CloudWatchMetrics": "broken"}}))
    log('{"_aws": ')
    listed = client("cloudwatch").list_metrics(Namespace=namespace)["Metrics"]
    found = {
        (metric["MetricName"], tuple(sorted((item["Name"], item["Value"]) for item in metric["Dimensions"])))
        for metric in listed
    }
    audience = (("Audience", "comedy"), ("Workflow", "Weekly"))
    assert found == {
        (name, dimensions)
        for name in ("JobsFailed", "SegmentAge")
        for dimensions in (audience, (("Workflow", "Weekly"),))
    }
    assert sums(client, namespace, "JobsFailed", Workflow="Weekly") == [(1.0, "Count")]
    assert sums(client, namespace, "SegmentAge", Workflow="Weekly", Audience="comedy") == [(3660.0, "Seconds")]
    assert sums(client, namespace, "JobsFailed", Workflow="Daily") == []


def test_an_alarm_on_the_metric_of_a_function_reaches_a_queue(
    machine: MachineFixture, client: Callable[..., Any], log: Callable[[str], None], namespace: str
) -> None:
    queue = client("sqs").create_queue(QueueName=namespace)["QueueUrl"]
    queue_arn = client("sqs").get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"][
        "QueueArn"
    ]
    topic = client("sns").create_topic(Name=namespace)["TopicArn"]
    allowed = {
        "Effect": "Allow",
        "Principal": {"Service": "sns.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": "*",
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
    client("sqs").set_queue_attributes(QueueUrl=queue, Attributes={"Policy": policy})
    client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue_arn)
    cloudwatch = client("cloudwatch")
    cloudwatch.put_metric_alarm(
        AlarmName=namespace,
        Namespace=namespace,
        MetricName="JobsFailed",
        Dimensions=[{"Name": "Workflow", "Value": "Weekly"}],
        Statistic="Sum",
        Period=300,
        EvaluationPeriods=1,
        Threshold=1,
        ComparisonOperator="GreaterThanOrEqualToThreshold",
        TreatMissingData="notBreaching",
        AlarmActions=[topic],
    )

    def state() -> str:
        alarm: dict[str, Any] = cloudwatch.describe_alarms(AlarmNames=[namespace])["MetricAlarms"][0]
        return str(alarm["StateValue"])

    # The metric of another workflow, which the alarm must ignore.
    log(line(namespace, Workflow="Daily", Audience="comedy", JobsFailed=1, SegmentAge=1))
    assert state() == "INSUFFICIENT_DATA"
    logged = line(namespace, Workflow="Weekly", Audience="comedy", JobsFailed=1, SegmentAge=1)
    function = machine.function(f"def handler(event, context):\n    print({logged!r})\n")
    client("lambda").invoke(FunctionName=function)
    assert state() == "ALARM"
    [message] = client("sqs").receive_message(QueueUrl=queue)["Messages"]
    alarm = json.loads(json.loads(message["Body"])["Message"])
    assert (alarm["AlarmName"], alarm["NewStateValue"]) == (namespace, "ALARM")


def test_counts_executions_of_state_machines(machine: MachineFixture, client: Callable[..., Any]) -> None:
    machine.run({"End": {"Type": "Succeed"}})
    machine.run({"End": {"Type": "Fail"}})

    def count(name: str) -> list[tuple[float, str]]:
        return sums(client, "AWS/States", name, StateMachineArn=machine.arn)

    wait_until(lambda: count("ExecutionsFailed") == [(1.0, "Count")], interval=0.1)
    assert count("ExecutionsSucceeded") == [(1.0, "Count")]
    assert count("ExecutionsStarted") == [(2.0, "Count")]
