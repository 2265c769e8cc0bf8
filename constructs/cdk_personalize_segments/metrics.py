"""The metrics of a job, counted from the handler's log."""

from typing import Any

import aws_cdk as cdk
import aws_cdk.aws_cloudwatch as cloudwatch
from batch_segment_handler import log


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
