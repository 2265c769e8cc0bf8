"""Invalid arguments of a workflow."""

from collections.abc import Callable
from typing import Any

import aws_cdk as cdk
import aws_cdk.aws_s3 as s3
import aws_cdk.aws_scheduler as scheduler
import pytest
from cdk_personalize_segments import (
    Audience,
    BatchSegmentInput,
    BatchSegmentStorage,
    SegmentQuery,
)
from support.constants import SOLUTION, VERSION
from support.templates import (
    ENVIRONMENT,
    add_workflow,
    new_audience,
)

ONE_OF_TWO = "solution_version_arn, solution_arn: got {}, expected exactly one"


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: {"audiences": []}, ValueError, "audiences: got none, expected at least one Audience"),
        (
            lambda: {"audiences": [new_audience(), new_audience()]},
            ValueError,
            "audiences[1] 'fans': name: got the name of audiences[0], expected a different name for each audience: "
            "the name is the folder of the segments",
        ),
        (lambda: {"solution_arn": None}, ValueError, ONE_OF_TWO.format("neither")),
        (
            lambda: {"solution_arn": SOLUTION, "solution_version_arn": VERSION},
            ValueError,
            ONE_OF_TWO.format("both"),
        ),
        (
            lambda: {"max_concurrency": 0},
            ValueError,
            "max_concurrency: got 0, expected a whole number from 1 to 1,000",
        ),
        (
            lambda: {"max_concurrency": 1001},
            ValueError,
            "max_concurrency: got 1001, expected a whole number from 1 to 1,000",
        ),
        (
            lambda: {"max_concurrency": 2.5},
            ValueError,
            "max_concurrency: got 2.5, expected a whole number from 1 to 1,000",
        ),
        (
            lambda: {"timeout": cdk.Duration.seconds(0)},
            ValueError,
            "timeout: got 0 seconds, expected more than 0 and at most 364 days: Step Functions stops an execution "
            "after one year",
        ),
        (
            lambda: {"timeout": cdk.Duration.days(365)},
            ValueError,
            "timeout: got 365 days, expected more than 0 and at most 364 days: Step Functions stops an execution "
            "after one year",
        ),
        (
            lambda: {"timeout": cdk.Duration.seconds(cdk.Token.as_number({"Ref": "Timeout"}))},
            ValueError,
            "timeout: got a value that is known only at deploy time, expected more than 0 and at most 364 days: "
            "Step Functions stops an execution after one year",
        ),
        (lambda: {"timeout": 3600}, TypeError, "timeout: got int 3600, expected a cdk.Duration"),
        (
            lambda: {"schedule": "cron(0 3 ? * MON *)"},
            TypeError,
            "schedule: got str 'cron(0 3 ? * MON *)', expected a ScheduleExpression of aws_cdk.aws_scheduler",
        ),
        (
            lambda: {"schedule": scheduler.ScheduleExpression.expression("every monday")},
            ValueError,
            "schedule: got 'every monday', expected cron(minutes hours day-of-month month day-of-week year), "
            "rate(value unit) or at(yyyy-mm-ddThh:mm:ss)",
        ),
        (
            lambda: {
                "schedule": scheduler.ScheduleExpression.rate(
                    cdk.Duration.days(1),
                ),
                "storage": "mine",
            },
            TypeError,
            "storage: got str 'mine', expected a BatchSegmentStorage",
        ),
        (
            lambda: {"schedule": scheduler.ScheduleExpression.cron(time_zone=cdk.TimeZone.of("Europe/Belrin"))},
            ValueError,
            "schedule: got the time zone 'Europe/Belrin', expected a name such as 'Europe/Berlin'",
        ),
        (
            lambda: {"only_new_versions": "yes"},
            TypeError,
            "only_new_versions: got str 'yes', expected True or False",
        ),
        (lambda: {"tags": ["team"]}, TypeError, 'tags: got list [\'team\'], expected a mapping, {"key": "value"}'),
        (lambda: {"tags": {"team": 1}}, TypeError, "tags['team']: got int 1, expected a string"),
        (
            lambda: {"output_prefix": "weekly"},
            ValueError,
            "output_prefix: got 'weekly', expected a prefix that ends in '/': without the '/', 'weekly_test/' "
            "would match "
            "as well",
        ),
        (
            lambda: {"audiences": [new_audience("a" * 63)], "output_prefix": f"{'p' * 100}/"},
            ValueError,
            "audiences[0] '" + "a" * 63 + "': output_prefix: got 101 characters, expected at most 37: the path of the "
            "segments can have at most 256 characters, including run, job and the name of this audience",
        ),
    ],
)
def test_rejects_a_bad_argument(
    stack: cdk.Stack, make: Callable[[], dict[str, Any]], error: type[Exception], message: str
) -> None:
    with pytest.raises(error) as refused:
        add_workflow(stack, **{"solution_arn": SOLUTION, **make()})
    assert str(refused.value) == message


@pytest.mark.parametrize("same_bucket", [True, False])
def test_rejects_segments_among_the_queries(stack: cdk.Stack, same_bucket: bool) -> None:
    bucket = s3.Bucket(stack, "Bucket")
    output = bucket if same_bucket else s3.Bucket(stack, "Output")
    storage = BatchSegmentStorage(stack, "Storage", input_bucket=bucket, output_bucket=output)
    if not same_bucket:
        add_workflow(stack, storage=storage, output_prefix="queries/segments/")
        return
    with pytest.raises(ValueError, match="expected a prefix outside of input_prefix, 'queries/', in the same bucket"):
        add_workflow(stack, storage=storage, output_prefix="queries/segments/")


def test_two_stacks_cannot_write_to_one_folder(app: cdk.App, stack: cdk.Stack) -> None:
    storage = BatchSegmentStorage(stack, "Storage")
    add_workflow(stack, storage=storage)
    other = cdk.Stack(app, "Other", env=ENVIRONMENT)
    with pytest.raises(ValueError, match="another job writes: choose another prefix"):
        add_workflow(other, storage=storage, audiences=[new_audience("others")])


def test_rejects_two_kinds_of_queries(stack: cdk.Stack) -> None:
    comedy = BatchSegmentInput.from_queries([SegmentQuery.where(genres="Comedy")])
    with pytest.raises(ValueError, match=r"audiences\[1\] 'comedy': segment_input: got queries with itemAttributes"):
        add_workflow(stack, audiences=[new_audience(), Audience("comedy", comedy)])
