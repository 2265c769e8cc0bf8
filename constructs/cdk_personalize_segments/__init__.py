"""User segments from Amazon Personalize as part of an AWS CDK stack."""

from personalize_segments_reader import Segment, read_segments

from .batch_segment_input import BatchSegmentInput
from .batch_segment_job import BatchSegmentJob
from .batch_segment_storage import BatchSegmentStorage
from .nag import acknowledge_nag_findings
from .provider import BatchSegmentProvider
from .segment_query import SegmentQuery

__all__ = [
    "BatchSegmentInput",
    "BatchSegmentJob",
    "BatchSegmentProvider",
    "BatchSegmentStorage",
    "Segment",
    "SegmentQuery",
    "acknowledge_nag_findings",
    "read_segments",
]
