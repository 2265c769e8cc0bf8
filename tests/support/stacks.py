"""Deploys stacks without the CDK CLI: synthesizes them here and creates them with CloudFormation."""

import io
import itertools
import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import aws_cdk as cdk
import aws_cdk.aws_iam as iam
from batch_segment_handler.contract import RESOURCE_TYPE
from botocore.exceptions import ClientError
from constructs import IDependable
from personalize_local.gateway import LocalAws

from support.constants import CREATED, UPDATED
from support.local import Clients, wait_until

Build = Callable[[cdk.Stack], Any]
#: Larger templates must be in S3:
#: https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html
MAX_TEMPLATE_BODY = 51_200


def add_failing_resource(scope: cdk.Stack, *after: IDependable) -> None:
    """Adds a resource that CloudFormation cannot create because its role does not exist.

    Args:
        scope: The stack.
        *after: The resource is created after these.
    """
    allow = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}
    document = {"Version": "2012-10-17", "Statement": [allow]}
    policy = iam.CfnPolicy(scope, "Fails", policy_name="none", policy_document=document, roles=["none"])
    policy.node.add_dependency(*after)


@dataclass(frozen=True)
class Outcome:
    """The result of a deployment."""

    status: str
    outputs: dict[str, str]
    reasons: list[str]

    @property
    def said(self) -> str:
        """All reasons that CloudFormation reported."""
        return "\n".join(self.reasons)


class RealStage:
    """The stacks of a stage, deployed in the order of their dependencies."""

    def __init__(self, aws: LocalAws, client: Clients, name: str) -> None:
        self.aws = aws
        self.name = name
        self._client = client
        #: The stacks by name.
        self.stacks: dict[str, RealStack] = {}

    def deploy(self, build: Callable[[cdk.Stage], Any]) -> dict[str, Outcome]:
        """Creates or updates the stacks, and stops at the first failure.

        Returns:
            The outcomes by the name of the stack without the stage's name.
        """
        outcomes: dict[str, Outcome] = {}
        with TemporaryDirectory() as folder:
            app = cdk.App(outdir=folder, analytics_reporting=False)
            stage = cdk.Stage(app, self.name, env=cdk.Environment(account=self.aws.account, region=self.aws.region))
            build(stage)
            app.synth()
            # The artifacts are in the order of their dependencies.
            for artifact in stage.synth().stacks:
                stack = self.stacks.setdefault(
                    artifact.stack_name, RealStack(self.aws, self._client, artifact.stack_name)
                )
                place = Path(artifact.assembly.directory)
                stack.publish(place, (place / f"{artifact.id}.assets.json").read_text())
                outcome = stack.deploy_template(json.loads((place / artifact.template_file).read_text()))
                outcomes[artifact.stack_name.removeprefix(f"{self.name}-")] = outcome
                if outcome.status not in (CREATED, UPDATED):
                    break
        return outcomes

    @property
    def jobs(self) -> list[str]:
        """The ARNs of the stage's jobs, in the order in which they were created."""
        return [arn for arn in self.aws.personalize.jobs if f"/{self.name}" in arn]


