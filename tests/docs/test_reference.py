"""The site builds without warnings, and every public name has a docstring and an entry in the reference."""

import ast
import inspect
import re
import textwrap
import zlib
from collections.abc import Iterator
from pathlib import Path

import cdk_personalize_segments
from sphinx.pycode import ModuleAnalyzer

from docs import pages

PACKAGE = cdk_personalize_segments.__name__


def public_names() -> Iterator[tuple[str, str]]:
    """Yields every public name, qualified as in users' code, and its documentation."""
    for name in cdk_personalize_segments.__all__:
        public = getattr(cdk_personalize_segments, name)
        yield f"{PACKAGE}.{name}", inspect.getdoc(public) or ""
        if inspect.isclass(public):
            bases = [base for base in public.__mro__ if base.__module__.startswith(PACKAGE)] or [public]
            comments = {name: text for base in reversed(bases) for name, text in comments_of(base).items()}
            for member in dict.fromkeys(member for base in bases for member in members_of(base)):
                described = inspect.getdoc(getattr(public, member)) if hasattr(public, member) else ""
                documented = comments.get(member) or described or ""
                # Members that only the library's own classes use are not part of the contract.
                if ":meta private:" not in documented:
                    yield f"{PACKAGE}.{name}.{member}", documented


def members_of(of: type) -> list[str]:
    """Returns the public members that a class itself defines, in its body or by assignments in its methods."""
    names = [*vars(of), *inspect.get_annotations(of)]
    for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(of)))):
        match node:
            case ast.Attribute(value=ast.Name(id="self"), attr=name, ctx=ast.Store()):
                names.append(name)
    return [name for name in dict.fromkeys(names) if not name.startswith("_") and name not in vars(object)]


def comments_of(of: type) -> dict[str, str]:
    """Returns the documentation of a class's attributes, from ``#:`` comments and the docstring's section."""
    analyzed = ModuleAnalyzer.for_module(of.__module__).find_attr_docs()
    comments = {name: "\n".join(lines) for (owner, name), lines in analyzed.items() if owner == of.__name__}
    _, section, attributes = (inspect.getdoc(of) or "").partition("Attributes:\n")
    lines = attributes.splitlines() if section else []
    return comments | {name.strip(): text for name, colon, text in (line.partition(":") for line in lines) if colon}


def test_every_public_name_has_a_docstring() -> None:
    assert [name for name, documented in public_names() if not documented.strip()] == []


def test_every_public_name_is_in_the_reference(site: Path) -> None:
    inventory = (site / "objects.inv").read_bytes().split(b"\n", 4)[4]
    listed = {line.split(" ")[0] for line in zlib.decompress(inventory).decode().splitlines()}
    names = {name for name, _ in public_names()}
    assert names - listed == set()
    assert "cdk_personalize_segments.BatchSegmentJob.storage" in names
    assert "cdk_personalize_segments.Segment.user_ids" in names


def test_every_page_is_in_the_site(site: Path) -> None:
    made = {
        page.relative_to(pages.DOCS).with_suffix(".html") for page in pages.PAGES if page.is_relative_to(pages.DOCS)
    }
    assert {page for page in made if not (site / page).is_file()} == set()


def test_every_public_class_and_method_has_an_example_in_python() -> None:
    without = [
        name
        for name, documented in public_names()
        if callable(public(name)) and not any(shows(code, name) for code in examples(documented))
    ]
    assert without == []


def examples(documented: str) -> list[str]:
    """The code that follows "For example" in a docstring: in its line, or in a block."""
    in_line = re.findall(r"[Ff]or\s+example[^.]*?\s``([^`]+)``", documented)
    blocks = re.findall(r"[Ff]or\s+example[^.]*?::\n\n((?: +.+\n?|\n)+)", documented)
    return [*(" ".join(code.split()) for code in in_line), *(textwrap.dedent(block) for block in blocks)]


def shows(code: str, name: str) -> bool:
    """Whether code calls a class or method."""
    calls = [node.func for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Call)]
    called = {part for call in calls for part in ast.unparse(call).split(".")}
    return name.rpartition(".")[2] in called


def public(name: str) -> object:
    """The public object of a qualified name; None for an attribute of instances only."""
    found: object = cdk_personalize_segments
    for part in name.removeprefix(f"{PACKAGE}.").split("."):
        found = getattr(found, part, None)
    return found
