"""The name patterns of a stack match no job name of another stack."""

from fnmatch import fnmatchcase
from typing import Any

import aws_cdk as cdk
import pytest
from batch_segment_handler.contract import RESOURCE_TYPE
from cdk_personalize_segments import BatchSegmentInput, BatchSegmentJob, BatchSegmentStorage, SegmentQuery
from cdk_personalize_segments.naming import StackNames, looks_derived
from constructs import Construct
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from support.constants import ACCOUNT, REGION
from support.templates import ENVIRONMENT, add_job, job_properties, only_resource, policy_statements, resources

#: A stack's name, its path, and its account and region (empty if unknown).
PlacedStack = tuple[str, str, tuple[str, str]]
# Few characters and short texts, so that similar names are frequent.
STACK_NAMES = st.from_regex(r"[ab][ab0-9-]{0,14}", fullmatch=True)
PATHS = st.from_regex(r"(/[ab]{1,3}){0,2}", fullmatch=True)
PLACES = st.tuples(st.sampled_from(["", "111111111111", "222222222222"]), st.sampled_from(["", REGION, "us-east-1"]))
STACKS = st.tuples(STACK_NAMES, PATHS, PLACES)
IDENTITIES = st.from_regex(r"[ab][ab0-9/-]{0,20}", fullmatch=True)
HASH = "0123456789ab"


def names(stack: PlacedStack) -> StackNames:
    stack_name, path, place = stack
    return StackNames.derive(stack_name, path, *filter(None, place))


@settings(max_examples=500, derandomize=True)
@given(STACKS, STACKS, IDENTITIES, st.sampled_from(["", "-2", "-99"]))
@example(("a", "", ("", "")), ("a-b", "", ("", "")), "b", "")
@example(("a", "/b", ("", "")), ("a", "", ("", "")), "b", "")
@example(("a", "", ("", "")), ("a", "", ("111111111111", "")), "b", "")
def test_no_pattern_of_a_stack_matches_a_name_of_another(
    one_stack: PlacedStack, other_stack: PlacedStack, identity: str, attempt: str
) -> None:
    assume(one_stack != other_stack)
    name = f"{names(other_stack).job_prefix(identity)}-{HASH}{attempt}"
    assert len(name) <= 63
    assert looks_derived(name)
    assert not fnmatchcase(name, names(one_stack).pattern)
    assert fnmatchcase(name, names(other_stack).pattern)
    assert names(one_stack).extension != names(other_stack).extension


@settings(max_examples=300, derandomize=True)
@given(STACKS, IDENTITIES, IDENTITIES)
def test_no_pattern_of_a_job_matches_a_name_of_another_job(
    stack: PlacedStack, identity: str, other_identity: str
) -> None:
    assume(identity != other_identity)
    name = f"{names(stack).job_prefix(other_identity)}-{HASH}"
    assert not fnmatchcase(name, f"{names(stack).job_prefix(identity)}-*")


def prefix(stack: cdk.Stack) -> str:
    return str(only_resource(stack, RESOURCE_TYPE)["JobNamePrefix"])


def test_stacks_of_one_path_with_other_names_share_nothing() -> None:
    found = []
    for stack_name in ("segments-dev", "segments-prod"):
        stack = cdk.Stack(cdk.App(), "Segments", env=ENVIRONMENT, stack_name=stack_name)
        add_job(stack).on_segments_written("Written")
        policy = policy_statements(stack, "HandlerPolicy")[0]["Resource"]
        rule = only_resource(stack, "AWS::Events::Rule")["EventPattern"]["detail"]["object"]["key"][0]["wildcard"]
        found.append((prefix(stack), policy[0], rule))
    dev, prod = found
    assert all(one_value != other_value for one_value, other_value in zip(dev, prod, strict=True))
    assert not fnmatchcase(f"x/{prod[0]}-{HASH}", f"*{dev[1].rpartition('/')[2]}")


