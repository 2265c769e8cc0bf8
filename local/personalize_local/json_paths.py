"""JSONPath of state machines: a path that leads nowhere fails the execution, as in AWS. MiniStack reads it as null."""

import json
from typing import Any

from ministack.services import stepfunctions

from .patching import replace

_MISSING = object()


def apply() -> None:
    """Patches MiniStack in place."""
    replace(stepfunctions, "_resolve_params_obj", "template data ctx", lambda _: resolve)
    replace(stepfunctions, "_apply_input_path", "state_def data ctx", lambda find: _strict(find, "InputPath"))
    replace(stepfunctions, "_apply_output_path", "state_def data ctx", lambda find: _strict(find, "OutputPath"))
    replace(stepfunctions, "_evaluate_rule", "rule data ctx", _strict_rule)


def require(path: str, data: Any, context: Any, field: str) -> Any:
    """Returns the value at a path.

    Args:
        path: The path, which starts with ``$``, or ``$$`` for the context object.
        data: The input of the state.
        context: The context object.
        field: The field that has the path, for the error message.

    Raises:
        stepfunctions._ExecutionError: There is no value.
    """
    value = find(path, data, context)
    if value is _MISSING:
        shown = json.dumps(context if path.startswith("$$") else data, default=str)
        raise stepfunctions._ExecutionError(
            "States.Runtime",
            f"The JSONPath '{path}' specified for the field '{field}' could not be found in the input '{shown[:1000]}'",
        )
    return value


def find(path: str, data: Any, context: Any) -> Any:
    """Returns the value at a path, or a marker that no other value equals."""
    source, local = (context or {}, path[1:]) if path.startswith("$$") else (data, path)
    tokens = stepfunctions._parse_jsonpath_tokens(local) if local.startswith("$") and local != "$" else None
    # Wildcards select a list, which may be empty.
    if tokens is None or any(kind == "wildcard" for kind, _ in tokens):
        return stepfunctions._resolve_path(local, source)
    for _, part in tokens:
        try:
            source = source[part] if isinstance(source, (dict, list)) else _MISSING
        except (KeyError, IndexError, TypeError):
            source = _MISSING
    return source


def resolve(template: Any, data: Any, ctx: Any = None) -> Any:
    """Returns a template with the values at its paths."""
    if isinstance(template, list):
        return [resolve(item, data, ctx) for item in template]
    if not isinstance(template, dict):
        return template
    resolved = {}
    for key, value in template.items():
        if not key.endswith(".$"):
            resolved[key] = resolve(value, data, ctx)
        elif isinstance(value, str) and value.startswith("States."):
            resolved[key[:-2]] = stepfunctions._evaluate_intrinsic(value, data, ctx)
        else:
            resolved[key[:-2]] = require(value, data, ctx, key) if isinstance(value, str) else value
    return resolved


def _strict(select: Any, field: str) -> Any:
    def select_strictly(state_def: dict[str, Any], data: Any, ctx: Any = None) -> Any:
        if isinstance(path := state_def.get(field), str):
            require(path, data, ctx, field)
        return select(state_def, data, ctx)

    return select_strictly


def _strict_rule(evaluate: Any) -> Any:
    def evaluate_strictly(rule: dict[str, Any], data: Any, ctx: Any = None) -> Any:
        if "Variable" not in rule:
            return evaluate(rule, data, ctx)
        value = find(rule["Variable"], data, ctx)
        if "IsPresent" in rule:
            return (value is not _MISSING) == rule["IsPresent"]
        if value is _MISSING:
            raise stepfunctions._ExecutionError(
                "States.Runtime",
                f"Invalid path '{rule['Variable']}': The choice state's condition path references an invalid value.",
            )
        return evaluate(rule, data, ctx)

    return evaluate_strictly
