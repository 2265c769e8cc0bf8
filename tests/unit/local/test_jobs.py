"""Jobs of the local Personalize run, write segments, or fail.

* Jobs, statuses, the number of users: https://docs.aws.amazon.com/personalize/latest/dg/creating-batch-seg-job.html
* Quotas: https://docs.aws.amazon.com/personalize/latest/dg/limits.html

The texts of messages are those of the local Personalize.
"""

import json

import pytest
from personalize_local.gateway import LocalAws
from support.local import wait_until
from unit.local.job_fixture import COMEDY, JobFixture

# Input: https://docs.aws.amazon.com/personalize/latest/dg/prepare-input-data-user-segment.html
# Output: https://docs.aws.amazon.com/personalize/latest/dg/batch-segment-job-output-examples.html
# The `error` of a record is documented only in a notebook:
# https://github.com/aws-samples/amazon-personalize-samples/blob/master/next_steps/core_use_cases/updating_datasets/update-item-dataset-schema-example.ipynb


def test_writes_segments_in_the_order_of_queries(jobs: JobFixture) -> None:
    jobs.put('{"itemId": "1"}\n{"itemId": "2"}\n')
    job = jobs.run(numResults=3)
    assert job["status"] == "ACTIVE"
    records = jobs.results()
    assert [record["input"] for record in records] == [{"itemId": "1"}, {"itemId": "2"}]
    assert [len(record["output"]["usersList"]) for record in records] == [3, 3]
    assert [record["error"] for record in records] == [None, None]


def test_accepts_item_attributes(jobs: JobFixture) -> None:
    jobs.put(COMEDY)
    jobs.run(recipe="item-attribute-affinity", numResults=7)
    (record,) = jobs.results()
    assert len(record["output"]["usersList"]) == 7


@pytest.mark.parametrize("genre", ["Komödie", 'The \\"New\\" Wave'])
def test_matches_values_with_quotes_and_umlauts(jobs: JobFixture, genre: str) -> None:
    jobs.put(json.dumps({"itemAttributes": f'ITEMS.GENRES = "{genre}"'}))
    jobs.run(recipe="item-attribute-affinity")
    (record,) = jobs.results()
    assert record["error"] is None
    assert len(record["output"]["usersList"]) == 25


def test_and_requires_both_conditions(jobs: JobFixture) -> None:
    jobs.put(f'{COMEDY}\n{{"itemAttributes": "ITEMS.GENRES = \\"Comedy\\" AND ITEMS.YEAR = \\"1801\\""}}')
    jobs.run(recipe="item-attribute-affinity")
    some, none = jobs.results()
    assert some["output"]["usersList"]
    assert none["output"]["usersList"] == []


def test_reads_all_files_with_the_prefix(jobs: JobFixture) -> None:
    jobs.put('{"itemId": "1"}', "in/a.jsonl")
    jobs.put('{"itemId": "2"}', "in/b.jsonl")
    jobs.put('{"itemId": "3"}', "elsewhere/c.jsonl")
    jobs.run()
    keys = [found["Key"] for found in jobs.s3.list_objects_v2(Bucket=jobs.output)["Contents"]]
    assert keys == ["out/_CHECK", "out/a.jsonl.out", "out/b.jsonl.out"]


def test_an_invalid_line_does_not_fail_the_job(jobs: JobFixture) -> None:
    jobs.put('{"itemId": "1"}\nnonsense\n{"itemId": "no such item"}\n{"itemAttributes": "x"}\n')
    assert jobs.run()["status"] == "ACTIVE"
    assert [record["error"] for record in jobs.results()] == [
        None,
        "the line is not JSON",
        "the item no such item is not in the data of the solution version",
        "the line has no itemId",
    ]


