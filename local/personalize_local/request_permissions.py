"""The permissions of requests that MiniStack does not check completely."""

import json
from typing import Any

from ministack.core import iam_actions

from .patching import replace


def apply() -> None:
    """Patches MiniStack in place."""
    replace(iam_actions, "request_tag_context", "service iam_action body params", _with_event_keys)
    replace(
        iam_actions,
        "extract_resource_arn",
        "service method path headers body query_params region account_id",
        _with_map_runs,
    )


def _with_event_keys(context_of: Any) -> Any:
    # https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-use-conditions.html
    def request_context(service: str, iam_action: str, body: Any, params: Any) -> Any:
        context = dict(context_of(service, iam_action, body, params) or {})
        if iam_action == "events:PutEvents":
            entries = _members(body).get("Entries") or []
            for key, member in (("events:source", "Source"), ("events:detail-type", "DetailType")):
                values = sorted({str(entry.get(member, "")) for entry in entries if isinstance(entry, dict)})
                # Each entry is authorized. Several values match no value of a policy.
                context[key] = ",".join(values)
        return context

    return request_context


def _with_map_runs(extract: Any) -> Any:
    # https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsstepfunctions.html
    def extract_resource_arn(service: str, method: str, path: str, headers: Any, body: Any, *rest: Any) -> Any:
        if service == "states" and isinstance(arn := _members(body).get("mapRunArn"), str):
            return arn
        return extract(service, method, path, headers, body, *rest)

    return extract_resource_arn


def _members(body: Any) -> dict[str, Any]:
    try:
        members = json.loads(body or b"{}")
    except ValueError:
        return {}
    return members if isinstance(members, dict) else {}
