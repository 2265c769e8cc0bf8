"""The ready-made app, deployed by the real CDK CLI."""

import hashlib
import json
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aws_cdk as cdk_lib
import pytest
from personalize_local.gateway import LocalAws

ROOT = Path(__file__).parents[2]
APP = f"{sys.executable} {ROOT / 'app.py'}"


def stack_name(request: pytest.FixtureRequest) -> str:
    return f"App{hashlib.sha256(request.node.name.encode()).hexdigest()[:8]}"


@pytest.fixture
def app(cdk: Callable[..., Any], request: pytest.FixtureRequest) -> Any:
    made = cdk(APP, stack_name(request))
    (made.folder / "queries.jsonl").write_text('{"itemId": "1"}\n{"itemId": "2"}\n')
    return made


@pytest.fixture
def context(aws: LocalAws, request: pytest.FixtureRequest) -> Any:
    return {
        "stack_name": stack_name(request),
        "solution_version_arn": aws.environment()["PERSONALIZE_LOCAL_ITEM_AFFINITY_VERSION_ARN"],
        "queries": "queries.jsonl",
        "removal_policy": "destroy",
    }


@pytest.fixture
def jobs_of(app: Any, aws: LocalAws) -> Any:
    """The stack's jobs, in the order in which they were created."""
    return lambda: [arn for arn in aws.personalize.jobs if f"/{app.stack}-" in arn]


def test_a_stacks_life(
    app: Any, context: dict[str, str], jobs_of: Any, aws: LocalAws, client: Callable[[str], Any]
) -> None:
    first = app.deploy(**context, wait_minutes="5")
    (job,) = jobs_of()
    assert first["JobArn"] == job
    assert first["JobName"] == job.rpartition("/")[2]
    assert first["JobStatus"] == "ACTIVE"
    assert first["SolutionVersionArn"] == context["solution_version_arn"]
    assert segments_at(client, first["OutputUri"]) == {
        "part-00000.jsonl.out": [({"itemId": "1"}, 25), ({"itemId": "2"}, 25)]
    }

    # No change: nothing happens.
    assert "(no changes)" in app.run("deploy", "--require-approval=never", **context, wait_minutes="5").stdout
    assert jobs_of() == [job]

    # An update that keeps the job.
    kept = app.deploy(**context, wait_minutes="5", tags="team=growth")
    assert kept["JobArn"] == job
    assert jobs_of() == [job]
    assert aws.personalize.jobs[job].tags == {"team": "growth"}
    app.deploy(**context, wait_minutes="5")
    assert aws.personalize.jobs[job].tags == {}

    # An update that replaces it.
    other = app.deploy(**context, num_results="3")
    assert jobs_of() == [job, other["JobArn"]]
    assert aws.personalize.jobs[other["JobArn"]].request["numResults"] == 3

    # Back again: the first job is adopted, nothing is created.
    again = app.deploy(**context)
    assert (again["JobArn"], again["JobStatus"]) == (job, "ACTIVE")
    assert len(jobs_of()) == 2

    app.destroy(**context)
    assert [stack["StackStatus"] for stack in stacks(client, app.stack)] == ["DELETE_COMPLETE"]
    assert len(jobs_of()) == 2


def test_a_bucket_policy_that_is_broken_by_hand_is_named_in_what_the_cli_says(
    app: Any, context: dict[str, str], jobs_of: Any, client: Callable[[str], Any]
) -> None:
    bucket = app.deploy(**context)["OutputUri"].split("/")[2]
    s3 = client("s3")
    policy = s3.get_bucket_policy(Bucket=bucket)["Policy"]
    broken = {"Version": "2012-10-17", "Statement": json.loads(policy)["Statement"][:1]}
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(broken))
    said = app.fails(**context, num_results="3")
    assert f"fix bucket policy on {bucket}" in said
    assert len(jobs_of()) == 1
    s3.put_bucket_policy(Bucket=bucket, Policy=policy)
    app.deploy(**context, num_results="3")
    assert len(jobs_of()) == 2


def test_a_role_that_is_broken_by_hand_is_named_in_what_the_cli_says(
    app: Any, context: dict[str, str], jobs_of: Any, aws: LocalAws, client: Callable[[str], Any]
) -> None:
    job = aws.personalize.jobs[app.deploy(**context)["JobArn"]]
    role = job.request["roleArn"].rpartition("/")[2]
    iam = client("iam")
    (name,) = iam.list_role_policies(RoleName=role)["PolicyNames"]
    iam.delete_role_policy(RoleName=role, PolicyName=name)
    said = app.fails(**context, num_results="3")
    assert "Insufficient privileges for accessing data in S3" in said
    assert f"fix the policy of role {job.request['roleArn']}" in said
    assert len(jobs_of()) == 1


