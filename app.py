#!/usr/bin/env python3
"""The ready-made app: creates a stack with a batch segment job, or with a workflow for a list of audiences.

cdk deploy -c solution_version_arn=ARN -c queries=FILE
cdk deploy -c solution_arn=ARN -c audiences=FILE -c schedule="cron(0 3 ? * MON *)"
"""

import difflib
import json
import os
import re
import sys
from collections.abc import Mapping
from typing import Any, TypeVar

import aws_cdk as cdk
import aws_cdk.aws_iam as iam
import aws_cdk.aws_s3 as s3
import aws_cdk.aws_scheduler as scheduler
from cdk_personalize_segments import (
    Audience,
    BatchSegmentInput,
    BatchSegmentJob,
    BatchSegmentStorage,
    BatchSegmentWorkflow,
)

T = TypeVar("T")

_CONTEXT = {
    "stack_name": "the name of the stack; default: PersonalizeSegments",
    "solution_version_arn": "the solution version that creates the segments",
    "solution_arn": "or the solution, whose latest ACTIVE version creates them",
    "queries": "a local file of queries, one JSON object on each line",
    "input": "or queries in S3: s3://bucket/key.jsonl or s3://bucket/prefix/",
    "audiences": "or a CSV file of audiences, whose segments a workflow refreshes",
    "schedule": "with audiences: cron(…), rate(…) or at(…); default: you start the workflow",
    "time_zone": "with schedule, for example Europe/Berlin; default: UTC",
    "queries_per_file": "your quota of queries in an input file; default: the quota of the recipe",
    "validate_input": "true or false: check queries in S3 before the job is created; default: true",
    "output": "s3://bucket/prefix/ for the segments; default: a new bucket",
    "role_arn": "the role that Personalize assumes; default: a new role",
    "filter_arn": "a filter for the users",
    "num_results": "the maximum number of users in a segment",
    "tags": "tags of the jobs: key=value,key=value",
    "job_name": "a name that no earlier job has; default: a derived name",
    "trigger": "any text; changing it starts a new job",
    "wait_minutes": "minutes to wait until the job is complete, at most 60",
    "max_query_errors": "the maximum number of queries that may fail; requires wait_minutes",
    "removal_policy": "retain or destroy the new buckets and their objects; default: retain",
}
# Only for a job. With audiences, the CSV file has the queries and numbers, and each run derives its job names.
_OF_JOBS = (
    "queries_per_file",
    "validate_input",
    "num_results",
    "job_name",
    "trigger",
    "wait_minutes",
    "max_query_errors",
)
_OF_WORKFLOWS = ("schedule", "time_zone")

# The library's errors name properties. Some have another name in the context.
_CONTEXT_OF_PROPERTY = {
    "path": "queries",
    "key_or_prefix": "input",
    "output_prefix": "output",
    "wait_for_completion": "wait_minutes",
}
_ROLE_ARN = re.compile(r"arn:[a-z-]+:iam::\d{12}:role/.+")
# https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cfn-using-console-create-stack-parameters.html
_STACK_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,127}")


class UsageError(ValueError):
    """A context value is unknown or missing."""


