"""The construct `BatchSegmentWorkflow`."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, cast

import aws_cdk as cdk
import aws_cdk.aws_iam as iam
import aws_cdk.aws_s3 as s3
import aws_cdk.aws_scheduler as scheduler
import aws_cdk.aws_stepfunctions as sfn
import jsii
from batch_segment_handler import limits
from batch_segment_handler.workflow_contract import TableSettings, WorkflowSettings
from constructs import Construct

from . import job_arguments, machines, manifest, schedules, state_machine, tagging, workflow_arguments
from .audience import Audience
from .batch_segment_storage import BatchSegmentStorage
from .locations import BucketUse
from .manifest import BoundAudiences
from .metrics import WorkflowMetrics
from .naming import StackFacts
from .notifications import WorkflowEvents
from .permissions import of_workflows
from .permissions.statements import Statements
from .provider import BatchSegmentProvider

_DEFAULT_TIMEOUT = cdk.Duration.days(1)


@jsii.implements(cdk.ITaggableV2)
class BatchSegmentWorkflow(WorkflowMetrics, WorkflowEvents):
    """Refreshes the segments of any number of audiences, on a schedule or on demand.

    A run determines the solution version once and starts a batch segment job for each audience, a few at a time. It
    waits until the jobs are complete, and publishes an event for each audience and an event for the run. A failed
    audience does not stop the others. The segments of an audience go to
    ``<output_prefix>audience=<name>/run=<run>/<job name>/``.

    With `only_new_versions`, the solution version identifies a run, otherwise the scheduled time. If you start it
    again, it adopts the existing jobs, so no job is billed twice, and retries the failed ones. For example::

        BatchSegmentWorkflow(
            stack,
            "Weekly",
            solution_arn="arn:aws:personalize:eu-west-1:123456789012:solution/films",
            audiences=Audience.list_from_csv("audiences.csv"),
            schedule=scheduler.ScheduleExpression.rate(cdk.Duration.days(7)),
        )
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        audiences: Sequence[Audience],
        solution_arn: str | None = None,
        solution_version_arn: str | None = None,
        storage: BatchSegmentStorage | None = None,
        output_prefix: str | None = None,
        schedule: scheduler.ScheduleExpression | None = None,
        only_new_versions: bool = True,
        max_concurrency: int = limits.MAX_JOBS_IN_FLIGHT,
        timeout: cdk.Duration = _DEFAULT_TIMEOUT,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Adds the workflow to the stack.

        Args:
            scope: The parent construct.
            id: The construct's id.
            audiences: The audiences. Their names must be unique.
            solution_arn: The solution, of a USER_SEGMENTATION recipe. Each run uses its latest ACTIVE version.
            solution_version_arn: The solution version that all runs use. Pass either this or `solution_arn`.
            storage: The buckets and the service role. Workflows and jobs can share a storage. Default: a new
                `BatchSegmentStorage` for this workflow. If all queries are in S3, it uses the first audience's bucket.
            output_prefix: The folder in the output bucket, ending in "/". Two workflows that share a bucket need
                different prefixes if they are in different stacks, have audiences of the same name, or must have
                different readers. Default: the storage's output prefix.
            schedule: When runs start, for example ``ScheduleExpression.cron(week_day="MON", hour="3", minute="0",
                time_zone=cdk.TimeZone.EUROPE_BERLIN)`` of ``aws_cdk.aws_scheduler``. Default: no schedule; start the
                state machine to start a run.
            only_new_versions: Whether a run skips each audience that already has segments for the same solution
                version, queries, filter and number of results. New interactions do not change segments before the next
                training (https://docs.aws.amazon.com/personalize/latest/dg/getting-user-segments.html). Default: True.
            max_concurrency: The maximum number of audiences that run at once, 1 to 1,000. More than 5 require a higher
                quota (https://docs.aws.amazon.com/personalize/latest/dg/limits.html). Default: 5.
            timeout: The maximum duration of a run, at most 364 days. Audiences whose job is not complete by then fail.
                A running job continues and is billed. Default: one day.
            tags: The tags of all jobs, at most 50 with those of an audience. ``Tags.of(scope).add(…)`` adds more.

        Raises:
            ValueError: A value is invalid. The message names the property, the value and the expected value. Also if
                the stack has so many jobs and inputs that the policy of a function exceeds the size limit of a role.
            TypeError: A value has the wrong type.
        """
        super().__init__(scope, id)
        provider = BatchSegmentProvider.of(scope)
        workflow_arguments.check(
            provider,
            solution_arn=solution_arn,
            solution_version_arn=solution_version_arn,
            storage=storage,
            schedule=schedule,
            only_new_versions=only_new_versions,
            max_concurrency=max_concurrency,
            timeout=timeout,
            tags=tags,
        )
        manifest.check_list(audiences)
        path = provider.path_in_stack(scope, id)
        #: The workflow's name in events and metrics. It is unique in the account and region.
        self.workflow_name: str = provider.names.job_prefix(path)
        #: The buckets and the service role.
        self.storage: BatchSegmentStorage = storage or BatchSegmentStorage(
            self, "Storage", input_bucket=_input_bucket(audiences)
        )
        if output_prefix is not None:
            self.storage.check_output_prefix(output_prefix)
        #: The folder in the output bucket that contains the folders of the audiences.
        self.output_prefix: str = output_prefix or self.storage.output_prefix
        bound = manifest.build(
            self, audiences, storage=self.storage, output_prefix=self.output_prefix, workflow_path=path
        )
        self._audience_names = frozenset(audience.name for audience in audiences)
        self._provider = provider
        self._settings: WorkflowSettings = {
            "Workflow": self.workflow_name,
            "StackId": provider.stack_id,
            "OnlyNewVersions": only_new_versions,
            "TimeoutSeconds": math.ceil(timeout.to_seconds(integral=False)),
            "RoleArn": self.storage.role_arn,
        }
        if solution_version_arn is not None:
            self._settings["SolutionVersionArn"] = solution_version_arn
            provider.start_needs.allow_solution_version(solution_version_arn)
        else:
            assert solution_arn is not None
            self._settings["SolutionArn"] = solution_arn
            provider.start_needs.allow_solution(solution_arn)
        self._allow_input(bound)
        self._allow_output(audiences)
        self._tags = tags
        self._tags_of_audiences = {audience.name: audience.tags for audience in audiences if audience.tags}
        self._tag_manager: cdk.TagManager | None = None
        if bound.tag_keys:
            provider.allow_tagging_of_workflow(keys=bound.tag_keys)
        if tags:
            self._tag_manager = self._new_tag_manager()
        provider.check_size()
        machine = self._new_machine(bound, max_concurrency)
        #: The state machine. Each execution is a run. The input ``{"run": "2026-11-30T03:00:00Z"}`` names a run.
        self.state_machine: sfn.StateMachine = machine.state_machine
        #: The schedule, or None.
        self.schedule: scheduler.Schedule | None = None
        if schedule is not None:
            self.schedule = schedules.new_schedule(self, StackFacts.of(self), self.state_machine, schedule)
            self.schedule.node.add_dependency(*machine.policies, *self.storage.service_access.policies)

    @property
    @jsii.member(jsii_name="cdkTagManager")
    def cdk_tag_manager(self) -> cdk.TagManager:
        """The tags of all jobs. ``Tags.of(scope).add(…)`` adds more."""
        if self._tag_manager is None:
            self._tag_manager = self._new_tag_manager()
        return self._tag_manager

    def grant_start_execution(self, grantee: iam.IGrantable) -> iam.Grant:
        """Grants permission to start a run. For example: ``workflow.grant_start_execution(function)``.

        Args:
            grantee: The principal, for example a function.
        """
        return self.state_machine.grant_start_execution(grantee)

    def grant_read_segments(self, grantee: iam.IGrantable) -> iam.Grant:
        """Grants permission to list and read the segments of all audiences and runs.

        The grant covers the folders of all audiences in `output_prefix`, including the audiences of the stack's other
        workflows with the same storage and `output_prefix`. For example: ``workflow.grant_read_segments(function)``.

        Args:
            grantee: The principal, for example a function.
        """
        return self.storage.segment_access.grant_read(grantee, self._output_folders, self._listed)

    def set_table(self, settings: TableSettings) -> None:
        """Configures the workflow to register its segments as partitions of a table.

        :meta private:
        """
        self._settings["Table"] = settings
        self._provider.describe_needs.allow_table(settings["Database"], settings["Table"])

    @property
    def _output_folders(self) -> str:
        # The wildcard of the run also covers the shared folder of an audience with several jobs.
        return f"{self.output_prefix}audience=*/run=*/{self._provider.names.pattern}/"

    @property
    def _listed(self) -> str:
        return f"{self.output_prefix}audience="

    def _allow_input(self, bound: BoundAudiences) -> None:
        """Grants the permissions to start jobs, and adds the input to the settings."""
        needs, storage, settings = self._provider.start_needs, self.storage, self._settings
        needs.allow_derived_jobs()
        needs.allow_pass_role(storage.role_arn)
        for filter_arn in bound.filters:
            needs.allow_filter(filter_arn)
        for existing in bound.existing:
            if storage.stack is not self._provider.stack:
                job_arguments.check_stacks(existing, storage, self._provider.stack, "segment_input")
            existing.allow(storage, needs)
        if bound.filters:
            settings["Filters"] = bound.filters
        if bound.inputs:
            settings["Inputs"] = bound.inputs
        if bound.queries_asset is None:
            return
        job_arguments.check_locations(storage, None, self.output_prefix)
        info = storage.bucket_info(storage.input_bucket)
        folders = f"{storage.input_prefix}{self._provider.names.pattern}/"
        storage.allow_reading(storage.input_bucket, folders)
        storage.service_access.allow_handler(info, writes=folders)
        settings.update(cast(WorkflowSettings, needs.allow_staging(bound.queries_asset, info, folders)))
        settings["InputBucket"] = info.name
        settings["InputPrefix"] = storage.input_prefix
        if info.key_arn is not None:
            settings["InputKmsKeyArn"] = info.key_arn

    def _allow_output(self, audiences: Sequence[Audience]) -> None:
        """Grants the permissions for the output, and adds its location to the settings."""
        storage, needs = self.storage, self._provider.describe_needs
        info = storage.bucket_info(storage.output_bucket)
        use = BucketUse.of(storage.output_bucket)
        for number, audience in enumerate(audiences):
            use.write_audience(f"audiences[{number}]", audience.name, f"{self._listed}{audience.name}/")
        storage.allow_writing(self._output_folders, self._listed)
        needs.allow_job(self._provider.names.pattern)
        needs.allow_reading_output(info, f"{self._listed}*", self._output_folders)
        storage.service_access.allow_handler(info, reads=f"{self._listed}*")
        storage.service_access.allow_results(info, self._results_prefix)
        self._settings["OutputPath"] = f"s3://{info.name}/{self.output_prefix}"
        if info.key_arn is not None:
            self._settings["OutputKmsKeyArn"] = info.key_arn

    @property
    def _results_prefix(self) -> str:
        # Athena ignores a folder whose name starts with an underscore.
        return f"{self.output_prefix}_runs/{self.workflow_name}/"

    def _new_machine(self, bound: BoundAudiences, max_concurrency: int) -> machines.Machine:
        facts = StackFacts.of(self)
        asset = bound.manifest_asset
        bucket, key = asset.s3_bucket_name, asset.s3_object_key
        asset_key = self._provider.start_needs.key_of(asset)
        info = self.storage.bucket_info(self.storage.output_bucket)
        functions = self._provider.workflow_functions.both
        options = state_machine.MapOptions(bucket, key, info.name, self._results_prefix.rstrip("/"), max_concurrency)

        def definition() -> dict[str, Any]:
            return state_machine.workflow(functions, self._rendered_settings(), options)

        def statements(name: str) -> Statements:
            invoked, bus = [functions.start, functions.describe], of_workflows.default_bus(facts)
            yield from of_workflows.publisher(invoked, bus, is_traced=self._provider.tracing)
            yield from of_workflows.distributed_map(facts, name, state_machine.LABEL)
            yield from of_workflows.manifest(facts, bucket, key, asset_key)
            yield from of_workflows.map_results(info, self._results_prefix, facts.region)

        return machines.new_machine(
            self,
            "StateMachine",
            facts,
            definition=definition,
            statements=statements,
            description="Allows the state machine to refresh user segments of Amazon Personalize",
            is_traced=self._provider.tracing,
        )

    def _rendered_settings(self) -> WorkflowSettings:
        if self._tag_manager is None:
            return self._settings
        tags = self._tag_manager.rendered_tags
        # Not the resolved tags: their values can be tokens.
        return {**self._settings, "Tags": tags} if cdk.Stack.of(self).resolve(tags) else self._settings

    def _new_tag_manager(self) -> cdk.TagManager:
        return tagging.new_tag_manager_of_workflow(
            self, self._tags, self._tags_of_audiences, self._provider.allow_tagging_of_workflow
        )


def _input_bucket(audiences: Sequence[Audience]) -> s3.IBucket | None:
    """Returns the first audience's bucket if all queries are in S3, so that a new storage creates no input bucket."""
    existing = [audience.segment_input.existing for audience in audiences]
    return None if None in existing or existing[0] is None else existing[0].bucket
