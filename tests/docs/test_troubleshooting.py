"""Each error of the page on troubleshooting has an anchor that stays.

`tests/deploy/test_troubleshooting.py` provokes the errors and compares their words.
"""

import re
from pathlib import Path

import generated_text

from docs import pages

TEXT = (pages.DOCS / "troubleshooting.md").read_text()
ANCHORS = re.findall(r"^\(error-(.+)\)=$", TEXT, re.M)
#: Links in tickets and runbooks lead to these anchors, so none may go.
PUBLISHED = [
    "solution-arn",
    "other-region",
    "two-kinds",
    "unknown-key",
    "compressed",
    "prefix-slash",
    "output-in-input",
    "tags",
    "kms-alias",
    "wait-limit",
    "bootstrap",
    "bucket-policy",
    "role",
    "handler-denied",
    "explicit-deny",
    "kms-denied",
    "five-jobs",
    "version-not-found",
    "recipe",
    "no-active-version",
    "filter-not-found",
    "placeholder",
    "queries-per-file",
    "no-object",
    "name-taken",
    "no-time",
    "rolling-back",
    "wait-over",
    "job-failed",
    "query-errors",
]


def test_each_error_has_one_anchor() -> None:
    headings = re.findall(r"^(.*)\n### ", TEXT, re.M)
    assert [f"(error-{anchor})=" for anchor in ANCHORS] == headings
    assert len(set(ANCHORS)) == len(ANCHORS)


def test_anchors_are_short_and_stay() -> None:
    assert set(PUBLISHED) <= set(ANCHORS)
    assert [anchor for anchor in ANCHORS if not re.fullmatch(r"[a-z]+(-[a-z]+){0,2}", anchor)] == []


def test_each_anchor_is_once_in_the_site(site: Path) -> None:
    page = (site / "troubleshooting.html").read_text()
    assert [page.count(f'id="error-{anchor}"') for anchor in ANCHORS] == [1] * len(ANCHORS)


def test_the_table_leads_from_each_message_to_its_section(site: Path) -> None:
    rows = generated_text.errors().splitlines()[2:]
    assert [re.findall(r"\(#error-(.+)\) \|$", row) for row in rows] == [[anchor] for anchor in ANCHORS]
    page = (site / "troubleshooting.html").read_text()
    assert [anchor for anchor in ANCHORS if f'<a class="reference internal" href="#error-{anchor}">' not in page] == []
