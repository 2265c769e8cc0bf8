"""The operations of the local Personalize on batch segment jobs and their tags.

The local Personalize implements the contract of the service: requests, responses, errors, permissions and files. It
does not implement the model: a `StandIn` finds users by counting interactions.

Sources of the behavior:

* Documented or observed: job names are never freed; 5 jobs run at once; the role policy *and* the bucket policy must
  allow the access; an input path is a prefix; an invalid line gets an ``error`` in its record and the job is ACTIVE all
  the same; the output is ``<input file>.out`` with ``usersList``, and an object ``_CHECK`` next to it. See
  https://docs.aws.amazon.com/personalize/latest/dg/creating-batch-seg-job.html,
  https://docs.aws.amazon.com/personalize/latest/dg/limits.html,
  https://docs.aws.amazon.com/personalize/latest/dg/granting-personalize-s3-access.html and the recorded notebooks in
  https://github.com/aws-samples/amazon-personalize-samples
* Assumed, with an alternative for each: the fields of `Behavior`.
* Assumed, without an alternative: an input file above its quota fails the job; a query on an unknown column gets an
  ``error`` in its record; column names are case-sensitive.
"""

import threading
from collections import Counter
from collections.abc import Callable, Mapping

from . import request_validation
from .behavior import Behavior
from .catalog import Catalog
from .errors import AccessError, ServiceError
from .faults import JOB, Faults
from .iam import Caller
from .job_runner import JobRunner
from .models import Filter, Job, Json, SolutionVersion
from .s3_access import S3Access
from .stand_in import Films, StandIn

# "Maximum number of users per segment": https://docs.aws.amazon.com/personalize/latest/dg/limits.html
_MAX_RESULTS = 5_000_000
# "Maximum number of pending or in progress batch segment jobs":
# https://docs.aws.amazon.com/personalize/latest/dg/limits.html
_MAX_JOBS_IN_FLIGHT = 5
# https://docs.aws.amazon.com/personalize/latest/dg/tagging-resources.html
_MAX_TAGS = 50
_SUMMARY = (
    "batchSegmentJobArn",
    "jobName",
    "status",
    "creationDateTime",
    "lastUpdatedDateTime",
    "failureReason",
    "solutionVersionArn",
)

#: Answers a request.
Operation = Callable[[Json, Caller, Behavior], Json]


