"""Input from a list of queries to the files that Personalize reads and the segments that it writes."""

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
from support.constants import CREATED, NOT_CREATED
from support.local import Clients, allow_personalize, role_session, seeded_arn
from support.segments import segments_at
from support.stacks import Build, RealStack

from docs import pages

WAIT = cdk.Duration.minutes(30)
FAULT = "line 777, column 2: unknown key 'itemID': write \"itemId\""
DESTROY = cdk.RemovalPolicy.DESTROY
#: The input, or a function that creates it in a stack.
JobInput = BatchSegmentInput | Callable[[cdk.Stack], BatchSegmentInput]


def one_job(job_input: JobInput, version: str, **props: Any) -> Build:
    """Builds a stack with one waiting job and its attributes as outputs."""

    def build(stack: cdk.Stack) -> None:
        given = job_input if isinstance(job_input, BatchSegmentInput) else job_input(stack)
        props.setdefault("wait_for_completion", WAIT)
        job = BatchSegmentJob(stack, "Job", job_input=given, solution_version_arn=version, **props)
        cdk.CfnOutput(stack, "OutputUri", value=job.output_uri)
        cdk.CfnOutput(stack, "QueryErrors", value=job.query_errors)

    return build


def test_1234_item_ids_make_three_files_and_1234_segments(stack: RealStack, aws: LocalAws, client: Clients) -> None:
    ids = [str(number) for number in range(1, 1235)]
    queries = BatchSegmentInput.from_queries(SegmentQuery.items_like(id) for id in ids)
    done = stack.deploy(one_job(queries, seeded_arn(aws, "ITEM_AFFINITY_VERSION")))
    assert done.status == CREATED, done.said
    assert done.outputs["QueryErrors"] == "none"
    found = segments_at(client, done.outputs["OutputUri"])
    assert [len(found[name]) for name in sorted(found)] == [500, 500, 234]
    assert [segment.query["itemId"] for name in sorted(found) for segment in found[name]] == ids
    assert all(segment.user_ids and segment.error is None for name in found for segment in found[name])


