"""Looks at synthesized stacks as others would: cdk-nag, cfn-lint and parliament; run by ``make check``.

``python tools/check_security.py --write`` writes docs/permissions.md anew, which lists what the stacks grant.
"""

import argparse
import itertools
import json
import os
import re
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import aws_cdk.aws_ec2 as ec2
import aws_cdk.aws_kms as kms
import aws_cdk.aws_logs as logs
import aws_cdk.aws_s3 as s3
import aws_cdk.aws_stepfunctions as sfn
import aws_cdk.custom_resources as cr
from cdk_nag import AwsSolutionsChecks, NIST80053R5Checks
from cdk_personalize_segments import (
    BatchSegmentInput,
    BatchSegmentJob,
    BatchSegmentProvider,
    BatchSegmentStorage,
    SegmentQuery,
    acknowledge_nag_findings,
    nag,
    nag_findings,
)

ROOT = Path(__file__).parents[1]
PERMISSIONS = ROOT / "docs" / "permissions.md"
ENVIRONMENT = cdk.Environment(account="123456789012", region="eu-west-1")
PERSONALIZE = "arn:aws:personalize:eu-west-1:123456789012"
PROVIDER = "PersonalizeBatchSegmentProvider"
STACKS = ("Plain", "Full", "Organization")
# The file with the acknowledgements without a finding.
UNUSED = "unused.json"

# The service authorization reference lists batch segment jobs for these, and parliament's copy of it none.
NEWER_THAN_PARLIAMENT = {"personalize:TagResource", "personalize:UntagResource"}

# The actions that Lambda needs in a VPC, on interfaces that do not exist yet, as in AWS's policy
# AWSLambdaVPCAccessExecutionRole; and the log delivery of CDK's state machine.
STAR_IS_NEEDED = {
    "ec2:AssignPrivateIpAddresses",
    "ec2:CreateNetworkInterface",
    "ec2:DeleteNetworkInterface",
    "ec2:UnassignPrivateIpAddresses",
    "logs:CreateLogStream",
    "logs:PutLogEvents",
}


def plain(scope: cdk.App) -> cdk.Stack:
    """The defaults."""
    stack = cdk.Stack(scope, "Plain", env=ENVIRONMENT)
    queries = BatchSegmentInput.from_queries([SegmentQuery.items_like("105")])
    BatchSegmentJob(stack, "Job", solution_version_arn=f"{PERSONALIZE}:solution/films/0123abcd", job_input=queries)
    return stack


def full(scope: cdk.App) -> cdk.Stack:
    """Every option of jobs and storage."""
    stack = cdk.Stack(scope, "Full", env=ENVIRONMENT)
    storage = BatchSegmentStorage(
        stack,
        "Storage",
        encryption_key=kms.Key(stack, "Key", enable_key_rotation=True),
        versioned=True,
        server_access_logs_bucket=s3.Bucket.from_bucket_name(stack, "AccessLogs", "access-logs"),
    )
    inline = BatchSegmentInput.from_queries([SegmentQuery.items_like("105")])
    in_s3 = BatchSegmentInput.from_bucket(storage.input_bucket, "today/")
    for id, job_input in (("Inline", inline), ("InS3", in_s3)):
        BatchSegmentJob(
            stack,
            id,
            storage=storage,
            solution_arn=f"{PERSONALIZE}:solution/films",
            filter_arn=f"{PERSONALIZE}:filter/adults",
            job_input=job_input,
            tags={"team": "growth"},
            wait_for_completion=cdk.Duration.minutes(30),
        )
    return stack


def organization(scope: cdk.App) -> cdk.Stack:
    """Every option of the provider."""
    stack = cdk.Stack(scope, "Organization", env=ENVIRONMENT)
    key = kms.Key(stack, "Key", enable_key_rotation=True)
    vpc = ec2.Vpc.from_vpc_attributes(
        stack,
        "Vpc",
        vpc_id="vpc-0a1b2c3d",
        availability_zones=["eu-west-1a"],
        private_subnet_ids=["subnet-0a1b2c3d"],
        private_subnet_route_table_ids=["rtb-0a1b2c3d"],
    )
    waiter_logs = logs.LogGroup(stack, "WaiterLogs", encryption_key=key)
    BatchSegmentProvider(
        stack,
        PROVIDER,
        asset_encryption_key=key,
        log_encryption_key=key,
        vpc=vpc,
        tracing=True,
        waiter_log_options=cr.LogOptions(destination=waiter_logs, level=sfn.LogLevel.ALL),
    )
    BatchSegmentJob(
        stack,
        "Job",
        solution_version_arn=f"{PERSONALIZE}:solution/films/0123abcd",
        job_input=BatchSegmentInput.from_queries([SegmentQuery.items_like("105")]),
        wait_for_completion=cdk.Duration.minutes(30),
    )
    return stack


