"""Distributed Maps of state machines: their child executions, their results, and their permissions.

MiniStack has Distributed Maps without permissions, without `ResultWriter`, and without the history of the children.
https://docs.aws.amazon.com/step-functions/latest/dg/state-map-distributed.html
"""

import contextvars
import copy
import json
import threading
from typing import Any

from botocore.exceptions import ClientError
from ministack.core.responses import now_iso
from ministack.services import stepfunctions

from . import json_paths
from .interrupts import Interrupts
from .map_results import ResultWriter
from .map_runs import MapWork, add_end, new_child, new_map_run
from .patching import replace, require
from .payloads import check_size
from .state_tasks import StateTasks

_EXECUTORS = {
    "Pass": "_execute_pass",
    "Task": "_execute_task",
    "Choice": "_execute_choice",
    "Wait": "_execute_wait",
    "Parallel": "_execute_parallel",
    "Map": "_execute_map",
}


class DistributedMaps:
    """Runs Distributed Maps."""

    def __init__(self, tasks: StateTasks, interrupts: Interrupts) -> None:
        """Patches MiniStack in place.

        Args:
            tasks: Acts as the state machine's role.
            interrupts: Ends children of stopped executions.
        """
        self._tasks = tasks
        self._interrupts = interrupts
        require(stepfunctions, "_map_runs", "_executions", "_add_event", "_parse_reader_items", *_EXECUTORS.values())
        replace(
            stepfunctions,
            "_run_distributed_map",
            "state_def raw_input effective iterator execution ctx",
            lambda _: self._run,
        )
        replace(stepfunctions, "_s3_object_text", "bucket key", lambda _: self._read_object)
        replace(stepfunctions, "_read_map_items", "reader effective ctx", self._authorizing_list)
        replace(stepfunctions, "_stop_execution", "data", self._stopping_children)

    def _run(
        self, state_def: Any, raw_input: Any, effective: Any, iterator: Any, execution: Any, ctx: Any
    ) -> tuple[Any, Any]:
        machine = ctx["StateMachine"]["Id"]
        self._tasks.enter(execution["executionArn"], machine)
        self._tasks.authorize("states:StartExecution", machine, "States.Runtime")
        if "ItemBatcher" in state_def:
            raise stepfunctions._ExecutionError("States.Runtime", "ItemBatcher is not part of the local AWS")
        items = self._items(state_def, effective, ctx)
        run = new_map_run(state_def, execution, len(items))
        writer = None
        if "ResultWriter" in state_def:
            writer = ResultWriter(self._tasks, state_def["ResultWriter"], effective, ctx, run["mapRunArn"])
        stepfunctions._map_runs[run["mapRunArn"]] = run
        stepfunctions._add_event(
            execution, "MapRunStarted", {"mapRunStartedEventDetails": {"mapRunArn": run["mapRunArn"]}}
        )
        work = MapWork(state_def, effective, iterator, ctx, run, execution, items)
        self._run_children(work)
        self._interrupts.check()
        is_failed = work.exceeds_tolerance()
        run.update(status="FAILED" if is_failed else "SUCCEEDED", stopDate=now_iso())
        run["itemCounts"]["resultsWritten"] = len(work.children) if writer is not None else 0
        result = writer.write(work.children) if writer is not None else work.outputs()
        if is_failed:
            stepfunctions._add_event(execution, "MapRunFailed")
            raise stepfunctions._ExecutionError(
                "States.ExceedToleratedFailureThreshold", "The specified tolerated failure threshold was exceeded"
            )
        stepfunctions._add_event(execution, "MapRunSucceeded")
        check_size(result, ctx)
        selected = stepfunctions._apply_result_selector(state_def, result)
        output = stepfunctions._apply_result_path(state_def, raw_input, selected)
        output = stepfunctions._apply_output_path(state_def, output, ctx)
        return output, stepfunctions._next_or_end(state_def)

    def _items(self, state_def: Any, effective: Any, ctx: Any) -> list[Any]:
        if "ItemReader" in state_def:
            return list(stepfunctions._read_map_items(state_def["ItemReader"], effective, ctx))
        items = json_paths.require(state_def.get("ItemsPath", "$"), effective, ctx, "ItemsPath")
        if not isinstance(items, list):
            raise stepfunctions._ExecutionError("States.Runtime", "The items of a Map must be an array")
        return items

    def _run_children(self, work: MapWork) -> None:
        workers = [
            threading.Thread(target=contextvars.copy_context().run, args=(self._run_next_children, work), daemon=True)
            for _ in range(work.concurrency)
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()

    def _run_next_children(self, work: MapWork) -> None:
        for index, item in work.queue():
            if self._interrupts.is_stopped(work.execution["executionArn"]) or work.exceeds_tolerance():
                return
            self._run_child(work, index, item)

    def _run_child(self, work: MapWork, index: int, item: Any) -> None:
        ctx = copy.deepcopy(work.ctx)
        ctx["Map"] = {"Item": {"Index": index, "Value": item}}
        selector = work.state_def.get("ItemSelector") or work.state_def.get("Parameters")
        child = new_child(work.run, work.execution)
        try:
            given = json_paths.resolve(selector, work.effective, ctx) if selector else item
        except stepfunctions._ExecutionError as error:
            given, invalid = item, error
        else:
            invalid = None
        child["input"] = json.dumps(given)
        arn = child["executionArn"]
        ctx["Execution"] = {"Id": arn, "Input": given, "Name": child["name"], "StartTime": child["startDate"]}
        work.begin(index, child)
        try:
            if invalid is not None:
                raise invalid
            output = self._interrupts.run(arn, self._run_states, work.iterator, given, child, ctx)
            child.update(status="SUCCEEDED", output=json.dumps(output))
            add_end(child, "ExecutionSucceeded")
        except SystemExit:
            child.update(status="ABORTED", error="", cause="")
            add_end(child, "ExecutionAborted")
        except Exception as error:
            known = isinstance(error, stepfunctions._ExecutionError)
            name, cause = (error.error, error.cause) if known else ("States.Runtime", str(error))  # type: ignore[attr-defined]
            child.update(status="FAILED", error=name, cause=cause)
            add_end(child, "ExecutionFailed")
        work.end(child)

    def _run_states(self, iterator: Any, given: Any, child: Any, ctx: Any) -> Any:
        check_size(given, ctx)
        stepfunctions._add_event(child, "ExecutionStarted", {"executionStartedEventDetails": {"input": child["input"]}})
        states, name, data = iterator["States"], iterator["StartAt"], copy.deepcopy(given)
        while name:
            self._interrupts.check()
            state = states[name]
            type = state["Type"]
            ctx["State"] = {"Name": name, "EnteredTime": now_iso(), "RetryCount": 0}
            entered = {"name": name, "input": json.dumps(data)}
            stepfunctions._add_event(child, f"{type}StateEntered", {"stateEnteredEventDetails": entered})
            if type == "Fail":
                raise stepfunctions._ExecutionError(*stepfunctions._fail_state_error(state, data, ctx))
            if type == "Succeed":
                data = stepfunctions._apply_input_path(state, data, ctx)
                data, next_name = stepfunctions._apply_output_path(state, data, ctx), None
            else:
                execute = getattr(stepfunctions, _EXECUTORS[type])
                arguments = (child, ctx) if type in ("Task", "Parallel", "Map") else (ctx,)
                data, next_name = execute(state, data, *arguments)
            exited = {"name": name, "output": json.dumps(data)}
            stepfunctions._add_event(child, f"{type}StateExited", {"stateExitedEventDetails": exited})
            name = next_name
        return data

    def _read_object(self, bucket: str, key: str) -> str:
        try:
            body: bytes = self._tasks.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read()
        except ClientError as error:
            raise stepfunctions._ExecutionError(
                "States.ItemReaderFailed", f"{error} (Bucket: {bucket}, Key: {key})"
            ) from error
        return body.decode()

    def _authorizing_list(self, read: Any) -> Any:
        def read_map_items(reader: Any, effective: Any, ctx: Any) -> Any:
            if reader.get("Resource", "").endswith("s3:listObjectsV2"):
                parameters = json_paths.resolve(reader.get("Parameters") or {}, effective, ctx)
                bucket, prefix = f"arn:aws:s3:::{parameters.get('Bucket')}", parameters.get("Prefix", "")
                self._tasks.authorize("s3:ListBucket", bucket, "States.ItemReaderFailed", {"s3:prefix": prefix})
            try:
                return read(reader, effective, ctx)
            except ValueError as error:
                raise stepfunctions._ExecutionError(
                    "States.ItemReaderFailed", f"The items are not JSON: {error}"
                ) from error

        return read_map_items

    def _stopping_children(self, stop: Any) -> Any:
        def stop_execution(data: Any) -> Any:
            answer = stop(data)
            arn = data.get("executionArn")
            if answer[0] != 200:
                return answer
            self._interrupts.stop(arn)
            for run in list(stepfunctions._map_runs.values()):
                if run["executionArn"] == arn and run["status"] == "RUNNING":
                    run.update(status="ABORTED", stopDate=now_iso())
                    for child in list(stepfunctions._executions.values()):
                        if child.get("mapRunArn") == run["mapRunArn"] and child["status"] == "RUNNING":
                            stop_execution({"executionArn": child["executionArn"]})
            return answer

        return stop_execution
