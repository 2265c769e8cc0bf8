"""The site's changelog is that of the repository, and its links lead to pages."""

import re
from pathlib import Path

from docs import pages

CHANGELOG = (pages.ROOT / "CHANGELOG.md").read_text()


def test_the_site_has_every_heading_of_the_changelog(site: Path) -> None:
    page = (site / "changelog.html").read_text()
    shown = re.findall(r"<h[1-3]>([^<]+)<", page)
    headings = [heading.strip("[]") for heading in re.findall(r"^#+ (.+)$", CHANGELOG, re.M)]
    assert {"Changelog", "Unreleased"} <= set(headings)
    assert [heading.strip("[]") for heading in shown] == headings


def test_links_of_the_changelog_lead_to_pages_of_the_site(site: Path) -> None:
    linked = re.findall(r"\]\(docs/([\w/-]+)\.md\)", CHANGELOG)
    assert linked
    page = (site / "changelog.html").read_text()
    assert [name for name in linked if f'<a class="reference internal" href="{name}.html">' not in page] == []
    assert [name for name in linked if not (site / f"{name}.html").is_file()] == []
