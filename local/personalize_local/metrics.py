"""CloudWatch metrics from logs in the embedded metric format, and alarms on them.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
"""

import json
import time
from collections.abc import Iterator
from typing import Any

from ministack.services import cloudwatch, cloudwatch_logs

from .patching import replace, require


def apply() -> None:
    """Patches MiniStack in place. MiniStack does not read logs, and its alarms ignore dimensions."""
    require(cloudwatch, "_metrics", "_store_datum", "_dims_key", "_dims_from_list", "_evaluate_all_alarms")
    replace(cloudwatch_logs, "_append_log_events", "stream events", _reading_metrics)
    replace(cloudwatch, "_evaluate_alarm", "alarm", lambda _: _evaluate_alarm)


def _reading_metrics(append: Any) -> Any:
    def append_log_events(stream: Any, events: list[dict[str, Any]]) -> None:
        append(stream, events)
        found = [datum for event in events for datum in _data(event["message"])]
        for datum in found:
            cloudwatch._store_datum(*datum)
        if found:
            cloudwatch._evaluate_all_alarms()

    return append_log_events


def _data(message: str) -> Iterator[tuple[Any, ...]]:
    """Yields the arguments of MiniStack's function that stores a value, for each metric of a line."""
    if '"_aws"' not in message:
        return
    try:
        # Lambda logs the line unchanged in its text format, and in its JSON format if the line is JSON.
        line = json.loads(message)
        directives = line["_aws"]["CloudWatchMetrics"]
        timestamp = line["_aws"]["Timestamp"] / 1000
        for directive in directives:
            for names in directive["Dimensions"]:
                # A line without the member of a dimension has no metric.
                dimensions = {name: str(line[name]) for name in names}
                for metric in directive["Metrics"]:
                    values = line[metric["Name"]]
                    values = values if isinstance(values, list) else [values]
                    yield (
                        directive["Namespace"],
                        metric["Name"],
                        dimensions,
                        timestamp,
                        metric.get("Unit", "None"),
                        None,
                        values,
                        None,
                        None,
                    )
    except (ValueError, KeyError, TypeError):
        return


def _evaluate_alarm(alarm: dict[str, Any]) -> None:
    """Evaluates an alarm over all of its periods together, when a value of any metric arrives."""
    key = (
        alarm.get("Namespace"),
        alarm.get("MetricName"),
        cloudwatch._dims_key(cloudwatch._dims_from_list(alarm.get("Dimensions") or [])),
    )
    since = time.time() - alarm.get("Period", 60) * alarm.get("EvaluationPeriods", 1)
    points = [point for point in cloudwatch._metrics.get(key) or [] if point["Timestamp"] >= since]
    statistic = alarm.get("ExtendedStatistic") or alarm.get("Statistic", "Average")
    value = cloudwatch._stat_value(cloudwatch._calc_stats(points), statistic, points) if points else None
    if value is None:
        return
    threshold, operator = alarm.get("Threshold", 0), alarm.get("ComparisonOperator", "")
    is_breaching = {
        "GreaterThanOrEqualToThreshold": value >= threshold,
        "GreaterThanThreshold": value > threshold,
        "LessThanThreshold": value < threshold,
        "LessThanOrEqualToThreshold": value <= threshold,
    }.get(operator, False)
    before, state = alarm["StateValue"], "ALARM" if is_breaching else "OK"
    if state == before:
        return
    reason = f"Threshold Crossed: {statistic} {value} {operator} {threshold}"
    alarm.update(StateValue=state, StateReason=reason, StateUpdatedTimestamp=int(time.time()))
    cloudwatch._record_history(alarm["AlarmName"], before, state, reason)
    cloudwatch._dispatch_alarm_actions(alarm, before, state, reason)
    cloudwatch._evaluate_parent_alarms(alarm)
