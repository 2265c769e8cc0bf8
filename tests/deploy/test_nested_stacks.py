"""A job in a nested stack: created, kept, updated, rolled back and deleted with its parent."""

from collections.abc import Callable
from typing import Any

import aws_cdk as cdk
import aws_cdk.aws_sqs as sqs
import pytest
from personalize_local.gateway import LocalAws
from support.constants import CREATED, DELETED, NOT_CREATED, ROLLED_BACK, UPDATED
from support.local import Clients, seeded_arn
from support.stacks import Build, RealStack, add_failing_resource
from support.templates import add_job


class Platform(cdk.NestedStack):
    """A nested stack with a job."""

    def __init__(self, scope: cdk.Stack, id: str, version: str, **props: Any) -> None:
        super().__init__(scope, id)
        self.job = add_job(self, solution_version_arn=version, **props)
        # CDK turns attributes that the parent reads into outputs of the child.
        cdk.CfnOutput(scope, "Segments", value=self.job.output_uri)


#: The physical ID and the status of each resource, by logical ID.
Resources = dict[str, tuple[str, str]]
ResourcesOf = Callable[[], Resources]


@pytest.fixture
def build(aws: LocalAws) -> Callable[..., Build]:
    """Creates builders of parents of the nested stack. `more` adds resources to the child."""

    def build(more: Callable[[Platform], None] | None = None, **props: Any) -> Build:
        version = seeded_arn(aws, "ITEM_AFFINITY_VERSION")

        def build(scope: cdk.Stack) -> None:
            platform = Platform(scope, "Platform", version, **props)
            if more is not None:
                more(platform)

        return build

    return build


@pytest.fixture
def resources_of(stack: RealStack, client: Clients) -> ResourcesOf:
    """Returns the physical ID and the status of each resource of the child."""
    cloudformation = client("cloudformation")

    def resources_of() -> Resources:
        (child,) = stack.resources_of("AWS::CloudFormation::Stack")
        found = cloudformation.list_stack_resources(StackName=child)["StackResourceSummaries"]
        return {one["LogicalResourceId"]: (one["PhysicalResourceId"], one["ResourceStatus"]) for one in found}

    return resources_of


def job_of(resources: Resources) -> str:
    """Returns the ARN of the child's job."""
    (arn,) = [id for id, _ in resources.values() if ":batch-segment-job/" in id]
    return arn


def test_passes_the_output_of_a_nested_job_to_the_parent(
    stack: RealStack, build: Callable[..., Build], resources_of: ResourcesOf
) -> None:
    done = stack.deploy(build())
    assert done.status == CREATED, done.said
    (arn,) = stack.jobs
    assert job_of(resources_of()) == arn
    (segments,) = done.outputs.values()
    assert segments.endswith(f"/{arn.rpartition('/')[2]}/")


def test_keeps_an_unchanged_nested_stack(
    stack: RealStack, build: Callable[..., Build], resources_of: ResourcesOf
) -> None:
    assert stack.deploy(build()).status == CREATED
    before = resources_of()

    def with_a_queue_beside(scope: cdk.Stack) -> None:
        build()(scope)
        sqs.Queue(scope, "Queue")

    done = stack.deploy(with_a_queue_beside)
    assert done.status == UPDATED, done.said
    assert resources_of() == before
    assert len(stack.jobs) == 1


def test_updates_only_the_job_when_its_number_of_results_changes(
    stack: RealStack, build: Callable[..., Build], resources_of: ResourcesOf
) -> None:
    assert stack.deploy(build()).status == CREATED
    before = resources_of()
    done = stack.deploy(build(num_results=7))
    assert done.status == UPDATED, done.said
    after = resources_of()
    first, second = stack.jobs
    assert (job_of(before), job_of(after)) == (first, second)
    assert {name for name in before if before[name][0] != after[name][0]} == {
        name for name, (id, _) in before.items() if id == first
    }
    assert set(done.outputs.values()) != set()
    assert all(second.rpartition("/")[2] in output for output in done.outputs.values())


def test_a_tag_in_a_nested_stack_starts_nothing(stack: RealStack, build: Callable[..., Build], aws: LocalAws) -> None:
    assert stack.deploy(build()).status == CREATED
    done = stack.deploy(build(tags={"team": "growth"}))
    assert done.status == UPDATED, done.said
    (arn,) = stack.jobs
    assert aws.personalize.jobs[arn].tags == {"team": "growth"}


