"""Cost and size of the library in a stack, compared with the same stack without the library.

The cost of a synthesis is measured in time and in jsii calls. Every jsii call takes about the same time, and their
number is the same on every machine.
"""

import io
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import aws_cdk.aws_iam as iam
import aws_cdk.aws_lambda as lambda_
import aws_cdk.aws_logs as logs
import aws_cdk.aws_s3 as s3
import aws_cdk.aws_s3_assets as s3_assets
import aws_cdk.custom_resources as cr
import batch_segment_handler
from aws_cdk.assertions import Template
from cdk_personalize_segments import BatchSegmentInput, BatchSegmentJob, BatchSegmentStorage, SegmentQuery
from cdk_personalize_segments.functions import ASSET_EXCLUDES

VERSION = "arn:aws:personalize:eu-west-1:123456789012:solution/films/0123abcd"
ENVIRONMENT = cdk.Environment(account="123456789012", region="eu-west-1")
HANDLER = Path(batch_segment_handler.__file__).parent
MORE_JOBS = 40
MANY_JOBS = 60

Row = tuple[str, str, str]


def new_stack() -> cdk.Stack:
    # Disable the validation of templates: it takes most of the time, and the same in both cases.
    return cdk.Stack(cdk.App(analytics_reporting=False), "Stack", env=ENVIRONMENT)


def with_library(stack: cdk.Stack) -> None:
    """Adds one job with the library."""
    BatchSegmentJob(
        stack,
        "Job",
        solution_version_arn=VERSION,
        job_input=BatchSegmentInput.from_queries([SegmentQuery.items_like("105")]),
    )


def hand_wired(stack: cdk.Stack) -> None:
    """Adds the same resources without the library."""
    service = iam.ServicePrincipal(
        "personalize.amazonaws.com",
        conditions={
            "StringEquals": {"aws:SourceAccount": stack.account},
            "ArnLike": {"aws:SourceArn": stack.format_arn(service="personalize", resource="*")},
        },
    )
    role = iam.Role(stack, "Role", assumed_by=service)
    buckets = []
    for name, action in (("Input", "s3:GetObject"), ("Output", "s3:PutObject")):
        bucket = s3.Bucket(
            stack,
            name,
            encryption=s3.BucketEncryption.S3_MANAGED,
            enforce_ssl=True,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            lifecycle_rules=[s3.LifecycleRule(abort_incomplete_multipart_upload_after=cdk.Duration.days(7))],
            removal_policy=cdk.RemovalPolicy.RETAIN,
        )
        for act, resource in (("s3:ListBucket", bucket.bucket_arn), (action, bucket.arn_for_objects("jobs/*"))):
            role.add_to_policy(iam.PolicyStatement(actions=[act], resources=[resource]))
            bucket.add_to_resource_policy(
                iam.PolicyStatement(
                    principals=[iam.ServicePrincipal("personalize.amazonaws.com")], actions=[act], resources=[resource]
                )
            )
        buckets.append(bucket)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "queries.jsonl"
        file.write_text('{"itemId": "105"}\n')
        asset = s3_assets.Asset(stack, "Queries", path=str(file))
    handler = lambda_.Function(
        stack,
        "Handler",
        runtime=lambda_.Runtime.PYTHON_3_14,
        handler="batch_segment_handler.handler.on_event",
        code=lambda_.Code.from_asset(str(HANDLER), exclude=["__pycache__"]),
        timeout=cdk.Duration.minutes(14),
        log_group=logs.LogGroup(stack, "Logs"),
    )
    jobs = stack.format_arn(service="personalize", resource="batch-segment-job", resource_name="job-*")
    for actions, resources in (
        (["personalize:CreateBatchSegmentJob", "personalize:DescribeBatchSegmentJob"], [jobs]),
        (["personalize:DescribeSolutionVersion"], [VERSION]),
        (["iam:PassRole"], [role.role_arn]),
        (["s3:GetObject"], [asset.bucket.arn_for_objects(asset.s3_object_key)]),
        (["s3:PutObject"], [buckets[0].arn_for_objects("jobs/*")]),
    ):
        handler.add_to_role_policy(iam.PolicyStatement(actions=actions, resources=resources))
    provider = cr.Provider(stack, "Provider", on_event_handler=handler, log_group=logs.LogGroup(stack, "ProviderLogs"))
    resource = cdk.CustomResource(
        stack,
        "Job",
        service_token=provider.service_token,
        properties={
            "SolutionVersionArn": VERSION,
            "RoleArn": role.role_arn,
            "InputPath": buckets[0].s3_url_for_object("jobs/"),
            "OutputPath": buckets[1].s3_url_for_object("jobs/"),
            "AssetBucket": asset.s3_bucket_name,
            "AssetKey": asset.s3_object_key,
        },
    )
    resource.node.add_dependency(*buckets)


