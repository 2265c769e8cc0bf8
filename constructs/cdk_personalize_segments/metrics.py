"""The metrics of jobs and workflows, which CloudWatch extracts from the logs of the functions."""

from typing import Any

import aws_cdk as cdk
import aws_cdk.aws_cloudwatch as cloudwatch
from batch_segment_handler import log
from batch_segment_handler.text import quote

from .audience import Audience


class JobMetrics:
    """The metric methods of `BatchSegmentJob`."""

    _resource: cdk.CustomResource

    def metric(self, metric_name: str, **options: Any) -> cloudwatch.Metric:
        """Returns a metric of the handler's decisions for this job.

        For example: ``job.metric("QueryErrors", period=cdk.Duration.hours(1))``.

        Args:
            metric_name: ``JobsCreated``, ``JobsAdopted``, ``Retries``, ``QueryErrors`` or ``DeploymentsFailed``.
            **options: The properties of `aws_cdk.aws_cloudwatch.MetricOptions`. Default: the statistic is the sum.
        """
        resource = self._resource.node.default_child
        assert isinstance(resource, cdk.CfnResource)
        stack_name = cdk.Stack.of(self._resource).stack_name
        return cloudwatch.Metric(
            namespace=log.NAMESPACE,
            metric_name=metric_name,
            dimensions_map={log.STACK: stack_name, log.RESOURCE: resource.logical_id},
            **{"statistic": "Sum", **options},
        )

    def metric_jobs_created(self, **options: Any) -> cloudwatch.Metric:
        """Returns the number of jobs that were started for this construct; see `metric`.

        For example: ``job.metric_jobs_created()``.
        """
        return self.metric(log.METRICS["created"], **options)

    def metric_jobs_adopted(self, **options: Any) -> cloudwatch.Metric:
        """Returns how often the handler adopted an existing job, after a redelivered event or a rollback; see `metric`.

        For example: ``job.metric_jobs_adopted()``.
        """
        return self.metric(log.METRICS["adopted"], **options)

    def metric_retries(self, **options: Any) -> cloudwatch.Metric:
        """Returns the number of retries, because of a permission, a limit or an unavailable service; see `metric`.

        For example: ``job.metric_retries()``.
        """
        return self.metric(log.METRICS["waited"], **options)

    def metric_query_errors(self, **options: Any) -> cloudwatch.Metric:
        """Returns the number of queries that ended with an error; see `metric`. Requires `wait_for_completion`.

        For example: ``job.metric_query_errors()``.
        """
        return self.metric(log.METRICS["output read"], **options)

    def metric_deployments_failed(self, **options: Any) -> cloudwatch.Metric:
        """Returns the number of deployments that failed because of this job; see `metric`.

        For example: ``job.metric_deployments_failed().create_alarm(stack, "Failed", threshold=1,
        evaluation_periods=1)``.
        """
        return self.metric(log.METRICS["failed"], **options)


class WorkflowMetrics:
    """The metric methods of `BatchSegmentWorkflow`."""

    #: The workflow's name in events and metrics.
    workflow_name: str
    _audience_names: frozenset[str]

    def metric(self, metric_name: str, **options: Any) -> cloudwatch.Metric:
        """Returns a metric of the workflow's runs.

        For example: ``workflow.metric("JobsFailed", period=cdk.Duration.days(1))``.

        Args:
            metric_name: ``JobsSucceeded``, ``JobsFailed``, ``JobsQueued``, ``QueryErrors`` or ``RunDuration``.
            **options: The properties of `aws_cdk.aws_cloudwatch.MetricOptions`. Default: the statistic is the sum.
        """
        dimensions = {log.WORKFLOW: self.workflow_name}
        return cloudwatch.Metric(
            namespace=log.NAMESPACE,
            metric_name=metric_name,
            **{"dimensions_map": dimensions, "statistic": "Sum", **options},
        )

    def metric_jobs_succeeded(self, **options: Any) -> cloudwatch.Metric:
        """Returns the number of audiences that succeeded in a run, with new or existing segments; see `metric`.

        For example: ``workflow.metric_jobs_succeeded()``.
        """
        return self.metric(log.METRICS["segments succeeded"], **options)

    def metric_jobs_failed(self, **options: Any) -> cloudwatch.Metric:
        """Returns the number of audiences that failed; see `metric`.

        For example: ``workflow.metric_jobs_failed().create_alarm(stack, "Failed", threshold=1, evaluation_periods=1)``.
        """
        return self.metric(log.METRICS["segments failed"], **options)

    def metric_jobs_queued(self, **options: Any) -> cloudwatch.Metric:
        """Returns how often an audience had to wait for free capacity; see `metric`.

        For example: ``workflow.metric_jobs_queued()``.
        """
        return self.metric(log.METRICS["queued"], **options)

    def metric_query_errors(self, **options: Any) -> cloudwatch.Metric:
        """Returns the number of queries that ended with an error; see `metric`. They do not fail an audience.

        For example: ``workflow.metric_query_errors()``.
        """
        return self.metric(log.METRICS["output read"], **options)

    def metric_run_duration(self, **options: Any) -> cloudwatch.Metric:
        """Returns the duration of a run in seconds; see `metric`. Default: the statistic is the maximum.

        For example: ``workflow.metric_run_duration()``.
        """
        return self.metric(log.METRICS["run completed"], **{"statistic": "Maximum", **options})

    def metric_segment_age(self, audience: str | Audience, **options: Any) -> cloudwatch.Metric:
        """Returns the age of an audience's newest segments at the end of a run, in seconds.

        The age grows with each run that fails, and with each run that skips the audience because its segments exist.
        For example: ``workflow.metric_segment_age("comedy-fans")``.

        Args:
            audience: The audience, or its name.
            **options: The properties of `aws_cdk.aws_cloudwatch.MetricOptions`. Default: the statistic is the maximum.

        Raises:
            ValueError: The workflow has no such audience.
        """
        name = audience.name if isinstance(audience, Audience) else audience
        if name not in self._audience_names:
            raise ValueError(f"audience: got {quote(name)}, expected the name of an audience of {self.workflow_name}")
        dimensions = {log.WORKFLOW: self.workflow_name, log.AUDIENCE: name}
        return self.metric(
            log.METRICS["segment age"], **{"statistic": "Maximum", "dimensions_map": dimensions, **options}
        )
