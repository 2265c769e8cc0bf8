"""Deploys nested stacks with the same code that MiniStack uses for other stacks.

MiniStack deploys nested stacks with separate, simplified code. It loses the attributes of unchanged resources, does not
roll back, and leaves a failed child stack behind. Here, an update of a child stack changes only the changed resources,
and a rollback restores them.

As in CloudFormation, a failed child stack rolls itself back, a successful child stack is rolled back with its parent,
and removed resources are deleted only after the update of the whole tree succeeds:
https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/using-cfn-nested-stacks.html
"""

import asyncio
import copy
import functools
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

from ministack.core.concurrency import run_reentrant
from ministack.core.responses import get_account_id, get_region, new_uuid, now_iso
from ministack.services import cloudformation
from ministack.services.cloudformation import changesets, engine, handlers, helpers, provisioners, stacks

_TYPE = "AWS::CloudFormation::Stack"
# Keys in a child stack's record: the operation that undoes its last update, and its postponed deletions.
_UNDO, _CLEANUP = "_undo", "_cleanup"
# The keys that MiniStack saves for a rollback.
_STATE = (
    "_resources",
    "_template",
    "_template_body",
    "_resolved_params",
    "_conditions",
    "Parameters",
    "Tags",
    "Outputs",
)

Stack = dict[str, Any]


def apply() -> None:
    """Patches MiniStack in place. Raises an error if MiniStack differs from the version that the patches expect."""
    if provisioners._RESOURCE_HANDLERS[_TYPE] != {
        "create": provisioners._cfn_nested_stack_create,
        "update": provisioners._cfn_nested_stack_update,
        "delete": provisioners._cfn_nested_stack_delete,
    }:
        raise RuntimeError("expected the nested stack handlers of another version of MiniStack")
    provisioners._RESOURCE_HANDLERS[_TYPE] = {
        "create": _create,
        "update": _update,
        "update_with_logical_id": True,
        "delete": _delete,
    }
    for module in (handlers, changesets):
        if module._deploy_stack_async is not stacks._deploy_stack_async:
            raise RuntimeError(f"{module.__name__}: expected _deploy_stack_async of another version of MiniStack")
        module._deploy_stack_async = _with_cleanup(stacks._deploy_stack_async)
    stacks._delete_resource = _postponing(stacks._delete_resource)


def _create(logical_id: str, props: dict[str, Any], parent_name: str) -> tuple[str, dict[str, str]]:
    parent = cloudformation._stacks[parent_name]
    name = f"{parent_name}-{logical_id}-{new_uuid()[:12]}"
    stack_id = f"arn:aws:cloudformation:{get_region()}:{get_account_id()}:stack/{name}/{new_uuid()}"
    child: Stack = {
        "StackName": name,
        "StackId": stack_id,
        "StackStatus": "",
        "StackStatusReason": "",
        "CreationTime": now_iso(),
        "Outputs": [],
        "DisableRollback": False,
        "_region": get_region(),
        "_resources": {},
        "_parent_stack_name": parent_name,
        "ParentId": parent["StackId"],
        "RootId": parent.get("RootId") or parent["StackId"],
        **_desired(props, parent_name),
    }
    cloudformation._stacks[name] = child
    cloudformation._stack_events[stack_id] = []
    failure = _deploy(child, logical_id, parent, "CREATE", None)
    if failure is not None:
        # CloudFormation deletes the child in the rollback of the parent. MiniStack has no record of a failed resource.
        _delete(stack_id, props)
        raise RuntimeError(f"Embedded stack {stack_id} was not successfully created: {failure}")
    return stack_id, _attributes(child)


