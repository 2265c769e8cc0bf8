"""The construct `BatchSegmentJob`."""

from collections.abc import Mapping, Sequence

import aws_cdk as cdk
import aws_cdk.aws_events as events
import aws_cdk.aws_iam as iam
import aws_cdk.aws_s3 as s3
import jsii
from batch_segment_handler import contract, limits
from constructs import Construct

from . import job_arguments, tagging, validation
from .attributes import JobAttributes
from .batch_segment_input import BatchSegmentInput
from .batch_segment_storage import BatchSegmentStorage
from .job_watch import JobWatch
from .metrics import JobMetrics
from .notifications import JobEvents
from .provider import BatchSegmentProvider
from .segment_access import RuleTarget


@jsii.implements(cdk.ITaggableV2)
class BatchSegmentJob(JobAttributes, JobMetrics, JobEvents):
    """A batch segment job of Amazon Personalize that runs when the stack is deployed.

    A job runs once. Changing its definition starts a new job with a new name. The definition consists of the solution
    version or solution, filter, number of results, input, output location, keys and `trigger`. No other change starts a
    job. Personalize can neither stop nor delete a job, so the job stays in Personalize when you delete the construct.
    The segments stay as well, unless you delete the bucket. For example::

        BatchSegmentJob(
            stack,
            "Job",
            solution_version_arn="arn:aws:personalize:eu-west-1:123456789012:solution/films/0123abcd",
            job_input=BatchSegmentInput.from_queries([SegmentQuery.where(GENRES="Comedy")]),
        )
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        job_input: BatchSegmentInput,
        solution_version_arn: str | None = None,
        solution_arn: str | None = None,
        storage: BatchSegmentStorage | None = None,
        output_prefix: str | None = None,
        filter_arn: str | None = None,
        num_results: int | None = None,
        tags: Mapping[str, str] | None = None,
        job_name: str | None = None,
        trigger: str | None = None,
        wait_for_completion: cdk.Duration | None = None,
        max_query_errors: int | None = None,
        identity: str | None = None,
    ) -> None:
        """Adds the job to the stack.

        Args:
            scope: The parent construct.
            id: The construct's id. The job's name is derived from the construct's path.
            job_input: The queries, one for each segment.
            solution_version_arn: The solution version, of a USER_SEGMENTATION recipe. Pass this or `solution_arn`.
            solution_arn: The solution whose latest ACTIVE version the handler uses when it creates the job. A later
                version does not start a new job: change `trigger` to start one.
            storage: The buckets and the service role. Several jobs can share a storage. Default: a new
                `BatchSegmentStorage` for this job. For input in S3, it uses the input's bucket.
            output_prefix: The folder in the output bucket, ending in "/". Segments go to
                ``<output_prefix><job name>/``. Default: the storage's output prefix.
            filter_arn: The filter that Personalize applies to the users of each segment. Default: no filter.
            num_results: The maximum number of users in a segment, 1 to 5,000,000. Default: the service's default, 25
                (https://docs.aws.amazon.com/personalize/latest/dg/creating-batch-seg-job.html).
            tags: The job's tags, at most 50. ``Tags.of(scope).add(…)`` adds more. A change updates the job in place.
            job_name: An explicit name, 1 to 63 letters, digits, hyphens and underscores. Names cannot be reused, so if
                you change the definition, change the name as well. Default: a derived name.
            trigger: Any text. Changing it starts a new job. Cannot be used with ``job_name``.
            wait_for_completion: How long the deployment waits for the job, at most one hour (CloudFormation's limit).
                The deployment fails if the job fails or takes longer. Default: it succeeds when the job is created.
            max_query_errors: The maximum number of queries that may end with an error, 0 or more. If more do, the
                deployment fails, but the job is complete and is billed. Requires ``wait_for_completion``. Default:
                `query_errors` reports query errors, and they do not fail the deployment.
            identity: The text from which the job's name is derived instead of the construct's path in the stack. It
                keeps the job when you rename the construct or move it within its stack. Requires `storage`, because new
                buckets would change the definition. Must be unique in the stack. Cannot be used with ``job_name``.
                Default: the construct's path.

        Raises:
            ValueError: A value is invalid. The message names the property, the value and the expected value. Also if
                the stack has so many jobs that the handler's policy exceeds the size limit of a role.
            TypeError: A value has the wrong type.
        """
        super().__init__(scope, id)
        provider = BatchSegmentProvider.of(scope)
        job_arguments.check(
            provider,
            job_input=job_input,
            solution_version_arn=solution_version_arn,
            solution_arn=solution_arn,
            storage=storage,
            filter_arn=filter_arn,
            num_results=num_results,
            tags=tags,
            job_name=job_name,
            trigger=trigger,
            wait_for_completion=wait_for_completion,
            max_query_errors=max_query_errors,
            identity=identity,
        )
        existing = job_input.existing
        #: The buckets and the service role.
        self.storage: BatchSegmentStorage = storage or BatchSegmentStorage(
            self, "Storage", input_bucket=None if existing is None else existing.bucket
        )
        bound = job_input.bind(self, is_filtered=filter_arn is not None, extension=provider.names.extension)
        if output_prefix is not None:
            self.storage.check_output_prefix(output_prefix)
        output_prefix = output_prefix or self.storage.output_prefix
        job_arguments.check_locations(self.storage, existing, output_prefix)

        needs = provider.needs
        name: contract.JobSettings
        if job_name is None:
            name_prefix = provider.name_prefix(scope, id, identity)
            names, names_of_stack = f"{name_prefix}-*", provider.names.pattern
            name = {"JobNamePrefix": name_prefix}
        else:
            needs.allow_job(job_name)
            names = names_of_stack = job_name
            name = {"JobName": job_name}
        definition, settings = bound.properties(self.storage, needs, names_of_stack)
        output = self.storage.bucket_info(self.storage.output_bucket)
        # A bucket can be shared, so the permissions cover only the folders of the stack's own jobs.
        output_of_stack = f"{output_prefix}{names_of_stack}/"
        self.storage.allow_writing(output_of_stack)
        # A pattern of the job's folders in the output bucket.
        self._output_folders = f"{output_prefix}{names}/"
        self._existing_input = existing
        if solution_version_arn is not None:
            needs.allow_solution_version(solution_version_arn)
            definition["SolutionVersionArn"] = solution_version_arn
        else:
            assert solution_arn is not None
            needs.allow_solution(solution_arn)
            definition["SolutionArn"] = solution_arn
        if filter_arn is not None:
            needs.allow_filter(filter_arn)
            definition["FilterArn"] = filter_arn
        if num_results is not None:
            definition["NumResults"] = num_results
        if trigger is not None:
            definition["Trigger"] = trigger
        if output.key_arn is not None:
            definition["OutputKmsKeyArn"] = output.key_arn
        definition["OutputPath"] = f"s3://{output.name}/{output_prefix}"
        needs.allow_pass_role(self.storage.role_arn)
        properties: contract.JobProperties = {
            **settings,
            **name,
            "RoleArn": self.storage.role_arn,
            contract.DEFINITION: definition,
        }
        self._waits = wait_for_completion is not None
        if wait_for_completion is not None:
            properties["WaitSeconds"] = wait_for_completion.to_seconds()
            needs.allow_reading_output(output, output_of_stack)
            self.storage.service_access.allow_handler(output, reads=self._output_folders)
        if max_query_errors is not None:
            properties["MaxQueryErrors"] = max_query_errors

        provider.check_size()
        self._resource = cdk.CustomResource(
            self,
            # CloudFormation rejects a change of ServiceToken, so a waiting job has its own logical ID. On a switch, the
            # new resource adopts the existing job. https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-cloudformation-customresource.html
            "WaitingResource" if self._waits else "Resource",
            resource_type=contract.RESOURCE_TYPE,
            service_token=provider.service_token(waits=self._waits),
            properties=properties,
        )
        self._resource.node.add_dependency(*self.storage.service_access.policies)
        self._watch = JobWatch(
            provider,
            self.storage,
            self._resource,
            name=name,
            names_of_stack=names_of_stack,
            output_of_stack=output_of_stack,
        )
        self._tags = tags
        self._allow_tagging = provider.allow_tagging
        self._tag_manager: cdk.TagManager | None = None
        if tags:
            self._tag_manager = self._new_tag_manager()

    @property
    @jsii.member(jsii_name="cdkTagManager")
    def cdk_tag_manager(self) -> cdk.TagManager:
        """The job's tags. ``Tags.of(scope).add(…)`` adds more."""
        if self._tag_manager is None:
            self._tag_manager = self._new_tag_manager()
        return self._tag_manager

    @property
    def input_bucket(self) -> s3.IBucket:
        """The storage's input bucket."""
        return self.storage.input_bucket

    @property
    def output_bucket(self) -> s3.IBucket:
        """The storage's output bucket."""
        return self.storage.output_bucket

    @property
    def role(self) -> iam.IRole:
        """The role that Personalize assumes."""
        return self.storage.role

    def grant_read_segments(self, grantee: iam.IGrantable) -> iam.Grant:
        """Grants permission to list and read the segments of this construct's current and earlier jobs.

        For example: ``job.grant_read_segments(function)``.

        Args:
            grantee: The principal, for example a function.
        """
        return self.storage.segment_access.grant_read(grantee, self._output_folders)

    def grant_put_queries(self, grantee: iam.IGrantable) -> iam.Grant:
        """Grants permission to upload queries to the S3 location that this job reads.

        Only for inputs created with ``from_bucket``. For example: ``job.grant_put_queries(function)``.

        Args:
            grantee: The principal, for example a function.

        Raises:
            ValueError: The queries are part of the app.
        """
        if self._existing_input is None:
            raise ValueError(
                "grant_put_queries: got queries that are part of the app, expected BatchSegmentInput.from_bucket"
            )
        return self.storage.segment_access.grant_put(
            grantee, self._existing_input.bucket, self._existing_input.key_or_prefix
        )

    def on_segments_written(
        self,
        id: str,
        *,
        target: RuleTarget | None = None,
        description: str | None = None,
        scope: Construct | None = None,
    ) -> events.Rule:
        """Creates an EventBridge rule that matches every segment file that the job writes.

        The event is S3's "Object Created" (https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html).
        CloudFormation might create the rule or its target after the job starts. To avoid missing events, add a
        dependency: ``job.node.add_dependency(function)``. For example:
        ``job.on_segments_written("Written", target=targets.LambdaFunction(function))``.

        Args:
            id: The rule's id.
            target: The rule's target. If omitted, call ``add_target`` on the returned rule.
            description: The rule's description.
            scope: The rule's parent. If the target is in another stack, pass that stack to avoid a circular dependency:
                the rule depends on the target, and a target that can read depends on this stack. Default: the job.
        """
        return self.storage.segment_access.new_rule(scope or self, id, [self._output_folders], target, description)

    @staticmethod
    def limit_concurrency(jobs: Sequence["BatchSegmentJob"], max_concurrency: int = limits.MAX_JOBS_IN_FLIGHT) -> None:
        """Adds dependencies between jobs so that a deployment runs a limited number of them at once.

        Job n depends on job n - `max_concurrency`. For example: ``BatchSegmentJob.limit_concurrency(jobs)``.

        Args:
            jobs: The jobs, in the order in which they start. Each job needs ``wait_for_completion``.
            max_concurrency: The maximum number of jobs that run at once, 1 or more. Default: 5, the service's quota
                (https://docs.aws.amazon.com/personalize/latest/dg/limits.html).

        Raises:
            ValueError: A job does not wait for completion, or `max_concurrency` is not a positive whole number.
        """
        validation.check_max_concurrency(max_concurrency)
        for number, job in enumerate(jobs):
            if not job._waits:
                raise ValueError(
                    f"jobs[{number}]: got the job {job.node.path} without wait_for_completion, expected "
                    "wait_for_completion on every job: the next job starts when an earlier one is complete"
                )
        for earlier, later in zip(jobs, jobs[max_concurrency:], strict=False):
            later.node.add_dependency(earlier)

    def _new_tag_manager(self) -> cdk.TagManager:
        # Created lazily: it is about a third of the synth time of each further job.
        return tagging.new_tag_manager(self._resource, self._tags, self._allow_tagging)
