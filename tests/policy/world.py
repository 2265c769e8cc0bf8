"""A deployed stack, resources outside of it, and sessions of its roles."""

import functools
import json
from collections.abc import Callable
from typing import Any

import boto3
from botocore.config import Config
from policy.examples import Example
from support.local import Clients, role_session, split_s3_uri

JOB = "batch-segment-job"
ANYTHING = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
OTHER_BUCKET = "somebody-elses"
OTHER_NAME = "Other-00000000-Job-00000000-000000000000"
OTHER_ACCOUNT = "999999999999"


class World:
    """A deployed stack and resources outside of it."""

    def __init__(self, example: Example, client: Clients) -> None:
        self.example = example
        self.aws = example.aws
        self._iam, self._s3 = client("iam"), client("s3")
        self.assets = f"cdk-hnb659fds-assets-{self.aws.account}-{self.aws.region}"
        self.other_role = self.arn("iam", "role/somebody-elses", region="")
        self.other_function = self.arn("lambda", "function:somebody-elses")
        self.other_machine = self.arn("states", "stateMachine:somebody-elses")
        self.other_job = self.arn("personalize", f"{JOB}/somebody-elses")
        self.other_key = client("kms").create_key()["KeyMetadata"]["Arn"]
        self.job = example.job
        #: Returns a client in a role's session. Takes a part of the role's logical ID, and the service.
        self.session = functools.cache(self._session)
        self.request: dict[str, Any] = dict(self.aws.personalize.jobs[example.job].request)
        self.input, self._input_prefix = split_s3_uri(self.request["jobInput"]["s3DataSource"]["path"])
        #: The output bucket and the job's folder in it.
        self.output, self.folder = split_s3_uri(self.request["jobOutput"]["s3DataDestination"]["path"])

    def arn(self, service: str, resource: str, region: str | None = None) -> str:
        region = self.aws.region if region is None else region
        return f"arn:aws:{service}:{region}:{self.aws.account}:{resource}"

    def id(self, part: str) -> str:
        """Returns the physical ID of the resource whose logical ID contains a text."""
        found = self.example.physical_ids
        (logical_id,) = [name for name in found if part in name and "Policy" not in name]
        return found[logical_id]

    @property
    def staged(self) -> str:
        """The key of the job's queries."""
        listed = self._s3.list_objects_v2(Bucket=self.input, Prefix=self._input_prefix)["Contents"]
        return str(listed[0]["Key"])

    @property
    def asset(self) -> str:
        return str(self.example.properties["AssetKey"])

    def other_request(self, name: str = "", **changed: Any) -> dict[str, Any]:
        """Returns the request of the job with another name of the same prefix, and with other changes."""
        return {**self.request, "jobName": name or self.job.rpartition("/")[2][:-1] + "x", **changed}

    def _session(self, role: str, service: str) -> Any:
        arn = self.arn("iam", f"role/{self.id(role)}", region="")
        return boto3.Session(region_name=self.aws.region, **role_session(arn)).client(  # type: ignore[call-overload]
            service, endpoint_url=self.aws.endpoint_url, config=Config(retries={"total_max_attempts": 1})
        )

    # -- permissions of the service itself, which has no session

    def trust(self) -> Any:
        return self._iam.get_role(RoleName=self.id("StorageRole"))["Role"]["AssumeRolePolicyDocument"]

    def bucket_policy(self, bucket: str) -> Any:
        return json.loads(self._s3.get_bucket_policy(Bucket=bucket)["Policy"])

    def service_may(
        self,
        document: Any,
        action: str,
        resource: str,
        *,
        service: str = "personalize.amazonaws.com",
        secure: bool = True,
        **context: str,
    ) -> bool:
        """Returns whether a resource policy allows a request that a service makes for a job."""
        from ministack.core import iam_evaluator

        known = {"account": self.aws.account, "source": self.job, "prefix": "", **context}
        asked = iam_evaluator.EvalContext(
            principal_arn=service,
            principal_type="Service",
            principal_account=self.aws.account,
            action=action,
            resource_arn=resource,
            region=self.aws.region,
            secure_transport=secure,
            service_context={
                "aws:sourceaccount": known["account"],
                "aws:sourcearn": known["source"],
                "s3:prefix": known["prefix"],
            },
        )
        return bool(iam_evaluator.evaluate_resource_policy(document, asked, service=service).decision == "Allow")


#: Returns the world of an example.
Worlds = Callable[[Any], World]
