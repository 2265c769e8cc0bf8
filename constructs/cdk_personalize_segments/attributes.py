"""The attributes of a job that are known at deploy."""

import aws_cdk as cdk
from batch_segment_handler import contract


class JobAttributes:
    """The attribute properties of `BatchSegmentJob`."""

    _resource: cdk.CustomResource

    @property
    def batch_segment_job_arn(self) -> str:
        """The ARN of the job, known at deploy."""
        return self._resource.ref

    @property
    def job_name(self) -> str:
        """The name of the job, known at deploy."""
        return self._attribute("JobName")

    @property
    def output_uri(self) -> str:
        """Where the segments are, ``s3://<bucket>/<prefix><job name>/``, known at deploy.

        For an input ``part-00000.jsonl`` there is an object ``part-00000.jsonl.out``.
        """
        return self._attribute("OutputUri")

    @property
    def status(self) -> str:
        """The job's status at deployment time.

        ``CREATE PENDING`` for a new job, ``ACTIVE`` if the deployment waited, the current status for an existing job,
        or ``UNKNOWN`` if Personalize did not return one.
        """
        return self._attribute("Status")

    @property
    def solution_version_arn(self) -> str:
        """The solution version that the job uses, known at deploy. With `solution_arn`, the latest ACTIVE version."""
        return self._attribute("SolutionVersionArn")

    @property
    def query_errors(self) -> str:
        """The number of queries that ended with an error, and the first error; known at deploy, with
        `wait_for_completion`.

        For example ``none`` or ``2 of 1,234 queries; the first: …``. They fail neither the job nor the deployment.
        """
        return self._attribute("QueryErrors")

    def _attribute(self, name: contract.Attribute) -> str:
        return self._resource.get_att_string(name)
