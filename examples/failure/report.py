"""Prints the failures in the queue, and the rows of overlap.sql. Needs boto3 and the deployed stack."""

import json
import time
from pathlib import Path

import boto3

STACK = "Films"
SQL = (Path(__file__).parent / "overlap.sql").read_text()


def failures(queue_url: str, seconds: int) -> list[dict[str, str]]:
    """Reads messages from the queue, and waits for the first one. Each message is an event.

    Args:
        queue_url: The queue.
        seconds: How long to wait, at most 20.
    """
    sqs = boto3.client("sqs")
    received = sqs.receive_message(QueueUrl=queue_url, MaxNumberOfMessages=10, WaitTimeSeconds=seconds)
    messages = received.get("Messages", [])
    for message in messages:
        sqs.delete_message(QueueUrl=queue_url, ReceiptHandle=message["ReceiptHandle"])
    return [json.loads(message["Body"])["detail"] for message in messages]


def query(sql: str, database: str, results: str) -> list[list[str]]:
    """Runs a query with Athena, and returns the names of the columns and the rows."""
    athena = boto3.client("athena")
    execution = athena.start_query_execution(
        QueryString=sql,
        QueryExecutionContext={"Database": database},
        ResultConfiguration={"OutputLocation": results},
    )["QueryExecutionId"]
    while True:
        status = athena.get_query_execution(QueryExecutionId=execution)["QueryExecution"]["Status"]
        if status["State"] == "SUCCEEDED":
            break
        if status["State"] in ("FAILED", "CANCELLED"):
            raise RuntimeError(status.get("StateChangeReason", status["State"]))
        time.sleep(0.5)
    rows = athena.get_query_results(QueryExecutionId=execution)["ResultSet"]["Rows"]
    return [[cell.get("VarCharValue", "") for cell in row["Data"]] for row in rows]


def main() -> None:
    """Reads the outputs of the stack, and prints the report."""
    (stack,) = boto3.client("cloudformation").describe_stacks(StackName=STACK)["Stacks"]
    outputs = {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}
    for detail in failures(outputs["QueueUrl"], seconds=20):
        print(f"failed: {detail.get('audience', 'the run')}: {detail['reason']}")
    columns, *rows = query(SQL, outputs["Database"], outputs["Results"])
    for row in rows:
        print(", ".join(f"{column}: {value}" for column, value in zip(columns, row, strict=True)))


if __name__ == "__main__":
    main()
