"""The API's types as the type checker of an app sees them."""

import inspect
import typing

import aws_cdk as cdk
import aws_cdk.aws_events as events
import aws_cdk.aws_events_targets as targets
import aws_cdk.aws_sqs as sqs
import pytest
from cdk_personalize_segments import BatchSegmentJob, BatchSegmentStorage
from cdk_personalize_segments.segment_access import RuleTarget

TARGETS = [targets.LambdaFunction, targets.SqsQueue, targets.SnsTopic, targets.SfnStateMachine, targets.EventBus]


@pytest.mark.parametrize("target", [events.IRuleTarget, *TARGETS], ids=lambda target: target.__name__)
def test_cdk_targets_match_the_rule_target_protocol(target: type[events.IRuleTarget]) -> None:
    expected = list(inspect.signature(RuleTarget.bind).parameters.values())
    got = list(inspect.signature(target.bind).parameters.values())
    assert [parameter.default for parameter in got] == [parameter.default for parameter in expected]
    # Type checkers ignore the names of positional-only parameters.
    assert all(parameter.kind is parameter.POSITIONAL_ONLY for parameter in expected)


@pytest.mark.parametrize("construct", [BatchSegmentJob, BatchSegmentStorage])
def test_on_segments_written_takes_a_rule_target(
    construct: type[BatchSegmentJob | BatchSegmentStorage], stack: cdk.Stack
) -> None:
    assert typing.get_type_hints(construct.on_segments_written)["target"] == RuleTarget | None
    rule = BatchSegmentStorage(stack, "S").on_segments_written("R", target=targets.SqsQueue(sqs.Queue(stack, "Q")))
    assert isinstance(rule, events.Rule)
