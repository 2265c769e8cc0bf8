"""The documentation's Python runs and synthesizes, and its commands exist."""

import argparse
import ast
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from personalize_local import cli
from personalize_local.seeds import SEEDS
from support.constants import ACCOUNT, REGION

from docs import pages

EVERY_PAGE = pytest.mark.parametrize("page", pages.PAGES, ids=lambda page: str(page.relative_to(pages.ROOT)))
WITH_PYTHON = [page for page in pages.PAGES if pages.python(page)]
HOW_TO = [page for page in WITH_PYTHON if page.parent.name == "how-to"]


@pytest.mark.parametrize("page", WITH_PYTHON, ids=lambda page: str(page.relative_to(pages.ROOT)))
def test_the_python_of_a_page_runs_and_synthesizes(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    # The environment within `personalize-local run`.
    for name, resource in SEEDS.items():
        monkeypatch.setenv(name, f"arn:aws:personalize:{REGION}:{ACCOUNT}:{resource}")
    monkeypatch.setenv("CDK_DEFAULT_ACCOUNT", ACCOUNT)
    monkeypatch.setenv("CDK_DEFAULT_REGION", REGION)
    monkeypatch.chdir(tmp_path)
    Path("queries.jsonl").write_text(pages.QUERIES)
    Path("audiences.csv").write_text(pages.AUDIENCES)
    if any("LocalAws" in snippet.code for snippet in pages.python(page)):
        # A process can have only one local AWS.
        command = [sys.executable, pages.__file__, str(page)]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert ran.returncode == 0, ran.stderr
    else:
        assert pages.run(page) == []


@EVERY_PAGE
def test_no_snippet_has_an_unknown_language_or_an_ellipsis(page: Path) -> None:
    known = {"python", "sh", "json", "sql", "text"}
    directives = ("eval-rst", "generated", "glossary", "include", "literalinclude", "toctree")
    known |= {f"{{{directive}}}" for directive in directives}
    assert {snippet.language for snippet in pages.snippets(page)} <= known
    assert [snippet.line for snippet in pages.python(page) if re.search(r"…|^ *\.\.\.$", snippet.code, re.M)] == []


@pytest.mark.parametrize(
    ("name", "content"), [("audiences-in-a-spreadsheet", pages.AUDIENCES), ("input", pages.QUERIES)]
)
def test_a_file_has_the_content_that_its_page_shows(name: str, content: str) -> None:
    assert content in [snippet.code for snippet in pages.snippets(pages.DOCS / "how-to" / f"{name}.md")]


@pytest.mark.parametrize("page", HOW_TO, ids=lambda page: page.stem)
def test_a_how_to_page_starts_with_its_folded_set_up(page: Path) -> None:
    (before, fold) = page.read_text().split(pages.SET_UP)
    assert "```" not in before
    assert pages.set_up(page).code in fold.split("</details>")[0]


@pytest.mark.parametrize("page", HOW_TO, ids=lambda page: page.stem)
def test_a_set_up_defines_only_names_that_its_page_uses(page: Path) -> None:
    nodes = [node for snippet in pages.python(page) for node in ast.walk(ast.parse(snippet.code))]
    names = [node for node in nodes if isinstance(node, ast.Name)]
    imports = [alias for node in nodes if isinstance(node, ast.Import | ast.ImportFrom) for alias in node.names]
    defined = {alias.asname or alias.name for alias in imports}
    set_up = ast.walk(ast.parse(pages.set_up(page).code))
    defined |= {node.id for node in set_up if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    assert defined - {node.id for node in names if isinstance(node.ctx, ast.Load)} == set()


@EVERY_PAGE
def test_every_make_target_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (pages.ROOT / "Makefile").read_text(), re.M))
    named = {target for line in pages.shell(page) for target in re.findall(r"\bmake ([a-z-]+)", line)}
    assert named <= targets


def local_commands(page: Path) -> list[list[str]]:
    """Returns the ``personalize-local`` command lines of a page, including those in ``sh -c``."""
    found, lines = [], pages.shell(page)
    while lines:
        line = lines.pop()
        words = shlex.split(line, comments=True) if "personalize-local" in line else []
        starts = [number for number, word in enumerate(words) if word == "personalize-local"]
        ends = {number for number, word in enumerate(words) if word in ("&&", "||")}
        for start in starts:
            found.append(words[start + 1 : min((end for end in ends if end > start), default=len(words))])
        lines += [word for word in words if "personalize-local " in word]
    return [command for command in found if command]


@EVERY_PAGE
def test_the_local_aws_accepts_every_command(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parser: argparse.ArgumentParser = cli.build_parser()
    for command in local_commands(page):
        parser.parse_args(command)


def test_commands_of_the_local_aws_are_found() -> None:
    found = {command[0] for page in pages.PAGES for command in local_commands(page)}
    assert {"run", "serve", "status", "segments", "check"} <= found


@EVERY_PAGE
def test_every_variable_of_the_local_aws_exists(page: Path) -> None:
    assert set(re.findall(r"PERSONALIZE_LOCAL_[A-Z_]+", page.read_text())) - SEEDS.keys() == set()


def test_every_variable_of_the_local_aws_is_documented() -> None:
    assert SEEDS.keys() - set(re.findall(r"PERSONALIZE_LOCAL_\w+", (pages.DOCS / "local-aws.md").read_text())) == set()
