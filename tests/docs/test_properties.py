"""The tables of properties in the reference match the constructors, the limits, and the templates.

The page has each property once. Examples run with the names of the page's set-up.
"""

import ast
import inspect
import re
from collections.abc import Mapping
from typing import Any

import aws_cdk as cdk
import cdk_personalize_segments as library
import pytest
from aws_cdk.assertions import Template
from batch_segment_handler import contract, limits
from cdk_personalize_segments import audience, framework, workflow_arguments
from constructs import Construct

from docs import pages

PAGE = pages.DOCS / "reference.md"
SET_UP = "\n".join(snippet.code for snippet in pages.python(PAGE))
#: An en dash.
_NONE = "\N{EN DASH}"
_ROW = re.compile(r"^\| `(\w+)`<br>`([^`]+)` \| (.+) \| (.+) \| (.+) \| `\1=(.+)` \|$", re.M)
#: The rows of each table, by class and property: type, default, limits, effect of a change, example.
TABLES = {
    name: {row[0]: row[1:] for row in _ROW.findall(table)}
    for name, table in re.findall(r"^### Properties of (\w+)\n\n((?:\|.+\n)+)", PAGE.read_text(), re.M)
}
PROPERTIES = [(name, prop) for name, table in TABLES.items() for prop in table]
EVERY_PROPERTY = pytest.mark.parametrize(("name", "prop"), PROPERTIES)
#: The limits that the code knows, as the page writes them.
LIMITS = {
    "job_input": f"{limits.MAX_RECORDS:,} queries, 1 GB, {limits.MAX_INPUT_FILES:,} files",
    "num_results": f"1 to {limits.MAX_RESULTS:,}",
    "job_name": f"1 to {limits.MAX_JOB_NAME_LENGTH} letters",
    "max_query_errors": f"0 to {limits.MAX_RECORDS:,}",
    "max_concurrency": f"1 to {workflow_arguments.MAX_CONCURRENCY:,}",
    "name": f"1 to {audience.MAX_NAME_LENGTH} letters",
    "identity": "1 to 256 characters",
    "input_prefix": f"the S3 path has at most {limits.MAX_S3_PATH_LENGTH} characters",
    "output_prefix": f"the S3 path has at most {limits.MAX_S3_PATH_LENGTH} characters",
    "database_name": "1 to 255 lowercase letters",
    "table_name": "1 to 255 lowercase letters",
    "tags": f"at most {limits.MAX_TAGS}",
    "timeout": "more than 0, at most 364 days",
    "wait_for_completion": f"more than 0, at most {framework.MAX_WAIT.to_hours():g} hour",
}


def parameters(name: str) -> Mapping[str, inspect.Parameter]:
    """The arguments of a class, without those of every construct."""
    found = inspect.signature(getattr(library, name).__init__).parameters
    return {key: value for key, value in found.items() if key not in ("self", "scope", "id")}


def test_every_construct_has_one_table() -> None:
    classes = {name for name in library.__all__ if inspect.isclass(getattr(library, name))}
    constructs = {name for name in classes if issubclass(getattr(library, name), Construct)}
    assert TABLES.keys() == constructs | {"Audience"}
    assert PAGE.read_text().count("### Properties of ") == len(TABLES)


@pytest.mark.parametrize("name", TABLES)
def test_a_table_has_every_property_in_the_order_of_the_signature(name: str) -> None:
    assert list(TABLES[name]) == list(parameters(name))


@EVERY_PROPERTY
def test_type_and_default_are_those_of_the_signature(name: str, prop: str) -> None:
    type_, default, *_ = TABLES[name][prop]
    parameter = parameters(name)[prop]
    annotation = inspect.formatannotation(parameter.annotation)
    assert type_ == re.sub(r"[\w.]*\.", "", annotation.removesuffix(" | None"))
    assert (default == "required") == (parameter.default is parameter.empty)
    match parameter.default:
        case cdk.Duration():
            assert default == f"{parameter.default.to_human_string()}"
        case str() | int():
            assert ast.literal_eval(default.strip("`")) == parameter.default
        case None:
            # The docstring has the default, except of the two properties of which one is required.
            assert (default == _NONE) == (prop in ("solution_arn", "solution_version_arn"))
        case other if other is not parameter.empty:
            assert default == f"`{other.name}`"