class RealStack:
    """A stack in the local AWS that a test can deploy several times."""

    def __init__(self, aws: LocalAws, client: Clients, name: str) -> None:
        self.aws = aws
        self.name = name
        self._cloudformation = client("cloudformation")
        self._s3 = client("s3")
        self._exists = False
        self._seen: set[str] = set()

    def template(self, build: Build) -> dict[str, Any]:
        """Returns the stack's template, and uploads its assets to S3."""
        environment = cdk.Environment(account=self.aws.account, region=self.aws.region)
        return self._synthesize(lambda app: build(cdk.Stack(app, self.name, env=environment)))

    def deploy(self, build: Build) -> Outcome:
        """Creates or updates the stack."""
        return self.deploy_template(self.template(build))

    def deploy_app(self, make: Callable[[cdk.App], Any]) -> Outcome:
        """Creates or updates the stack from a function that adds a stack of any class to an app."""
        return self.deploy_template(self._synthesize(make))

    def _synthesize(self, make: Callable[[cdk.App], Any]) -> dict[str, Any]:
        with TemporaryDirectory() as folder:
            app = cdk.App(outdir=folder, analytics_reporting=False)
            make(app)
            app.synth()
            self.publish(Path(folder), (Path(folder) / f"{self.name}.assets.json").read_text())
            template: dict[str, Any] = json.loads((Path(folder) / f"{self.name}.template.json").read_text())
            return template

    def publish(self, folder: Path, assets: str) -> None:
        """Uploads the files of an assembly that were not uploaded before."""
        # The CLI replaces these placeholders for a stack without an environment.
        assets = assets.replace("${AWS::AccountId}", self.aws.account).replace("${AWS::Region}", self.aws.region)
        for asset in json.loads(assets)["files"].values():
            self._publish(folder, asset)

    def cancel_update(self) -> None:
        """Cancels the update in progress."""
        self._cloudformation.cancel_update_stack(StackName=self.name)

    def deploy_template(self, template: dict[str, Any]) -> Outcome:
        """Creates or updates the stack from a template."""
        request = {
            "StackName": self.name,
            **self._template_argument(json.dumps(template)),
            "Capabilities": ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM"],
        }
        if self._exists:
            try:
                self._cloudformation.update_stack(**request)
            except ClientError as error:
                if "No updates" not in str(error):
                    raise
        else:
            self._cloudformation.create_stack(**request)
            self._exists = True
        return self._outcome()

    def _template_argument(self, template: str) -> dict[str, str]:
        if len(template) <= MAX_TEMPLATE_BODY:
            return {"TemplateBody": template}
        bucket, key = f"cdk-hnb659fds-assets-{self.aws.account}-{self.aws.region}", f"{self.name}.json"
        self._s3.put_object(Bucket=bucket, Key=key, Body=template.encode())
        return {"TemplateURL": f"{self.aws.endpoint_url}/{bucket}/{key}"}

    def destroy(self) -> Outcome:
        """Deletes the stack."""
        stack_id = self._describe()["StackId"]
        self._cloudformation.delete_stack(StackName=self.name)
        self._exists = False
        return self._outcome(stack_id)

    def resource(self, logical_id_contains: str) -> str:
        """Returns the physical ID of the only resource whose logical ID contains a text."""
        found = self._cloudformation.list_stack_resources(StackName=self.name)["StackResourceSummaries"]
        (physical_id,) = [one["PhysicalResourceId"] for one in found if logical_id_contains in one["LogicalResourceId"]]
        return str(physical_id)

    def resources_of(self, type: str) -> list[str]:
        """Returns the physical IDs of all resources of a type."""
        found = self._cloudformation.list_stack_resources(StackName=self.name)["StackResourceSummaries"]
        return [one["PhysicalResourceId"] for one in found if one["ResourceType"] == type]

    @property
    def jobs(self) -> list[str]:
        """The ARNs of the stack's jobs, in the order in which they were created."""
        return [arn for arn in self.aws.personalize.jobs if f"/{self.name}-" in arn]

    @property
    def job_resource(self) -> str:
        """The physical ID of the stack's only job resource, which is the ARN of a job."""
        (arn,) = self.resources_of(RESOURCE_TYPE)
        return arn

    def _describe(self, name: str | None = None) -> dict[str, Any]:
        (stack,) = self._cloudformation.describe_stacks(StackName=name or self.name)["Stacks"]
        described: dict[str, Any] = stack
        return described

    def _new_events(self, name: str) -> list[dict[str, Any]]:
        """Returns the events since the last outcome, newest first. Reading all events took most of a test's time."""
        pages = self._cloudformation.get_paginator("describe_stack_events").paginate(StackName=name)
        events = (event for page in pages for event in page["StackEvents"])
        new = list(itertools.takewhile(lambda event: event["EventId"] not in self._seen, events))
        self._seen |= {event["EventId"] for event in new}
        return new

    def _outcome(self, stack_id: str | None = None) -> Outcome:
        stack: dict[str, Any] = {}

        def is_over() -> bool:
            stack.update(self._describe(stack_id))
            return not stack["StackStatus"].endswith("_IN_PROGRESS")

        # 10 checks a second. 50 took a quarter of a deployment's CPU time.
        wait_until(is_over, timeout=120, interval=0.1)
        events = self._new_events(stack_id or self.name)
        reasons = [event["ResourceStatusReason"] for event in events if event.get("ResourceStatusReason")]
        outputs = {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}
        return Outcome(stack["StackStatus"], outputs, [*reasons, stack.get("StackStatusReason", "")])

    def _publish(self, folder: Path, asset: dict[str, Any]) -> None:
        """Publishes an asset as ``cdk deploy`` does, unless it exists."""
        # There are two destinations if a parent and its nested stack have the same queries.
        for place in asset["destinations"].values():
            target = {"Bucket": place["bucketName"], "Key": place["objectKey"]}
            try:
                self._s3.head_object(**target)
            except ClientError:
                path = folder / asset["source"]["path"]
                body = _zipped(path) if asset["source"]["packaging"] == "zip" else path.read_bytes()
                self._s3.put_object(**target, Body=body)


def _zipped(folder: Path) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            archive.write(file, file.relative_to(folder))
    return buffer.getvalue()
