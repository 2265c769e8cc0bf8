"""The pictures of the README and the documentation are readable in light and dark mode and on phones, and used."""

import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

ROOT = Path(__file__).parents[2]
PICTURES = sorted((ROOT / "docs" / "pictures").glob("*.svg"))
_SVG = "{http://www.w3.org/2000/svg}"
_PHONE = 390


@pytest.mark.parametrize("picture", PICTURES, ids=lambda picture: picture.stem)
def test_a_picture_has_a_title_and_dark_style_and_loads_nothing(picture: Path) -> None:
    text = picture.read_text()
    title = ET.fromstring(text).find(f"{_SVG}title")
    assert title is not None
    assert title.text
    assert "prefers-color-scheme: dark" in text
    assert re.findall(r"<script|<image|@import|@font-face|href=|url\((?!#)", text) == []


@pytest.mark.parametrize("picture", PICTURES, ids=lambda picture: picture.stem)
def test_the_text_of_a_picture_is_readable_on_a_phone(picture: Path) -> None:
    text = picture.read_text()
    width = int(ET.fromstring(text).attrib["viewBox"].split()[2])
    sizes = [int(size) for size in re.findall(r"font-size[=:] *\"?(\d+)", text)]
    assert min(sizes) * _PHONE / width > 10


@pytest.mark.parametrize("picture", PICTURES, ids=lambda picture: picture.stem)
def test_a_page_shows_the_picture_with_a_text(picture: Path) -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    texts = re.findall(rf"!\[([^\]]*)\]\([^)]*pictures/{picture.name}\)", "".join(page.read_text() for page in pages))
    assert [len(text) > 30 for text in texts] == [True]
