"""The service's limits and name rules, one line each, with their source.

Sources:
    MODEL: botocore's model of the service, ``personalize/2018-05-22/service-2.json``.
    LIMITS: https://docs.aws.amazon.com/personalize/latest/dg/limits.html
    JOB: https://docs.aws.amazon.com/personalize/latest/dg/creating-batch-seg-job.html
    RECIPES: https://docs.aws.amazon.com/personalize/latest/dg/user-segmentation-recipes.html
"""

import re
from typing import Literal

# -- names and ARNs

#: MODEL, shape Name. A name cannot be reused: the API has no operation that deletes a job.
MAX_JOB_NAME_LENGTH = 63
JOB_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9\-_]*")
#: MODEL, shape Arn.
MAX_ARN_LENGTH = 256
#: MODEL, shape S3Location.
MAX_S3_PATH_LENGTH = 256

# -- the job

#: MODEL, CreateBatchSegmentJob.numResults; LIMITS, "Maximum number of users per segment".
MAX_RESULTS = 5_000_000
#: JOB: the default of numResults.
DEFAULT_RESULTS = 25
#: https://docs.aws.amazon.com/personalize/latest/dg/tagging-resources.html (the model's 200 is looser).
MAX_TAGS = 50
#: MODEL, shapes TagKey and TagValue: ``^([\p{L}\p{Z}\p{N}_.:/=+\-@]*)$``.
MAX_TAG_KEY_LENGTH = 128
MAX_TAG_VALUE_LENGTH = 256
TAG_PUNCTUATION = "_ . : / = + - @"
#: LIMITS, "Maximum number of pending or in progress batch segment jobs".
MAX_JOBS_IN_FLIGHT = 5

# -- the input

#: MODEL, CreateBatchSegmentJob: "can handle up to 50 million records".
MAX_RECORDS = 50_000_000
#: LIMITS, "Maximum size of batch segment job input", 1 GB. Read as GiB, so as not to reject input that the service may
#: accept.
MAX_INPUT_BYTES = 1024**3
#: LIMITS, "Maximum number of input files per batch segment job".
MAX_INPUT_FILES = 1000
#: RECIPES: the key of a query.
QueryKind = Literal["itemId", "itemAttributes"]
#: RECIPES: the last part of the ARN of each recipe of type USER_SEGMENTATION, and the key of its queries.
QUERY_KIND_BY_RECIPE: dict[str, QueryKind] = {
    "aws-item-affinity": "itemId",
    "aws-item-attribute-affinity": "itemAttributes",
}
#: LIMITS, "Maximum number of queries per input file" for each of the two recipes. Quotas can be raised.
MAX_QUERIES_PER_FILE: dict[QueryKind, int] = {"itemId": 500, "itemAttributes": 10}
#: The service documents no limit. This one leaves room for the maximum of 25 filter values of 1000 characters
#: (https://docs.aws.amazon.com/personalize/latest/dg/API_RS_GetRecommendations.html), even as ``\uXXXX``.
MAX_QUERY_BYTES = 256 * 1024
