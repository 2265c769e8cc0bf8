"""Parts of the documentation that are generated from the code when the site is built, as Markdown.

The directive ``generated`` of ``docs/conf.py`` puts them into pages.
"""

import argparse
import importlib.util
import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from unittest import mock

from personalize_local import cli

_ROOT = Path(__file__).parents[1]
_USAGE_COLUMNS = "88"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(_cell(cell) for cell in line)} |\n" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", r"\|")


def context_values() -> str:
    """Returns the context values of app.py as a table."""
    app = _app()
    rows = []
    for name, meaning in app._CONTEXT.items():
        meaning, _, default = meaning.partition("; default: ")
        rows.append([f"`{name}`", meaning.removeprefix("or "), default, _use(app, name)])
    return _table(["value", "description", "default", "used by"], rows)


def _app() -> ModuleType:
    spec = importlib.util.spec_from_file_location("ready_made_app", _ROOT / "app.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _use(app: ModuleType, name: str) -> str:
    if name in (*app._OF_JOBS, "queries", "input"):
        return "jobs"
    return "workflows" if name in (*app._OF_WORKFLOWS, "audiences") else "both"


def commands() -> str:
    """Returns a section for each command of ``personalize-local``."""
    parser = cli.build_parser()
    text = ""
    for name, command in subcommands(parser):
        # Sphinx turns the hyphens of an option into a dash, except in code.
        sentence = re.sub(r"--[a-z]+", r"`\g<0>`", command.description or "")
        text += f"### {name}\n\n{sentence}\n\n{_usage(command)}\n{_arguments(command)}\n"
        if command.epilog:
            text += f"```text\n{command.epilog.strip()}\n```\n\n"
    return text


def subcommands(parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """The commands of a parser, by name."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            yield from action.choices.items()


def _usage(parser: argparse.ArgumentParser) -> str:
    with mock.patch.dict(os.environ, COLUMNS=_USAGE_COLUMNS):
        usage = parser.format_usage().removeprefix("usage: ").rstrip()
    # The lines of a long usage are indented below the first one and its prefix.
    return "```text\n" + usage.replace("\n" + " " * len("usage: "), "\n") + "\n```\n"


def _arguments(parser: argparse.ArgumentParser) -> str:
    rows = []
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction | argparse._HelpAction | argparse._VersionAction):
            continue
        value = action.metavar if isinstance(action.metavar, str) else action.dest.upper()
        names = [f"{name} {value}" if action.nargs != 0 else name for name in action.option_strings] or [value]
        rows.append([", ".join(f"`{name}`" for name in names), (action.help or "") % vars(action)])
    return _table(["argument", "description"], rows) if rows else ""


def errors() -> str:
    """Returns a table that leads from the words of each error to its section of the page on troubleshooting."""
    page = (_ROOT / "docs" / "troubleshooting.md").read_text()
    rows = []
    for anchor, title, block in re.findall(r"^\((error-.+)\)=\n### (.+)\n\n((?: {4}.+\n)+)", page, re.M):
        words = " … ".join(f"`{line.strip()}`" for line in block.splitlines())
        rows.append([words, f"[{title}](#{anchor})"])
    return _table(["message", "section"], rows)


#: The generators, by the argument of the directive.
GENERATORS: dict[str, Callable[[], str]] = {
    "context-values": context_values,
    "commands": commands,
    "errors": errors,
}
