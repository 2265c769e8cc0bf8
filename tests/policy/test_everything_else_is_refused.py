"""Least privilege from the other side: what no path needs is refused, to each principal in its own session.

The same attempts with what is allowed in place of what is not succeed, so that a refusal is for the one thing that
differs. `test_every_permission_is_needed` is the other half.
"""

import functools
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from personalize_local.gateway import DEFAULT_ACCOUNT, DEFAULT_REGION
from personalize_local.iam import SERVICE, create_role_session
from policy.examples import Example, given_in_the_app, in_s3_already, seed, with_a_key_and_strict_conditions

JOB = "batch-segment-job"
ANYTHING = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
OTHER_BUCKET = "somebody-elses"
OTHER_NAME = "Other-00000000-Job-00000000-000000000000"
OTHER_ACCOUNT = "999999999999"


@dataclass(frozen=True)
class Attempt:
    """Something that a principal tries.

    Attributes:
        name: What the test is called.
        example: The stack it is tried in.
        role: What the logical id of the principal's role contains.
        service: Which client it takes.
        call: What is tried.
    """

    name: str
    example: Callable[..., Any]
    role: str
    service: str
    call: Callable[[Any, "World"], Any]


class World:
    """A stack, and what is not the stack's but beside it."""

    def __init__(self, example: Example, client: Callable[[str], Any]) -> None:
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
        #: A client in a role's session, by what the role's logical id contains and the service.
        self.session = functools.cache(self._session)
        self.request = dict(self.aws.personalize.jobs[example.job].request)

    def arn(self, service: str, resource: str, region: str | None = None) -> str:
        region = self.aws.region if region is None else region
        return f"arn:aws:{service}:{region}:{self.aws.account}:{resource}"

    def id(self, part: str) -> str:
        """The physical id of the resource whose logical id contains a text."""
        found = self.example.physical_ids
        (logical_id,) = [name for name in found if part in name and "Policy" not in name]
        return found[logical_id]

    @property
    def input(self) -> str:
        return self.request["jobInput"]["s3DataSource"]["path"].split("/")[2]

    @property
    def staged(self) -> str:
        """The key of the job's queries."""
        prefix = self.request["jobInput"]["s3DataSource"]["path"].split("/", 3)[3]
        return self._s3.list_objects_v2(Bucket=self.input, Prefix=prefix)["Contents"][0]["Key"]

    @property
    def output(self) -> str:
        return self.request["jobOutput"]["s3DataDestination"]["path"].split("/")[2]

    @property
    def folder(self) -> str:
        """The job's folder in the output bucket."""
        return self.request["jobOutput"]["s3DataDestination"]["path"].split("/", 3)[3]

    @property
    def asset(self) -> str:
        return self.example.properties["AssetKey"]

    def other_request(self, name: str = "", **changed: Any) -> dict[str, Any]:
        """The job's request with another name, as the job's names go, and what else is to be different."""
        return {**self.request, "jobName": name or self.job.rpartition("/")[2][:-1] + "x", **changed}

    def _session(self, role: str, service: str) -> Any:
        arn = self.arn("iam", f"role/{self.id(role)}", region="")
        return boto3.Session(region_name=self.aws.region, **create_role_session(arn)).client(
            service, endpoint_url=self.aws.endpoint_url, config=Config(retries={"total_max_attempts": 1})
        )

    # -- what the service itself may do, which has no session

    def trust(self) -> Any:
        return self._iam.get_role(RoleName=self.id("StorageRole"))["Role"]["AssumeRolePolicyDocument"]

    def bucket_policy(self, bucket: str) -> Any:
        return json.loads(self._s3.get_bucket_policy(Bucket=bucket)["Policy"])

    def service_may(
        self, document: Any, action: str, resource: str, *, service: str = SERVICE, secure: bool = True, **context: str
    ) -> bool:
        """What a policy of a resource says to a service that comes in the name of a job."""
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
        return iam_evaluator.evaluate_resource_policy(document, asked, service=service).decision == "Allow"


def by(example: Callable[..., Any], role: str, service: str, **calls: Callable[[Any, World], Any]) -> list[Attempt]:
    return [Attempt(f"{role} {name}", example, role, service, call) for name, call in calls.items()]


