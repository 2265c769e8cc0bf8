"""Two segments: the users who like comedies, and the users who like dramas of 1999."""

import aws_cdk as cdk
from cdk_personalize_segments import BatchSegmentInput, BatchSegmentJob, SegmentQuery
from constructs import Construct


class MinimalStack(cdk.Stack):
    """One batch segment job with its own role and buckets."""

    def __init__(self, scope: Construct, id: str, *, solution_version_arn: str) -> None:
        """Creates the segments with a trained solution version of the recipe aws-item-attribute-affinity."""
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
