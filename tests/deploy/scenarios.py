"""The scenarios of docs/lifecycle.md: the failure in a deployment, the final stack status, and the billed jobs."""

from dataclasses import dataclass, field
from typing import Any

import aws_cdk as cdk
from personalize_local.faults import ANY, JOB, Fault
from support.constants import CREATED, NOT_CREATED, ROLLED_BACK, UPDATED

WAIT: dict[str, Any] = {"wait_for_completion": cdk.Duration.minutes(30)}
ADULTS = {"filter_arn": "FILTER"}
PRIVILEGES = "Insufficient privileges for accessing data in S3. Please look at the guide and fix bucket policy on input"
DENIED = "User: someone is not authorized to perform: personalize:CreateBatchSegmentJob"
CREATE = "CreateBatchSegmentJob"
DESCRIBE = "DescribeBatchSegmentJob"
VERSION = "DescribeSolutionVersion"


def fails(code: str, message: str = "no", operation: str = CREATE, times: int | None = None, **more: Any) -> Fault:
    return Fault(operation, code, message, times=times, **more)


@dataclass
class Scenario:
    """One deployment with a failure.

    Attributes:
        name: The name of the test.
        faults: The injected faults.
        status: The final status of the stack.
        bill: The number of jobs created until then.
        says: A part of the messages of the deployment.
        props: The job's properties in that deployment.
        before: The job's properties in an earlier deployment; None if the stack is new.
        in_the_end: The number of jobs after the same deployment without the failure.
    """

    name: str
    faults: list[Fault]
    status: str
    bill: int
    says: str = ""
    props: dict[str, Any] = field(default_factory=dict)
    before: dict[str, Any] | None = None
    in_the_end: int = 1


def creating(name: str, *faults: Fault, **outcome: Any) -> Scenario:
    return Scenario(f"create: {name}", list(faults), **outcome)


def replacing(name: str, *faults: Fault, **outcome: Any) -> Scenario:
    props = {"trigger": "2", **outcome.pop("props", {})}
    outcome = {"in_the_end": 2, "before": {}, **outcome}
    return Scenario(f"replace: {name}", list(faults), props=props, **outcome)


def tagging(name: str, *faults: Fault, **outcome: Any) -> Scenario:
    outcome = {"bill": 1, "before": {"tags": {"team": "growth", "gone": "1"}}, **outcome}
    return Scenario(f"tags: {name}", list(faults), props={"tags": {"team": "loyalty"}}, **outcome)


PASSES: dict[str, Any] = {"status": CREATED, "bill": 1}
STOPS: dict[str, Any] = {"status": NOT_CREATED, "bill": 0}
REPLACED: dict[str, Any] = {"status": UPDATED, "bill": 2}
KEPT: dict[str, Any] = {"status": ROLLED_BACK, "bill": 1}

