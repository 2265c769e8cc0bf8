"""The definitions of the state machines. Each path through them ends in one event."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from batch_segment_handler import workflow_contract as contract
from batch_segment_handler.workflow_contract import WorkflowSettings
from cdk_personalize_segments import state_machine
from cdk_personalize_segments.states import Functions
from support.constants import ACCOUNT, FILTER, REGION, SOLUTION
from syrupy.assertion import SnapshotAssertion
from syrupy.extensions.json import JSONSnapshotExtension

VALIDATOR = Path(__file__).parents[3] / "node_modules" / ".bin" / "asl-validator"
LAMBDA = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function"
STACK_ID = f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/Demo/0123abcd"
FUNCTIONS = Functions("aws", f"{LAMBDA}:start", f"{LAMBDA}:describe")
SETTINGS: WorkflowSettings = {
    "Workflow": "Weekly",
    "StackId": STACK_ID,
    "SolutionArn": SOLUTION,
    "OnlyNewVersions": True,
    "TimeoutSeconds": 86400,
    "RoleArn": f"arn:aws:iam::{ACCOUNT}:role/personalize",
    "AssetBucket": "assets",
    "AssetKey": "queries",
    "InputBucket": "input",
    "InputPrefix": "queries/",
    "OutputPath": "s3://output/segments/",
    "Filters": [FILTER],
    "Tags": [{"key": "team", "value": "growth"}],
    "Table": {"Database": "demo", "Table": "weekly", "StorageDescriptor": {"Columns": []}},
}
OPTIONS = state_machine.MapOptions("assets", "manifest.jsonl", "output", "segments/_runs/Weekly", 5)
WORKFLOW = state_machine.workflow(FUNCTIONS, SETTINGS, OPTIONS)
AUDIENCE = WORKFLOW["States"]["Audiences"]["ItemProcessor"]
WATCHER = state_machine.watcher(Functions("aws", "", f"{LAMBDA}:describe"), {"Workflow": "", "StackId": STACK_ID})
MACHINES = {"workflow": WORKFLOW, "audience": AUDIENCE, "watcher": WATCHER}

of_each_machine = pytest.mark.parametrize("machine", MACHINES.values(), ids=MACHINES)


@pytest.mark.parametrize("name", ["workflow", "watcher"])
def test_a_definition_matches_its_snapshot(snapshot: SnapshotAssertion, name: str) -> None:
    assert MACHINES[name] == snapshot(extension_class=JSONSnapshotExtension)


@pytest.mark.parametrize("name", ["workflow", "watcher"])
def test_a_definition_is_valid(name: str) -> None:
    definition = json.dumps(MACHINES[name])
    done = subprocess.run([VALIDATOR, "--json-definition", definition], capture_output=True, text=True)
    assert (done.returncode, done.stdout + done.stderr) == (
        0,
        '✓ State machine definition "JSON definition #1" is valid\n',
    )


def test_the_validator_sees_a_fault() -> None:
    broken = json.dumps({**WATCHER, "StartAt": "Missing"})
    done = subprocess.run([VALIDATOR, "--json-definition", broken], capture_output=True, text=True)
    assert done.returncode == 1


def next_states(state: dict[str, Any]) -> Iterator[tuple[str, bool]]:
    """Yields the possible next states, and whether the state has succeeded before each."""
    if "Next" in state:
        yield state["Next"], True
    for choice in state.get("Choices", []):
        yield choice["Next"], True
    if "Default" in state:
        yield state["Default"], True
    for catcher in state.get("Catch", []):
        yield catcher["Next"], False


def paths(machine: dict[str, Any]) -> Iterator[list[tuple[str, bool]]]:
    """Yields all paths from the start to an end that visit no state twice: each state, and whether it succeeded."""

    def walk(name: str, passed: list[tuple[str, bool]]) -> Iterator[list[tuple[str, bool]]]:
        state = machine["States"][name]
        if state["Type"] in ("Succeed", "Fail"):
            yield [*passed, (name, True)]
        for following, is_done in next_states(state):
            if following not in [one for one, _ in passed] + [name]:
                yield from walk(following, [*passed, (name, is_done)])

    yield from walk(machine["StartAt"], [])


def is_event(state: dict[str, Any]) -> bool:
    return str(state.get("Resource", "")).endswith(":events:putEvents")


@of_each_machine
def test_every_path_ends_in_one_event(machine: dict[str, Any]) -> None:
    found = list(paths(machine))
    for path in found:
        published = [name for name, is_done in path if is_done and is_event(machine["States"][name])]
        assert published == [path[-2][0]]
    # Every state is on a path.
    assert {name for path in found for name, _ in path} == machine["States"].keys() - {"WaitForCapacity"}


@of_each_machine
def test_only_a_successful_execution_publishes_success(machine: dict[str, Any]) -> None:
    for path in paths(machine):
        entry = machine["States"][path[-2][0]]["Parameters"]["Entries"][0]
        has_ended = machine["States"][path[-1][0]]["Type"]
        if entry["DetailType"] == contract.SEGMENTS_SUCCEEDED:
            assert has_ended == "Succeed"
        if entry["DetailType"] == contract.SEGMENTS_FAILED:
            assert has_ended == "Fail"


@of_each_machine
def test_retries_only_faults_and_spreads_the_retries(machine: dict[str, Any]) -> None:
    tasks = {name: state for name, state in machine["States"].items() if state["Type"] == "Task"}
    assert tasks
    for state in tasks.values():
        (retry,) = state["Retry"]
        assert retry["JitterStrategy"] == "FULL"
        assert retry["MaxDelaySeconds"] <= 60
        expected = (
            [
                "Lambda.ServiceException",
                "Lambda.AWSLambdaException",
                "Lambda.SdkClientException",
                "Lambda.TooManyRequestsException",
            ]
            if state["Resource"].endswith(":lambda:invoke")
            else ["States.TaskFailed"]
        )
        assert retry["ErrorEquals"] == expected


@of_each_machine
def test_every_call_of_a_function_has_a_catch_all(machine: dict[str, Any]) -> None:
    for state in machine["States"].values():
        if str(state.get("Resource", "")).endswith(":lambda:invoke"):
            assert [one["ErrorEquals"] for one in state["Catch"]] == [["States.ALL"]]


def test_definition_has_no_null_because_cdk_drops_it() -> None:
    assert "null" not in json.dumps([WORKFLOW, WATCHER])


def test_starts_the_job_again_after_waiting_for_capacity() -> None:
    states = AUDIENCE["States"]
    busy = [one["Next"] for one in states["Decide"]["Choices"] if one["StringEquals"] == "BUSY"]
    assert (busy, states["WaitForCapacity"]["Next"]) == (["WaitForCapacity"], "Start")


def test_each_status_of_a_step_has_a_transition() -> None:
    decided = {one["StringEquals"]: one["Next"] for one in AUDIENCE["States"]["Decide"]["Choices"]}
    assert decided == {
        "IN_PROGRESS": "Wait",
        "CHECK": "Describe",
        "SUCCEEDED": "PublishSucceeded",
        "BUSY": "WaitForCapacity",
        "NEXT_PART": "Start",
    }
    assert AUDIENCE["States"]["Decide"]["Default"] == "PublishFailed"


def test_an_hour_takes_at_most_ten_function_calls() -> None:
    states = AUDIENCE["States"]
    looks = -(-3600 // states["Wait"]["Seconds"])
    assert 1 + looks <= 10


def test_only_the_functions_that_need_settings_get_them() -> None:
    def settings_of(state: dict[str, Any]) -> set[str]:
        return set(state["Parameters"]["Payload"]["Settings"])

    assert settings_of(AUDIENCE["States"]["Start"]) == SETTINGS.keys() - {"Table"}
    assert settings_of(AUDIENCE["States"]["Describe"]) == {"Workflow", "StackId", "OutputPath", "Table"}
    assert settings_of(WORKFLOW["States"]["Complete"]) == {"Workflow", "StackId"}
    assert settings_of(WORKFLOW["States"]["Prepare"]) == {
        "Workflow",
        "StackId",
        "SolutionArn",
        "OnlyNewVersions",
        "TimeoutSeconds",
    }
