"""Least privilege, part 1: removing any permission breaks a path.

One at a time, the test changes the policies of a deployed stack: it removes an action or one of several resources,
replaces a principal, or changes a condition so that it is not met. Then it runs the stack's paths until one fails
because of the change. The changes are derived from the synthesized template, so new statements are tested too.
`test_everything_else_is_refused` is part 2.
"""

import copy
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import aws_cdk as cdk
import pytest
from personalize_local.gateway import LocalAws
from policy.examples import EXAMPLES, WORKS, Builder, Deployments, Example
from policy.workflow_examples import WorkflowExample, a_workflow
from support.local import Clients
from support.stacks import RealStack
from support.templates import as_list, policies, readable

Statement = dict[str, Any]

#: Permissions that no path on the local AWS proves, as "<logical ID> <removed permission>", and the reason.
UNPROVEN_HERE = {
    "*Role* logs:CreateLogStream": "MiniStack writes the logs of functions itself",
    "*Role* logs:PutLogEvents": "MiniStack writes the logs of functions itself",
    "*Role* lambda:GetFunction": "the framework needs it only for an inactive function, and then retries for 5 minutes",
    "PersonalizeBatchSegmentProvider*Role* sts:AssumeRole": "MiniStack ignores the trust policies of functions",
    "PersonalizeBatchSegmentProvider*Role* for *.amazonaws.com": "MiniStack ignores the trust policies of functions",
    "*waiterstatemachineRole* on *:*": "CDK's grants include function versions, and the framework has none",
    "*StateMachinePolicy* states:StopExecution": "MiniStack runs the child executions of a Map without these calls",
    "*StateMachinePolicy* states:[DR]*Execution": "MiniStack runs the child executions of a Map without these calls",
    "*StateMachinePolicy* on arn:*:states:*": "MiniStack runs the child executions of a Map without these calls",
    "*StartPolicy* personalize:DescribeRecipe": "needed for an unknown recipe only; a path of the handler, which "
    "runs the same code, proves it",
    "*Provider*Policy* on arn:aws:personalize:*:solution/*": "AWS's reference lists only the job as a resource of "
    "CreateBatchSegmentJob, and AWS's own solution grants it on the solution too; see docs/decisions/0006",
    "* kms:*": "MiniStack's S3 does not check permissions for keys",
    "*Policy* if kms:ViaService": "MiniStack's S3 does not check permissions for keys",
    "Key* for *": "MiniStack's S3 does not check permissions for keys",
    "*HandlerPolicy* personalize:TagResource without tags": "undocumented whether a create without tags needs it; "
    "test_other_answers deploys to a service that requires it",
    "*HandlerPolicy* if no aws:TagKeys": "as for personalize:TagResource without tags",
    "Key* if *": "MiniStack's S3 does not check permissions for keys",
}
# Patterns that a failure must match. Default: the name of the action.
_NAMED_AS = {"sts:AssumeRole": r"cannot be assumed: fix its trust policy|to assume the (provided )?role"}
_NOBODY = {"Service": "nobody.amazonaws.com", "AWS": "arn:aws:iam::000000000000:root"}


@dataclass(frozen=True)
class Loss:
    """A permission that is removed from a policy."""

    logical_id: str
    policy: str
    statement: int
    kind: str
    what: str
    actions: list[str]
    change: Callable[[Statement], None]

    def __str__(self) -> str:
        return f"{self.logical_id} {self.what}"

    @property
    def is_unproven_here(self) -> bool:
        return any(fnmatchcase(str(self), pattern) for pattern in UNPROVEN_HERE)

    def explains(self, failure: str) -> bool:
        return any(re.search(_NAMED_AS.get(action, action.partition(":")[2]), failure) for action in self.actions)


def losses(template: dict[str, Any]) -> Iterator[Loss]:
    """Yields all permissions in a template's policies that can be removed."""
    for logical_id, policy, document in policies(template):
        for number, statement in enumerate(document["Statement"]):
            if statement["Effect"] == "Allow":
                for kind, what, actions, change in changes(statement):
                    yield Loss(logical_id, policy, number, kind, what, actions, change)


def changes(statement: Statement) -> Iterator[tuple[str, str, list[str], Callable[[Statement], None]]]:
    """Yields the removable permissions of a statement: kind, description, affected actions, change."""
    actions = as_list(statement["Action"])
    is_untagged = "aws:TagKeys" in statement.get("Condition", {}).get("Null", {})
    for action in actions:

        def without_action(changed: Statement, action: str = action) -> None:
            # A statement needs an action. This one requires no permission.
            changed["Action"] = [one for one in actions if one != action] or ["sts:GetCallerIdentity"]

        # Tell the statement for requests without tags from the one for requests with tags.
        yield "actions", f"{action}{' without tags' if is_untagged else ''}", [action], without_action
    resources = as_list(statement.get("Resource", []))
    for number, resource in enumerate(resources if len(resources) > 1 else []):

        def without_resource(changed: Statement, number: int = number) -> None:
            del changed["Resource"][number]

        yield "resources", f"on {readable(resource)}", actions, without_resource
    for kind, names in statement.get("Principal", {}).items():
        for number, name in enumerate(as_list(names)):

            def without_principal(changed: Statement, kind: str = kind, number: int = number) -> None:
                changed["Principal"][kind] = as_list(changed["Principal"][kind])
                changed["Principal"][kind][number] = _NOBODY[kind]

            yield "principals", f"for {name if isinstance(name, str) else kind}", actions, without_principal
    for operator, keys in statement.get("Condition", {}).items():
        for key in keys:

            def not_met(changed: Statement, operator: str = operator, key: str = key) -> None:
                changed["Condition"][operator][key] = "nothing"

            yield "conditions", f"if {'no ' if operator == 'Null' else ''}{key}", actions, not_met