def test_names_depend_on_account_and_region_if_known() -> None:
    environments = [None, ENVIRONMENT, cdk.Environment(account=ACCOUNT, region="us-east-1")]
    prefixes = []
    for environment in environments:
        stack = cdk.Stack(cdk.App(), "Demo", env=environment)
        version = cdk.CfnParameter(stack, "Version").value_as_string
        BatchSegmentJob(
            stack,
            "Job",
            solution_version_arn=version,
            job_input=BatchSegmentInput.from_queries([SegmentQuery.items_like("1")]),
        )
        prefixes.append(prefix(stack))
    assert len(set(prefixes)) == 3


def test_nested_stacks_and_stages_have_names_of_their_own(app: cdk.App) -> None:
    stack = cdk.Stack(app, "Demo", env=ENVIRONMENT)
    nested = [cdk.NestedStack(stack, id) for id in ("A", "B")]
    stage = cdk.Stage(app, "Prod", env=ENVIRONMENT)
    stacks = [stack, *nested, cdk.Stack(stage, "Demo")]
    assert len({StackNames.of(one_stack).prefix for one_stack in stacks}) == 4
    assert StackNames.of(nested[0]).root_stack_name == "Demo"


def test_an_identity_keeps_the_name_of_a_moved_job() -> None:
    found = []
    for path in ("ComedyFans", "Audiences/Comedy"):
        stack = cdk.Stack(cdk.App(), "Demo", env=ENVIRONMENT)
        *parents, id = path.split("/")
        scope: Construct = stack
        for parent in parents:
            scope = Construct(scope, parent)
        add_job(scope, id, storage=BatchSegmentStorage(stack, "Storage"), identity="comedy-fans")
        found.append((prefix(stack), job_properties(stack)["OutputPath"]))
    assert found[0] == found[1]
    assert found[0][0].startswith("Demo-f959b00b-comedyfans-")


def test_rejects_an_identity_that_another_job_has(stack: cdk.Stack) -> None:
    storage = BatchSegmentStorage(stack, "Storage")
    add_job(stack, identity="comedy", storage=storage)
    with pytest.raises(
        ValueError, match=r"^identity: got 'comedy', which another job of the stack has, expected a diff"
    ):
        add_job(stack, "Other", identity="comedy", storage=storage)


@pytest.mark.parametrize(
    ("props", "message"),
    [
        ({"identity": ""}, "identity: got '', expected 1 to 256 printable characters, known at synth time"),
        ({"identity": "a\n"}, r"identity: got 'a\n', expected 1 to 256 printable characters, known at synth time"),
        (
            {"identity": "a", "job_name": "b"},
            "identity: got 'a' with job_name 'b', expected only one: an explicit name is not derived",
        ),
        (
            {"identity": "a"},
            "identity: got 'a' without storage, expected both: create a BatchSegmentStorage outside of the job, and "
            "do not move it with the job",
        ),
        (
            {"job_name": "Demo-0123abcd-Job"},
            "job_name: got 'Demo-0123abcd-Job', which looks like a derived name, expected a name whose second "
            "part is not 8 hexadecimal digits (write a date as 2026-11-25): the permissions of another stack could "
            "cover the name",
        ),
    ],
)
def test_rejects_bad_identities_and_names(stack: cdk.Stack, props: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=":") as failed:
        add_job(stack, **props)
    assert str(failed.value) == message


def test_edited_queries_change_no_policy() -> None:
    templates = []
    for year in ("1998", "1999"):
        stack = cdk.Stack(cdk.App(), "Demo", env=ENVIRONMENT)
        add_job(stack, job_input=BatchSegmentInput.from_queries([SegmentQuery.where(YEAR=year)]))
        templates.append({type: resources(stack, type) for type in ("AWS::IAM::Policy", "AWS::IAM::Role")})
        properties = only_resource(stack, RESOURCE_TYPE)
        assert f'ITEMS.YEAR = "{year}"' in properties["Queries"]
        assert "InputHash" in properties["NewJobIfChanged"]
    assert templates[0] == templates[1]
