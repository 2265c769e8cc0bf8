"""The settings of Sphinx; `make docs` builds the site."""

import functools
import importlib.metadata
import inspect
from typing import Any

import cdk_personalize_segments

project = "cdk-personalize-segments"
release = importlib.metadata.version(project)
version = release

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
myst_heading_anchors = 3
# The references of other projects would have to be loaded: the build needs no network.
nitpick_ignore_regex = [
    ("py:.*", r"(aws_cdk|constructs|collections\.abc|pathlib|typing)\..+"),
    ("py:.*", r"(ValueError|str|int|bool|bytes|list|dict|RemovalPolicy\.\w+)"),
    # What jobs and their parts tell each other; nobody else gets to see one.
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
napoleon_google_docstring = True
napoleon_numpy_docstring = False
python_maximum_signature_line_length = 120
python_use_unqualified_type_names = True
add_module_names = False
toc_object_entries_show_parents = "hide"

html_theme = "furo"
pygments_dark_style = "github-dark"
html_title = project
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_copyright = False


@functools.cache
def _parameters() -> set[str]:
    """The parameters of everything public: docstrings name them in backticks too."""
    names: set[str] = set()
    for name in cdk_personalize_segments.__all__:
        public = getattr(cdk_personalize_segments, name)
        functions = [public] if inspect.isfunction(public) else vars(public).values()
        for function in functions:
            function = inspect.unwrap(getattr(function, "__func__", function))
            if inspect.isfunction(function):
                names |= inspect.signature(function).parameters.keys()
    return names


def _parameter(_app: Any, _env: Any, node: Any, content: Any) -> Any:
    """What stands in place of a reference to a parameter: its name."""
    is_name = node.get("reftype") == "obj" and node.get("reftarget") in _parameters()
    return content if is_name else None


def _property(*what_and_lines: Any) -> None:
    """Keeps napoleon from taking the words before a colon for an attribute's type."""
    _app, what, _name, _object, _options, lines = what_and_lines
    if what in ("attribute", "property"):
        # An empty comment, which has no colon.
        lines[:0] = ["..", ""]


def setup(app: Any) -> None:
    """Called by Sphinx."""
    # Before napoleon, whose priority is 500.
    app.connect("autodoc-process-docstring", _property, priority=400)
    app.connect("missing-reference", _parameter)
