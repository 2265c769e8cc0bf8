"""The construct `BatchSegmentStorage`."""

import functools
from typing import Any, cast

import aws_cdk as cdk
import aws_cdk.aws_events as events
import aws_cdk.aws_iam as iam
import aws_cdk.aws_kms as kms
import aws_cdk.aws_s3 as s3
from batch_segment_handler import limits
from batch_segment_handler.text import quote
from constructs import Construct

from . import locations, validation
from .buckets import BucketInfo
from .naming import StackFacts
from .permissions import of_personalize
from .segment_access import RuleTarget, SegmentAccess
from .service_access import ServiceAccess

# The part of an input path after the job's folder: "<12 hex of the content>-<queries per file>/".
_MAX_SPLIT_LENGTH = 12 + len(f"-{limits.MAX_RECORDS}/")


class BatchSegmentStorage(Construct):
    """The input bucket, the output bucket and the service role of one or more batch segment jobs.

    Personalize needs the same permissions twice, in the role's policy and in the policies of the buckets
    (https://docs.aws.amazon.com/personalize/latest/dg/granting-personalize-s3-access.html). Each job adds the prefixes
    that it uses to both policies.

    New buckets are encrypted, reject plain HTTP and public access, and are retained when you delete the stack. For
    example, to use one KMS key for all data::

        BatchSegmentStorage(stack, "Storage", encryption_key=key)
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        input_bucket: s3.IBucket | None = None,
        output_bucket: s3.IBucket | None = None,
        input_prefix: str = "queries/",
        output_prefix: str = "segments/",
        role: iam.IRole | None = None,
        encryption_key: kms.IKey | None = None,
        removal_policy: cdk.RemovalPolicy = cdk.RemovalPolicy.RETAIN,
        auto_delete_objects: bool = False,
        versioned: bool = False,
        server_access_logs_bucket: s3.IBucket | None = None,
        strict_conditions: bool = False,
    ) -> None:
        """Creates each bucket that you do not pass, and the role unless you pass one.

        Args:
            scope: The parent construct.
            id: The construct's id.
            input_bucket: The bucket for queries that are part of the app. Default: a new bucket.
            output_bucket: The bucket for segments. Can be the same as the input bucket. Default: a new bucket.
            input_prefix: The folder of queries, ending in "/". A job's queries go to ``<input_prefix><job name>/``.
            output_prefix: The folder of segments, ending in "/". A job's segments go to ``<output_prefix><job name>/``.
            role: The role that Personalize assumes. It must trust ``personalize.amazonaws.com``. The library adds
                permissions to it. Default: a new role that trusts the service for this account and region only.
            encryption_key: The KMS key of new buckets (SSE-KMS with bucket keys), and of the job's input and output.
                Default: SSE-S3 for new buckets, and the bucket's own key for an existing bucket.
            removal_policy: The removal policy of new buckets. Default: ``RemovalPolicy.RETAIN``.
            auto_delete_objects: Whether CDK's custom resource empties new buckets before CloudFormation deletes them,
                which it can do only if they are empty. Requires ``RemovalPolicy.DESTROY``. Default: False.
            versioned: Whether new buckets keep old versions of objects. Jobs never overwrite an object. Default: False.
            server_access_logs_bucket: The bucket for the access logs of new buckets, with the prefix
                ``<id of the bucket's construct>/``. Default: no access logs.
            strict_conditions: Whether the policies of the buckets and the key require ``aws:SourceAccount`` and
                ``aws:SourceArn``, and ``s3:prefix`` to list the buckets. The Personalize guide does not document which
                condition keys its calls carry, and these conditions have not been tested against the real service. If
                a key is missing, every job fails. Test in a non-production account first (``make verify-account``).
                Default: False. ``aws:SourceAccount`` must match if a call carries it; other keys are not checked.

        Raises:
            ValueError: A prefix does not end in "/", input and output prefixes overlap in one bucket, or
                `auto_delete_objects` is set without ``RemovalPolicy.DESTROY``.
        """
        super().__init__(scope, id)
        if auto_delete_objects and removal_policy != cdk.RemovalPolicy.DESTROY:
            got = f"True with removal_policy {removal_policy.name}"
            raise ValueError(f"auto_delete_objects: got {got}, expected RemovalPolicy.DESTROY")
        locations.check_prefix("input_prefix", input_prefix)
        if encryption_key is not None:
            validation.check_key("encryption_key", encryption_key)
        #: The folder of the input bucket to which the handler writes queries.
        self.input_prefix: str = input_prefix
        #: The folder of the output bucket to which a job writes segments if it has no output prefix of its own.
        self.output_prefix: str = output_prefix
        self._encryption_key = encryption_key
        facts = StackFacts.of(scope)
        #: The stack of the storage.
        self.stack: cdk.Stack = facts.stack
        self._account = facts.account
        self._source = of_personalize.service_source(facts.partition, facts.region, facts.account)
        self._versioned = versioned
        self._auto_delete = auto_delete_objects
        self._created_buckets: list[s3.IBucket] = []
        self._access_logs = server_access_logs_bucket
        #: The bucket for queries that are part of the app.
        self.input_bucket: s3.IBucket = input_bucket or self._new_bucket("InputBucket", removal_policy)
        #: The bucket for segments.
        self.output_bucket: s3.IBucket = output_bucket or self._new_bucket("OutputBucket", removal_policy)
        #: The role that Personalize assumes.
        self.role: iam.IRole = role or self._new_role()
        #: The ARN of that role.
        self.role_arn: str = self.role.role_arn
        if role is not None:
            self._check_role(role, makes_buckets=input_bucket is None or output_bucket is None)
        self._bucket_infos: dict[s3.IBucket, BucketInfo] = {}
        #: The permissions of Personalize.
        #:
        #: :meta private:
        self.service_access = ServiceAccess(
            self,
            self.role,
            self.role_arn,
            self._account,
            conditions=self._source if strict_conditions else of_personalize.service_source_if_sent(self._account),
            limits_prefixes=strict_conditions,
        )
        #: The grants and rules of the app.
        #:
        #: :meta private:
        self.segment_access = SegmentAccess(
            self.output_bucket,
            self.bucket_info,
            f"{output_prefix}{facts.names.pattern}/",
            is_created=self.output_bucket in self._created_buckets,
        )
        self.check_no_overlap(self.input_bucket, input_prefix, "input_prefix", output_prefix, "output_prefix")
        input_info = self.bucket_info(self.input_bucket)
        locations.check_folder_of_jobs("input_prefix", input_info.name, input_prefix, more=_MAX_SPLIT_LENGTH)
        self.check_output_prefix(output_prefix)

    def check_output_prefix(self, prefix: str) -> None:
        """Checks a folder of segments in the output bucket.

        :meta private:

        Raises:
            ValueError: The prefix is not a folder, or exceeds the service's limit.
        """
        locations.check_prefix("output_prefix", prefix)
        locations.check_folder_of_jobs("output_prefix", self.bucket_info(self.output_bucket).name, prefix)

    def allow_reading(self, bucket: s3.IBucket, key_or_prefix: str) -> None:
        """Grants Personalize permission to read the input at a key, or under a prefix that ends in "/".

        :meta private:
        """
        locations.BucketUse.of(bucket).read(key_or_prefix)
        self.service_access.allow(bucket, self.bucket_info(bucket), "s3:GetObject", key_or_prefix)

    def allow_writing(self, folders: str, listed: str | None = None) -> None:
        """Grants Personalize permission to write to folders of the output bucket, and the storage's readers to read.

        :meta private:

        Args:
            folders: A pattern of folders, ending in "/".
            listed: The start of the prefixes under which readers list the folders. Default: the folders.

        Raises:
            ValueError: The folders overlap the folders of another job.
        """
        locations.BucketUse.of(self.output_bucket).write(folders)
        self.service_access.allow(self.output_bucket, self.bucket_info(self.output_bucket), "s3:PutObject", folders)
        self.segment_access.add_folders(folders, listed)

    def bucket_info(self, bucket: s3.IBucket) -> BucketInfo:
        """Returns the name, ARN and key of a bucket that a job reads or writes.

        :meta private:
        """
        if bucket not in self._bucket_infos:
            made_here = bucket in self._created_buckets
            key = self._encryption_key if made_here else bucket.encryption_key or self._encryption_key
            account, is_foreign = cast(str | None, self._account), False
            if not made_here:
                place = bucket.env
                locations.check_region("bucket", place.region, self.stack.region)
                is_foreign = place.account != account
                # An imported bucket can belong to any account. CDK assumes the stack's account, so do not rely on it.
                account = account if isinstance(bucket, s3.Bucket) and not is_foreign else None
            validation.check_no_wildcards("bucket", name := bucket.bucket_name)
            self._bucket_infos[bucket] = BucketInfo(
                name, bucket.bucket_arn, key, None if key is None else key.key_arn, account, is_foreign
            )
        return self._bucket_infos[bucket]

    def grant_read_segments(self, grantee: iam.IGrantable) -> iam.Grant:
        """Grants permission to list and read the segments of all jobs on this storage, including later jobs.

        Does not cover segments of other apps in the bucket. For example: ``storage.grant_read_segments(function)``.

        Args:
            grantee: The principal, for example a function.
        """
        return self.segment_access.grant_read_all(grantee)

    def on_segments_written(
        self,
        id: str,
        *,
        target: RuleTarget | None = None,
        description: str | None = None,
        scope: Construct | None = None,
    ) -> events.Rule:
        """Creates an EventBridge rule that matches every segment file that a job on this storage writes.

        The rule includes jobs that you add later. The event is described at `BatchSegmentJob.on_segments_written`. For
        example: ``storage.on_segments_written("Written", target=targets.LambdaFunction(function))``.

        Args:
            id: The rule's id.
            target: The rule's target. If omitted, call ``add_target`` on the returned rule.
            description: The rule's description.
            scope: The rule's parent. If the target is in another stack, pass that stack to avoid a circular dependency:
                the rule depends on the target, and a target that can read depends on this stack. Default: the storage.
        """
        return self.segment_access.new_rule_for_all(scope or self, id, target, description)

    def check_no_overlap(
        self, bucket: s3.IBucket, location: str, prop: str, output_prefix: str, output_prop: str
    ) -> None:
        """Checks that the input and output locations of a job do not overlap.

        :meta private:

        https://docs.aws.amazon.com/personalize/latest/dg/error-messages.html: the output has to be at a different
        location, a folder or a bucket, from the input.

        Raises:
            ValueError: Both are in the same bucket, and one location contains the other.
        """
        if not locations.overlap(location, output_prefix):
            return
        if bucket is self.output_bucket or self.bucket_info(bucket).name == self.bucket_info(self.output_bucket).name:
            raise ValueError(
                f"{output_prop}: got {quote(output_prefix)}, expected a prefix outside of {prop}, "
                f"{quote(location)}, in the same bucket: Personalize would read its own output as input"
            )

    def _check_role(self, role: iam.IRole, *, makes_buckets: bool) -> None:
        if makes_buckets and isinstance(role, iam.Role) and role.stack is not self.stack:
            raise ValueError(
                f"role: got a role of the stack {role.stack.node.path}, expected a role of {self.stack.node.path}, or "
                "one imported with iam.Role.from_role_arn, to avoid a circular dependency: the role's policy depends "
                "on the buckets of this stack, and this stack on the role"
            )
        validation.check_no_wildcards("role", self.role_arn)
        account = self.role_arn.split(":")[4] if not validation.is_token(self.role_arn) else ""
        if account and not validation.is_token(self._account) and account != self._account:
            raise ValueError(
                f"role: got {quote(self.role_arn)}, expected a role of the stack's account {self._account}: "
                "Personalize cannot assume a role of another account"
            )

    def _new_bucket(self, id: str, removal_policy: cdk.RemovalPolicy) -> s3.Bucket:
        key = self._encryption_key
        bucket = s3.Bucket(
            self,
            id,
            encryption=s3.BucketEncryption.S3_MANAGED if key is None else s3.BucketEncryption.KMS,
            encryption_key=key,
            bucket_key_enabled=None if key is None else True,
            enforce_ssl=True,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            removal_policy=removal_policy,
            auto_delete_objects=self._auto_delete or None,
            versioned=self._versioned or None,
            server_access_logs_bucket=self._access_logs,
            server_access_logs_prefix=None if self._access_logs is None else f"{id}/",
            **self._options_of_buckets,
        )
        self._created_buckets.append(bucket)
        return bucket

    @functools.cached_property
    def _options_of_buckets(self) -> dict[str, Any]:
        # Created once for both buckets: each value is a jsii call.
        return {
            "block_public_access": s3.BlockPublicAccess.BLOCK_ALL,
            "lifecycle_rules": [s3.LifecycleRule(abort_incomplete_multipart_upload_after=cdk.Duration.days(7))],
        }

    def _new_role(self) -> iam.Role:
        return iam.Role(
            self,
            "Role",
            description="Allows Amazon Personalize to read queries and write user segments",
            assumed_by=iam.ServicePrincipal(of_personalize.SERVICE, conditions=self._source),
        )
