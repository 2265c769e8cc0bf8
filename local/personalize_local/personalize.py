"""The service: batch segment jobs as Amazon Personalize runs them, over real objects in S3.

It is a stand-in for the service's contract, its requests, answers, errors, permissions and files, and not for its
model: users are found by a plain count (`data`).

What is known of the service, and what is assumed where nobody has published it:

* Known: names are never freed; five jobs at once; role policy *and* bucket policy are needed; a path is a prefix; a bad
  line becomes that line's ``error`` and the job is ACTIVE all the same; the output is ``<input file>.out`` with
  ``usersList``, and an object ``_CHECK`` beside it. Sources: the developer guide
  (https://docs.aws.amazon.com/personalize/latest/dg/creating-batch-seg-job.html, limits.html,
  granting-personalize-s3-access.html) and recorded runs in aws-samples/amazon-personalize-samples.
* Assumed, and each can be turned round (`behavior`): role and buckets are checked when the job is created, with the
  message that data set imports give for it; ``_CHECK`` is what shows that the output can be written;
  ResourceInUseException means a solution version or filter that is not ACTIVE; and the other fields of `Behavior`.
* Assumed: quotas of the input files make the job end CREATE FAILED; a query on a column that the Items data set does
  not have ends with an error in its record; column names are case sensitive, as those of a schema are (`data`).
"""

import json
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from . import requests
from .behavior import Behavior
from .data import QueryError, User, films
from .faults import JOB, Fault, Faults
from .iam import Caller, ServiceError, bucket_policy_allows, service_may_assume, session_of

MAX_RESULTS = 5_000_000
MAX_JOBS_IN_FLIGHT = 5
MAX_TAGS = 50
MAX_FILES = 1000
MAX_BYTES = 1024**3
_KINDS = {"aws-item-affinity": ("itemId", 500), "aws-item-attribute-affinity": ("itemAttributes", 10)}
_S3_GUIDE = "https://docs.aws.amazon.com/personalize/latest/dg/granting-personalize-s3-access.html"
#: The environment variables that tell where the seeded resources are, and the resources.
SEEDS = {
    "PERSONALIZE_LOCAL_ITEM_AFFINITY_VERSION_ARN": "solution/films-item-affinity/0002",
    "PERSONALIZE_LOCAL_ITEM_AFFINITY_SOLUTION_ARN": "solution/films-item-affinity",
    "PERSONALIZE_LOCAL_ITEM_ATTRIBUTE_AFFINITY_VERSION_ARN": "solution/films-item-attribute-affinity/0002",
    "PERSONALIZE_LOCAL_ITEM_ATTRIBUTE_AFFINITY_SOLUTION_ARN": "solution/films-item-attribute-affinity",
    "PERSONALIZE_LOCAL_VERSION_IN_PROGRESS_ARN": "solution/films-item-affinity/0003",
    "PERSONALIZE_LOCAL_USER_PERSONALIZATION_VERSION_ARN": "solution/films-user-personalization/0001",
    "PERSONALIZE_LOCAL_FILTER_ARN": "filter/adults",
    "PERSONALIZE_LOCAL_FILTER_WITH_PLACEHOLDER_ARN": "filter/country",
    "PERSONALIZE_LOCAL_FILTER_IN_PROGRESS_ARN": "filter/unfinished",
}
# As documented, by how they were seen in AWS's notebooks.
_DOCUMENTED_STATUSES = {"CREATE PENDING": "PENDING", "CREATE IN_PROGRESS": "IN PROGRESS"}
_RECIPES = {
    "aws-item-affinity": "USER_SEGMENTATION",
    "aws-item-attribute-affinity": "USER_SEGMENTATION",
    "aws-user-personalization": "USER_PERSONALIZATION",
}

Json = dict[str, Any]


@dataclass(frozen=True)
class SolutionVersion:
    """A trained version of a solution."""

    solution: str
    id: str
    recipe: str
    status: str = "ACTIVE"


