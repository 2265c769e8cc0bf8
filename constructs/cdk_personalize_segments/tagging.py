"""The tags of a job: collected lazily, checked when all of them are known."""

import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import aws_cdk as cdk
import jsii
from batch_segment_handler import contract, limits
from batch_segment_handler.text import quote
from constructs import Construct, IValidation

from .validation import is_token


def new_tag_manager(
    resource: cdk.CustomResource, tags: Mapping[str, str] | None, allow_tagging: Callable[[cdk.IResolvable], None]
) -> cdk.TagManager:
    """Creates what ``Tags.of(scope).add(…)`` adds to.

    Args:
        resource: The job's resource.
        tags: The tags that the job was created with.
        allow_tagging: Lets the handler set the rendered tags.
    """
    tag_manager = cdk.TagManager(
        cdk.TagType.STANDARD,
        contract.RESOURCE_TYPE,
        [cdk.CfnTag(key=key, value=value) for key, value in (tags or {}).items()],
    )
    cfn_resource = resource.node.default_child
    assert isinstance(cfn_resource, cdk.CfnResource)
    cfn_resource.add_property_override("Tags", tag_manager.rendered_tags)
    allow_tagging(tag_manager.rendered_tags)
    resource.node.add_validation(_TagsValidation(resource, tag_manager))
    return tag_manager


def new_tag_manager_of_workflow(
    scope: Construct,
    tags: Mapping[str, str] | None,
    audience_tags: Mapping[str, Mapping[str, str]],
    allow_tagging: Callable[[cdk.IResolvable], None],
) -> cdk.TagManager:
    """Creates what ``Tags.of(scope).add(…)`` adds to, for all jobs of a workflow.

    Args:
        scope: The workflow.
        tags: The tags that the workflow was created with.
        audience_tags: The tags of the audiences, by name.
        allow_tagging: Lets the function that starts jobs set the rendered tags.
    """
    tag_manager = cdk.TagManager(
        cdk.TagType.STANDARD,
        contract.RESOURCE_TYPE,
        [cdk.CfnTag(key=key, value=value) for key, value in (tags or {}).items()],
    )
    allow_tagging(tag_manager.rendered_tags)
    scope.node.add_validation(_TagsValidation(scope, tag_manager, audience_tags))
    return tag_manager


class TagKeys:
    """The keys of the tags that a function sets, known when the template is written."""

    def __init__(self, stack: cdk.Stack) -> None:
        """Starts without a tag."""
        self._stack = stack
        self._tags: list[cdk.IResolvable] = []
        # An ordered set.
        self._keys: dict[str, None] = {}

    def add(self, tags: cdk.IResolvable | None, keys: Iterable[str] = ()) -> None:
        """Adds rendered tags, and keys."""
        if tags is not None:
            self._tags.append(tags)
        self._keys.update(dict.fromkeys(keys))

    def keys(self) -> list[Any]:
        """Returns the keys, each once."""
        keys: list[Any] = [*self._keys]
        if self._tags:
            resolved: list[list[dict[str, Any]] | None] = self._stack.resolve(self._tags)
            keys.extend(tag["key"] for tags in resolved for tag in tags or [] if tag["key"] not in keys)
        return sorted(keys, key=str)


@jsii.implements(IValidation)
class _TagsValidation:
    """The service's rules for tags."""

    def __init__(
        self,
        scope: Construct,
        tag_manager: cdk.TagManager,
        audience_tags: Mapping[str, Mapping[str, str]] | None = None,
    ) -> None:
        self._scope = scope
        self._tag_manager = tag_manager
        self._audience_tags = audience_tags or {}

    def validate(self) -> list[str]:
        rendered = cdk.Stack.of(self._scope).resolve(self._tag_manager.rendered_tags) or []
        found = faults([(tag["key"], tag["value"]) for tag in rendered])
        keys = {str(tag["key"]) for tag in rendered}
        for name, own in self._audience_tags.items():
            count = len(keys | own.keys())
            if not found and count > limits.MAX_TAGS:
                return [
                    f"tags: got {count} for the audience {name!r}, expected at most {limits.MAX_TAGS} on one job, "
                    "including those of the workflow and of Tags.of(…)"
                ]
        return found


def faults(values: Sequence[tuple[Any, Any]]) -> list[str]:
    """Checks tags against the service's rules.

    Args:
        values: Keys and values, as the template has them.

    Returns:
        One sentence for each fault.
    """
    faults = []
    if len(values) > limits.MAX_TAGS:
        faults.append(
            f"tags: got {len(values)}, expected at most {limits.MAX_TAGS} on one job, including those of Tags.of(…)"
        )
    for key, value in values:
        if not is_token(key):
            if key.lower().startswith("aws:"):
                faults.append(
                    f"tags: got the key {quote(key)}, expected a key that does not start with aws:, which AWS reserves"
                )
            if not (0 < len(key) <= limits.MAX_TAG_KEY_LENGTH and _is_tag_text(key)):
                faults.append(
                    f"tags: got the key {quote(key)}, expected 1 to {limits.MAX_TAG_KEY_LENGTH} "
                    f"letters, digits, spaces or {limits.TAG_PUNCTUATION}"
                )
        if not is_token(value) and not (len(value) <= limits.MAX_TAG_VALUE_LENGTH and _is_tag_text(value)):
            faults.append(
                f"tags: got {quote(value)} for the key {quote(str(key))}, expected at most "
                f"{limits.MAX_TAG_VALUE_LENGTH} letters, digits, spaces or {limits.TAG_PUNCTUATION}"
            )
    return faults


def _is_tag_text(text: str) -> bool:
    # The model's pattern is written with \p{L}\p{Z}\p{N}, which Python's `re` does not know.
    return all(character in limits.TAG_PUNCTUATION or unicodedata.category(character)[0] in "LZN" for character in text)
