"""Writes the number of users in each segment to a table."""

import json
import os
from typing import Any

import boto3

S3 = boto3.client("s3")
TABLE = boto3.resource("dynamodb").Table(os.environ["TABLE"])


def handler(event: dict[str, Any], _context: object) -> None:
    """Reads the object that an "Object Created" event of S3 names, one line for each query."""
    bucket, key = event["detail"]["bucket"]["name"], event["detail"]["object"]["key"]
    lines = S3.get_object(Bucket=bucket, Key=key)["Body"].iter_lines()
    for number, line in enumerate(lines, start=1):
        record = json.loads(line)
        # A failed query has an error instead of users.
        output, error = record.pop("output", None) or {}, record.pop("error", None)
        # The guide documents "recommendedUsers" without "input". Jobs have been seen to write "usersList" with "input".
        users = output.get("usersList") or output.get("recommendedUsers") or []
        query = json.dumps(record.get("input", record), ensure_ascii=False)
        # An event can arrive twice: the same object and line overwrite the same item.
        TABLE.put_item(Item={"object": key, "line": number, "query": query, "users": len(users), "error": error})