def with_aws_custom_resource(stack: cdk.Stack) -> None:
    """Adds the closest alternative without a handler: an AwsCustomResource of CDK that calls the API once."""
    role = iam.Role(stack, "Role", assumed_by=iam.ServicePrincipal("personalize.amazonaws.com"))
    buckets = [s3.Bucket(stack, name, enforce_ssl=True) for name in ("Input", "Output")]
    call = cr.AwsSdkCall(
        service="Personalize",
        action="createBatchSegmentJob",
        physical_resource_id=cr.PhysicalResourceId.from_response("batchSegmentJobArn"),
        parameters={
            "jobName": "job",
            "solutionVersionArn": VERSION,
            "roleArn": role.role_arn,
            "jobInput": {"s3DataSource": {"path": buckets[0].s3_url_for_object("jobs/")}},
            "jobOutput": {"s3DataDestination": {"path": buckets[1].s3_url_for_object("jobs/")}},
        },
    )
    cr.AwsCustomResource(
        stack,
        "Job",
        on_create=call,
        install_latest_aws_sdk=False,
        policy=cr.AwsCustomResourcePolicy.from_sdk_calls(resources=cr.AwsCustomResourcePolicy.ANY_RESOURCE),
    )


def empty(stack: cdk.Stack) -> None:
    """Adds one bucket."""
    s3.Bucket(stack, "Bucket")


def many_jobs(number: int, *, inline: bool) -> Callable[[cdk.Stack], None]:
    """Returns a function that adds one job and a number of further jobs on its storage."""

    def build(stack: cdk.Stack) -> None:
        with_library(stack)
        storage = BatchSegmentStorage(stack, "Storage")
        for index in range(number):
            job_input = (
                BatchSegmentInput.from_queries([SegmentQuery.items_like(str(index))])
                if inline
                else BatchSegmentInput.from_bucket(storage.input_bucket, f"in-s3/{index}.jsonl")
            )
            BatchSegmentJob(stack, f"Job{index}", solution_version_arn=VERSION, job_input=job_input, storage=storage)

    return build


def many_bare(number: int) -> Callable[[cdk.Stack], None]:
    """Returns a function that adds one job and a number of custom resources with as many properties as a job."""

    def build(stack: cdk.Stack) -> None:
        with_library(stack)
        storage = BatchSegmentStorage(stack, "Storage")
        for index in range(number):
            cdk.CustomResource(
                stack,
                f"Job{index}",
                service_token="arn:aws:lambda:eu-west-1:123456789012:function:provider",
                resource_type="Custom::Bare",
                properties={
                    "SolutionVersionArn": VERSION,
                    "RoleArn": storage.role.role_arn,
                    "InputPath": storage.input_bucket.s3_url_for_object(f"in-s3/{index}.jsonl"),
                    "OutputPath": storage.output_bucket.s3_url_for_object("segments/"),
                    "JobNamePrefix": f"Stack-Job{index}",
                },
            )

    return build


def seconds(*builds: Callable[[cdk.Stack], None], times: int = 12) -> list[float]:
    """Returns the shortest time to build and synthesize each stack, measured in turns. Noise can only add time."""
    taken: list[list[float]] = [[] for _ in builds]
    for turn in range(times + 1):
        for results, build in zip(taken, builds, strict=True):
            started = time.perf_counter()
            stack = new_stack()
            build(stack)
            app = stack.node.root
            assert isinstance(app, cdk.App)
            app.synth()
            if turn:  # the first turn is a warm-up
                results.append(time.perf_counter() - started)
    return [min(results) for results in taken]


@contextmanager
def counted_calls() -> Iterator[list[int]]:
    """Counts the jsii calls, and the responses to jsii's callbacks, until the end of the block."""
    # jsii has no public interface for this. Each request passes through this method.
    from jsii._kernel.providers.process import _NodeProcess as Process

    send = Process.send
    calls = [0]

    def count(*args: Any, **kwargs: Any) -> Any:
        calls[0] += 1
        return send(*args, **kwargs)

    Process.send = count  # type: ignore[method-assign]
    try:
        yield calls
    finally:
        Process.send = send  # type: ignore[method-assign]


def calls(build: Callable[[cdk.Stack], None]) -> int:
    """Returns the number of jsii calls to build and synthesize a stack."""
    stack = new_stack()
    app = stack.node.root
    assert isinstance(app, cdk.App)
    with counted_calls() as number:
        build(stack)
        app.synth()
    return number[0]