@dataclass(frozen=True)
class Filter:
    """A filter, and what its expression means for the made-up users."""

    name: str
    expression: str
    status: str
    allows: Callable[[User, Json], bool]


_VERSIONS = [
    SolutionVersion("films-item-affinity", "0001", "aws-item-affinity"),
    SolutionVersion("films-item-affinity", "0002", "aws-item-affinity"),
    SolutionVersion("films-item-affinity", "0003", "aws-item-affinity", "CREATE IN_PROGRESS"),
    SolutionVersion("films-item-attribute-affinity", "0001", "aws-item-attribute-affinity"),
    SolutionVersion("films-item-attribute-affinity", "0002", "aws-item-attribute-affinity"),
    SolutionVersion("films-user-personalization", "0001", "aws-user-personalization"),
]


def _country(user: User, values: Json) -> bool:
    if "COUNTRY" not in values:
        raise QueryError("filterValues: no value for the placeholder COUNTRY")
    return user.country in re.findall(r'"((?:[^"\\]|\\.)*)"', values["COUNTRY"])


_FILTERS = [
    Filter("adults", "INCLUDE UserID WHERE Users.AGE >= 18", "ACTIVE", lambda user, _: user.age >= 18),
    Filter("country", "INCLUDE UserID WHERE Users.COUNTRY IN ($COUNTRY)", "ACTIVE", _country),
    Filter("unfinished", "INCLUDE UserID WHERE Users.AGE < 18", "CREATE IN_PROGRESS", lambda *_: True),
]
_SEEDED_AT = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class Job:
    """A batch segment job."""

    arn: str
    request: Json
    caller: Caller
    version: SolutionVersion
    filter: Filter | None
    status: str = "CREATE PENDING"
    failure_reason: str | None = None
    fault: Fault | None = None
    tags: dict[str, str] = field(default_factory=dict)
    created: datetime = field(default_factory=lambda: datetime.now(UTC))
    updated: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def in_flight(self) -> bool:
        """Whether the job has not ended."""
        return self.status not in ("ACTIVE", "CREATE FAILED")

    def describe(self, behavior: Behavior) -> Json:
        """The job as DescribeBatchSegmentJob answers."""
        described = {
            **{key: value for key, value in self.request.items() if key != "tags"},
            "jobInput": {"s3DataSource": _echo(self.request["jobInput"]["s3DataSource"], behavior)},
            "jobOutput": {"s3DataDestination": _echo(self.request["jobOutput"]["s3DataDestination"], behavior)},
            "batchSegmentJobArn": self.arn,
            "status": self.status,
            "creationDateTime": self.created.timestamp(),
            "lastUpdatedDateTime": self.updated.timestamp(),
        }
        if behavior.echoes_absent_arns:
            described.setdefault("filterArn", "")
        if behavior.echoes_default_results:
            described.setdefault("numResults", behavior.default_results)
        return described if self.failure_reason is None else described | {"failureReason": self.failure_reason}


def _echo(place: Json, behavior: Behavior) -> Json:
    echoed = place if behavior.echoes_trailing_slash else place | {"path": place["path"].removesuffix("/")}
    return {"kmsKeyArn": ""} | echoed if behavior.echoes_absent_arns else echoed


class _JobError(Exception):
    """Why a job ends CREATE FAILED."""


class _AccessError(_JobError):
    """Why the service cannot read the input or write the output."""


