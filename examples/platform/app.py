"""Segments as a platform team ships them: two stages, shared buckets and key, thirteen jobs, and a reader."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import aws_cdk as cdk
import aws_cdk.aws_events_targets as targets
import aws_cdk.aws_iam as iam
import aws_cdk.aws_kms as kms
import aws_cdk.aws_lambda as lambda_
from cdk_nag import AwsSolutionsChecks
from cdk_personalize_segments import (
    BatchSegmentInput,
    BatchSegmentJob,
    BatchSegmentProvider,
    BatchSegmentStorage,
    SegmentQuery,
    acknowledge_nag_findings,
)
from constructs import Construct

Audiences = Mapping[str, Mapping[str, str | Sequence[str]]]
#: Who gets a segment: films of which genre and year.
AUDIENCES: Audiences = {
    f"{genre}Fans{year}": {"GENRES": genre, "YEAR": year}
    for year in ("1998", "1999")
    for genre in ("Action", "Comedy", "Documentary", "Drama", "Romance", "Thriller")
}
# Personalize runs five jobs of an account and region at once:
# https://docs.aws.amazon.com/personalize/latest/dg/limits.html
JOBS_AT_ONCE = 5


class DataStack(cdk.Stack):
    """What outlives the jobs: the key, the buckets, and the role that Personalize assumes."""

    def __init__(self, scope: Construct, id: str) -> None:
        """Adds the key and the storage that all jobs share."""
        super().__init__(scope, id)
        self.key = kms.Key(self, "Key", enable_key_rotation=True)
        self.storage = BatchSegmentStorage(self, "Storage", encryption_key=self.key)


class SegmentsStack(cdk.Stack):
    """The jobs: one for each audience, and one in a nested stack."""

    def __init__(
        self, scope: Construct, id: str, *, data: DataStack, solution_version_arn: str, audiences: Audiences
    ) -> None:
        """Asks a solution version of the recipe aws-item-attribute-affinity for each audience."""
        super().__init__(scope, id)
        BatchSegmentProvider(self, "Provider", log_encryption_key=data.key, tracing=True)

        def job(scope: Construct, id: str, query: SegmentQuery, *, num_results: int) -> BatchSegmentJob:
            return BatchSegmentJob(
                scope,
                id,
                # The job keeps its name, and is not billed again, when its construct is renamed or moved.
                identity=id,
                storage=data.storage,
                solution_version_arn=solution_version_arn,
                job_input=BatchSegmentInput.from_queries([query]),
                num_results=num_results,
                wait_for_completion=cdk.Duration.hours(1),
                max_query_errors=0,
            )

        jobs = [job(self, name, SegmentQuery.where(**columns), num_results=1000) for name, columns in audiences.items()]
        nested = cdk.NestedStack(self, "Seasonal")
        jobs.append(job(nested, "WinterFans", SegmentQuery.where(GENRES=["Comedy", "Romance"]), num_results=500))
        BatchSegmentJob.limit_concurrency(jobs, JOBS_AT_ONCE)


class ReadersStack(cdk.Stack):
    """A function that S3 calls for each file of segments, and that may read them."""

    def __init__(self, scope: Construct, id: str, *, data: DataStack) -> None:
        """Adds the function and its rule."""
        super().__init__(scope, id)
        function = lambda_.Function(
            self,
            "CountUsers",
            runtime=lambda_.Runtime.PYTHON_3_14,
            handler="count_users.handler",
            code=lambda_.Code.from_asset(str(Path(__file__).parent / "count_users")),
            timeout=cdk.Duration.minutes(1),
        )
        # A finding of cdk-nag in a resource of the app is for the app to decide.
        cdk.Validations.of(function).acknowledge(
            cdk.Acknowledgment(
                id="AwsSolutions::AwsSolutions-IAM4[Policy::arn:<AWS::Partition>:iam::aws:policy/service-role/"
                "AWSLambdaBasicExecutionRole]",
                reason="The policy lets the function write its log and nothing else.",
            )
        )
        data.storage.grant_read_segments(function)
        # The rule belongs to this stack: in the storage's stack it would need the function, which needs the storage.
        data.storage.on_segments_written("SegmentsWritten", scope=self, target=targets.LambdaFunction(function))


class Platform(cdk.Stage):
    """One environment."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        env: cdk.Environment,
        solution_version_arn: str,
        audiences: Audiences = AUDIENCES,
        permissions_boundary: str | None = None,
    ) -> None:
        """Adds the three stacks.

        Args:
            scope: The app.
            id: The stage's name, which starts the names of its stacks.
            env: Account and region.
            solution_version_arn: A trained solution version of the recipe aws-item-attribute-affinity.
            audiences: Who gets a segment.
            permissions_boundary: The name of the managed policy that bounds every role. Default: none.
        """
        super().__init__(scope, id, env=env)
        data = DataStack(self, "Data")
        SegmentsStack(self, "Segments", data=data, solution_version_arn=solution_version_arn, audiences=audiences)
        ReadersStack(self, "Readers", data=data)
        # Aspects of the app do not reach into its stages.
        cdk.Tags.of(self).add("cost-center", "1234")
        cdk.Tags.of(self).add("stage", id)
        if permissions_boundary is not None:
            boundary = iam.ManagedPolicy.from_managed_policy_name(data, "Boundary", permissions_boundary)
            iam.PermissionsBoundary.of(self).apply(boundary)


def main(app: cdk.App) -> None:
    """Adds the stages."""
    env = cdk.Environment(account=os.environ.get("CDK_DEFAULT_ACCOUNT"), region=os.environ.get("CDK_DEFAULT_REGION"))
    for id in ("Dev", "Prod"):
        Platform(
            app,
            id,
            env=env,
            solution_version_arn=app.node.get_context("solution_version_arn"),
            permissions_boundary=app.node.try_get_context("permissions_boundary"),
        )
    # Whatever cdk-nag finds fails the synthesis; the findings in the library's own resources have their reasons there.
    acknowledge_nag_findings(app)
    cdk.Validations.of(app).add_plugins(AwsSolutionsChecks(app))


if __name__ == "__main__":
    app = cdk.App()
    main(app)
    app.synth()
