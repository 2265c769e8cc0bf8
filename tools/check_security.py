"""Checks synthesized stacks with cdk-nag, cfn-lint and parliament; run by ``make check``.

``python tools/check_security.py --write`` regenerates docs/permissions.md, which lists the permissions of the stacks.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import security_stacks
from cdk_nag import AwsSolutionsChecks, NIST80053R5Checks
from cdk_personalize_segments import acknowledge_nag_findings, nag, nag_findings
from permissions_page import page_of, policies

ROOT = Path(__file__).parents[1]
PERMISSIONS = ROOT / "docs" / "permissions.md"
# The file for acknowledgements without a finding.
UNUSED = "unused.json"

# The service authorization reference lists these actions for batch segment jobs. Parliament's copy is older.
NEWER_THAN_PARLIAMENT = {"personalize:TagResource", "personalize:UntagResource"}

# Parliament requires the ARNs of both Standard and Express executions.
EITHER_EXECUTION = {"states:DescribeExecution"}

# Actions that need all resources: those for a VPC, as in AWS's policy AWSLambdaVPCAccessExecutionRole, and the log
# delivery of CDK's state machine.
STAR_IS_NEEDED = {
    "ec2:AssignPrivateIpAddresses",
    "ec2:CreateNetworkInterface",
    "ec2:DeleteNetworkInterface",
    "ec2:UnassignPrivateIpAddresses",
    "logs:CreateLogStream",
    "logs:PutLogEvents",
}


def synthesize(folder: str) -> None:
    """Synthesizes the stacks into a folder, with cdk-nag's reports and the acknowledgements without a finding."""
    app = cdk.App(outdir=folder, analytics_reporting=False)
    for make in security_stacks.ALL:
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
        # The reports list the findings.
        if not str(error).startswith("ValidationFailed:"):
            raise
    acknowledged = [(rule, place.node.path, entry) for place, rule, entry in nag.acknowledgements(app)]
    used = [entry for _, _, entry in acknowledged]
    unused = [
        *(f"{rule} in {path}" for rule, path, _ in acknowledged if (rule, path) not in found),
        *(
            f"{one.rule} in {one.places}"
            for one in (*nag_findings.OF_PROVIDER, *nag_findings.OF_STORAGE, *nag_findings.OF_WORKFLOW)
            if one not in used
        ),
    ]
    (Path(folder) / UNUSED).write_text(json.dumps(unused))


def check_nag(folder: str) -> Iterator[str]:
    """Yields the findings that are not acknowledged, and the acknowledgements without a finding."""
    report = json.loads((Path(folder) / "validation-report.json").read_text())
    for plugin in report["pluginReports"]:
        for violation in plugin["violations"]:
            for found in violation["violatingConstructs"]:
                yield f"cdk-nag: {violation['ruleName']} in {found['constructPath']}"
    for unused in json.loads((Path(folder) / UNUSED).read_text()):
        yield f"cdk-nag: the acknowledgement of {unused} has no finding: remove it"


def check_lint(folder: str) -> Iterator[str]:
    """Yields the findings of cfn-lint."""
    templates = [str(path) for path in Path(folder).glob("*.template.json")]
    # W3005: CDK writes dependencies on a role's policies even where a reference implies them.
    command = ["cfn-lint", "--format", "parseable", "--ignore-checks", "W3005", "--", *templates]
    done = subprocess.run(command, capture_output=True, text=True)
    yield from (f"cfn-lint: {line}" for line in done.stdout.splitlines())
    if done.returncode and not done.stdout:
        yield f"cfn-lint: {done.stderr}"


def check_parliament(templates: Iterable[dict[str, Any]]) -> Iterator[str]:
    """Yields parliament's findings in the policies of roles, such as unknown actions and mismatched resources."""
    # Parliament imports a deprecated module of setuptools, which prints a warning.
    warnings.simplefilter("ignore")
    import parliament

    for template in templates:
        for owner, document in policies(template):
            if owner.startswith(("trust of", "policy of")):
                continue
            for finding in parliament.analyze_policy_string(json.dumps(document)).findings:
                if finding.issue == "RESOURCE_MISMATCH" and (NEWER_THAN_PARLIAMENT | EITHER_EXECUTION) & {
                    one["action"] for one in finding.detail
                }:
                    continue
                if finding.issue == "RESOURCE_STAR" and set(finding.detail) <= STAR_IS_NEEDED:
                    continue
                yield f"parliament: {owner}: {finding.issue} {finding.detail} {finding.location}"


def main() -> int:
    """Prints all findings."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="write docs/permissions.md")
    parser.add_argument("--synthesize", metavar="FOLDER", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.synthesize:
        synthesize(options.synthesize)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        # In a process whose output is hidden, because CDK prints every finding, acknowledged or not. CDK's own
        # validation of templates runs here too.
        environment = {name: value for name, value in os.environ.items() if name != "CDK_VALIDATION"}
        command = [sys.executable, __file__, "--synthesize", folder]
        done = subprocess.run(command, env=environment, stderr=subprocess.PIPE, text=True)
        if done.returncode:
            print(done.stderr)
            return 1
        templates = {
            name: json.loads((Path(folder) / f"{name}.template.json").read_text()) for name in security_stacks.NAMES
        }
        page = page_of(templates)
        if options.write:
            PERMISSIONS.write_text(page)
        faults = [*check_nag(folder), *check_lint(folder), *check_parliament(templates.values())]
        if PERMISSIONS.read_text() != page:
            faults.append("docs/permissions.md is outdated; run python tools/check_security.py --write")
    print("\n".join(faults) or "cdk-nag, cfn-lint and parliament have no findings that are not acknowledged")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