def test_rolls_back_when_a_sibling_of_the_nested_stack_fails(
    stack: RealStack, build: Callable[..., Build], resources_of: ResourcesOf
) -> None:
    assert stack.deploy(build()).status == CREATED
    before = {name: id for name, (id, _) in resources_of().items()}

    def with_a_sibling_that_fails(scope: cdk.Stack) -> None:
        build(num_results=7)(scope)
        add_failing_resource(scope, scope.node.find_child("Platform"))

    done = stack.deploy(with_a_sibling_that_fails)
    assert done.status == ROLLED_BACK, done.said
    assert {name: id for name, (id, _) in resources_of().items()} == before
    assert len(stack.jobs) == 2
    again = stack.deploy(build(num_results=7))
    assert again.status == UPDATED, again.said
    assert len(stack.jobs) == 2
    assert job_of(resources_of()) == stack.jobs[1]


def test_rolls_back_when_a_sibling_in_the_nested_stack_fails(
    stack: RealStack,
    build: Callable[..., Build],
    resources_of: ResourcesOf,
    client: Clients,
) -> None:
    assert stack.deploy(build()).status == CREATED
    before = {name: id for name, (id, _) in resources_of().items()}
    done = stack.deploy(build(lambda platform: add_failing_resource(platform, platform.job), num_results=7))
    assert done.status == ROLLED_BACK
    assert "was not successfully updated. Currently in UPDATE_ROLLBACK_COMPLETE with reason: The following" in done.said
    assert "failed to create: [Fails]." in done.said
    assert {name: id for name, (id, _) in resources_of().items()} == before
    (child,) = stack.resources_of("AWS::CloudFormation::Stack")
    (described,) = client("cloudformation").describe_stacks(StackName=child)["Stacks"]
    assert described["StackStatus"] == ROLLED_BACK
    assert len(stack.jobs) == 2
    assert stack.deploy(build()).status == ROLLED_BACK
    assert stack.deploy(build(num_results=7)).status == UPDATED
    assert len(stack.jobs) == 2


def test_a_failed_new_nested_stack_leaves_no_function(
    stack: RealStack, build: Callable[..., Build], client: Clients
) -> None:
    done = stack.deploy(build(lambda platform: add_failing_resource(platform, platform.job)))
    assert done.status == NOT_CREATED
    assert "was not successfully created: The following resource(s) failed to create: [Fails]." in done.said
    assert len(stack.jobs) == 1
    functions = client("lambda").get_paginator("list_functions").paginate()
    assert [f for page in functions for f in page["Functions"] if stack.name in f["FunctionName"]] == []


def test_deletes_removed_resources_after_the_parents_update(
    stack: RealStack,
    build: Callable[..., Build],
    resources_of: ResourcesOf,
    client: Clients,
) -> None:
    def with_a_queue(platform: Platform) -> None:
        sqs.Queue(platform, "Queue")

    assert stack.deploy(build(with_a_queue)).status == CREATED
    (url,) = [id for name, (id, _) in resources_of().items() if name.startswith("Queue")]
    queues = client("sqs")

    def without_and_a_sibling_that_fails(scope: cdk.Stack) -> None:
        build()(scope)
        add_failing_resource(scope, scope.node.find_child("Platform"))

    assert stack.deploy(without_and_a_sibling_that_fails).status == ROLLED_BACK
    assert queues.get_queue_attributes(QueueUrl=url)["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert stack.deploy(build()).status == UPDATED
    with pytest.raises(queues.exceptions.QueueDoesNotExist):
        queues.get_queue_attributes(QueueUrl=url)
    assert len(stack.jobs) == 1


def test_deletes_the_nested_stack_and_keeps_the_job(
    stack: RealStack, build: Callable[..., Build], client: Clients
) -> None:
    assert stack.deploy(build()).status == CREATED
    (child,) = stack.resources_of("AWS::CloudFormation::Stack")
    assert stack.destroy().status == DELETED
    (described,) = client("cloudformation").describe_stacks(StackName=child)["Stacks"]
    assert described["StackStatus"] == DELETED
    assert len(stack.jobs) == 1
