"""A workflow with all audiences of a marketing team's spreadsheet, audiences.csv."""

import sys
from collections.abc import Sequence
from pathlib import Path

import aws_cdk as cdk
import aws_cdk.aws_scheduler as scheduler
from cdk_personalize_segments import Audience, BatchSegmentWorkflow
from constructs import Construct

AUDIENCES = Path(__file__).parent / "audiences.csv"


class SpreadsheetStack(cdk.Stack):
    """A workflow with a schedule. Any number of audiences takes two assets and no further resources."""

    def __init__(self, scope: Construct, id: str, *, solution_arn: str, audiences: Sequence[Audience]) -> None:
        """Refreshes the audiences with a solution of the recipe aws-item-attribute-affinity.

        Args:
            scope: The app.
            id: The stack's name.
            solution_arn: The solution. Each run takes its newest ACTIVE version.
            audiences: The audiences.
        """
        super().__init__(scope, id)
        workflow = BatchSegmentWorkflow(
            self,
            "Weekly",
            solution_arn=solution_arn,
            audiences=audiences,
            schedule=scheduler.ScheduleExpression.cron(
                week_day="SAT", hour="3", minute="0", time_zone=cdk.TimeZone.EUROPE_BERLIN
            ),
            # 300 jobs of an hour, five at a time, take 60 hours.
            timeout=cdk.Duration.days(4),
        )
        bucket = workflow.storage.output_bucket.bucket_name
        cdk.CfnOutput(self, "Segments", value=f"s3://{bucket}/{workflow.output_prefix}")
        cdk.CfnOutput(self, "StateMachine", value=workflow.state_machine.state_machine_arn)


if __name__ == "__main__":
    app = cdk.App()
    try:
        listed = Audience.list_from_csv(AUDIENCES)
    except ValueError as error:
        # Print each fault with its line, without a traceback.
        sys.exit(str(error))
    SpreadsheetStack(app, "Films", solution_arn=app.node.get_context("solution_arn"), audiences=listed)
    app.synth()
