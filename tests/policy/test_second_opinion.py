"""An independent IAM simulator evaluates the same templates: https://www.npmjs.com/package/@cloud-copilot/iam-simulate

It uses the service authorization reference, so it detects actions on resources that do not support them.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import pytest
from aws_cdk.assertions import Template
from cdk_personalize_segments.naming import StackNames
from support.constants import ACCOUNT, REGION

ROOT = Path(__file__).parents[2]
P = f"arn:aws:personalize:{REGION}:{ACCOUNT}"
NAME = f"{StackNames.derive('Full', '', ACCOUNT, REGION).job_prefix('Inline')}-0123456789ab"
JOB = f"{P}:batch-segment-job/{NAME}"
TO_PERSONALIZE = {"iam:PassedToService": "personalize.amazonaws.com"}
OURS = {"aws:ResourceAccount": ACCOUNT}
NOT_OURS = {"aws:ResourceAccount": "210987654321"}
TEAM = {"aws:TagKeys": ["team"], "aws:RequestTag/team": "growth"}
SERVICE = {"aws:SourceAccount": ACCOUNT, "aws:SourceArn": JOB, "aws:SecureTransport": "true"}
INPUT, OUTPUT = "arn:aws:s3:::storageinputbucket0767fbbb", "arn:aws:s3:::storageoutputbucketcd2eeb3a"

#: Owner of the policy (part of the logical ID), action, resource, context, whether the request is allowed.
CASES: list[tuple[str, str, str, Mapping[str, Sequence[str]], bool]] = [
    ("ProviderHandlerRole", "personalize:DescribeBatchSegmentJob", JOB, {}, True),
    ("ProviderHandlerRole", "personalize:CreateBatchSegmentJob", JOB, TEAM, True),
    ("ProviderHandlerRole", "personalize:CreateBatchSegmentJob", JOB, {"aws:TagKeys": ["other"]}, False),
    ("ProviderHandlerRole", "personalize:CreateBatchSegmentJob", f"{P}:batch-segment-job/Other", TEAM, False),
    ("ProviderHandlerRole", "personalize:TagResource", JOB, TEAM, True),
    ("ProviderHandlerRole", "personalize:UntagResource", JOB, {}, True),
    ("ProviderHandlerRole", "personalize:DescribeSolutionVersion", f"{P}:solution/films/0123abcd", {}, True),
    ("ProviderHandlerRole", "personalize:DescribeSolutionVersion", f"{P}:solution/other/0123abcd", {}, False),
    ("ProviderHandlerRole", "personalize:ListSolutionVersions", "*", {}, True),
    ("ProviderHandlerRole", "personalize:ListBatchSegmentJobs", "*", {}, False),
    ("ProviderHandlerRole", "personalize:DescribeFilter", f"{P}:filter/adults", {}, True),
    ("ProviderHandlerRole", "personalize:DescribeFilter", f"{P}:filter/other", {}, False),
    ("ProviderHandlerRole", "personalize:DescribeRecipe", "arn:aws:personalize:::recipe/aws-hrnn", {}, True),
    ("ProviderHandlerRole", "iam:PassRole", f"arn:aws:iam::{ACCOUNT}:role/StorageRoleD2FDCA27", TO_PERSONALIZE, True),
    ("ProviderHandlerRole", "iam:PassRole", f"arn:aws:iam::{ACCOUNT}:role/Other", TO_PERSONALIZE, False),
    (
        "ProviderHandlerRole",
        "iam:PassRole",
        f"arn:aws:iam::{ACCOUNT}:role/StorageRoleD2FDCA27",
        {"iam:PassedToService": "lambda.amazonaws.com"},
        False,
    ),
    ("ProviderHandlerRole", "s3:PutObject", f"{INPUT}/queries/{NAME}/a.jsonl", OURS, True),
    ("ProviderHandlerRole", "s3:PutObject", f"{INPUT}/queries/{NAME}/a.jsonl", NOT_OURS, False),
    ("ProviderHandlerRole", "s3:PutObject", f"{INPUT}/queries/Other-00000000-Job/a.jsonl", OURS, False),
    ("ProviderHandlerRole", "s3:PutObject", f"{INPUT}/today/a.jsonl", OURS, False),
    ("ProviderHandlerRole", "s3:GetObject", f"{INPUT}/today/a.jsonl", OURS, True),
    ("ProviderHandlerRole", "s3:ListBucket", INPUT, {**OURS, "s3:prefix": "today/"}, True),
    ("ProviderHandlerRole", "s3:ListBucket", INPUT, {**OURS, "s3:prefix": "queries/"}, False),
    ("ProviderHandlerRole", "s3:DeleteObject", f"{INPUT}/queries/a.jsonl", OURS, False),
    ("StorageRole", "s3:GetObject", f"{INPUT}/queries/{NAME}/a.jsonl", OURS, True),
    ("StorageRole", "s3:PutObject", f"{OUTPUT}/segments/{NAME}/a.out", OURS, True),
    ("StorageRole", "s3:PutObject", f"{OUTPUT}/segments/Other-00000000-Job/a.out", OURS, False),
    ("StorageRole", "s3:PutObject", f"{INPUT}/queries/a.jsonl", OURS, False),
    ("StorageRole", "s3:GetObject", f"{OUTPUT}/segments/a.out", OURS, False),
    ("StorageRole", "s3:ListBucket", OUTPUT, OURS, True),
    ("StorageRole", "kms:GenerateDataKey", f"arn:aws:kms:{REGION}:{ACCOUNT}:key/Key961B73FD", {}, True),
    ("StorageRole", "kms:ScheduleKeyDeletion", f"arn:aws:kms:{REGION}:{ACCOUNT}:key/Key961B73FD", {}, False),
]


@pytest.fixture(scope="module")
def policies() -> list[tuple[str, dict[str, Any]]]:
    sys.path.insert(0, str(ROOT / "tools"))
    import permissions_page
    import security_stacks

    stack = security_stacks.full(cdk.App(analytics_reporting=False))
    return list(permissions_page.policies(dict(Template.from_stack(stack).to_json())))


def simulate(simulations: list[dict[str, Any]]) -> list[str]:
    node = shutil.which("node")
    assert node is not None
    program = Path(__file__).with_name("simulate.mjs")
    done = subprocess.run([node, str(program)], input=json.dumps(simulations), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    decided: list[str] = json.loads(done.stdout)
    return decided


def test_the_simulator_decides_as_the_local_aws_does(policies: list[tuple[str, dict[str, Any]]]) -> None:
    simulations = []
    for owner, action, resource, context, _ in CASES:
        documents = [document for name, document in policies if owner in name and not name.startswith(("trust", "pol"))]
        assert documents
        principal = f"arn:aws:sts::{ACCOUNT}:assumed-role/{owner}/session"
        key_policy = [document for name, document in policies if name.startswith("policy of Key")]
        simulations.append(
            {
                "request": {
                    "principal": principal,
                    "action": action,
                    "resource": {"resource": resource, "accountId": ACCOUNT},
                    "contextVariables": {"aws:SecureTransport": "true", **context},
                },
                "identityPolicies": [{"name": str(n), "policy": one} for n, one in enumerate(documents)],
                "serviceControlPolicies": [],
                "resourceControlPolicies": [],
                # KMS also evaluates the key policy.
                **({"resourcePolicy": key_policy[0]} if action.startswith("kms:") else {}),
            }
        )
    decided = simulate(simulations)
    expected = ["Allowed" if allowed else "ImplicitlyDenied" for *_, allowed in CASES]
    wrong = [(case, got) for case, got, want in zip(CASES, decided, expected, strict=True) if got != want]
    assert wrong == []


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, "Allowed"),
        ({"aws:SourceAccount": "210987654321"}, "ImplicitlyDenied"),
        ({"aws:SourceArn": f"arn:aws:personalize:us-east-1:{ACCOUNT}:batch-segment-job/x"}, "ImplicitlyDenied"),
    ],
    ids=["as the service does", "from another account", "from another region"],
)
def test_the_simulator_reads_the_trust_policy_alike(
    policies: list[tuple[str, dict[str, Any]]], changed: dict[str, Any], expected: str
) -> None:
    (trust,) = [document for name, document in policies if name.startswith("trust of StorageRole")]
    request = {
        "principal": "personalize.amazonaws.com",
        "action": "sts:AssumeRole",
        "resource": {"resource": f"arn:aws:iam::{ACCOUNT}:role/StorageRoleD2FDCA27", "accountId": ACCOUNT},
        "contextVariables": {**SERVICE, **changed},
    }
    simulation = {
        "request": request,
        "identityPolicies": [],
        "serviceControlPolicies": [],
        "resourceControlPolicies": [],
        "resourcePolicy": trust,
    }
    assert simulate([simulation]) == [expected]
