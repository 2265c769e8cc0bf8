"""Checks S3 locations at synth time: keys, prefixes, paths and regions. Does not check tokens."""

import weakref
from typing import ClassVar

import aws_cdk.aws_s3 as s3
from batch_segment_handler import limits
from batch_segment_handler.text import quote

from .validation import check_no_wildcards, ends_in_token, has_wildcards, is_token

# https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
_MAX_BUCKET_NAME_LENGTH = 63


def check_prefix(prop: str, value: str, hint: str = "") -> None:
    """Checks the prefix of a folder.

    https://docs.aws.amazon.com/personalize/latest/dg/creating-batch-seg-job.html: S3 is prefix based, so ``folder``
    also matches ``folder_test/``.
    """
    if ends_in_token(value):
        check_no_wildcards(prop, value)
        return
    if not value.endswith("/"):
        raise ValueError(
            f"{prop}: got {quote(value)}, expected a prefix that ends in '/': "
            f"without the '/', {quote(value + '_test/')} would match as well{hint}"
        )
    check_s3_key(prop, value)


def check_folder_of_jobs(prop: str, bucket_name: str, prefix: str, *, more: int = 0) -> None:
    """Checks that the paths under a prefix do not exceed the service's limit (botocore's model, shape S3Location).

    Args:
        prop: The name of the property.
        bucket_name: The bucket's name.
        prefix: The prefix that contains a folder for each job.
        more: The number of characters after the job's folder.
    """
    name = _MAX_BUCKET_NAME_LENGTH if is_token(bucket_name) else len(bucket_name)
    longest = limits.MAX_S3_PATH_LENGTH - len("s3:///") - name - limits.MAX_JOB_NAME_LENGTH - len("/") - more
    if not is_token(prefix) and len(prefix) > longest:
        raise ValueError(
            f"{prop}: got {len(prefix)} characters, expected at most {longest}: an S3 path of a job can have at most "
            f"{limits.MAX_S3_PATH_LENGTH}, including the names of the bucket and the job"
        )


def check_region(prop: str, got: str, expected: str) -> None:
    """Checks that a bucket is in the job's region.

    https://docs.aws.amazon.com/personalize/latest/dg/API_BatchInferenceJobInput.html requires this for batch inference
    jobs.
    """
    if not is_token(got) and not is_token(expected) and got != expected:
        raise ValueError(
            f"{prop}: got a bucket in the region {got!r}, expected one in {expected!r}, the stack's region"
        )


def check_s3_key(prop: str, value: str) -> None:
    """Checks that a key or prefix has no leading slash, no control characters and no policy wildcards."""
    if is_token(value):
        check_no_wildcards(prop, value)
        return
    if not value or value.startswith("/") or not value.isprintable() or has_wildcards(value):
        raise ValueError(
            f"{prop}: got {quote(value)}, expected a key without a leading '/', without control characters, and "
            "without '*', '?' and '${', which are wildcards and variables in IAM policies"
        )


def check_s3_path(prop: str, path: str) -> None:
    """Checks the length of an ``s3://`` path (botocore's model, shape S3Location)."""
    if not is_token(path) and len(path) > limits.MAX_S3_PATH_LENGTH:
        raise ValueError(
            f"{prop}: got a path of {len(path)} characters, {quote(path)}, expected at most {limits.MAX_S3_PATH_LENGTH}"
        )


def overlap(location: str, prefix: str) -> bool:
    """Returns whether one location contains the other; False if a location is a token."""
    is_known = not is_token(location) and not is_token(prefix)
    return is_known and (prefix.startswith(location) or location.startswith(prefix))


class BucketUse:
    """The locations of one bucket that jobs read and write, across all storages."""

    _uses: ClassVar[weakref.WeakKeyDictionary[s3.IBucket, "BucketUse"]] = weakref.WeakKeyDictionary()

    def __init__(self) -> None:
        # Ordered sets.
        self._read: dict[str, None] = {}
        self._written: dict[str, None] = {}
        self._audiences: set[str] = set()

    @classmethod
    def of(cls, bucket: s3.IBucket) -> "BucketUse":
        """Returns the use of a bucket."""
        return cls._uses.setdefault(bucket, cls())

    def read(self, location: str) -> None:
        """Adds a key, a prefix, or a pattern of prefixes that a job reads.

        Raises:
            ValueError: A job writes to that location, so Personalize would read segments as queries.
        """
        for other in self._written:
            _check_apart(f"job_input: got queries in {quote(location)}", location, other, "writes")
        self._read[location] = None

    def write(self, folders: str) -> None:
        """Adds a pattern of folders that a job writes.

        Raises:
            ValueError: Another job writes to that location, so that permissions and rules of one job would cover the
                other's segments, or a job reads from it.
        """
        for other in self._read:
            _check_apart(f"output_prefix: got segments in {quote(folders)}", folders, other, "reads")
        for other in self._written:
            if folders != other:
                _check_apart(f"output_prefix: got segments in {quote(folders)}", folders, other, "writes")
        self._written[folders] = None

    def write_audience(self, prop: str, name: str, folder: str) -> None:
        """Adds the folder of an audience.

        Args:
            prop: The property to name in an error.
            name: The audience's name.
            folder: Its folder, ending in "/".

        Raises:
            ValueError: Another workflow has an audience with that folder.
        """
        if folder in self._audiences:
            raise ValueError(
                f"{prop}: got the name {name!r}, which an audience of another workflow uses for {quote(folder)}, "
                "expected a different name, or a different output_prefix for one of the workflows"
            )
        self._audiences.add(folder)


def _check_apart(got: str, location: str, other: str, verb: str) -> None:
    start, start_of_other = location.partition("*")[0], other.partition("*")[0]
    if start.startswith(start_of_other) or start_of_other.startswith(start):
        raise ValueError(
            f"{got}, expected a location that does not overlap {quote(other)}, which another job {verb}: choose "
            "another prefix or job_name"
        )
