"""The page on the command line shows what the parsers accept, and no other page has a copy of it."""

import argparse
import html
import re
from pathlib import Path

import generated_text
import pytest
from personalize_local import cli

COMMANDS = dict(generated_text.subcommands(cli.build_parser()))


@pytest.fixture(scope="module")
def page(site: Path) -> str:
    """The text of the page."""
    found = re.search(r"<article.*</article>", (site / "command-line.html").read_text(), re.S)
    assert found is not None
    return html.unescape(re.sub(r"<[^>]+>", "", found[0]))


def test_every_command_has_a_section_with_its_help(page: str) -> None:
    assert {"run", "serve", "check"} <= COMMANDS.keys()
    text = " ".join(page.split())
    for name, command in COMMANDS.items():
        section = text.split(f" {name}¶ ")[1]
        assert section.startswith(f"{command.description} personalize-local {name}")
        for action in command._actions:
            if action.dest != "help":
                expected = " ".join((action.help or "").split()) % vars(action)
                assert expected in section


def test_the_examples_of_a_command_begin_without_blank_lines() -> None:
    text = generated_text.commands()
    assert text.count("```text\n") == 2 * len(COMMANDS)
    assert "```text\n\n" not in text


def test_a_long_usage_has_its_lines_below_each_other() -> None:
    parser = argparse.ArgumentParser("program")
    for number in range(9):
        parser.add_argument(f"--option-{number}", metavar="VALUE")
    lines = generated_text._usage(parser).splitlines()
    assert lines[:2] == ["```text", "program [-h] [--option-0 VALUE] [--option-1 VALUE] [--option-2 VALUE]"]
    assert lines[2].startswith(" " * len("program ") + "[--option-3")


def test_every_context_value_is_on_the_page_with_its_meaning(page: str) -> None:
    text = " ".join(page.split())
    values = generated_text._app()._CONTEXT
    assert "solution_arn" in values
    for name, meaning in values.items():
        assert f" {name} {meaning.partition('; default: ')[0].removeprefix('or ')} " in text


def test_says_which_values_jobs_and_workflows_use() -> None:
    uses = {row[0].strip(" `"): row[-1].strip() for row in table(generated_text.context_values())}
    assert [name for name, use in uses.items() if use == "workflows"] == ["audiences", "schedule", "time_zone"]
    assert uses["queries"] == uses["job_name"] == "jobs"
    assert uses["tags"] == uses["solution_arn"] == "both"


def table(text: str) -> list[list[str]]:
    return [line.strip("|").split(" |") for line in text.splitlines()[2:]]
