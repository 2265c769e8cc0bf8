"""Creates, adopts and updates the job of a resource."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from . import clients, limits, log, preflight, results, staging
from .adoption import differences
from .contract import DEFINITION, FlatProperties, Response
from .descriptions import describe_job, failure_reason, has_failed, status_of
from .errors import JobError, NotVisibleError, UnavailableError, explain
from .existing_input import check_existing
from .identity import MAX_ATTEMPTS, JobIdentity
from .lifecycle import Lifecycle
from .parsing import has, is_true, num_results, tags_of
from .retries import RetryBudget, call_with_retries
from .text import printable

#: The status if Personalize does not return one.
UNKNOWN_STATUS = "UNKNOWN"
# The status of a new job, to save a request.
_PENDING = "CREATE PENDING"


@dataclass(frozen=True)
class JobResource:
    """The job of a resource."""

    identity: JobIdentity
    budget: RetryBudget
    lifecycle: Lifecycle

    @property
    def properties(self) -> FlatProperties:
        return self.identity.properties

    @property
    def has_explicit_name(self) -> bool:
        """Whether the user chose the name."""
        return has(self.properties, "JobName")

    def create_or_adopt(self) -> Response:
        """Creates the job, or adopts it if it exists.

        A rollback creates nothing. It also adopts a failed job, or a job with another role, since a failed rollback
        would leave the stack in UPDATE_ROLLBACK_FAILED.

        Returns:
            The response, with ``Created`` if the job is new.

        Raises:
            JobError: The job can be neither created nor adopted.
        """
        other_role: tuple[str, Mapping[str, Any]] | None = None
        failed: tuple[str, Mapping[str, Any]] | None = None
        failed_with_other_role: tuple[str, Mapping[str, Any]] | None = None
        for name in self.identity.names():
            log.bind(job=name)
            description = self.describe(name)
            if description is None:
                if self.lifecycle.is_rolling_back():
                    found = other_role or failed or failed_with_other_role
                    return self._respond_unknown(name) if found is None else self._adopt(*found)
                try:
                    return self._create(name)
                except clients.personalize().exceptions.ResourceAlreadyExistsException:
                    # The event was redelivered, or boto3 retried a request whose response was lost.
                    description = self._describe_existing(name)
            different = differences(self.identity, name, description)
            if self.has_explicit_name:
                self._require_same_definition(name, different)
                if has_failed(status_of(description)) and not self.lifecycle.is_rolling_back():
                    raise JobError(
                        f"job_name: {name!r} is taken by a job that ended {status_of(description)}: "
                        f"{failure_reason(description)}. Names cannot be reused: choose another, or omit job_name"
                    )
            elif different:
                log.event("foreign job", differs=different, arn=self.identity.arn(name))
                if different == ["role"] and has_failed(status_of(description)):
                    failed_with_other_role = name, description
                elif different == ["role"]:
                    other_role = other_role or (name, description)
                continue
            elif has_failed(status_of(description)):
                log.event("next attempt", status=status_of(description), reason=failure_reason(description))
                failed = name, description
                continue
            return self._adopt(name, description)
        if (found := other_role or failed or failed_with_other_role) and self.lifecycle.is_rolling_back():
            return self._adopt(*found)
        base_name = self.identity.base_name
        raise JobError(
            f"trigger: all {MAX_ATTEMPTS} names of the job are taken, {base_name!r} to '{base_name}-{MAX_ATTEMPTS}', "
            "by jobs that failed or belong to another resource. Change trigger to give the job another name"
        )

    def update_in_place(self, name: str, old: FlatProperties) -> Response:
        """Updates the job's tags. The rest of the job stays as it is, whatever its status.

        Args:
            name: The job's name.
            old: The properties of the previous template.

        Raises:
            JobError: The name is explicit, and the definition changed.
        """
        log.bind(job=name)
        description = self.describe(name)
        is_changed = self.changes_explicit_job(old)
        if description is None:
            if is_changed:
                # Only with an explicit name: a derived name changes with the definition.
                return self.create_or_adopt()
            # A deployment must not fail because Personalize no longer returns an old job.
            return self._respond_unknown(name, "kept")
        if is_changed:
            different = differences(self.identity, name, description)
            is_same_job = old.get("JobName") == name
            if (
                is_same_job
                and description.get("numResults") is None
                and old.get("NumResults") != self.properties.get("NumResults")
            ):
                different.append("num_results")
            if different != ["num_results"] or not self.lifecycle.is_rolling_back():
                self._require_same_definition(name, different)
        elif not self.has_explicit_name and has_failed(status_of(description)):
            name, description = self._later_attempt(name, description)
        self._tag(name, tags_of(old))
        log.event("kept", status=status_of(description))
        return self._respond(name, description)

    def changes_explicit_job(self, old: FlatProperties) -> bool:
        """Returns whether the name is explicit and the definition is not that of the previous template."""
        return self.has_explicit_name and old.get(DEFINITION) != self.properties.get(DEFINITION)

    def respond_without_lookup(self, name: str) -> Response:
        """Responds from the properties, for a rollback in which the services are unavailable.

        Args:
            name: The name of the resource's current job.
        """
        return self._respond_unknown(name if self.identity.has_name(name) else next(self.identity.names()))

    def describe(self, name: str) -> Mapping[str, Any] | None:
        """Returns Personalize's description of a job, or None if the job does not exist."""
        return describe_job(self.identity.arn(name), self.budget)

    def _describe_existing(self, name: str) -> Mapping[str, Any]:
        def describe() -> Mapping[str, Any]:
            description = self.describe(name)
            if description is None:
                raise NotVisibleError(
                    f"the job {name} exists according to CreateBatchSegmentJob, but DescribeBatchSegmentJob does not "
                    "find it"
                )
            return description

        return call_with_retries(describe, self.budget)

    def _later_attempt(self, name: str, description: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
        # A rollback during an outage may have fallen back to a failed attempt (see `respond_without_lookup`).
        later_names = itertools.dropwhile(lambda attempt: attempt != name, self.identity.names())
        for later in itertools.islice(later_names, 1, None):
            found = self.describe(later)
            if found is None:
                break
            if not has_failed(status_of(found)) and not differences(self.identity, later, found):
                log.bind(job=later)
                return later, found
        return name, description

    def _require_same_definition(self, name: str, different: Sequence[str]) -> None:
        if different:
            raise JobError(
                f"job_name: {name!r} is taken by another job ({self.identity.arn(name)}), which differs in "
                f"{', '.join(dict.fromkeys(different))}. Names cannot be reused: choose another, or omit job_name"
            )

    def _create(self, name: str) -> Response:
        properties, input_path = self.properties, self.identity.input_path(name)
        checked = preflight.check(properties, self.budget)
        if has(properties, "AssetKey"):
            input_path = staging.stage(properties, input_path, checked, self.budget)
        elif is_true(properties, "ValidateInput"):
            check_existing(properties, checked, self.budget)
        source, destination = {"path": input_path}, {"path": self.identity.output_uri(name)}
        if has(properties, "InputKmsKeyArn"):
            source["kmsKeyArn"] = properties["InputKmsKeyArn"]
        if has(properties, "OutputKmsKeyArn"):
            destination["kmsKeyArn"] = properties["OutputKmsKeyArn"]
        request: dict[str, Any] = {
            "jobName": name,
            "solutionVersionArn": checked.solution_version_arn,
            "roleArn": properties["RoleArn"],
            "jobInput": {"s3DataSource": source},
            "jobOutput": {"s3DataDestination": destination},
        }
        if has(properties, "FilterArn"):
            request["filterArn"] = properties["FilterArn"]
        if (number := num_results(properties)) is not None:
            request["numResults"] = number
        if tags := tags_of(properties):
            request["tags"] = _request_tags(tags)

        def create(**request: Any) -> Mapping[str, Any]:
            self.lifecycle.require_can_create()
            return clients.personalize().create_batch_segment_job(**request)

        if self.budget.is_over:
            raise UnavailableError(
                "no time is left, so no job was created: checking and staging the queries, or retries, took too long. "
                "Deploy again, or give the job fewer queries"
            )
        call_with_retries(create, self.budget, member="batchSegmentJobArn", **request)
        log.event("created", input=input_path, output=self.identity.output_uri(name))
        return {**self._response(name, _PENDING, checked.solution_version_arn), "Created": True}

    def _adopt(self, name: str, description: Mapping[str, Any]) -> Response:
        log.bind(job=name)
        self._tag(name, {})
        log.event("adopted", status=status_of(description))
        return self._respond(name, description)

    def _tag(self, name: str, old_tags: Mapping[str, str]) -> None:
        try:
            self._update_tags(name, old_tags)
        except (BotoCoreError, ClientError, JobError) as error:
            # The job was found, so a rollback succeeds with it and not with an assumed one.
            if not self.lifecycle.may_be_rolling_back():
                raise
            log.event("not tagged", error=str(explain(error, self.properties)))

    def _update_tags(self, name: str, old_tags: Mapping[str, str]) -> None:
        tags, arn = tags_of(self.properties), self.identity.arn(name)
        new = {key: value for key, value in tags.items() if old_tags.get(key) != value}
        removed = sorted(old_tags.keys() - tags.keys())
        # Remove before adding, so that there are never more than 50.
        if removed:
            call_with_retries(clients.personalize().untag_resource, self.budget, resourceArn=arn, tagKeys=removed)
        if new:
            call_with_retries(clients.personalize().tag_resource, self.budget, resourceArn=arn, tags=_request_tags(new))
        if removed or new:
            log.event("tagged", set=sorted(new), removed=removed)

    def _respond(self, name: str, description: Mapping[str, Any]) -> Response:
        version = description.get("solutionVersionArn") or self.properties.get("SolutionVersionArn", UNKNOWN_STATUS)
        return self._response(name, status_of(description) or UNKNOWN_STATUS, version)

    def _respond_unknown(self, name: str, decision: str = "assumed") -> Response:
        log.bind(job=name)
        log.event(decision, status=UNKNOWN_STATUS)
        return self._response(name, UNKNOWN_STATUS, self.properties.get("SolutionVersionArn", UNKNOWN_STATUS))

    def _response(self, name: str, status: str, solution_version_arn: str) -> Response:
        return {
            "PhysicalResourceId": self.identity.arn(name),
            "Data": {
                "JobName": name,
                "OutputUri": self.identity.output_uri(name),
                "Status": status,
                "SolutionVersionArn": printable(solution_version_arn, limits.MAX_ARN_LENGTH),
                "QueryErrors": results.ERRORS_UNKNOWN,
            },
        }


def _request_tags(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"tagKey": key, "tagValue": value} for key, value in tags.items()]
