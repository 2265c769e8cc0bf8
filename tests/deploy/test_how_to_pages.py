"""Deploys every page in docs/how-to unchanged, except for the ARNs of the reader's resources."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import boto3
import pytest
from batch_segment_handler.contract import RESOURCE_TYPE
from personalize_local.faults import JOB, Fault, Faults
from personalize_local.gateway import LocalAws
from support.athena import query
from support.constants import CREATED, UPDATED
from support.local import Clients, wait_until
from support.stacks import Outcome, RealStack

from docs import pages

# test_platform.py and test_verify_account.py cover these pages.
ELSEWHERE = {"large-organizations", "verify-account"}
PAGES = [
    page for page in sorted((pages.DOCS / "how-to").glob("*.md")) if pages.python(page) and page.stem not in ELSEWHERE
]
PLACE = "arn:aws:personalize:eu-west-1:123456789012:solution/"
#: The solutions of the local AWS by the ARNs on the pages.
OWN = {
    f'"{PLACE}films"': f'"{PLACE}films-item-attribute-affinity"',
    f'"{PLACE}films/0123abcd"': f'"{PLACE}films-item-attribute-affinity/0002"',
    f'"{PLACE}items/4567cdef"': f'"{PLACE}films-item-affinity/0002"',
}
#: A query for each page whose job reads objects in the bucket of its set-up.
QUERIES_IN_S3 = {"input": '{"itemAttributes": "ITEMS.GENRES = \\"Comedy\\""}\n', "pipelines": '{"itemId": "1"}\n'}


class Reader:
    """Follows a page as a reader does: first the set-up if a job needs objects in its bucket, then the whole page."""

    def __init__(self, stack: RealStack, client: Clients, page: Path) -> None:
        self.stack = stack
        self._client = client
        self._page = page
        #: The names that the page's snippets defined in the last run.
        self.names: dict[str, Any] = {}
        self._own = {'app, "Marketing"': f'app, "{stack.name}"', "app = cdk.App()": "", **OWN}

    def _prepare(self) -> str:
        """Creates the resources that a reader already has. Returns the expected final status of the stack."""
        if self._page.stem == "kms":
            key = self._client("kms").create_key()["KeyMetadata"]["Arn"]
            self._own["arn:aws:kms:eu-west-1:123456789012:key/0123abcd"] = key
        if self._page.stem == "own-bucket-and-role":
            self._create_bucket_and_role()
        if self._page.stem not in QUERIES_IN_S3:
            return CREATED
        done = self.stack.deploy_app(lambda app: self._run(app, [pages.set_up(self._page)]))
        assert done.status == CREATED, done.said
        (bucket,) = self.stack.resources_of("AWS::S3::Bucket")
        queries = QUERIES_IN_S3[self._page.stem]
        self._client("s3").put_object(Bucket=bucket, Key="queries/today/first.jsonl", Body=queries)
        return UPDATED

    def _create_bucket_and_role(self) -> None:
        # In another stack or account, with the statements that the page requires.
        bucket, actions = "marketing-segments", ["s3:GetObject", "s3:ListBucket", "s3:PutObject"]
        s3, iam = self._client("s3"), self._client("iam")
        service = {"Service": "personalize.amazonaws.com"}

        def document(**statement: Any) -> str:
            return json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **statement}]})

        s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
        resources = [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]
        policy = document(Principal=service, Action=actions, Resource=resources)
        s3.put_bucket_policy(Bucket=bucket, Policy=policy)
        trust = document(Principal=service, Action="sts:AssumeRole")
        iam.create_role(RoleName="personalize", AssumeRolePolicyDocument=trust)
        any_bucket = document(Action=actions, Resource="*")
        iam.put_role_policy(RoleName="personalize", PolicyName="s3", PolicyDocument=any_bucket)

    def follows(self) -> Outcome:
        """Deploys the page's snippets."""
        status = self._prepare()
        done = self.stack.deploy_app(lambda app: self._run(app, pages.python(self._page)))
        assert done.status == status, done.said
        return done

    def workflows(self) -> list[str]:
        """Returns the ARNs of the workflows' state machines."""
        machines = self.stack.resources_of("AWS::StepFunctions::StateMachine")
        # The provider's state machines wait for jobs.
        return [arn for arn in machines if "PersonalizeBatchSegmentProvider" not in arn]

    def run(self, workflow: str) -> dict[str, Any]:
        """Starts a run of a workflow, and returns the detail of its event on completion."""
        states, ended = self._client("stepfunctions"), dict[str, Any]()
        execution = states.start_execution(stateMachineArn=workflow)["executionArn"]

        def is_over() -> bool:
            ended.update(states.describe_execution(executionArn=execution))
            return bool(ended["status"] != "RUNNING")

        wait_until(is_over, 60, interval=0.1)
        assert ended["status"] == "SUCCEEDED", ended
        detail: dict[str, Any] = json.loads(ended["output"])["Completion"]["Payload"]["Detail"]
        return detail

    def _run(self, app: cdk.App, snippets: list[pages.Snippet]) -> None:
        self.names = {"app": app}
        for snippet in snippets:
            code = snippet.code
            for written, own in self._own.items():
                code = code.replace(written, own)
            exec(compile("\n" * (snippet.line - 1) + code, str(snippet.page), "exec"), self.names)


