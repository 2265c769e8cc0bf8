"""Properties that look like something else: the handler treats them as data."""

import json
from typing import Any

import pytest
from batch_segment_handler.errors import JobError
from batch_segment_handler.handler import on_event
from botocore.stub import Stubber
from support.constants import VERSION
from support.events import ROLE, Context, arn, derived_name, event, stub_missing_job, stub_solution_version

pytestmark = pytest.mark.usefixtures("new_stack")

PATHS = [
    "s3://in/../../etc/passwd",
    "s3://in/a\nb.jsonl",
    "s3://in/" + "x" * 1024,
    "s3://in/arn:aws:s3:::other/*",
    's3://in/"}],"roleArn":"mine',
    "s3://in/${AWS::AccountId}",
]


@pytest.mark.parametrize("path", PATHS, ids=range(len(PATHS)))
def test_sends_a_path_without_interpreting_it(
    personalize: Stubber, capsys: pytest.CaptureFixture[str], path: Any
) -> None:
    name = derived_name(InputPath=path)
    stub_missing_job(personalize, name)
    stub_solution_version(personalize)
    personalize.add_response(
        "create_batch_segment_job",
        {"batchSegmentJobArn": arn(name)},
        {
            "jobName": name,
            "solutionVersionArn": VERSION,
            "roleArn": ROLE,
            "jobInput": {"s3DataSource": {"path": path}},
            "jobOutput": {"s3DataDestination": {"path": f"s3://out/segments/{name}/"}},
        },
    )
    assert on_event(event(properties={"InputPath": path}), Context())["PhysicalResourceId"] == arn(name)
    # A log line stays one line.
    assert all(json.loads(line) for line in capsys.readouterr().out.splitlines())


def test_uses_a_name_that_looks_like_an_arn_as_a_name(personalize: Stubber) -> None:
    name = "arn:aws:personalize:eu-west-1:999999999999:batch-segment-job/theirs"
    stub_missing_job(personalize, name)
    stub_solution_version(personalize)
    personalize.add_client_error("create_batch_segment_job", "InvalidInputException", "jobName")
    with pytest.raises(JobError, match=r"^job_name: jobName \(InvalidInputException\)"):
        on_event(event(properties={"JobNamePrefix": None, "JobName": name}), Context())


def test_accepts_a_megabyte_of_properties_and_does_not_log_them(
    personalize: Stubber, capsys: pytest.CaptureFixture[str]
) -> None:
    large = {f"Unknown{number}": "x" * 1000 for number in range(1000)}
    stub_missing_job(personalize)
    stub_solution_version(personalize)
    personalize.add_client_error("create_batch_segment_job", "InvalidInputException", "no")
    with pytest.raises(JobError) as failed:
        on_event(event(properties=large), Context())
    assert len(str(failed.value)) < 1000
    assert len(capsys.readouterr().out) < 5000
