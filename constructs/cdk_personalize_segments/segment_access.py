"""Access of the app's own principals and rules to segments and queries."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol, cast

import aws_cdk as cdk
import aws_cdk.aws_events as events
import aws_cdk.aws_iam as iam
import aws_cdk.aws_s3 as s3
import jsii
from constructs import Construct, IConstruct

from .buckets import BucketInfo, object_pattern
from .permissions import of_personalize, of_readers


class RuleTarget(Protocol):
    """A target of an EventBridge rule, such as `aws_events_targets.LambdaFunction`.

    To pyright, CDK's own targets are no `aws_events.IRuleTarget`, since they name the second parameter ``_id``.
    """

    def bind(self, rule: Any, id: str | None = None, /) -> events.RuleTargetConfig:
        """Returns the target's part of the rule. Called by CDK."""
        ...


class SegmentAccess:
    """The grants and rules of one storage. Those of the whole storage grow with its jobs."""

    def __init__(
        self, bucket: s3.IBucket, info: Callable[[s3.IBucket], BucketInfo], folders: str, *, is_created: bool
    ) -> None:
        """Starts with the folders of the stack's own jobs.

        Args:
            bucket: The output bucket.
            info: Returns the attributes of a bucket.
            folders: A pattern of folders in the output bucket, ending in "/".
            is_created: Whether the storage created the output bucket.
        """
        self._bucket = bucket
        self._info = info
        self._is_created = is_created
        self._folders_of_stack = folders
        # The folders of all jobs, and under which prefix each is listed.
        self._folders: dict[str, str] = {}
        self._readers: list[_Reader] = []
        self._rules: list[events.Rule] = []
        self._granted: list[tuple[iam.IGrantable, s3.IBucket, Iterable[str]]] = []
        self._sends_events = False

    def add_folders(self, folders: str, listed: str | None = None) -> None:
        """Adds the folders of a job to those that grants and rules of the whole storage cover.

        Args:
            folders: A pattern of folders in the output bucket, ending in "/".
            listed: The start of the prefixes under which readers list the folders. Default: the folders.
        """
        if folders in self._folders:
            return
        self._folders[folders] = listed or folders
        for reader in self._readers:
            reader.add(folders, self._folders[folders], f"{self._info(self._bucket).arn}/{folders}*")
        for rule in self._rules:
            rule.add_event_pattern(detail={"object": {"key": _segment_files([folders])}})

    def grant_read_all(self, grantee: iam.IGrantable) -> iam.Grant:
        """Grants permission to list and read the segments of all jobs, those of later jobs included."""
        # Without a job yet, the folders of the stack's own jobs: a statement must name a resource.
        folders = self._folders or {self._folders_of_stack: self._folders_of_stack}
        listing, reading = self._grant_read(grantee, folders)
        self._granted[-1] = (grantee, self._bucket, self._folders)
        self._readers.append(_Reader(dict(folders), listing, reading))
        return of_readers.grant_key(self._info(self._bucket), listing.combine(reading), grantee)

    def grant_read(self, grantee: iam.IGrantable, folders: str, listed: str | None = None) -> iam.Grant:
        """Grants permission to list and read the segments in a folder, or in a pattern of folders, ending in "/".

        Args:
            grantee: The principal.
            folders: The folders.
            listed: The start of the prefixes that may be listed. Default: the folders.
        """
        listing, reading = self._grant_read(grantee, {folders: listed or folders})
        return of_readers.grant_key(self._info(self._bucket), listing.combine(reading), grantee)

    def grant_put(self, grantee: iam.IGrantable, bucket: s3.IBucket, key_or_prefix: str) -> iam.Grant:
        """Grants permission to upload queries to a key, or under a prefix that ends in "/"."""
        info = self._info(bucket)
        self._granted.append((grantee, bucket, [key_or_prefix]))
        options = of_readers.put_queries(info, key_or_prefix)
        granted = iam.Grant.add_to_principal_or_resource(grantee=grantee, resource=bucket, **options)
        return of_readers.grant_key(info, granted, grantee, writes=True)

    def granted_objects(self) -> Iterator[tuple[iam.IGrantable, list[str]]]:
        """The app's readers and writers, and the patterns of the objects that they may access."""
        for grantee, bucket, locations in self._granted:
            arn = self._info(bucket).arn
            yield grantee, [f"{arn}/{object_pattern(location)}" for location in locations]

    def new_rule_for_all(
        self, scope: Construct, id: str, target: RuleTarget | None, description: str | None
    ) -> events.Rule:
        """Creates a rule for the segments of all jobs, those of later jobs included."""
        # A pattern of events must not be empty.
        rule = self.new_rule(scope, id, [*self._folders] or [self._folders_of_stack], target, description)
        self._rules.append(rule)
        return rule

    def new_rule(
        self, scope: Construct, id: str, folders: Sequence[str], target: RuleTarget | None, description: str | None
    ) -> events.Rule:
        """Creates a rule for the segments in folders of the output bucket."""
        self._send_events()
        return events.Rule(
            scope,
            id,
            description=description,
            targets=None if target is None else [cast(events.IRuleTarget, target)],
            event_pattern=events.EventPattern(
                source=["aws.s3"],
                detail_type=["Object Created"],
                detail={
                    "bucket": {"name": [self._info(self._bucket).name]},
                    "object": {"key": _segment_files(folders)},
                },
            ),
        )

    def _grant_read(self, grantee: iam.IGrantable, folders: Mapping[str, str]) -> tuple[iam.Grant, iam.Grant]:
        info = self._info(self._bucket)
        self._granted.append((grantee, self._bucket, folders))
        listing, reading = (
            iam.Grant.add_to_principal_or_resource(grantee=grantee, resource=self._bucket, **options)
            for options in (of_readers.list_segments(info, folders.values()), of_readers.read_segments(info, folders))
        )
        # CDK leaves the condition out of a bucket policy, which another account's principal needs.
        for statement in listing.resource_statements:
            statement.add_condition("StringLike", of_personalize.list_condition(folders.values()))
        return listing, reading

    def _send_events(self) -> None:
        if self._sends_events:
            return
        self._sends_events = True
        cfn_bucket = self._bucket.node.default_child
        if self._is_created and isinstance(cfn_bucket, s3.CfnBucket):
            # The bucket is created here: its property can be set without CDK's BucketNotificationsHandler.
            cfn_bucket.notification_configuration = s3.CfnBucket.NotificationConfigurationProperty(
                event_bridge_configuration=s3.CfnBucket.EventBridgeConfigurationProperty(event_bridge_enabled=True)
            )
            cdk.Aspects.of(self._bucket).add(_KeepEventBridgeEnabled(self._bucket))
        else:
            self._bucket.enable_event_bridge_notification()


class _Reader:
    """A grant on all segments of a storage, which grows with its jobs."""

    def __init__(self, folders: dict[str, str], listing: iam.Grant, reading: iam.Grant) -> None:
        self._folders = folders
        self._listings = [*listing.principal_statements, *listing.resource_statements]
        self._readings = [*reading.principal_statements, *reading.resource_statements]

    def add(self, folders: str, listed: str, objects: str) -> None:
        if folders in self._folders:
            return
        self._folders[folders] = listed
        for statement in self._listings:
            statement.add_condition("StringLike", of_personalize.list_condition(self._folders.values()))
        for statement in self._readings:
            statement.add_resources(objects)


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