def synthesize(folder: str) -> None:
    """Writes the stacks to a folder, with the report of the packs, and what is acknowledged in the stacks."""
    app = cdk.App(outdir=folder, analytics_reporting=False)
    for make in (plain, full, organization):
        make(app)
    packs = (AwsSolutionsChecks(app), NIST80053R5Checks(app))
    found = {
        (violation.rule_name, resource.construct_path)
        for pack in packs
        for violation in pack.validate_scope(app).violations
        for resource in violation.violating_resources
    }
    acknowledge_nag_findings(app)
    cdk.Validations.of(app).add_plugins(*packs)
    try:
        app.synth()
    except RuntimeError as error:
        # The report has the findings.
        if not str(error).startswith("ValidationFailed:"):
            raise
    acknowledged = [(rule, place.node.path, entry) for place, rule, entry in nag.acknowledgements(app)]
    used = [entry for _, _, entry in acknowledged]
    unused = [
        *(f"{rule} in {path}" for rule, path, _ in acknowledged if (rule, path) not in found),
        *(
            f"{one.rule} in {one.places}"
            for one in (*nag_findings.OF_PROVIDER, *nag_findings.OF_STORAGE)
            if one not in used
        ),
    ]
    (Path(folder) / UNUSED).write_text(json.dumps(unused))


def check_nag(folder: str) -> Iterator[str]:
    """Findings that are not acknowledged, and acknowledgements without a finding."""
    report = json.loads((Path(folder) / "validation-report.json").read_text())
    for plugin in report["pluginReports"]:
        for violation in plugin["violations"]:
            for found in violation["violatingConstructs"]:
                yield f"cdk-nag: {violation['ruleName']} in {found['constructPath']}"
    for unused in json.loads((Path(folder) / UNUSED).read_text()):
        yield f"cdk-nag: nothing is found any more for the acknowledgement of {unused}"


def check_lint(folder: str) -> Iterator[str]:
    """What cfn-lint says."""
    templates = [str(path) for path in Path(folder).glob("*.template.json")]
    # W3005: CDK writes the dependencies of a role's policies out, those that a reference implies included.
    command = ["cfn-lint", "--format", "parseable", "--ignore-checks", "W3005", "--", *templates]
    done = subprocess.run(command, capture_output=True, text=True)
    yield from (f"cfn-lint: {line}" for line in done.stdout.splitlines())
    if done.returncode and not done.stdout:
        yield f"cfn-lint: {done.stderr}"


