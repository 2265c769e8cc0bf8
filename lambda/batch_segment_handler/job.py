"""The job: its name, its request, and how it is created or adopted.

The name is the state. It is derived from what defines the job, so that the same event always means the same job,
whoever delivers it, how often, and after whatever failure: https://docs.aws.amazon.com/personalize/latest/dg/API_CreateBatchSegmentJob.html
offers no client token, and a name can be used once only.
"""

import hashlib
import itertools
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from . import clients, limits, preflight, results, staging
from .failures import JobError, Patience, call
from .log import about, log
from .preflight import failure_reason, has_failed

#: A property that is not listed starts no new job: not the role, not the tags, not what a later version of the library
#: adds. A property that is absent leaves the name as it was before the library knew it.
DEFINING_PROPERTIES = (
    "SolutionVersionArn",
    "SolutionArn",
    "FilterArn",
    "NumResults",
    "InputPath",
    "InputBucket",
    "InputPrefix",
    "AssetHash",
    "InputKmsKeyArn",
    "OutputPath",
    "OutputKmsKeyArn",
    "Trigger",
)
#: Our own word for a job that the service no longer knows.
UNKNOWN = "UNKNOWN"
# The status of a job that was created a moment ago, without asking for it.
_PENDING = "CREATE PENDING"


