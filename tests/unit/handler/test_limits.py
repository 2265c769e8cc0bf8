"""Limits, compared with botocore's model of the service."""

from typing import Any

import pytest
from batch_segment_handler import limits
from botocore.session import Session

SHAPES = Session().get_service_model("personalize")


@pytest.mark.parametrize(
    ("shape", "limit"),
    [
        ("Name", limits.MAX_JOB_NAME_LENGTH),
        ("Arn", limits.MAX_ARN_LENGTH),
        ("S3Location", limits.MAX_S3_PATH_LENGTH),
        ("TagKey", limits.MAX_TAG_KEY_LENGTH),
        ("TagValue", limits.MAX_TAG_VALUE_LENGTH),
    ],
)
def test_maximum_lengths_equal_those_of_the_model(shape: str, limit: Any) -> None:
    assert SHAPES.shape_for(shape).metadata["max"] == limit


def test_pattern_of_job_names_equals_that_of_the_model() -> None:
    assert SHAPES.shape_for("Name").metadata["pattern"] == f"^{limits.JOB_NAME.pattern}"


def test_limits_of_the_guide() -> None:
    # https://docs.aws.amazon.com/personalize/latest/dg/limits.html
    assert (limits.MAX_RESULTS, limits.MAX_JOBS_IN_FLIGHT, limits.MAX_TAGS) == (5_000_000, 5, 50)
    assert (limits.MAX_INPUT_FILES, limits.MAX_INPUT_BYTES, limits.MAX_RECORDS) == (1000, 1_073_741_824, 50_000_000)
    assert limits.MAX_QUERIES_PER_FILE == {"itemId": 500, "itemAttributes": 10}
