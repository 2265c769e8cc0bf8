"""The CDK app of a run: the library's stacks with one job each, and a stack of probes."""

import os
from collections.abc import Sequence
from typing import Any

import aws_cdk as cdk
import aws_cdk.aws_iam as iam
import aws_cdk.aws_kms as kms
import aws_cdk.aws_s3 as s3
from cdk_personalize_segments import (
    BatchSegmentInput,
    BatchSegmentJob,
    BatchSegmentProvider,
    BatchSegmentStorage,
    SegmentQuery,
)

from .settings import LIBRARY_STACKS, PAIRS, PROBES, VARIABLE, Settings

_SERVICE = "personalize.amazonaws.com"


def main() -> None:
    """Synthesizes the stacks for the settings in the environment."""
    settings = Settings.from_json(os.environ[VARIABLE])
    environment = cdk.Environment(account=settings.account, region=settings.region)
    app = cdk.App()
    for trial in LIBRARY_STACKS:
        stack = cdk.Stack(app, settings.stack(trial), env=environment, description=LIBRARY_STACKS[trial])
        _add_job(stack, settings, trial)
    probes = cdk.Stack(app, settings.stack(PROBES), env=environment, description="Probes of Amazon Personalize")
    _add_probes(probes, settings)
    app.synth()


def _add_job(stack: cdk.Stack, settings: Settings, trial: str) -> None:
    options: dict[str, Any] = {}
    if trial == "strict":
        options["strict_conditions"] = True
    elif trial == "kms":
        options["encryption_key"] = kms.Key(
            stack,
            "Key",
            enable_key_rotation=True,
            # The minimum in KMS: https://docs.aws.amazon.com/kms/latest/APIReference/API_ScheduleKeyDeletion.html
            pending_window=cdk.Duration.days(7),
            removal_policy=cdk.RemovalPolicy.DESTROY,
        )
    BatchSegmentProvider(stack, "Provider", log_removal_policy=cdk.RemovalPolicy.DESTROY)
    job = BatchSegmentJob(
        stack,
        "Job",
        solution_version_arn=settings.solution_version_arn,
        job_input=BatchSegmentInput.from_queries([SegmentQuery({settings.kind: settings.query})]),
        storage=BatchSegmentStorage(
            stack, "Storage", removal_policy=cdk.RemovalPolicy.DESTROY, auto_delete_objects=True, **options
        ),
    )
    cdk.CfnOutput(stack, "JobArn", value=job.batch_segment_job_arn)
    cdk.CfnOutput(stack, "OutputUri", value=job.output_uri)


def _add_probes(stack: cdk.Stack, settings: Settings) -> None:
    service = iam.ServicePrincipal(_SERVICE)
    role = iam.Role(stack, "Role", assumed_by=service, description="Personalize reads and writes probes in this role")
    inputs, outputs, listed = [], [], []
    for pair in PAIRS:
        source, target = _new_bucket(stack, f"{pair}In"), _new_bucket(stack, f"{pair}Out")
        inputs.append(source)
        outputs.append(target)
        listed += [source] if pair == "nolisting" else [source, target]
        if pair != "nopolicy":
            _allow(source, "s3:GetObject", pair, settings)
            _allow(target, "s3:PutObject", pair, settings)
        cdk.CfnOutput(stack, f"{pair}Input", value=source.bucket_name)
        cdk.CfnOutput(stack, f"{pair}Output", value=target.bucket_name)
    for action, resources in (
        ("s3:GetObject", [bucket.arn_for_objects("*") for bucket in inputs]),
        ("s3:PutObject", [bucket.arn_for_objects("*") for bucket in outputs]),
        ("s3:ListBucket", [bucket.bucket_arn for bucket in listed]),
    ):
        role.add_to_policy(iam.PolicyStatement(actions=[action], resources=resources))

    untrusting = iam.Role(
        stack, "Untrusting", assumed_by=iam.AccountRootPrincipal(), description="Does not trust Personalize"
    )
    caller = iam.Role(
        stack, "Caller", assumed_by=iam.AccountRootPrincipal(), description="May create jobs, on the ARNs of jobs only"
    )
    caller.add_to_policy(
        iam.PolicyStatement(actions=["personalize:CreateBatchSegmentJob"], resources=[f"{settings.jobs_arn}*"])
    )
    caller.add_to_policy(iam.PolicyStatement(actions=["iam:PassRole"], resources=[role.role_arn]))
    cdk.CfnOutput(stack, "RoleArn", value=role.role_arn)
    cdk.CfnOutput(stack, "UntrustingArn", value=untrusting.role_arn)
    cdk.CfnOutput(stack, "CallerArn", value=caller.role_arn)


def _new_bucket(stack: cdk.Stack, id: str) -> s3.Bucket:
    return s3.Bucket(
        stack,
        id,
        block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
        removal_policy=cdk.RemovalPolicy.DESTROY,
        auto_delete_objects=True,
    )


def _allow(bucket: s3.Bucket, action: str, pair: str, settings: Settings) -> None:
    account = {"aws:SourceAccount": settings.account}
    source = {"aws:SourceArn": f"arn:{settings.partition}:personalize:{settings.region}:{settings.account}:*"}
    conditions: dict[str, Any] = {
        "sourceaccount": {"StringEquals": account},
        "sourcearn": {"ArnLike": source},
        "ifexists": {"StringEqualsIfExists": account, "ArnLikeIfExists": source},
    }.get(pair, {})
    listing = {"StringLike": {"s3:prefix": ["queries/*", "segments/*"]}} if pair == "listprefix" else conditions
    statements: Sequence[tuple[str, str, dict[str, Any]]] = [
        (action, bucket.arn_for_objects("*"), conditions),
        ("s3:ListBucket", bucket.bucket_arn, listing),
    ]
    for allowed, resource, limits in statements:
        if pair == "nolisting" and allowed == "s3:ListBucket" and action == "s3:PutObject":
            continue
        bucket.add_to_resource_policy(
            iam.PolicyStatement(
                principals=[iam.ServicePrincipal(_SERVICE)], actions=[allowed], resources=[resource], conditions=limits
            )
        )


if __name__ == "__main__":
    main()
