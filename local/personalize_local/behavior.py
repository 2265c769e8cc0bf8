"""Unpublished answers of the service. Each has a default and an alternative.

The defaults are the likely answers according to AWS's guide and recorded runs. A program that works with every
alternative depends on no guess.
"""

from dataclasses import dataclass
from typing import Literal

# The documented status for each status observed in AWS's notebooks.
# https://docs.aws.amazon.com/personalize/latest/dg/API_BatchSegmentJob.html
_DOCUMENTED_STATUSES = {"CREATE PENDING": "PENDING", "CREATE IN_PROGRESS": "IN PROGRESS"}


@dataclass(frozen=True, kw_only=True)
class Behavior:
    """How the local Personalize answers where no source says how the real one does.

    Attributes:
        unknown_job_error: The error of DescribeBatchSegmentJob for a job that does not exist. The operation declares
            both: https://docs.aws.amazon.com/personalize/latest/dg/API_DescribeBatchSegmentJob.html
        unready_error: The error of CreateBatchSegmentJob for a solution version or filter that is not ACTIVE. The
            operation declares both: https://docs.aws.amazon.com/personalize/latest/dg/API_CreateBatchSegmentJob.html
        echoes_trailing_slash: Whether descriptions keep the trailing slash of a path.
        echoes_absent_arns: Whether descriptions include an empty ``filterArn`` and ``kmsKeyArn`` if the request has
            none.
        echoes_default_results: Whether descriptions include ``numResults`` if the request has none.
        default_results: The number of users in a segment if the request has no ``numResults``. The guide says 25:
            https://docs.aws.amazon.com/personalize/latest/dg/creating-batch-seg-job.html
        statuses: The status values: as observed in AWS's notebooks (``CREATE PENDING``, ``CREATE IN_PROGRESS``) or as
            documented (``PENDING``, ``IN PROGRESS``).
        check_object: When the service writes the object ``_CHECK`` to the output: when the job is created, when it
            runs, or never. The object was observed in AWS's notebooks.
        output_format: The format of output records: as observed (``usersList``, ``error``) or as documented
            (``recommendedUsers``, an ``itemAttributes`` query outside ``input``, no ``error``):
            https://docs.aws.amazon.com/personalize/latest/dg/batch-segment-job-output-examples.html
        checks_access: When the service checks the role and the bucket policies: when the job is created, which fails
            with InvalidInputException, or when it runs, so that the job ends CREATE FAILED.
        lists_output: Whether the role and the output bucket's policy need ``s3:ListBucket`` on the output bucket.
        sends_source: Whether requests to S3 carry ``aws:SourceAccount`` and ``aws:SourceArn``. The guide's bucket
            policies have neither: https://docs.aws.amazon.com/personalize/latest/dg/granting-personalize-s3-access.html
        authorizes_solution_version: Whether CreateBatchSegmentJob needs permission for the solution version in
            addition to the job.
        authorizes_tagging: Whether CreateBatchSegmentJob needs ``personalize:TagResource`` only with tags or always.
        refuses_output_without_slash: Whether the service rejects an output path without a trailing slash. The guide
            writes it with one.
    """

    unknown_job_error: Literal["ResourceNotFoundException", "InvalidInputException"] = "ResourceNotFoundException"
    unready_error: Literal["ResourceInUseException", "InvalidInputException"] = "ResourceInUseException"
    echoes_trailing_slash: bool = True
    echoes_absent_arns: bool = False
    echoes_default_results: bool = True
    default_results: int = 25
    statuses: Literal["observed", "documented"] = "observed"
    check_object: Literal["created", "running", "never"] = "created"
    output_format: Literal["observed", "documented"] = "observed"
    checks_access: Literal["created", "running"] = "created"
    lists_output: bool = True
    sends_source: bool = True
    authorizes_solution_version: bool = False
    authorizes_tagging: Literal["with tags", "always"] = "with tags"
    refuses_output_without_slash: bool = False

    def status_word(self, status: str) -> str:
        """Returns the value that descriptions show for a status."""
        return _DOCUMENTED_STATUSES.get(status, status) if self.statuses == "documented" else status
