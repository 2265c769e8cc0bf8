"""Both samples from CSV files to segments with the commands: check, cdk deploy with own data, and export."""

import csv
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from personalize_local.own_data.samples import SAMPLES, write_sample

from docs import pages

TUTORIAL = pages.DOCS / "tutorials" / "own-data.md"
FILMS_APP = """\
import os

import aws_cdk as cdk
from cdk_personalize_segments import BatchSegmentInput, BatchSegmentJob, SegmentQuery

app = cdk.App()
BatchSegmentJob(
    cdk.Stack(app, "Films"),
    "DramaFans",
    solution_version_arn=os.environ["PERSONALIZE_LOCAL_ITEM_ATTRIBUTE_AFFINITY_VERSION_ARN"],
    filter_arn=os.environ["PERSONALIZE_LOCAL_FILTER_ARN"],
    job_input=BatchSegmentInput.from_queries([SegmentQuery.where(GENRES=["Drama", "Western"])]),
    wait_for_completion=cdk.Duration.minutes(10),
)
app.synth()
"""
FILTER = 'INCLUDE UserID WHERE Users.COUNTRY IN ("Japan", "Kenya")'


def personalize_local(folder: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "personalize_local", *arguments]
    environment = {**os.environ, "COLUMNS": "200", "NODE_PATH": str(pages.ROOT / "node_modules")}
    ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=200, env=environment)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def expected_users(data: Path, items: set[str], users: set[str]) -> list[str]:
    """Returns the first 25 users, ordered as documented."""
    times: Counter[str] = Counter()
    latest: dict[str, int] = {}
    for row in read(data / "interactions.csv"):
        if row["ITEM_ID"] in items and row["USER_ID"] in users:
            times[row["USER_ID"]] += 1
            latest[row["USER_ID"]] = max(latest.get(row["USER_ID"], 0), int(row["TIMESTAMP"]))
    return sorted(times, key=lambda user: (-times[user], -latest[user], user))[:25]


def deploy(folder: Path, *options: str, schedule: str = "", name: str = "") -> list[str]:
    """Deploys the app of a folder with its data and returns the exported users.

    Args:
        folder: The folder of the app and its data.
        options: Options of ``personalize-local run``.
        schedule: A schedule to fire after the deployment.
        name: A part of the name of the job or audience. By default, all are exported.
    """
    local = f"{sys.executable} -m personalize_local"
    commands = f"cdk deploy --app '{sys.executable} app.py' --require-approval never && "
    if schedule:
        commands += f"{local} run-schedule {schedule} && "
    commands += f"{local} segments {name} --csv users.csv"
    personalize_local(folder, "run", "--data", "data", *options, "--", "sh", "-c", commands)
    return [row["user_id"] for row in read(folder / "users.csv")]


@pytest.fixture
def folder(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    write_sample(tmp_path / "data", SAMPLES[request.param])
    return tmp_path


@pytest.mark.parametrize("folder", ["retail"], indirect=True)
def test_runs_the_tutorial_with_the_shop(folder: Path) -> None:
    queries = pages.snippets(TUTORIAL)
    lines = next(snippet.code for snippet in queries if snippet.language == "json")
    (folder / "queries.jsonl").write_text(lines.replace("footware", "footwear"))
    checked = json.loads(personalize_local(folder, "check", "queries.jsonl", "--data", "data", "--json"))
    job, workflow = (snippet.code for snippet in pages.python(TUTORIAL))
    (folder / "app.py").write_text(job)
    items = {row["ITEM_ID"] for row in read(folder / "data" / "items.csv") if row["CATEGORY_L2"] == "drill"}
    everyone = {row["USER_ID"] for row in read(folder / "data" / "users.csv")}
    users = expected_users(folder / "data", items, everyone)
    assert checked["data"]["reach"][0]["items"] == len(items)
    assert deploy(folder) == users
    (folder / "app.py").write_text(job.replace("app.synth()\n", f"{workflow}app.synth()\n"))
    assert deploy(folder, schedule="Weekly", name="drill-fans") == users


@pytest.mark.parametrize("folder", ["films"], indirect=True)
def test_runs_the_films_with_a_filter(folder: Path) -> None:
    (folder / "queries.jsonl").write_text(
        r'{"itemAttributes": "ITEMS.GENRES = \"Drama\" AND ITEMS.GENRES = \"Western\""}'
    )
    personalize_local(folder, "check", "queries.jsonl", "--data", "data", "--filter", FILTER)
    (folder / "app.py").write_text(FILMS_APP)
    films = read(folder / "data" / "items.csv")
    items = {row["ITEM_ID"] for row in films if {"Drama", "Western"} <= set(row["GENRES"].split("|"))}
    people = read(folder / "data" / "users.csv")
    users = {row["USER_ID"] for row in people if row["COUNTRY"] in ("Japan", "Kenya")}
    assert deploy(folder, "--filter", FILTER) == expected_users(folder / "data", items, users)


@pytest.mark.parametrize("folder", ["retail"], indirect=True)
def test_the_tutorial_shows_the_output_of_the_check(folder: Path) -> None:
    (shown,) = [snippet.code for snippet in pages.snippets(TUTORIAL) if snippet.language == "text"]
    lines = next(snippet.code for snippet in pages.snippets(TUTORIAL) if snippet.language == "json")
    (folder / "queries.jsonl").write_text(lines)
    command = [sys.executable, "-m", "personalize_local", "check", "queries.jsonl", "--data", "data"]
    ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 1
    assert ran.stdout.endswith(shown)