APP, S3, STRICT = given_in_the_app, in_s3_already, with_a_key_and_strict_conditions
HANDLER, LOOKS = "ProviderHandlerRole", "ProviderIsCompleteRole"
FRAMEWORK, WAITING, WAITER = "ProviderFrameworkRole", "ProviderWaitingFrameworkRole", "ProviderWaiterRole"

REFUSED = [
    *by(
        APP,
        "StorageRole",
        "s3",
        reads_input_outside_the_prefix=lambda s3, w: s3.get_object(Bucket=w.input, Key="other/a.jsonl"),
        reads_where_the_prefix_only_begins=lambda s3, w: s3.get_object(Bucket=w.input, Key="queries.jsonl"),
        writes_input=lambda s3, w: s3.put_object(Bucket=w.input, Key="queries/a.jsonl"),
        deletes_input=lambda s3, w: s3.delete_object(Bucket=w.input, Key=w.staged),
        reads_output=lambda s3, w: s3.get_object(Bucket=w.output, Key=f"{w.folder}part-00000.jsonl.out"),
        writes_output_outside_the_prefix=lambda s3, w: s3.put_object(Bucket=w.output, Key="other/a.out"),
        deletes_output=lambda s3, w: s3.delete_object(Bucket=w.output, Key=f"{w.folder}part-00000.jsonl.out"),
        reads_the_asset=lambda s3, w: s3.get_object(Bucket=w.assets, Key=w.asset),
        lists_assets=lambda s3, w: s3.list_objects_v2(Bucket=w.assets),
        lists_another_bucket=lambda s3, w: s3.list_objects_v2(Bucket=OTHER_BUCKET),
        reads_another_bucket=lambda s3, w: s3.get_object(Bucket=OTHER_BUCKET, Key="queries/a.jsonl"),
        writes_another_bucket=lambda s3, w: s3.put_object(Bucket=OTHER_BUCKET, Key="segments/a.out"),
        reads_queries_of_another=lambda s3, w: s3.get_object(Bucket=w.input, Key=f"queries/{OTHER_NAME}/a.jsonl"),
        writes_segments_of_another=lambda s3, w: s3.put_object(Bucket=w.output, Key=f"segments/{OTHER_NAME}/a"),
        lists_buckets=lambda s3, w: s3.list_buckets(),
        reads_a_bucket_policy=lambda s3, w: s3.get_bucket_policy(Bucket=w.output),
        deletes_a_bucket_policy=lambda s3, w: s3.delete_bucket_policy(Bucket=w.output),
    ),
    *by(
        STRICT,
        "StorageRole",
        "s3",
        lists_input_outside_the_prefix=lambda s3, w: s3.list_objects_v2(Bucket=w.input, Prefix="other/"),
        lists_all_input=lambda s3, w: s3.list_objects_v2(Bucket=w.input),
        lists_all_output=lambda s3, w: s3.list_objects_v2(Bucket=w.output),
    ),
    *by(
        STRICT,
        "StorageRole",
        "kms",
        uses_another_key=lambda kms, w: kms.generate_data_key(KeyId=w.other_key, KeySpec="AES_256"),
        deletes_the_key=lambda kms, w: kms.schedule_key_deletion(KeyId=w.id("Key")),
    ),
    *by(
        APP,
        "StorageRole",
        "personalize",
        creates_a_job=lambda api, w: api.create_batch_segment_job(**w.other_request()),
        describes_the_job=lambda api, w: api.describe_batch_segment_job(batchSegmentJobArn=w.job),
    ),
    *by(
        APP,
        HANDLER,
        "s3",
        reads_another_asset=lambda s3, w: s3.get_object(Bucket=w.assets, Key="other.jsonl"),
        lists_assets=lambda s3, w: s3.list_objects_v2(Bucket=w.assets),
        writes_the_asset=lambda s3, w: s3.put_object(Bucket=w.assets, Key=w.asset),
        writes_input_outside_the_prefix=lambda s3, w: s3.put_object(Bucket=w.input, Key="other/a.jsonl"),
        reads_what_it_wrote=lambda s3, w: s3.get_object(Bucket=w.input, Key=w.staged),
        lists_what_it_wrote=lambda s3, w: s3.list_objects_v2(Bucket=w.input, Prefix="queries/"),
        deletes_what_it_wrote=lambda s3, w: s3.delete_object(Bucket=w.input, Key=w.staged),
        writes_output=lambda s3, w: s3.put_object(Bucket=w.output, Key=f"{w.folder}a.out"),
        reads_output=lambda s3, w: s3.get_object(Bucket=w.output, Key=f"{w.folder}part-00000.jsonl.out"),
        writes_another_bucket=lambda s3, w: s3.put_object(Bucket=OTHER_BUCKET, Key="queries/a.jsonl"),
        writes_queries_of_another=lambda s3, w: s3.put_object(Bucket=w.input, Key=f"queries/{OTHER_NAME}/a.jsonl"),
        reads_queries_of_another=lambda s3, w: s3.get_object(Bucket=w.assets, Key=f"{'0' * 64}.queries-00000000"),
    ),
    *by(
        APP,
        HANDLER,
        "personalize",
        passes_another_role=lambda api, w: api.create_batch_segment_job(**w.other_request(roleArn=w.other_role)),
        creates_a_job_of_another_name=lambda api, w: api.create_batch_segment_job(**w.other_request("somebody-elses")),
        creates_a_job_with_another_tag=lambda api, w: api.create_batch_segment_job(
            **w.other_request(tags=[{"tagKey": "cost-center", "tagValue": "1"}])
        ),
        describes_another_job=lambda api, w: api.describe_batch_segment_job(batchSegmentJobArn=w.other_job),
        lists_jobs=lambda api, w: api.list_batch_segment_jobs(),
        tags_another_job=lambda api, w: api.tag_resource(
            resourceArn=w.other_job, tags=[{"tagKey": "team", "tagValue": "films"}]
        ),
        tags_the_job_with_another_key=lambda api, w: api.tag_resource(
            resourceArn=w.job, tags=[{"tagKey": "cost-center", "tagValue": "1"}]
        ),
        untags_another_job=lambda api, w: api.untag_resource(resourceArn=w.other_job, tagKeys=["team"]),
        lists_tags=lambda api, w: api.list_tags_for_resource(resourceArn=w.job),
        describes_another_solution_version=lambda api, w: api.describe_solution_version(
            solutionVersionArn=seed(w.aws, "ITEM_ATTRIBUTE_AFFINITY_VERSION")
        ),
        lists_versions_of_a_solution=lambda api, w: api.list_solution_versions(
            solutionArn=seed(w.aws, "ITEM_AFFINITY_SOLUTION")
        ),
        describes_another_filter=lambda api, w: api.describe_filter(filterArn=seed(w.aws, "FILTER")),
    ),
    *by(APP, HANDLER, "lambda", calls_itself=lambda api, w: api.invoke(FunctionName=w.id("ProviderHandler4"))),
    *by(
        APP,
        HANDLER,
        "iam",
        extends_its_policy=lambda api, w: api.put_role_policy(
            RoleName=w.id(HANDLER), PolicyName="More", PolicyDocument=json.dumps(ANYTHING)
        ),
    ),
    *by(
        APP,
        HANDLER,
        "sts",
        assumes_the_service_role=lambda api, w: api.assume_role(
            RoleArn=w.request["roleArn"], RoleSessionName="handler"
        ),
    ),
    *by(
        S3,
        HANDLER,
        "s3",
        reads_queries_outside_the_prefix=lambda s3, w: s3.get_object(Bucket=w.input, Key="other/a.jsonl"),
        lists_queries_outside_the_prefix=lambda s3, w: s3.list_objects_v2(Bucket=w.input, Prefix="other/"),
        writes_queries=lambda s3, w: s3.put_object(Bucket=w.input, Key="in/b.jsonl"),
    ),
    *by(
        S3,
        LOOKS,
        "personalize",
        creates_a_job=lambda api, w: api.create_batch_segment_job(**w.other_request()),
        describes_another_job=lambda api, w: api.describe_batch_segment_job(batchSegmentJobArn=w.other_job),
        tags_the_job=lambda api, w: api.tag_resource(resourceArn=w.job, tags=[{"tagKey": "a", "tagValue": "b"}]),
    ),
    *by(
        S3,
        LOOKS,
        "s3",
        reads_queries=lambda s3, w: s3.get_object(Bucket=w.input, Key="in/a.jsonl"),
        reads_output_of_another_job=lambda s3, w: s3.get_object(Bucket=w.output, Key="segments/other/a.out"),
        lists_output_of_other_jobs=lambda s3, w: s3.list_objects_v2(Bucket=w.output, Prefix="segments/"),
        lists_all_output=lambda s3, w: s3.list_objects_v2(Bucket=w.output),
        writes_output=lambda s3, w: s3.put_object(Bucket=w.output, Key=f"{w.folder}a.out"),
        deletes_output=lambda s3, w: s3.delete_object(Bucket=w.output, Key=f"{w.folder}a.jsonl.out"),
    ),
    *by(
        S3,
        WAITING,
        "lambda",
        calls_what_it_does_not_have_to=lambda api, w: api.invoke(FunctionName=w.id("ProviderIsComplete6")),
        calls_another_function=lambda api, w: api.invoke(FunctionName=w.other_function),
        changes_the_handler=lambda api, w: api.update_function_configuration(
            FunctionName=w.id("ProviderHandler4"), Timeout=1
        ),
    ),
    *by(
        S3,
        WAITING,
        "stepfunctions",
        starts_another_state_machine=lambda api, w: api.start_execution(stateMachineArn=w.other_machine),
    ),
    *by(
        S3,
        WAITER,
        "lambda",
        calls_the_handler=lambda api, w: api.invoke(FunctionName=w.id("ProviderHandler4")),
    ),
    *by(
        S3,
        WAITER,
        "stepfunctions",
        starts_to_wait_again=lambda api, w: api.start_execution(stateMachineArn=w.id("waiterstatemachineC")),
    ),
    *by(APP, FRAMEWORK, "lambda", calls_another_function=lambda api, w: api.invoke(FunctionName=w.other_function)),
    *by(
        APP,
        FRAMEWORK,
        "personalize",
        creates_a_job=lambda api, w: api.create_batch_segment_job(**w.other_request()),
    ),
]

