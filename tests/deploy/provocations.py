"""Provokes each failure in docs/troubleshooting.md, by its heading."""

import gzip
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import aws_cdk.aws_iam as iam
import aws_cdk.aws_kms as kms
import aws_cdk.aws_s3 as s3
import pytest
from batch_segment_handler.contract import ON_EVENT
from cdk_personalize_segments import BatchSegmentInput, BatchSegmentJob, BatchSegmentStorage, SegmentQuery
from personalize_local.faults import JOB, Fault, Faults
from personalize_local.gateway import LocalAws
from personalize_local.models import SolutionVersion
from personalize_local.seeds import ITEM_AFFINITY
from support.cdk_cli import Cdk
from support.constants import CREATED, NOT_CREATED, ROLLED_BACK
from support.custom_resources import DeployedJob, send
from support.local import Clients, seeded_arn
from support.stacks import RealStack, add_failing_resource
from support.templates import add_job

ROOT = Path(__file__).parents[2]
WAIT = cdk.Duration.minutes(30)
CREATE = "CreateBatchSegmentJob"


@dataclass
class World:
    """The local AWS, a stack and helpers to provoke an error."""

    aws: LocalAws
    client: Clients
    stack: RealStack
    make_cdk: Callable[..., Cdk]
    faults: Faults
    monkeypatch: pytest.MonkeyPatch
    folder: Path

    def seed(self, name: str) -> str:
        """Returns the ARN of a seeded resource."""
        return seeded_arn(self.aws, name)

    def job(self, stack: cdk.Stack, **props: Any) -> BatchSegmentJob:
        """Adds a job that would succeed without the given properties."""
        if "solution_arn" not in props:
            props.setdefault("solution_version_arn", self.seed("ITEM_AFFINITY_VERSION"))
        return add_job(stack, **props)

    def synth_fails(self, build: Callable[[cdk.Stack], Any]) -> str:
        """Returns the error of the app."""
        with pytest.raises((ValueError, RuntimeError, TypeError)) as refused:
            self.stack.template(build)
        return str(refused.value)

    def deploy_fails(self, build: Callable[[cdk.Stack], Any]) -> str:
        """Returns the reasons of a deployment that fails."""
        done = self.stack.deploy(build)
        assert done.status == NOT_CREATED, done.said
        return done.said

    def bucket(self, **objects: bytes) -> str:
        """Creates a bucket before the stack, with objects under ``in/``."""
        name = f"{self.stack.name.lower()}-imported"
        self.client("s3").create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": self.aws.region})
        for key, body in objects.items():
            self.client("s3").put_object(Bucket=name, Key=f"in/{key}.jsonl", Body=body)
        return name

    def from_bucket(self, name: str) -> Callable[[cdk.Stack], BatchSegmentJob]:
        """Builds a job whose queries are in that bucket."""

        def build(stack: cdk.Stack) -> BatchSegmentJob:
            imported = s3.Bucket.from_bucket_name(stack, "Imported", name)
            return self.job(stack, job_input=BatchSegmentInput.from_bucket(imported, "in/"))

        return build


def _synth(**props: Any) -> Callable[[World], str]:
    return lambda world: world.synth_fails(lambda stack: world.job(stack, **props))


def _deploy(**props: Any) -> Callable[[World], str]:
    return lambda world: world.deploy_fails(lambda stack: world.job(stack, **props))


def _fault(*faults: Fault, **props: Any) -> Callable[[World], str]:
    def provoke(world: World) -> str:
        world.faults.inject(*faults)
        return _deploy(**props)(world)

    return provoke


def solution_arn(world: World) -> str:
    return _synth(solution_version_arn=world.seed("ITEM_AFFINITY_SOLUTION"))(world)


def another_region(world: World) -> str:
    arn = world.seed("ITEM_AFFINITY_VERSION").replace(world.aws.region, "us-east-1")
    return _synth(solution_version_arn=arn)(world)


