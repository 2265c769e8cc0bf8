"""The apps in ``examples``."""

import importlib.util
from pathlib import Path
from types import ModuleType

EXAMPLES = Path(__file__).parents[2] / "examples"


def app_of(example: str) -> ModuleType:
    """Returns an example's app.py as a module. Importing it creates no app."""
    spec = importlib.util.spec_from_file_location(f"example_{example}", EXAMPLES / example / "app.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
