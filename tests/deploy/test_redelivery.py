"""Events that arrive twice, at once, late or with an id that nobody knows, through the deployed function."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import aws_cdk as cdk
import pytest
from cdk_personalize_segments import BatchSegmentInput, BatchSegmentJob, SegmentQuery
from personalize_local.faults import Fault
from personalize_local.gateway import LocalAws
from stacks import RealStack

CREATE_FAILED_MARKER = "AWSCDK::CustomResourceProviderFramework::CREATE_FAILED"


class Deployed:
    """The handler of a stack, and the event that its job came from."""

    def __init__(self, stack: RealStack, aws: LocalAws, client: Callable[[str], Any]) -> None:
        self.stack = stack
        self._lambda = client("lambda")
        version = aws.environment()["PERSONALIZE_LOCAL_ITEM_AFFINITY_VERSION_ARN"]

        def build(scope: cdk.Stack) -> None:
            queries = BatchSegmentInput.from_queries([SegmentQuery.items_like("1")])
            BatchSegmentJob(scope, "Job", solution_version_arn=version, job_input=queries)

        done = stack.deploy(build)
        assert done.status == "CREATE_COMPLETE", done.said
        self.function = stack.resource("ProviderHandler4")
        described = client("cloudformation").describe_stacks(StackName=stack.name)["Stacks"][0]
        self.stack_id = described["StackId"]
        template = client("cloudformation").get_template(StackName=stack.name)["TemplateBody"]
        template = json.loads(template) if isinstance(template, str) else template
        (self.logical_id,) = [
            name for name, made in template["Resources"].items() if made["Type"].startswith("Custom::Personalize")
        ]
        (arn,) = stack.jobs
        job = aws.personalize.jobs[arn].request
        # As CloudFormation resolved them.
        self.properties = {**template["Resources"][self.logical_id]["Properties"], "RoleArn": job["roleArn"]}
        bucket = job["jobInput"]["s3DataSource"]["path"].split("/")[2]
        self.properties["NewJobIfChanged"] |= {
            "InputBucket": bucket,
            "InputPrefix": "queries/",
            "OutputPath": job["jobOutput"]["s3DataDestination"]["path"].removesuffix(f"{job['jobName']}/"),
        }
        self.arn = arn

    def send(self, request_type: str, physical_id: str | None = None, trigger: str = "", **changes: Any) -> Any:
        definition = {**self.properties["NewJobIfChanged"], **({"Trigger": trigger} if trigger else {})}
        event = {
            "RequestType": request_type,
            "RequestId": "again",
            "ResponseURL": "https://signed.example/?Signature=secret",
            "StackId": self.stack_id,
            "LogicalResourceId": self.logical_id,
            "ResourceType": "Custom::PersonalizeBatchSegmentJob",
            "ResourceProperties": {**self.properties, "NewJobIfChanged": definition, **changes},
            **({} if physical_id is None else {"PhysicalResourceId": physical_id}),
        }
        answer = self._lambda.invoke(FunctionName=self.function, Payload=json.dumps(event))
        payload = json.loads(answer["Payload"].read())
        assert "FunctionError" not in answer, payload
        return payload


@pytest.fixture
def deployed(stack: RealStack, aws: LocalAws, client: Callable[[str], Any]) -> Deployed:
    return Deployed(stack, aws, client)


def test_the_same_event_later_is_the_same_job(deployed: Any) -> None:
    for _ in range(3):
        assert deployed.send("Create")["PhysicalResourceId"] == deployed.arn
    assert deployed.stack.jobs == [deployed.arn]


def test_the_same_event_many_times_at_once_is_one_job(deployed: Any) -> None:
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: deployed.send("Create", trigger="at once"), range(6)))
    assert len({answer["PhysicalResourceId"] for answer in answers}) == 1
    assert len(deployed.stack.jobs) == 2


def test_an_update_that_is_delivered_twice_is_one_job(deployed: Any) -> None:
    answers = [deployed.send("Update", deployed.arn, trigger="2")["PhysicalResourceId"] for _ in range(2)]
    assert answers[0] == answers[1] == deployed.stack.jobs[1]
    assert len(deployed.stack.jobs) == 2


def test_an_update_that_comes_after_its_rollback_is_adopted_too(deployed: Any) -> None:
    other = deployed.send("Update", deployed.arn, trigger="2")["PhysicalResourceId"]
    assert deployed.send("Update", other)["PhysicalResourceId"] == deployed.arn
    assert deployed.send("Update", deployed.arn, trigger="2")["PhysicalResourceId"] == other
    assert len(deployed.stack.jobs) == 2


def test_an_event_of_a_later_library_means_the_same_job(deployed: Any) -> None:
    changed = deployed.send("Update", deployed.arn, ServiceToken="another", SomethingNew={"a": ["b"]}, RoleArn="other")
    assert changed["PhysicalResourceId"] == deployed.arn
    assert deployed.stack.jobs == [deployed.arn]


@pytest.mark.parametrize("physical_id", [None, CREATE_FAILED_MARKER, "invented", "arn:aws:personalize:a:b:c/d"])
def test_a_deletion_succeeds_whatever_its_id_and_calls_nothing(deployed: Any, aws: LocalAws, physical_id: Any) -> None:
    before = len(aws.personalize.calls)
    id = physical_id or deployed.arn
    assert deployed.send("Delete", id) == {"PhysicalResourceId": id}
    assert len(aws.personalize.calls) == before


def test_what_a_healthy_service_is_asked(deployed: Any, aws: LocalAws) -> None:
    calls = aws.personalize.calls
    before = len(calls)
    deployed.send("Create", trigger="2")
    assert calls[before:] == ["DescribeBatchSegmentJob", "DescribeSolutionVersion", "CreateBatchSegmentJob"]
    before = len(calls)
    deployed.send("Create", trigger="2")
    assert calls[before:] == ["DescribeBatchSegmentJob"]


def test_an_answer_that_was_lost_is_asked_for_and_not_billed_again(deployed: Any, aws: LocalAws) -> None:
    aws.faults.inject(Fault("CreateBatchSegmentJob", reset=True, after=True, times=8))
    try:
        answer = deployed.send("Create", trigger="lost")
    finally:
        aws.faults.clear()
    assert answer["PhysicalResourceId"] == deployed.stack.jobs[1]
    assert len(deployed.stack.jobs) == 2


@pytest.mark.parametrize("member", ["solutionVersionArn", "roleArn"])
def test_does_not_adopt_a_foreign_job_of_the_same_name(deployed: Any, aws: LocalAws, member: str) -> None:
    foreign = deployed.send("Create", trigger="2")["PhysicalResourceId"]
    aws.personalize.jobs[foreign].request[member] += "x"
    assert deployed.send("Create", trigger="2")["PhysicalResourceId"] == f"{foreign}-2" == deployed.stack.jobs[2]
    assert deployed.send("Create", trigger="2")["PhysicalResourceId"] == f"{foreign}-2"
    assert len(deployed.stack.jobs) == 3


def test_adopts_a_job_whose_paths_are_described_without_a_slash(deployed: Any, aws: LocalAws) -> None:
    ours = deployed.send("Create", trigger="2")["PhysicalResourceId"]
    request = aws.personalize.jobs[ours].request
    request["jobOutput"]["s3DataDestination"]["path"] = request["jobOutput"]["s3DataDestination"]["path"].rstrip("/")
    request["jobInput"]["s3DataSource"]["path"] = request["jobInput"]["s3DataSource"]["path"].rstrip("/")
    request["filterArn"] = ""
    assert deployed.send("Create", trigger="2")["PhysicalResourceId"] == ours
    assert len(deployed.stack.jobs) == 2


def test_creates_the_job_if_describe_answers_that_the_input_is_invalid(deployed: Any, aws: LocalAws) -> None:
    aws.faults.inject(Fault("DescribeBatchSegmentJob", "InvalidInputException", "The given ARN does not exist."))
    try:
        answer = deployed.send("Create", trigger="2")
    finally:
        aws.faults.clear()
    assert answer["PhysicalResourceId"] == deployed.stack.jobs[1]


def test_names_the_property_that_an_event_lacks(deployed: Any) -> None:
    del deployed.properties["JobNamePrefix"]
    with pytest.raises(AssertionError, match="JobNamePrefix or JobName is missing from the properties of the resource"):
        deployed.send("Create")