def test_the_documented_program_reads_the_segments(
    stack: RealStack, aws: LocalAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    queries = BatchSegmentInput.from_queries(SegmentQuery.items_like(id) for id in ("1", "no such", "2"))
    done = stack.deploy(one_job(queries, seeded_arn(aws, "ITEM_AFFINITY_VERSION"), num_results=7))
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    for name, value in aws.environment().items():
        monkeypatch.setenv(name, value)
    _set_up, program, *_ = pages.python(pages.DOCS / "how-to" / "segments.md")
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


def test_1234_attribute_queries_make_124_files(stack: RealStack, aws: LocalAws, client: Clients) -> None:
    queries = BatchSegmentInput.from_queries([SegmentQuery.where(GENRES="Comedy")] * 1234)
    done = stack.deploy(one_job(queries, seeded_arn(aws, "ITEM_ATTRIBUTE_AFFINITY_VERSION")))
    assert done.status == CREATED, done.said
    found = segments_at(client, done.outputs["OutputUri"])
    assert len(found) == 124
    assert sum(map(len, found.values())) == 1234


def test_reports_the_reason_of_a_job_that_fails_over_its_quota(
    stack: RealStack, aws: LocalAws, client: Clients
) -> None:
    queries = BatchSegmentInput.from_queries([SegmentQuery.items_like("1")] * 501, queries_per_file=501)
    done = stack.deploy(one_job(queries, seeded_arn(aws, "ITEM_AFFINITY_VERSION")))
    assert done.status == NOT_CREATED
    assert "part-00000.jsonl has more than 500 queries, the quota of aws-item-affinity" in done.said


@pytest.fixture
def faulty(tmp_path: Path) -> Path:
    file = tmp_path / "queries.jsonl"
    good = '{"itemId": "1"}\n'
    file.write_text(good * 776 + '{"itemID": "777"}\n' + good)
    return file


def test_a_fault_in_line_777_fails_at_synth(stack: RealStack, aws: LocalAws, faulty: Path) -> None:
    with pytest.raises(ValueError, match="1 fault") as refused:
        stack.deploy(one_job(BatchSegmentInput.from_asset(faulty), seeded_arn(aws, "ITEM_AFFINITY_VERSION")))
    assert str(refused.value) == f"1 fault in the queries:\n  '{faulty}', {FAULT}"


def test_the_same_fault_in_s3_fails_the_deployment_without_a_job(
    stack: RealStack, aws: LocalAws, client: Clients, faulty: Path
) -> None:
    bucket = f"{stack.name.lower()}-queries"
    client("s3").create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": aws.region})
    client("s3").put_object(Bucket=bucket, Key="in/queries.jsonl", Body=faulty.read_bytes())
    allow_personalize(client, bucket)

    def existing(scope: cdk.Stack) -> BatchSegmentInput:
        imported = s3.Bucket.from_bucket_name(scope, "Imported", bucket)
        return BatchSegmentInput.from_bucket(imported, "in/", queries_per_file=1000)

    build = one_job(existing, seeded_arn(aws, "ITEM_AFFINITY_VERSION"))
    done = stack.deploy(build)
    assert done.status == NOT_CREATED
    assert f"1 fault in the queries:\n  's3://{bucket}/in/queries.jsonl', {FAULT}" in done.said
    assert stack.jobs == []

    # With the file fixed, the same stack deploys.
    stack.destroy()
    client("s3").put_object(Bucket=bucket, Key="in/queries.jsonl", Body=b'{"itemId": "1"}\n' * 500)
    assert stack.deploy(build).status == CREATED
    assert len(stack.jobs) == 1


def test_a_waiting_deployment_counts_unvalidated_faults(
    stack: RealStack, aws: LocalAws, client: Clients, tmp_path: Path
) -> None:
    bucket = f"{stack.name.lower()}-queries"
    client("s3").create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": aws.region})
    client("s3").put_object(Bucket=bucket, Key="in/a.jsonl", Body=b'{"itemId": "1"}\n{"itemID": "2"}\n')
    allow_personalize(client, bucket)

    def existing(scope: cdk.Stack) -> BatchSegmentInput:
        imported = s3.Bucket.from_bucket_name(scope, "Imported", bucket)
        return BatchSegmentInput.from_bucket(imported, "in/", validate_input=False)

    done = stack.deploy(one_job(existing, seeded_arn(aws, "ITEM_AFFINITY_VERSION")))
    assert done.status == CREATED, done.said
    assert done.outputs["QueryErrors"] == "1 of 2 queries; the first: the line has no itemId"


def test_reports_an_item_that_is_unknown_to_the_solution(stack: RealStack, aws: LocalAws) -> None:
    queries = BatchSegmentInput.from_queries([SegmentQuery.items_like("1"), SegmentQuery.items_like("no such")])
    done = stack.deploy(one_job(queries, seeded_arn(aws, "ITEM_AFFINITY_VERSION")))
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
            "segment_queries[0]: got SegmentQuery.items_like(…), expected SegmentQuery.where(…), which the solution's "
            "recipe requires",
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
def test_rejects_input_that_cannot_work_before_creating_a_job(
    stack: RealStack, aws: LocalAws, version: str, query: SegmentQuery, filter_name: str | None, words: str
) -> None:
    filter_arn = None if filter_name is None else seeded_arn(aws, filter_name)
    build = one_job(BatchSegmentInput.from_queries([query]), seeded_arn(aws, version), filter_arn=filter_arn)
    done = stack.deploy(build)
    assert done.status == NOT_CREATED
    assert words in done.said
    assert stack.jobs == []


@pytest.mark.parametrize("queries_per_file", [None, 200_000])
def test_stages_into_a_bucket_that_requires_an_encryption_header(
    stack: RealStack, aws: LocalAws, client: Clients, tmp_path: Path, queries_per_file: int | None
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
            solution_version_arn=seeded_arn(aws, "ITEM_AFFINITY_VERSION"),
            storage=BatchSegmentStorage(scope, "Storage", input_bucket=bucket, removal_policy=DESTROY),
        )

    done = stack.deploy(build)
    assert done.status == CREATED, done.said
    (bucket,) = [name for name in stack.resources_of("AWS::S3::Bucket") if "input" in name]
    (staged,) = client("s3").list_objects_v2(Bucket=bucket)["Contents"]
    place = {"Bucket": bucket, "Key": staged["Key"]}
    assert client("s3").head_object(**place)["ServerSideEncryption"] == "AES256"
    assert client("s3").get_object(**place)["Body"].read() == file.read_bytes()
    # The local AWS enforces the policy: the handler's role cannot write without the header.
    role = f"arn:aws:iam::{aws.account}:role/{stack.resource('HandlerRole')}"
    handler = boto3.Session(region_name=aws.region, **role_session(role)).client("s3", endpoint_url=aws.endpoint_url)
    with pytest.raises(ClientError, match="AccessDenied"):
        handler.put_object(**place, Body=b"")
    handler.put_object(**place, Body=b"", ServerSideEncryption="AES256")


def test_a_filter_placeholder_gets_the_values_of_every_query(stack: RealStack, aws: LocalAws, client: Clients) -> None:
    query = SegmentQuery.items_like("1").with_filter_values(COUNTRY=["Japan", "Kenya"])
    build = one_job(
        BatchSegmentInput.from_queries([query]),
        seeded_arn(aws, "ITEM_AFFINITY_VERSION"),
        filter_arn=seeded_arn(aws, "FILTER_WITH_PLACEHOLDER"),
    )
    done = stack.deploy(build)
    assert done.status == CREATED, done.said
    ((segment,),) = segments_at(client, done.outputs["OutputUri"]).values()
    assert segment.query == {"itemId": "1", "filterValues": {"COUNTRY": '"Japan","Kenya"'}}
    assert segment.user_ids


def test_uses_and_reports_the_latest_active_solution_version(stack: RealStack, aws: LocalAws) -> None:
    def build(scope: cdk.Stack) -> None:
        job = BatchSegmentJob(
            scope,
            "Job",
            job_input=BatchSegmentInput.from_queries([SegmentQuery.items_like("1")]),
            solution_arn=seeded_arn(aws, "ITEM_AFFINITY_SOLUTION"),
            storage=BatchSegmentStorage(scope, "Storage", removal_policy=DESTROY),
        )
        cdk.CfnOutput(scope, "Version", value=job.solution_version_arn)

    assert stack.deploy(build).outputs["Version"] == seeded_arn(aws, "ITEM_AFFINITY_VERSION")
