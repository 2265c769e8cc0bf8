"""The EventBridge rules for the events of workflows and jobs."""

from collections.abc import Sequence
from typing import Any, cast

import aws_cdk.aws_events as events
from batch_segment_handler import workflow_contract as contract
from constructs import Construct

from .job_watch import JobWatch
from .segment_access import RuleTarget

#: The events that a job can end with.
ENDS = (contract.SEGMENTS_SUCCEEDED, contract.SEGMENTS_FAILED)


def new_rule(
    scope: Construct,
    id: str,
    detail_types: Sequence[str],
    detail: dict[str, Any],
    target: RuleTarget | None,
    description: str | None,
) -> events.Rule:
    """Creates a rule for events of this library.

    Args:
        scope: The rule's parent.
        id: The rule's id.
        detail_types: The types of the events.
        detail: The pattern of the events' detail.
        target: The rule's target.
        description: The rule's description.
    """
    return events.Rule(
        scope,
        id,
        description=description,
        targets=None if target is None else [cast(events.IRuleTarget, target)],
        event_pattern=events.EventPattern(source=[contract.EVENT_SOURCE], detail_type=[*detail_types], detail=detail),
    )


class WorkflowEvents(Construct):
    """The methods of `BatchSegmentWorkflow` that create rules."""

    #: The workflow's name in events and metrics.
    workflow_name: str

    def on_succeeded(
        self,
        id: str,
        *,
        target: RuleTarget | None = None,
        description: str | None = None,
        scope: Construct | None = None,
    ) -> events.Rule:
        """Creates an EventBridge rule that matches when an audience succeeds.

        The event's detail type is ``Personalize Segments Succeeded``. Its detail contains the audience, the run, the
        jobs and the folder of the segments. For example:
        ``workflow.on_succeeded("Succeeded", target=targets.LambdaFunction(function))``.

        Args:
            id: The rule's id.
            target: The rule's target. If omitted, call ``add_target`` on the returned rule.
            description: The rule's description.
            scope: The rule's parent. Default: the workflow.
        """
        return self._new_rule(id, [contract.SEGMENTS_SUCCEEDED], {}, target, description, scope)

    def on_failed(
        self,
        id: str,
        *,
        target: RuleTarget | None = None,
        description: str | None = None,
        scope: Construct | None = None,
    ) -> events.Rule:
        """Creates an EventBridge rule that matches when an audience fails, and when a run fails as a whole.

        The detail type is ``Personalize Segments Failed`` for an audience. It is ``Personalize Segments Run Completed``
        for a run that fails as a whole, for example because the solution has no ACTIVE version. The detail contains the
        ``reason``. For example: ``workflow.on_failed("Failed", target=targets.SnsTopic(topic))``.

        Args:
            id: The rule's id.
            target: The rule's target. If omitted, call ``add_target`` on the returned rule.
            description: The rule's description.
            scope: The rule's parent. Default: the workflow.
        """
        # A run whose audiences failed has no reason of its own, because each audience has an event.
        failed = {"status": ["FAILED"], "reason": [{"exists": True}]}
        types = [contract.SEGMENTS_FAILED, contract.RUN_COMPLETED]
        return self._new_rule(id, types, failed, target, description, scope)

    def on_completed(
        self,
        id: str,
        *,
        target: RuleTarget | None = None,
        description: str | None = None,
        scope: Construct | None = None,
    ) -> events.Rule:
        """Creates an EventBridge rule that matches when a run is complete.

        The event's detail type is ``Personalize Segments Run Completed``. Its detail contains the numbers of audiences
        that succeeded and failed. Its status is SUCCEEDED if all audiences succeeded, and FAILED otherwise. For
        example: ``workflow.on_completed("Completed", target=targets.SnsTopic(topic))``.

        Args:
            id: The rule's id.
            target: The rule's target. If omitted, call ``add_target`` on the returned rule.
            description: The rule's description.
            scope: The rule's parent. Default: the workflow.
        """
        return self._new_rule(id, [contract.RUN_COMPLETED], {}, target, description, scope)

    def _new_rule(
        self,
        id: str,
        detail_types: list[str],
        detail: dict[str, Any],
        target: RuleTarget | None,
        description: str | None,
        scope: Construct | None,
    ) -> events.Rule:
        detail = {"workflow": [self.workflow_name], **detail}
        return new_rule(scope or self, id, detail_types, detail, target, description)


class JobEvents(Construct):
    """The methods of `BatchSegmentJob` that create rules."""

    _watch: JobWatch

    def on_succeeded(
        self,
        id: str,
        *,
        target: RuleTarget | None = None,
        description: str | None = None,
        scope: Construct | None = None,
    ) -> events.Rule:
        """Creates an EventBridge rule that matches when the job succeeds, even long after the deployment.

        The event's detail type is ``Personalize Segments Succeeded``. Its detail contains the job and the folder of the
        segments. The first call in a stack adds a state machine that waits for the stack's jobs, for at most 7 days.
        For example: ``job.on_succeeded("Succeeded", target=targets.LambdaFunction(function))``.

        Args:
            id: The rule's id.
            target: The rule's target. If omitted, call ``add_target`` on the returned rule.
            description: The rule's description.
            scope: The rule's parent. Default: the job.
        """
        return self._new_rule(id, [contract.SEGMENTS_SUCCEEDED], target, description, scope)

    def on_failed(
        self,
        id: str,
        *,
        target: RuleTarget | None = None,
        description: str | None = None,
        scope: Construct | None = None,
    ) -> events.Rule:
        """Creates an EventBridge rule that matches when the job fails after it was created; see `on_succeeded`.

        The event's detail type is ``Personalize Segments Failed``. Its detail contains the job and the ``reason``. If
        the job cannot be created, the deployment fails and there is no event. For example:
        ``job.on_failed("Failed", target=targets.SnsTopic(topic))``.

        Args:
            id: The rule's id.
            target: The rule's target. If omitted, call ``add_target`` on the returned rule.
            description: The rule's description.
            scope: The rule's parent. Default: the job.
        """
        return self._new_rule(id, [contract.SEGMENTS_FAILED], target, description, scope)

    def on_completed(
        self,
        id: str,
        *,
        target: RuleTarget | None = None,
        description: str | None = None,
        scope: Construct | None = None,
    ) -> events.Rule:
        """Creates an EventBridge rule that matches both events; see `on_succeeded` and `on_failed`.

        For example: ``job.on_completed("Completed", target=targets.SnsTopic(topic))``.

        Args:
            id: The rule's id.
            target: The rule's target. If omitted, call ``add_target`` on the returned rule.
            description: The rule's description.
            scope: The rule's parent. Default: the job.
        """
        return self._new_rule(id, [*ENDS], target, description, scope)

    def _new_rule(
        self,
        id: str,
        detail_types: list[str],
        target: RuleTarget | None,
        description: str | None,
        scope: Construct | None,
    ) -> events.Rule:
        self._watch.begin()
        return new_rule(scope or self, id, detail_types, {"jobNames": [self._watch.names]}, target, description)
