"""A workflow that reports failed audiences to a team's queue, and whose segments are queried with SQL."""

import aws_cdk as cdk
import aws_cdk.aws_events_targets as targets
import aws_cdk.aws_s3 as s3
import aws_cdk.aws_scheduler as scheduler
import aws_cdk.aws_sns as sns
import aws_cdk.aws_sns_subscriptions as subscriptions
import aws_cdk.aws_sqs as sqs
from cdk_personalize_segments import Audience, BatchSegmentInput, BatchSegmentWorkflow, SegmentQuery, SegmentsTable
from constructs import Construct


def fans_of(genre: str) -> Audience:
    """Returns an audience of at most 1,000 users who like a genre."""
    queries = BatchSegmentInput.from_queries([SegmentQuery.where(GENRES=genre)])
    return Audience(f"{genre.lower()}-fans", queries, num_results=1000)


def new_bucket(scope: Construct, id: str) -> s3.Bucket:
    """Returns a private bucket."""
    return s3.Bucket(scope, id, block_public_access=s3.BlockPublicAccess.BLOCK_ALL, enforce_ssl=True)


class FailureStack(cdk.Stack):
    """A workflow, a topic for its failures with a queue, and a table of its segments."""

    def __init__(self, scope: Construct, id: str, *, solution_arn: str) -> None:
        """Refreshes three audiences with a solution of the recipe aws-item-attribute-affinity.

        Args:
            scope: The app.
            id: The stack's name.
            solution_arn: The solution. Each run takes its newest ACTIVE version.
        """
        super().__init__(scope, id)
        queries = new_bucket(self, "Queries")
        # Another team uploads these queries. Until then, the audience fails.
        campaign = BatchSegmentInput.from_bucket(queries, "campaign/")
        workflow = BatchSegmentWorkflow(
            self,
            "Weekly",
            solution_arn=solution_arn,
            audiences=[fans_of("Comedy"), fans_of("Drama"), Audience("campaign", campaign)],
            schedule=scheduler.ScheduleExpression.cron(
                week_day="MON", hour="3", minute="0", time_zone=cdk.TimeZone.EUROPE_BERLIN
            ),
        )

        # Others can subscribe to the topic too, for example with an email address.
        topic = sns.Topic(self, "Failures", enforce_ssl=True)
        queue = sqs.Queue(self, "TeamQueue", enforce_ssl=True, retention_period=cdk.Duration.days(14))
        topic.add_subscription(subscriptions.SqsSubscription(queue, raw_message_delivery=True))
        # Matches each failed audience, and a run that fails before its audiences start.
        workflow.on_failed("Failed", target=targets.SnsTopic(topic))

        # `table.grant_query` lets a principal without administrator permissions query the table.
        table = SegmentsTable(self, "Table", workflow=workflow, table_name="segments")
        results = new_bucket(self, "QueryResults")
        cdk.CfnOutput(self, "QueueUrl", value=queue.queue_url)
        cdk.CfnOutput(self, "StateMachine", value=workflow.state_machine.state_machine_arn)
        cdk.CfnOutput(self, "Database", value=table.database_name)
        cdk.CfnOutput(self, "Uploads", value=f"s3://{queries.bucket_name}/campaign/")
        cdk.CfnOutput(self, "Results", value=f"s3://{results.bucket_name}/")


if __name__ == "__main__":
    app = cdk.App()
    FailureStack(app, "Films", solution_arn=app.node.get_context("solution_arn"))
    app.synth()
