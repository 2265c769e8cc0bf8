"""The apps in ``examples``, deployed unchanged."""

import dataclasses
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import aws_cdk
import pytest
from aws_cdk.assertions import Template
from batch_segment_handler.contract import RESOURCE_TYPE
from personalize_local.gateway import LocalAws
from support.cdk_cli import Cdk
from support.constants import CREATED, UPDATED
from support.examples import EXAMPLES, app_of
from support.local import Clients, seeded_arn, split_s3_uri, wait_until
from support.segments import segments_at
from support.stacks import Outcome, RealStack


def test_minimal_by_the_cdk_cli(aws: LocalAws, cdk: Callable[..., Cdk], client: Clients) -> None:
    made = cdk("python app.py", "Minimal")
    shutil.copytree(EXAMPLES / "minimal", made.folder, dirs_exist_ok=True)
    outputs = made.deploy(solution_version_arn=seeded_arn(aws, "ITEM_ATTRIBUTE_AFFINITY_VERSION"))
    (job,) = (job for arn, job in aws.personalize.jobs.items() if "/Minimal-" in arn)
    wait_until(lambda: not job.in_flight)
    ((comedies, dramas),) = segments_at(client, outputs["Segments"]).values()
    assert comedies.query == {"itemAttributes": 'ITEMS.GENRES = "Comedy"'}
    assert dramas.query == {"itemAttributes": 'ITEMS.GENRES = "Drama" AND ITEMS.YEAR = "1999"'}
    assert len(comedies.user_ids) == 25
    assert dramas.user_ids


def test_pipeline_counts_the_users_of_every_segment(stack: RealStack, aws: LocalAws, client: Clients) -> None:
    example = app_of("pipeline")

    # First without a version: it does not exist before the data is imported and the solution is trained.
    first = stack.deploy_app(lambda app: example.PipelineStack(app, stack.name))
    assert first.status == CREATED, first.said
    assert stack.resources_of("AWS::Personalize::Solution") == [seeded_arn(aws, "ITEM_ATTRIBUTE_AFFINITY_SOLUTION")]
    assert stack.jobs == []

    done = stack.deploy_app(
        lambda app: example.PipelineStack(
            app,
            stack.name,
            solution_version_arn=seeded_arn(aws, "ITEM_ATTRIBUTE_AFFINITY_VERSION"),
            filter_arn=seeded_arn(aws, "FILTER_WITH_PLACEHOLDER"),
        ),
    )
    assert done.status == UPDATED, done.said
    (arn,) = stack.jobs
    assert aws.personalize.jobs[arn].tags == {"team": "marketing", "cost-center": "1234"}

    # The function's items match the service's output.
    wait_until(lambda: len(items(client, done.outputs["CountsTable"])) == 2)
    key = split_s3_uri(done.outputs["SegmentsUri"])[1] + "part-00000.jsonl.out"
    (found,) = segments_at(client, done.outputs["SegmentsUri"]).values()
    assert [segment.query["filterValues"]["COUNTRY"] for segment in found] == ['"Japan","Kenya"', '"France"']
    assert all(segment.user_ids for segment in found)
    assert items(client, done.outputs["CountsTable"]) == [
        {
            "object": {"S": key},
            "line": {"N": str(number)},
            "query": {"S": json.dumps(segment.query)},
            "users": {"N": str(len(segment.user_ids))},
            "error": {"NULL": True},
        }
        for number, segment in enumerate(found, start=1)
    ]


def items(client: Clients, table: str) -> list[dict[str, Any]]:
    return sorted(client("dynamodb").scan(TableName=table)["Items"], key=lambda item: int(item["line"]["N"]))


@pytest.fixture
def audiences() -> ModuleType:
    return app_of("audiences")