@dataclass(frozen=True)
class BatchSegmentJob:
    """A job as the template describes it.

    Attributes:
        properties: The resource's properties; every value a string or a list of strings.
        stack_id: The stack's ARN.
        patience: How long the deployment may wait for what passes by itself.
    """

    properties: Mapping[str, Any]
    stack_id: str
    patience: Patience

    def start(self, is_rollback: Callable[[], bool]) -> dict[str, Any]:
        """Creates the job, or adopts it if it is there already.

        Args:
            is_rollback: Says whether this is an update back to what was before. Then a job that failed is adopted too:
                nothing may be created, and a rollback that fails leaves the stack stuck.

        Returns:
            What the framework is told.

        Raises:
            JobError: It can be neither created nor adopted.
        """
        failed: tuple[str, Mapping[str, Any]] | None = None
        for name in self._names():
            about(job=name)
            description = self.describe(name)
            if description is None:
                if failed is not None and is_rollback():
                    return self._adopt(*failed)
                try:
                    return self._create(name)
                except clients.personalize().exceptions.ResourceAlreadyExistsException:
                    # The same event was delivered twice, or boto3 repeated a request whose answer was lost.
                    description = self.describe(name)
                    if description is None:
                        raise
            status = description["status"]
            if "JobName" in self.properties:
                self._refuse_different(name, description)
                if has_failed(status) and not is_rollback():
                    raise JobError(
                        f"job_name: {name!r} is taken by a job that ended {status}: {failure_reason(description)}. "
                        "Names are never freed by the service: choose another, or leave job_name out"
                    )
            elif has_failed(status):
                log("next attempt", status=status, reason=failure_reason(description))
                failed = name, description
                continue
            return self._adopt(name, description)
        raise AssertionError("names do not end")

    def _adopt(self, name: str, description: Mapping[str, Any]) -> dict[str, Any]:
        about(job=name)
        self._update_tags(name, {})
        log("adopted", status=description["status"])
        return self._answer(name, description["status"], description["solutionVersionArn"])

    def keep(self, name: str, old: Mapping[str, Any], is_rollback: Callable[[], bool]) -> dict[str, Any]:
        """Leaves the job as it is but for its tags, whatever has become of it.

        Args:
            name: The job's name.
            old: The properties that the template had before.
            is_rollback: As for `start`.

        Raises:
            JobError: The name is explicit, and what defines the job has changed.
        """
        about(job=name)
        description = self.describe(name)
        if description is None:
            # Nothing says how long the service keeps its records; a deployment must not fail for it.
            log("kept", job=name, status=UNKNOWN)
            return self._answer(name, UNKNOWN, self.properties.get("SolutionVersionArn", UNKNOWN))
        if "JobName" in self.properties:
            # What the service takes for a number left out is not documented; the one that was taken away is known.
            is_old_number = str(description.get("numResults")) == old.get("NumResults") and self._num_results is None
            self._refuse_different(name, description, ["num_results"] if is_old_number and not is_rollback() else [])
        elif has_failed(description["status"]):
            name, description = self._later_attempt(name, description)
        self._update_tags(name, tags_of(old))
        log("kept", status=description["status"])
        return self._answer(name, description["status"], description["solutionVersionArn"])

    def _later_attempt(self, name: str, description: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
        # A rollback in which nothing could be asked may have settled on an attempt that failed.
        for later in itertools.islice(itertools.dropwhile(lambda one: one != name, self._names()), 1, None):
            found = self.describe(later)
            if found is None:
                return name, description
            if not has_failed(found["status"]):
                about(job=later)
                return later, found
        raise AssertionError("names do not end")

    def assume(self, name: str) -> dict[str, Any]:
        """Takes the job for what the template says, without asking: in a rollback, when nothing can be asked.

        Args:
            name: The name of the job that the resource stands for now.
        """
        name = name if self.is_named(name) else next(self._names())
        log("assumed", job=name)
        return self._answer(name, UNKNOWN, self.properties.get("SolutionVersionArn", UNKNOWN))

    def describe(self, name: str) -> Mapping[str, Any] | None:
        """What the service knows of a job of that name, if anything."""
        client = clients.personalize()
        try:
            answer = call(
                client.describe_batch_segment_job,
                self.patience,
                member="batchSegmentJob",
                batchSegmentJobArn=self.arn(name),
            )
        except client.exceptions.ResourceNotFoundException:
            return None
        return answer["batchSegmentJob"]

    def is_named(self, name: str) -> bool:
        """Whether a job of that name is this job, in whichever attempt."""
        if "JobName" in self.properties:
            return bool(name == self.properties["JobName"])
        return re.fullmatch(rf"{re.escape(self._base_name)}(-([2-9]|[1-9]\d+))?", name) is not None

    def arn(self, name: str) -> str:
        """The ARN of a job of that name in the stack's account and region."""
        _, partition, _, region, account, _ = self.stack_id.split(":", 5)
        return f"arn:{partition}:personalize:{region}:{account}:batch-segment-job/{name}"

    @property
    def tags(self) -> dict[str, str]:
        """The tags that the template gives the job."""
        return tags_of(self.properties)

    @property
    def _base_name(self) -> str:
        definition = {key: str(self.properties[key]) for key in DEFINING_PROPERTIES if key in self.properties}
        # The prefix tells constructs apart; the logical id changes with whether the job is waited for.
        seed = json.dumps(
            [self.stack_id, self.properties["JobNamePrefix"], definition], sort_keys=True, separators=(",", ":")
        )
        return f"{self.properties['JobNamePrefix']}-{hashlib.sha256(seed.encode()).hexdigest()[:12]}"

    def _names(self) -> Iterator[str]:
        if "JobName" in self.properties:
            yield self.properties["JobName"]
            return
        yield self._base_name
        for attempt in itertools.count(2):
            yield f"{self._base_name}-{attempt}"

    def _refuse_different(self, name: str, description: Mapping[str, Any], known: Sequence[str] = ()) -> None:
        different = list(dict.fromkeys([*self._differences(name, description), *known]))
        if different:
            raise JobError(
                f"job_name: {name!r} is taken by another job ({self.arn(name)}), which differs in "
                f"{', '.join(different)}. Names are never freed by the service: choose another, or leave job_name out"
            )

    def _differences(self, name: str, description: Mapping[str, Any]) -> list[str]:
        source = description["jobInput"]["s3DataSource"]
        destination = description["jobOutput"]["s3DataDestination"]
        solution_version = description["solutionVersionArn"]
        if "SolutionArn" in self.properties:
            same_solution = solution_version.startswith(f"{self.properties['SolutionArn']}/")
        else:
            same_solution = solution_version == self.properties["SolutionVersionArn"]
        same = {
            "solution version": same_solution,
            "filter": description.get("filterArn") == self.properties.get("FilterArn"),
            # What the service takes for a number left out is not documented.
            "num_results": self._num_results is None or description.get("numResults") == self._num_results,
            "input": self._is_input(name, source["path"]),
            "input key": source.get("kmsKeyArn") == self.properties.get("InputKmsKeyArn"),
            "output": destination["path"] == self.output_uri(name),
            "output key": destination.get("kmsKeyArn") == self.properties.get("OutputKmsKeyArn"),
        }
        return [what for what, is_same in same.items() if not is_same]

    def _create(self, name: str) -> dict[str, Any]:
        found = preflight.check(self.properties, self.patience)
        if "AssetKey" in self.properties:
            input_path = staging.stage(self.properties, self._input_path(name), found, self.patience)
        else:
            input_path = self._input_path(name)
            if self.properties.get("ValidateInput") == "true":
                staging.check_existing(self.properties, found, self.patience)
        request: dict[str, Any] = {
            "jobName": name,
            "solutionVersionArn": found.solution_version_arn,
            "roleArn": self.properties["RoleArn"],
            "jobInput": {"s3DataSource": self._location(input_path, "InputKmsKeyArn")},
            "jobOutput": {"s3DataDestination": self._location(self.output_uri(name), "OutputKmsKeyArn")},
        }
        if "FilterArn" in self.properties:
            request["filterArn"] = self.properties["FilterArn"]
        if self._num_results is not None:
            request["numResults"] = self._num_results
        if self.tags:
            request["tags"] = [{"tagKey": key, "tagValue": value} for key, value in self.tags.items()]
        call(clients.personalize().create_batch_segment_job, self.patience, member="batchSegmentJobArn", **request)
        log("created", input=input_path, output=self.output_uri(name))
        return self._answer(name, _PENDING, found.solution_version_arn)

    def _update_tags(self, name: str, old_tags: Mapping[str, str]) -> None:
        new = {key: value for key, value in self.tags.items() if old_tags.get(key) != value}
        gone = sorted(old_tags.keys() - self.tags.keys())
        arn = self.arn(name)
        # Off before on: the other way round there might be 50 too many in between.
        if gone:
            call(clients.personalize().untag_resource, self.patience, resourceArn=arn, tagKeys=gone)
        if new:
            tags = [{"tagKey": key, "tagValue": value} for key, value in new.items()]
            call(clients.personalize().tag_resource, self.patience, resourceArn=arn, tags=tags)
        if gone or new:
            log("tagged", set=sorted(new), removed=gone)

    def _answer(self, name: str, status: str, solution_version_arn: str) -> dict[str, Any]:
        return {
            "PhysicalResourceId": self.arn(name),
            "Data": {
                "JobName": name,
                "OutputUri": self.output_uri(name),
                "Status": status,
                "SolutionVersionArn": solution_version_arn,
                "QueryErrors": results.UNKNOWN,
            },
        }

    def _location(self, path: str, key_property: str) -> dict[str, str]:
        location = {"path": path}
        if key_property in self.properties:
            location["kmsKeyArn"] = self.properties[key_property]
        return location

    def _input_path(self, name: str) -> str:
        if "InputPath" in self.properties:
            return str(self.properties["InputPath"])
        # The content is part of the path, so that the job's description says which queries it was given. The handler
        # adds how it was split, so that what an attempt with another split has written is not read.
        content = self.properties["AssetHash"][:12]
        return f"s3://{self.properties['InputBucket']}/{self.properties['InputPrefix']}{name}/{content}"

    def _is_input(self, name: str, path: str) -> bool:
        expected = self._input_path(name)
        return path == expected if "InputPath" in self.properties else path.startswith(f"{expected}-")

    def output_uri(self, name: str) -> str:
        """Where the segments of a job of that name are."""
        return f"{self.properties['OutputPath']}{name}/"

    @property
    def _num_results(self) -> int | None:
        # CloudFormation hands numbers over as strings.
        number = self.properties.get("NumResults")
        if number is None:
            return None
        try:
            value = int(number)
        except ValueError:
            value = 0
        if not 1 <= value <= limits.MAX_RESULTS:
            raise JobError(f"num_results: got {number!r}, expected a whole number from 1 to {limits.MAX_RESULTS:,}")
        return value


def tags_of(properties: Mapping[str, Any]) -> dict[str, str]:
    """The tags in a resource's properties."""
    return {tag["key"]: tag["value"] for tag in properties.get("Tags") or []}
