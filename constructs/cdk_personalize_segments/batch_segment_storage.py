"""Where a job's queries and segments are kept, and the role in which Personalize reads and writes them."""

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

import aws_cdk as cdk
import aws_cdk.aws_events as events
import aws_cdk.aws_iam as iam
import aws_cdk.aws_kms as kms
import aws_cdk.aws_s3 as s3
import jsii
from batch_segment_handler import limits
from constructs import Construct, IConstruct, IDependable, IValidation

from . import validation
from .naming import StackFacts

_SERVICE = "personalize.amazonaws.com"
#: https://docs.aws.amazon.com/personalize/latest/dg/granting-personalize-key-access.html
_KEY_ACTIONS_OF_ROLE = ["kms:Decrypt", "kms:GenerateDataKey", "kms:DescribeKey", "kms:ListGrants"]
_KEY_ACTIONS_OF_SERVICE = [*_KEY_ACTIONS_OF_ROLE, "kms:CreateGrant"]
# What the handler puts behind the job's folder of an input path: "<12 hex of the content>-<queries per file>/".
_MAX_SPLIT_LENGTH = 12 + len(f"-{limits.MAX_RECORDS}/")


class RuleTarget(Protocol):
    """A target of an EventBridge rule, such as `aws_events_targets.LambdaFunction`.

    To pyright, CDK's own targets are no `aws_events.IRuleTarget`, since they name the second parameter ``_id``.
    """

    def bind(self, rule: Any, id: str | None = None, /) -> events.RuleTargetConfig:
        """Returns the target's part of the rule. Called by CDK."""
        ...


@dataclass(frozen=True)
class BucketInfo:
    """Bucket attributes, read once and cached: in Python every jsii property access is a call to another process."""

    name: str
    arn: str
    key: kms.IKey | None
    key_arn: str | None
    #: The account, where the bucket is known to be of the stack's own.
    account: str | None
    #: Whether the bucket is imported with another account than the stack's.
    is_foreign: bool


