"""The patches reject a MiniStack that they were not written for."""

import importlib.metadata
import types
from typing import Any

import pytest
from personalize_local import patching


def module(function: Any = None) -> types.ModuleType:
    made = types.ModuleType("ministack.services.stepfunctions")
    if function is not None:
        made._stop_execution = function  # type: ignore[attr-defined]
    return made


def test_rejects_another_version(monkeypatch: pytest.MonkeyPatch) -> None:
    patching.check_version()
    monkeypatch.setattr(importlib.metadata, "version", lambda _: "1.6.0")
    with pytest.raises(RuntimeError, match=r"ministack: got 1\.6\.0, expected 1\.5\.33"):
        patching.check_version()


def test_rejects_a_missing_name() -> None:
    with pytest.raises(RuntimeError, match=r"stepfunctions\._stop_execution: expected a function in MiniStack"):
        patching.replace(module(), "_stop_execution", "data", lambda function: function)
    with pytest.raises(RuntimeError, match=r"stepfunctions\._map_runs: expected it in MiniStack"):
        patching.require(module(), "_map_runs")


def test_rejects_other_parameters() -> None:
    def stop(data: Any, cause: Any) -> None:
        """Has one parameter too many."""

    with pytest.raises(RuntimeError, match="got the parameters 'data cause', expected 'data'"):
        patching.replace(module(stop), "_stop_execution", "data", lambda function: function)


def test_a_function_can_be_patched_twice() -> None:
    patched = module(lambda data: [data])
    for _ in range(2):
        patching.replace(patched, "_stop_execution", "data", lambda function: lambda *args: [*function(*args), 1])
    assert patched._stop_execution(0) == [0, 1, 1]
