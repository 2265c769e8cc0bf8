"""The platform example, one stage of it deployed and changed by the real CDK CLI."""

import json
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "platform"
SEGMENTS, NESTED = "Dev-Segments", "DevSegmentsSe"
MARK = "# Personalize runs five jobs"


@pytest.fixture
def platform(aws, cdk, client):
    """A copy of the example, to be edited as somebody does."""
    made = cdk(f"{sys.executable} app.py", SEGMENTS)
    shutil.copytree(EXAMPLE, made.folder, dirs_exist_ok=True)
    return made


@pytest.fixture
def context(aws, client) -> dict[str, str]:
    allow = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [allow]})
    client("iam").create_policy(PolicyName="developer-boundary", PolicyDocument=document)
    return {
        "solution_version_arn": aws.environment()["PERSONALIZE_LOCAL_ITEM_ATTRIBUTE_AFFINITY_VERSION_ARN"],
        "permissions_boundary": "developer-boundary",
    }


@pytest.fixture
def jobs_of(aws) -> Callable[[], list[str]]:
    """The stage's jobs, in the order in which they were created."""
    return lambda: [arn for arn in aws.personalize.jobs if f"/{'DevSegments'}" in arn]


def edit(platform, old: str, new: str) -> None:
    """Changes the one place of the app where there is a text."""
    path = platform.folder / "app.py"
    text = path.read_text()
    assert text.count(old) == 1, f"{old!r} is in the app {text.count(old)} times"
    path.write_text(text.replace(old, new))


def test_a_stage_is_deployed_and_an_edit_of_one_query_starts_one_job(platform, context, jobs_of, aws, client):
    t = time.time()

    def run(*a, **k):
        nonlocal t
        done = platform.run(*a, **context, **k)
        print("=====", a, done.returncode, time.time() - t)
        t = time.time()
        print(done.stdout)
        print(len(jobs_of()))
        return done.stdout

    run("deploy", "Dev/*", "--require-approval=never")
    run("deploy", "Dev/*", "--require-approval=broadening")
    edit(platform, MARK, 'AUDIENCES = {**AUDIENCES, "DramaFans1999": {"GENRES": "Drama", "YEAR": "2001"}}\n' + MARK)
    run("diff", "Dev/*")
    run("deploy", "Dev/Segments", "--exclusively", "--hotswap", "--require-approval=broadening")
    run("deploy", "Dev/Segments", "--exclusively", "--hotswap-fallback", "--require-approval=broadening")
    run("deploy", "Dev/Segments", "--exclusively", "--method=direct", "--require-approval=broadening")
    edit(platform, "num_results=500", "num_results=400")
    run("diff", "Dev/*")
    run("deploy", "Dev/Segments", "--exclusively", "--method=direct", "--require-approval=broadening")
