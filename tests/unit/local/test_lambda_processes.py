"""Functions in the local AWS log and fail like functions in Lambda."""

import base64
import io
import json
import zipfile
from typing import Any

import pytest
from support.local import Clients

PYTHON = """
def handler(event, context):
    for line in range(event.get("lines", 1)):
        print("line", line)
    print("the last one", end="")
    if event.get("fails"):
        raise ValueError("no")
    return "done"
"""
JAVASCRIPT = """
exports.handler = (event, context, callback) => {
    for (let line = 0; line < (event.lines ?? 1); line++) console.log("line", line);
    console.log("the last one");
    if (event.throws) throw new Error("no");
    callback(event.fails ? new RangeError("no") : null, "done");
};
"""


@pytest.fixture(params=["python3.13", "nodejs22.x"])
def function(request: pytest.FixtureRequest, client: Clients) -> Any:
    """Invokes a function and returns its payload and its log."""
    runtime = request.param
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(*(("index.py", PYTHON) if runtime.startswith("python") else ("index.js", JAVASCRIPT)))
    name = "Logs-" + runtime.partition(".")[0]
    trust = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    role = client("iam").create_role(
        RoleName=name, AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    )
    client("lambda").create_function(
        FunctionName=name,
        Runtime=runtime,
        Role=role["Role"]["Arn"],
        Handler="index.handler",
        Code={"ZipFile": file.getvalue()},
    )

    def invoke(**event: Any) -> tuple[Any, list[str]]:
        answer = client("lambda").invoke(FunctionName=name, Payload=json.dumps(event), LogType="Tail")
        log = base64.b64decode(answer["LogResult"]).decode().splitlines()
        # Node.js prints deprecation warnings about MiniStack, with the hint in parentheses.
        own = [line for line in log if not line.startswith(("START", "END", "REPORT", "("))]
        return json.loads(answer["Payload"].read()), own

    yield invoke
    client("lambda").delete_function(FunctionName=name)
    client("iam").delete_role(RoleName=name)


def test_each_invocation_has_all_of_its_log_lines(function: Any) -> None:
    for lines in (1, 20, 0, 2):
        assert function(lines=lines) == ("done", [*(f"line {number}" for number in range(lines)), "the last one"])


def test_a_failed_invocation_has_its_log_and_error_type(function: Any) -> None:
    answer, log = function(fails=True)
    assert answer["errorType"] in ("ValueError", "RangeError")
    assert log[:2] == ["line 0", "the last one"]
    answer, log = function(throws=True)
    assert log[:2] == ["line 0", "the last one"]
    assert function(lines=0)[1] == ["the last one"]
