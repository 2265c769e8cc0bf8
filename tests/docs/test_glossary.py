"""The glossary is in order, and its entries are short and lead further."""

import re

import pytest
from batch_segment_handler import contract

from docs import pages

(_GLOSSARY,) = (found.code for found in pages.snippets(pages.DOCS / "glossary.md") if found.language == "{glossary}")
ENTRIES = dict(re.findall(r"^(\S.*)\n((?:  .+\n)+)", _GLOSSARY, re.M))


def test_terms_are_in_alphabetical_order() -> None:
    assert len(ENTRIES) == len(re.findall(r"^\S", _GLOSSARY, re.M))
    assert list(ENTRIES) == sorted(ENTRIES, key=str.casefold)


@pytest.mark.parametrize("term", ENTRIES)
def test_an_entry_has_three_sentences_at_most_besides_its_link(term: str) -> None:
    text = re.sub(r" See \[\]\(.+\)\.$", "", " ".join(ENTRIES[term].split()))
    assert len(re.findall(r"\.(?: |$)", text)) in (1, 2, 3)


@pytest.mark.parametrize("term", ENTRIES)
def test_an_entry_has_a_link(term: str) -> None:
    assert re.search(r"\]\(|\{py:|\{term\}", ENTRIES[term])


def test_names_of_the_code_exist() -> None:
    assert f"`{contract.RESOURCE_TYPE}`" in ENTRIES["custom resource"]
    assert f"`{contract.DEFINITION}`" in ENTRIES["definition"]