ALLOWED = [
    *by(
        APP,
        "StorageRole",
        "s3",
        reads_input=lambda s3, w: s3.get_object(Bucket=w.input, Key=w.staged),
        lists_input=lambda s3, w: s3.list_objects_v2(Bucket=w.input, Prefix="queries/"),
        writes_output=lambda s3, w: s3.put_object(Bucket=w.output, Key=f"{w.folder}_CHECK"),
    ),
    *by(
        STRICT,
        "StorageRole",
        "s3",
        lists_input_under_the_prefix=lambda s3, w: s3.list_objects_v2(Bucket=w.input, Prefix=w.staged),
    ),
    *by(
        STRICT,
        "StorageRole",
        "kms",
        uses_the_key=lambda kms, w: kms.generate_data_key(KeyId=w.id("Key"), KeySpec="AES_256"),
    ),
    *by(
        APP,
        HANDLER,
        "s3",
        reads_the_asset=lambda s3, w: s3.get_object(Bucket=w.assets, Key=w.asset),
        writes_input=lambda s3, w: s3.put_object(Bucket=w.input, Key=w.staged),
    ),
    *by(
        APP,
        HANDLER,
        "personalize",
        creates_a_job=lambda api, w: api.create_batch_segment_job(**w.other_request()),
        describes_the_job=lambda api, w: api.describe_batch_segment_job(batchSegmentJobArn=w.job),
        tags_the_job=lambda api, w: api.tag_resource(resourceArn=w.job, tags=[{"tagKey": "team", "tagValue": "a"}]),
    ),
    *by(
        S3,
        LOOKS,
        "s3",
        reads_output=lambda s3, w: s3.get_object(Bucket=w.output, Key=f"{w.folder}a.jsonl.out"),
        lists_output=lambda s3, w: s3.list_objects_v2(Bucket=w.output, Prefix=w.folder),
    ),
    *by(
        S3,
        WAITER,
        "lambda",
        calls_the_function_that_looks=lambda api, w: api.invoke(
            FunctionName=w.id("ProviderIsComplete6"), Payload=b'{"RequestType": "Delete"}'
        ),
    ),
]