class PersonalizeSegmentsStack(cdk.Stack):
    """A job or a workflow, with its buckets and its role."""

    def __init__(self, scope: cdk.App, id: str, context: Mapping[str, str], **kwargs: Any) -> None:
        """Adds the job or the workflow for the context values in ``_CONTEXT``."""
        super().__init__(scope, id, **kwargs)
        if len({"queries", "input", "audiences"} & context.keys()) != 1:
            raise UsageError(
                "pass exactly one of -c queries=FILE (a local file), -c input=s3://bucket/key (queries in S3) or "
                "-c audiences=FILE (a CSV file)"
            )
        if "audiences" in context:
            self._add_workflow(context)
        else:
            self._add_job(context)

    def _add_job(self, context: Mapping[str, str]) -> None:
        for name in _OF_WORKFLOWS:
            if name in context:
                raise ValueError(f"{name}: got {context[name]!r} without audiences, expected audiences=FILE as well")
        job_input = self._job_input(context)
        wait_minutes = _number(context, "wait_minutes")
        if wait_minutes is not None and wait_minutes < 1:
            raise ValueError(f"wait_minutes: got {wait_minutes}, expected 1 to 60")
        storage, output_prefix = self._storage(
            context, None if job_input.existing is None else job_input.existing.bucket
        )
        job = BatchSegmentJob(
            self,
            "Job",
            job_input=job_input,
            solution_version_arn=context.get("solution_version_arn"),
            solution_arn=context.get("solution_arn"),
            storage=storage,
            output_prefix=output_prefix,
            filter_arn=context.get("filter_arn"),
            num_results=_number(context, "num_results"),
            tags=self._tags(context),
            job_name=context.get("job_name"),
            trigger=context.get("trigger"),
            wait_for_completion=None if wait_minutes is None else cdk.Duration.minutes(wait_minutes),
            max_query_errors=_number(context, "max_query_errors"),
        )
        for name, value in {
            "JobArn": job.batch_segment_job_arn,
            "JobName": job.job_name,
            "JobStatus": job.status,
            "QueryErrors": job.query_errors,
            "OutputUri": job.output_uri,
            "SolutionVersionArn": job.solution_version_arn,
        }.items():
            cdk.CfnOutput(self, name, value=value)

    def _add_workflow(self, context: Mapping[str, str]) -> None:
        for name in _OF_JOBS:
            if name in context:
                raise ValueError(f"{name}: got {context[name]!r} with audiences, expected queries or input instead")
        storage, output_prefix = self._storage(context, None)
        workflow = BatchSegmentWorkflow(
            self,
            "Workflow",
            audiences=Audience.list_from_csv(context["audiences"], filter_arn=context.get("filter_arn")),
            solution_version_arn=context.get("solution_version_arn"),
            solution_arn=context.get("solution_arn"),
            storage=storage,
            output_prefix=output_prefix,
            schedule=_schedule(context),
            tags=self._tags(context),
        )
        bucket = storage.output_bucket.bucket_name
        cdk.CfnOutput(self, "StateMachineArn", value=workflow.state_machine.state_machine_arn)
        cdk.CfnOutput(self, "OutputUri", value=f"s3://{bucket}/{workflow.output_prefix}")

    def _storage(
        self, context: Mapping[str, str], input_bucket: s3.IBucket | None
    ) -> tuple[BatchSegmentStorage, str | None]:
        output_bucket, output_prefix = self._bucket_and_key(context, "output")
        role_arn = _matching(context, "role_arn", _ROLE_ARN, "arn:aws:iam::<account>:role/<name>")
        removal_policy = _one_of(
            context, "removal_policy", {"retain": cdk.RemovalPolicy.RETAIN, "destroy": cdk.RemovalPolicy.DESTROY}
        )
        storage = BatchSegmentStorage(
            self,
            "Storage",
            input_bucket=input_bucket,
            output_bucket=output_bucket,
            role=None if role_arn is None else iam.Role.from_role_arn(self, "Role", role_arn),
            removal_policy=removal_policy,
            auto_delete_objects=removal_policy == cdk.RemovalPolicy.DESTROY,
        )
        return storage, output_prefix

    def _job_input(self, context: Mapping[str, str]) -> BatchSegmentInput:
        queries_per_file = _number(context, "queries_per_file")
        if "queries" in context:
            return BatchSegmentInput.from_asset(context["queries"], queries_per_file=queries_per_file)
        bucket, key = self._bucket_and_key(context, "input")
        assert bucket is not None
        assert key is not None
        validate_input = _one_of(context, "validate_input", {"true": True, "false": False})
        return BatchSegmentInput.from_bucket(
            bucket,
            key,
            single_object=not key.endswith("/"),
            validate_input=validate_input,
            queries_per_file=queries_per_file,
        )

    def _bucket_and_key(self, context: Mapping[str, str], name: str) -> tuple[s3.IBucket | None, str | None]:
        uri = context.get(name)
        if uri is None:
            return None, None
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        if not uri.startswith("s3://") or not bucket or not key:
            key_form = "s3://bucket/key.jsonl or " if name == "input" else ""
            raise ValueError(f"{name}: got {uri!r}, expected {key_form}s3://bucket/folder/")
        try:
            return s3.Bucket.from_bucket_name(self, f"{name.capitalize()}Bucket", bucket), key
        except RuntimeError as error:
            raise ValueError(
                f"{name}: got {uri!r}, expected a bucket name of 3 to 63 lowercase letters, digits, dots and hyphens"
            ) from error

    @staticmethod
    def _tags(context: Mapping[str, str]) -> dict[str, str]:
        tags = {}
        for pair in filter(None, context.get("tags", "").split(",")):
            key, equals, value = pair.partition("=")
            if not equals or key in tags:
                raise ValueError(f"tags: got {pair!r}, expected key=value,key=value, each key once")
            tags[key] = value
        return tags


