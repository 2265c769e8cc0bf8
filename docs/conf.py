"""Configuration of Sphinx. `make docs` builds the site."""

import functools
import html
import importlib.metadata
import inspect
import sys
import textwrap
from pathlib import Path
from typing import Any

import cdk_personalize_segments
from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.docutils import SphinxDirective

sys.path.insert(0, str(Path(__file__).parents[1] / "tools"))
import generated_text

project = "cdk-personalize-segments"
release = importlib.metadata.version(project)
version = release

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinx_design",
]
exclude_patterns = ["_build"]
templates_path = ["_templates"]
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
# The build uses no network, so references to other projects cannot be resolved.
nitpick_ignore_regex = [
    ("py:.*", r"(aws_cdk|constructs|collections\.abc|pathlib|typing)\..+"),
    ("py:.*", r"(ValueError|str|int|bool|bytes|list|dict|RemovalPolicy\.\w+)"),
    # Internal types in the signatures of documented classes.
    (
        "py:.*",
        r"(.+\.)?(BucketInfo|ExistingInput|StagedInput|QueryFileError|RuleTarget)",
    ),
]

default_role = "py:obj"
autodoc_class_signature = "separated"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
# jsii's `__new__` takes any arguments. `__init__` has the real ones.
autodoc_default_options = {"exclude-members": "__new__"}
napoleon_google_docstring = True
napoleon_numpy_docstring = False
python_maximum_signature_line_length = 120
python_use_unqualified_type_names = True
add_module_names = False
toc_object_entries_show_parents = "hide"

html_theme = "furo"
pygments_dark_style = "github-dark"
html_title = f"{project} {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_js_files = [("accessibility.js", {"defer": "defer"})]
html_copy_source = False
html_show_copyright = False


class _Generated(SphinxDirective):
    """Puts Markdown that is generated from the code into a page."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Returns the nodes of the text that the argument names."""
        text = generated_text.GENERATORS[self.arguments[0]]()
        return self.parse_text_to_nodes(text, allow_section_headings=True)


@functools.cache
def _parameters() -> set[str]:
    """Returns the names of all parameters of the public API."""
    names: set[str] = set()
    for name in cdk_personalize_segments.__all__:
        public = getattr(cdk_personalize_segments, name)
        functions = [public] if inspect.isfunction(public) else vars(public).values()
        for function in functions:
            function = inspect.unwrap(getattr(function, "__func__", function))
            if inspect.isfunction(function):
                names |= inspect.signature(function).parameters.keys()
    return names


def _parameter(
    _app: Sphinx,
    _env: BuildEnvironment,
    node: addnodes.pending_xref,
    content: nodes.TextElement,
) -> nodes.TextElement | None:
    """Renders a parameter in backticks as its name.

    Single backticks in docstrings are references, and a parameter has no target.
    """
    is_name = node.get("reftype") == "obj" and node.get("reftarget") in _parameters()
    return content if is_name else None


def _property(
    _app: Sphinx, what: str, _name: str, _object: Any, _options: Any, lines: list[str]
) -> None:
    """Keeps napoleon from reading the words before a colon as an attribute's type."""
    if what in ("attribute", "property"):
        # An empty comment, which has no colon.
        lines[:0] = ["..", ""]


def _index_keywords(app: Sphinx, doctree: nodes.document) -> None:
    """Makes the search rank a page first for the `keywords` of its front matter."""
    keywords = app.env.metadata[app.env.docname].get("keywords", "")
    entries = [
        ("single", word.strip(), "", "main", None)
        for word in keywords.split(",")
        if word.strip()
    ]
    doctree.append(addnodes.index(entries=entries))


def _describe(
    app: Sphinx,
    page: str,
    _template: str,
    context: dict[str, Any],
    doctree: nodes.document | None,
) -> None:
    """Adds the description and Open Graph metadata to a page.

    The description is that of the front matter, or else the first full sentences.
    """
    if doctree is None:
        return
    paragraphs = [found.astext() for found in doctree.findall(nodes.paragraph)]
    first = next((text for text in paragraphs if text.endswith((".", ":"))), project)
    description = app.env.metadata[page].get("description", first)
    description = textwrap.shorten(description, 200, placeholder=" …")
    for attribute, name, content in (
        ("name", "description", description),
        ("property", "og:title", app.env.titles[page].astext()),
        ("property", "og:description", description),
        ("property", "og:type", "website" if page == "index" else "article"),
        ("property", "og:site_name", project),
    ):
        content = html.escape(content)
        context["metatags"] += f'<meta {attribute}="{name}" content="{content}" />\n'


def setup(app: Sphinx) -> None:
    """Connects the functions above. Sphinx calls it."""
    # Before napoleon, whose priority is 500.
    app.connect("autodoc-process-docstring", _property, priority=400)
    app.add_directive("generated", _Generated)
    app.connect("missing-reference", _parameter)
    app.connect("doctree-read", _index_keywords)
    app.connect("html-page-context", _describe)
