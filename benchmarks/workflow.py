"""A workflow: its resources, its synthesis, and its runs on the local AWS."""

import json
import math
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import aws_cdk.aws_scheduler as scheduler
import synth
from aws_cdk.assertions import Template
from cdk_personalize_segments import (
    Audience,
    BatchSegmentInput,
    BatchSegmentStorage,
    BatchSegmentWorkflow,
    SegmentQuery,
)

Row = tuple[str, str, str]
_SOLUTION = "arn:aws:personalize:eu-west-1:123456789012:solution/films"
_MANY, _QUERIES_EACH = 300, 10
# Personalize runs five jobs at once.
_AT_ONCE = 5
# The requests of a local job take about half a second of CPU time, which matters in a run of seconds.
_JOB_SECONDS = 2


def workflow(number: int, solution_arn: str = _SOLUTION) -> Callable[[cdk.Stack], None]:
    """Returns a function that adds a workflow with a number of audiences, a schedule and a rule for completed runs."""

    def build(stack: cdk.Stack) -> None:
        genres = ["Comedy", "Drama", "Thriller", "Romance", "Crime"]
        audiences = [
            Audience(
                f"audience-{index}",
                BatchSegmentInput.from_queries(
                    [
                        SegmentQuery.where(GENRES=genres[index % 5], YEAR=str(1950 + (index // 5 + year) % 75))
                        for year in range(_QUERIES_EACH)
                    ]
                ),
            )
            for index in range(number)
        ]
        refresh = BatchSegmentWorkflow(
            stack,
            "Weekly",
            audiences=audiences,
            solution_arn=solution_arn,
            schedule=scheduler.ScheduleExpression.rate(cdk.Duration.days(7)),
            storage=BatchSegmentStorage(stack, "Storage"),
        )
        refresh.on_completed("Completed")
        cdk.CfnOutput(stack, "Machine", value=refresh.state_machine.state_machine_arn)

    return build


def _storage(stack: cdk.Stack) -> None:
    BatchSegmentStorage(stack, "Storage")


def _template_kilobytes(build: Callable[[cdk.Stack], None]) -> float:
    stack = synth.new_stack()
    build(stack)
    return len(json.dumps(Template.from_stack(stack).to_json(), indent=1)) / 1000


def run() -> list[Row]:
    """Measures stacks of 1 and of 300 audiences, and a run of each."""
    storage = synth.resource_count(_storage)
    one, many = (synth.resource_count(workflow(number)) - storage for number in (1, _MANY))
    of_one, of_many = synth.seconds(workflow(1), workflow(_MANY), times=20)
    calls_of_one, calls_of_many = (synth.calls(workflow(number)) for number in (1, _MANY))
    single, all_of_them = _deployed(1), _deployed(_MANY)
    ideal = math.ceil(_MANY / _AT_ONCE) * all_of_them["job_seconds"]
    taken = all_of_them["seconds"]
    return [
        ("resources beyond the storage, 1 audience with schedule and rule", str(one), "≤ 18"),
        (f"resources beyond the storage, {_MANY} audiences", str(many), str(one)),
        (f"synth, {_MANY} audiences / 1 audience", f"{of_many / of_one:.2f}x", "≤ 1.5x"),
        (
            f"jsii calls, {_MANY} audiences / 1 audience",
            f"{calls_of_many} / {calls_of_one} = {calls_of_many / calls_of_one:.2f}x",
            "-",
        ),
        (f"template of {_MANY} audiences", f"{_template_kilobytes(workflow(_MANY)):.0f} KB", "≤ 1000 KB"),
        ("state transitions of an audience whose job takes an hour", str(single["transitions"]), "≤ 60"),
        ("Lambda calls of an audience whose job takes an hour", str(single["calls"]), "≤ 10"),
        (f"{_MANY} audiences with {_MANY * _QUERIES_EACH:,} queries, ACTIVE", str(all_of_them["active"]), str(_MANY)),
        (
            f"time of the run / {math.ceil(_MANY / _AT_ONCE)} jobs one after another, {ideal:.0f} s",
            f"{taken:.0f} s = {taken / ideal:.2f}x",
            "≤ 1.5x",
        ),
    ]


def _deployed(number: int) -> dict[str, Any]:
    """Deploys a stack to a new local AWS and runs it."""
    command = ["personalize-local", "run", "--job-seconds", str(_JOB_SECONDS), "--"]
    program = [sys.executable, __file__, "measure", str(number)]
    printed = subprocess.run([*command, *program], check=True, capture_output=True, text=True).stdout
    found: dict[str, Any] = json.loads(printed.splitlines()[-1])
    return found


def _measure(number: int) -> None:
    """Deploys and runs the stack in the local AWS of the environment, and prints the results."""
    import boto3

    with tempfile.TemporaryDirectory() as folder:
        outputs = Path(folder) / "outputs.json"
        command = ["cdk", "deploy", "--require-approval", "never", "--app", f"{sys.executable} {__file__} app {number}"]
        command += ["--output", f"{folder}/cdk.out", "--outputs-file", str(outputs)]
        subprocess.run(command, check=True, stdout=sys.stderr, cwd=folder)
        machine = json.loads(outputs.read_text())["Films"]["Machine"]
    states = boto3.client("stepfunctions")
    started = time.perf_counter()
    execution = states.start_execution(stateMachineArn=machine)["executionArn"]
    while (described := states.describe_execution(executionArn=execution))["status"] == "RUNNING":
        time.sleep(0.5)
    taken = time.perf_counter() - started
    assert described["status"] == "SUCCEEDED", described
    (map_run,) = states.list_map_runs(executionArn=execution)["mapRuns"]
    counts = states.describe_map_run(mapRunArn=map_run["mapRunArn"])["itemCounts"]
    pages = states.get_paginator("list_executions").paginate(mapRunArn=map_run["mapRunArn"])
    children = [child["executionArn"] for page in pages for child in page["executions"]]
    history = states.get_execution_history(executionArn=children[0], maxResults=1000)["events"]
    types = Counter(event["type"] for event in history)
    found = {
        "seconds": taken,
        "active": counts["succeeded"],
        "transitions": sum(times for kind, times in types.items() if kind.endswith("StateEntered")),
        "calls": sum(
            "lambda" in event.get("taskScheduledEventDetails", {}).get("resourceType", "") for event in history
        ),
        "job_seconds": _JOB_SECONDS,
    }
    print(json.dumps(found))


def _app(number: int) -> None:
    """The app that ``cdk deploy`` runs."""
    import os

    app = cdk.App()
    stack = cdk.Stack(app, "Films")
    workflow(number, os.environ["PERSONALIZE_LOCAL_ITEM_ATTRIBUTE_AFFINITY_SOLUTION_ARN"])(stack)
    app.synth()


if __name__ == "__main__":
    {"measure": _measure, "app": _app}[sys.argv[1]](int(sys.argv[2]))
