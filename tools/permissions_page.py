"""Writes the permissions in synthesized templates as a page, docs/permissions.md."""

import itertools
import re
from collections.abc import Iterator, Mapping
from typing import Any

from security_stacks import PROVIDER


def policies(template: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields the owner and document of each policy in a template, with intrinsic functions replaced by text."""
    for logical_id, resource in template["Resources"].items():
        properties = written_out(resource.get("Properties", {}))
        match resource["Type"]:
            case "AWS::IAM::Policy":
                yield properties["Roles"][0], properties["PolicyDocument"]
            case "AWS::IAM::Role":
                yield f"trust of {logical_id}", properties["AssumeRolePolicyDocument"]
                for policy in properties.get("Policies", []):
                    yield logical_id, policy["PolicyDocument"]
            case "AWS::S3::BucketPolicy":
                yield f"policy of {properties['Bucket']}", properties["PolicyDocument"]
            case "AWS::KMS::Key":
                yield f"policy of {logical_id}", properties["KeyPolicy"]


def written_out(value: Any) -> Any:
    """Returns a template's value with plausible text in place of values known only at deploy."""
    match value:
        case {"Ref": "AWS::Partition"}:
            return "aws"
        case {"Ref": "AWS::StackId"}:
            return "arn:aws:cloudformation:eu-west-1:123456789012:stack/Stack/0e0f"
        case {"Ref": name}:
            state_machine = f"arn:aws:states:eu-west-1:123456789012:stateMachine:{name}"
            is_state_machine = re.search("(statemachine|StateMachine|Watcher)[0-9A-F]{8}$", name) is not None
            return name.lower() if "Bucket" in name else state_machine if is_state_machine else name
        case {"Fn::GetAtt": [name, "Name"]}:
            return str(name)
        case {"Fn::GetAtt": [name, "Arn"]}:
            for part, arn in (
                ("Bucket", f"arn:aws:s3:::{name.lower()}"),
                ("Key", f"arn:aws:kms:eu-west-1:123456789012:key/{name}"),
                ("Logs", f"arn:aws:logs:eu-west-1:123456789012:log-group:{name}:*"),
                ("Role", f"arn:aws:iam::123456789012:role/{name}"),
            ):
                if part in name:
                    return arn
            return f"arn:aws:lambda:eu-west-1:123456789012:function:{name}"
        case {"Fn::Join": ["", parts]}:
            return "".join(written_out(part) for part in parts)
        case {"Fn::Sub": text}:
            return str(text)
        case dict():
            return {key: written_out(part) for key, part in value.items()}
        case list():
            return [written_out(part) for part in value]
        case _:
            return value


def page_of(templates: Mapping[str, dict[str, Any]]) -> str:
    """Returns the page for templates by the names of their stacks."""
    lines = [
        "# Permissions",
        "",
        "This page lists the permissions in synthesized stacks. `tools/check_security.py` generates it.",
        "",
        "*Plain* has one job with the defaults, *Full* has every option of jobs and storage, and *Organization* has",
        "every option of the provider. *Workflow* has a workflow with a schedule and a table, and *WatchedJob* a job",
        "with events.",
        "",
        "ARNs are shown without `arn:aws:`, and names without hashes. `…` stands for the Region and account.",
    ]
    for name, template in templates.items():
        lines += ["", f"## {name}"]
        by_owner = sorted(policies(template), key=lambda pair: pair[0])
        for owner, documents in itertools.groupby(by_owner, key=lambda pair: pair[0]):
            statements = [statement for _, document in documents for statement in document["Statement"]]
            named = [
                column
                for column in ("principal", "action", "resource", "condition")
                if any(_cell(one, column) for one in statements)
            ]
            lines += ["", f"### {_shortened(owner)}", "", _row(named), _row(["---"] * len(named))]
            lines += [_row([_cell(one, column) for column in named]) for one in statements]
    return "\n".join(lines) + "\n"


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(statement: dict[str, Any], column: str) -> str:
    def listed(value: Any) -> str:
        return "<br>".join(f"`{_shortened(one)}`" for one in ([value] if isinstance(value, str) else value))

    principals = [
        one
        for value in statement.get("Principal", {}).values()
        for one in ([value] if isinstance(value, str) else value)
    ]
    conditions = [
        f"`{operator} {key}` = {listed(value)}"
        for operator, keys in statement.get("Condition", {}).items()
        for key, value in keys.items()
    ]
    effect = "**Deny** " if statement["Effect"] == "Deny" else ""
    return {
        "principal": listed(principals),
        "action": f"{effect}{listed(statement['Action'])}",
        "resource": listed(statement.get("Resource", [])),
        "condition": "<br>".join(conditions),
    }[column]


def _shortened(text: str) -> str:
    text = re.sub(r"\barn:aws:([a-z0-9]*):(?:eu-west-1)?:123456789012:", r"\1:…:", text)
    text = text.replace("arn:aws:", "")
    text = re.sub(r"\b[0-9a-f]{64}\b", "<asset>", text)
    text = re.sub(r"([A-Za-z])(?:[0-9A-F]{8}|[0-9a-f]{8})(?![0-9A-Za-z])", r"\1", text)
    return text.replace(PROVIDER.lower(), "").replace(PROVIDER, "Provider/")
