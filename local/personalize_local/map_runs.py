"""The records of Map Runs and their child executions, which DescribeMapRun and ListExecutions show."""

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ministack.core.responses import new_uuid, now_iso
from ministack.services import stepfunctions

# MiniStack runs in one process. AWS runs up to 10,000 children at once.
_MAX_CONCURRENCY = 64
_COUNTS = (
    "pending",
    "running",
    "succeeded",
    "failed",
    "timedOut",
    "aborted",
    "total",
    "resultsWritten",
    "failuresNotRedrivable",
    "pendingRedrive",
)


@dataclass
class MapWork:
    """A Map Run, and the state that its workers share."""

    state_def: Any
    effective: Any
    iterator: Any
    ctx: Any
    run: dict[str, Any]
    execution: dict[str, Any]
    items: list[Any]
    lock: threading.Lock = field(default_factory=threading.Lock)
    begun: dict[int, dict[str, Any]] = field(default_factory=dict)
    next_index: int = 0

    @property
    def concurrency(self) -> int:
        """How many children run at once."""
        wanted = self.run["maxConcurrency"] or _MAX_CONCURRENCY
        return max(1, min(wanted, len(self.items), _MAX_CONCURRENCY))

    @property
    def children(self) -> list[dict[str, Any]]:
        """The children that were started, in the order of their items."""
        return [self.begun[index] for index in sorted(self.begun)]

    def queue(self) -> Iterator[tuple[int, Any]]:
        """Yields the items that no other worker has taken."""
        while True:
            with self.lock:
                index = self.next_index
                self.next_index += 1
            if index >= len(self.items):
                return
            yield index, self.items[index]

    def begin(self, index: int, child: dict[str, Any]) -> None:
        """Records that a child runs."""
        with self.lock:
            self.begun[index] = child
            stepfunctions._executions[child["executionArn"]] = child
            self._count("pending", -1)
            self._count("running", 1)

    def end(self, child: dict[str, Any]) -> None:
        """Records that a child ended."""
        with self.lock:
            child["stopDate"] = now_iso()
            self._count("running", -1)
            self._count(child["status"].lower(), 1)

    def exceeds_tolerance(self) -> bool:
        """Returns whether more children failed than the Map tolerates."""
        failed = self.run["itemCounts"]["failed"]
        percentage, count = self.run["toleratedFailurePercentage"], self.run["toleratedFailureCount"]
        if "ToleratedFailurePercentage" in self.state_def and failed * 100 > percentage * len(self.items):
            return True
        if "ToleratedFailureCount" in self.state_def and failed > count:
            return True
        has_tolerance = self.state_def.keys() & {"ToleratedFailurePercentage", "ToleratedFailureCount"}
        return failed > 0 and not has_tolerance

    def outputs(self) -> list[Any]:
        """Returns the outputs of the children."""
        return [json.loads(child["output"]) if child["output"] else None for child in self.children]

    def _count(self, status: str, change: int) -> None:
        for counts in (self.run["itemCounts"], self.run["executionCounts"]):
            counts[status] += change


def new_map_run(state_def: Any, execution: Any, total: int) -> dict[str, Any]:
    """Returns the record of a Map Run, as MiniStack keeps it."""
    _, _, _, region, account, _, machine = execution["stateMachineArn"].split(":")[:7]
    label = state_def.get("Label") or new_uuid()
    counts = dict.fromkeys(_COUNTS, 0) | {"total": total, "pending": total}
    return {
        "mapRunArn": f"arn:aws:states:{region}:{account}:mapRun:{machine}/{label}:{new_uuid()}",
        "executionArn": execution["executionArn"],
        "status": "RUNNING",
        "startDate": now_iso(),
        "maxConcurrency": int(state_def.get("MaxConcurrency") or 0),
        "toleratedFailurePercentage": float(state_def.get("ToleratedFailurePercentage") or 0),
        "toleratedFailureCount": int(state_def.get("ToleratedFailureCount") or 0),
        "itemCounts": counts,
        "executionCounts": dict(counts),
        "redriveCount": 0,
        "_stateMachineArn": f"arn:aws:states:{region}:{account}:stateMachine:{machine}/{label}",
    }


def new_child(run: Any, execution: Any) -> dict[str, Any]:
    """Returns the record of a child execution, as MiniStack keeps it."""
    name = new_uuid()
    return {
        "executionArn": f"{run['_stateMachineArn'].replace(':stateMachine:', ':execution:')}:{name}",
        "stateMachineArn": run["_stateMachineArn"],
        "name": name,
        "status": "RUNNING",
        "startDate": now_iso(),
        "stopDate": None,
        "input": "{}",
        "inputDetails": {"included": True},
        "output": None,
        "outputDetails": {"included": True},
        "mapRunArn": run["mapRunArn"],
        "events": [],
        "testCase": execution.get("testCase"),
        "mockAttempts": {},
    }


def add_end(child: dict[str, Any], type: str) -> None:
    """Adds the last event of a child execution."""
    details = {"error": child.get("error"), "cause": child.get("cause")}
    key = {
        "ExecutionSucceeded": "executionSucceededEventDetails",
        "ExecutionFailed": "executionFailedEventDetails",
        "ExecutionAborted": "executionAbortedEventDetails",
    }[type]
    stepfunctions._add_event(child, type, {key: {"output": child["output"]} if type.endswith("Succeeded") else details})
