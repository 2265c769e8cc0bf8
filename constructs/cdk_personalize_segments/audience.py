"""An audience of a workflow: its name and the queries of its segments."""

import re
from collections.abc import Mapping
from pathlib import Path

from . import audience_file, tagging, validation
from .batch_segment_input import BatchSegmentInput

#: The name is a folder in S3 and the value of a partition in Glue.
MAX_NAME_LENGTH = 63
_NAME = re.compile(r"[a-zA-Z0-9_-]+")


class Audience:
    """Users that a `BatchSegmentWorkflow` finds again in each of its runs.

    An audience of up to 1,000 input files is one batch segment job. If the quota of queries per file requires more
    files, the audience has several jobs, which run one after another and write to one folder.
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
        """Creates an audience. It is part of every workflow that it is passed to.

        Args:
            name: A name that is unique in the workflow, 1 to 63 letters, digits, hyphens and underscores. It is part of
                the path of the segments, of events and of metrics, and a partition of a `SegmentsTable`.
            segment_input: The queries, one for each segment. All audiences of a workflow have the same kind of query.
                With `BatchSegmentInput.from_bucket` each run reads the objects that are there; with
                ``only_new_versions`` a change of the objects starts no new job.
            filter_arn: The filter that Personalize applies to the users of each segment. Default: no filter.
            num_results: The maximum number of users in a segment, 1 to 5,000,000. Default: the service's default, 25
                (https://docs.aws.amazon.com/personalize/latest/dg/creating-batch-seg-job.html).
            tags: The tags of the audience's jobs, in addition to those of the workflow. A tag of the audience overrides
                one of the workflow with the same key.

        Raises:
            ValueError: A value is not as described; the message names the property, the value and what is expected.
            TypeError: A value is of another type.
        """
        check_name(name)
        validation.check_type("segment_input", segment_input, BatchSegmentInput, "one made by BatchSegmentInput.from_…")
        validation.check_type("filter_arn", filter_arn, str | None, "the ARN of a filter")
        validation.check_type("tags", tags, Mapping | None, 'a mapping, {"key": "value"}')
        check_known("num_results", num_results, "a number")
        validation.check_num_results(num_results)
        check_known("queries_per_file", segment_input.queries_per_file, "a number")
        for key, value in (tags or {}).items():
            validation.check_type(f"tags[{key!r}]", value, str, "text")
            check_known("tags", key, "text")
            check_known(f"tags[{key!r}]", value, "text")
        for fault in tagging.faults([*(tags or {}).items()]):
            raise ValueError(fault)
        #: The name.
        self.name: str = name
        #: The queries.
        self.segment_input: BatchSegmentInput = segment_input
        #: The ARN of the filter, if there is one.
        self.filter_arn: str | None = filter_arn
        #: The maximum number of users in a segment, if it was given.
        self.num_results: int | None = num_results
        #: The tags of the audience's jobs.
        self.tags: dict[str, str] = dict(tags or {})

    @classmethod
    def list_from_csv(cls, path: str | Path, *, filter_arn: str | None = None) -> "list[Audience]":
        """Reads a list of audiences from a CSV file, as a spreadsheet saves it.

        The first line names the columns. The page "Audiences in a spreadsheet" of the documentation describes them.

        Args:
            path: The file, in UTF-8, with commas or semicolons.
            filter_arn: The filter of all audiences. The columns ``filter.<PLACEHOLDER>`` are its values.

        Returns:
            The audiences, in the order of the file.

        Raises:
            ValueError: The file is not as described. The message lists each fault with its line and column.
        """
        return audience_file.read(Path(path), make=cls, check_name=check_name, filter_arn=filter_arn)


def check_name(name: object) -> None:
    """Checks the name of an audience.

    Raises:
        ValueError: It has other characters or is too long.
        TypeError: It is no text.
    """
    validation.check_type("name", name, str, "text")
    assert isinstance(name, str)
    check_known("name", name, "text")
    if not _NAME.fullmatch(name) or len(name) > MAX_NAME_LENGTH:
        raise ValueError(
            f"name: got {validation.quote(name)} ({len(name)} characters), expected 1 to {MAX_NAME_LENGTH} letters, "
            "digits, hyphens or underscores: it is a folder in S3"
        )


def check_known(prop: str, value: str | float | None, kind: str) -> None:
    """Checks that a value is known at synth, since the manifest is written then.

    Raises:
        ValueError: Only the deployment knows the value.
    """
    if value is not None and validation.is_token(value):
        raise ValueError(
            f"{prop}: got a value that is known only at deploy, {validation.quote(value)}, expected {kind}: the list "
            "of audiences is written at synth"
        )
