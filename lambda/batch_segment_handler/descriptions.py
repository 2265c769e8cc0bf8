"""Reads Personalize's descriptions of jobs, solution versions and filters."""

from collections.abc import Mapping
from typing import Any

from . import clients
from .errors import means_not_found
from .retries import RetryBudget, call_with_retries
from .text import printable, shorten

ACTIVE = "ACTIVE"
_FAILED = "FAILED"
_MAX_REASON_LENGTH = 1200


def describe_job(arn: str, budget: RetryBudget) -> Mapping[str, Any] | None:
    """Returns Personalize's description of a job, or None if the job does not exist."""
    client = clients.personalize()
    try:
        response = call_with_retries(
            client.describe_batch_segment_job, budget, member="batchSegmentJob", batchSegmentJobArn=arn
        )
    except client.exceptions.ResourceNotFoundException:
        return None
    except client.exceptions.InvalidInputException as error:
        # If the job does exist, CreateBatchSegmentJob reports it.
        if means_not_found(error):
            return None
        raise
    return response["batchSegmentJob"]


def status_of(description: Mapping[str, Any]) -> str:
    """Returns the status of a job, solution version or filter in capitals; "" if the description has none.

    Every status except ACTIVE and those that end in FAILED means in progress. The documentation has "PENDING" and "IN
    PROGRESS" (https://docs.aws.amazon.com/personalize/latest/dg/API_BatchSegmentJob.html), and AWS's notebooks show
    "CREATE PENDING" and "CREATE IN_PROGRESS".
    """
    return printable(description.get("status") or "", 50).upper()


def has_failed(status: str) -> bool:
    """Returns whether a job, solution version or filter with this status will never be ACTIVE."""
    return status.upper().endswith(_FAILED)


def failure_reason(description: Mapping[str, Any]) -> str:
    """Returns the service's reason for a failure, escaped and shortened."""
    reason = printable(description.get("failureReason") or "no reason given", _MAX_REASON_LENGTH)
    return shorten(reason, _MAX_REASON_LENGTH)