SCENARIOS = [
    # -- CreateBatchSegmentJob, on a new resource
    creating("nothing goes wrong", **PASSES),
    creating(
        "an invalid parameter",
        fails("InvalidInputException", "numResults is odd"),
        **STOPS,
        says="num_results: numResults is odd (InvalidInputException). Sent: solution_version_arn arn:",
    ),
    creating("a bucket policy has not propagated", fails("InvalidInputException", PRIVILEGES, times=3), **PASSES),
    creating(
        "a bucket policy is missing",
        fails("InvalidInputException", PRIVILEGES),
        **STOPS,
        says=f"a permission is missing (CreateBatchSegmentJob: InvalidInputException: {PRIVILEGES}; ",
    ),
    creating(
        "the service role cannot be assumed yet",
        fails("InvalidInputException", "The role cannot be assumed", times=2),
        **PASSES,
    ),
    creating("the handler's policy has not propagated", fails("AccessDeniedException", DENIED, times=3), **PASSES),
    creating(
        "the handler's policy is missing",
        fails("AccessDeniedException", DENIED),
        **STOPS,
        says=f"AccessDeniedException: {DENIED}",
    ),
    creating("five jobs run for a while", fails("LimitExceededException", "5 jobs", times=4), **PASSES),
    creating(
        "five jobs run for too long",
        fails("LimitExceededException", "5 jobs"),
        **STOPS,
        says="Amazon Personalize runs 5 batch segment jobs at once, and the limit is reached (Create",
    ),
    creating(
        "the solution version is in creation for a while", fails("ResourceInUseException", "in use", times=2), **PASSES
    ),
    creating(
        "the solution version is in creation for too long",
        fails("ResourceInUseException", "in use"),
        **STOPS,
        says="the solution version or the filter is still being created (CreateBatchSegmentJob: ResourceInUse",
    ),
    creating(
        "a resource does not exist",
        fails("ResourceNotFoundException", "no such thing"),
        **STOPS,
        says="does not exist in this region and account (ResourceNotFoundException: no such thing). Check the ARN",
    ),
    creating(
        "the job exists but is not found",
        fails("ResourceAlreadyExistsException", "exists"),
        **STOPS,
        says="exists according to CreateBatchSegmentJob, but DescribeBatchSegmentJob does not find it (",
    ),
    creating("too many tags", fails("TooManyTagsException", "51 tags"), **STOPS, says="tags: expected at most 50"),
    creating(
        "an unknown error",
        fails("TeapotException", "short and stout"),
        **STOPS,
        says="failed with TeapotException: short and stout",
    ),
    creating("temporary throttling", fails("ThrottlingException", "Rate exceeded", times=6), **PASSES),
    creating(
        "permanent throttling",
        fails("ThrottlingException", "Rate exceeded"),
        **STOPS,
        says="AWS returned an unexpected response or none (CreateBatchSegmentJob: ThrottlingException: Rate exceeded; ",
    ),
    creating("temporary server errors", fails("InternalServerError", "oops", times=6, status=500), **PASSES),
    creating(
        "permanent server errors",
        fails("ServiceUnavailable", "oops", status=503),
        **STOPS,
        says="ServiceUnavailable: oops; ",
    ),
    creating("the connection is reset before the job is created", Fault(CREATE, reset=True, times=5), **PASSES),
    creating("a response is lost", Fault(CREATE, reset=True, after=True), **PASSES),
    creating("several responses are lost", Fault(CREATE, reset=True, after=True, times=5), **PASSES),
    creating("a malformed response", Fault(CREATE, malformed=True, after=True), **PASSES),
    creating(
        "an error after the job is created",
        fails("InternalServerError", "oops", times=1, status=500, after=True),
        **PASSES,
    ),
    creating("a slow response", Fault(CREATE, delay=0.5), **PASSES),
    # -- the calls before CreateBatchSegmentJob
    creating("describing the job is throttled", fails("ThrottlingException", operation=DESCRIBE, times=5), **PASSES),
    creating(
        "describing the job is denied",
        fails("AccessDeniedException", DENIED, DESCRIBE),
        **STOPS,
        says="a permission is missing (DescribeBatchSegmentJob: AccessDeniedException: ",
    ),
    creating("describing the job is interrupted", Fault(DESCRIBE, reset=True, times=5), **PASSES),
    creating("describing the job returns malformed responses", Fault(DESCRIBE, malformed=True, times=2), **PASSES),
    creating(
        "the solution version does not exist",
        fails("ResourceNotFoundException", "no such version", VERSION),
        **STOPS,
        says="does not exist in this region and account (ResourceNotFoundException: no such version)",
    ),
    creating(
        "describing the solution version is denied for a while",
        fails("AccessDeniedException", DENIED, VERSION, times=3),
        **PASSES,
    ),
    creating(
        "the filter does not exist",
        fails("ResourceNotFoundException", "no such filter", "DescribeFilter"),
        props=ADULTS,
        **STOPS,
        says="filter_arn: arn:aws:personalize:",
    ),
    creating(
        "random server errors in all operations",
        Fault(ANY, "InternalServerError", status=500, times=None, probability=0.4),
        **PASSES,
    ),
    # -- the job itself
    creating("the job fails, without wait_for_completion", Fault(JOB, message="no data"), **PASSES),
    creating(
        "the job fails, with wait_for_completion",
        Fault(JOB, message="no data"),
        props=WAIT,
        status=NOT_CREATED,
        bill=1,
        says="ended CREATE FAILED: no data",
        in_the_end=2,
    ),
    creating(
        "the job fails with a very long reason",
        Fault(JOB, message="long " * 20_000),
        props=WAIT,
        status=NOT_CREATED,
        bill=1,
        says="ended CREATE FAILED: long long",
        in_the_end=2,
    ),
    creating(
        "describing the job is throttled during the wait",
        fails("ThrottlingException", operation=DESCRIBE, times=30),
        props=WAIT,
        **PASSES,
    ),
    # -- a new definition of an existing resource
    replacing("nothing goes wrong", **REPLACED),
    replacing(
        "an invalid parameter", fails("InvalidInputException", "numResults is odd"), **KEPT, says="numResults is odd"
    ),
    replacing("a bucket policy is missing", fails("InvalidInputException", PRIVILEGES), **KEPT, says=PRIVILEGES),
    replacing(
        "five jobs run for too long",
        fails("LimitExceededException", "5 jobs"),
        **KEPT,
        says="Amazon Personalize runs 5 batch segment jobs at once, and the limit is reached (Create",
    ),
    replacing("a response is lost", Fault(CREATE, reset=True, after=True, times=5), **REPLACED),
    replacing(
        "permanent server errors in all operations",
        Fault(ANY, "ServiceUnavailable", status=503, times=3000),
        status=ROLLED_BACK,
        bill=1,
        says="ServiceUnavailable",
    ),
    replacing(
        "the new job fails, with wait_for_completion",
        Fault(JOB, message="no data"),
        props=WAIT,
        before=WAIT,
        status=ROLLED_BACK,
        bill=2,
        says="ended CREATE FAILED: no data",
        in_the_end=3,
    ),
    # -- tags, in place
    tagging("nothing goes wrong", status=UPDATED),
    tagging("temporary throttling", fails("ThrottlingException", operation="TagResource", times=6), status=UPDATED),
    tagging(
        "untagging is denied for a while",
        fails("AccessDeniedException", DENIED, "UntagResource", times=2),
        status=UPDATED,
    ),
    tagging(
        "tagging is denied",
        fails("AccessDeniedException", DENIED, "TagResource", times=40),
        status=ROLLED_BACK,
        says="a permission is missing (TagResource: AccessDeniedException: ",
    ),
    tagging(
        "too many tags",
        fails("TooManyTagsException", "51", "TagResource", times=1),
        status=ROLLED_BACK,
        says="tags: expected at most 50",
    ),
]
