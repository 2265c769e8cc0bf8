"""The ready-made app, deployed by the real CDK CLI where the CLI matters, otherwise by CloudFormation alone."""

import hashlib
import json
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aws_cdk as cdk_lib
import pytest
from batch_segment_handler.contract import DEFINITION, RESOURCE_TYPE
from personalize_local.gateway import LocalAws
from support.cdk_cli import Cdk
from support.constants import CREATED, DELETED, NOT_CREATED, ROLLED_BACK, UPDATED
from support.local import Clients, allow_personalize, seeded_arn, split_s3_uri, wait_until
from support.segments import segments_at
from support.stacks import Outcome, RealStack
from support.templates import resource_names

ROOT = Path(__file__).parents[2]
APP = ROOT / "app.py"


@pytest.fixture
def stack(aws: LocalAws, client: Clients, request: pytest.FixtureRequest) -> RealStack:
    return RealStack(aws, client, f"App{hashlib.sha256(request.node.name.encode()).hexdigest()[:8]}")


@pytest.fixture
def context(aws: LocalAws, stack: RealStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The context values of the app. The file of queries is in the current folder."""
    for name in ("CDK_DEFAULT_ACCOUNT", "CDK_DEFAULT_REGION"):
        monkeypatch.setenv(name, aws.environment()[name])
    monkeypatch.chdir(tmp_path)
    (tmp_path / "queries.jsonl").write_text('{"itemId": "1"}\n{"itemId": "2"}\n')
    return {
        "stack_name": stack.name,
        "solution_version_arn": seeded_arn(aws, "ITEM_AFFINITY_VERSION"),
        "queries": "queries.jsonl",
        "removal_policy": "destroy",
    }


@pytest.fixture
def app(cdk: Callable[..., Cdk], context: dict[str, Any]) -> Cdk:
    """The CLI with the app, in the folder of the query file."""
    return cdk(f"{sys.executable} {APP}", context["stack_name"])


@pytest.fixture
def deploy(stack: RealStack, context: dict[str, Any]) -> Callable[..., Outcome]:
    """Deploys the app without the CLI. None removes a context value."""

    def deploy(**changes: Any) -> Outcome:
        def make(made: cdk_lib.App) -> None:
            for name, value in (context | changes).items():
                if value is not None:
                    made.node.set_context(name, value)
            run_app(made)

        return stack.deploy_app(make)

    return deploy


def run_app(app: cdk_lib.App) -> None:
    runpy.run_path(str(APP))["main"](app)


def test_the_cdk_cli_deploys_redeploys_and_destroys(
    app: Cdk, context: dict[str, Any], stack: RealStack, client: Clients
) -> None:
    outputs = app.deploy(**context, wait_minutes="5")
    (job,) = stack.jobs
    assert outputs["JobArn"] == job
    assert outputs["JobName"] == job.rpartition("/")[2]
    assert outputs["JobStatus"] == "ACTIVE"
    assert outputs["SolutionVersionArn"] == context["solution_version_arn"]
    (segments,) = segments_at(client, outputs["OutputUri"]).values()
    found = [(segment.query, len(segment.user_ids)) for segment in segments]
    assert found == [({"itemId": "1"}, 25), ({"itemId": "2"}, 25)]

    assert "(no changes)" in app.run("deploy", "--require-approval=never", **context, wait_minutes="5").stdout
    assert stack.jobs == [job]

    # Somebody edits the bucket policy. The CLI shows the handler's message.
    bucket, _ = split_s3_uri(outputs["OutputUri"])
    s3 = client("s3")
    policy = s3.get_bucket_policy(Bucket=bucket)["Policy"]
    edited = {"Version": "2012-10-17", "Statement": json.loads(policy)["Statement"][:1]}
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(edited))
    assert f"fix bucket policy on {bucket}" in app.fails(**context, wait_minutes="5", num_results="3")
    assert stack.jobs == [job]
    s3.put_bucket_policy(Bucket=bucket, Policy=policy)

    app.destroy(**context, wait_minutes="5")
    summaries = client("cloudformation").list_stacks()["StackSummaries"]
    assert [found["StackStatus"] for found in summaries if found["StackName"] == stack.name] == [DELETED]
    assert stack.jobs == [job]


def test_new_tags_keep_the_job_and_new_num_results_start_one(
    deploy: Callable[..., Outcome], stack: RealStack, aws: LocalAws
) -> None:
    assert deploy(wait_minutes=5).status == CREATED
    (job,) = stack.jobs
    assert deploy(wait_minutes=5, tags="team=growth").outputs["JobArn"] == job
    assert aws.personalize.jobs[job].tags == {"team": "growth"}
    assert deploy(wait_minutes=5).outputs["JobArn"] == job
    assert aws.personalize.jobs[job].tags == {}
    assert stack.jobs == [job]

    other = deploy(num_results=3).outputs["JobArn"]
    assert stack.jobs == [job, other]
    assert aws.personalize.jobs[other].request["numResults"] == 3

    # Changed back: the first job is adopted.
    again = deploy().outputs
    assert (again["JobArn"], again["JobStatus"]) == (job, "ACTIVE")
    assert stack.jobs == [job, other]


def test_names_the_bucket_policy_that_was_edited(
    deploy: Callable[..., Outcome], stack: RealStack, client: Clients
) -> None:
    bucket, _ = split_s3_uri(deploy().outputs["OutputUri"])
    s3 = client("s3")
    policy = s3.get_bucket_policy(Bucket=bucket)["Policy"]
    edited = {"Version": "2012-10-17", "Statement": json.loads(policy)["Statement"][:1]}
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(edited))
    done = deploy(num_results=3)
    assert done.status == ROLLED_BACK
    assert f"fix bucket policy on {bucket}" in done.said
    assert len(stack.jobs) == 1
    s3.put_bucket_policy(Bucket=bucket, Policy=policy)
    assert deploy(num_results=3).status == UPDATED
    assert len(stack.jobs) == 2


def test_names_the_role_whose_policy_was_deleted(
    deploy: Callable[..., Outcome], stack: RealStack, aws: LocalAws, client: Clients
) -> None:
    job = aws.personalize.jobs[deploy().outputs["JobArn"]]
    role = job.request["roleArn"].rpartition("/")[2]
    iam = client("iam")
    (name,) = iam.list_role_policies(RoleName=role)["PolicyNames"]
    iam.delete_role_policy(RoleName=role, PolicyName=name)
    done = deploy(num_results=3)
    assert done.status == ROLLED_BACK
    assert "Insufficient privileges for accessing data in S3" in done.said
    assert f"fix the policy of role {job.request['roleArn']}" in done.said
    assert len(stack.jobs) == 1


def test_a_failed_job_fails_the_deployment_that_waits(
    deploy: Callable[..., Outcome], aws: LocalAws, client: Clients
) -> None:
    client("s3").create_bucket(Bucket="empty", CreateBucketConfiguration={"LocationConstraint": aws.region})
    allow_personalize(client, "empty")
    done = deploy(queries=None, input="s3://empty/none/", validate_input="false", wait_minutes=5)
    assert done.status == NOT_CREATED
    assert "ended CREATE FAILED: No input files found at s3://empty/none/" in done.said


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"queries": None},
            "pass exactly one of -c queries=FILE (a local file), -c input=s3://bucket/key (queries in S3) or ",
        ),
        ({"audiences": "list.csv"}, "pass exactly one of -c queries=FILE (a local file), -c input=s3://bucket/key"),
        (
            {"queries": None, "audiences": "list.csv", "wait_minutes": "5"},
            "wait_minutes: got '5' with audiences, expected queries or input instead",
        ),
        (
            {"queries": None, "audiences": "none.csv"},
            "audiences: got a path that does not exist, 'none.csv', expected a CSV file",
        ),
        (
            {"queries": None, "audiences": "list.csv", "time_zone": "Etc/UTC"},
            "time_zone: got 'Etc/UTC' without schedule, expected both or neither",
        ),
        (
            {"queries": None, "audiences": "list.csv", "schedule": "cron(0 3 * * MON *)"},
            "schedule: got 'cron(0 3 * * MON *)', expected",
        ),
        (
            {"queries": None, "audiences": "list.csv", "schedule": "rate(1 hour)", "time_zone": "Berlin"},
            "schedule: got the time zone 'Berlin', expected",
        ),
        (
            {"schedule": "rate(1 day)"},
            "schedule: got 'rate(1 day)' without audiences, expected audiences=FILE as well",
        ),
        ({"queries": "none.jsonl"}, "queries: got a path that does not exist, 'none.jsonl', expected a file of"),
        ({"queries": "."}, "queries: got a folder, '.', expected a file of queries, one JSON object per line"),
        ({"role_arn": "foo"}, "role_arn: got 'foo', expected arn:aws:iam::<account>:role/<name>"),
        ({"stack_name": "a_b"}, "stack_name: got 'a_b', expected 1 to 128 letters, digits and hyphens, the first one"),
        ({"tags": "a=1,a=2"}, "tags: got 'a=2', expected key=value,key=value, each key once"),
        ({"num_results": "many"}, "num_results: got 'many', expected a whole number"),
        ({"num_result": "10"}, "unknown context value 'num_result'; did you mean num_results?"),
        ({"solution_version_arn": None}, "solution_version_arn, solution_arn: got neither, expected exactly one"),
        ({"removal_policy": "delete"}, "removal_policy: got 'delete', expected retain or destroy"),
        ({"wait_minutes": "-5"}, "wait_minutes: got -5, expected 1 to 60"),
        (
            {"queries": None, "input": "s3://B/in/"},
            "input: got 's3://B/in/', expected a bucket name of 3 to 63 lowercase letters, digits, dots and hyphens",
        ),
        ({"queries": "x" * 300}, f"{'x' * 300}: File name too long; expected a file that can be read"),
        ({"max_query_errors": "5"}, "max_query_errors: got 5 without wait_minutes, expected both: "),
        (
            {"queries": None, "input": "s3://bucket/in/", "validate_input": "no"},
            "validate_input: got 'no', expected true",
        ),
        ({"tags": "a"}, "tags: got 'a', expected key=value,key=value, each key once"),
        ({"tags": "a=b&c"}, "tags: got 'b&c' for the key 'a', expected at most 256 letters, digits, spaces or "),
        ({"num-results": "5"}, "unknown context value 'num-results'; did you mean num_results?"),
        ({"output": "s3://bucket/a"}, "output: got 'a', expected a prefix that ends in '/'"),
        (
            {"wait_minutes": "61"},
            "wait_minutes: got 1 hour 1 minute, expected more than 0 and at most 1 hour, the maximum",
        ),
        ({"output": "bucket"}, "output: got 'bucket', expected s3://bucket/folder/"),
        (
            {"queries": None, "input": "bucket"},
            "input: got 'bucket', expected s3://bucket/key.jsonl or s3://bucket/folder/",
        ),
        ({"size": "5"}, "unknown context value 'size'; expected one of these values"),
    ],
)
def test_rejects_a_bad_value_in_one_sentence(context: dict[str, Any], changes: dict[str, Any], sentence: str) -> None:
    given = {name: value for name, value in {**context, **changes}.items() if value is not None}
    Path("list.csv").write_text("name;item_id\ncomedy-fans;1\n")
    with pytest.raises(SystemExit) as exit:
        run_app(cdk_lib.App(context=given))
    said, *usage = str(exit.value).splitlines()
    assert said.startswith(sentence)
    assert bool(usage) == said.startswith(("pass exactly one of", "unknown context value"))


def test_a_list_of_audiences_is_refreshed_on_a_schedule(
    deploy: Callable[..., Outcome], stack: RealStack, client: Clients, aws: LocalAws
) -> None:
    Path("audiences.csv").write_text("name;item_id;num_results\ncomedy-fans;1;3\ndrama-fans;2;\n")
    outputs = deploy(
        queries=None,
        solution_version_arn=None,
        solution_arn=seeded_arn(aws, "ITEM_AFFINITY_SOLUTION"),
        audiences="audiences.csv",
        schedule="cron(0 3 ? * MON *)",
        time_zone="Europe/Berlin",
        tags="team=growth",
    ).outputs
    (schedule,) = [
        found
        for found in client("scheduler").list_schedules()["Schedules"]
        if found["Target"]["Arn"] == outputs["StateMachineArn"]
    ]
    settings = client("scheduler").get_schedule(Name=schedule["Name"], GroupName=schedule["GroupName"])
    assert settings["ScheduleExpression"] == "cron(0 3 ? * MON *)"
    assert settings["ScheduleExpressionTimezone"] == "Europe/Berlin"
    assert stack.jobs == []

    machines = client("stepfunctions")
    run = machines.start_execution(stateMachineArn=outputs["StateMachineArn"], input="{}")["executionArn"]
    wait_until(lambda: machines.describe_execution(executionArn=run)["status"] == "SUCCEEDED", timeout=120)
    jobs = [aws.personalize.jobs[job] for job in stack.jobs]
    assert {job.tags["team"] for job in jobs} == {"growth"}
    assert sorted(job.request.get("numResults", 25) for job in jobs) == [3, 25]
    folders = sorted(split_s3_uri(job.request["jobOutput"]["s3DataDestination"]["path"])[1] for job in jobs)
    assert [folder.split("/")[:2] for folder in folders] == [
        ["segments", "audience=comedy-fans"],
        ["segments", "audience=drama-fans"],
    ]


def test_accepts_context_as_json_and_a_key_without_a_dot(context: dict[str, Any], tmp_path: Path) -> None:
    del context["queries"]
    given = {**context, "input": "s3://bucket/unload/part-00000", "validate_input": False, "num_results": 10}
    app = cdk_lib.App(context=given, outdir=str(tmp_path / "out"))
    run_app(app)
    template = json.loads((tmp_path / "out" / f"{context['stack_name']}.template.json").read_text())
    (job,) = resource_names(template, RESOURCE_TYPE)
    properties = template["Resources"][job]["Properties"]
    assert properties[DEFINITION]["InputPath"] == "s3://bucket/unload/part-00000"
    assert "ValidateInput" not in properties


def test_the_cli_shows_the_error_in_one_sentence(app: Cdk, context: dict[str, Any]) -> None:
    done = app.run("synth", **{**context, "num_results": "many"})
    assert done.returncode == 1
    sentence, of_the_cli = done.stdout.splitlines()
    assert sentence == "num_results: got 'many', expected a whole number"
    assert of_the_cli.endswith("Subprocess exited with error 1")
