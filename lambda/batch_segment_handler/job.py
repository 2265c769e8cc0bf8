"""The job: its name, its request, and how it is created or adopted.

The name is the state. It is derived from what defines the job, so that the same event always means the same job,
however often and after whatever failure it is delivered:
https://docs.aws.amazon.com/personalize/latest/dg/API_CreateBatchSegmentJob.html offers no client token, and a name can
be used only once.
"""

import hashlib
import itertools
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from . import clients, limits, preflight, results, staging
from .failures import JobError, NotVisibleError, Patience, call, says_that_it_does_not_exist
from .log import about, log
from .preflight import failure_reason, has_failed, status_of
from .text import printable

#: The property that holds all that defines the job: any change in it is another job.
DEFINITION = "NewJobIfChanged"
#: Our own word for a job that the service no longer knows.
UNKNOWN = "UNKNOWN"
# The status of a job that was created a moment ago, without asking for it.
_PENDING = "CREATE PENDING"
#: Names end with "", "-2" … "-99"; the construct keeps three characters for it.
MAX_ATTEMPTS = 99


@dataclass(frozen=True)
class BatchSegmentJob:
    """A job as the template describes it.

    Attributes:
        properties: The resource's properties as `flatten` returns them; every value a string or a list of tags.
        stack_id: The stack's ARN.
        patience: How long the deployment may wait for errors that pass by themselves.
    """

    properties: Mapping[str, Any]
    stack_id: str
    patience: Patience

    def start(self, is_rollback: Callable[[], bool]) -> dict[str, Any]:
        """Creates the job, or adopts it if it exists.

        Args:
            is_rollback: Returns whether this is an update back to what was before. A rollback creates nothing, and it
                adopts a job that failed as well: a rollback that fails leaves the stack stuck.

        Returns:
            The answer for the provider framework, with ``Created`` if the job is a new one.

        Raises:
            JobError: It can be neither created nor adopted.
        """
        failed: tuple[str, Mapping[str, Any]] | None = None
        for name in self._names():
            about(job=name)
            description = self.describe(name)
            if description is None:
                if is_rollback():
                    return self._assumed(name) if failed is None else self._adopt(*failed)
                try:
                    return self._create(name, is_rollback)
                except clients.personalize().exceptions.ResourceAlreadyExistsException:
                    # The same event was delivered twice, or boto3 retried a request whose answer was lost.
                    description = self._describe_existing(name)
            different = self._differences(name, description)
            if "JobName" in self.properties:
                self._refuse_different(name, different)
                if has_failed(status_of(description)) and not is_rollback():
                    raise JobError(
                        f"job_name: {name!r} is taken by a job that ended {status_of(description)}: "
                        f"{failure_reason(description)}. Names are never freed by the service: choose another, or "
                        "leave job_name out"
                    )
            elif different and not (different == ["role"] and is_rollback()):
                # A rollback adopts the job of an earlier role: it must not end without the job.
                log("foreign job", differs=different, arn=self.arn(name))
                continue
            elif has_failed(status_of(description)):
                log("next attempt", status=status_of(description), reason=failure_reason(description))
                failed = name, description
                continue
            return self._adopt(name, description)
        raise JobError(
            f"trigger: all {MAX_ATTEMPTS} names of the job are taken, {self._base_name!r} to "
            f"'{self._base_name}-{MAX_ATTEMPTS}', by jobs that failed or that are not of this resource. Change "
            "trigger, which gives the job another name"
        )

    def _adopt(self, name: str, description: Mapping[str, Any]) -> dict[str, Any]:
        about(job=name)
        self._update_tags(name, {})
        log("adopted", status=status_of(description))
        return self._answer_of(name, description)

    def keep(self, name: str, old: Mapping[str, Any], is_rollback: Callable[[], bool]) -> dict[str, Any]:
        """Leaves the job as it is but for its tags, whatever its status.

        Args:
            name: The job's name.
            old: The properties that the template had before, as `flatten` returns them.
            is_rollback: As for `start`.

        Raises:
            JobError: The name is explicit, and what defines the job has changed.
        """
        about(job=name)
        description = self.describe(name)
        if description is None:
            # How long the service keeps a job's record is not documented. A deployment must not fail for it.
            return self._assumed(name, "kept")
        if "JobName" in self.properties:
            # Without a change, whatever the service answers is the description of this job.
            if old.get(DEFINITION) != self.properties[DEFINITION]:
                # The default of numResults is undocumented, so compare with the previous value of the property.
                described = description.get("numResults")
                is_old_number = (self._num_results is None and str(described) == old.get("NumResults")) or (
                    described is None and old.get("NumResults") != self.properties.get("NumResults")
                )
                known = ["num_results"] if is_old_number and not is_rollback() else []
                self._refuse_different(name, [*self._differences(name, description), *known])
        elif has_failed(status_of(description)):
            name, description = self._later_attempt(name, description)
        self._update_tags(name, tags_of(old))
        log("kept", status=status_of(description))
        return self._answer_of(name, description)

    def _later_attempt(self, name: str, description: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
        # A rollback during an outage may have fallen back to a failed attempt (see `assume`).
        for later in itertools.islice(itertools.dropwhile(lambda one: one != name, self._names()), 1, None):
            found = self.describe(later)
            if found is None:
                break
            if not has_failed(status_of(found)) and not self._differences(later, found):
                about(job=later)
                return later, found
        return name, description

    def assume(self, name: str) -> dict[str, Any]:
        """Answers from the template without a lookup: for a rollback in which the services cannot be called.

        Args:
            name: The name of the job that the resource stands for now.
        """
        return self._assumed(name if self.is_named(name) else next(self._names()))

    def _assumed(self, name: str, decision: str = "assumed") -> dict[str, Any]:
        about(job=name)
        log(decision, status=UNKNOWN)
        return self._answer(name, UNKNOWN, self.properties.get("SolutionVersionArn", UNKNOWN))

    def describe(self, name: str) -> Mapping[str, Any] | None:
        """Returns the service's description of the job of a name, or None if there is no such job."""
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
        except client.exceptions.InvalidInputException as error:
            # If this is taken for the wrong reason, CreateBatchSegmentJob decides.
            if says_that_it_does_not_exist(error):
                return None
            raise
        return answer["batchSegmentJob"]

    def _describe_existing(self, name: str) -> Mapping[str, Any]:
        def describe() -> Mapping[str, Any]:
            description = self.describe(name)
            if description is None:
                raise NotVisibleError(
                    f"the job {name} exists according to CreateBatchSegmentJob, but DescribeBatchSegmentJob does not "
                    "find it"
                )
            return description

        return call(describe, self.patience)

    def is_named(self, name: str) -> bool:
        """Returns whether a job of that name is this job, in whichever attempt."""
        if "JobName" in self.properties:
            return bool(name == self.properties["JobName"])
        return re.fullmatch(rf"{re.escape(self._base_name)}(-([2-9]|[1-9]\d))?", name) is not None

    def arn(self, name: str) -> str:
        """Returns the ARN of a job of that name in the stack's account and region."""
        _, partition, _, region, account, _ = self.stack_id.split(":", 5)
        return f"arn:{partition}:personalize:{region}:{account}:batch-segment-job/{name}"

    @property
    def tags(self) -> dict[str, str]:
        """The tags that the template gives the job."""
        return tags_of(self.properties)

    @property
    def _base_name(self) -> str:
        # The prefix tells constructs apart; the logical ID changes with whether the deployment waits.
        definition = {key: str(value) for key, value in self.properties[DEFINITION].items()}
        seed = json.dumps(
            [self.stack_id, self.properties["JobNamePrefix"], definition],
            sort_keys=True,
            separators=(",", ":"),
        )
        return f"{self.properties['JobNamePrefix']}-{hashlib.sha256(seed.encode()).hexdigest()[:12]}"

    def _names(self) -> Iterator[str]:
        if "JobName" in self.properties:
            yield self.properties["JobName"]
            return
        yield self._base_name
        for attempt in range(2, MAX_ATTEMPTS + 1):
            yield f"{self._base_name}-{attempt}"

    def _refuse_different(self, name: str, different: Sequence[str]) -> None:
        if different:
            raise JobError(
                f"job_name: {name!r} is taken by another job ({self.arn(name)}), which differs in "
                f"{', '.join(dict.fromkeys(different))}. Names are never freed by the service: choose another, or "
                "leave job_name out"
            )

    def _differences(self, name: str, description: Mapping[str, Any]) -> list[str]:
        """Returns in what a job differs from this one.

        A member that every job has and that the description lacks says nothing. The other members are the same when
        they are absent and when they are empty.
        """
        source = (description.get("jobInput") or {}).get("s3DataSource") or {}
        destination = (description.get("jobOutput") or {}).get("s3DataDestination") or {}
        version, number = description.get("solutionVersionArn"), description.get("numResults")
        if "SolutionArn" in self.properties:
            same_version = not version or version.startswith(f"{self.properties['SolutionArn']}/")
        else:
            same_version = not version or version == self.properties["SolutionVersionArn"]
        role, input_path, output_path = description.get("roleArn"), source.get("path"), destination.get("path")
        same = {
            "solution version": same_version,
            "filter": self._is_same("FilterArn", description.get("filterArn")),
            # What the service answers for a number that was left out is not documented.
            "num_results": self._num_results is None or number in (None, self._num_results),
            "input": not input_path or self._is_input(name, input_path),
            "input key": self._is_same("InputKmsKeyArn", source.get("kmsKeyArn")),
            "output": not output_path or _normalized(output_path) == _normalized(self.output_uri(name)),
            "output key": self._is_same("OutputKmsKeyArn", destination.get("kmsKeyArn")),
            "role": not role or role == self.properties["RoleArn"],
        }
        return [member for member, is_same in same.items() if not is_same]

    def _is_same(self, key: str, described: str | None) -> bool:
        return (described or None) == (self.properties.get(key) or None)

    def _create(self, name: str, is_rollback: Callable[[], bool]) -> dict[str, Any]:
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

        def create(**request: Any) -> Mapping[str, Any]:
            # Minutes may have passed since it was asked last, in which the update may have been canceled.
            if is_rollback():
                raise JobError("the stack is rolling back, so no job was created")
            return clients.personalize().create_batch_segment_job(**request)

        call(create, self.patience, member="batchSegmentJobArn", **request)
        log("created", input=input_path, output=self.output_uri(name))
        return self._answer(name, _PENDING, found.solution_version_arn) | {"Created": True}

    def _update_tags(self, name: str, old_tags: Mapping[str, str]) -> None:
        new = {key: value for key, value in self.tags.items() if old_tags.get(key) != value}
        gone = sorted(old_tags.keys() - self.tags.keys())
        arn = self.arn(name)
        # Remove before adding: the other way round there might be 50 too many in between.
        if gone:
            call(clients.personalize().untag_resource, self.patience, resourceArn=arn, tagKeys=gone)
        if new:
            tags = [{"tagKey": key, "tagValue": value} for key, value in new.items()]
            call(clients.personalize().tag_resource, self.patience, resourceArn=arn, tags=tags)
        if gone or new:
            log("tagged", set=sorted(new), removed=gone)

    def _answer_of(self, name: str, description: Mapping[str, Any]) -> dict[str, Any]:
        version = description.get("solutionVersionArn") or self.properties.get("SolutionVersionArn", UNKNOWN)
        return self._answer(name, status_of(description) or UNKNOWN, version)

    def _answer(self, name: str, status: str, solution_version_arn: str) -> dict[str, Any]:
        return {
            "PhysicalResourceId": self.arn(name),
            "Data": {
                "JobName": name,
                "OutputUri": self.output_uri(name),
                "Status": status,
                "SolutionVersionArn": printable(solution_version_arn, limits.MAX_ARN_LENGTH),
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
        # The content is part of the path, so that the job's description says which queries it was given. Staging
        # appends the split size, so that files left by an earlier attempt with another size are never read.
        content = self.properties["AssetHash"][:12]
        return f"s3://{self.properties['InputBucket']}/{self.properties['InputPrefix']}{name}/{content}"

    def _is_input(self, name: str, path: str) -> bool:
        expected, path = _normalized(self._input_path(name)), _normalized(path)
        if "InputPath" in self.properties:
            return path == expected
        return re.fullmatch(rf"{re.escape(expected)}-\d+", path) is not None

    def output_uri(self, name: str) -> str:
        """Returns where the segments of a job of that name are."""
        return f"{self.properties['OutputPath']}{name}/"

    @property
    def _num_results(self) -> int | None:
        return whole_number(self.properties, "NumResults", "num_results", 1, limits.MAX_RESULTS)

    @property
    def max_query_errors(self) -> int | None:
        """How many queries may end with an error; None if any number may."""
        return whole_number(self.properties, "MaxQueryErrors", "max_query_errors", 0, limits.MAX_RECORDS)


def tags_of(properties: Mapping[str, Any]) -> dict[str, str]:
    """Returns the tags in a resource's properties."""
    try:
        return {tag["key"]: tag["value"] for tag in properties.get("Tags") or []}
    except (KeyError, TypeError):
        raise JobError("Tags is malformed: expected a list of tags with key and value") from None


def whole_number(properties: Mapping[str, Any], key: str, prop: str, least: int, most: int) -> int | None:
    """Returns a property that is a number; None if there is none.

    Args:
        properties: The resource's properties. CloudFormation makes strings of numbers.
        key: The property's name there.
        prop: The property's name in the construct.
        least: The least value.
        most: The greatest value.

    Raises:
        JobError: The property is no such number.
    """
    number = properties.get(key)
    if number is None:
        return None
    # Neither "1_000" nor digits of other scripts.
    value = int(number) if re.fullmatch(r"\d{1,20}", str(number), re.ASCII) else -1
    if not least <= value <= most:
        raise JobError(f"{prop}: got {str(number)[:50]!r}, expected a whole number from {least:,} to {most:,}")
    return value


def flatten(properties: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a resource's properties with those that define the job beside the others.

    The map of those that define it stays: the derived name is seeded with it.
    """
    definition = properties.get(DEFINITION)
    return {**properties, **definition} if isinstance(definition, Mapping) else dict(properties)


def require(properties: Mapping[str, Any]) -> None:
    """Checks that a resource has the properties without which there is no job.

    Args:
        properties: The resource's properties as `flatten` returns them.

    Raises:
        JobError: A property is missing; the message names it.
    """
    alternatives: Sequence[Sequence[str]] = (
        ["JobNamePrefix", "JobName"],
        [DEFINITION],
        ["SolutionVersionArn", "SolutionArn"],
        ["RoleArn"],
        ["OutputPath"],
    )
    staged = [] if "InputPath" in properties else ["InputBucket", "InputPrefix", "AssetHash", "AssetBucket", "AssetKey"]
    for names in (*alternatives, *([name] for name in staged)):
        if not any(name in properties for name in names):
            raise JobError(
                f"{' or '.join(names)} is missing from the properties of the resource. Deploy the stack with the "
                "version of the library that it was synthesized with"
            )
    if not isinstance(properties[DEFINITION], Mapping):
        raise JobError(f"{DEFINITION} is malformed: got {type(properties[DEFINITION]).__name__}, expected a map")


def _normalized(path: str) -> str:
    # Whether the service answers with the path exactly as it was given is not documented.
    scheme, separator, rest = path.partition("://")
    return f"{scheme.lower()}{separator}{rest.removesuffix('/')}"
