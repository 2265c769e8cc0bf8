"""Access to a job's buckets with the service role, checked against the role and the bucket policies."""

import os
import threading
from typing import Any, Literal

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from .behavior import Behavior
from .errors import AccessError, JobError
from .iam import bucket_policy_allows, create_role_session, service_may_assume
from .models import Job, S3Location

_GUIDE = "https://docs.aws.amazon.com/personalize/latest/dg/granting-personalize-s3-access.html"


class S3Access:
    """Checks access to S3, and creates clients that act as the service role.

    Personalize needs permission in the role's policy and in the bucket policy:
    https://docs.aws.amazon.com/personalize/latest/dg/granting-personalize-s3-access.html
    """

    def __init__(self) -> None:
        """Connects to the local AWS that the environment names."""
        self._lock = threading.Lock()
        self._session = boto3.Session(region_name=os.environ["MINISTACK_REGION"])
        self._endpoint_url = os.environ["AWS_ENDPOINT_URL"]

    def client(self, role_arn: str) -> Any:
        """Creates an S3 client with the permissions of a role."""
        credentials: dict[str, Any] = create_role_session(role_arn)
        # Creating a client is not thread-safe:
        # https://boto3.amazonaws.com/v1/documentation/api/latest/guide/session.html#multithreading-or-multiprocessing-with-sessions
        with self._lock:
            return self._session.client(
                "s3",
                endpoint_url=self._endpoint_url,
                config=Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}),
                **credentials,
            )

    def check(self, phase: Literal["created", "running"], job: Job, behavior: Behavior) -> None:
        """Checks what `Behavior` says the service checks in a phase of a job, and writes ``_CHECK``.

        The message for missing permissions is the one recorded for data set imports.

        Raises:
            AccessError: The trust policy, the role's policy or a bucket policy does not allow the access.
        """
        needed = []
        if behavior.checks_access == phase:
            needed = [(job.input, "s3:ListBucket", "")]
            if behavior.lists_output:
                needed.append((job.output, "s3:ListBucket", ""))
        if behavior.check_object == phase:
            needed.append((job.output, "s3:PutObject", f"{job.output.key}_CHECK"))
        if not needed:
            return
        role = job.request["roleArn"]
        if not service_may_assume(job.caller, role, job.arn):
            raise AccessError(f"Role {role} cannot be assumed: fix its trust policy")
        s3 = self.client(role)
        for location, action, key in needed:
            if not _bucket_allows(job, location, action, key, behavior):
                raise AccessError(
                    "Insufficient privileges for accessing data in S3. Please look at "
                    f"{_GUIDE}#attach-bucket-policy and fix bucket policy on {location.bucket} ({action})",
                )
            try:
                if action == "s3:PutObject":
                    s3.put_object(Bucket=location.bucket, Key=key, Body=b"")
                else:
                    s3.list_objects_v2(Bucket=location.bucket, Prefix=location.key, MaxKeys=1)
            except ClientError as error:
                raise AccessError(
                    f"Insufficient privileges for accessing data in S3. Please look at {_GUIDE} and fix the policy "
                    f"of role {role} ({action} on {location.bucket}: {error.response['Error']['Code']})",
                ) from error

    @staticmethod
    def require_bucket_policy(job: Job, location: S3Location, action: str, key: str, behavior: Behavior) -> None:
        """Checks that the bucket policy allows an action on an object.

        Raises:
            JobError: It does not.
        """
        if not _bucket_allows(job, location, action, key, behavior):
            raise JobError(f"Insufficient privileges: fix bucket policy on {location.bucket} ({action} on {key})")


def _bucket_allows(job: Job, location: S3Location, action: str, key: str, behavior: Behavior) -> bool:
    source_arn = job.arn if behavior.sends_source else None
    prefix = location.key if action == "s3:ListBucket" else None
    return bucket_policy_allows(job.caller, location.bucket, action, key, source_arn, prefix=prefix)
