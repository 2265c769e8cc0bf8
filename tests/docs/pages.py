"""Reads and runs the code in documentation pages. As a script, it takes a page's path and runs the page's Python."""

import re
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(page for page in DOCS.rglob("*.md") if "_build" not in page.parts)]

#: The start of the folded set-up of a page.
SET_UP = "<details>\n<summary>Set-up</summary>\n"

_FENCE = re.compile(r"^(?P<fence>```+)(?P<language>\S*)(?: .*)?\n(?P<code>.*?)^(?P=fence)$", re.M | re.S)
_INDENTED = re.compile(r"(?<=\n\n)(?: {4}.*\n)+")
_SPAN = re.compile(r"`([^`\n]+)`")
#: The content of ``queries.jsonl`` as a page shows it.
QUERIES = """\
{"itemAttributes": "ITEMS.GENRES = \\"Comedy\\""}
{"itemAttributes": "ITEMS.GENRES = \\"Comedy\\" AND ITEMS.GENRES = \\"Romance\\""}
"""
#: The content of ``audiences.csv`` as a page shows it.
AUDIENCES = """\
name;ITEMS.GENRES;num_results;filter.COUNTRY
comedy-fans;Comedy;100;Japan
comedy-fans;Comedy|Romance;;Japan
drama-fans;Drama;500;Japan|Germany
"""


@dataclass(frozen=True)
class Snippet:
    """A fenced block of code."""

    page: Path
    line: int
    language: str
    code: str


def snippets(page: Path) -> list[Snippet]:
    """Returns the fenced blocks of a page."""
    text = page.read_text()
    return [
        Snippet(page, text.count("\n", 0, found.start()) + 2, found["language"], found["code"])
        for found in _FENCE.finditer(text)
    ]


def python(page: Path) -> list[Snippet]:
    """Returns the Python blocks of a page."""
    return [snippet for snippet in snippets(page) if snippet.language == "python"]


def set_up(page: Path) -> Snippet:
    """Returns the first Python block of a page: imports, app, stack and the names that the other snippets use."""
    return python(page)[0]


def shell(page: Path) -> list[str]:
    """Returns the shell commands of a page: the lines of blocks, and inline code."""
    text = page.read_text()
    blocks = [snippet.code for snippet in snippets(page) if snippet.language in ("sh", "")]
    blocks += _INDENTED.findall(_FENCE.sub("", text))
    lines = [line.strip() for block in blocks for line in block.splitlines()]
    return lines + _SPAN.findall(_FENCE.sub("", text))


def run(page: Path) -> list[str]:
    """Runs a page's Python in one namespace in the current folder, which has the query file, and synthesizes its apps.

    Returns:
        The error of each snippet that failed.
    """
    names: dict[str, Any] = {}
    faults: list[str] = []
    apps: list[Any] = []
    for snippet in python(page):
        try:
            _exec(snippet, names)
        except Exception:
            faults.append(f"{page.relative_to(ROOT)}:{snippet.line}\n{traceback.format_exc(limit=-1)}")
        if "app" in names and names["app"] not in apps:
            apps.append(names["app"])
    for app in apps:
        try:
            app.synth(force=True)
        except Exception:
            faults.append(f"{page.relative_to(ROOT)}: synth\n{traceback.format_exc(limit=-1)}")
    return faults


def _exec(snippet: Snippet, names: dict[str, Any]) -> None:
    # Keep the line numbers of the page, so that an error names the right line.
    code = "\n" * (snippet.line - 1) + snippet.code
    exec(compile(code, str(snippet.page), "exec"), names)


if __name__ == "__main__":
    sys.exit("\n".join(run(Path(sys.argv[1]).resolve())) or None)
