"""The platform example: the real CDK CLI deploys one of its stages, redeploys it, and deploys changes."""

import contextlib
import json
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from personalize_local.gateway import LocalAws
from support.cdk_cli import Cdk
from support.local import Clients, seeded_arn, wait_until

pytestmark = pytest.mark.slow

EXAMPLE = Path(__file__).parents[2] / "examples" / "platform"
BOUNDARY = "developer-boundary"
ASSIGNED = "# Personalize runs five jobs of an account"


@pytest.fixture
def platform(cdk: Callable[..., Cdk]) -> Cdk:
    """A copy of the example that tests edit."""
    made = cdk(f"{sys.executable} app.py", "Dev-Segments")
    shutil.copytree(EXAMPLE, made.folder, dirs_exist_ok=True)
    return made


@pytest.fixture
def context(aws: LocalAws, client: Clients) -> dict[str, str]:
    """The context values of the app. The permissions boundary in them exists."""
    allow = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [allow]})
    iam = client("iam")
    # An earlier test can have created it: all tests share the local AWS.
    with contextlib.suppress(iam.exceptions.EntityAlreadyExistsException):
        iam.create_policy(PolicyName=BOUNDARY, PolicyDocument=document)
    return {
        "solution_version_arn": seeded_arn(aws, "ITEM_ATTRIBUTE_AFFINITY_VERSION"),
        "permissions_boundary": BOUNDARY,
    }


@pytest.fixture
def run(platform: Cdk, context: dict[str, str]) -> Callable[..., str]:
    """Runs a CLI command that must succeed, and returns its output."""

    def run(*arguments: str) -> str:
        done = platform.run(*arguments, **context)
        assert done.returncode == 0, done.stdout
        return re.sub(r"\x1b\[[0-9;]*m", "", done.stdout)

    return run


@pytest.fixture
def new_jobs(aws: LocalAws) -> Callable[[], list[str]]:
    """Returns the names of the stage's jobs that are new since the last call."""
    seen: set[str] = set()

    def new_jobs() -> list[str]:
        new = [arn for arn in aws.personalize.jobs if "/DevSegments" in arn and arn not in seen]
        seen.update(new)
        return [arn.rpartition("/")[2] for arn in new]

    return new_jobs


def edit(platform: Cdk, old: str, new: str) -> None:
    """Replaces a text that occurs once in the app."""
    path = platform.folder / "app.py"
    text = path.read_text()
    assert text.count(old) == 1, f"{old!r} occurs {text.count(old)} times in the app"
    path.write_text(text.replace(old, new))


# The CLI runs seven times, and each run synthesizes two stages.
@pytest.mark.timeout(600)
def test_deploys_a_stage_and_an_edited_query_starts_one_job(
    platform: Cdk,
    run: Callable[..., str],
    new_jobs: Callable[[], list[str]],
    aws: LocalAws,
    client: Clients,
) -> None:
    run("deploy", "Dev/*", "--require-approval=never")
    created = new_jobs()
    assert len(created) == 13
    jobs = [job for arn, job in aws.personalize.jobs.items() if arn.rpartition("/")[2] in created]
    assert {job.status for job in jobs} == {"ACTIVE"}
    assert all(job.tags == {"cost-center": "1234", "stage": "Dev"} for job in jobs)
    assert len([name for name in created if name.startswith("DevSegmentsS-")]) == 1, "the nested stack's"

    # Every role of the stage has the boundary.
    iam = client("iam")
    names = [role["RoleName"] for page in iam.get_paginator("list_roles").paginate() for role in page["Roles"]]
    roles = [iam.get_role(RoleName=name)["Role"] for name in names if name.startswith("Dev-")]
    assert len(roles) >= 12
    for role in roles:
        assert role["PermissionsBoundary"]["PermissionsBoundaryArn"].endswith(f":policy/{BOUNDARY}"), role["RoleName"]

    # The reader in another stack is invoked for each file, and can read it.
    logs = client("logs")

    def counted() -> set[str]:
        pages = logs.get_paginator("describe_log_groups").paginate()
        groups = [one["logGroupName"] for page in pages for one in page["logGroups"]]
        messages = [
            event["message"]
            for group in groups
            if "CountUsers" in group
            for event in logs.filter_log_events(logGroupName=group)["events"]
        ]
        return {json.loads(one)["object"].split("/")[1] for one in messages if one.startswith('{"object"')}

    # Each check reads every log group, which delays the local AWS's invocations.
    wait_until(lambda: counted() == set(created), timeout=120, interval=8)

    # Nothing has changed. The CLI would ask for approval of changed permissions.
    assert run("deploy", "Dev/*", "--require-approval=broadening").count("(no changes)") == 3
    assert new_jobs() == []

    # A changed year: the diff shows the query and the job's definition, and no permission changes.
    edited = 'AUDIENCES = {**AUDIENCES, "DramaFans1999": {"GENRES": "Drama", "YEAR": "2001"}}\n'
    edit(platform, ASSIGNED, edited + ASSIGNED)
    said = run("diff", "Dev/*")
    assert "Number of stacks with differences: 1" in said
    assert "IAM" not in said
    assert said.count("Custom::PersonalizeBatchSegmentJob") == 1
    assert re.search(r"NewJobIfChanged.*\n.*\.InputHash:", said)
    before, after = re.findall(r"[-+].*ITEMS\.YEAR = .*(1999|2001)", said)
    assert (before, after) == ("1999", "2001")

    # The CLI silently skips resources that it cannot hotswap, as the page says.
    assert "(no changes)" in run("deploy", "Dev/Segments", "--exclusively", "--hotswap")
    assert new_jobs() == []

    run("deploy", "Dev/*", "--require-approval=broadening")
    (name,) = new_jobs()
    assert name.startswith("DevSegments-")
    assert "-DramaFans1999-" in name

    # num_results of the nested job.
    edit(platform, "num_results=500", "num_results=400")
    run("deploy", "Dev/*", "--require-approval=broadening")
    (name,) = new_jobs()
    assert name.startswith("DevSegmentsS-")
    assert "-WinterFans-" in name


def test_no_pattern_of_a_stage_covers_a_name_of_another(platform: Cdk, run: Callable[..., str]) -> None:
    run("synth", "--quiet")
    patterns: dict[str, set[str]] = {}
    for stage in ("Dev", "Prod"):
        texts = [
            path.read_text() for path in (platform.folder / "cdk.out" / f"assembly-{stage}").glob("*.template.json")
        ]
        assert len(texts) == 4
        patterns[stage] = {found for text in texts for found in re.findall(r"\w+-[0-9a-f]{8}-(?=\*)", text)}
        assert len(patterns[stage]) >= 2
    assert not patterns["Dev"] & patterns["Prod"]
