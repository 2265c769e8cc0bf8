"""Step Functions in the local AWS: rules that AWS enforces and unpatched MiniStack does not."""

import json
import uuid
from typing import Any

import pytest
from botocore.exceptions import ClientError
from support.local import wait_until
from unit.local.machine_fixture import MachineFixture

END = {"Type": "Pass", "End": True}


def task(resource: str, parameters: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"Type": "Task", "Resource": f"arn:aws:states:::{resource}", "Parameters": parameters, "End": True, **more}


@pytest.fixture
def function(machine: MachineFixture) -> str:
    """The ARN of a function that returns its event."""
    return machine.function()


def test_invokes_functions_only_with_permission(machine: MachineFixture, function: str) -> None:
    invoke = task("lambda:invoke", {"FunctionName": function, "Payload": {"a": 1}})
    error, cause = machine.error({"Invoke": invoke})
    assert error == "Lambda.AWSLambdaException"
    assert f"is not authorized to perform: lambda:InvokeFunction on resource: {function} because" in cause
    assert f":assumed-role/{machine.name}/" in cause
    machine.allow(("lambda:InvokeFunction", function))
    assert machine.output({"Invoke": invoke})["Payload"]["got"] == {"a": 1}


def test_publishes_events_only_of_an_allowed_source(machine: MachineFixture) -> None:
    queue = machine.client("sqs").create_queue(QueueName=machine.name)["QueueUrl"]
    queue_arn = f"arn:aws:sqs:{machine.aws.region}:{machine.aws.account}:{machine.name}"
    events = machine.client("events")
    events.put_rule(Name=machine.name, EventPattern=json.dumps({"source": [machine.name]}))
    events.put_targets(Rule=machine.name, Targets=[{"Id": "queue", "Arn": queue_arn}])
    bus = f"arn:aws:events:{machine.aws.region}:{machine.aws.account}:event-bus/default"
    allowed = {"Effect": "Allow", "Action": "events:PutEvents", "Resource": bus}
    machine.allow(allowed | {"Condition": {"StringEquals": {"events:source": machine.name}}})

    def publish(source: str) -> dict[str, Any]:
        entry = {"Source": source, "DetailType": "Type", "Detail.$": "$.detail"}
        return task("events:putEvents", {"Entries": [entry]})

    error, cause = machine.error({"Publish": publish("another")}, {"detail": {"a": [1]}})
    assert error == "EventBridge.AmazonEventBridgeException"
    assert "events:PutEvents" in cause
    started = machine.start({"Publish": publish(machine.name)}, {"detail": {"a": [1]}})
    assert machine.end(started)["status"] == "SUCCEEDED"
    [message] = machine.client("sqs").receive_message(QueueUrl=queue)["Messages"]
    event = json.loads(message["Body"])
    assert event["detail"] == {"a": [1]}
    assert event["resources"] == [started, machine.arn]


def test_calls_personalize_and_names_its_errors(machine: MachineFixture) -> None:
    solution = f"arn:aws:personalize:{machine.aws.region}:{machine.aws.account}:solution/films-item-affinity"
    describe = task("aws-sdk:personalize:describeSolution", {"SolutionArn": solution})
    error, cause = machine.error({"Describe": describe})
    assert error == "Personalize.PersonalizeException"
    assert "personalize:DescribeSolution" in cause
    machine.allow(("personalize:DescribeSolution", "*"))
    described = machine.output({"Describe": describe})["Solution"]
    assert described["SolutionArn"] == solution
    assert described["LatestSolutionVersion"]["CreationDateTime"].endswith("Z")
    missing = task("aws-sdk:personalize:describeSolution", {"SolutionArn": f"{solution}-x"})
    assert machine.error({"Describe": missing})[0] == "Personalize.ResourceNotFoundException"


def test_catches_errors_by_name_but_no_runtime_error(machine: MachineFixture) -> None:
    catch = [{"ErrorEquals": ["States.ALL"], "Next": "Caught", "ResultPath": "$.Fault"}]
    head = task("aws-sdk:s3:headBucket", {"Bucket": "none"}, Catch=catch)
    del head["End"]
    caught = machine.output({"Head": head | {"Next": "Caught"}, "Caught": END}, {"kept": 1})
    assert caught["kept"] == 1
    assert caught["Fault"]["Error"] == "S3.S3Exception"
    missing = {**head, "Parameters": {"Bucket.$": "$.missing"}, "Next": "Caught"}
    error, cause = machine.error({"Head": missing, "Caught": END}, {"kept": 1})
    assert error == "States.Runtime"
    assert "The JSONPath '$.missing' specified for the field 'Bucket.$' could not be found in the input" in cause


def test_a_choice_on_a_missing_value_fails(machine: MachineFixture) -> None:
    def choose(rule: dict[str, Any]) -> dict[str, Any]:
        return {"Choose": {"Type": "Choice", "Choices": [rule | {"Next": "End"}], "Default": "End"}, "End": END}

    assert machine.error(choose({"Variable": "$.a", "StringEquals": "b"}))[0] == "States.Runtime"
    assert machine.output(choose({"Variable": "$.a", "IsPresent": False}), {"b": 1}) == {"b": 1}