class Personalize:
    """The service, for whatever accounts and regions ask it."""

    def __init__(
        self,
        faults: Faults,
        *,
        pending_seconds: float = 0.1,
        in_progress_seconds: float = 0.2,
        behavior: Behavior | None = None,
    ) -> None:
        """Starts without jobs.

        Args:
            faults: What is to go wrong; here only jobs themselves.
            pending_seconds: How long a job is CREATE PENDING.
            in_progress_seconds: How long a job is CREATE IN_PROGRESS at least.
            behavior: How the service answers where nobody has published it; the defaults of `Behavior` if omitted.
        """
        #: How the service answers where nobody has published it. A test may set it.
        self.behavior = behavior or Behavior()
        self.pending_seconds = pending_seconds
        self.in_progress_seconds = in_progress_seconds
        #: The jobs by ARN, in the order in which they were created. None is ever removed.
        self.jobs: dict[str, Job] = {}
        #: The operations that were asked for, in order, refused ones included.
        self.calls: list[str] = []
        self._faults = faults
        self._lock = threading.Lock()
        self._session = boto3.Session(region_name=os.environ["MINISTACK_REGION"])
        self._endpoint_url = os.environ["AWS_ENDPOINT_URL"]

    def answer(self, operation: str, request: Json, caller: Caller) -> Json:
        """Answers a request.

        Args:
            operation: The operation's name in the service's model.
            request: Its parameters.
            caller: Who asks.

        Raises:
            ServiceError: The answer is an error.
        """
        handlers: dict[str, Callable[[Json, Caller], Json]] = {
            "CreateBatchSegmentJob": self._create_job,
            "DescribeBatchSegmentJob": self._describe_job,
            "ListBatchSegmentJobs": self._list_jobs,
            "DescribeSolution": self._describe_solution,
            "DescribeSolutionVersion": self._describe_version,
            "ListSolutionVersions": self._list_versions,
            "DescribeFilter": self._describe_filter,
            "DescribeRecipe": self._describe_recipe,
            "TagResource": self._tag,
            "UntagResource": self._untag,
            "ListTagsForResource": self._list_tags,
        }
        if operation not in handlers:
            raise ServiceError(
                "NotImplementedException",
                f"{operation} is not part of the local Personalize, which has {', '.join(sorted(handlers))}",
                501,
            )
        self.calls.append(operation)
        requests.check(operation, request)
        return handlers[operation](request, caller)

    # -- jobs

    def _create_job(self, request: Json, caller: Caller) -> Json:
        arn = caller.arn(f"batch-segment-job/{request['jobName']}")
        tags = {tag["tagKey"]: tag["tagValue"] for tag in request.get("tags", [])}
        context: Json = {f"aws:requesttag/{key}": value for key, value in tags.items()}
        if tags:
            context["aws:tagkeys"] = list(tags)
        caller.authorize("personalize:CreateBatchSegmentJob", arn, context)
        if self.behavior.authorizes_solution_version:
            caller.authorize("personalize:CreateBatchSegmentJob", request["solutionVersionArn"], context)
        if tags or self.behavior.authorizes_tagging == "always":
            caller.authorize("personalize:TagResource", arn, context)
        role = request["roleArn"]
        caller.authorize("iam:PassRole", role, {"iam:passedtoservice": "personalize.amazonaws.com"})
        if len(tags) > MAX_TAGS:
            raise ServiceError("TooManyTagsException", f"a resource has at most {MAX_TAGS} tags, got {len(tags)}")
        number = request.get("numResults", self.behavior.default_results)
        if not 1 <= number <= MAX_RESULTS:
            raise ServiceError("InvalidInputException", f"numResults must be from 1 to {MAX_RESULTS}, got {number}")
        version = self._active_version(request["solutionVersionArn"], caller)
        filter_ = self._active_filter(request.get("filterArn"), caller)
        self._check_places(request, caller)
        try:
            self._check_access("created", request, caller, arn)
        except _AccessError as error:
            raise ServiceError("InvalidInputException", str(error)) from error
        job = Job(arn, request, caller, version, filter_, tags=tags)
        self._set_status(job, "CREATE PENDING")
        with self._lock:
            if arn in self.jobs:
                raise ServiceError("ResourceAlreadyExistsException", f"Another resource with Arn {arn} already exists.")
            if sum(job.in_flight for job in self.jobs.values()) >= MAX_JOBS_IN_FLIGHT:
                raise ServiceError(
                    "LimitExceededException",
                    f"The account has reached its quota of {MAX_JOBS_IN_FLIGHT} pending or in progress batch segment "
                    "jobs",
                )
            job.fault = self._faults.take(JOB)
            self.jobs[arn] = job
        threading.Thread(target=self._run, args=(job,), name=arn, daemon=True).start()
        return {"batchSegmentJobArn": arn}

    def _active_version(self, arn: str, caller: Caller) -> SolutionVersion:
        version = self._find_version(arn, caller)
        if version.status != "ACTIVE":
            raise ServiceError(self.behavior.unready_error, f"Solution version {arn} is {self._word(version.status)}")
        if _RECIPES[version.recipe] != "USER_SEGMENTATION":
            raise ServiceError(
                "InvalidInputException",
                f"The recipe {version.recipe} of {arn} is not supported for batch segment jobs",
            )
        return version

    def _active_filter(self, arn: str | None, caller: Caller) -> Filter | None:
        if arn is None:
            return None
        found = self._find_filter(arn, caller)
        if found.status != "ACTIVE":
            raise ServiceError(self.behavior.unready_error, f"Filter {arn} is {self._word(found.status)}")
        return found

    def _check_places(self, request: Json, caller: Caller) -> None:
        role = request["roleArn"]
        if role.split(":")[4] != caller.account:
            raise ServiceError("InvalidInputException", f"The role {role} is in another account")
        source, destination = _paths(request)
        if destination.key.startswith(source.key) and destination.bucket == source.bucket:
            raise ServiceError(
                "InvalidInputException", f"Invalid S3 output path {destination}: it must be a different location"
            )
        output = request["jobOutput"]["s3DataDestination"]["path"]
        if self.behavior.refuses_output_without_slash and not output.endswith("/"):
            raise ServiceError("InvalidInputException", f"Invalid S3 output path {output}: it must end with /")

    def _check_access(self, when: str, request: Json, caller: Caller, arn: str) -> None:
        source, destination = _paths(request)
        needed = []
        if self.behavior.checks_access == when:
            needed = [(source, "s3:ListBucket", "")]
            if self.behavior.lists_output:
                needed.append((destination, "s3:ListBucket", ""))
        if self.behavior.check_object == when:
            needed.append((destination, "s3:PutObject", f"{destination.key}_CHECK"))
        if not needed:
            return
        role = request["roleArn"]
        if not service_may_assume(caller, role, arn):
            raise _AccessError(f"Role {role} cannot be assumed: fix its trust policy")
        s3 = self._s3(role)
        for place, action, key in needed:
            if not self._bucket_allows(caller, place, action, key, arn):
                raise _AccessError(
                    "Insufficient privileges for accessing data in S3. Please look at "
                    f"{_S3_GUIDE}#attach-bucket-policy and fix bucket policy on {place.bucket} ({action})",
                )
            try:
                if action == "s3:PutObject":
                    s3.put_object(Bucket=place.bucket, Key=key, Body=b"")
                else:
                    s3.list_objects_v2(Bucket=place.bucket, Prefix=place.key, MaxKeys=1)
            except ClientError as error:
                raise _AccessError(
                    f"Insufficient privileges for accessing data in S3. Please look at {_S3_GUIDE} and fix the policy "
                    f"of role {role} ({action} on {place.bucket}: {error.response['Error']['Code']})",
                ) from error

    def _bucket_allows(self, caller: Caller, place: "Path", action: str, key: str, arn: str) -> bool:
        source = arn if self.behavior.sends_source else None
        prefix = place.key if action == "s3:ListBucket" else None
        return bucket_policy_allows(caller, place.bucket, action, key, source, prefix=prefix)

    def _describe_job(self, request: Json, caller: Caller) -> Json:
        arn = request["batchSegmentJobArn"]
        caller.authorize("personalize:DescribeBatchSegmentJob", arn)
        if arn not in self.jobs:
            raise ServiceError(self.behavior.unknown_job_error, f"Batch segment job {arn} does not exist.")
        return {"batchSegmentJob": self.jobs[arn].describe(self.behavior)}

    def _list_jobs(self, request: Json, caller: Caller) -> Json:
        caller.authorize("personalize:ListBatchSegmentJobs", "*")
        version = request.get("solutionVersionArn")
        described = [
            job.describe(self.behavior)
            for job in self.jobs.values()
            if job.arn.startswith(caller.arn("batch-segment-job/"))
        ]
        shown = ("batchSegmentJobArn", "jobName", "status", "creationDateTime", "lastUpdatedDateTime", "failureReason",
                  "solutionVersionArn")  # fmt: skip
        return {
            "batchSegmentJobs": [
                {key: job[key] for key in shown if key in job}
                for job in described
                if version in (None, job["solutionVersionArn"])
            ]
        }

    def _find_job(self, arn: str) -> Job:
        if arn not in self.jobs:
            raise ServiceError("ResourceNotFoundException", f"Batch segment job {arn} does not exist.")
        return self.jobs[arn]

    # -- running a job

    def _run(self, job: Job) -> None:
        time.sleep(self.pending_seconds)
        self._set_status(job, "CREATE IN_PROGRESS")
        time.sleep(self.in_progress_seconds)
        try:
            if job.fault is not None:
                raise _JobError(job.fault.message)
            self._check_access("running", job.request, job.caller, job.arn)
            self._write_segments(job)
        except _JobError as failure:
            job.failure_reason = str(failure)
        except ClientError as error:
            job.failure_reason = f"{error.operation_name}: {error.response['Error']['Message']}"
        except Exception as error:
            job.failure_reason = f"the local Personalize failed: {type(error).__name__}: {error}"
        self._set_status(job, "ACTIVE" if job.failure_reason is None else "CREATE FAILED")

    def _set_status(self, job: Job, status: str) -> None:
        job.updated = datetime.now(UTC)
        job.status = self._word(status)

    def _word(self, status: str) -> str:
        return _DOCUMENTED_STATUSES.get(status, status) if self.behavior.statuses == "documented" else status

    def _refuse_unless_bucket_allows(self, job: Job, place: "Path", action: str, key: str) -> None:
        if not self._bucket_allows(job.caller, place, action, key, job.arn):
            raise _JobError(f"Insufficient privileges: fix bucket policy on {place.bucket} ({action} on {key})")

    def _write_segments(self, job: Job) -> None:
        source, destination = _paths(job.request)
        s3 = self._s3(job.request["roleArn"])
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=source.bucket, Prefix=source.key)
        objects = [found for page in pages for found in page.get("Contents", []) if not found["Key"].endswith("/")]
        if not objects:
            raise _JobError(f"No input files found at {source}")
        if len(objects) > MAX_FILES:
            raise _JobError(f"The input has {len(objects)} files, at most {MAX_FILES} are allowed")
        size = sum(found["Size"] for found in objects)
        if size > MAX_BYTES:
            raise _JobError(f"The input has {size} bytes, at most {MAX_BYTES} are allowed")
        for found in objects:
            self._write_segments_of(job, s3, found["Key"], source, destination)

    def _write_segments_of(self, job: Job, s3: Any, key: str, source: "Path", destination: "Path") -> None:
        self._refuse_unless_bucket_allows(job, source, "s3:GetObject", key)
        out = f"{destination.key}{key.rpartition('/')[2]}.out"
        self._refuse_unless_bucket_allows(job, destination, "s3:PutObject", out)
        _, quota = _KINDS[job.version.recipe]
        records = []
        for line in self._lines(s3.get_object(Bucket=source.bucket, Key=key)["Body"]):
            records.append(self._record(job, line))
            if len(records) > quota:
                raise _JobError(f"The file {key} has more than {quota} queries, the quota of {job.version.recipe}")
        body = "".join(f"{json.dumps(record, ensure_ascii=False)}\n" for record in records)
        s3.put_object(Bucket=destination.bucket, Key=out, Body=body.encode())

    @staticmethod
    def _lines(body: Any) -> Iterator[bytes]:
        for line in body.iter_lines():
            text = line.removeprefix(b"\xef\xbb\xbf").strip()
            if text:
                yield text

    def _record(self, job: Job, line: bytes) -> Json:
        kind, _ = _KINDS[job.version.recipe]
        query: Any = None
        try:
            try:
                query = json.loads(line)
            except ValueError:
                raise QueryError("the line is not JSON") from None
            if not isinstance(query, dict) or not isinstance(query.get(kind), str):
                raise QueryError(f"the line has no {kind}")
            values = query.get("filterValues") or {}
            chosen = job.filter

            def may(user: User) -> bool:
                return chosen is None or chosen.allows(user, values)

            number = job.request.get("numResults", self.behavior.default_results)
            find = films().users_like if kind == "itemId" else films().users_of
            users = find(query[kind], may, number)
        except QueryError as error:
            told = query if isinstance(query, dict) else {"line": line.decode(errors="replace")[:200]}
            return self._answer(told, None, str(error))
        return self._answer(query, users, None)

    def _answer(self, query: Json, users: list[str] | None, error: str | None) -> Json:
        if self.behavior.output_format == "observed":
            return {"input": query, "output": None if users is None else {"usersList": users}, "error": error}
        output = {"recommendedUsers": users or []}
        return {**query, "output": output} if "itemAttributes" in query else {"input": query, "output": output}

    def _s3(self, role_arn: str) -> Any:
        credentials: Json = session_of(role_arn)
        with self._lock:
            # A session knows the service's model after the first client; threads may not share one for this.
            return self._session.client(
                "s3",
                endpoint_url=self._endpoint_url,
                config=Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}),
                **credentials,
            )

    # -- solutions, filters, recipes

    def _find_version(self, arn: str, caller: Caller) -> SolutionVersion:
        for version in _VERSIONS:
            if arn == caller.arn(f"solution/{version.solution}/{version.id}"):
                return version
        hint = " It is a solution, not a solution version." if self._is_solution(arn, caller) else ""
        raise ServiceError("ResourceNotFoundException", f"Solution version {arn} does not exist.{hint}")

    @staticmethod
    def _is_solution(arn: str, caller: Caller) -> bool:
        return any(arn == caller.arn(f"solution/{version.solution}") for version in _VERSIONS)

    @staticmethod
    def _find_filter(arn: str, caller: Caller) -> Filter:
        for found in _FILTERS:
            if arn == caller.arn(f"filter/{found.name}"):
                return found
        raise ServiceError("ResourceNotFoundException", f"Filter {arn} does not exist.")

    def _describe_version(self, request: Json, caller: Caller) -> Json:
        arn = request["solutionVersionArn"]
        caller.authorize("personalize:DescribeSolutionVersion", arn)
        return {"solutionVersion": self._version(self._find_version(arn, caller), caller)}

    def _version(self, version: SolutionVersion, caller: Caller) -> Json:
        when = _SEEDED_AT.replace(day=int(version.id))
        return {
            "solutionVersionArn": caller.arn(f"solution/{version.solution}/{version.id}"),
            "solutionArn": caller.arn(f"solution/{version.solution}"),
            "recipeArn": _recipe_arn(version.recipe, caller),
            "datasetGroupArn": caller.arn("dataset-group/films"),
            "status": self._word(version.status),
            "creationDateTime": when.timestamp(),
            "lastUpdatedDateTime": when.timestamp(),
        }

    def _describe_solution(self, request: Json, caller: Caller) -> Json:
        arn = request["solutionArn"]
        caller.authorize("personalize:DescribeSolution", arn)
        version = self._versions_of(arn, caller)[-1]
        return {
            "solution": {
                "name": version.solution,
                "solutionArn": arn,
                "recipeArn": _recipe_arn(version.recipe, caller),
                "datasetGroupArn": caller.arn("dataset-group/films"),
                "status": "ACTIVE",
                "latestSolutionVersion": {
                    key: value
                    for key, value in self._version(version, caller).items()
                    if key in ("solutionVersionArn", "status", "creationDateTime", "lastUpdatedDateTime")
                },
            }
        }

    def _list_versions(self, request: Json, caller: Caller) -> Json:
        arn = request.get("solutionArn")
        caller.authorize("personalize:ListSolutionVersions", "*")
        found = _VERSIONS if arn is None else self._versions_of(arn, caller)
        expected = ("solutionVersionArn", "status", "creationDateTime", "lastUpdatedDateTime")
        versions = [self._version(version, caller) for version in found]
        return {"solutionVersions": [{key: version[key] for key in expected} for version in versions]}

    @staticmethod
    def _versions_of(arn: str, caller: Caller) -> list[SolutionVersion]:
        found = [version for version in _VERSIONS if arn == caller.arn(f"solution/{version.solution}")]
        if not found:
            raise ServiceError("ResourceNotFoundException", f"Solution {arn} does not exist.")
        return found

    def _describe_filter(self, request: Json, caller: Caller) -> Json:
        arn = request["filterArn"]
        caller.authorize("personalize:DescribeFilter", arn)
        found = self._find_filter(arn, caller)
        return {
            "filter": {
                "name": found.name,
                "filterArn": arn,
                "datasetGroupArn": caller.arn("dataset-group/films"),
                "filterExpression": found.expression,
                "status": self._word(found.status),
            }
        }

    @staticmethod
    def _describe_recipe(request: Json, caller: Caller) -> Json:
        arn = request["recipeArn"]
        caller.authorize("personalize:DescribeRecipe", arn)
        name = arn.rpartition("/")[2]
        if name not in _RECIPES or arn != _recipe_arn(name, caller):
            raise ServiceError("ResourceNotFoundException", f"Recipe {arn} does not exist.")
        return {"recipe": {"name": name, "recipeArn": arn, "recipeType": _RECIPES[name], "status": "ACTIVE"}}

    # -- tags

    def _tag(self, request: Json, caller: Caller) -> Json:
        arn, tags = request["resourceArn"], {tag["tagKey"]: tag["tagValue"] for tag in request["tags"]}
        caller.authorize(
            "personalize:TagResource",
            arn,
            {"aws:tagkeys": list(tags), **{f"aws:requesttag/{key}": value for key, value in tags.items()}},
        )
        job = self._find_job(arn)
        if len(job.tags | tags) > MAX_TAGS:
            raise ServiceError("TooManyTagsException", f"a resource has at most {MAX_TAGS} tags")
        job.tags |= tags
        return {}

    def _untag(self, request: Json, caller: Caller) -> Json:
        arn, keys = request["resourceArn"], request["tagKeys"]
        caller.authorize("personalize:UntagResource", arn, {"aws:tagkeys": keys})
        job = self._find_job(arn)
        job.tags = {key: value for key, value in job.tags.items() if key not in keys}
        return {}

    def _list_tags(self, request: Json, caller: Caller) -> Json:
        arn = request["resourceArn"]
        caller.authorize("personalize:ListTagsForResource", arn)
        tags = self._find_job(arn).tags
        return {"tags": [{"tagKey": key, "tagValue": value} for key, value in tags.items()]}


@dataclass(frozen=True)
class Path:
    """A bucket and a key or prefix in it."""

    bucket: str
    key: str

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}"


def _paths(request: Json) -> tuple[Path, Path]:
    found = []
    for path in (request["jobInput"]["s3DataSource"]["path"], request["jobOutput"]["s3DataDestination"]["path"]):
        bucket, _, key = path.partition("://")[2].partition("/")
        found.append(Path(bucket, key))
    source, destination = found
    # Whether the service refuses an output without the slash is not known; it is taken for the folder it means.
    return source, Path(destination.bucket, destination.key.removesuffix("/") + "/" if destination.key else "")


def _recipe_arn(name: str, caller: Caller) -> str:
    return f"arn:{caller.partition}:personalize:::recipe/{name}"
