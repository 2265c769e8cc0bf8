"""The key of the bucket that CDK publishes query files to: reported by a synthesizer, or given."""

import aws_cdk as cdk
import aws_cdk.aws_kms as kms
import pytest
from cdk_personalize_segments import BatchSegmentInput, BatchSegmentJob, BatchSegmentProvider, SegmentQuery
from support import ACCOUNT, ENVIRONMENT, REGION, VERSION, job_properties, one

REPORTED = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/0a1b"
GIVEN = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/2c3d"


class Synthesizer(cdk.DefaultStackSynthesizer):
    """Publishes files to a bucket of its own, and says which key the bucket has."""

    def add_file_asset(self, asset: cdk.FileAssetSource) -> cdk.FileAssetLocation:
        return cdk.FileAssetLocation(
            bucket_name="staging",
            object_key=str(asset.source_hash),
            http_url=f"https://s3.{REGION}.amazonaws.com/staging/{asset.source_hash}",
            s3_object_url=f"s3://staging/{asset.source_hash}",
            kms_key_arn=REPORTED,
        )


@pytest.fixture
def stack() -> cdk.Stack:
    return cdk.Stack(cdk.App(), "Demo", env=ENVIRONMENT, synthesizer=Synthesizer())


def job(stack: cdk.Stack, id: str = "Job", item: str = "105") -> BatchSegmentJob:
    queries = BatchSegmentInput.from_queries([SegmentQuery.items_like(item)])
    return BatchSegmentJob(stack, id, solution_version_arn=VERSION, job_input=queries)


def decrypted(stack: cdk.Stack) -> list[list[str]]:
    """The keys that the handler may decrypt with."""
    statements = one(stack, "AWS::IAM::Policy", "HandlerPolicy")["PolicyDocument"]["Statement"]
    return [statement["Resource"] for statement in statements if "kms:Decrypt" in statement["Action"]]


def test_the_key_that_a_synthesizer_reports_is_granted_and_named(stack: cdk.Stack) -> None:
    job(stack)
    assert decrypted(stack) == [[REPORTED]]
    assert job_properties(stack)["AssetKmsKeyArn"] == REPORTED


def test_the_key_that_is_reported_for_every_file_is_granted_once(stack: cdk.Stack) -> None:
    job(stack, "First", "1")
    job(stack, "Second", "2")
    assert decrypted(stack) == [[REPORTED]]


def test_a_given_key_wins_over_the_reported_one(stack: cdk.Stack) -> None:
    BatchSegmentProvider(stack, "Provider", asset_encryption_key=kms.Key.from_key_arn(stack, "Key", GIVEN))
    job(stack)
    assert decrypted(stack) == [[GIVEN]]
    assert job_properties(stack)["AssetKmsKeyArn"] == GIVEN


def test_the_key_of_the_bootstrap_stack_can_be_imported() -> None:
    stack = cdk.Stack(cdk.App(), "Demo", env=ENVIRONMENT)
    arn = cdk.Fn.import_value("CdkBootstrap-hnb659fds-FileAssetKeyArn")
    BatchSegmentProvider(stack, "Provider", asset_encryption_key=kms.Key.from_key_arn(stack, "Key", arn))
    job(stack)
    assert decrypted(stack) == [["<import CdkBootstrap-hnb659fds-FileAssetKeyArn>"]]


def test_rejects_an_alias_because_a_policy_cannot_name_a_key_by_it(stack: cdk.Stack) -> None:
    alias = kms.Alias.from_alias_name(stack, "Alias", "alias/assets")
    with pytest.raises(ValueError, match=r"^asset_encryption_key: got .*Alias.*: a policy cannot name a key by its"):
        BatchSegmentProvider(stack, "Provider", asset_encryption_key=alias)