@pytest.fixture
def make_reader(
    stack: RealStack, client: Clients, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Path], Reader]:
    """Creates readers of pages, in a folder with the file that the pages use."""
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    monkeypatch.chdir(tmp_path)
    Path("queries.jsonl").write_text(pages.QUERIES)
    Path("audiences.csv").write_text(pages.AUDIENCES)
    return lambda page: Reader(stack, client, page)


def test_the_readers_own_resources_are_written_on_the_page() -> None:
    set_ups = [pages.set_up(page).code for page in PAGES]
    assert [written for written in OWN if not any(written in code for code in set_ups)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_is_deployed(page: Path, make_reader: Callable[[Path], Reader], aws: LocalAws) -> None:
    reader = make_reader(page)
    done = reader.follows()
    jobs = [aws.personalize.jobs[arn] for arn in reader.stack.jobs]
    workflows = reader.workflows()
    assert len(jobs) == len(reader.stack.resources_of(RESOURCE_TYPE))
    assert jobs or workflows
    assert [reader.run(workflow)["status"] for workflow in workflows] == ["SUCCEEDED"] * len(workflows)
    if page.stem == "segments":
        output = jobs[-1].request["jobOutput"]["s3DataDestination"]["path"]
        (segment,) = reader.names["segments_at"](output)
        assert (len(segment.user_ids), segment.error) == (25, None)
        assert done.outputs["QueryErrors"] == "none"


def test_every_page_of_the_folder_is_deployed() -> None:
    assert {page.stem for page in PAGES} >= {"input", "kms", "many-segments", "own-bucket-and-role", "pipelines"}
    assert {page.stem for page in PAGES} >= {"refresh-segments", "query-segments", "workflow-metrics"}


def test_a_failed_audience_raises_the_alarms_of_the_page(
    make_reader: Callable[[Path], Reader], client: Clients, faults: Faults, train: Callable[[], str]
) -> None:
    reader = make_reader(pages.DOCS / "how-to" / "workflow-metrics.md")
    reader.follows()
    names = reader.stack.resources_of("AWS::CloudWatch::Alarm")
    (workflow,) = reader.workflows()

    def in_alarm() -> list[str]:
        found = client("cloudwatch").describe_alarms(AlarmNames=names)["MetricAlarms"]
        return sorted(alarm["MetricName"] for alarm in found if alarm["StateValue"] == "ALARM")

    assert len(names) == 4
    assert reader.run(workflow)["failed"] == 0
    assert in_alarm() == []
    train()
    faults.inject(Fault(JOB, message="an internal error"))
    assert reader.run(workflow)["failed"] == 1
    wait_until(in_alarm)
    # The page creates two alarms on failed audiences. The segments are from today, so the alarm on their age stays OK.
    assert in_alarm() == ["JobsFailed", "JobsFailed"]


def test_athena_runs_the_sql_of_the_page(
    make_reader: Callable[[Path], Reader], client: Clients, aws: LocalAws, train: Callable[[], str]
) -> None:
    page = pages.DOCS / "how-to" / "query-segments.md"
    reader = make_reader(page)
    done = reader.follows()
    (workflow,) = reader.workflows()
    (results,) = [name for name in reader.stack.resources_of("AWS::S3::Bucket") if "-results" in name.lower()]
    database, table = done.outputs["TableName"].split(".")
    assert table == "weekly"
    of_audience, sizes, overlap, new, without_answer = (
        snippet.code for snippet in pages.snippets(page) if snippet.language == "sql"
    )

    def rows(sql: str) -> list[list[str | None]]:
        return sorted(query(client, sql, database, f"s3://{results}/"))

    assert rows(of_audience) == []
    first = reader.run(workflow)
    version = train()
    second = reader.run(workflow)
    assert (first["run"] < second["run"], second["solutionVersionArn"]) == (True, version)
    comedy, drama = ({row[0] for row in rows(of_audience.replace("comedy", genre))} for genre in ("comedy", "drama"))
    assert len(comedy) == len(drama) == 25
    assert rows(sizes) == [["comedy-fans", "25"], ["drama-fans", "25"]]
    assert {row[0] for row in rows(overlap)} == comedy & drama
    # The local Personalize has the same data after each training.
    assert rows(new) == []
    assert rows(without_answer) == []