class Personalize:
    """The local Personalize, for all accounts and regions."""

    def __init__(
        self,
        faults: Faults,
        *,
        pending_seconds: float = 0.1,
        in_progress_seconds: float = 0.2,
        behavior: Behavior | None = None,
        stand_in: StandIn | None = None,
    ) -> None:
        """Starts without jobs.

        Args:
            faults: The injected faults. The service itself takes only those of jobs.
            pending_seconds: How long a job stays CREATE PENDING.
            in_progress_seconds: How long a job stays CREATE IN_PROGRESS at least.
            behavior: The unpublished answers to give. Defaults to those of `Behavior`.
            stand_in: The stand-in for trained solution versions. Defaults to the sample films.
        """
        stand_in = stand_in or Films()
        #: The unpublished answers to give. A test may replace them, and the seconds below.
        self.behavior = behavior or Behavior()
        self.pending_seconds = pending_seconds
        self.in_progress_seconds = in_progress_seconds
        #: The jobs by ARN, in the order of their creation. None is ever removed.
        self.jobs: dict[str, Job] = {}
        #: The operations of all requests in order, including rejected ones.
        self.calls: list[str] = []
        #: The largest number of jobs that were in flight at once.
        self.max_in_flight = 0
        #: How many CreateBatchSegmentJob requests were refused, by error code. Injected faults are not counted.
        self.refused_creates: Counter[str] = Counter()
        #: The solutions, filters and recipes.
        self.catalog = Catalog(stand_in)
        self._faults = faults
        self._lock = threading.Lock()
        self._s3_access = S3Access()
        #: Runs each job in a thread.
        self.runner = JobRunner(self._s3_access, stand_in)
        self._operations: dict[str, Operation] = {
            "CreateBatchSegmentJob": self._create_or_refuse,
            "DescribeBatchSegmentJob": self._describe_job,
            "ListBatchSegmentJobs": self._list_jobs,
            "CreateSolutionVersion": self.catalog.create_version,
            "DescribeSolution": self.catalog.describe_solution,
            "DescribeSolutionVersion": self.catalog.describe_version,
            "ListSolutionVersions": self.catalog.list_versions,
            "DescribeFilter": self.catalog.describe_filter,
            "DescribeRecipe": self.catalog.describe_recipe,
            "TagResource": self._tag,
            "UntagResource": self._untag,
            "ListTagsForResource": self._list_tags,
        }

    def answer(self, operation: str, request: Json, caller: Caller) -> Json:
        """Answers a request.

        Args:
            operation: The operation's name in the service model.
            request: Its parameters.
            caller: The sender of the request.

        Raises:
            ServiceError: The answer is an error.
        """
        if operation not in self._operations:
            supported = ", ".join(sorted(self._operations))
            message = f"{operation} is not part of the local Personalize, which supports {supported}"
            raise ServiceError("NotImplementedException", message, 501)
        self.calls.append(operation)
        request_validation.check(operation, request)
        return self._operations[operation](request, caller, self.behavior)

    def add_operations(self, operations: Mapping[str, Operation]) -> None:
        """Adds operations by their names in the service model."""
        self._operations.update(operations)

    def train(self, solution: str, status: str = "ACTIVE") -> SolutionVersion:
        """Adds a version to a solution, as a training does. See `Catalog.train`."""
        return self.catalog.train(solution, status)

    def jobs_named(self, prefix: str) -> list[Job]:
        """Returns the jobs whose names start with a prefix, in the order of their creation."""
        return [job for job in list(self.jobs.values()) if job.request["jobName"].startswith(prefix)]

    # -- jobs

    def _create_or_refuse(self, request: Json, caller: Caller, behavior: Behavior) -> Json:
        try:
            return self._create_job(request, caller, behavior)
        except ServiceError as error:
            with self._lock:
                self.refused_creates[error.code] += 1
            raise

    def _create_job(self, request: Json, caller: Caller, behavior: Behavior) -> Json:
        arn = caller.arn(f"batch-segment-job/{request['jobName']}")
        tags = {tag["tagKey"]: tag["tagValue"] for tag in request.get("tags", [])}
        _authorize_create(arn, request, tags, caller, behavior)
        if len(tags) > _MAX_TAGS:
            raise ServiceError("TooManyTagsException", f"a resource has at most {_MAX_TAGS} tags, got {len(tags)}")
        num_results = request.get("numResults", behavior.default_results)
        if not 1 <= num_results <= _MAX_RESULTS:
            raise ServiceError(
                "InvalidInputException", f"numResults must be from 1 to {_MAX_RESULTS}, got {num_results}"
            )
        version = self._active_version(request["solutionVersionArn"], caller, behavior)
        filter_ = self._active_filter(request.get("filterArn"), caller, behavior)
        job = Job(arn, request, caller, version, filter_, tags=tags)
        _check_locations(job, behavior)
        try:
            self._s3_access.check("created", job, behavior)
        except AccessError as error:
            raise ServiceError("InvalidInputException", str(error)) from error
        self._add(job)
        run = (job, behavior, self.pending_seconds, self.in_progress_seconds)
        threading.Thread(target=self.runner.run, args=run, name=arn, daemon=True).start()
        return {"batchSegmentJobArn": arn}

    def _add(self, job: Job) -> None:
        with self._lock:
            if job.arn in self.jobs:
                raise ServiceError(
                    "ResourceAlreadyExistsException", f"Another resource with Arn {job.arn} already exists."
                )
            in_flight = sum(other.in_flight for other in self.jobs.values())
            if in_flight >= _MAX_JOBS_IN_FLIGHT:
                raise ServiceError(
                    "LimitExceededException",
                    f"The account has reached its quota of {_MAX_JOBS_IN_FLIGHT} pending or in progress batch segment "
                    "jobs",
                )
            job.fault = self._faults.next_fault(JOB)
            self.jobs[job.arn] = job
            self.max_in_flight = max(self.max_in_flight, in_flight + 1)

    def _active_version(self, arn: str, caller: Caller, behavior: Behavior) -> SolutionVersion:
        version = self.catalog.find_version(arn, caller)
        if version.status != "ACTIVE":
            raise ServiceError(
                behavior.unready_error, f"Solution version {arn} is {behavior.status_word(version.status)}"
            )
        if version.recipe.type != "USER_SEGMENTATION":
            raise ServiceError(
                "InvalidInputException",
                f"The recipe {version.recipe.name} of {arn} is not supported for batch segment jobs",
            )
        return version

    def _active_filter(self, arn: str | None, caller: Caller, behavior: Behavior) -> Filter | None:
        if arn is None:
            return None
        found = self.catalog.find_filter(arn, caller)
        if found.status != "ACTIVE":
            raise ServiceError(behavior.unready_error, f"Filter {arn} is {behavior.status_word(found.status)}")
        return found

    def _describe_job(self, request: Json, caller: Caller, behavior: Behavior) -> Json:
        arn = request["batchSegmentJobArn"]
        caller.authorize("personalize:DescribeBatchSegmentJob", arn)
        if arn not in self.jobs:
            raise ServiceError(behavior.unknown_job_error, f"Batch segment job {arn} does not exist.")
        return {"batchSegmentJob": self.jobs[arn].describe(behavior)}

    def _list_jobs(self, request: Json, caller: Caller, behavior: Behavior) -> Json:
        caller.authorize("personalize:ListBatchSegmentJobs", "*")
        version = request.get("solutionVersionArn")
        described = [
            job.describe(behavior) for job in self.jobs.values() if job.arn.startswith(caller.arn("batch-segment-job/"))
        ]
        return {
            "batchSegmentJobs": [
                {key: job[key] for key in _SUMMARY if key in job}
                for job in described
                if version in (None, job["solutionVersionArn"])
            ]
        }

    # -- tags

    def _tag(self, request: Json, caller: Caller, _behavior: Behavior) -> Json:
        arn, tags = request["resourceArn"], {tag["tagKey"]: tag["tagValue"] for tag in request["tags"]}
        caller.authorize("personalize:TagResource", arn, _tag_context(tags))
        job = self._find_tagged(arn)
        if len(job.tags | tags) > _MAX_TAGS:
            raise ServiceError("TooManyTagsException", f"a resource has at most {_MAX_TAGS} tags")
        job.tags |= tags
        return {}

    def _untag(self, request: Json, caller: Caller, _behavior: Behavior) -> Json:
        arn, keys = request["resourceArn"], request["tagKeys"]
        caller.authorize("personalize:UntagResource", arn, {"aws:tagkeys": keys})
        job = self._find_tagged(arn)
        job.tags = {key: value for key, value in job.tags.items() if key not in keys}
        return {}

    def _list_tags(self, request: Json, caller: Caller, _behavior: Behavior) -> Json:
        arn = request["resourceArn"]
        caller.authorize("personalize:ListTagsForResource", arn)
        tags = self._find_tagged(arn).tags
        return {"tags": [{"tagKey": key, "tagValue": value} for key, value in tags.items()]}

    def _find_tagged(self, arn: str) -> Job:
        if arn not in self.jobs:
            raise ServiceError("ResourceNotFoundException", f"Batch segment job {arn} does not exist.")
        return self.jobs[arn]


