"""Two segments: the users who like comedies, and the users who like dramas of 1999."""

import aws_cdk as cdk
from cdk_personalize_segments import BatchSegmentInput, BatchSegmentJob, SegmentQuery
from constructs import Construct


class MinimalStack(cdk.Stack):
    """One batch segment job, with a role and buckets of its own."""

    def __init__(self, scope: Construct, id: str, *, solution_version_arn: str) -> None:
        """Asks a trained solution version of the recipe aws-item-attribute-affinity for the two segments."""
        super().__init__(scope, id)
        job = BatchSegmentJob(
            self,
            "Job",
            solution_version_arn=solution_version_arn,
            job_input=BatchSegmentInput.from_queries(
                [
                    SegmentQuery.where(GENRES="Comedy"),
                    SegmentQuery.where(GENRES="Drama", YEAR="1999"),
                ]
            ),
        )
        cdk.CfnOutput(self, "Segments", value=job.output_uri)


if __name__ == "__main__":
    app = cdk.App()
    MinimalStack(app, "Minimal", solution_version_arn=app.node.get_context("solution_version_arn"))
    app.synth()
