"""Checks the arguments of a `BatchSegmentJob` at synth time."""

from collections.abc import Mapping
from typing import TypedDict, Unpack

import aws_cdk as cdk
import aws_cdk.aws_s3 as s3
from batch_segment_handler.text import quote

from . import naming, validation
from .batch_segment_input import BatchSegmentInput, ExistingInput
from .batch_segment_storage import BatchSegmentStorage
from .framework import MAX_WAIT
from .provider import BatchSegmentProvider


class JobArguments(TypedDict):
    """The arguments to check. `BatchSegmentJob` documents them."""

    job_input: BatchSegmentInput
    solution_version_arn: str | None
    solution_arn: str | None
    storage: BatchSegmentStorage | None
    filter_arn: str | None
    num_results: int | None
    tags: Mapping[str, str] | None
    job_name: str | None
    trigger: str | None
    wait_for_completion: cdk.Duration | None
    max_query_errors: int | None
    identity: str | None


def check(provider: BatchSegmentProvider, **arguments: Unpack[JobArguments]) -> None:
    """Checks the arguments of a job, and that they do not exclude each other.

    Args:
        provider: The provider of the job's stack.
        **arguments: The arguments.

    Raises:
        ValueError: A value is invalid.
        TypeError: A value has the wrong type.
    """
    _check_types(arguments)
    check_solution(provider, arguments["solution_arn"], arguments["solution_version_arn"])
    validation.check_personalize_arn(
        "filter_arn", arguments["filter_arn"], region=provider.region, account=provider.account
    )
    wait = arguments["wait_for_completion"]
    validation.check_num_results(arguments["num_results"])
    validation.check_max_query_errors(arguments["max_query_errors"], waits=wait is not None)
    validation.check_identity(arguments["identity"], arguments["job_name"])
    _check_name(arguments["job_name"], arguments["trigger"])
    if wait is not None and not 0 < wait.to_seconds() <= MAX_WAIT.to_seconds():
        raise ValueError(
            f"wait_for_completion: got {wait.to_human_string()}, expected more than 0 and at most "
            f"{MAX_WAIT.to_human_string()}, the maximum timeout of a custom resource in CloudFormation"
        )
    storage, existing = arguments["storage"], arguments["job_input"].existing
    if arguments["identity"] is not None and storage is None:
        # The job's own storage would move with the construct, and new buckets change the job's definition.
        raise ValueError(
            f"identity: got {quote(arguments['identity'])} without storage, expected both: create a "
            "BatchSegmentStorage outside of the job, and do not move it with the job"
        )
    if existing is not None and storage is not None and storage.stack is not provider.stack:
        check_stacks(existing, storage, provider.stack, "job_input")


def _check_types(arguments: JobArguments) -> None:
    tags = arguments["tags"]
    validation.check_type("job_input", arguments["job_input"], BatchSegmentInput, validation.EXPECTED_INPUT)
    validation.check_type("storage", arguments["storage"], BatchSegmentStorage | None, "a BatchSegmentStorage")
    validation.check_type(
        "wait_for_completion", arguments["wait_for_completion"], cdk.Duration | None, "a cdk.Duration"
    )
    validation.check_type("tags", tags, Mapping | None, 'a mapping, {"key": "value"}')
    for key, value in (tags or {}).items():
        validation.check_type(f"tags[{key!r}]", value, str, "a string")


def check_solution(provider: BatchSegmentProvider, solution_arn: str | None, solution_version_arn: str | None) -> None:
    """Checks that either a solution or a solution version is given.

    Raises:
        ValueError: Both or neither are given, or the ARN is invalid or of another region or account.
    """
    if (solution_version_arn is None) == (solution_arn is None):
        got = "neither" if solution_arn is None else "both"
        raise ValueError(f"solution_version_arn, solution_arn: got {got}, expected exactly one")
    for prop, arn in (("solution_version_arn", solution_version_arn), ("solution_arn", solution_arn)):
        validation.check_personalize_arn(prop, arn, region=provider.region, account=provider.account)


def _check_name(job_name: str | None, trigger: str | None) -> None:
    if job_name is None:
        return
    validation.check_job_name(job_name)
    if naming.looks_derived(job_name):
        raise ValueError(
            f"job_name: got {quote(job_name)}, which looks like a derived name, expected a name whose second part is "
            "not 8 hexadecimal digits (write a date as 2026-11-25): the permissions of another stack could cover the "
            "name"
        )
    if trigger is not None:
        raise ValueError(
            f"trigger: got {quote(trigger)} with job_name {quote(job_name)}, expected only one: "
            "job names cannot be reused, so trigger has no effect together with job_name"
        )


def check_locations(storage: BatchSegmentStorage, existing: ExistingInput | None, output_prefix: str) -> None:
    """Checks that the input and output locations of a job do not overlap.

    Raises:
        ValueError: The locations overlap.
    """
    if existing is None:
        location, bucket, prop = storage.input_prefix, storage.input_bucket, "input_prefix"
    else:
        location, bucket, prop = existing.key_or_prefix, existing.bucket, "job_input"
    storage.check_no_overlap(bucket, location, prop, output_prefix, "output_prefix")


def check_stacks(existing: ExistingInput, storage: BatchSegmentStorage, stack: cdk.Stack, prop: str) -> None:
    """Checks that an input in S3 and a storage of another stack do not cause a circular dependency.

    Args:
        existing: The input.
        storage: The storage.
        stack: The stack of the job.
        prop: The property of the input, for the error.

    Raises:
        ValueError: The stacks depend on each other.
    """
    # The storage's role depends on the bucket, and the job in the bucket's stack depends on the role.
    if isinstance(existing.bucket, s3.Bucket) and existing.bucket.stack is stack:
        raise ValueError(
            f"{prop}: got a bucket of the stack {stack.node.path} with a storage of {storage.stack.node.path}, "
            "expected a bucket in the storage's stack, to avoid a circular dependency between the stacks"
        )
