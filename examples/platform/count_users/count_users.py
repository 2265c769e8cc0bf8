"""Logs the number of users in each segment."""

import json
from typing import Any

import boto3

S3 = boto3.client("s3")


def handler(event: dict[str, Any], _context: object) -> None:
    """Reads the object that an "Object Created" event of S3 names, one line for each query."""
    bucket, key = event["detail"]["bucket"]["name"], event["detail"]["object"]["key"]
    lines = S3.get_object(Bucket=bucket, Key=key)["Body"].iter_lines()
    for number, line in enumerate(lines, start=1):
        output = json.loads(line).get("output") or {}
        # The guide documents "recommendedUsers". Jobs have been seen to write "usersList".
        users = output.get("usersList") or output.get("recommendedUsers") or []
        print(json.dumps({"object": key, "line": number, "users": len(users)}))
