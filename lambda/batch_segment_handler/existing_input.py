"""Checks queries that exist in S3.

Sources:
    LIST: https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html
    UNLOAD: https://docs.aws.amazon.com/redshift/latest/dg/r_UNLOAD.html
"""

import re
from collections.abc import Sequence
from typing import Any

from . import clients, limits, log, queries
from .contract import FlatProperties
from .errors import JobError
from .parsing import queries_per_file
from .preflight import Preflight
from .retries import RetryBudget
from .s3_input import MAX_SHOWN, InputObject, ObjectHints, call_s3, check_objects, require_size
from .text import quote

# Folder objects do not count toward the service's limit, so limit the pages.
_MAX_PAGES = 20
#: Objects that other programs write next to data, by the last part of their key: Hadoop and Spark (_SUCCESS,
#: _committed_…, hidden checksums), Redshift's manifest (UNLOAD), Finder (.DS_Store), and the output of a job.
_STRAY = re.compile(r"_SUCCESS|_CHECK|_(started|committed)_.*|\..*|.*manifest(\.json)?|.*\.out", re.S)
_COMPRESSED = re.compile(r".*\.(gz|zip|bz2|zst|xz)", re.S | re.I)


def check_existing(properties: FlatProperties, preflight: Preflight, budget: RetryBudget) -> None:
    """Checks the queries of the object, or of every object under the prefix.

    Raises:
        JobError: There is no object, a query is invalid, or there are too many queries.
    """
    path = properties["InputPath"]
    bucket, _, key = path.removeprefix("s3://").partition("/")
    hints = ObjectHints(
        properties.get("InputKmsKeyArn"),
        ": import the bucket with its encryption_key, or pass validate_input=False",
        ", or pass validate_input=False",
    )
    found = _list(bucket, key, hints, budget)
    if not found:
        missing = "object under" if key.endswith("/") else "object"
        raise JobError(f"job_input: there is no {missing} {quote(path)}; upload the queries first")
    if len(found) > limits.MAX_INPUT_FILES:
        raise JobError(
            f"job_input: got more than {limits.MAX_INPUT_FILES:,} objects under {quote(path)}, expected at most "
            f"{limits.MAX_INPUT_FILES:,}, the service's limit. Every object under the prefix is input: merge files, or "
            "move others away"
        )
    if key.endswith("/"):
        _require_no_stray(path, [name.removeprefix(key) for name, _ in found])
    require_size(quote(path), sum(size for _, size in found))
    objects = [InputObject(bucket, name, hints, budget) for name, _ in found]
    quota = queries.Quota(queries_per_file(properties), is_split=False)
    report = check_objects([(str(source), source) for source in objects], preflight, quota)
    log.event("checked", path=quote(path), queries=report.queries, files=report.files)


def _list(bucket: str, key: str, hints: ObjectHints, budget: RetryBudget) -> list[tuple[str, int]]:
    """Returns key and size of the object, or of each object under the prefix, at most one more than a job reads."""
    found: list[tuple[str, int]] = []
    place, is_prefix = f"s3://{bucket}/{key}", key.endswith("/")
    request: dict[str, Any] = {"Bucket": bucket, "Prefix": key}
    if not is_prefix:
        # S3 lists keys in the order of their UTF-8 bytes (LIST), so the object is the first with this prefix.
        request["MaxKeys"] = 1
    for _ in range(_MAX_PAGES):
        page = call_s3(clients.s3().list_objects_v2, hints, place, budget, **request)
        contents = [(entry["Key"], int(entry["Size"])) for entry in page.get("Contents", [])]
        if not is_prefix:
            return [entry for entry in contents if entry[0] == key]
        # The console creates a folder as an object whose key ends in "/".
        found += [entry for entry in contents if not entry[0].endswith("/")]
        if len(found) > limits.MAX_INPUT_FILES:
            return found[: limits.MAX_INPUT_FILES + 1]
        if not page.get("NextContinuationToken"):
            return found
        request["ContinuationToken"] = page["NextContinuationToken"]
    raise JobError(
        f"job_input: got too many keys that end in '/' under {quote(place)}, expected query files: move the folder "
        "objects away"
    )


def _require_no_stray(path: str, names: Sequence[str]) -> None:
    last_parts = [name.rpartition("/")[2] for name in names]
    stray = [
        name
        for name, last in zip(names, last_parts, strict=True)
        if _STRAY.fullmatch(last) or _COMPRESSED.fullmatch(last)
    ]
    if not stray:
        return
    listed = [
        quote(name, 80) + (" (compressed: unpack it)" if _COMPRESSED.fullmatch(name) else "")
        for name in stray[:MAX_SHOWN]
    ]
    more = f" and {len(stray) - MAX_SHOWN} more" if len(stray) > MAX_SHOWN else ""
    raise JobError(
        f"job_input: got objects that are not query files: {', '.join(listed)}{more}. Every object under the prefix "
        f"{quote(path)} is input: move them away"
    )