def test_seven_audiences_start_seven_jobs_and_a_changed_line_one(
    stack: RealStack, aws: LocalAws, client: Clients, audiences: ModuleType
) -> None:
    version = seeded_arn(aws, "ITEM_ATTRIBUTE_AFFINITY_VERSION")

    def deploy_audiences(listed: Sequence[Any]) -> Outcome:
        return stack.deploy_app(
            lambda app: audiences.AudiencesStack(app, stack.name, solution_version_arn=version, audiences=listed),
        )

    listed = audiences.read_audiences(EXAMPLES / "audiences" / "audiences.csv")
    assert len(listed) == 7
    done = deploy_audiences(listed)
    assert done.status == CREATED, done.said
    jobs = [aws.personalize.jobs[arn] for arn in stack.jobs]
    assert [job.status for job in jobs] == ["ACTIVE"] * 7
    assert {job.tags["audience"] for job in jobs} == {audience.name for audience in listed}
    for audience in listed:
        ((segment,),) = segments_at(client, done.outputs[f"{audience.name}Uri"]).values()
        assert segment.query == audience.query.content
        assert 0 < len(segment.user_ids) <= audience.max_users

    # Removing the first line changes the dependencies of all others. The last line is changed.
    done = deploy_audiences([*listed[1:-1], dataclasses.replace(listed[-1], max_users=5)])
    assert done.status == UPDATED, done.said
    (_, _, _, _, _, _, _, new) = stack.jobs
    assert aws.personalize.jobs[new].tags == {"audience": "NinetyNiners"}
    ((segment,),) = segments_at(client, done.outputs["NinetyNinersUri"]).values()
    assert len(segment.user_ids) == 5


def test_runs_at_most_four_audiences_at_once(aws: LocalAws, audiences: ModuleType) -> None:
    # MiniStack, unlike CloudFormation, creates resources one after another, so check the dependencies.
    app = aws_cdk.App(analytics_reporting=False)
    listed = audiences.read_audiences(EXAMPLES / "audiences" / "audiences.csv")
    version = seeded_arn(aws, "ITEM_ATTRIBUTE_AFFINITY_VERSION")
    made = audiences.AudiencesStack(app, "Audiences", solution_version_arn=version, audiences=listed)
    template = Template.from_stack(made)
    jobs = template.find_resources(RESOURCE_TYPE)
    assert all(job["Properties"]["WaitSeconds"] for job in jobs.values())
    earlier = {id: [other for other in job["DependsOn"] if other in jobs] for id, job in jobs.items()}
    # Four chains of jobs: four jobs depend on none, each other job on one, and no job has two dependents.
    assert sorted(map(len, earlier.values())) == [0, 0, 0, 0, 1, 1, 1]
    assert len({other for others in earlier.values() for other in others}) == 3


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("ComedyFans,GENRES,Comedy", "got 3 values, expected 4: audience, attribute, values, max_users"),
        (
            "comedy fans,GENRES,Comedy,5",
            "audience: got 'comedy fans', expected letters and digits, the first one a capital letter",
        ),
        ("ComedyFans,GENRES,Comedy,many", "max_users: got 'many', expected a whole number from 1"),
        ("ComedyFans,GENRES,,5", "column GENRES: got '', expected a non-empty string"),
        ("ComedyFans,the genre,Comedy,5", "column: got 'the genre', expected a name of letters"),
        ("DramaFans,GENRES,Drama,5", "audience: got DramaFans a second time, expected a unique name"),
    ],
)
def test_names_a_bad_line_of_the_audiences(audiences: ModuleType, tmp_path: Path, line: str, said: str) -> None:
    path = tmp_path / "audiences.csv"
    path.write_text(f"audience,attribute,values,max_users\nDramaFans,GENRES,Drama,5\n{line}\n")
    with pytest.raises(ValueError, match=r"^audiences\.csv, line 3: ") as refused:
        audiences.read_audiences(path)
    assert said in str(refused.value)


def test_rejects_other_columns_of_the_audiences(audiences: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "audiences.csv"
    path.write_text("name,genre\n")
    with pytest.raises(ValueError, match=r"^audiences\.csv, line 1: got the columns name, genre, expected audience, "):
        audiences.read_audiences(path)
