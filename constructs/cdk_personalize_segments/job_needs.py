"""Collects the resources that a stack's functions use. `permissions` turns them into statements."""

from dataclasses import dataclass, field

import aws_cdk.aws_kms as kms
import aws_cdk.aws_s3_assets as s3_assets
from batch_segment_handler import contract

from .buckets import BucketInfo, object_pattern
from .naming import StackFacts

# A set that keeps the order of insertion, so that the template is the same in each synthesis.
OrderedSet = dict[str, None]


@dataclass
class ReadAccess:
    """Objects that a function may list and read.

    Attributes:
        prefixes: The prefixes to list, by bucket.
        objects: The ARNs of the objects, by the account of the bucket, or None if the account is not known.
        keys: The ARNs of the buckets' keys.
    """

    prefixes: dict[BucketInfo, OrderedSet] = field(default_factory=dict)
    objects: dict[str | None, OrderedSet] = field(default_factory=dict)
    keys: OrderedSet = field(default_factory=dict)

    def add(self, bucket: BucketInfo, prefix: str, objects: str) -> None:
        """Adds a prefix of a bucket, and the pattern of the objects to read."""
        self.prefixes.setdefault(bucket, {})[prefix] = None
        self.objects.setdefault(bucket.account, {})[f"{bucket.arn}/{objects}"] = None
        if bucket.key_arn is not None:
            self.keys[bucket.key_arn] = None


class JobNeeds:
    """The resources that a function uses to create jobs, and that the waiting function uses to read their output."""

    def __init__(self, facts: StackFacts, stack_id: str, asset_key: kms.IKey | None) -> None:
        """Starts without resources.

        Args:
            facts: The stack.
            stack_id: The stack's ARN.
            asset_key: The key of the assets bucket, if the app passes one.
        """
        self.partition = facts.partition
        self.region = facts.region
        self.account = facts.account
        self.extension = facts.names.extension
        self.stack_id = stack_id
        self.jobs: OrderedSet = {}
        self.solutions: OrderedSet = {}
        self.lists_solution_versions = False
        self.filters: OrderedSet = {}
        self.roles: OrderedSet = {}
        self.asset_buckets: OrderedSet = {}
        self.asset_keys: OrderedSet = {}
        #: The ARNs of staged objects, by the account of the bucket, or None if the account is not known.
        self.staging: dict[str | None, OrderedSet] = {}
        self.staging_keys: OrderedSet = {}
        #: The state machines that watch jobs.
        self.watchers: OrderedSet = {}
        #: Queries in S3.
        self.input = ReadAccess()
        #: Segments of jobs with ``wait_for_completion``.
        self.output = ReadAccess()
        self._names = facts.names
        self._job_arn = job_arn(facts, "")
        self._asset_key = asset_key

    def allow_derived_jobs(self) -> None:
        """Adds all jobs with derived names. One pattern for the stack keeps the handler's policy small."""
        self.jobs[f"{self._job_arn}{self._names.pattern}"] = None

    def allow_job(self, name: str) -> None:
        """Adds a job with an explicit name.

        Raises:
            ValueError: Another job of the stack has that name.
        """
        arn = f"{self._job_arn}{name}"
        if arn in self.jobs:
            raise ValueError(
                f"job_name: got {name!r}, which another job of the stack has, expected a different name for each job"
            )
        self.jobs[arn] = None

    def allow_solution_version(self, arn: str) -> None:
        """Adds a solution version that jobs use."""
        self.solutions[arn] = None

    def allow_solution(self, arn: str) -> None:
        """Adds a solution whose latest version jobs use."""
        self.lists_solution_versions = True
        self.allow_solution_version(f"{arn}/*")

    def allow_filter(self, arn: str) -> None:
        """Adds a filter."""
        self.filters[arn] = None

    def allow_pass_role(self, role_arn: str) -> None:
        """Adds a role that the function passes to Personalize."""
        self.roles[role_arn] = None

    def allow_staging(self, asset: s3_assets.Asset, bucket: BucketInfo, prefix: str) -> contract.JobSettings:
        """Adds the stack's query assets for reading, and a folder of the input bucket for writing.

        Args:
            asset: The asset.
            bucket: The input bucket.
            prefix: The folder, ending in "/".

        Returns:
            The handler's properties for the asset.
        """
        asset_bucket = asset.s3_bucket_name
        if asset_bucket not in self.asset_buckets:
            self.asset_buckets[asset_bucket] = None
            key_arn = self.key_of(asset)
            if key_arn is not None:
                self.asset_keys[key_arn] = None
        self.staging.setdefault(bucket.account, {})[f"{bucket.arn}/{prefix}*"] = None
        if bucket.key_arn is not None:
            self.staging_keys[bucket.key_arn] = None
        properties: contract.JobSettings = {"AssetBucket": asset_bucket, "AssetKey": asset.s3_object_key}
        if self.asset_keys:
            properties["AssetKmsKeyArn"] = next(iter(self.asset_keys))
        return properties

    def key_of(self, asset: s3_assets.Asset) -> str | None:
        """Returns the ARN of the key of an asset's bucket, if it is known."""
        # A synthesizer may report the key of its bucket.
        key = self._asset_key or asset.bucket.encryption_key
        return None if key is None else key.key_arn

    def allow_reading_input(self, bucket: BucketInfo, key_or_prefix: str) -> None:
        """Adds queries in S3 that the function checks.

        Args:
            bucket: The bucket.
            key_or_prefix: The key of an object, or a prefix ending in "/".
        """
        self.input.add(bucket, key_or_prefix, object_pattern(key_or_prefix))

    def allow_reading_output(self, bucket: BucketInfo, folders: str) -> None:
        """Adds the output of jobs, in which the function counts the query errors.

        Args:
            bucket: The bucket.
            folders: A pattern of folders, ending in "/".
        """
        self.output.add(bucket, folders, f"{folders}*")


class DescribeNeeds:
    """The resources of the function that checks whether jobs of workflows, and watched jobs, are complete."""

    def __init__(self, facts: StackFacts) -> None:
        """Starts without resources."""
        self.partition = facts.partition
        self.region = facts.region
        self.account = facts.account
        self.jobs: OrderedSet = {}
        #: The segments of complete jobs.
        self.output = ReadAccess()
        #: The database and the name of each table whose partitions the function creates and updates.
        self.tables: dict[tuple[str, str], None] = {}
        self._facts = facts

    def allow_job(self, names: str) -> None:
        """Adds jobs.

        Args:
            names: A name, or a pattern of names.
        """
        self.jobs[job_arn(self._facts, names)] = None

    def allow_reading_output(self, bucket: BucketInfo, prefix: str, folders: str) -> None:
        """Adds the output of jobs, in which the function counts query errors and finds the newest segments.

        Args:
            bucket: The bucket.
            prefix: A pattern of the prefixes to list.
            folders: A pattern of the folders to read, ending in "/".
        """
        self.output.add(bucket, prefix, f"{folders}*")

    def allow_table(self, database_name: str, table_name: str) -> None:
        """Adds a Glue table whose partitions the function creates and updates."""
        self.tables[database_name, table_name] = None


def job_arn(facts: StackFacts, names: str) -> str:
    """Returns the ARN of a job in the stack's account and region, or a pattern of ARNs."""
    return f"arn:{facts.partition}:personalize:{facts.region}:{facts.account}:batch-segment-job/{names}"