def _schedule(context: Mapping[str, str]) -> scheduler.ScheduleExpression | None:
    expression, time_zone = context.get("schedule"), context.get("time_zone")
    if expression is None:
        if time_zone is not None:
            raise ValueError(f"time_zone: got {time_zone!r} without schedule, expected both or neither")
        return None
    return scheduler.ScheduleExpression.expression(expression, cdk.TimeZone.of(time_zone or "Etc/UTC"))


def _matching(context: Mapping[str, str], name: str, pattern: re.Pattern[str], expected: str) -> str | None:
    value = context.get(name)
    if value is not None and not pattern.fullmatch(value):
        raise ValueError(f"{name}: got {value!r}, expected {expected}")
    return value


def _number(context: Mapping[str, str], name: str) -> int | None:
    value = context.get(name)
    if value is None:
        return None
    try:
        return int(value)
    except ValueError:
        raise ValueError(f"{name}: got {value!r}, expected a whole number") from None


def _one_of(context: Mapping[str, str], name: str, choices: Mapping[str, T]) -> T:
    """Returns the choice of a context value, by default the first one."""
    got = context.get(name, next(iter(choices)))
    if got not in choices:
        raise ValueError(f"{name}: got {got!r}, expected {' or '.join(choices)}")
    return choices[got]


def _context(app: cdk.App) -> dict[str, str]:
    values: dict[str, Any] = app.node.get_all_context()
    # The names of feature flags, and of values from the CLI, contain a colon, a slash or a hyphen.
    for name in values:
        if name not in _CONTEXT and (name.isidentifier() or name.replace("-", "_") in _CONTEXT):
            close = difflib.get_close_matches(name, _CONTEXT, n=1)
            hint = f"did you mean {close[0]}?" if close else "expected one of these values"
            raise UsageError(f"unknown context value {name!r}; {hint}")
    given = {name: values[name] for name in _CONTEXT if values.get(name) not in (None, "")}
    # Values in cdk.json can have other types. Convert them to text as in JSON.
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in given.items()}


def main(app: cdk.App) -> None:
    """Synthesizes the stack, or exits with one sentence about the context value that is not as expected."""
    context: dict[str, str] = {}
    try:
        context = _context(app)
        PersonalizeSegmentsStack(
            app,
            _matching(
                context, "stack_name", _STACK_NAME, "1 to 128 letters, digits and hyphens, the first one a letter"
            )
            or "PersonalizeSegments",
            context,
            env=cdk.Environment(
                account=os.environ.get("CDK_DEFAULT_ACCOUNT"), region=os.environ.get("CDK_DEFAULT_REGION")
            ),
        )
        app.synth()
    except UsageError as error:
        sys.exit(f"{error}\n\nThe values, each given as -c NAME=VALUE:\n{_usage()}")
    except ValueError as error:
        sys.exit(_renamed(str(error), context))
    except OSError as error:
        sys.exit(f"{error.filename}: {error.strerror}; expected a file that can be read")
    except RuntimeError as error:
        # CDK raises these, with a line for each error of the validation, or a message and a stack trace.
        sys.exit("\n".join(re.findall(r"^  \[.+?\] (.+)$", str(error), re.M)) or str(error).splitlines()[0])


def _renamed(message: str, context: Mapping[str, str]) -> str:
    """Returns an error of the library with the names of context values in place of properties."""
    prop, colon, rest = message.partition(":")
    rest = rest.replace("wait_for_completion", "wait_minutes")
    if prop == "path" and "audiences" in context:
        return f"audiences{colon}{rest}"
    return f"{_CONTEXT_OF_PROPERTY.get(prop, prop)}{colon}{rest}"


def _usage() -> str:
    return "\n".join(f"  {name:<21}{meaning}" for name, meaning in _CONTEXT.items())


if __name__ == "__main__":
    main(cdk.App())
