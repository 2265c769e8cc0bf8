"""Answers of the service that nobody has published, each of which can be turned round.

The defaults are what AWS's guide and recorded runs make likely. A program that works with each of them turned round
depends on no guess.
"""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Behavior:
    """How the local Personalize answers where the real one's answer is not known.

    Attributes:
        unknown_job_error: The error of DescribeBatchSegmentJob for a job that does not exist. Both are declared by the
            operation: https://docs.aws.amazon.com/personalize/latest/dg/API_DescribeBatchSegmentJob.html
        unready_error: The error of CreateBatchSegmentJob for a solution version or filter that is not ACTIVE. Both are
            declared: https://docs.aws.amazon.com/personalize/latest/dg/API_CreateBatchSegmentJob.html
        echoes_trailing_slash: Whether descriptions show a path that ends in a slash as it was given, or without it.
        echoes_absent_arns: Whether descriptions show an empty ``filterArn`` and ``kmsKeyArn`` where none was given.
        echoes_default_results: Whether descriptions show ``numResults`` where none was given.
        default_results: How many users a segment has where no number was given. The guide says 25:
            https://docs.aws.amazon.com/personalize/latest/dg/creating-batch-seg-job.html
        statuses: The words for a status, as they were seen in AWS's notebooks (``CREATE PENDING``,
            ``CREATE IN_PROGRESS``) or as they are documented (``PENDING``, ``IN PROGRESS``).
        check_object: When the service writes ``_CHECK`` to the output: as the job is created, as it runs, or never. The
            object was seen in AWS's notebooks.
        output_format: The records in output objects, as they were seen (``usersList``, ``error``) or as they are
            documented (``recommendedUsers``, an ``itemAttributes`` query outside ``input``, no ``error``):
            https://docs.aws.amazon.com/personalize/latest/dg/batch-segment-job-output-examples.html
        checks_access: When the role and the bucket policies are checked: as the job is created, which then fails with
            InvalidInputException, or as it runs, so that it ends CREATE FAILED.
        lists_output: Whether the role and the output bucket's policy need ``s3:ListBucket`` on the output bucket.
        sends_source: Whether requests to S3 carry ``aws:SourceAccount`` and ``aws:SourceArn``. The guide's bucket
            policies have neither: https://docs.aws.amazon.com/personalize/latest/dg/granting-personalize-s3-access.html
        authorizes_solution_version: Whether CreateBatchSegmentJob needs to be allowed on the solution version, and not
            only on the job.
        authorizes_tagging: Whether CreateBatchSegmentJob needs ``personalize:TagResource`` only with tags or always.
        refuses_output_without_slash: Whether an output path that does not end in a slash is refused. The guide writes
            it with one.
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
