"""Three audiences, refreshed every Monday with the newest solution version."""

import aws_cdk as cdk
import aws_cdk.aws_scheduler as scheduler
from cdk_personalize_segments import Audience, BatchSegmentInput, BatchSegmentWorkflow, SegmentQuery
from constructs import Construct


def new_audience(name: str, *queries: SegmentQuery) -> Audience:
    """Returns an audience of at most 1,000 users for each query."""
    return Audience(name, BatchSegmentInput.from_queries(queries), num_results=1000)


class WeeklyStack(cdk.Stack):
    """A workflow with a schedule, and with its own role and buckets."""

    def __init__(self, scope: Construct, id: str, *, solution_arn: str) -> None:
        """Refreshes the audiences with a solution of the recipe aws-item-attribute-affinity.

        Args:
            scope: The app.
            id: The stack's name.
            solution_arn: The solution. Each run takes its newest ACTIVE version.
        """
        super().__init__(scope, id)
        workflow = BatchSegmentWorkflow(
            self,
            "Weekly",
            solution_arn=solution_arn,
            audiences=[
                new_audience("comedy-fans", SegmentQuery.where(GENRES="Comedy")),
                new_audience("drama-fans", SegmentQuery.where(GENRES="Drama")),
                # Two queries create two segments of the audience.
                new_audience(
                    "classics-fans",
                    SegmentQuery.where(GENRES="Comedy", YEAR="1980"),
                    SegmentQuery.where(GENRES="Drama", YEAR="1980"),
                ),
            ],
            schedule=scheduler.ScheduleExpression.cron(
                week_day="MON", hour="3", minute="0", time_zone=cdk.TimeZone.EUROPE_BERLIN
            ),
        )
        bucket = workflow.storage.output_bucket.bucket_name
        cdk.CfnOutput(self, "Segments", value=f"s3://{bucket}/{workflow.output_prefix}")
        cdk.CfnOutput(self, "StateMachine", value=workflow.state_machine.state_machine_arn)


if __name__ == "__main__":
    app = cdk.App()
    WeeklyStack(app, "Films", solution_arn=app.node.get_context("solution_arn"))
    app.synth()
