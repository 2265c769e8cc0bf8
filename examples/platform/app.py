"""A platform team's app: two stages with a shared storage and key, thirteen jobs, and a reader."""

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
#: The audiences: fans of films of a genre and a year.
AUDIENCES: Audiences = {
    f"{genre}Fans{year}": {"GENRES": genre, "YEAR": year}
    for year in ("1998", "1999")
    for genre in ("Action", "Comedy", "Documentary", "Drama", "Romance", "Thriller")
}
# Personalize runs five jobs of an account and region at once:
# https://docs.aws.amazon.com/personalize/latest/dg/limits.html
JOBS_AT_ONCE = 5


class DataStack(cdk.Stack):
    """The resources that outlive the jobs: the key, the buckets, and the role that Personalize assumes."""

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
        """Adds a job for each audience, with a solution version of the recipe aws-item-attribute-affinity."""
        super().__init__(scope, id)
        BatchSegmentProvider(self, "Provider", log_encryption_key=data.key, tracing=True)

        def job(scope: Construct, id: str, query: SegmentQuery, *, num_results: int) -> BatchSegmentJob:
            return BatchSegmentJob(
                scope,
                id,
                # With an identity, renaming or moving the construct starts no new, billed job.
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
    """A function that runs for each file of segments and can read it."""

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
        # The app itself acknowledges findings of cdk-nag in its own resources.
        cdk.Validations.of(function).acknowledge(
            cdk.Acknowledgment(
                id="AwsSolutions::AwsSolutions-IAM4[Policy::arn:<AWS::Partition>:iam::aws:policy/service-role/"
                "AWSLambdaBasicExecutionRole]",
                reason="The policy allows the function only to write its log.",
            )
        )
        data.storage.grant_read_segments(function)
        # Put the rule into this stack. In the storage's stack, it would create a cyclic dependency.
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
            audiences: The audiences.
            permissions_boundary: The name of the managed policy that is the boundary of every role. Default: none.
        """
        super().__init__(scope, id, env=env)
        data = DataStack(self, "Data")
        SegmentsStack(self, "Segments", data=data, solution_version_arn=solution_version_arn, audiences=audiences)
        ReadersStack(self, "Readers", data=data)
        # Aspects of the app do not apply to its stages.
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
    # Every finding of cdk-nag fails the synthesis. This call acknowledges the findings in the library's own resources.
    acknowledge_nag_findings(app)
    cdk.Validations.of(app).add_plugins(AwsSolutionsChecks(app))


if __name__ == "__main__":
    app = cdk.App()
    main(app)
    app.synth()
