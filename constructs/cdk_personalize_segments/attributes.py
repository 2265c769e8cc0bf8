"""The attributes of a job."""

import aws_cdk as cdk
from batch_segment_handler import contract


class JobAttributes:
    """The attribute properties of `BatchSegmentJob`. They are tokens, resolved at deploy time."""

    _resource: cdk.CustomResource

    @property
    def batch_segment_job_arn(self) -> str:
        """The ARN of the job, resolved at deploy time."""
        return self._resource.ref

    @property
    def job_name(self) -> str:
        """The name of the job, resolved at deploy time."""
        return self._attribute("JobName")

    @property
    def output_uri(self) -> str:
        """The folder of the segments, ``s3://<bucket>/<prefix><job name>/``, resolved at deploy time.

        The segments of an input file ``part-00000.jsonl`` are in the object ``part-00000.jsonl.out``.
        """
        return self._attribute("OutputUri")

    @property
    def status(self) -> str:
        """The job's status at deploy time.

        ``CREATE PENDING`` for a new job, ``ACTIVE`` if the deployment waited, the current status for an existing job,
        or ``UNKNOWN`` if Personalize did not return one.
        """
        return self._attribute("Status")

    @property
    def solution_version_arn(self) -> str:
        """The ARN of the solution version that the job uses, resolved at deploy time.

        With `solution_arn`, the version that was the latest ACTIVE one when the job was created.
        """
        return self._attribute("SolutionVersionArn")

    @property
    def query_errors(self) -> str:
        """The number of queries that ended with an error, and the first error, resolved at deploy time.

        For example ``none`` or ``2 of 1,234 queries; the first: …``. Without `wait_for_completion`, ``unknown``. Query
        errors never fail the job. They fail the deployment only with `max_query_errors`.
        """
        return self._attribute("QueryErrors")

    def _attribute(self, name: contract.Attribute) -> str:
        return self._resource.get_att_string(name)