def _update(
    stack_id: str, _old: dict[str, Any], props: dict[str, Any], parent_name: str, logical_id: str
) -> tuple[str, dict[str, str]]:
    parent, child = cloudformation._stacks[parent_name], _find(stack_id)
    if "ROLLBACK" in parent["StackStatus"]:
        _roll_back(child)
        return stack_id, _attributes(child)
    desired = _desired(props, parent_name)
    if handlers._stack_has_no_updates(
        child, desired["_template"], desired["_resolved_params"], desired["Tags"], tags_given=True
    ):
        return stack_id, _attributes(child)
    previous = copy.deepcopy({key: child[key] for key in _STATE})
    child |= desired
    child[_CLEANUP] = []
    failure = _deploy(child, logical_id, parent, "UPDATE", previous)
    if failure is not None:
        raise RuntimeError(
            f"Embedded stack {stack_id} was not successfully updated. Currently in {child['StackStatus']} with reason: "
            f"{failure}"
        )
    child[_UNDO] = _undo(child, previous)
    return stack_id, _attributes(child)


def _delete(stack_id: str, _props: dict[str, Any]) -> None:
    child = _find(stack_id)
    asyncio.run(stacks._delete_stack_async(child["StackName"], stack_id))
    if child["StackStatus"] != "DELETE_COMPLETE":
        raise RuntimeError(f"Embedded stack {stack_id} was not deleted: {child['StackStatusReason']}")


def _desired(props: dict[str, Any], parent_name: str) -> Stack:
    """Returns the record of a child as its parent's template declares it."""
    body, error = helpers._resolve_template({"TemplateURL": [props.get("TemplateURL", "")]})
    if error is not None or not body:
        raise ValueError(f"the template of a nested stack cannot be read: TemplateURL {props.get('TemplateURL')!r}")
    template = engine._parse_template(body)
    provisioners._check_nested_stack_capabilities(parent_name, template)
    values = props.get("Parameters") or {}
    if any(isinstance(value, (list, dict)) for value in values.values()):
        raise ValueError("Value of property Parameters must be an object with String (or simple type) properties")
    parameters = engine._resolve_parameters(template, [{"Key": key, "Value": str(values[key])} for key in values])
    tags = provisioners._tag_map(props.get("Tags"))
    return {
        "Description": template.get("Description", ""),
        "LastUpdatedTime": now_iso(),
        "Parameters": [
            {"ParameterKey": key, "ParameterValue": value["Value"], "NoEcho": value["NoEcho"]}
            for key, value in parameters.items()
        ],
        "Tags": [{"Key": key, "Value": value} for key, value in tags.items() if not key.startswith("aws:")],
        "Capabilities": provisioners._inherited_capabilities(parent_name),
        "_template": template,
        "_template_body": body,
        "_resolved_params": parameters,
        "_conditions": engine._evaluate_conditions(template, parameters),
    }


def _deploy(child: Stack, logical_id: str, parent: Stack, verb: str, previous: Stack | None) -> str | None:
    """Creates or updates a child. Returns the reason if it fails."""
    name, stack_id = child["StackName"], child["StackId"]
    child["StackStatus"] = f"{verb}_IN_PROGRESS"
    events = cloudformation._stack_events[stack_id]
    before = len(events)
    stacks._add_event(stack_id, name, name, _TYPE, child["StackStatus"], physical_id=stack_id)
    # The CDK CLI finds the child's events, which contain the reason, by the physical ID in this event.
    stacks._add_event(
        parent["StackId"], parent["StackName"], logical_id, _TYPE, child["StackStatus"], physical_id=stack_id
    )
    asyncio.run(
        stacks._deploy_stack_async(
            name,
            stack_id,
            child["_template"],
            child["_resolved_params"],
            disable_rollback=False,
            tags=child["Tags"],
            is_update=previous is not None,
            previous_stack=previous,
        )
    )
    if child["StackStatus"] == f"{verb}_COMPLETE":
        return None
    failed = [event for event in events[before:] if event["ResourceStatus"] in ("CREATE_FAILED", "UPDATE_FAILED")]
    for resource in (event["LogicalResourceId"] for event in failed if event["LogicalResourceId"] != name):
        existed = previous is not None and resource in previous["_resources"]
        return f"The following resource(s) failed to {'update' if existed else 'create'}: [{resource}]."
    return str(next((event["ResourceStatusReason"] for event in failed), child["StackStatus"]))