def test_limits_payloads_to_256_kib(machine: MachineFixture, function: str) -> None:
    machine.allow(("lambda:InvokeFunction", function))
    invoke = task("lambda:invoke", {"FunctionName": function, "Payload": {"size": 262_144}})
    catch = [{"ErrorEquals": ["States.ALL"], "Next": "Caught"}]
    error, _ = machine.error({"Invoke": invoke | {"Catch": catch}, "Caught": END})
    assert error == "States.DataLimitExceeded"
    small = task("lambda:invoke", {"FunctionName": function, "Payload": {"size": 1000}})
    assert len(machine.output({"Invoke": small})["Payload"]["pad"]) == 1000


def test_rejects_a_role_that_does_not_trust_step_functions(machine: MachineFixture) -> None:
    role = machine.create_role(f"{machine.name}-other", "lambda.amazonaws.com")
    definition = json.dumps({"StartAt": "End", "States": {"End": END}})
    with pytest.raises(ClientError, match=r"Neither the global service principal states.amazonaws.com"):
        machine.states.create_state_machine(name=machine.name, definition=definition, roleArn=role)


def test_retries_with_capped_delays(machine: MachineFixture, function: str) -> None:
    machine.allow(("lambda:InvokeFunction", function))
    # Without the cap, the last delay would be 16 minutes at this scale.
    retry = {
        "ErrorEquals": ["ValueError"],
        "IntervalSeconds": 1,
        "BackoffRate": 100,
        "MaxAttempts": 5,
        "MaxDelaySeconds": 2,
    }
    retry["JitterStrategy"] = "FULL"
    invoke = task("lambda:invoke", {"FunctionName": function, "Payload": {"fail": True}}, Retry=[retry])
    started = machine.start({"Invoke": invoke})
    assert machine.end(started)["error"] == "ValueError"
    history = machine.states.get_execution_history(executionArn=started, maxResults=1000)["events"]
    assert sum(event["type"] == "TaskFailed" for event in history) == 6


# -- Distributed Maps