@pytest.fixture(scope="session")
def world(deployed: Callable[[Any], Example], client: Callable[[str], Any]) -> Any:
    region = {"LocationConstraint": client("s3").meta.region_name}
    client("s3").create_bucket(Bucket=OTHER_BUCKET, CreateBucketConfiguration=region)
    return functools.cache(lambda example: World(deployed(example), client))


@pytest.mark.parametrize("attempt", REFUSED, ids=lambda attempt: attempt.name)
def test_refused(world: Any, record_property: Callable[[str, object], None], attempt: Any) -> None:
    around = world(attempt.example)
    with pytest.raises(ClientError) as refused:
        attempt.call(around.session(attempt.role, attempt.service), around)
    assert refused.value.response["Error"]["Code"] in ("AccessDenied", "AccessDeniedException")
    record_property("refused", 1)


@pytest.mark.parametrize("attempt", ALLOWED, ids=lambda attempt: attempt.name)
def test_allowed(world: Any, record_property: Callable[[str, object], None], attempt: Any) -> None:
    around = world(attempt.example)
    attempt.call(around.session(attempt.role, attempt.service), around)
    record_property("allowed", 1)


OTHER_SOURCES = {
    "another_account": {"account": OTHER_ACCOUNT},
    "a_job_of_another_account": {"source": f"arn:aws:personalize:{DEFAULT_REGION}:{OTHER_ACCOUNT}:{JOB}/a"},
    "a_job_of_another_region": {"source": f"arn:aws:personalize:us-east-1:{DEFAULT_ACCOUNT}:{JOB}/a"},
    "a_resource_of_another_service": {"source": f"arn:aws:sagemaker:{DEFAULT_REGION}:{DEFAULT_ACCOUNT}:training-job/a"},
    "no_source": {"account": "", "source": ""},
    "another_service": {"service": "lambda.amazonaws.com"},
}


