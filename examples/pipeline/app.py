"""A pipeline from a Personalize solution to a table with the number of users in each segment."""

from pathlib import Path

import aws_cdk as cdk
import aws_cdk.aws_cloudwatch as cloudwatch
import aws_cdk.aws_dynamodb as dynamodb
import aws_cdk.aws_events_targets as targets
import aws_cdk.aws_kms as kms
import aws_cdk.aws_lambda as lambda_
import aws_cdk.aws_personalize as personalize
from cdk_personalize_segments import BatchSegmentInput, BatchSegmentJob, BatchSegmentStorage, SegmentQuery
from constructs import Construct

FOLDER = Path(__file__).parent


class PipelineStack(cdk.Stack):
    """A dataset group, a solution, a job with a version of the solution, and a function that counts the users."""

    def __init__(
        self, scope: Construct, id: str, *, solution_version_arn: str | None = None, filter_arn: str | None = None
    ) -> None:
        """Adds the dataset group and the solution, and the job if there is a version.

        Args:
            scope: The app.
            id: The stack's name.
            solution_version_arn: A trained version of the stack's solution. Training takes hours and needs the data, so
                the first deployment has no version and no job.
            filter_arn: A filter with the placeholder $COUNTRY. To create it, you need the data too.
        """
        super().__init__(scope, id)
        group = personalize.CfnDatasetGroup(self, "Films", name="films")
        personalize.CfnSolution(
            self,
            "Solution",
            name="films-item-attribute-affinity",
            dataset_group_arn=group.attr_dataset_group_arn,
            recipe_arn=f"arn:{self.partition}:personalize:::recipe/aws-item-attribute-affinity",
        )
        if solution_version_arn is not None:
            self._add_segments(solution_version_arn, filter_arn)

    def _add_segments(self, solution_version_arn: str, filter_arn: str | None) -> None:
        comedies = SegmentQuery.where(GENRES="Comedy")
        dramas = SegmentQuery.where(GENRES="Drama")
        if filter_arn is not None:
            # All queries share a filter. Each has its own value for the filter's placeholder.
            comedies = comedies.with_filter_values(COUNTRY=["Japan", "Kenya"])
            dramas = dramas.with_filter_values(COUNTRY="France")

        storage = BatchSegmentStorage(
            self, "Storage", encryption_key=kms.Key(self, "Key", description="User segments", enable_key_rotation=True)
        )
        job = BatchSegmentJob(
            self,
            "Segments",
            job_input=BatchSegmentInput.from_queries([comedies, dramas]),
            solution_version_arn=solution_version_arn,
            filter_arn=filter_arn,
            num_results=1000,
            storage=storage,
            tags={"team": "marketing", "cost-center": "1234"},
        )

        table = dynamodb.TableV2(
            self,
            "Counts",
            partition_key=dynamodb.Attribute(name="object", type=dynamodb.AttributeType.STRING),
            sort_key=dynamodb.Attribute(name="line", type=dynamodb.AttributeType.NUMBER),
        )
        count_users = lambda_.Function(
            self,
            "CountUsers",
            runtime=lambda_.Runtime.PYTHON_3_13,
            handler="count_users.handler",
            code=lambda_.Code.from_asset(str(FOLDER / "count_users")),
            environment={"TABLE": table.table_name},
            timeout=cdk.Duration.minutes(5),
        )
        table.grant(count_users, "dynamodb:PutItem")
        # Grants only the segments of this job, and decryption with the key.
        job.grant_read_segments(count_users)
        # The deployment ends when the job is created. The function runs when the segments are written.
        job.on_segments_written("Written", target=targets.LambdaFunction(count_users))
        # A job is billed and cannot be stopped, so create it after the function that reads its segments.
        job.node.add_dependency(count_users)

        cloudwatch.Alarm(
            self,
            "DeploymentFailed",
            metric=job.metric_deployments_failed(period=cdk.Duration.minutes(5)),
            alarm_description="A deployment failed because of the batch segment job. The handler's log has the reason.",
            threshold=1,
            evaluation_periods=1,
            # Without a deployment, the metric has no data, which is not a failure.
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
        )
        cdk.CfnOutput(self, "SegmentsUri", value=job.output_uri)
        cdk.CfnOutput(self, "CountsTable", value=table.table_name)


if __name__ == "__main__":
    app = cdk.App()
    PipelineStack(
        app,
        "Pipeline",
        solution_version_arn=app.node.try_get_context("solution_version_arn"),
        filter_arn=app.node.try_get_context("filter_arn"),
    )
    app.synth()