def distributed(bucket: str, states: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Returns a Map over the lines of an object that writes its results."""
    return {
        "Audiences": {
            "Type": "Map",
            "Label": "Audiences",
            "ItemReader": {
                "Resource": "arn:aws:states:::s3:getObject",
                "ReaderConfig": {"InputType": "JSONL"},
                "Parameters": {"Bucket": bucket, "Key": "items.jsonl"},
            },
            "ItemSelector": {"Item.$": "$$.Map.Item.Value", "Run.$": "$.run"},
            "ItemProcessor": {
                "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
                "StartAt": next(iter(states)),
                "States": states,
            },
            "MaxConcurrency": 2,
            "ToleratedFailurePercentage": 100,
            "ResultWriter": {
                "Resource": "arn:aws:states:::s3:putObject",
                "Parameters": {"Bucket": bucket, "Prefix": "_runs/weekly/"},
            },
            "ResultPath": "$.Map",
            "Next": "Count",
            **more,
        },
        "Count": task("aws-sdk:sfn:describeMapRun", {"MapRunArn.$": "$.Map.MapRunArn"}, ResultPath="$.Counts"),
    }


CHILD = {
    "Choose": {
        "Type": "Choice",
        "Choices": [{"Variable": "$.Item.fail", "BooleanEquals": True, "Next": "Fail"}],
        "Default": "Wait",
    },
    "Wait": {"Type": "Wait", "Seconds": 1, "Next": "Succeed"},
    "Fail": {"Type": "Fail", "Error": "NoSegments", "Cause": "as asked"},
    "Succeed": {"Type": "Succeed"},
}


@pytest.fixture
def bucket(machine: MachineFixture) -> str:
    name = machine.bucket()
    lines = "".join(json.dumps({"name": f"audience-{number}", "fail": number == 2}) + "\n" for number in range(4))
    machine.s3.put_object(Bucket=name, Key="items.jsonl", Body=lines.encode())
    return name


def map_permissions(machine: MachineFixture, bucket: str) -> dict[str, tuple[str | list[str], str]]:
    prefix = f"arn:aws:states:{machine.aws.region}:{machine.aws.account}"
    write = ["s3:PutObject", "s3:GetObject", "s3:ListMultipartUploadParts", "s3:AbortMultipartUpload"]
    return {
        "read": ("s3:GetObject", f"arn:aws:s3:::{bucket}/items.jsonl"),
        "write": (write, f"arn:aws:s3:::{bucket}/_runs/weekly/*"),
        "start": ("states:StartExecution", machine.arn),
        "count": ("states:DescribeMapRun", f"{prefix}:mapRun:{machine.name}/Audiences:*"),
    }


def test_a_distributed_map_writes_results_and_counts_items(machine: MachineFixture, bucket: str) -> None:
    machine.allow(*map_permissions(machine, bucket).values())
    started = machine.start(distributed(bucket, CHILD), {"run": "r1"})
    output = json.loads(machine.end(started)["output"])
    map_run = output["Map"]["MapRunArn"]
    assert map_run.startswith(
        f"arn:aws:states:{machine.aws.region}:{machine.aws.account}:mapRun:{machine.name}/Audiences:"
    )
    folder = f"_runs/weekly/{map_run.rpartition(':')[2]}"
    assert output["Map"] == {
        "MapRunArn": map_run,
        "ResultWriterDetails": {"Bucket": bucket, "Key": f"{folder}/manifest.json"},
    }
    counts = output["Counts"]["ItemCounts"]
    assert (counts["Total"], counts["Succeeded"], counts["Failed"]) == (4, 3, 1)
    assert counts["ResultsWritten"] == 4

    def read(key: str) -> Any:
        return json.loads(machine.s3.get_object(Bucket=bucket, Key=key)["Body"].read())

    manifest = read(f"{folder}/manifest.json")
    assert (manifest["DestinationBucket"], manifest["MapRunArn"]) == (bucket, map_run)
    files = {status: [file["Key"] for file in found] for status, found in manifest["ResultFiles"].items()}
    assert files == {
        "FAILED": [f"{folder}/FAILED_0.json"],
        "PENDING": [],
        "SUCCEEDED": [f"{folder}/SUCCEEDED_0.json"],
    }
    [failed] = read(f"{folder}/FAILED_0.json")
    assert (failed["Status"], failed["Error"], failed["Cause"]) == ("FAILED", "NoSegments", "as asked")
    succeeded = read(f"{folder}/SUCCEEDED_0.json")
    assert [json.loads(child["Output"])["Item"]["name"] for child in succeeded] == [
        "audience-0",
        "audience-1",
        "audience-3",
    ]
    assert {json.loads(child["Input"])["Run"] for child in succeeded} == {"r1"}
    # Each child is an execution with its own history.
    child = machine.states.describe_execution(executionArn=succeeded[0]["ExecutionArn"])
    assert child["status"] == "SUCCEEDED"
    history = machine.states.get_execution_history(executionArn=succeeded[0]["ExecutionArn"])["events"]
    entered = [event["type"] for event in history if event["type"].endswith("StateEntered")]
    assert entered == ["ChoiceStateEntered", "WaitStateEntered", "SucceedStateEntered"]


@pytest.mark.parametrize(
    ("missing", "error"),
    [
        ("read", "States.ItemReaderFailed"),
        ("write", "States.ResultWriterFailed"),
        ("start", "States.Runtime"),
        ("count", "Sfn.SfnException"),
    ],
)
def test_a_distributed_map_needs_each_permission(
    machine: MachineFixture, bucket: str, missing: str, error: str
) -> None:
    permissions = map_permissions(machine, bucket)
    del permissions[missing]
    machine.allow(*permissions.values())
    assert machine.error(distributed(bucket, CHILD), {"run": "r1"})[0] == error


def test_a_distributed_map_fails_above_its_tolerance(machine: MachineFixture, bucket: str) -> None:
    machine.allow(*map_permissions(machine, bucket).values())
    states = distributed(bucket, CHILD, ToleratedFailurePercentage=20)
    assert machine.error(states, {"run": "r1"})[0] == "States.ExceedToleratedFailureThreshold"


def test_stopping_an_execution_stops_its_children(machine: MachineFixture, bucket: str) -> None:
    machine.allow(*map_permissions(machine, bucket).values())
    # At the scale of the tests, two weeks are ten minutes.
    wait = {"Wait": {"Type": "Wait", "Seconds": 1_200_000, "End": True}}
    started = machine.start(distributed(bucket, wait), {"run": "r1"})
    running: list[str] = []

    def children_run() -> bool:
        runs = machine.states.list_map_runs(executionArn=started)["mapRuns"]
        if runs:
            found = machine.states.list_executions(mapRunArn=runs[0]["mapRunArn"])["executions"]
            running[:] = [child["executionArn"] for child in found]
        return len(running) == 2

    wait_until(children_run, interval=0.05)
    machine.states.stop_execution(executionArn=started)
    assert machine.end(started)["status"] == "ABORTED"
    assert [machine.end(child)["status"] for child in running] == ["ABORTED", "ABORTED"]
    run = machine.states.describe_map_run(
        mapRunArn=machine.states.list_map_runs(executionArn=started)["mapRuns"][0]["mapRunArn"]
    )
    assert run["status"] == "ABORTED"


def test_execution_names_start_once(machine: MachineFixture) -> None:
    machine.create(json.dumps({"StartAt": "End", "States": {"End": END}}))
    name = uuid.uuid4().hex
    machine.states.start_execution(stateMachineArn=machine.arn, name=name)
    with pytest.raises(ClientError, match="ExecutionAlreadyExists"):
        machine.states.start_execution(stateMachineArn=machine.arn, name=name)
