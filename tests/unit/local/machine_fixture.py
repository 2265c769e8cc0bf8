"""Creates state machines with their own role in the local AWS, and runs them."""

import io
import json
import uuid
import zipfile
from collections.abc import Callable
from typing import Any

from personalize_local.gateway import LocalAws
from support.local import wait_until

_CODE = """
def handler(event, context):
    if event.get("fail"):
        raise ValueError("as asked")
    return {"got": event, "pad": "x" * event.get("size", 0)}
"""


class MachineFixture:
    """A role whose permissions a test sets, and helpers that run state machines with it."""

    def __init__(self, client: Callable[..., Any], aws: LocalAws) -> None:
        self.client, self.aws = client, aws
        self.name = f"m-{uuid.uuid4().hex[:12]}"
        self.iam, self.states, self.s3 = client("iam"), client("stepfunctions"), client("s3")
        self.arn = f"arn:aws:states:{aws.region}:{aws.account}:stateMachine:{self.name}"
        self.role = self.create_role(self.name, "states.amazonaws.com")

    def create_role(self, name: str, service: str, **condition: Any) -> str:
        """Creates a role that trusts a service."""
        trust = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}
        document = json.dumps(
            {"Version": "2012-10-17", "Statement": [trust | ({"Condition": condition} if condition else {})]}
        )
        arn: str = self.iam.create_role(RoleName=name, AssumeRolePolicyDocument=document)["Role"]["Arn"]
        return arn

    def allow(self, *statements: tuple[str | list[str], str] | dict[str, Any], role: str | None = None) -> None:
        """Sets the role's permissions: pairs of action and resource, or whole statements."""
        document = [
            statement
            if isinstance(statement, dict)
            else {"Effect": "Allow", "Action": statement[0], "Resource": statement[1]}
            for statement in statements
        ]
        name = role or self.name
        if not document:
            self.iam.delete_role_policy(RoleName=name, PolicyName="own")
            return
        policy = json.dumps({"Version": "2012-10-17", "Statement": document})
        self.iam.put_role_policy(RoleName=name, PolicyName="own", PolicyDocument=policy)

    def start(self, states: dict[str, Any], given: Any = None) -> str:
        """Starts an execution that begins with the first state. Returns its ARN."""
        definition = json.dumps({"StartAt": next(iter(states)), "States": states})
        self.create(definition)
        started: str = self.states.start_execution(stateMachineArn=self.arn, input=json.dumps(given or {}))[
            "executionArn"
        ]
        return started

    def create(self, definition: str) -> None:
        """Creates or updates the state machine."""
        machines = [found["name"] for found in self.states.list_state_machines()["stateMachines"]]
        if self.name in machines:
            self.states.update_state_machine(stateMachineArn=self.arn, definition=definition)
        else:
            self.states.create_state_machine(name=self.name, definition=definition, roleArn=self.role)

    def end(self, arn: str) -> dict[str, Any]:
        """Waits until an execution ends, and describes it."""
        found: dict[str, Any] = {}

        def has_ended() -> bool:
            found.update(self.states.describe_execution(executionArn=arn))
            return bool(found["status"] != "RUNNING")

        wait_until(has_ended, interval=0.05)
        return found

    def run(self, states: dict[str, Any], given: Any = None) -> dict[str, Any]:
        """Runs states to their end."""
        return self.end(self.start(states, given))

    def output(self, states: dict[str, Any], given: Any = None) -> Any:
        """Runs states that must succeed, and returns their output."""
        ended = self.run(states, given)
        assert ended["status"] == "SUCCEEDED", ended
        return json.loads(ended["output"])

    def error(self, states: dict[str, Any], given: Any = None) -> tuple[str, str]:
        """Runs states that must fail, and returns the error and its cause."""
        ended = self.run(states, given)
        assert ended["status"] == "FAILED", ended
        return ended["error"], ended["cause"]

    def function(self, code: str = _CODE) -> str:
        """Creates a function in Python. Returns its ARN."""
        role = self.create_role(f"{self.name}-function", "lambda.amazonaws.com")
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as file:
            file.writestr("index.py", code)
        created = self.client("lambda").create_function(
            FunctionName=self.name,
            Runtime="python3.13",
            Handler="index.handler",
            Role=role,
            Code={"ZipFile": archive.getvalue()},
        )
        arn: str = created["FunctionArn"]
        return arn

    def bucket(self) -> str:
        """Creates a bucket."""
        name = f"b-{uuid.uuid4().hex[:12]}"
        self.s3.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": self.aws.region})
        return name