class BatchSegmentStorage(Construct):
    """The input bucket, the output bucket and the service role of one or more batch segment jobs.

    Personalize needs the same permissions twice, in the role's policy and in the policies of the buckets
    (https://docs.aws.amazon.com/personalize/latest/dg/granting-personalize-s3-access.html). Both are written out for
    the prefixes that jobs use and for nothing else; they arrive with the first job that uses them.

    New buckets are encrypted, refuse plain HTTP and public access, and stay when the stack is deleted.
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
        """Makes what is not brought along.

        Args:
            scope: The parent construct.
            id: The construct's id.
            input_bucket: The bucket that inline and local queries are written to. Without it a bucket is made.
            output_bucket: The bucket that segments are written to; may be the input bucket. Without it a bucket is
                made.
            input_prefix: The folder in the input bucket, ending in "/". A job's queries go to
                ``<input_prefix><job name>/``.
            output_prefix: The folder in the output bucket, ending in "/". A job's segments go to
                ``<output_prefix><job name>/``.
            role: The role that Personalize assumes. It must trust ``personalize.amazonaws.com``; permissions are
                added to it. Without it a role is made that trusts the service for this account and region only.
            encryption_key: The KMS key of the buckets that are made (SSE-KMS with bucket keys), and the key named in
                the job's input and output. Without it new buckets use SSE-S3, and a bucket brought along uses its own
                key.
            removal_policy: What becomes of the buckets that are made when the stack is deleted.
            auto_delete_objects: Whether the objects in the buckets that are made are deleted with them, by CDK's custom
                resource for it; only with `RemovalPolicy.DESTROY`. Without it CloudFormation refuses to delete a
                bucket that is not empty.
            versioned: Whether the buckets that are made keep old versions of objects. Jobs never overwrite an object.
            server_access_logs_bucket: Where S3 logs the requests to the buckets that are made, under
                ``<id of the bucket's construct>/``. Without it requests are not logged.
            strict_conditions: Requires ``aws:SourceAccount`` and ``aws:SourceArn`` in the policies of the buckets and
                the key, and ``s3:prefix`` to list the buckets. The Personalize guide does not document which condition
                keys its calls carry
                (https://docs.aws.amazon.com/personalize/latest/dg/granting-personalize-s3-access.html), and these
                conditions have not been tested against the real service. If a key is missing, every job fails. Test in
                a non-production account first (``make verify-account``). Default: ``aws:SourceAccount`` must match
                where a call carries it, and the other keys are not checked.

        Raises:
            ValueError: A prefix does not end in "/", input and output prefixes overlap in one bucket, or
                `auto_delete_objects` is set for buckets that stay.
        """
        super().__init__(scope, id)
        if auto_delete_objects and removal_policy != cdk.RemovalPolicy.DESTROY:
            raise ValueError(
                f"auto_delete_objects: got True with removal_policy {removal_policy.name}, "
                "expected RemovalPolicy.DESTROY"
            )
        validation.prefix("input_prefix", input_prefix)
        if encryption_key is not None:
            validation.key("encryption_key", encryption_key)
        #: The folder of the input bucket that staged queries are written to.
        self.input_prefix: str = input_prefix
        #: The folder of the output bucket that jobs write to, unless the job says otherwise.
        self.output_prefix: str = output_prefix
        self._encryption_key = encryption_key
        facts = StackFacts.of(scope)
        #: The stack that the storage is in.
        self.stack: cdk.Stack = facts.stack
        self._account = facts.account
        self._strict = strict_conditions
        # https://docs.aws.amazon.com/personalize/latest/dg/cross-service-confused-deputy-prevention.html
        self._source: dict[str, dict[str, str]] = {
            "StringEquals": {"aws:SourceAccount": self._account},
            "ArnLike": {"aws:SourceArn": f"arn:{facts.partition}:personalize:{facts.region}:{facts.account}:*"},
        }
        # Whether Personalize sends the key is not documented, so a call without it is not denied.
        self._resource_conditions: dict[str, dict[str, str]] = (
            self._source if strict_conditions else {"StringEqualsIfExists": {"aws:SourceAccount": self._account}}
        )
        self._versioned = versioned
        self._auto_delete = auto_delete_objects
        self._has_events = False
        # What the grants and rules of the whole storage cover, and these grants and rules.
        self._folders: dict[str, None] = {f"{output_prefix}{facts.names.pattern}/": None}
        self._readers: list[tuple[list[iam.PolicyStatement], list[iam.PolicyStatement]]] = []
        self._grants_to_others: list[tuple[iam.IGrantable, s3.IBucket, Iterable[str]]] = []
        self._rules: list[events.Rule] = []
        self._created_buckets: list[s3.IBucket] = []
        self._access_logs = server_access_logs_bucket
        #: The bucket that inline and local queries are written to.
        self.input_bucket: s3.IBucket = input_bucket or self._new_bucket("InputBucket", removal_policy)
        #: The bucket that segments are written to.
        self.output_bucket: s3.IBucket = output_bucket or self._new_bucket("OutputBucket", removal_policy)

        #: The role that Personalize assumes.
        self.role: iam.IRole = role or self._new_role()
        #: The ARN of that role.
        self.role_arn: str = self.role.role_arn
        if role is not None:
            self._check_role(role, makes_buckets=input_bucket is None or output_bucket is None)
        self._service = iam.ServicePrincipal(_SERVICE)
        self._bucket_infos: dict[s3.IBucket, BucketInfo] = {}
        self._grants: dict[tuple[s3.IBucket, str], _Grant] = {}
        # Maps each bucket, role or key to its policy. None means that the policy cannot be modified (an imported
        # resource). Decided when the first statement is added.
        self._policies: dict[object, IDependable | None] = {}
        # Statements that the user must add, by warning id and resource.
        self._unattached: dict[tuple[str, str], list[iam.PolicyStatement]] = {}
        self.check_no_overlap(self.input_bucket, input_prefix, "input_prefix", output_prefix, "output_prefix")
        input_name = self.bucket_info(self.input_bucket).name
        validation.folder_of_jobs("input_prefix", input_name, input_prefix, more=_MAX_SPLIT_LENGTH)
        self.check_output_prefix(output_prefix)

    def check_output_prefix(self, prefix: str) -> None:
        """Checks a folder in the output bucket that segments go to.

        :meta private:

        Raises:
            ValueError: It is none, or too long for the service.
        """
        validation.prefix("output_prefix", prefix)
        validation.folder_of_jobs("output_prefix", self.bucket_info(self.output_bucket).name, prefix)

    def allow_reading(self, bucket: s3.IBucket, key_or_prefix: str) -> None:
        """Lets Personalize read the input at a key or under a prefix.

        :meta private:

        Args:
            bucket: The bucket of the input.
            key_or_prefix: An object's key, or a prefix ending in "/".
        """
        self._allow(bucket, "s3:GetObject", key_or_prefix)

    def allow_writing(self, output_prefix: str) -> None:
        """Lets Personalize write segments under a prefix of the output bucket.

        :meta private:

        Args:
            output_prefix: The prefix, ending in "/".
        """
        self._allow(self.output_bucket, "s3:PutObject", output_prefix)

    def bucket_info(self, bucket: s3.IBucket) -> BucketInfo:
        """Name, ARN and key of a bucket that a job reads or writes.

        :meta private:
        """
        if bucket not in self._bucket_infos:
            made_here = bucket in self._created_buckets
            key = self._encryption_key if made_here else bucket.encryption_key or self._encryption_key
            account: str | None = self._account
            is_foreign = False
            if not made_here:
                place = bucket.env
                validation.region("bucket", place.region, self.stack.region)
                is_foreign = place.account != account
                # An imported bucket can belong to any account. CDK assumes the stack's account, so do not rely on it.
                account = account if isinstance(bucket, s3.Bucket) and not is_foreign else None
            self._bucket_infos[bucket] = BucketInfo(
                bucket.bucket_name, bucket.bucket_arn, key, None if key is None else key.key_arn, account, is_foreign
            )
        return self._bucket_infos[bucket]

    def grant_read_segments(self, grantee: iam.IGrantable) -> iam.Grant:
        """Grants permission to list and read the segments of all jobs on this storage.

        Jobs that are added to the storage later are included. Segments that jobs of other apps write to the same bucket
        are not.

        Args:
            grantee: The principal, for example a function.
        """
        listing, reading = self._read_grants(grantee, [*self._folders])
        self._grants_to_others.append((grantee, self.output_bucket, self._folders))
        self._readers.append(([*listing.principal_statements], [*reading.principal_statements]))
        self._readers.append(([*listing.resource_statements], [*reading.resource_statements]))
        return self._with_key(listing.combine(reading), grantee)

    def grant_read(self, grantee: iam.IGrantable, folders: str) -> iam.Grant:
        """Grants permission to list and read segments.

        :meta private:

        Args:
            grantee: The principal.
            folders: The folder in the output bucket, or a pattern of folders, ending in "/".
        """
        listing, reading = self._read_grants(grantee, [folders])
        self._grants_to_others.append((grantee, self.output_bucket, [folders]))
        return self._with_key(listing.combine(reading), grantee)

    def _read_grants(self, grantee: iam.IGrantable, folders: list[str]) -> tuple[iam.Grant, iam.Grant]:
        bucket, info = self.output_bucket, self.bucket_info(self.output_bucket)
        listing = iam.Grant.add_to_principal_or_resource(
            grantee=grantee,
            actions=["s3:ListBucket"],
            resource_arns=[info.arn],
            resource=bucket,
            conditions={"StringLike": {"s3:prefix": [f"{folder}*" for folder in folders]}},
        )
        objects = [f"{info.arn}/{folder}*" for folder in folders]
        reading = iam.Grant.add_to_principal_or_resource(
            grantee=grantee, actions=["s3:GetObject"], resource_arns=objects, resource=bucket
        )
        return listing, reading

    def _with_key(self, granted: iam.Grant, grantee: iam.IGrantable) -> iam.Grant:
        key = self.bucket_info(self.output_bucket).key
        return granted if key is None else granted.combine(key.grant(grantee, "kms:Decrypt"))

    def on_segments_written(
        self,
        id: str,
        *,
        target: RuleTarget | None = None,
        description: str | None = None,
        scope: Construct | None = None,
    ) -> events.Rule:
        """Creates an EventBridge rule that matches every segment file that a job on this storage writes.

        Jobs that are added to the storage later are included. The event is S3's "Object Created"
        (https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html).

        Args:
            id: The rule's id.
            target: The rule's target. If omitted, call ``add_target`` on the returned rule.
            description: The rule's description.
            scope: The rule's parent. Pass the stack of the target if that is another one: a rule in this stack would
                need the target, and a target that reads the segments needs this stack. Default: the storage.
        """
        rule = self.new_rule(scope or self, id, [*self._folders], target, description)
        self._rules.append(rule)
        return rule

    def new_rule(
        self,
        scope: Construct,
        id: str,
        folders: Sequence[str],
        target: RuleTarget | None,
        description: str | None,
    ) -> events.Rule:
        """Creates a rule for the segments in folders of the output bucket.

        :meta private:
        """
        self.enable_event_bridge()
        return events.Rule(
            scope,
            id,
            description=description,
            targets=None if target is None else [cast(events.IRuleTarget, target)],
            event_pattern=events.EventPattern(
                source=["aws.s3"],
                detail_type=["Object Created"],
                detail={
                    "bucket": {"name": [self.bucket_info(self.output_bucket).name]},
                    "object": {"key": _segment_files(folders)},
                },
            ),
        )

    def add_folders(self, folders: str) -> None:
        """Adds the folders of a job to those that readers and rules of the whole storage cover.

        :meta private:

        Args:
            folders: A pattern of folders in the output bucket, ending in "/".
        """
        if folders in self._folders:
            return
        self._folders[folders] = None
        for listings, readings in self._readers:
            for statement in listings:
                statement.add_condition("StringLike", {"s3:prefix": [f"{folder}*" for folder in self._folders]})
            for statement in readings:
                statement.add_resources(f"{self.bucket_info(self.output_bucket).arn}/{folders}*")
        for rule in self._rules:
            rule.add_event_pattern(detail={"object": {"key": _segment_files([folders])}})

    def allow_handler(self, bucket: s3.IBucket, *, reads: str | None = None, writes: str | None = None) -> None:
        """Lists the statements that the handler needs in the policies of a bucket, and key, of another account.

        In its own account the handler's policy is enough.

        :meta private:

        Args:
            bucket: The bucket.
            reads: The key or prefix that the handler lists and reads.
            writes: The prefix that the handler writes to.
        """
        info = self.bucket_info(bucket)
        if not info.is_foreign:
            return
        account = iam.AccountPrincipal(self._account)

        def record(id: str, owner: str, actions: list[str], resource: str, **conditions: Any) -> None:
            statement = iam.PolicyStatement(
                principals=[account], actions=actions, resources=[resource], conditions=conditions
            )
            self._record_unattached(id, owner, statement)

        owner = f"the bucket {info.name}"
        if reads is not None:
            record("bucketPolicy", owner, ["s3:ListBucket"], info.arn, StringLike={"s3:prefix": reads})
            record("bucketPolicy", owner, ["s3:GetObject"], f"{info.arn}/{object_pattern(reads)}")
        if writes is not None:
            record("bucketPolicy", owner, ["s3:PutObject"], f"{info.arn}/{writes}*")
        if info.key_arn is not None:
            actions = ["kms:Decrypt"] if writes is None else ["kms:GenerateDataKey", "kms:Decrypt"]
            record("keyPolicy", f"the key {info.key_arn}", actions, "*")

    def grant_put(self, grantee: iam.IGrantable, bucket: s3.IBucket, key_or_prefix: str) -> iam.Grant:
        """Grants permission to upload queries.

        :meta private:

        Args:
            grantee: The principal.
            bucket: The bucket of the input.
            key_or_prefix: An object's key, or a prefix ending in "/".
        """
        facts = self.bucket_info(bucket)
        self._grants_to_others.append((grantee, bucket, [key_or_prefix]))
        granted = iam.Grant.add_to_principal_or_resource(
            grantee=grantee,
            actions=["s3:PutObject"],
            resource_arns=[f"{facts.arn}/{object_pattern(key_or_prefix)}"],
            resource=bucket,
        )
        if facts.key is None:
            return granted
        # https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingKMSEncryption.html: Decrypt is for the parts of a
        # multipart upload.
        return granted.combine(facts.key.grant(grantee, "kms:GenerateDataKey", "kms:Decrypt"))

    def granted_objects(self) -> Iterator[tuple[iam.IGrantable, list[str]]]:
        """Who may read and write which objects in S3: the service role, and the app's own readers and writers.

        :meta private:
        """
        for grant in self._grants.values():
            yield self.role, [*grant.resources]
        for grantee, bucket, locations in self._grants_to_others:
            arn = self.bucket_info(bucket).arn
            yield grantee, [f"{arn}/{object_pattern(location)}" for location in locations]

    def enable_event_bridge(self) -> None:
        """Sends the output bucket's events to EventBridge.

        :meta private:
        """
        if self._has_events:
            return
        self._has_events = True
        bucket = self.output_bucket
        cfn_bucket = bucket.node.default_child
        if bucket in self._created_buckets and isinstance(cfn_bucket, s3.CfnBucket):
            # The bucket is created here: its property can be set without CDK's BucketNotificationsHandler.
            cfn_bucket.notification_configuration = s3.CfnBucket.NotificationConfigurationProperty(
                event_bridge_configuration=s3.CfnBucket.EventBridgeConfigurationProperty(event_bridge_enabled=True)
            )
            cdk.Aspects.of(bucket).add(_KeepEventBridgeEnabled(bucket))
        else:
            bucket.enable_event_bridge_notification()

    @property
    def policies(self) -> list[IDependable]:
        """The policies that must be in place before a job is created.

        :meta private:
        """
        return [policy for policy in self._policies.values() if policy is not None]

    def check_no_overlap(
        self, bucket: s3.IBucket, location: str, prop: str, output_prefix: str, output_prop: str
    ) -> None:
        """Checks that the output is not written where the input is read.

        :meta private:

        https://docs.aws.amazon.com/personalize/latest/dg/error-messages.html: the output has to be at a different
        location, a folder or a bucket, from the input.

        Raises:
            ValueError: The output lies inside the input, or the input inside the output, of one bucket.
        """
        overlap = output_prefix.startswith(location) or location.startswith(output_prefix)
        if not overlap or validation.is_token(location) or validation.is_token(output_prefix):
            return
        if bucket is self.output_bucket or self.bucket_info(bucket).name == self.bucket_info(self.output_bucket).name:
            raise ValueError(
                f"{output_prop}: got {validation.shown(output_prefix)}, expected a prefix outside of {prop}, "
                f"{validation.shown(location)}, in the same bucket: Personalize would read its own output as input"
            )

    def _allow(self, bucket: s3.IBucket, action: str, location: str) -> None:
        facts = self.bucket_info(bucket)
        is_first = (bucket, "s3:ListBucket") not in self._grants
        self._grant(bucket, "s3:ListBucket", facts.arn, prefix=location)
        if is_first:
            self._allow_key(facts)
        self._grant(bucket, action, f"{facts.arn}/{object_pattern(location)}")

    def _grant(self, bucket: s3.IBucket, action: str, resource: str, prefix: str | None = None) -> None:
        grant = self._grants.get((bucket, action))
        if grant is not None:
            grant.add(resource, prefix)
            return
        account = self.bucket_info(bucket).account
        grant = self._grants[bucket, action] = _Grant(
            self._service,
            action,
            resource,
            # The account of the resource, and not of the caller: nothing about how Personalize calls matters.
            role_conditions={} if account is None else {"StringEquals": {"aws:ResourceAccount": account}},
            bucket_conditions=self._resource_conditions,
            prefixes=[prefix] if self._strict and prefix is not None else None,
        )
        self._add_to_role(grant.role_statement)
        policy = self._policies.get(bucket)
        if isinstance(policy, s3.BucketPolicy):
            # Without the result, each part of which is another call.
            policy.document.add_statements(grant.bucket_statement)
            return
        result = bucket.add_to_resource_policy(grant.bucket_statement)
        if bucket not in self._policies:
            self._policies[bucket] = result.policy_dependable if result.statement_added else None
        if self._policies[bucket] is None:
            self._record_unattached(
                "bucketPolicy", f"the bucket {self.bucket_info(bucket).name}", grant.bucket_statement
            )

    def _add_to_role(self, statement: iam.PolicyStatement) -> None:
        if self._policies.get(self.role) is not None and isinstance(self.role, iam.Role):
            # The policy is already known. `add_to_policy` saves the two jsii calls that `add_to_principal_policy` needs
            # for its result.
            self.role.add_to_policy(statement)
            return
        result = self.role.add_to_principal_policy(statement)
        if self.role not in self._policies:
            # An imported immutable role reports `statement_added=True` although nothing was added. A mutable role has a
            # child named "Policy".
            was_added = isinstance(self.role, iam.Role) or self.role.node.try_find_child("Policy") is not None
            self._policies[self.role] = result.policy_dependable if was_added else None
        if self._policies[self.role] is None:
            self._record_unattached("rolePolicy", f"the role {self.role_arn}", statement)

    def _allow_key(self, facts: BucketInfo) -> None:
        key = facts.key
        if key is None or facts.key_arn is None or key in self._policies:
            return
        validation.key("encryption_key", key)
        self._add_to_role(iam.PolicyStatement(actions=_KEY_ACTIONS_OF_ROLE, resources=[facts.key_arn]))
        in_same_stack = cdk.Stack.of(key) is cdk.Stack.of(self.role)
        # A key of another stack cannot name a role of this one, which names the key. Its account lets the role's own
        # policy decide: https://docs.aws.amazon.com/kms/latest/developerguide/key-policy-default.html
        role = iam.ArnPrincipal(self.role_arn) if in_same_stack else iam.AccountPrincipal(self._account)
        for principal, conditions in ((self._service, self._resource_conditions), (role, {})):
            statement = iam.PolicyStatement(
                principals=[principal], actions=_KEY_ACTIONS_OF_SERVICE, resources=["*"], conditions=conditions
            )
            # A key's policy is part of the key.
            added = key.add_to_resource_policy(statement).statement_added
            self._policies[key] = key if added else None
            if not added:
                self._record_unattached("keyPolicy", f"the key {facts.key_arn}", statement)

    def _record_unattached(self, id: str, what: str, *statements: iam.PolicyStatement) -> None:
        if not self._unattached:
            self.node.add_validation(_UnattachedStatements(self._warn))
        self._unattached.setdefault((id, what), []).extend(statements)

    def _warn(self) -> None:
        for (id, what), statements in self._unattached.items():
            listed = validation.pasteable(self.stack, [statement.to_statement_json() for statement in statements])
            cdk.Annotations.of(self).add_warning_v2(
                f"{validation.WARNING}:{id}",
                f"cannot modify the policy of {what} because it is imported. Add these statements to it so that Amazon "
                f"Personalize and the deployment can access it: {listed}",
            )

    def _check_role(self, role: iam.IRole, *, makes_buckets: bool) -> None:
        if makes_buckets and isinstance(role, iam.Role) and role.stack is not self.stack:
            raise ValueError(
                f"role: got a role of the stack {role.stack.node.path}, expected one of {self.stack.node.path}, or one "
                "imported with iam.Role.from_role_arn: its policy would need the buckets of this stack, and this stack "
                "the role"
            )
        account = self.role_arn.split(":")[4] if not validation.is_token(self.role_arn) else ""
        if account and not validation.is_token(self._account) and account != self._account:
            raise ValueError(
                f"role: got {validation.shown(self.role_arn)}, expected a role of the stack's account {self._account}: "
                "Personalize assumes no role of another"
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
            **self._settings_of_both,
        )
        self._created_buckets.append(bucket)
        return bucket

    @functools.cached_property
    def _settings_of_both(self) -> dict[str, Any]:
        return {
            "block_public_access": s3.BlockPublicAccess.BLOCK_ALL,
            "lifecycle_rules": [s3.LifecycleRule(abort_incomplete_multipart_upload_after=cdk.Duration.days(7))],
        }

    def _new_role(self) -> iam.Role:
        # https://docs.aws.amazon.com/personalize/latest/dg/cross-service-confused-deputy-prevention.html
        return iam.Role(
            self,
            "Role",
            description="Personalize reads queries and writes user segments in this role",
            assumed_by=iam.ServicePrincipal(_SERVICE, conditions=self._source),
        )


@jsii.implements(IValidation)
class _UnattachedStatements:
    """Warns of policies that cannot be modified, when all statements are known."""

    def __init__(self, warn: Callable[[], None]) -> None:
        self._warn = warn

    def validate(self) -> list[str]:
        self._warn()
        return []


@jsii.implements(cdk.IAspect)
class _KeepEventBridgeEnabled:
    """Keeps EventBridge enabled when CDK's BucketNotificationsHandler also manages the bucket."""

    def __init__(self, bucket: s3.IBucket) -> None:
        self._bucket = bucket

    def visit(self, node: IConstruct) -> None:
        if isinstance(node, cdk.CfnResource) and node.cfn_resource_type == "Custom::S3BucketNotifications":
            # The handler's properties are rendered at synthesis, so this still takes effect.
            self._bucket.enable_event_bridge_notification()


def _segment_files(folders: Sequence[str]) -> list[dict[str, str]]:
    # Not "_CHECK", which the service writes beside them.
    return [{"wildcard": f"{folder}*.out"} for folder in folders]


def object_pattern(key_or_prefix: str) -> str:
    """The keys that a location stands for, as policies name them."""
    return f"{key_or_prefix}*" if key_or_prefix.endswith("/") else key_or_prefix


class _Grant:
    """One action on one bucket, in the role's policy and in the bucket's."""

    def __init__(
        self,
        service: iam.ServicePrincipal,
        action: str,
        resource: str,
        *,
        role_conditions: Mapping[str, Any],
        bucket_conditions: Mapping[str, Any],
        prefixes: list[str] | None,
    ) -> None:
        # An ordered set.
        self.resources = {resource: None}
        self._prefixes = prefixes
        self.role_statement = iam.PolicyStatement(actions=[action], resources=[resource], conditions=role_conditions)
        self.bucket_statement = iam.PolicyStatement(
            principals=[service], actions=[action], resources=[resource], conditions=bucket_conditions
        )
        self._limit_prefixes()

    def add(self, resource: str, prefix: str | None) -> None:
        """Extends the statements to one more resource, or to one more prefix that may be listed."""
        if resource not in self.resources:
            self.resources[resource] = None
            self.role_statement.add_resources(resource)
            self.bucket_statement.add_resources(resource)
        if self._prefixes is not None and prefix is not None and prefix not in self._prefixes:
            self._prefixes.append(prefix)
            self._limit_prefixes()

    def _limit_prefixes(self) -> None:
        if self._prefixes is not None:
            # A statement keeps the last condition of an operator and key that it was given.
            for statement in (self.role_statement, self.bucket_statement):
                statement.add_condition("StringLike", {"s3:prefix": [f"{prefix}*" for prefix in self._prefixes]})
