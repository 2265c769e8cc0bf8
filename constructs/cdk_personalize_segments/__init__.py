"""AWS CDK constructs for user segments of Amazon Personalize."""

from personalize_segments_reader import Segment, read_segments

from .audience import Audience
from .batch_segment_input import BatchSegmentInput
from .batch_segment_job import BatchSegmentJob
from .batch_segment_storage import BatchSegmentStorage
from .batch_segment_workflow import BatchSegmentWorkflow
from .nag import acknowledge_nag_findings
from .provider import BatchSegmentProvider
from .segment_query import SegmentQuery
from .segments_table import SegmentsTable

__all__ = [
    "Audience",
    "BatchSegmentInput",
    "BatchSegmentJob",
    "BatchSegmentProvider",
    "BatchSegmentStorage",
    "BatchSegmentWorkflow",
    "Segment",
    "SegmentQuery",
    "SegmentsTable",
    "acknowledge_nag_findings",
    "read_segments",
]
