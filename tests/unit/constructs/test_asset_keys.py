"""The key of the bucket that CDK publishes query files to: reported by a synthesizer, or given."""

from typing import cast

import aws_cdk as cdk
import aws_cdk.aws_kms as kms
import pytest
from cdk_personalize_segments import BatchSegmentInput, BatchSegmentProvider, SegmentQuery
from support.constants import ACCOUNT, REGION
from support.templates import ENVIRONMENT, add_job, job_properties, policy_statements

REPORTED = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/0a1b"
GIVEN = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/2c3d"


class Synthesizer(cdk.DefaultStackSynthesizer):
    """Publishes files to its own bucket and reports the bucket's key."""

    # jsii passes the struct to a method that Python overrides.
    def add_file_asset(self, asset: cdk.FileAssetSource) -> cdk.FileAssetLocation:  # type: ignore[override]
        return cdk.FileAssetLocation(
            bucket_name="staging",
            object_key=str(asset.source_hash),
            http_url=f"https://s3.{REGION}.amazonaws.com/staging/{asset.source_hash}",
            s3_object_url=f"s3://staging/{asset.source_hash}",
            kms_key_arn=REPORTED,
        )


@pytest.fixture
def stack() -> cdk.Stack:
    synthesizer = cast(cdk.IStackSynthesizer, Synthesizer())
    return cdk.Stack(cdk.App(), "Demo", env=ENVIRONMENT, synthesizer=synthesizer)


def decrypted(stack: cdk.Stack) -> list[list[str]]:
    """The keys that the handler may decrypt with."""
    granted = policy_statements(stack, "HandlerPolicy")
    return [statement["Resource"] for statement in granted if "kms:Decrypt" in statement["Action"]]


def test_grants_and_names_the_key_that_a_synthesizer_reports(stack: cdk.Stack) -> None:
    add_job(stack)
    assert decrypted(stack) == [[REPORTED]]
    assert job_properties(stack)["AssetKmsKeyArn"] == REPORTED


def test_grants_a_key_reported_for_every_file_once(stack: cdk.Stack) -> None:
    add_job(stack, "First", job_input=BatchSegmentInput.from_queries([SegmentQuery.items_like("1")]))
    add_job(stack, "Second", job_input=BatchSegmentInput.from_queries([SegmentQuery.items_like("2")]))
    assert decrypted(stack) == [[REPORTED]]


def test_a_given_key_wins_over_the_reported_one(stack: cdk.Stack) -> None:
    BatchSegmentProvider(stack, "Provider", asset_encryption_key=kms.Key.from_key_arn(stack, "Key", GIVEN))
    add_job(stack)
    assert decrypted(stack) == [[GIVEN]]
    assert job_properties(stack)["AssetKmsKeyArn"] == GIVEN


def test_the_key_of_the_bootstrap_stack_can_be_imported() -> None:
    stack = cdk.Stack(cdk.App(), "Demo", env=ENVIRONMENT)
    arn = cdk.Fn.import_value("CdkBootstrap-hnb659fds-FileAssetKeyArn")
    BatchSegmentProvider(stack, "Provider", asset_encryption_key=kms.Key.from_key_arn(stack, "Key", arn))
    add_job(stack)
    assert decrypted(stack) == [["<import CdkBootstrap-hnb659fds-FileAssetKeyArn>"]]


def test_rejects_an_alias_as_key_of_the_assets(stack: cdk.Stack) -> None:
    alias = kms.Alias.from_alias_name(stack, "Alias", "alias/assets")
    with pytest.raises(ValueError, match=r"^asset_encryption_key: got .*Alias.*: a policy cannot name a key by its"):
        BatchSegmentProvider(stack, "Provider", asset_encryption_key=alias)