@pytest.mark.parametrize("source", OTHER_SOURCES.values(), ids=OTHER_SOURCES)
def test_the_service_role_is_not_assumed_for(
    world: Any, record_property: Callable[[str, object], None], source: Any
) -> None:
    around = world(APP)
    question = (around.trust(), "sts:AssumeRole", around.request["roleArn"])
    assert around.service_may(*question)
    assert not around.service_may(*question, **source)
    record_property("refused", 1)


@pytest.mark.parametrize("source", OTHER_SOURCES.values(), ids=OTHER_SOURCES)
@pytest.mark.parametrize("what", ["lists_input", "reads_input", "lists_output", "writes_output"])
def test_buckets_with_strict_conditions_refuse(
    world: Any, record_property: Callable[[str, object], None], source: Any, what: str
) -> None:
    around = world(STRICT)
    question, context = in_bucket(around, what)
    assert around.service_may(*question, **context)
    assert not around.service_may(*question, **{**context, **source})
    record_property("refused", 1)


OTHERWISE = {"another_service": {"service": "lambda.amazonaws.com"}, "plain_http": {"secure": False}}


@pytest.mark.parametrize("how", OTHERWISE.values(), ids=OTHERWISE)
@pytest.mark.parametrize("what", ["lists_input", "reads_input", "lists_output", "writes_output"])
def test_buckets_refuse(world: Any, record_property: Callable[[str, object], None], how: Any, what: str) -> None:
    around = world(APP)
    question, context = in_bucket(around, what)
    assert around.service_may(*question, **context)
    assert not around.service_may(*question, **{**context, **how})
    record_property("refused", 1)


@pytest.mark.parametrize(
    ("bucket", "action", "key"),
    [
        ("input", "s3:PutObject", "queries/a.jsonl"),
        ("input", "s3:DeleteObject", "queries/a.jsonl"),
        ("input", "s3:GetObject", "other/a.jsonl"),
        ("output", "s3:GetObject", "segments/a/a.out"),
        ("output", "s3:DeleteObject", "segments/a/a.out"),
        ("output", "s3:PutObject", "other/a.out"),
    ],
)
def test_buckets_refuse_the_service_what_it_does_not_need(
    world: Any, record_property: Callable[[str, object], None], bucket: str, action: str, key: str
) -> None:
    around = world(APP)
    name = getattr(around, bucket)
    assert not around.service_may(around.bucket_policy(name), action, f"arn:aws:s3:::{name}/{key}")
    record_property("refused", 1)


def in_bucket(around: World, what: str) -> tuple[tuple[Any, str, str], dict[str, Any]]:
    """What the service does in a bucket, as `World.service_may` takes it."""
    bucket = around.input if what.endswith("input") else around.output
    prefix = f"{around.staged.rpartition('/')[0]}/" if what.endswith("input") else around.folder
    action = {"lists": "s3:ListBucket", "reads": "s3:GetObject", "writes": "s3:PutObject"}[what.partition("_")[0]]
    resource = f"arn:aws:s3:::{bucket}" + ("" if action == "s3:ListBucket" else f"/{prefix}a.jsonl")
    return (around.bucket_policy(bucket), action, resource), {"prefix": prefix}
