"""The page on operation names what the code logs, counts and creates."""

import ast
import json
import re
from pathlib import Path

import aws_cdk as cdk
import batch_segment_handler
import pytest
from aws_cdk.assertions import Template
from batch_segment_handler import log
from cdk_personalize_segments import BatchSegmentJob, BatchSegmentWorkflow
from support.templates import add_job, add_workflow

from docs import pages

PAGE = pages.DOCS / "operate.md"
TEXT = PAGE.read_text()
HANDLER = Path(batch_segment_handler.__file__).parent
BOUND = {"decision", log.STACK, log.RESOURCE, log.WORKFLOW, log.AUDIENCE, "job"}


def keys_by_decision() -> dict[str, set[str]]:
    """The keys of the lines that the functions log, by decision; read from the code."""
    found: dict[str, set[str]] = {}
    for module in HANDLER.rglob("*.py"):
        tree = ast.parse(module.read_text())
        for node in ast.walk(tree):
            match node:
                case ast.Call(func=ast.Attribute(value=ast.Name(id="log"), attr="event"), args=[decision]):
                    for text in texts(decision, tree):
                        found.setdefault(text, set()).update(keyword.arg or "" for keyword in node.keywords)
    return found


def texts(node: ast.expr, tree: ast.Module) -> list[str]:
    """The values that an argument can have: of a parameter, its default. Other values are those of other calls."""
    match node:
        case ast.Constant(value=str(text)):
            return [text]
        case ast.IfExp(body=ast.Constant(value=str(text)), orelse=ast.Constant(value=str(other))):
            return [text, other]
        case ast.Name(id=name):
            arguments = [found for found in ast.walk(tree) if isinstance(found, ast.arguments)]
            return [
                default.value
                for found in arguments
                for argument, default in zip(reversed(found.args), reversed(found.defaults), strict=False)
                if argument.arg == name and isinstance(default, ast.Constant) and isinstance(default.value, str)
            ]
    raise AssertionError(f"a decision that this test cannot read: {ast.unparse(node)}")


KEYS = keys_by_decision()
#: Queries of CloudWatch Logs Insights, on each page.
QUERIES = [
    query
    for page in pages.PAGES
    for query in [
        *[found.code for found in pages.snippets(page) if re.match(r"(fields|filter) ", found.code)],
        *re.findall(r"`(fields @timestamp[^`]*)`", page.read_text()),
    ]
]


def rows(heading: str) -> list[list[str]]:
    """The names in backticks in the first cells of the table that follows a heading."""
    table = TEXT.split(heading, 1)[1].split("|---", 1)[1].split("\n\n", 1)[0]
    return [re.findall(r"`([^`]+)`", line.split(" | ")[0]) for line in table.splitlines()[1:]]


def test_lists_every_decision_of_the_log() -> None:
    assert sorted(row[0] for row in rows("<summary>All decisions</summary>")) == sorted(KEYS)


def test_describes_the_keys_of_every_line() -> None:
    described = {name for row in rows("### Lines") for name in row}
    assert described - BOUND - {"_aws"} == {"error", "reason"} <= set().union(*KEYS.values())
    assert described >= BOUND


def test_shows_lines_as_the_functions_write_them() -> None:
    (snippet,) = (found for found in pages.snippets(PAGE) if found.language == "json")
    lines = [json.loads(line) for line in snippet.code.splitlines()]
    assert len(lines) == 2
    for line in lines:
        assert line.keys() <= BOUND | KEYS[line["decision"]]


@pytest.mark.parametrize("query", QUERIES)
def test_queries_the_log_for_keys_and_decisions_that_exist(query: str) -> None:
    names = set(re.findall(r"\b(?:fields|filter|and|by) ([\w@, ]+)", query))
    fields = {field for found in names for field in re.findall(r"@?\w+", found)} - {"in", "by", "bin", "sort"}
    assert fields
    assert fields <= {"@timestamp"} | BOUND | set().union(*KEYS.values())
    decisions = re.search(r"decision (?:=|in) (\[.*?\]|\".*?\")", query)
    assert set(re.findall(r'"(.*?)"', decisions[1]) if decisions else []) <= KEYS.keys()


def test_finds_the_queries() -> None:
    assert len(QUERIES) == 3


@pytest.fixture(scope="module")
def stack() -> cdk.Stack:
    stack = cdk.Stack()
    add_job(stack)
    add_workflow(stack)
    return stack


def test_names_the_log_groups_with_their_settings(stack: cdk.Stack) -> None:
    groups = Template.from_stack(stack).find_resources("AWS::Logs::LogGroup")
    named = [stack.node.find_child(path.split("/")[0]).node.find_child(path.split("/")[1]) for (path,) in log_groups()]
    assert {stack.get_logical_id(group.node.default_child) for group in named} == groups.keys()  # type: ignore[arg-type]
    assert {group["Properties"]["RetentionInDays"] for group in groups.values()} == {90}
    assert {group["DeletionPolicy"] for group in groups.values()} == {"Retain"}


def log_groups() -> list[list[str]]:
    return rows("### Log groups")


def test_suggests_an_alarm_or_a_dashboard_for_every_metric() -> None:
    named = set(re.findall(r"`((?:job|workflow)\.metric_\w+)`", TEXT))
    classes = {"job": BatchSegmentJob, "workflow": BatchSegmentWorkflow}
    assert named == {
        f"{name}.{method}" for name, of in classes.items() for method in dir(of) if method.startswith("metric_")
    }
