#!/usr/bin/env python3
"""The ready-made app: context in, one stack with one batch segment job out.

cdk deploy -c solution_version_arn=ARN -c queries=FILE
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
from cdk_personalize_segments import BatchSegmentInput, BatchSegmentJob, BatchSegmentStorage

T = TypeVar("T")

_CONTEXT = {
    "stack_name": "the stack's name; PersonalizeSegments without it",
    "solution_version_arn": "the solution version that makes the segments",
    "solution_arn": "or the solution whose latest ACTIVE version does",
    "queries": "a local file of queries, one JSON object a line",
    "input": "or queries in S3: s3://bucket/key.jsonl or s3://bucket/prefix/",
    "queries_per_file": "your quota of queries per input file; that of the recipe without it",
    "validate_input": "true or false: whether queries in S3 are checked before the job is created; true without it",
    "output": "s3://bucket/prefix/ for the segments; a new bucket without it",
    "role_arn": "the role that Personalize assumes; a new one without it",
    "filter_arn": "a filter for the users",
    "num_results": "users per segment, at most",
    "tags": "tags of the job: key=value,key=value",
    "job_name": "a name that was never used; derived without it",
    "trigger": "any text; a change of it starts a new job",
    "wait_minutes": "minutes to wait until the job is complete, at most 60",
    "max_query_errors": "queries that may end with an error before the deployment fails; needs wait_minutes",
    "removal_policy": "retain or destroy, for the buckets that are made and all that is in them; retain without it",
}


# What the library's errors name, where the context has another name for it.
_CONTEXT_OF_PROPERTY = {
    "path": "queries",
    "key_or_prefix": "input",
    "output_prefix": "output",
    "wait_for_completion": "wait_minutes",
}
_ROLE_ARN = re.compile(r"arn:[a-z-]+:iam::\d{12}:role/.+")
# https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cfn-using-console-create-stack-parameters.html
_STACK_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,127}")


class PersonalizeSegmentsStack(cdk.Stack):
    """One job with its buckets and its role."""

    def __init__(self, scope: cdk.App, id: str, context: Mapping[str, str], **kwargs: Any) -> None:
        """Reads the context, see ``_CONTEXT``."""
        super().__init__(scope, id, **kwargs)
        job_input = self._job_input(context)
        output_bucket, output_prefix = self._bucket_and_key(context, "output")
        role_arn = _matching(context, "role_arn", _ROLE_ARN, "arn:aws:iam::<account>:role/<name>")
        removal_policy = _one_of(
            context, "removal_policy", {"retain": cdk.RemovalPolicy.RETAIN, "destroy": cdk.RemovalPolicy.DESTROY}
        )
        storage = BatchSegmentStorage(
            self,
            "Storage",
            input_bucket=None if job_input.existing is None else job_input.existing.bucket,
            output_bucket=output_bucket,
            role=None if role_arn is None else iam.Role.from_role_arn(self, "Role", role_arn),
            removal_policy=removal_policy,
            auto_delete_objects=removal_policy == cdk.RemovalPolicy.DESTROY,
        )
        wait_minutes = _number(context, "wait_minutes")
        if wait_minutes is not None and wait_minutes < 1:
            raise ValueError(f"wait_minutes: got {wait_minutes}, expected 1 to 60")
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

    def _job_input(self, context: Mapping[str, str]) -> BatchSegmentInput:
        if ("queries" in context) == ("input" in context):
            raise ValueError("pass either -c queries=FILE (a local file) or -c input=s3://bucket/key (queries in S3)")
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
            raise ValueError(f"{name}: got {uri!r}, expected s3://bucket/folder/")
        return s3.Bucket.from_bucket_name(self, f"{name.capitalize()}Bucket", bucket), key

    @staticmethod
    def _tags(context: Mapping[str, str]) -> dict[str, str]:
        tags = {}
        for pair in filter(None, context.get("tags", "").split(",")):
            key, equals, value = pair.partition("=")
            if not equals or key in tags:
                raise ValueError(f"tags: got {pair!r}, expected key=value,key=value, each key once")
            tags[key] = value
        return tags


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
    """The choice that a word stands for; the first one without it."""
    got = context.get(name, next(iter(choices)))
    if got not in choices:
        raise ValueError(f"{name}: got {got!r}, expected {' or '.join(choices)}")
    return choices[got]


def _context(app: cdk.App) -> dict[str, str]:
    values: dict[str, Any] = app.node.get_all_context()
    # What the CLI and feature flags put into the context has a colon, a slash or a dash in its name.
    for name in values:
        if name.isidentifier() and name not in _CONTEXT:
            close = difflib.get_close_matches(name, _CONTEXT, n=1)
            hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(_CONTEXT)}"
            raise ValueError(f"unknown context value {name!r}; {hint}")
    given = {name: values[name] for name in _CONTEXT if values.get(name) not in (None, "")}
    # As in JSON, whoever wrote it.
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in given.items()}


def main(app: cdk.App) -> None:
    """Synthesises the stack, or says in one sentence what is wrong with the context."""
    try:
        context = _context(app)
        PersonalizeSegmentsStack(
            app,
            _matching(context, "stack_name", _STACK_NAME, "letters, digits and hyphens, first a letter")
            or "PersonalizeSegments",
            context,
            env=cdk.Environment(
                account=os.environ.get("CDK_DEFAULT_ACCOUNT"), region=os.environ.get("CDK_DEFAULT_REGION")
            ),
        )
    except (ValueError, RuntimeError) as error:
        # The latter are CDK's own, of which the first line says what is wrong.
        message = str(error).splitlines()[0] if isinstance(error, RuntimeError) else _renamed(str(error))
        sys.exit(f"{message}\n\nThe values, each given as -c NAME=VALUE:\n{_usage()}")
    app.synth()


def _renamed(message: str) -> str:
    """An error of the library, which names its property, in the words of the context."""
    prop, colon, rest = message.partition(":")
    return f"{_CONTEXT_OF_PROPERTY.get(prop, prop)}{colon}{rest}"


def _usage() -> str:
    return "\n".join(f"  {name:<21}{meaning}" for name, meaning in _CONTEXT.items())


if __name__ == "__main__":
    main(cdk.App())
