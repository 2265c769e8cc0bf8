"""Closing the local AWS stops everything that still runs."""

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

TOOL = str(Path(sys.executable).with_name("personalize-local"))
WAIT = {"Type": "Wait", "Seconds": 3600, "End": True}
SUB = {"StartAt": "Wait", "States": {"Wait": WAIT}}
DISTRIBUTED = {**SUB, "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}}
# Fails and retries for days.
RETRY = {
    "Type": "Task",
    "Resource": "arn:aws:states:::aws-sdk:s3:headBucket",
    "Parameters": {"Bucket": "no-such-bucket"},
    "Retry": [{"ErrorEquals": ["States.ALL"], "MaxAttempts": 99999, "IntervalSeconds": 50}],
    "End": True,
}
TOKEN = {
    "Type": "Task",
    "Resource": "arn:aws:states:::sqs:sendMessage.waitForTaskToken",
    "Parameters": {"QueueUrl.$": "$.queue", "MessageBody.$": "$$.Task.Token"},
    "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "Wait"}],
    "End": True,
}
STATES = {
    "a wait": {"Work": WAIT},
    "a map": {"Work": {"Type": "Map", "ItemProcessor": SUB, "MaxConcurrency": 2, "End": True, "ItemsPath": "$.items"}},
    "a distributed map": {
        "Work": {
            "Type": "Map",
            "ItemProcessor": DISTRIBUTED,
            "MaxConcurrency": 5,
            "End": True,
            "ItemsPath": "$.items",
            "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "Wait"}],
        },
        "Wait": WAIT,
    },
    "branches": {"Work": {"Type": "Parallel", "Branches": [SUB, SUB], "End": True}},
    "retries": {"Work": RETRY},
    "a task token": {"Work": TOKEN, "Wait": WAIT},
}
# Starts an execution and exits when the execution waits.
COMMAND = """
import boto3, json, sys, time
iam, states = boto3.client("iam"), boto3.client("stepfunctions")
trust = {"Effect": "Allow", "Principal": {"Service": "states.amazonaws.com"}, "Action": "sts:AssumeRole"}
document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
role = iam.create_role(RoleName="machine", AssumeRolePolicyDocument=document)["Role"]["Arn"]
everything = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
iam.put_role_policy(RoleName="machine", PolicyName="all", PolicyDocument=json.dumps(everything))
queue = boto3.client("sqs").create_queue(QueueName="tokens")["QueueUrl"]
definition = json.dumps({"StartAt": "Work", "States": json.loads(sys.argv[1])})
machine = states.create_state_machine(name="machine", definition=definition, roleArn=role)["stateMachineArn"]
given = json.dumps({"items": list(range(200)), "queue": queue})
execution = states.start_execution(stateMachineArn=machine, input=given)["executionArn"]
for _ in range(600):
    events = states.get_execution_history(executionArn=execution)["events"]
    if any(event["type"].endswith("StateEntered") for event in events):
        break
    time.sleep(0.05)
print(states.describe_execution(executionArn=execution)["status"])
"""


@pytest.mark.parametrize("kind", STATES)
def test_stops_running_executions(kind: str) -> None:
    program = textwrap.dedent(
        """
        import subprocess, sys, time
        from personalize_local.gateway import LocalAws
        with LocalAws(wait_scale=1) as aws:
            subprocess.run([sys.executable, "-c", *sys.argv[1:]], env=aws.environment(), check=True)
            began = time.monotonic()
        print(time.monotonic() - began < 10, flush=True)
        """
    )
    command = [sys.executable, "-c", program, COMMAND, json.dumps(STATES[kind])]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert ran.stdout.splitlines() == ["RUNNING", "True"], ran.stderr
    assert "Traceback" not in ran.stderr
    assert ran.returncode == 0


def test_the_command_ends_despite_a_running_execution() -> None:
    command = [TOOL, "run", "--", sys.executable, "-c", COMMAND, json.dumps(STATES["a distributed map"])]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=90)
    assert (ran.returncode, ran.stdout) == (0, "RUNNING\n"), ran.stderr