def two_kinds(world: World) -> str:
    queries = [SegmentQuery.items_like("1"), SegmentQuery.where(GENRES="Comedy")]
    return world.synth_fails(lambda stack: world.job(stack, job_input=BatchSegmentInput.from_queries(queries)))


def _file(content: bytes) -> Callable[[World], str]:
    def provoke(world: World) -> str:
        file = world.folder / "queries.jsonl"
        file.write_bytes(content)
        return _synth(job_input=BatchSegmentInput.from_asset(file))(world)

    return provoke


def prefix_without_slash(world: World) -> str:
    return world.synth_fails(lambda stack: BatchSegmentStorage(stack, "Storage", output_prefix="segments"))


def overlap(world: World) -> str:
    def build(stack: cdk.Stack) -> None:
        bucket = s3.Bucket(stack, "Bucket")
        BatchSegmentStorage(
            stack, "Storage", input_bucket=bucket, output_bucket=bucket, input_prefix="a/", output_prefix="a/b/"
        )

    return world.synth_fails(build)


def alias(world: World) -> str:
    def build(stack: cdk.Stack) -> None:
        key = kms.Alias.from_alias_name(stack, "Alias", "alias/segments")
        BatchSegmentStorage(stack, "Storage", encryption_key=key)

    return world.synth_fails(build)


def no_bootstrap(world: World) -> str:
    app = world.make_cdk(f"python {ROOT / 'app.py'}", "PersonalizeSegments")
    (world.folder / "queries.jsonl").write_text('{"itemId": "1"}\n')
    return app.fails(
        solution_version_arn=world.seed("ITEM_AFFINITY_VERSION"),
        queries="queries.jsonl",
        **{"@aws-cdk/core:bootstrapQualifier": "missing"},
    )


def no_bucket_policy(world: World) -> str:
    return world.deploy_fails(world.from_bucket(world.bucket(queries=b'{"itemId": "1"}\n')))


def untrusting_role(world: World) -> str:
    def build(stack: cdk.Stack) -> None:
        role = iam.Role(stack, "Mine", assumed_by=iam.ServicePrincipal("ec2.amazonaws.com"))
        world.job(stack, storage=BatchSegmentStorage(stack, "Storage", role=role))

    return world.deploy_fails(build)


def explicit_deny(world: World) -> str:
    def build(stack: cdk.Stack) -> None:
        bucket = s3.Bucket(stack, "Bucket")
        bucket.add_to_resource_policy(
            iam.PolicyStatement(
                effect=iam.Effect.DENY,
                principals=[iam.AnyPrincipal()],
                actions=["s3:PutObject"],
                resources=[bucket.arn_for_objects("*")],
                conditions={"StringNotEquals": {"s3:x-amz-server-side-encryption": "aws:kms"}},
            )
        )
        world.job(stack, storage=BatchSegmentStorage(stack, "Storage", input_bucket=bucket))

    return world.deploy_fails(build)


def unknown_version(world: World) -> str:
    return _deploy(solution_version_arn=f"{world.seed('ITEM_AFFINITY_SOLUTION')}/9999")(world)


def other_recipe(world: World) -> str:
    return _deploy(solution_version_arn=world.seed("USER_PERSONALIZATION_VERSION"))(world)


def no_active_version(world: World) -> str:
    untrained = SolutionVersion("untrained", "0001", ITEM_AFFINITY, "CREATE IN_PROGRESS")
    catalog = world.aws.personalize.catalog
    world.monkeypatch.setattr(catalog, "versions", [*catalog.versions, untrained])
    arn = world.seed("ITEM_AFFINITY_SOLUTION").rpartition("/")[0]
    return _deploy(solution_arn=f"{arn}/untrained")(world)


def unknown_filter(world: World) -> str:
    return _deploy(filter_arn=f"{world.seed('FILTER')}s")(world)


def no_value(world: World) -> str:
    return _deploy(filter_arn=world.seed("FILTER_WITH_PLACEHOLDER"))(world)


def big_file(world: World) -> str:
    return world.deploy_fails(world.from_bucket(world.bucket(queries=b'{"itemId": "1"}\n' * 501)))


