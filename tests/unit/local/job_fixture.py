"""Creates the resources that a batch segment job needs in the local AWS."""

import json
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError
from personalize_local.gateway import LocalAws
from support.local import wait_until


class JobFixture:
    """Two buckets and a service role with the documented policies, and helpers that run jobs with them."""

    def __init__(self, client: Callable[..., Any], aws: LocalAws) -> None:
        name = f"test-{uuid.uuid4().hex[:12]}"
        self.aws = aws
        self.input, self.output = f"{name}-in", f"{name}-out"
        self.role_name = f"{name}-service"
        self.role = f"arn:aws:iam::{aws.account}:role/{self.role_name}"
        self.s3, self.iam, self.personalize = client("s3"), client("iam"), client("personalize")
        for bucket in (self.input, self.output):
            region = {"LocationConstraint": aws.region}
            self.s3.create_bucket(Bucket=bucket, CreateBucketConfiguration=region)
        self.iam.create_role(RoleName=self.role_name, AssumeRolePolicyDocument=json.dumps(self.trust()))
        self.allow_role(self.statements())
        self.allow_service(self.input, self.statements()[:2])
        self.allow_service(self.output, self.statements()[2:])

    def trust(self, **conditions: Any) -> dict[str, Any]:
        account, region = self.aws.account, self.aws.region
        return {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Action": "sts:AssumeRole",
                    "Principal": {"Service": "personalize.amazonaws.com"},
                    "Condition": {
                        "StringEquals": {"aws:SourceAccount": account},
                        "ArnLike": {"aws:SourceArn": f"arn:aws:personalize:{region}:{account}:*"},
                        **conditions,
                    },
                }
            ],
        }

    def statements(self) -> list[tuple[str, str]]:
        return [
            ("s3:ListBucket", f"arn:aws:s3:::{self.input}"),
            ("s3:GetObject", f"arn:aws:s3:::{self.input}/in/*"),
            ("s3:ListBucket", f"arn:aws:s3:::{self.output}"),
            ("s3:PutObject", f"arn:aws:s3:::{self.output}/out/*"),
        ]

    def allow_role(self, statements: list[tuple[str, str]]) -> None:
        document = [{"Effect": "Allow", "Action": action, "Resource": arn} for action, arn in statements]
        self.iam.put_role_policy(
            RoleName=self.role_name,
            PolicyName="s3",
            PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": document}),
        )

    def allow_service(self, bucket: str, statements: list[tuple[str, str]]) -> None:
        principal = {"Service": "personalize.amazonaws.com"}
        document = [
            {"Effect": "Allow", "Principal": principal, "Action": action, "Resource": arn} for action, arn in statements
        ]
        if document:
            policy = json.dumps({"Version": "2012-10-17", "Statement": document})
            self.s3.put_bucket_policy(Bucket=bucket, Policy=policy)
        else:
            self.s3.delete_bucket_policy(Bucket=bucket)

    def put(self, body: str | bytes, key: str = "in/queries.jsonl") -> None:
        self.s3.put_object(Bucket=self.input, Key=key, Body=body)

    def request(self, recipe: str = "item-affinity", **changes: Any) -> dict[str, Any]:
        solution = f"arn:aws:personalize:{self.aws.region}:{self.aws.account}:solution"
        return {
            "jobName": f"job-{uuid.uuid4().hex[:12]}",
            "solutionVersionArn": f"{solution}/films-{recipe}/0002",
            "roleArn": self.role,
            "jobInput": {"s3DataSource": {"path": f"s3://{self.input}/in/"}},
            "jobOutput": {"s3DataDestination": {"path": f"s3://{self.output}/out/"}},
            **changes,
        }

    def run(self, **changes: Any) -> dict[str, Any]:
        """Creates a job and waits until it ends."""
        created = self.personalize.create_batch_segment_job(**self.request(**changes))
        return self.end(created["batchSegmentJobArn"])

    def end(self, arn: str) -> dict[str, Any]:
        """Waits until a job ends, and describes it."""
        job = self.aws.personalize.jobs[arn]
        wait_until(lambda: not job.in_flight)
        described: dict[str, Any] = self.personalize.describe_batch_segment_job(batchSegmentJobArn=arn)[
            "batchSegmentJob"
        ]
        return described

    def results(self, key: str = "out/queries.jsonl.out") -> list[dict[str, Any]]:
        body = self.s3.get_object(Bucket=self.output, Key=key)["Body"].read()
        return [json.loads(line) for line in body.splitlines()]


COMEDY = '{"itemAttributes": "ITEMS.GENRES = \\"Comedy\\""}'


def allow(actions: list[str], resource: str = "*", **conditions: Any) -> dict[str, Any]:
    """Returns a statement of a policy."""
    return {"Effect": "Allow", "Action": actions, "Resource": resource, "Condition": conditions}


#: The statements that a caller needs to create a job.
CREATE = allow(["personalize:CreateBatchSegmentJob"])
PASS = allow(["iam:PassRole"], StringEquals={"iam:PassedToService": "personalize.amazonaws.com"})


def rejected(call: Callable[..., Any], **request: Any) -> tuple[str, str]:
    """Calls an operation that must fail, and returns the code and message of the error."""
    with pytest.raises(ClientError) as error:
        call(**request)
    return error.value.response["Error"]["Code"], error.value.response["Error"]["Message"]


def create(jobs: JobFixture, **changes: Any) -> tuple[str, str]:
    """Creates a job that must be rejected, and returns the code and message of the error."""
    return rejected(jobs.personalize.create_batch_segment_job, **jobs.request(**changes))


def assert_lacks_permission(jobs: JobFixture, hint: str) -> None:
    """Asserts that creating or running a job fails, depending on when the permission is checked."""
    try:
        created = jobs.personalize.create_batch_segment_job(**jobs.request())
    except ClientError as error:
        reason = error.response["Error"]["Message"]
    else:
        job = jobs.end(created["batchSegmentJobArn"])
        assert job["status"] == "CREATE FAILED"
        reason = job["failureReason"]
    assert hint in reason or "is not authorized to perform: s3:GetObject" in reason
