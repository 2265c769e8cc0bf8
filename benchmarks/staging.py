"""Memory of the handler's code when it copies a large asset into the input bucket of the local AWS."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Row = tuple[str, str, str]

_LINE = 20  # bytes, newline included
_RECORDS = 50_000_000
_BUCKET, _KEY, _ATTRIBUTES = "queries-bucket", "asset.jsonl", "attributes.jsonl"


def run(records: int = _RECORDS) -> Iterator[Row]:
    """Measures staging of the maximum input of a job, which is a gigabyte.

    Args:
        records: The number of queries.
    """
    import boto3
    from personalize_local.gateway import LocalAws

    with LocalAws() as aws:
        environment = aws.environment()
        s3 = boto3.client(
            "s3",
            endpoint_url=aws.endpoint_url,
            region_name=aws.region,
            aws_access_key_id=aws.access_key,
            aws_secret_access_key=aws.secret_key,
        )
        s3.create_bucket(Bucket=_BUCKET, CreateBucketConfiguration={"LocationConstraint": aws.region})
        item_ids = b"".join(b'{"itemId":"%06d"}\n' % number for number in range(500_000))
        _upload(s3, _KEY, item_ids, records // 500_000)
        attributes = rb'{"itemAttributes": "ITEMS.genres = \"Comedy\""}' b"\n" * 200_000
        _upload(s3, _ATTRIBUTES, attributes, max(1, records * _LINE // len(attributes)))
        command = [sys.executable, __file__, str(records)]
        # In a separate process, whose peak memory is only that of the handler.
        out = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
        seconds, mebibytes, files, refused = json.loads(out.splitlines()[-1])
    size = f"{records * _LINE / 1024**2:,.0f} MiB"
    yield f"stage {records:,} queries, {size}, into {files} files", f"{seconds:.0f} s", ""
    yield "  total memory of the function", f"{mebibytes:.0f} MiB", "≤ 512 MiB"
    yield f"refuse an object of {size} by its number of queries", f"{refused:.2f} s", "≤ 2 s"


def _upload(s3: Any, key: str, block: bytes, count: int) -> None:
    upload = s3.create_multipart_upload(Bucket=_BUCKET, Key=key)["UploadId"]
    parts = []
    for number in range(1, count + 1):
        part = s3.upload_part(Bucket=_BUCKET, Key=key, UploadId=upload, PartNumber=number, Body=block)
        parts.append({"PartNumber": number, "ETag": part["ETag"]})
    s3.complete_multipart_upload(Bucket=_BUCKET, Key=key, UploadId=upload, MultipartUpload={"Parts": parts})


def _stage(records: int) -> None:
    from batch_segment_handler import staging
    from batch_segment_handler.errors import JobError
    from batch_segment_handler.existing_input import check_existing
    from batch_segment_handler.preflight import Preflight
    from batch_segment_handler.retries import RetryBudget

    # The quota of queries per file, raised so that 50 million queries fit into 1,000 files.
    properties = {"AssetBucket": _BUCKET, "AssetKey": _KEY, "QueriesPerFile": str(records // 1000)}
    started = time.perf_counter()
    path = staging.stage(
        properties, "s3://queries-bucket/queries/job/0a1b", Preflight("arn", "itemId", {}), RetryBudget(600)
    )
    seconds = time.perf_counter() - started
    status = Path("/proc/self/status").read_text()
    peak = int(status.partition("VmHWM:")[2].split()[0]) / 1024
    assert path.endswith(f"-{records // 1000}/")
    started = time.perf_counter()
    properties = {"InputPath": f"s3://{_BUCKET}/{_ATTRIBUTES}"}
    said = ""
    try:
        check_existing(properties, Preflight("arn", "itemAttributes", {}), RetryBudget(600))
    except JobError as error:
        said = str(error)
    assert "too many queries" in said
    print(json.dumps([seconds, peak, 1000, time.perf_counter() - started]))


if __name__ == "__main__":
    os.environ.pop("AWS_CA_BUNDLE", None)
    _stage(int(sys.argv[1]))
