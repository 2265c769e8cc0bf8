"""The scenarios of docs/runs.md: the failure in a run, the results of its audiences, and the billed jobs."""

from dataclasses import dataclass, field

from deploy.scenarios import CREATE, DENIED, DESCRIBE, PRIVILEGES, VERSION, fails
from personalize_local.faults import ANY, JOB, Fault


@dataclass
class RunScenario:
    """A run of two audiences with a failure, and the same run started again without the failure.

    Attributes:
        name: The name of the test.
        faults: The injected faults.
        failed: The number of audiences that fail.
        bill: The number of jobs that the run creates.
        in_the_end: The number of jobs after the same run was started again.
        says: A part of the reason of each failed audience, or of the run if it starts no audiences.
        is_short: Whether the timeout of the run is only a few seconds.
        is_prepared: Whether the run starts its audiences.
    """

    name: str
    faults: list[Fault] = field(default_factory=list)
    failed: int = 0
    bill: int = 2
    in_the_end: int = 2
    says: str = ""
    is_short: bool = False
    is_prepared: bool = True


def passes(name: str, *faults: Fault) -> RunScenario:
    return RunScenario(name, list(faults))


def stops(name: str, *faults: Fault, says: str) -> RunScenario:
    return RunScenario(name, list(faults), failed=2, bill=0, says=says)


def unprepared(name: str, *faults: Fault, says: str) -> RunScenario:
    return RunScenario(name, list(faults), failed=0, bill=0, says=says, is_prepared=False)


def late(name: str, *faults: Fault, says: str, bill: int) -> RunScenario:
    return RunScenario(name, list(faults), failed=2, bill=bill, says=says, is_short=True)


RUN_SCENARIOS = [
    passes("nothing goes wrong"),
    # -- a run starts
    unprepared(
        "the solution does not exist",
        fails("ResourceNotFoundException", "no such solution", "ListSolutionVersions"),
        says="ResourceNotFoundException: no such solution",
    ),
    unprepared(
        "listing the solution versions is denied",
        fails("AccessDeniedException", DENIED, "ListSolutionVersions"),
        says="a permission is missing (ListSolutionVersions: AccessDeniedException",
    ),
    passes(
        "listing the solution versions is throttled for a while",
        fails("ThrottlingException", operation="ListSolutionVersions", times=6),
    ),
    passes("describing the solution version returns malformed responses", Fault(VERSION, malformed=True, times=2)),
    # -- a job is started
    stops(
        "an invalid parameter",
        fails("InvalidInputException", "numResults is odd"),
        says="num_results: numResults is odd",
    ),
    passes("a bucket policy has not propagated", fails("InvalidInputException", PRIVILEGES, times=3)),
    stops(
        "a bucket policy is missing",
        fails("InvalidInputException", PRIVILEGES),
        says="a permission is missing (CreateBatchSegmentJob: InvalidInputException",
    ),
    stops(
        "the policy of the function is missing",
        fails("AccessDeniedException", DENIED),
        says=f"AccessDeniedException: {DENIED}",
    ),
    passes("five jobs run for a while", fails("LimitExceededException", "5 jobs", times=12)),
    late(
        "five jobs run until the timeout",
        fails("LimitExceededException", "5 jobs"),
        says="timeout: no job was started by",
        bill=0,
    ),
    passes("the solution version is in creation for a while", fails("ResourceInUseException", "in use", times=6)),
    late(
        "the solution version is in creation until the timeout",
        fails("ResourceInUseException", "in use"),
        says="the solution version or the filter is still being created",
        bill=0,
    ),
    stops(
        "a resource does not exist",
        fails("ResourceNotFoundException", "no such thing"),
        says="does not exist in this region and account (ResourceNotFoundException: no such thing)",
    ),
    stops(
        "the job exists but is not found",
        fails("ResourceAlreadyExistsException", "exists"),
        says="exists according to CreateBatchSegmentJob, but DescribeBatchSegmentJob does not find it",
    ),
    stops("too many tags", fails("TooManyTagsException", "51 tags"), says="tags: expected at most 50"),
    stops("an unknown error", fails("TeapotException", "short and stout"), says="TeapotException"),
    passes("temporary throttling", fails("ThrottlingException", "Rate exceeded", times=12)),
    late(
        "throttling until the timeout",
        fails("ThrottlingException", "Rate exceeded"),
        says="ThrottlingException: Rate exceeded",
        bill=0,
    ),
    passes("temporary server errors", fails("InternalServerError", "oops", times=12, status=500)),
    passes("the connection is reset before the job is created", Fault(CREATE, reset=True, times=6)),
    passes("several responses are lost", Fault(CREATE, reset=True, after=True, times=6)),
    passes("a malformed response", Fault(CREATE, malformed=True, after=True)),
    passes("describing the job returns malformed responses", Fault(DESCRIBE, malformed=True, times=2)),
    passes(
        "random server errors in all operations",
        Fault(ANY, "InternalServerError", status=500, times=None, probability=0.4),
    ),
    # -- a job runs
    RunScenario(
        "one job fails", [Fault(JOB, message="no data")], failed=1, in_the_end=3, says="CREATE FAILED: no data"
    ),
    RunScenario(
        "all jobs fail", [Fault(JOB, message="no data", times=2)], failed=2, in_the_end=4, says="CREATE FAILED: no data"
    ),
    RunScenario(
        "a job fails with a very long reason",
        [Fault(JOB, message="long " * 20_000)],
        failed=1,
        in_the_end=3,
        says="CREATE FAILED: long long",
    ),
    passes("describing the job is throttled", fails("ThrottlingException", operation=DESCRIBE, times=30)),
    passes("describing the job is interrupted", Fault(DESCRIBE, reset=True, times=20)),
]
