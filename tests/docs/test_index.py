"""Every page is one or two clicks from the first page: in a card, and in a table of contents."""

import re

from docs import pages

INDEX = (pages.DOCS / "index.md").read_text()
HOW_TO = (pages.DOCS / "how-to" / "index.md").read_text()
NAMES = {page.relative_to(pages.DOCS).with_suffix("").as_posix() for page in pages.PAGES if pages.DOCS in page.parents}
#: The pages that are reached from the index of decisions.
DECISIONS = {name for name in NAMES if name.startswith("decisions/0")}


def test_every_page_is_in_one_table_of_contents() -> None:
    entries = [name for block in re.findall(r"```\{toctree\}\n(.+?)```", INDEX, re.S) for name in block.split("\n")]
    listed = [name for name in entries if name and not name.startswith(":")]
    assert sorted(listed) == sorted(NAMES - {"index"} - DECISIONS)


def test_every_page_is_in_a_card_or_in_the_list_of_how_to_pages() -> None:
    cards = set(re.findall(r"\]\(([\w/-]+)\.md[)#]", INDEX))
    how_to = {f"how-to/{name}" for name in re.findall(r"\]\(([\w-]+)\.md[)#]", HOW_TO)}
    assert NAMES - {"index"} - DECISIONS - cards - how_to == set()
