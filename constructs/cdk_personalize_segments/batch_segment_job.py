"""The construct: a batch segment job of Amazon Personalize as a resource of a stack."""

from collections.abc import Mapping, Sequence
from typing import Any

import aws_cdk as cdk
import aws_cdk.aws_cloudwatch as cloudwatch
import aws_cdk.aws_events as events
import aws_cdk.aws_iam as iam
import aws_cdk.aws_s3 as s3
import jsii
from batch_segment_handler import limits, log
from constructs import Construct, IValidation

from . import naming, validation
from .batch_segment_input import BatchSegmentInput, ExistingInput, StagedInput
from .batch_segment_storage import BatchSegmentStorage, RuleTarget
from .provider import MAX_WAIT, BatchSegmentProvider

RESOURCE_TYPE = "Custom::PersonalizeBatchSegmentJob"


@jsii.implements(cdk.ITaggableV2)
class BatchSegmentJob(Construct):
    """Creates user segments with a batch segment job of Amazon Personalize when the stack is deployed.

    A job runs once. It runs again, as a new job with a new name, when what defines it changes: solution version or
    solution, filter, number of results, input, output location, keys or `trigger`. Nothing else starts one. Jobs can
    neither be stopped nor deleted, so deleting the construct leaves the job's record, and with retained buckets the
    segments, in place.
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
            id: The construct's id; the job's name is derived from its path.
            job_input: The queries, one for each segment.
            solution_version_arn: The solution version that makes the segments, of a USER_SEGMENTATION recipe. Either
                this or `solution_arn` is needed.
            solution_arn: The solution whose latest ACTIVE version is taken when the job is created. A later version
                starts no new job by itself: change `trigger` for that.
            storage: Buckets and service role; can be shared by jobs. Without it the job makes its own
                `BatchSegmentStorage`, with the input's bucket as the input bucket where the input is in S3 already.
            output_prefix: The folder in the output bucket, ending in "/"; segments go to
                ``<output_prefix><job name>/``. Without it the storage's is used.
            filter_arn: The filter applied to the users of each segment. Without it users are not filtered.
            num_results: How many users each segment has at most, 1 to 5,000,000. Without it the service decides, which
                takes 25 (https://docs.aws.amazon.com/personalize/latest/dg/creating-batch-seg-job.html).
            tags: The job's tags, at most 50; ``Tags.of(scope).add(…)`` adds to them. Changed in place.
            job_name: A name of your own, 1 to 63 letters, digits, hyphens and underscores. Names are never freed by
                the service, so that a change of what defines the job then needs a new name as well. Without it the
                name is derived, and a change makes a new job by itself.
            trigger: Any text; when it changes a new job is started though nothing else has changed. Cannot be used
                with ``job_name``.
            wait_for_completion: How long the deployment waits for the job, up to one hour (CloudFormation's own
                limit). The deployment fails when the job fails, and when it is not complete in time. Without it the
                deployment succeeds as soon as the job is created.
            max_query_errors: How many queries may end with an error before the deployment fails, 0 or more; only with
                ``wait_for_completion``. The job is complete and billed all the same. Default: query errors are
                reported by `query_errors` and fail nothing.
            identity: The text from which the job's name is derived in place of the construct's path in the stack. It
                keeps the job when the construct is renamed or moved within its stack. Must be unique in the stack;
                cannot be used with ``job_name``. Default: the construct's path.

        Raises:
            ValueError: A value is not as described; the message names the property, what was got and what was expected.
                Or the stack has so many jobs that the handler's policy does not fit into a role.
            TypeError: A value is of another type.
        """
        super().__init__(scope, id)
        validation.type_of("job_input", job_input, BatchSegmentInput, "one made by BatchSegmentInput.from_…")
        validation.type_of("storage", storage, BatchSegmentStorage | None, "a BatchSegmentStorage")
        validation.type_of("wait_for_completion", wait_for_completion, cdk.Duration | None, "a cdk.Duration")
        validation.type_of("tags", tags, Mapping | None, 'a mapping, {"key": "value"}')
        for key, value in (tags or {}).items():
            validation.type_of(f"tags[{key!r}]", value, str, "text")
        if (solution_version_arn is None) == (solution_arn is None):
            got = "neither" if solution_arn is None else "both"
            raise ValueError(f"solution_version_arn, solution_arn: got {got}, expected one of the two")
        provider = BatchSegmentProvider.of(scope)
        for prop, arn in (
            ("solution_version_arn", solution_version_arn),
            ("solution_arn", solution_arn),
            ("filter_arn", filter_arn),
        ):
            validation.personalize_arn(prop, arn, region=provider.region, account=provider.account)
        validation.num_results(num_results)
        validation.max_query_errors(max_query_errors, waits=wait_for_completion is not None)
        validation.identity(identity, job_name)
        if job_name is not None:
            validation.job_name(job_name)
            if naming.looks_derived(job_name):
                raise ValueError(
                    f"job_name: {validation.shown(job_name)} has the form of a derived name, which the permissions of "
                    "another stack may cover; expected a name without a hash of 8 digits as its second part"
                )
            if trigger is not None:
                raise ValueError(
                    f"trigger: got {validation.shown(trigger)} with job_name {validation.shown(job_name)}, expected "
                    "one of the two: job names cannot be reused, so trigger has no effect together with job_name"
                )
        if wait_for_completion is not None:
            self._check_wait(wait_for_completion)

        existing = job_input.existing
        if existing is not None and storage is not None and storage.stack is not provider.stack:
            self._check_stacks(existing, storage, provider.stack)
        #: The buckets and the service role.
        self.storage: BatchSegmentStorage = storage or BatchSegmentStorage(
            self, "Storage", input_bucket=None if existing is None else existing.bucket
        )
        bound = job_input.bind(self, is_filtered=filter_arn is not None, extension=provider.names.extension)
        if output_prefix is not None:
            self.storage.check_output_prefix(output_prefix)
        output_prefix = output_prefix or self.storage.output_prefix
        self._check_locations(existing, output_prefix)

        name_property: dict[str, Any]
        if job_name is None:
            name_prefix = provider.name_prefix(scope, id, identity)
            names, names_of_stack = f"{name_prefix}-*", provider.names.pattern
            name_property = {"JobNamePrefix": name_prefix}
        else:
            provider.allow_job(job_name)
            names = names_of_stack = job_name
            name_property = {"JobName": job_name}
        definition, properties = self._input_properties(bound, provider, names_of_stack)
        properties |= name_property
        output = self.storage.bucket_info(self.storage.output_bucket)
        # A bucket may be shared, so the permissions cover the folders of the stack's own jobs.
        self.storage.allow_writing(f"{output_prefix}{names_of_stack}/")
        #: Where segments go in the output bucket, as a pattern of the folders that the job's names give.
        self._output_folders = f"{output_prefix}{names}/"
        self.storage.add_folders(f"{output_prefix}{names_of_stack}/")
        self._existing_input = existing
        if solution_version_arn is not None:
            provider.allow_solution_version(solution_version_arn)
            definition["SolutionVersionArn"] = solution_version_arn
        else:
            assert solution_arn is not None
            provider.allow_solution(solution_arn)
            definition["SolutionArn"] = solution_arn
        if filter_arn is not None:
            provider.allow_filter(filter_arn)
            definition["FilterArn"] = filter_arn
        if num_results is not None:
            definition["NumResults"] = num_results
        if trigger is not None:
            definition["Trigger"] = trigger
        if output.key_arn is not None:
            definition["OutputKmsKeyArn"] = output.key_arn
        definition["OutputPath"] = f"s3://{output.name}/{output_prefix}"
        provider.allow_pass_role(self.storage.role_arn)
        properties |= {"RoleArn": self.storage.role_arn, "NewJobIfChanged": definition}
        if wait_for_completion is not None:
            properties["WaitSeconds"] = wait_for_completion.to_seconds()
            provider.allow_reading_output(output, f"{output_prefix}{names_of_stack}/")
            self.storage.allow_handler(self.storage.output_bucket, reads=self._output_folders)
        if max_query_errors is not None:
            properties["MaxQueryErrors"] = max_query_errors

        provider.check_size()
        waits = wait_for_completion is not None
        self._waits = waits
        self._resource = cdk.CustomResource(
            self,
            # CloudFormation rejects a change of ServiceToken, so a waiting job has its own logical ID. On a switch, the
            # new resource adopts the existing job. https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-cloudformation-customresource.html
            "WaitingResource" if waits else "Resource",
            resource_type=RESOURCE_TYPE,
            service_token=provider.service_token(waits=waits),
            properties=properties,
        )
        self._resource.node.add_dependency(*self.storage.policies)
        self._tags = tags
        self._allow_tagging = provider.allow_tagging
        self._tag_manager: cdk.TagManager | None = None
        if tags:
            self._tag_manager = self._new_tag_manager()

    @property
    @jsii.member(jsii_name="cdkTagManager")
    def cdk_tag_manager(self) -> cdk.TagManager:
        """The tags of the job; what ``Tags.of(scope).add(…)`` adds to."""
        if self._tag_manager is None:
            self._tag_manager = self._new_tag_manager()
        return self._tag_manager

    @property
    def batch_segment_job_arn(self) -> str:
        """The ARN of the job, known at deploy."""
        return self._resource.ref

    @property
    def job_name(self) -> str:
        """The name of the job, known at deploy."""
        return self._resource.get_att_string("JobName")

    @property
    def output_uri(self) -> str:
        """Where the segments are, ``s3://<bucket>/<prefix><job name>/``, known at deploy.

        For an input ``part-00000.jsonl`` there is an object ``part-00000.jsonl.out``.
        """
        return self._resource.get_att_string("OutputUri")

    @property
    def status(self) -> str:
        """The job's status as of the deployment: CREATE PENDING of a job that was started just now, ACTIVE of one that
        was waited for, whatever it is of one that was adopted or kept, UNKNOWN where the service could not say.
        """
        return self._resource.get_att_string("Status")

    @property
    def solution_version_arn(self) -> str:
        """The solution version that the job uses, known at deploy; with `solution_arn` the one that was taken."""
        return self._resource.get_att_string("SolutionVersionArn")

    @property
    def query_errors(self) -> str:
        """How many queries the service could not answer, and its words for the first; known at deploy, with
        `wait_for_completion`.

        For example ``none`` or ``2 of 1,234 queries; the first: …``. They fail neither the job nor the deployment.
        """
        return self._resource.get_att_string("QueryErrors")

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
        """Lets somebody list and read this job's segments, those of its earlier runs included, and nothing else.

        Args:
            grantee: Who, for example a function.
        """
        return self.storage.grant_read(grantee, self._output_folders)

    def grant_put_queries(self, grantee: iam.IGrantable) -> iam.Grant:
        """Lets somebody write this job's input where it is in S3, and nothing else.

        Args:
            grantee: Who, for example a function.

        Raises:
            ValueError: The queries are not in S3 but given in the app.
        """
        if self._existing_input is None:
            raise ValueError(
                "grant_put_queries: the queries are given in the app, expected an input made by from_bucket"
            )
        return self.storage.grant_put(grantee, self._existing_input.bucket, self._existing_input.key_or_prefix)

    def on_segments_written(
        self,
        id: str,
        *,
        target: RuleTarget | None = None,
        description: str | None = None,
        scope: Construct | None = None,
    ) -> events.Rule:
        """Creates an EventBridge rule that matches every segment file that the job writes.

        The event is S3's "Object Created"
        (https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html), with ``detail.bucket.name`` and
        ``detail.object.key``. CloudFormation might create the rule or its target after the job starts. To avoid missing
        events, add a dependency: ``job.node.add_dependency(function)``.

        Args:
            id: The rule's id.
            target: The rule's target. If omitted, call ``add_target`` on the returned rule.
            description: The rule's description.
            scope: The rule's parent. Pass the stack of the target if that is another one: a rule in this stack would
                need the target, and a target that reads the segments needs this stack. Default: the job.
        """
        return self.storage.new_rule(scope or self, id, [self._output_folders], target, description)

    @staticmethod
    def limit_concurrency(jobs: Sequence["BatchSegmentJob"], max_concurrency: int = limits.MAX_JOBS_IN_FLIGHT) -> None:
        """Chains jobs so that a deployment runs only some of them at once.

        Each job depends on the job that stands ``max_concurrency`` places before it. For example, 12 jobs with a limit
        of 5: ``BatchSegmentJob.limit_concurrency(jobs)``.

        Args:
            jobs: The jobs, in the order in which they start. Each needs ``wait_for_completion``; the deployment cannot
                tell otherwise when a job is complete.
            max_concurrency: How many jobs run at once, 1 or more. Default: 5, the service's quota
                (https://docs.aws.amazon.com/personalize/latest/dg/limits.html).

        Raises:
            ValueError: A job does not wait for completion, or the number is not positive.
        """
        validation.max_concurrency(max_concurrency)
        for number, job in enumerate(jobs):
            if not job._waits:
                raise ValueError(
                    f"jobs[{number}]: got the job {job.node.path} without wait_for_completion, expected "
                    "wait_for_completion on every job: the next job starts when it is complete"
                )
        for earlier, later in zip(jobs, jobs[max_concurrency:], strict=False):
            later.node.add_dependency(earlier)

    def metric(self, metric_name: str, **options: Any) -> cloudwatch.Metric:
        """A metric of what the handler decided for this job.

        Args:
            metric_name: ``JobsCreated``, ``JobsAdopted``, ``Retries``, ``QueryErrors`` or ``DeploymentsFailed``.
            **options: Those of `aws_cdk.aws_cloudwatch.MetricOptions`; the statistic is the sum without one.
        """
        resource = self._resource.node.default_child
        assert isinstance(resource, cdk.CfnResource)
        stack_name = cdk.Stack.of(self).stack_name
        return cloudwatch.Metric(
            namespace=log.NAMESPACE,
            metric_name=metric_name,
            dimensions_map={log.STACK: stack_name, log.RESOURCE: resource.logical_id},
            **{"statistic": "Sum", **options},
        )

    def metric_jobs_created(self, **options: Any) -> cloudwatch.Metric:
        """How many jobs were started for this construct, see `metric`."""
        return self.metric(log.METRICS["created"], **options)

    def metric_jobs_adopted(self, **options: Any) -> cloudwatch.Metric:
        """How often a job that was there already was taken, after a redelivered event or a rollback; see `metric`."""
        return self.metric(log.METRICS["adopted"], **options)

    def metric_retries(self, **options: Any) -> cloudwatch.Metric:
        """How often the handler waited for a permission, a limit or the service; see `metric`."""
        return self.metric(log.METRICS["waited"], **options)

    def metric_query_errors(self, **options: Any) -> cloudwatch.Metric:
        """How many queries of complete jobs ended with an error, with `wait_for_completion`; see `metric`."""
        return self.metric(log.METRICS["output read"], **options)

    def metric_deployments_failed(self, **options: Any) -> cloudwatch.Metric:
        """How often a deployment failed because of this job, see `metric`."""
        return self.metric(log.METRICS["failed"], **options)

    def _new_tag_manager(self) -> cdk.TagManager:
        # Only for a job that is tagged: a third of what a further job costs at synth would be for tags.
        tag_manager = cdk.TagManager(
            cdk.TagType.STANDARD,
            RESOURCE_TYPE,
            [cdk.CfnTag(key=key, value=value) for key, value in (self._tags or {}).items()],
        )
        resource = self._resource.node.default_child
        assert isinstance(resource, cdk.CfnResource)
        resource.add_property_override("Tags", tag_manager.rendered_tags)
        self._allow_tagging(tag_manager.rendered_tags)
        self.node.add_validation(_Tags(self, tag_manager))
        return tag_manager

    def _input_properties(
        self, bound: StagedInput | ExistingInput, provider: BatchSegmentProvider, names_of_stack: str
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """The properties of the input that define the job, and the others."""
        storage = self.storage
        if isinstance(bound, ExistingInput):
            info = storage.bucket_info(bound.bucket)
            path = f"s3://{info.name}/{bound.key_or_prefix}"
            validation.s3_path("job_input", path)
            storage.allow_reading(bound.bucket, bound.key_or_prefix)
            definition: dict[str, Any] = {"InputPath": path}
            properties: dict[str, Any] = {}
            if bound.validate:
                properties["ValidateInput"] = "true"
                provider.allow_reading_input(info, bound.key_or_prefix)
                storage.allow_handler(bound.bucket, reads=bound.key_or_prefix)
        else:
            info = storage.bucket_info(storage.input_bucket)
            folders = f"{storage.input_prefix}{names_of_stack}/"
            storage.allow_reading(storage.input_bucket, folders)
            storage.allow_handler(storage.input_bucket, writes=folders)
            properties = provider.allow_staging(bound.asset, info, folders)
            properties["Queries"] = bound.summary
            if bound.is_inline:
                properties["InputIsInline"] = "true"
            definition = {
                "AssetHash": bound.asset.asset_hash,
                "InputBucket": info.name,
                "InputPrefix": storage.input_prefix,
            }
        if bound.queries_per_file is not None:
            properties["QueriesPerFile"] = bound.queries_per_file
        if info.key_arn is not None:
            definition["InputKmsKeyArn"] = info.key_arn
        return definition, properties

    def _check_locations(self, existing: ExistingInput | None, output_prefix: str) -> None:
        if existing is None:
            location, bucket, prop = self.storage.input_prefix, self.storage.input_bucket, "input_prefix"
        else:
            location, bucket, prop = existing.key_or_prefix, existing.bucket, "job_input"
        self.storage.check_no_overlap(bucket, location, prop, output_prefix, "output_prefix")

    @staticmethod
    def _check_stacks(existing: ExistingInput, storage: BatchSegmentStorage, stack: cdk.Stack) -> None:
        # The role of the storage would need the bucket, and the job in the bucket's stack the role.
        if isinstance(existing.bucket, s3.Bucket) and existing.bucket.stack is stack:
            raise ValueError(
                f"job_input: got a bucket of the stack {stack.node.path} with a storage of {storage.stack.node.path}; "
                "expected both in one stack, or the bucket in the storage's: each stack would need the other first"
            )

    @staticmethod
    def _check_wait(wait: cdk.Duration) -> None:
        if not 0 < wait.to_seconds() <= MAX_WAIT.to_seconds():
            raise ValueError(
                f"wait_for_completion: got {wait.to_human_string()}, expected more than nothing and at most "
                f"{MAX_WAIT.to_human_string()}, which is how long CloudFormation waits for a custom resource"
            )


@jsii.implements(IValidation)
class _Tags:
    """The service's rules for tags, checked when all of them are known."""

    def __init__(self, job: BatchSegmentJob, tag_manager: cdk.TagManager) -> None:
        self._job = job
        self._tag_manager = tag_manager

    def validate(self) -> list[str]:
        rendered = cdk.Stack.of(self._job).resolve(self._tag_manager.rendered_tags) or []
        return validation.tags([(tag["key"], tag["value"]) for tag in rendered])
