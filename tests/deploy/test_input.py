"""Input, from a list of queries to the files that the service reads and the segments that it writes."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import aws_cdk.aws_iam as iam
import aws_cdk.aws_s3 as s3
import boto3
import pytest
from botocore.exceptions import ClientError
from cdk_personalize_segments import BatchSegmentInput, BatchSegmentJob, BatchSegmentStorage, SegmentQuery
from personalize_local.gateway import LocalAws
from personalize_local.iam import create_role_session
from personalize_segments_reader import read_segments
from stacks import RealStack

from docs import pages

WAIT = cdk.Duration.minutes(30)
FAULT = "line 777, column 2: unknown key 'itemID': write \"itemId\""
DESTROY = cdk.RemovalPolicy.DESTROY


def seed(aws: LocalAws, name: str) -> str:
    return aws.environment()[f"PERSONALIZE_LOCAL_{name}_ARN"]


def one_job(job_input: Any, version: str, **props: Any) -> Any:
    """Builds a stack with one job that is waited for, and its attributes as outputs."""

    def build(stack: cdk.Stack) -> None:
        given = job_input(stack) if callable(job_input) else job_input
        props.setdefault("wait_for_completion", WAIT)
        job = BatchSegmentJob(stack, "Job", job_input=given, solution_version_arn=version, **props)
        cdk.CfnOutput(stack, "OutputUri", value=job.output_uri)
        cdk.CfnOutput(stack, "QueryErrors", value=job.query_errors)

    return build


def segments(client: Callable[[str], Any], uri: str) -> dict[str, list]:
    s3_client = client("s3")
    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    found = {}
    for page in s3_client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        for item in page["Contents"]:
            if item["Key"].endswith(".out"):
                body = s3_client.get_object(Bucket=bucket, Key=item["Key"])["Body"]
                found[item["Key"].removeprefix(prefix)] = list(read_segments(body.iter_lines()))
    return found


def test_1234_item_ids_are_three_files_and_1234_segments(
    stack: RealStack, aws: LocalAws, client: Callable[[str], Any]
) -> None:
    ids = [str(number) for number in range(1, 1235)]
    queries = BatchSegmentInput.from_queries(SegmentQuery.items_like(id) for id in ids)
    done = stack.deploy(one_job(queries, seed(aws, "ITEM_AFFINITY_VERSION")))
    assert done.status == "CREATE_COMPLETE", done.said
    assert done.outputs["QueryErrors"] == "none"
    found = segments(client, done.outputs["OutputUri"])
    assert [len(found[name]) for name in sorted(found)] == [500, 500, 234]
    assert [segment.query["itemId"] for name in sorted(found) for segment in found[name]] == ids
    assert all(segment.user_ids and segment.error is None for name in found for segment in found[name])


def test_the_documented_program_reads_the_segments(
    stack: RealStack, aws: LocalAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    queries = BatchSegmentInput.from_queries(SegmentQuery.items_like(id) for id in ("1", "no such", "2"))
    done = stack.deploy(one_job(queries, seed(aws, "ITEM_AFFINITY_VERSION"), num_results=7))
    for name, value in aws.environment().items():
        monkeypatch.setenv(name, value)
    program, *_ = pages.python(pages.DOCS / "how-to" / "segments.md")
    names: dict[str, Any] = {}
    exec(program.code, names)
    read = list(names["segments_at"](done.outputs["OutputUri"]))
    assert [(segment.query["itemId"], len(segment.user_ids)) for segment in read] == [
        ("1", 7),
        ("no such", 0),
        ("2", 7),
    ]
    assert [segment.error is None for segment in read] == [True, False, True]
    assert done.outputs["QueryErrors"] == f"1 of 3 queries; the first: {read[1].error}"


def test_1234_attributes_are_124_files(stack: RealStack, aws: LocalAws, client: Callable[[str], Any]) -> None:
    queries = BatchSegmentInput.from_queries([SegmentQuery.where(GENRES="Comedy")] * 1234)
    done = stack.deploy(one_job(queries, seed(aws, "ITEM_ATTRIBUTE_AFFINITY_VERSION")))
    assert done.status == "CREATE_COMPLETE", done.said
    found = segments(client, done.outputs["OutputUri"])
    assert len(found) == 124
    assert sum(map(len, found.values())) == 1234


# The quota is documented. That exceeding it fails the job is an assumption of the local Personalize.
# https://docs.aws.amazon.com/personalize/latest/dg/limits.html
def test_local_personalize_fails_a_job_with_a_file_above_the_quota(
    stack: RealStack, aws: LocalAws, client: Callable[[str], Any]
) -> None:
    queries = BatchSegmentInput.from_queries([SegmentQuery.items_like("1")] * 501, queries_per_file=501)
    done = stack.deploy(one_job(queries, seed(aws, "ITEM_AFFINITY_VERSION")))
    assert done.status == "ROLLBACK_COMPLETE"
    assert "part-00000.jsonl has more than 500 queries, the quota of aws-item-affinity" in done.said


@pytest.fixture
def faulty(tmp_path: Path) -> Any:
    file = tmp_path / "queries.jsonl"
    good = '{"itemId": "1"}\n'
    file.write_text(good * 776 + '{"itemID": "777"}\n' + good)
    return file


def test_a_fault_in_line_777_fails_at_synth(stack: RealStack, aws: LocalAws, faulty: Any) -> None:
    with pytest.raises(ValueError, match="1 fault") as refused:
        stack.deploy(one_job(BatchSegmentInput.from_asset(faulty), seed(aws, "ITEM_AFFINITY_VERSION")))
    assert str(refused.value) == f"1 fault in the queries:\n  '{faulty}', {FAULT}"


def test_the_same_fault_in_s3_fails_the_deployment_and_no_job_is_created(
    stack: RealStack, aws: LocalAws, client: Callable[[str], Any], faulty: Any
) -> None:
    bucket = f"{stack.name.lower()}-queries"
    client("s3").create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": aws.region})
    client("s3").put_object(Bucket=bucket, Key="in/queries.jsonl", Body=faulty.read_bytes())
    allow(client, bucket)

    def existing(scope: cdk.Stack) -> BatchSegmentInput:
        imported = s3.Bucket.from_bucket_name(scope, "Imported", bucket)
        return BatchSegmentInput.from_bucket(imported, "in/", queries_per_file=1000)

    build = one_job(existing, seed(aws, "ITEM_AFFINITY_VERSION"))
    done = stack.deploy(build)
    assert done.status == "ROLLBACK_COMPLETE"
    assert f"1 fault in the queries:\n  's3://{bucket}/in/queries.jsonl', {FAULT}" in done.said
    assert stack.jobs == []

    # Mended, the same stack deploys.
    stack.destroy()
    client("s3").put_object(Bucket=bucket, Key="in/queries.jsonl", Body=b'{"itemId": "1"}\n' * 500)
    assert stack.deploy(build).status == "CREATE_COMPLETE"
    assert len(stack.jobs) == 1


# AWS's notebook says that records have an `error` element. Its text is that of the local Personalize.
# https://github.com/aws-samples/amazon-personalize-samples/blob/master/next_steps/core_use_cases/updating_datasets/update-item-dataset-schema-example.ipynb
def test_reports_query_errors_of_local_personalize_without_validation(
    stack: RealStack, aws: LocalAws, client: Callable[[str], Any], tmp_path: Path
) -> None:
    bucket = f"{stack.name.lower()}-queries"
    client("s3").create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": aws.region})
    client("s3").put_object(Bucket=bucket, Key="in/a.jsonl", Body=b'{"itemId": "1"}\n{"itemID": "2"}\n')
    allow(client, bucket)

    def existing(scope: cdk.Stack) -> BatchSegmentInput:
        theirs = s3.Bucket.from_bucket_name(scope, "Theirs", bucket)
        return BatchSegmentInput.from_bucket(theirs, "in/", validate_input=False)

    done = stack.deploy(one_job(existing, seed(aws, "ITEM_AFFINITY_VERSION")))
    assert done.status == "CREATE_COMPLETE", done.said
    assert done.outputs["QueryErrors"] == "1 of 2 queries; the first: the line has no itemId"


def test_an_item_that_the_solution_does_not_know_is_reported(stack: RealStack, aws: LocalAws) -> None:
    queries = BatchSegmentInput.from_queries([SegmentQuery.items_like("1"), SegmentQuery.items_like("no such")])
    done = stack.deploy(one_job(queries, seed(aws, "ITEM_AFFINITY_VERSION")))
    assert done.outputs["QueryErrors"] == (
        "1 of 2 queries; the first: the item no such is not in the data of the solution version"
    )


@pytest.mark.parametrize(
    ("version", "query", "filter_name", "words"),
    [
        (
            "ITEM_ATTRIBUTE_AFFINITY_VERSION",
            SegmentQuery.items_like("1"),
            None,
            "segment_queries[0]: expected SegmentQuery.where(…), which the solution's recipe takes, got "
            "SegmentQuery.items_like(…)",
        ),
        (
            "USER_PERSONALIZATION_VERSION",
            SegmentQuery.items_like("1"),
            None,
            "uses the recipe aws-user-personalization of type USER_PERSONALIZATION, expected a recipe of type "
            "USER_SEGMENTATION: aws-item-affinity or aws-item-attribute-affinity",
        ),
        (
            "ITEM_AFFINITY_VERSION",
            SegmentQuery.items_like("1"),
            "FILTER_WITH_PLACEHOLDER",
            "segment_queries[0]: no value for the filter's placeholder $COUNTRY: add .with_filter_values(COUNTRY=…)",
        ),
        (
            "ITEM_AFFINITY_VERSION",
            SegmentQuery.items_like("1").with_filter_values(COUNTY="Japan"),
            "FILTER_WITH_PLACEHOLDER",
            "segment_queries[0]: unknown filter value 'COUNTY', expected $COUNTRY",
        ),
    ],
)
def test_what_cannot_work_is_refused_before_a_job_is_created(
    stack: RealStack, aws: LocalAws, version: str, query: Any, filter_name: str | None, words: str
) -> None:
    filter_arn = None if filter_name is None else seed(aws, filter_name)
    build = one_job(BatchSegmentInput.from_queries([query]), seed(aws, version), filter_arn=filter_arn)
    done = stack.deploy(build)
    assert done.status == "ROLLBACK_COMPLETE"
    assert words in done.said
    assert stack.jobs == []


@pytest.mark.parametrize("queries_per_file", [None, 200_000])
def test_stages_into_a_bucket_that_denies_writes_without_an_encryption_header(
    stack: RealStack, aws: LocalAws, client: Callable[[str], Any], tmp_path: Path, queries_per_file: int | None
) -> None:
    file = tmp_path / "queries.jsonl"
    # With the quota raised, one part is larger than a single request.
    file.write_text(f'{{"itemId": "{"1" * 40}"}}\n' * (1 if queries_per_file is None else 120_000))

    def build(scope: cdk.Stack) -> None:
        bucket = s3.Bucket(scope, "Input")
        denied = bucket.add_to_resource_policy(
            iam.PolicyStatement(
                effect=iam.Effect.DENY,
                principals=[iam.AnyPrincipal()],
                actions=["s3:PutObject"],
                resources=[bucket.arn_for_objects("*")],
                conditions={"Null": {"s3:x-amz-server-side-encryption": "true"}},
            )
        )
        assert denied.statement_added
        BatchSegmentJob(
            scope,
            "Job",
            job_input=BatchSegmentInput.from_asset(file, queries_per_file=queries_per_file),
            solution_version_arn=seed(aws, "ITEM_AFFINITY_VERSION"),
            storage=BatchSegmentStorage(scope, "Storage", input_bucket=bucket, removal_policy=DESTROY),
        )

    done = stack.deploy(build)
    assert done.status == "CREATE_COMPLETE", done.said
    (bucket,) = [name for name in stack.resources_of("AWS::S3::Bucket") if "input" in name]
    (staged,) = client("s3").list_objects_v2(Bucket=bucket)["Contents"]
    place = {"Bucket": bucket, "Key": staged["Key"]}
    assert client("s3").head_object(**place)["ServerSideEncryption"] == "AES256"
    assert client("s3").get_object(**place)["Body"].read() == file.read_bytes()
    # The local AWS enforces the policy: the handler's role cannot write without the header.
    role = f"arn:aws:iam::{aws.account}:role/{stack.resource('HandlerRole')}"
    handler = boto3.Session(region_name=aws.region, **create_role_session(role)).client(
        "s3", endpoint_url=aws.endpoint_url
    )
    with pytest.raises(ClientError, match="AccessDenied"):
        handler.put_object(**place, Body=b"")
    handler.put_object(**place, Body=b"", ServerSideEncryption="AES256")


def test_a_filter_with_a_placeholder_gets_the_values_of_every_query(
    stack: RealStack, aws: LocalAws, client: Callable[[str], Any]
) -> None:
    query = SegmentQuery.items_like("1").with_filter_values(COUNTRY=["Japan", "Kenya"])
    build = one_job(
        BatchSegmentInput.from_queries([query]),
        seed(aws, "ITEM_AFFINITY_VERSION"),
        filter_arn=seed(aws, "FILTER_WITH_PLACEHOLDER"),
    )
    done = stack.deploy(build)
    assert done.status == "CREATE_COMPLETE", done.said
    ((segment,),) = segments(client, done.outputs["OutputUri"]).values()
    assert segment.query == {"itemId": "1", "filterValues": {"COUNTRY": '"Japan","Kenya"'}}
    assert segment.user_ids


def test_the_latest_active_version_of_a_solution_is_taken_and_reported(stack: RealStack, aws: LocalAws) -> None:
    def build(scope: cdk.Stack) -> None:
        job = BatchSegmentJob(
            scope,
            "Job",
            job_input=BatchSegmentInput.from_queries([SegmentQuery.items_like("1")]),
            solution_arn=seed(aws, "ITEM_AFFINITY_SOLUTION"),
            storage=BatchSegmentStorage(scope, "Storage", removal_policy=DESTROY),
        )
        cdk.CfnOutput(scope, "Version", value=job.solution_version_arn)

    assert stack.deploy(build).outputs["Version"] == seed(aws, "ITEM_AFFINITY_VERSION")


def allow(client: Callable[[str], Any], bucket: str) -> None:
    """The bucket policy that the warning at synth asks for."""
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "personalize.amazonaws.com"},
        "Action": ["s3:ListBucket", "s3:GetObject"],
        "Resource": [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"],
    }
    policy = {"Version": "2012-10-17", "Statement": [statement]}
    client("s3").put_bucket_policy(Bucket=bucket, Policy=json.dumps(policy))