def _undo(child: Stack, previous: Stack) -> dict[str, Any]:
    current, before = child["_resources"], previous["_resources"]
    template, parameters = child["_template"], child["_resolved_params"]
    order = engine._topological_sort(template.get("Resources", {}), child["_conditions"])
    replaced = [
        name
        for name in current.keys() & before
        if current[name]["PhysicalResourceId"] != before[name]["PhysicalResourceId"]
    ]
    undo: dict[str, Any] = stacks._failed_operation(
        is_update=True,
        previous_stack=previous,
        created=[name for name in order if name in current],
        failed_update=None,
        failed_logical_id=None,
        replaced_ids=replaced,
        cancelled=False,
        template=template,
        param_values=parameters,
        retain_except_on_create=False,
        stack_tags=child["Tags"],
        previous_tags=previous["Tags"],
    )
    return undo


def _roll_back(child: Stack) -> None:
    """Undoes the last update of a child, unless the child rolled itself back."""
    name, stack_id = child["StackName"], child["StackId"]
    undo = child.pop(_UNDO, None)
    child[_CLEANUP] = []
    if undo is not None:
        asyncio.run(stacks._roll_back_operation(name, stack_id, child, undo))
    elif child.get("_rollback_failed"):
        asyncio.run(stacks._continue_update_rollback_async(name, stack_id, ()))
    if child["StackStatus"] == "UPDATE_ROLLBACK_FAILED":
        raise RuntimeError(f"Embedded stack {stack_id} was not rolled back: {child['StackStatusReason']}")


def _attributes(child: Stack) -> dict[str, str]:
    return {f"Outputs.{output['OutputKey']}": output["OutputValue"] for output in child["Outputs"]}


def _find(stack_id: str) -> Stack:
    found: Stack = cloudformation._stacks[provisioners._nested_stack_lookup_name(stack_id)]
    return found


def _children(parent_name: str) -> Iterator[Stack]:
    for child in list(cloudformation._stacks.values()):
        if child.get("_parent_stack_name") == parent_name and child["StackStatus"] != "DELETE_COMPLETE":
            yield child
            yield from _children(child["StackName"])


# -- deletions that are postponed until the whole tree is updated


def _postponing(delete: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(delete)
    def delete_resource(
        type: str, physical_id: str, props: Any, stack_name: str | None = None, logical_id: str | None = None
    ) -> None:
        child = cloudformation._stacks.get(stack_name) or {}
        if "_parent_stack_name" in child and child["StackStatus"] == "UPDATE_IN_PROGRESS":
            child[_CLEANUP].append((type, physical_id, props, stack_name, logical_id))
        else:
            delete(type, physical_id, props, stack_name, logical_id)

    return delete_resource


def _with_cleanup(deploy: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., Coroutine[Any, Any, None]]:
    @functools.wraps(deploy)
    async def deploy_stack(stack_name: str, *args: Any, **kwargs: Any) -> None:
        await deploy(stack_name, *args, **kwargs)
        stack = cloudformation._stacks[stack_name]
        if stack["StackStatus"] != "UPDATE_COMPLETE":
            return
        children = [child for child in _children(stack_name) if child.pop(_UNDO, None) is not None]
        if any(child[_CLEANUP] for child in children):
            stack["StackStatus"] = "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS"
            for child in children:
                await run_reentrant(_clean_up, child)
            stack["StackStatus"] = "UPDATE_COMPLETE"

    return deploy_stack


def _clean_up(child: Stack) -> None:
    for resource in child[_CLEANUP]:
        try:
            provisioners._delete_resource(*resource)
        except Exception as error:
            # As in any stack, a resource that cannot be deleted during cleanup does not fail the update.
            type, physical_id, _, name, logical_id = resource
            stacks._add_event(
                child["StackId"], name, logical_id, type, "DELETE_FAILED", str(error), physical_id=physical_id
            )
    child[_CLEANUP] = []