def no_object(world: World) -> str:
    return world.deploy_fails(world.from_bucket(world.bucket()))


def taken_name(world: World) -> str:
    name = f"{world.stack.name}-taken"
    assert world.stack.deploy(lambda stack: world.job(stack, job_name=name)).status == CREATED
    done = world.stack.deploy(lambda stack: world.job(stack, job_name=name, num_results=7))
    assert done.status == ROLLED_BACK
    return done.said


def no_time(world: World) -> str:
    template = world.stack.template(world.job)
    (handler,) = (
        resource["Properties"]
        for resource in template["Resources"].values()
        if resource["Type"] == "AWS::Lambda::Function" and resource["Properties"]["Handler"].endswith(ON_EVENT)
    )
    # Less than the handler reserves for a last call that hangs.
    handler["Timeout"] = 60
    done = world.stack.deploy_template(template)
    assert done.status == NOT_CREATED, done.said
    return done.said


def rolling_back(world: World) -> str:
    deployed = DeployedJob(world.stack)

    def build(stack: cdk.Stack) -> None:
        world.job(stack)
        add_failing_resource(stack)

    assert world.stack.deploy(build).status == ROLLED_BACK
    return str(send(world.aws, "Create", deployed.changed(Trigger="late"))["Reason"])


def wait_is_over(world: World) -> str:
    # Longer than functions take to start on a busy machine. The test does not wait for it.
    world.monkeypatch.setattr(world.aws.personalize, "in_progress_seconds", 60)
    return _deploy(wait_for_completion=cdk.Duration.seconds(1))(world)


#: Provoke a failure of the page and return the message that the user sees, by the failure's heading.
PROVOKE: dict[str, Callable[[World], str]] = {
    "Solution ARN instead of a version": solution_arn,
    "Another region or account": another_region,
    "Two kinds of queries": two_kinds,
    "Unknown key in a query": _file(b'{"itemID": "1"}\n'),
    "Compressed queries": _file(gzip.compress(b'{"itemId": "1"}\n')),
    "Prefix without a slash": prefix_without_slash,
    "Output inside the input": overlap,
    "Too many tags": _synth(tags={f"key{number}": "value" for number in range(51)}),
    "KMS alias": alias,
    "Wait longer than an hour": _synth(wait_for_completion=cdk.Duration.hours(2)),
    "Bootstrap missing": no_bootstrap,
    "Bucket policy missing": no_bucket_policy,
    "Role cannot be assumed": untrusting_role,
    "Handler denied": _fault(
        Fault(
            CREATE,
            "AccessDeniedException",
            "User: arn:aws:sts::123456789012:assumed-role/x is not authorized to perform: "
            "personalize:CreateBatchSegmentJob because no permissions boundary allows it",
            times=None,
        )
    ),
    "Explicit deny": explicit_deny,
    # The local AWS does not evaluate key policies, so a fault of the service stands in for the denial.
    "KMS denied": _fault(
        Fault(
            CREATE,
            "AccessDeniedException",
            "User: arn:aws:sts::123456789012:assumed-role/x is not authorized to perform: kms:GenerateDataKey",
            times=None,
        )
    ),
    "Five jobs at once": _fault(
        Fault(CREATE, "LimitExceededException", "More than 5 resources with PENDING or IN_PROGRESS status", times=None)
    ),
    "Solution version not found": unknown_version,
    "Recipe of another type": other_recipe,
    "No ACTIVE version": no_active_version,
    "Filter not found": unknown_filter,
    "Placeholder without a value": no_value,
    "Too many queries in a file": big_file,
    "No object under the prefix": no_object,
    "Job name taken": taken_name,
    "No time left": no_time,
    "Stack is rolling back": rolling_back,
    "Wait is over": wait_is_over,
    "Job failed": _fault(Fault(JOB, message="no data"), wait_for_completion=WAIT),
    "Too many query errors": _deploy(
        job_input=BatchSegmentInput.from_queries([SegmentQuery.items_like("no such item")]),
        wait_for_completion=WAIT,
        max_query_errors=0,
    ),
}
