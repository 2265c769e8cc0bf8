"""The page with the examples includes each of them."""

import re

import pytest
from support.examples import EXAMPLES

from docs import pages

TEXT = (pages.DOCS / "examples.md").read_text()
FOLDERS = sorted(folder.name for folder in EXAMPLES.iterdir() if folder.is_dir())


def test_the_table_lists_every_example() -> None:
    assert sorted(re.findall(r"^\| \[(\w+)\]\(#\1\) \| [A-Z].+\. \|$", TEXT, re.M)) == FOLDERS


@pytest.mark.parametrize("file", ["README.md", "app.py"])
def test_the_page_includes_every_example(file: str) -> None:
    assert sorted(re.findall(rf"include\}} \.\./examples/(\w+)/{file}$", TEXT, re.M)) == FOLDERS


@pytest.mark.parametrize("name", FOLDERS)
def test_a_read_me_has_the_example_s_name_and_its_command(name: str) -> None:
    text = (EXAMPLES / name / "README.md").read_text()
    assert text.startswith(f"# {name.capitalize()}\n")
    assert re.search(r"^    cdk deploy\b", text, re.M)


@pytest.mark.parametrize("name", FOLDERS)
def test_links_of_a_read_me_lead_to_pages_of_the_documentation(name: str) -> None:
    # The page includes the text, and Sphinx resolves only these.
    links = re.findall(r"\]\(([^)]+)\)", (EXAMPLES / name / "README.md").read_text())
    assert [link for link in links if not link.startswith(("https://", "../../docs/"))] == []
