"""Calls by roles of the example stacks: denied calls, and allowed calls that differ from them in one point."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from policy.examples import given_in_the_app, in_s3_already, with_a_key_and_strict_conditions
from policy.world import ANYTHING, OTHER_BUCKET, OTHER_NAME, World
from support.local import seeded_arn


@dataclass(frozen=True)
class Attempt:
    """A call by a principal.

    Attributes:
        name: The name of the test.
        example: The example stack.
        role: A part of the logical ID of the principal's role.
        service: The service of the client.
        call: The call.
    """

    name: str
    example: Callable[..., Any]
    role: str
    service: str
    call: Callable[[Any, World], Any]


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
            solutionVersionArn=seeded_arn(w.aws, "ITEM_ATTRIBUTE_AFFINITY_VERSION")
        ),
        lists_versions_of_a_solution=lambda api, w: api.list_solution_versions(
            solutionArn=seeded_arn(w.aws, "ITEM_AFFINITY_SOLUTION")
        ),
        describes_another_filter=lambda api, w: api.describe_filter(filterArn=seeded_arn(w.aws, "FILTER")),
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
