"""One batch segment job for each audience of a marketing team's list, audiences.csv."""

import csv
import re
import sys
from dataclasses import dataclass
from pathlib import Path

import aws_cdk as cdk
from cdk_personalize_segments import BatchSegmentInput, BatchSegmentJob, BatchSegmentStorage, SegmentQuery
from constructs import Construct

COLUMNS = ["audience", "attribute", "values", "max_users"]
# Personalize runs five batch segment jobs at once in an account and Region. Four leave one for others.
JOBS_AT_ONCE = 4


@dataclass(frozen=True)
class Audience:
    """One line of the list."""

    name: str
    query: SegmentQuery
    max_users: int


def read_audiences(path: Path) -> list[Audience]:
    """Reads the list.

    Raises:
        ValueError: A line is invalid. The message names the line.
    """
    audiences: dict[str, Audience] = {}
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.reader(file)
        try:
            if (header := next(rows, [])) != COLUMNS:
                raise ValueError(f"got the columns {', '.join(header)}, expected {', '.join(COLUMNS)}")
            for row in rows:
                audience = _audience(row)
                if audience.name in audiences:
                    raise ValueError(f"audience: got {audience.name} a second time, expected a unique name")
                audiences[audience.name] = audience
        except ValueError as error:
            raise ValueError(f"{path.name}, line {max(rows.line_num, 1)}: {error}") from None
    return list(audiences.values())


def _audience(row: list[str]) -> Audience:
    if len(row) != len(COLUMNS):
        raise ValueError(f"got {len(row)} values, expected {len(COLUMNS)}: {', '.join(COLUMNS)}")
    name, attribute, values, max_users = row
    # The name is the ID of a construct and of an output.
    if not re.fullmatch(r"[A-Z][A-Za-z0-9]*", name):
        raise ValueError(f"audience: got {name!r}, expected letters and digits, the first one a capital letter")
    if not re.fullmatch(r"[1-9][0-9]{0,6}", max_users):
        raise ValueError(f"max_users: got {max_users!r}, expected a whole number from 1")
    return Audience(name, SegmentQuery.where(**{attribute: values.split("|")}), int(max_users))


class AudiencesStack(cdk.Stack):
    """The jobs of all audiences, on the same buckets and the same role."""

    def __init__(self, scope: Construct, id: str, *, solution_version_arn: str, audiences: list[Audience]) -> None:
        """Adds a job for each audience, with a solution version of the recipe aws-item-attribute-affinity."""
        super().__init__(scope, id)
        storage = BatchSegmentStorage(self, "Storage")
        jobs: list[BatchSegmentJob] = []
        for audience in audiences:
            job = BatchSegmentJob(
                self,
                audience.name,
                storage=storage,
                solution_version_arn=solution_version_arn,
                job_input=BatchSegmentInput.from_queries([audience.query]),
                num_results=audience.max_users,
                tags={"audience": audience.name},
                # A sixth job at once is refused by the service, and a refused job fails the deployment of all. So each
                # job waits for the one four lines above it: not only to be created, as CloudFormation's dependencies
                # do by themselves, but to be complete, and its place free.
                wait_for_completion=cdk.Duration.hours(1),
            )
            if len(jobs) >= JOBS_AT_ONCE:
                job.node.add_dependency(jobs[-JOBS_AT_ONCE])
            jobs.append(job)
            cdk.CfnOutput(self, f"{audience.name}Uri", value=job.output_uri)


if __name__ == "__main__":
    app = cdk.App()
    try:
        listed = read_audiences(Path(__file__).parent / "audiences.csv")
    except ValueError as error:
        sys.exit(str(error))
    AudiencesStack(
        app, "Audiences", solution_version_arn=app.node.get_context("solution_version_arn"), audiences=listed
    )
    app.synth()