@EVERY_PROPERTY
def test_limits_are_those_of_the_code(name: str, prop: str) -> None:
    written = TABLES[name][prop][2]
    limit = LIMITS.get(prop, "")
    assert limit in written
    assert re.findall(r"\d+", written) == re.findall(r"\d+", limit)


class Place:
    """The names of the set-up, in an app of their own."""

    def __init__(self) -> None:
        self.names: dict[str, Any] = {"sfn": __import__("aws_cdk.aws_stepfunctions").aws_stepfunctions}
        exec(SET_UP, self.names)

    def example(self, name: str, prop: str) -> Any:
        """The value of an example."""
        return eval(TABLES[name][prop][4], self.names)

    def build(self, name: str, props: dict[str, Any]) -> Any:
        """Creates an object, with the required properties and those that the given ones require."""
        values = {**self.required(name, props), **props}
        of = getattr(library, name)
        return of(self.names["stack"], "New", **values) if issubclass(of, Construct) else of(**values)

    def required(self, name: str, props: Mapping[str, Any]) -> dict[str, Any]:
        required = [key for key, parameter in parameters(name).items() if parameter.default is parameter.empty]
        required += {"max_query_errors": ["wait_for_completion"], "identity": ["storage"]}.get(
            next(iter(props), ""), []
        )
        if next(iter(props), "") in ("vpc_subnets", "security_groups"):
            required.append("vpc")
        found = {key: self.example(name, key) for key in required}
        if "solution_version_arn" in parameters(name) and "solution_arn" not in props:
            found["solution_version_arn"] = self.names["version_arn"]
        if "auto_delete_objects" in props:
            found["removal_policy"] = cdk.RemovalPolicy.DESTROY
        return found


@EVERY_PROPERTY
def test_the_example_is_accepted(name: str, prop: str) -> None:
    place = Place()
    if name == "SegmentsTable" or name == "BatchSegmentProvider":
        # The workflow of the set-up creates the stack's provider.
        place.names["stack"] = cdk.Stack(place.names["app"], "Other")
    if name == "SegmentsTable":
        place.names["workflow"] = library.BatchSegmentWorkflow(
            place.names["stack"],
            "Weekly",
            solution_arn=place.names["solution_arn"],
            audiences=[place.names["audience"]],
        )
    place.build(name, {prop: place.example(name, prop)})


OF_JOBS = [(name, prop) for name, prop in PROPERTIES if name in ("BatchSegmentJob", "BatchSegmentStorage")]


@pytest.mark.parametrize(("name", "prop"), OF_JOBS)
def test_a_change_starts_a_new_job_where_the_table_says_so(name: str, prop: str) -> None:
    before, after = identity(name, prop, is_changed=False), identity(name, prop, is_changed=True)
    assert (before != after) == TABLES[name][prop][3].startswith("yes")


def identity(name: str, prop: str, *, is_changed: bool) -> Any:
    """The definition and the name of a job, before or after a property of it or of its storage is changed."""
    place = Place()
    value = place.example(name, prop)
    names, job = place.names, {"solution_version_arn": place.names["version_arn"], "job_input": place.names["comedy"]}
    if name == "BatchSegmentStorage":
        required = place.required(name, {prop: value})
        props = {**required, prop: value} if is_changed else required
        job["storage"] = library.BatchSegmentStorage(names["stack"], "Segments", **props)
    else:
        job |= place.required(name, {prop: value})
        other = {
            "solution_version_arn": f"{names['solution_arn']}/4567cdef",
            "job_input": library.BatchSegmentInput.from_queries([library.SegmentQuery.where(GENRES="Drama")]),
        }
        if is_changed:
            job[prop] = other.get(prop, value)
            if prop == "solution_arn":
                del job["solution_version_arn"]
        elif prop == "solution_arn":
            job["solution_version_arn"] = names["version_arn"]
    library.BatchSegmentJob(names["stack"], "ComedyFans", **job)
    (found,) = Template.from_stack(names["stack"]).find_resources(contract.RESOURCE_TYPE).values()
    properties = found["Properties"]
    return properties[contract.DEFINITION], properties.get("JobName", properties.get("JobNamePrefix"))