class Deployed:
    """The policies of a deployed stack."""

    def __init__(self, example: Example | WorkflowExample, client: Clients) -> None:
        self._example = example
        self._iam, self._s3 = client("iam"), client("s3")

    def failure_without(self, loss: Loss) -> str:
        """Returns the first failure of a path while a permission is removed; `WORKS` if no path fails."""
        before = self._get(loss)
        after = copy.deepcopy(before)
        loss.change(after["Statement"][loss.statement])
        assert after != before
        self._put(loss, after)
        try:
            return next((failure for path in self._example.paths if (failure := path()) != WORKS), WORKS)
        finally:
            self._put(loss, before)

    def _owner(self, loss: Loss) -> str:
        properties = self._example.template["Resources"][loss.logical_id]["Properties"]
        owner = properties.get("Bucket") or properties.get("Roles", [{"Ref": loss.logical_id}])[0]
        return self._example.physical_ids[owner["Ref"]]

    def _get(self, loss: Loss) -> dict[str, Any]:
        owner = self._owner(loss)
        document: dict[str, Any]
        match loss.policy:
            case "trust":
                document = self._iam.get_role(RoleName=owner)["Role"]["AssumeRolePolicyDocument"]
            case "bucket":
                document = json.loads(self._s3.get_bucket_policy(Bucket=owner)["Policy"])
            case _:
                document = self._iam.get_role_policy(RoleName=owner, PolicyName=loss.policy)["PolicyDocument"]
        return document

    def _put(self, loss: Loss, document: dict[str, Any]) -> None:
        owner, text = self._owner(loss), json.dumps(document)
        match loss.policy:
            case "trust":
                self._iam.update_assume_role_policy(RoleName=owner, PolicyDocument=text)
            case "bucket":
                self._s3.put_bucket_policy(Bucket=owner, Policy=text)
            case _:
                self._iam.put_role_policy(RoleName=owner, PolicyName=loss.policy, PolicyDocument=text)


EVERY_KIND = pytest.mark.parametrize("kind", ["actions", "resources", "principals", "conditions"])


@EVERY_KIND
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.__name__)
def test_a_path_fails_without_each_permission(
    deployed: Deployments,
    client: Clients,
    record_property: Callable[[str, object], None],
    example: Builder,
    kind: str,
) -> None:
    remove_each(deployed(example), client, record_property, kind)


@EVERY_KIND
def test_a_run_fails_without_each_permission_of_a_workflow(
    deployed_workflow: WorkflowExample,
    client: Clients,
    record_property: Callable[[str, object], None],
    kind: str,
) -> None:
    remove_each(deployed_workflow, client, record_property, kind)


def remove_each(
    stack: Example | WorkflowExample, client: Clients, record_property: Callable[[str, object], None], kind: str
) -> None:
    """Removes each permission of a kind, and checks that a path fails because of it."""
    assert fails(stack) == []
    in_force = Deployed(stack, client)
    all_losses = [loss for loss in losses(stack.template) if loss.kind == kind]
    to_try = [loss for loss in all_losses if not loss.is_unproven_here]
    not_missed, otherwise = [], []
    for loss in to_try:
        failure = in_force.failure_without(loss)
        if failure == WORKS:
            not_missed.append(str(loss))
        elif not loss.explains(failure):
            otherwise.append(f"{loss}: {failure}")
    record_property(f"{kind} removed", len(to_try))
    record_property("missed", len(to_try) - len(not_missed))
    record_property("unproven", len(all_losses) - len(to_try))
    assert "\n".join(not_missed) == "", "granted, but no path needs it"
    assert "\n".join(otherwise) == "", "the failure does not name the missing permission"
    # All permissions are restored.
    assert fails(stack) == []


def fails(stack: Example | WorkflowExample) -> list[str]:
    """Returns the failures of all paths."""
    return [f"{path.__name__}: {failure}" for path in stack.paths if (failure := path()) != WORKS]


def test_every_unproven_permission_is_still_granted(aws: LocalAws, client: Clients) -> None:
    builds: list[Callable[[cdk.Stack], Any]] = [example(aws) for example in (*EXAMPLES, a_workflow)]
    templates = [RealStack(aws, client, "Policy").template(build) for build in builds]
    given = [str(loss) for template in templates for loss in losses(template)]
    assert [pattern for pattern in UNPROVEN_HERE if not any(fnmatchcase(one, pattern) for one in given)] == []
