"""Reading the segments that jobs wrote."""

from cdk_personalize_segments import Segment, read_segments

from support.local import Clients, split_s3_uri


def segments_at(client: Clients, uri: str) -> dict[str, list[Segment]]:
    """Returns the segments of a job by the name of their file."""
    s3 = client("s3")
    bucket, prefix = split_s3_uri(uri)
    found = {}
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        for item in page["Contents"]:
            if item["Key"].endswith(".out"):
                body = s3.get_object(Bucket=bucket, Key=item["Key"])["Body"]
                found[item["Key"].removeprefix(prefix)] = list(read_segments(body.iter_lines()))
    return found