def policies(template: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Owner and document of each policy in a template, intrinsic functions written out."""
    for logical_id, resource in template["Resources"].items():
        properties = written_out(resource.get("Properties", {}))
        match resource["Type"]:
            case "AWS::IAM::Policy":
                yield properties["Roles"][0], properties["PolicyDocument"]
            case "AWS::IAM::Role":
                yield f"trust of {logical_id}", properties["AssumeRolePolicyDocument"]
                for policy in properties.get("Policies", []):
                    yield logical_id, policy["PolicyDocument"]
            case "AWS::S3::BucketPolicy":
                yield f"policy of {properties['Bucket']}", properties["PolicyDocument"]
            case "AWS::KMS::Key":
                yield f"policy of {logical_id}", properties["KeyPolicy"]


def written_out(value: Any) -> Any:
    """A template's value with plausible text for what is known at deploy."""
    match value:
        case {"Ref": "AWS::Partition"}:
            return "aws"
        case {"Ref": "AWS::StackId"}:
            return "arn:aws:cloudformation:eu-west-1:123456789012:stack/Stack/0e0f"
        case {"Ref": name}:
            state_machine = f"arn:aws:states:eu-west-1:123456789012:stateMachine:{name}"
            return name.lower() if "Bucket" in name else state_machine if "statemachine" in name else name
        case {"Fn::GetAtt": [name, "Arn"]}:
            for part, arn in (
                ("Bucket", f"arn:aws:s3:::{name.lower()}"),
                ("Key", f"arn:aws:kms:eu-west-1:123456789012:key/{name}"),
                ("Logs", f"arn:aws:logs:eu-west-1:123456789012:log-group:{name}:*"),
                ("Role", f"arn:aws:iam::123456789012:role/{name}"),
            ):
                if part in name:
                    return arn
            return f"arn:aws:lambda:eu-west-1:123456789012:function:{name}"
        case {"Fn::Join": ["", parts]}:
            return "".join(written_out(part) for part in parts)
        case {"Fn::Sub": text}:
            return str(text)
        case dict():
            return {key: written_out(part) for key, part in value.items()}
        case list():
            return [written_out(part) for part in value]
        case _:
            return value


def check_parliament(templates: list[dict[str, Any]]) -> Iterator[str]:
    """What parliament says of the policies of roles: unknown actions and conditions, resources that do not fit."""
    # It says that setuptools deprecates what it imports.
    warnings.simplefilter("ignore")
    import parliament

    for template in templates:
        for owner, document in policies(template):
            if owner.startswith(("trust of", "policy of")):
                continue
            for finding in parliament.analyze_policy_string(json.dumps(document)).findings:
                if finding.issue == "RESOURCE_MISMATCH" and NEWER_THAN_PARLIAMENT & {
                    one["action"] for one in finding.detail
                }:
                    continue
                if finding.issue == "RESOURCE_STAR" and set(finding.detail) <= STAR_IS_NEEDED:
                    continue
                yield f"parliament: {owner}: {finding.issue} {finding.detail} {finding.location}"


def permissions(templates: list[dict[str, Any]]) -> str:
    """The page that lists what the stacks grant."""
    lines = [
        "# Permissions",
        "",
        "The permissions in three synthesized stacks, written by `tools/check_security.py`. *Plain* has one job with",
        "the defaults, *Full* has every option of jobs and storage, and *Organization* every option of the provider.",
        "ARNs have no `arn:aws:`, names have no hashes, and `…` stands for region and account.",
    ]
    for name, template in zip(STACKS, templates, strict=True):
        lines += ["", f"## {name}"]
        by_owner = sorted(policies(template), key=lambda pair: pair[0])
        for owner, documents in itertools.groupby(by_owner, key=lambda pair: pair[0]):
            statements = [statement for _, document in documents for statement in document["Statement"]]
            named = [column for column in ("for", "may", "on", "if") if any(_cell(one, column) for one in statements)]
            lines += ["", f"### {_shortened(owner)}", "", _row(named), _row(["---"] * len(named))]
            lines += [_row([_cell(one, column) for column in named]) for one in statements]
    return "\n".join(lines) + "\n"


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(statement: dict[str, Any], column: str) -> str:
    def listed(value: Any) -> str:
        return "<br>".join(f"`{_shortened(one)}`" for one in ([value] if isinstance(value, str) else value))

    principals = [
        one
        for value in statement.get("Principal", {}).values()
        for one in ([value] if isinstance(value, str) else value)
    ]
    conditions = [
        f"`{operator} {key}` = {listed(value)}"
        for operator, keys in statement.get("Condition", {}).items()
        for key, value in keys.items()
    ]
    effect = "**not** " if statement["Effect"] == "Deny" else ""
    return {
        "for": listed(principals),
        "may": f"{effect}{listed(statement['Action'])}",
        "on": listed(statement.get("Resource", [])),
        "if": "<br>".join(conditions),
    }[column]


def _shortened(text: str) -> str:
    text = re.sub(r"\barn:aws:([a-z0-9]*):(?:eu-west-1)?:123456789012:", r"\1:…:", text)
    text = text.replace("arn:aws:", "")
    text = re.sub(r"\b[0-9a-f]{64}\b", "<asset>", text)
    text = re.sub(r"([A-Za-z])(?:[0-9A-F]{8}|[0-9a-f]{8})(?![0-9A-Za-z])", r"\1", text)
    return text.replace(PROVIDER.lower(), "").replace(PROVIDER, "Provider/")


def main() -> int:
    """Prints what is wrong, if anything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="write docs/permissions.md")
    parser.add_argument("--synthesize", metavar="FOLDER", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.synthesize:
        synthesize(options.synthesize)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        # In a process whose output is not shown, as CDK prints each finding, acknowledged here or not. This is where
        # CDK's own validation of templates runs.
        environment = {name: value for name, value in os.environ.items() if name != "CDK_VALIDATION"}
        command = [sys.executable, __file__, "--synthesize", folder]
        done = subprocess.run(command, env=environment, stderr=subprocess.PIPE, text=True)
        if done.returncode:
            print(done.stderr)
            return 1
        templates = [json.loads((Path(folder) / f"{name}.template.json").read_text()) for name in STACKS]
        page = permissions(templates)
        if options.write:
            PERMISSIONS.write_text(page)
        faults = [*check_nag(folder), *check_lint(folder), *check_parliament(templates)]
        if PERMISSIONS.read_text() != page:
            faults.append("docs/permissions.md is not what the stacks grant: python tools/check_security.py --write")
    print("\n".join(faults) or "nothing found by cdk-nag, cfn-lint and parliament that is not acknowledged")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