def calls_of_further_job(build: Callable[[int], Callable[[cdk.Stack], None]]) -> float:
    """Returns the number of jsii calls of one more job in a stack with jobs."""
    few, more = 2, 12
    return (calls(build(more)) - calls(build(few))) / (more - few)


def resource_count(build: Callable[[cdk.Stack], None]) -> int:
    """Returns the number of resources in a stack."""
    stack = new_stack()
    build(stack)
    return len(Template.from_stack(stack).to_json()["Resources"])


def asset_kilobytes() -> float:
    """Returns the size of the handler's Lambda asset."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in HANDLER.rglob("*.py"):
            if file.name in ASSET_EXCLUDES:
                continue
            archive.write(file, f"{HANDLER.name}/{file.relative_to(HANDLER)}")
    return len(buffer.getvalue()) / 1024


def cold_start_ratio(times: int = 9) -> float:
    """Returns the time to import the handler and create its client, divided by the time for boto3 and the client."""
    statements = [
        "import boto3; boto3.client('personalize', region_name='eu-west-1')",
        "import batch_segment_handler.handler, batch_segment_handler.clients as clients; clients.personalize()",
    ]
    taken: list[list[float]] = [[], []]
    for turn in range(times + 1):
        for results, statement in zip(taken, statements, strict=True):
            program = f"import time; s = time.perf_counter()\n{statement}\nprint(time.perf_counter() - s)"
            out = subprocess.run(
                [sys.executable, "-c", program],
                check=True,
                capture_output=True,
                text=True,
                env={"AWS_DEFAULT_REGION": "eu-west-1", "PYTHONPATH": str(HANDLER.parent)},
            ).stdout
            if turn:
                results.append(float(out))
    bare, handler = (min(results) for results in taken)
    return handler / bare


def run() -> list[Row]:
    """Returns the name, the result and the limit of each measurement."""
    library, by_hand, call, bare_stack = seconds(with_library, hand_wired, with_aws_custom_resource, empty, times=40)
    base, jobs, inline, bare = seconds(
        many_jobs(0, inline=False), many_jobs(MORE_JOBS, inline=False), many_jobs(MORE_JOBS, inline=True),
        many_bare(MORE_JOBS), times=40,
    )  # fmt: skip
    calls_of_one, calls_of_hand_wired = calls(with_library), calls(hand_wired)
    of_bare = calls_of_further_job(many_bare)
    of_in_s3, of_inline = (calls_of_further_job(lambda n, i=i: many_jobs(n, inline=i)) for i in (False, True))
    calls(many_jobs(MANY_JOBS - 1, inline=True))
    first = resource_count(with_library)
    two = resource_count(many_jobs(2, inline=True)) - resource_count(many_jobs(1, inline=True))
    return [
        ("synth, one job / the same without the library", f"{library / by_hand:.2f}x", "≤ 1.1x"),
        (
            "jsii calls, one job / the same without the library",
            f"{calls_of_one} / {calls_of_hand_wired} = {calls_of_one / calls_of_hand_wired:.2f}x",
            "≤ 1.1x",
        ),
        ("synth, one job / AwsCustomResource, which does far less", f"{library / call:.2f}x", "-"),
        ("synth, one job / a stack with one bucket", f"{library / bare_stack:.1f}x", "-"),
        ("synth, each further job / a bare CustomResource", f"{(jobs - base) / (bare - base):.2f}x", "≤ 2x"),
        (
            "jsii calls, each further job / a bare CustomResource",
            f"{of_in_s3:.0f} / {of_bare:.0f} = {of_in_s3 / of_bare:.2f}x",
            "≤ 2x",
        ),
        (
            "jsii calls, each further job with inline queries / a bare CustomResource",
            f"{of_inline:.0f} / {of_bare:.0f} = {of_inline / of_bare:.2f}x",
            "≤ 2x",
        ),
        (
            "synth, each further job with inline queries (an asset each) / a bare CustomResource",
            f"{(inline - base) / (bare - base):.2f}x",
            "-",
        ),
        ("resources with the first job", str(first), "≤ 16"),
        ("resources with each further job", str(two), "1"),
        ("jobs of one stack on one storage, synthesized", str(MANY_JOBS), f"≥ {MANY_JOBS}"),
        ("resources, the same without the library", str(resource_count(hand_wired)), "-"),
        ("resources, AwsCustomResource", str(resource_count(with_aws_custom_resource)), "-"),
        ("handler's asset", f"{asset_kilobytes():.1f} KB", "≤ 34 KB"),
        ("import of the handler / boto3 and its client", f"{cold_start_ratio():.2f}x", "≤ 1.15x"),
    ]
