"""Checks that MiniStack is as the patches expect it. A patch of another version could be without effect."""

import functools
import importlib.metadata
import inspect
import types
from collections.abc import Callable
from typing import Any

#: The version whose internals are patched.
VERSION = "1.5.33"


def check_version() -> None:
    """Checks the version of MiniStack.

    Raises:
        RuntimeError: It is another one.
    """
    if (installed := importlib.metadata.version("ministack")) != VERSION:
        raise RuntimeError(
            f"ministack: got {installed}, expected {VERSION}; install it: pip install 'cdk-personalize-segments[local]'"
        )


def replace(module: Any, name: str, parameters: str, make: Callable[[Any], Any]) -> None:
    """Replaces a function of MiniStack.

    Args:
        module: The module that has the function.
        name: Its name.
        parameters: The names of its parameters, separated by spaces.
        make: Makes the new function from the original one.

    Raises:
        RuntimeError: There is no such function, or it has other parameters.
    """
    original = getattr(module, name, None)
    if not callable(original):
        raise RuntimeError(f"{module.__name__}.{name}: expected a function in MiniStack {VERSION}")
    found = " ".join(inspect.signature(original).parameters)
    if found != parameters:
        raise RuntimeError(f"{module.__name__}.{name}: got the parameters {found!r}, expected {parameters!r}")
    new = make(original)
    if isinstance(new, types.FunctionType):
        # So that another patch sees the parameters.
        functools.update_wrapper(new, original)
    setattr(module, name, new)


def require(module: Any, *names: str) -> None:
    """Checks that a module of MiniStack has the names that the local AWS uses.

    Raises:
        RuntimeError: A name is missing.
    """
    for name in names:
        if not hasattr(module, name):
            raise RuntimeError(f"{module.__name__}.{name}: expected it in MiniStack {VERSION}")