def _tag_context(tags: dict[str, str]) -> Json:
    """Returns the condition keys of a request that sets tags."""
    context: Json = {f"aws:requesttag/{key}": value for key, value in tags.items()}
    return context | {"aws:tagkeys": list(tags)} if tags else context


def _authorize_create(arn: str, request: Json, tags: dict[str, str], caller: Caller, behavior: Behavior) -> None:
    context = _tag_context(tags)
    caller.authorize("personalize:CreateBatchSegmentJob", arn, context)
    if behavior.authorizes_solution_version:
        caller.authorize("personalize:CreateBatchSegmentJob", request["solutionVersionArn"], context)
    if tags or behavior.authorizes_tagging == "always":
        caller.authorize("personalize:TagResource", arn, context)
    caller.authorize("iam:PassRole", request["roleArn"], {"iam:passedtoservice": "personalize.amazonaws.com"})


def _check_locations(job: Job, behavior: Behavior) -> None:
    role = job.request["roleArn"]
    if role.split(":")[4] != job.caller.account:
        raise ServiceError("InvalidInputException", f"The role {role} is in another account")
    # https://docs.aws.amazon.com/personalize/latest/dg/error-messages.html
    if job.output.bucket == job.input.bucket and job.output.key.startswith(job.input.key):
        raise ServiceError(
            "InvalidInputException", f"Invalid S3 output path {job.output}: it must be a different location"
        )
    path = job.request["jobOutput"]["s3DataDestination"]["path"]
    if behavior.refuses_output_without_slash and not path.endswith("/"):
        raise ServiceError("InvalidInputException", f"Invalid S3 output path {path}: it must end with /")