def test_a_filter_excludes_users(jobs: JobFixture, local_aws: LocalAws) -> None:
    jobs.put(
        '{"itemId": "1", "filterValues": {"COUNTRY": "\\"Japan\\""}}\n'
        '{"itemId": "1", "filterValues": {"COUNTRY": "\\"Japan\\",\\"France\\""}}\n{"itemId": "1"}\n'
    )
    arn = local_aws.environment()["PERSONALIZE_LOCAL_FILTER_WITH_PLACEHOLDER_ARN"]
    jobs.run(filterArn=arn, numResults=1000)
    one, two, none = jobs.results()
    assert 0 < len(one["output"]["usersList"]) < len(two["output"]["usersList"])
    assert none["error"] == "filterValues: no value for the placeholder COUNTRY"


def test_segments_are_the_same_in_every_run(jobs: JobFixture) -> None:
    jobs.put('{"itemId": "105"}')
    jobs.run(numResults=4)
    (record,) = jobs.results()
    assert record["output"]["usersList"] == ["user-207", "user-177", "user-246", "user-017"]


def test_changes_the_status_until_active(
    jobs: JobFixture, local_aws: LocalAws, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Long enough for a busy machine to see each status.
    monkeypatch.setattr(local_aws.personalize, "pending_seconds", 2)
    monkeypatch.setattr(local_aws.personalize, "in_progress_seconds", 2)
    jobs.put('{"itemId": "1"}')
    arn = jobs.personalize.create_batch_segment_job(**jobs.request())["batchSegmentJobArn"]
    seen: list[str] = []

    def is_active() -> bool:
        status = jobs.personalize.describe_batch_segment_job(batchSegmentJobArn=arn)["batchSegmentJob"]["status"]
        if status not in seen:
            seen.append(status)
        return bool(status == "ACTIVE")

    wait_until(is_active)
    assert seen == ["CREATE PENDING", "CREATE IN_PROGRESS", "ACTIVE"]


# The quotas are documented. The local Personalize assumes that exceeding them fails the job.


@pytest.mark.parametrize(
    ("recipe", "line", "quota"),
    [("item-affinity", '{"itemId": "1"}', 500), ("item-attribute-affinity", COMEDY, 10)],
)
def test_fails_a_job_with_a_file_above_the_quota(jobs: JobFixture, recipe: str, line: str, quota: int) -> None:
    jobs.put(f"{line}\n" * quota)
    assert jobs.run(recipe=recipe)["status"] == "ACTIVE"
    jobs.put(f"{line}\n" * (quota + 1))
    job = jobs.run(recipe=recipe)
    assert job["status"] == "CREATE FAILED"
    assert job["failureReason"] == (
        f"The file in/queries.jsonl has more than {quota} queries, the quota of aws-{recipe}"
    )


def test_fails_a_job_without_input(jobs: JobFixture) -> None:
    job = jobs.run()
    assert job["status"] == "CREATE FAILED"
    assert job["failureReason"] == f"No input files found at s3://{jobs.input}/in/"


@pytest.mark.parametrize(
    "expression",
    [
        'ITEMS.GENRE = "Drama"',
        'ITEMS.YEAR = "1801" AND ITEMS.GENRE = "Drama"',
        'ITEMS.GENRES = "Drama" AND ITEMS.GENRE = "Drama"',
    ],
)
def test_reports_an_unknown_column_in_the_record(jobs: JobFixture, expression: str) -> None:
    jobs.put(f"{json.dumps({'itemAttributes': expression})}\n{COMEDY}")
    assert jobs.run(recipe="item-attribute-affinity")["status"] == "ACTIVE"
    wrong, right = jobs.results()
    assert wrong == {
        "input": {"itemAttributes": expression},
        "output": None,
        "error": "the column GENRE is not in the Items data set, which has GENRES, YEAR, TITLE; column names are case "
        "sensitive",
    }
    assert (right["error"], len(right["output"]["usersList"])) == (None, 25)


def test_column_names_are_case_sensitive(jobs: JobFixture) -> None:
    jobs.put(json.dumps({"itemAttributes": 'ITEMS.genres = "Comedy"'}))
    jobs.run(recipe="item-attribute-affinity")
    (record,) = jobs.results()
    assert record["error"].startswith("the column genres is not in the Items data set, which has GENRES, ")
