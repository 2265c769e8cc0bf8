"""The runs of workflows, as `personalize-local status` shows them: executions with a Distributed Map, and audiences.

The audiences come from the events of the workflows, which are public, and from child executions that still run.
"""

import json
from datetime import UTC, datetime
from typing import Any

from ministack.services import eventbridge, stepfunctions

# The contract of the events, see docs/events.md.
_SOURCE = "cdk-personalize-segments"
_ENDS = ("Personalize Segments Succeeded", "Personalize Segments Failed")

Json = dict[str, Any]


def list_runs() -> list[Json]:
    """Returns the executions that run audiences, oldest first, in the account and region in use."""
    counts = {run["executionArn"]: run["itemCounts"] for run in list(stepfunctions._map_runs.values())}
    return [
        {
            "workflow": execution["stateMachineArn"].rpartition(":")[2],
            "run": execution["name"],
            "started": execution["startDate"],
            "status": execution["status"],
            "counts": counts.get(execution["executionArn"], {}),
            "reason": _reason(execution),
        }
        for execution in list(stepfunctions._executions.values())
        if execution["executionArn"] in counts or (_runs_audiences(execution) and "mapRunArn" not in execution)
    ]


def list_audiences() -> list[Json]:
    """Returns the newest segments of each audience of each workflow, and the audiences that run now."""
    audiences: dict[tuple[str, str], Json] = {}
    for event in list(eventbridge._events_log_list()):
        if event["Source"] != _SOURCE or event["DetailType"] not in _ENDS:
            continue
        detail = json.loads(event["Detail"])
        if "audience" in detail:
            key = detail["workflow"], detail["audience"]
            audiences[key] = {
                name: detail.get(name, "") for name in ("workflow", "audience", "run", "status", "reason")
            }
            audiences[key] |= {"outputUri": detail.get("outputUri", ""), "queryErrors": detail.get("queryErrors", "")}
            audiences[key] |= {"jobs": detail.get("jobNames", []), "ended": _iso(event["Time"])}
    for child in list(stepfunctions._executions.values()):
        given = _input(child) if child["status"] == "RUNNING" and "mapRunArn" in child else {}
        name = (given.get("Audience") or {}).get("Name") if isinstance(given.get("Audience"), dict) else None
        if name is not None:
            machine = child["stateMachineArn"].rpartition(":")[2].partition("/")[0]
            # The name of a workflow in its events is not the name of its state machine.
            audiences["running", child["executionArn"]] = {
                "workflow": machine,
                "audience": name,
                "run": (given.get("Run") or {}).get("Run", ""),
                "status": "RUNNING",
                "reason": _state(child),
                "outputUri": "",
                "queryErrors": "",
                "jobs": [],
                "ended": "",
            }
    return list(audiences.values())


def _runs_audiences(execution: Json) -> bool:
    machine = stepfunctions._state_machines.get(execution["stateMachineArn"])
    return machine is not None and '"DISTRIBUTED"' in machine["definition"]


def _input(execution: Json) -> Json:
    given = json.loads(execution["input"])
    return given if isinstance(given, dict) else {}


def _state(execution: Json) -> str:
    entered = [event for event in list(execution["events"]) if event["type"].endswith("StateEntered")]
    return str(entered[-1]["stateEnteredEventDetails"]["name"]) if entered else ""


def _iso(seconds: float) -> str:
    """Returns a time as MiniStack writes those of executions."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _reason(execution: Json) -> str:
    if execution["status"] != "FAILED":
        return ""
    return ": ".join(part for part in (execution.get("error"), execution.get("cause")) if part)
