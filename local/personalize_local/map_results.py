"""The results of a Distributed Map in S3, as its `ResultWriter` says.

https://docs.aws.amazon.com/step-functions/latest/dg/input-output-resultwriter.html
"""

import json
from typing import Any

from botocore.exceptions import ClientError
from ministack.services import stepfunctions

from . import json_paths
from .state_tasks import StateTasks

_ERROR = "States.ResultWriterFailed"
# The permissions that the page above lists.
_ACTIONS = ("s3:PutObject", "s3:GetObject", "s3:ListMultipartUploadParts", "s3:AbortMultipartUpload")


class ResultWriter:
    """Writes the results of one Map Run."""

    def __init__(self, tasks: StateTasks, writer: dict[str, Any], effective: Any, ctx: Any, map_run_arn: str) -> None:
        """Checks that the role may write.

        Args:
            tasks: Acts as the state machine's role.
            writer: The field ``ResultWriter``.
            effective: The input of the Map.
            ctx: The context object.
            map_run_arn: The Map Run.

        Raises:
            stepfunctions._ExecutionError: The role may not write, or the field is not supported.
        """
        template = writer.get("Parameters")
        if template is None:
            raise stepfunctions._ExecutionError("States.Runtime", "the local AWS needs Parameters of a ResultWriter")
        parameters = json_paths.resolve(template, effective, ctx)
        prefix = str(parameters.get("Prefix", "")).removesuffix("/")
        self._tasks = tasks
        self._bucket = str(parameters["Bucket"])
        self._folder = f"{prefix}/" * bool(prefix) + map_run_arn.rpartition(":")[2]
        self._map_run_arn = map_run_arn
        config = writer.get("WriterConfig", {})
        self._transformation = config.get("Transformation", "NONE")
        self._is_lines = config.get("OutputType", "JSON") == "JSONL"
        for action in _ACTIONS:
            tasks.authorize(action, f"arn:aws:s3:::{self._bucket}/{self._folder}/manifest.json", _ERROR)

    def write(self, children: list[dict[str, Any]]) -> dict[str, Any]:
        """Writes the results.

        Args:
            children: The executions of the items, in their order, as MiniStack keeps them.

        Returns:
            The result of the Map state.
        """
        files: dict[str, list[dict[str, Any]]] = {"FAILED": [], "PENDING": [], "SUCCEEDED": []}
        for status, listed in files.items():
            if ended := [child for child in children if _group(child) == status]:
                listed.append(self._put(f"{status}_0.json", self._format([_describe(child) for child in ended])))
        manifest = {"DestinationBucket": self._bucket, "MapRunArn": self._map_run_arn, "ResultFiles": files}
        key = self._put("manifest.json", json.dumps(manifest))["Key"]
        return {"MapRunArn": self._map_run_arn, "ResultWriterDetails": {"Bucket": self._bucket, "Key": key}}

    def _format(self, results: list[dict[str, Any]]) -> str:
        items: list[Any] = list(results)
        if self._transformation != "NONE":
            items = [json.loads(result["Output"]) if "Output" in result else result for result in results]
        if self._transformation == "FLATTEN":
            items = [part for item in items for part in (item if isinstance(item, list) else [item])]
        return "".join(f"{json.dumps(item)}\n" for item in items) if self._is_lines else json.dumps(items)

    def _put(self, name: str, text: str) -> dict[str, Any]:
        key, body = f"{self._folder}/{name}", text.encode()
        try:
            self._tasks.client("s3").put_object(Bucket=self._bucket, Key=key, Body=body)
        except ClientError as error:
            raise stepfunctions._ExecutionError(_ERROR, f"{key}: {error}") from error
        return {"Key": key, "Size": len(body)}


def _group(child: dict[str, Any]) -> str:
    status: str = child["status"]
    return status if status in ("SUCCEEDED", "PENDING") else "FAILED"


def _describe(child: dict[str, Any]) -> dict[str, Any]:
    described = {
        "ExecutionArn": child["executionArn"],
        "Input": child["input"],
        "InputDetails": {"Included": True},
        "Name": child["name"],
        "RedriveCount": 0,
        "StartDate": child["startDate"],
        "StateMachineArn": child["stateMachineArn"],
        "Status": child["status"],
        "StopDate": child["stopDate"],
    }
    if child["status"] == "SUCCEEDED":
        redrive = {
            "RedriveStatus": "NOT_REDRIVABLE",
            "RedriveStatusReason": "Execution is SUCCEEDED and cannot be redriven",
        }
        return {**described, **redrive, "Output": child["output"], "OutputDetails": {"Included": True}}
    return {**described, "RedriveStatus": "REDRIVABLE", "Error": child["error"], "Cause": child["cause"]}
