"""The metrics of jobs and workflows, counted from the logs of the functions."""

from typing import Any

import aws_cdk as cdk
import aws_cdk.aws_cloudwatch as cloudwatch
from batch_segment_handler import log

from .audience import Audience
from .validation import quote


class JobMetrics:
    """The metric methods of `BatchSegmentJob`."""

    _resource: cdk.CustomResource

    def metric(self, metric_name: str, **options: Any) -> cloudwatch.Metric:
        """A metric of what the handler decided for this job.

        Args:
            metric_name: ``JobsCreated``, ``JobsAdopted``, ``Retries``, ``QueryErrors`` or ``DeploymentsFailed``.
            **options: Those of `aws_cdk.aws_cloudwatch.MetricOptions`. Default: the statistic is the sum.
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
        """How many jobs were started for this construct, see `metric`."""
        return self.metric(log.METRICS["created"], **options)

    def metric_jobs_adopted(self, **options: Any) -> cloudwatch.Metric:
        """How often an existing job was adopted, after a redelivered event or a rollback; see `metric`."""
        return self.metric(log.METRICS["adopted"], **options)

    def metric_retries(self, **options: Any) -> cloudwatch.Metric:
        """How often the handler waited for a permission, a limit or the service; see `metric`."""
        return self.metric(log.METRICS["waited"], **options)

    def metric_query_errors(self, **options: Any) -> cloudwatch.Metric:
        """How many queries of complete jobs ended with an error, with `wait_for_completion`; see `metric`."""
        return self.metric(log.METRICS["output read"], **options)

    def metric_deployments_failed(self, **options: Any) -> cloudwatch.Metric:
        """How often a deployment failed because of this job, see `metric`."""
        return self.metric(log.METRICS["failed"], **options)


class WorkflowMetrics:
    """The metric methods of `BatchSegmentWorkflow`."""

    #: The workflow's name in events and metrics.
    workflow_name: str
    _audience_names: frozenset[str]

    def metric(self, metric_name: str, **options: Any) -> cloudwatch.Metric:
        """A metric of the workflow's runs.

        Args:
            metric_name: ``JobsSucceeded``, ``JobsFailed``, ``JobsQueued`` or ``RunDuration``.
            **options: Those of `aws_cdk.aws_cloudwatch.MetricOptions`. Default: the statistic is the sum.
        """
        dimensions = {log.WORKFLOW: self.workflow_name}
        return cloudwatch.Metric(
            namespace=log.NAMESPACE,
            metric_name=metric_name,
            **{"dimensions_map": dimensions, "statistic": "Sum", **options},
        )

    def metric_jobs_succeeded(self, **options: Any) -> cloudwatch.Metric:
        """How many audiences have their segments at the end of a run, new or found; see `metric`."""
        return self.metric(log.METRICS["segments succeeded"], **options)

    def metric_jobs_failed(self, **options: Any) -> cloudwatch.Metric:
        """How many audiences failed, see `metric`."""
        return self.metric(log.METRICS["segments failed"], **options)

    def metric_jobs_queued(self, **options: Any) -> cloudwatch.Metric:
        """How often an audience found no free capacity and waits for it, see `metric`."""
        return self.metric(log.METRICS["queued"], **options)

    def metric_run_duration(self, **options: Any) -> cloudwatch.Metric:
        """How long a run took, in seconds. Default: the statistic is the maximum; see `metric`."""
        return self.metric(log.METRICS["run completed"], **{"statistic": "Maximum", **options})

    def metric_segment_age(self, audience: str | Audience, **options: Any) -> cloudwatch.Metric:
        """How old the newest segments of an audience are when its run ends, in seconds.

        It grows with each run that fails, and with each that finds the segments of an earlier one.

        Args:
            audience: The audience, or its name.
            **options: Those of `aws_cdk.aws_cloudwatch.MetricOptions`. Default: the statistic is the maximum.

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
