"""The schema of events, ``docs/events.schema.json``."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cfnlint.jsonschema import StandardValidator

_SCHEMA: dict[str, Any] = json.loads((Path(__file__).parents[2] / "docs" / "events.schema.json").read_text())
#: The schemas of details, by the detail type of the event.
DETAILS = {
    definition["title"]: {**definition, "$defs": _SCHEMA["$defs"]}
    for definition in _SCHEMA["$defs"].values()
    if "title" in definition
}


def faults_of(event: Mapping[str, Any]) -> list[str]:
    """Returns the differences between the detail of an event and its schema.

    Members that the schema does not have count too: they are undocumented.
    """
    schema = DETAILS[event["detail-type"]]
    faults = [error.message for error in StandardValidator(schema=schema).iter_errors(event["detail"])]
    return faults + [f"{name} is not documented" for name in event["detail"] if name not in schema["properties"]]
