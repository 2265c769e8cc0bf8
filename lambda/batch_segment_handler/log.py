"""The log: one JSON object a line for each decision."""

import json


def log(decision: str, **details: object) -> None:
    """Writes a line.

    Args:
        decision: What was decided, for example ``"created"``.
        **details: What it was decided about. Never the event: its ``ResponseURL`` is signed and lets whoever reads it
            answer CloudFormation.
    """
    print(json.dumps({"decision": decision, **details}, default=str, ensure_ascii=False), flush=True)
