"""An audience of a workflow: its name and the queries of its segments."""

import re
from collections.abc import Mapping
from pathlib import Path

from batch_segment_handler.text import quote

from . import audience_file, tagging, validation
from .batch_segment_input import BatchSegmentInput

#: The name is a folder in S3 and the value of a partition in Glue.
MAX_NAME_LENGTH = 63
_NAME = re.compile(r"[a-zA-Z0-9_-]+")


class Audience:
    """A named group of segments that a `BatchSegmentWorkflow` refreshes in each run.

    An audience with up to 1,000 input files runs as one batch segment job. If the quota of queries per file requires
    more files, the audience runs as several jobs, one after another, which write to one folder. For example::

        Audience("comedy-fans", BatchSegmentInput.from_queries([SegmentQuery.where(GENRES="Comedy")]))
    """

    def __init__(
        self,
        name: str,
        segment_input: BatchSegmentInput,
        *,
        filter_arn: str | None = None,
        num_results: int | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Creates an audience. You can pass it to several workflows.

        Args:
            name: A name that is unique in the workflow: 1 to 63 letters, digits, hyphens and underscores. It appears in
                the path of the segments, in events and in metrics, and names a partition of a `SegmentsTable`.
            segment_input: The queries, one for each segment. All audiences of a workflow have the same kind of query.
                With `BatchSegmentInput.from_bucket`, each run reads the objects in S3 at that time. With
                ``only_new_versions``, changing the objects does not start a new job.
            filter_arn: The filter that Personalize applies to the users of each segment. Default: no filter.
            num_results: The maximum number of users in a segment, 1 to 5,000,000. Default: the service's default, 25
                (https://docs.aws.amazon.com/personalize/latest/dg/creating-batch-seg-job.html).
            tags: The tags of the audience's jobs, in addition to the workflow's tags. A tag of the audience overrides
                a tag of the workflow with the same key.

        Raises:
            ValueError: A value is invalid. The message names the property, the value and the expected value.
            TypeError: A value has the wrong type.
        """
        check_name(name)
        validation.check_type("segment_input", segment_input, BatchSegmentInput, validation.EXPECTED_INPUT)
        validation.check_type("filter_arn", filter_arn, str | None, "a filter ARN")
        validation.check_type("tags", tags, Mapping | None, 'a mapping, {"key": "value"}')
        check_known("num_results", num_results, "a number")
        validation.check_num_results(num_results)
        check_known("queries_per_file", segment_input.queries_per_file, "a number")
        for key, value in (tags or {}).items():
            validation.check_type(f"tags[{key!r}]", value, str, "a string")
            check_known("tags", key, "text")
            check_known(f"tags[{key!r}]", value, "text")
        for fault in tagging.faults([*(tags or {}).items()]):
            raise ValueError(fault)
        #: The name.
        self.name: str = name
        #: The queries.
        self.segment_input: BatchSegmentInput = segment_input
        #: The ARN of the filter, or None.
        self.filter_arn: str | None = filter_arn
        #: The maximum number of users in a segment, or None for the service's default.
        self.num_results: int | None = num_results
        #: The tags of the audience's jobs.
        self.tags: dict[str, str] = dict(tags or {})

    @classmethod
    def list_from_csv(cls, path: str | Path, *, filter_arn: str | None = None) -> "list[Audience]":
        """Reads a list of audiences from a CSV file that you exported from a spreadsheet.

        The first line names the columns. The page "Audiences in a spreadsheet" of the documentation describes them. For
        example: ``Audience.list_from_csv("audiences.csv")``.

        Args:
            path: The file, in UTF-8, with commas or semicolons as separators.
            filter_arn: The filter of all audiences. The columns ``filter.<PLACEHOLDER>`` contain the values of its
                placeholders.

        Returns:
            The audiences, in the order of the file.

        Raises:
            ValueError: The file is invalid. The message lists the first 10 faults with their lines and columns.
        """
        return audience_file.read(Path(path), make=cls, check_name=check_name, filter_arn=filter_arn)


def check_name(name: object) -> None:
    """Checks the name of an audience.

    Raises:
        ValueError: The name is empty, contains an invalid character, or is too long.
        TypeError: The name is not a string.
    """
    validation.check_type("name", name, str, "a string")
    assert isinstance(name, str)
    check_known("name", name, "text")
    if not _NAME.fullmatch(name) or len(name) > MAX_NAME_LENGTH:
        raise ValueError(
            f"name: got {quote(name)} ({len(name)} characters), expected 1 to {MAX_NAME_LENGTH} letters, "
            "digits, hyphens or underscores: the name is a folder in S3"
        )


def check_known(prop: str, value: str | float | None, kind: str) -> None:
    """Checks that a value is not a token, because the manifest is written at synth time.

    Raises:
        ValueError: The value is a token.
    """
    if value is not None and validation.is_token(value):
        got = f"got a value that is known only at deploy time, {quote(value)}"
        raise ValueError(f"{prop}: {got}, expected {kind}: the list of audiences is written at synth time")