def test_a_job_that_fails_fails_the_deployment_that_waits(
    app: Any, context: dict[str, str], client: Callable[[str], Any]
) -> None:
    s3 = client("s3")
    s3.create_bucket(Bucket="empty", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    allow = {
        "Effect": "Allow",
        "Principal": {"Service": "personalize.amazonaws.com"},
        "Action": ["s3:ListBucket", "s3:GetObject"],
        "Resource": ["arn:aws:s3:::empty", "arn:aws:s3:::empty/*"],
    }
    s3.put_bucket_policy(Bucket="empty", Policy=json.dumps({"Version": "2012-10-17", "Statement": [allow]}))
    del context["queries"]
    said = app.fails(**context, input="s3://empty/none/", validate_input="false", wait_minutes="5")
    assert "ended CREATE FAILED: No input files found at s3://empty/none/" in said


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"queries": None}, "pass either -c queries=FILE (a local file) or -c input=s3://bucket/key (queries in S3)"),
        ({"queries": "none.jsonl"}, "queries: got a path where there is no file, 'none.jsonl', expected a file of"),
        ({"queries": "."}, "queries: got a folder, '.', expected a file of queries, one JSON object a line"),
        ({"role_arn": "foo"}, "role_arn: got 'foo', expected arn:aws:iam::<account>:role/<name>"),
        ({"stack_name": "a_b"}, "stack_name: got 'a_b', expected letters, digits and hyphens, first a letter"),
        ({"tags": "a=1,a=2"}, "tags: got 'a=2', expected key=value,key=value, each key once"),
        ({"num_results": "many"}, "num_results: got 'many', expected a whole number"),
        ({"num_result": "10"}, "unknown context value 'num_result'; did you mean num_results?"),
        ({"solution_version_arn": None}, "solution_version_arn, solution_arn: got neither, expected one of the two"),
        ({"removal_policy": "delete"}, "removal_policy: got 'delete', expected retain or destroy"),
        ({"wait_minutes": "-5"}, "wait_minutes: got -5, expected 1 to 60"),
        ({"queries": None, "input": "s3://B/in/"}, "InvalidBucketNameValue: "),
        (
            {"queries": None, "input": "s3://bucket/in/", "validate_input": "no"},
            "validate_input: got 'no', expected true",
        ),
        ({"tags": "a"}, "tags: got 'a', expected key=value,key=value, each key once"),
        ({"output": "s3://bucket/a"}, "output: got 'a', expected a prefix that ends in '/'"),
        ({"wait_minutes": "61"}, "wait_minutes: got 1 hour 1 minute, expected more than nothing"),
        ({"output": "bucket"}, "output: got 'bucket', expected s3://bucket/folder/"),
    ],
)
def test_a_bad_value_gets_one_sentence_and_no_traceback(
    context: dict[str, str],
    aws: LocalAws,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, Any],
    sentence: str,
) -> None:
    given = {name: value for name, value in {**context, **changes}.items() if value is not None}
    monkeypatch.chdir(tmp_path)
    (tmp_path / "queries.jsonl").write_text('{"itemId": "1"}\n')
    for name in ("CDK_DEFAULT_ACCOUNT", "CDK_DEFAULT_REGION"):
        monkeypatch.setenv(name, aws.environment()[name])
    with pytest.raises(SystemExit) as exit:
        runpy.run_path(str(ROOT / "app.py"))["main"](cdk_lib.App(context=given))
    assert str(exit.value).startswith(sentence)


def test_context_may_be_json_and_a_key_needs_no_dot(
    context: dict[str, str], aws: LocalAws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("CDK_DEFAULT_ACCOUNT", "CDK_DEFAULT_REGION"):
        monkeypatch.setenv(name, aws.environment()[name])
    del context["queries"]
    given = {**context, "input": "s3://bucket/unload/part-00000", "validate_input": False, "num_results": 10}
    made = cdk_lib.App(context=given, outdir=str(tmp_path))
    runpy.run_path(str(ROOT / "app.py"))["main"](made)
    template = json.loads((tmp_path / f"{context['stack_name']}.template.json").read_text())
    (job,) = [one["Properties"] for one in template["Resources"].values() if one["Type"].startswith("Custom::Pers")]
    assert job["NewJobIfChanged"]["InputPath"] == "s3://bucket/unload/part-00000"
    assert "ValidateInput" not in job


def test_the_cli_shows_the_sentence(app: Any, context: dict[str, str]) -> None:
    done = app.run("synth", **{**context, "num_results": "many"})
    assert done.returncode != 0
    assert "num_results: got 'many', expected a whole number" in done.stdout
    assert "Traceback" not in done.stdout


def segments_at(client: Callable[[str], Any], uri: str) -> dict[str, list[tuple[dict, int]]]:
    """What each output file has: queries and how many users."""
    s3 = client("s3")
    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    found = {}
    for item in s3.list_objects_v2(Bucket=bucket, Prefix=prefix)["Contents"]:
        if item["Key"].endswith(".out"):
            lines = s3.get_object(Bucket=bucket, Key=item["Key"])["Body"].read().splitlines()
            records = [json.loads(line) for line in lines]
            found[item["Key"].removeprefix(prefix)] = [
                (record["input"], len(record["output"]["usersList"])) for record in records
            ]
    return found


def stacks(client: Callable[[str], Any], name: str) -> list[dict]:
    summaries = client("cloudformation").list_stacks()["StackSummaries"]
    return [stack for stack in summaries if stack["StackName"] == name]
