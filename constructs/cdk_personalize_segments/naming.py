"""The names of a stack's jobs and query assets, and the patterns that match only these names.

A derived job name is ``<stack>-<8 hex>-<job>-<8 hex>-<12 hex of the definition>``, and ``-<attempt>`` after a failure.
The readable parts have no hyphen, so the hashes are at the same position in every name. Therefore, the pattern of a
stack never matches a name of another stack, and the pattern of a job never matches a name of another job.
"""

import hashlib
import re
import weakref
from dataclasses import dataclass

import aws_cdk as cdk
from batch_segment_handler import limits
from constructs import Construct

from . import validation

_HASH = 8
_STACK = 12
_JOB = limits.MAX_JOB_NAME_LENGTH - _STACK - 2 * (_HASH + 1) - len("--0123456789ab") - len("-99")
_DERIVED = re.compile(rf"[a-zA-Z0-9]{{1,{_STACK}}}-[0-9a-f]{{{_HASH}}}-.*")


@dataclass(frozen=True)
class StackNames:
    """The names of one stack's jobs and query files.

    Attributes:
        prefix: The prefix of the stack's derived job names, without the hyphen after it.
        extension: The file extension of the stack's query assets. A policy can match all of the stack's assets with it,
            so editing queries does not change a policy.
        root_stack_name: The name of the stack, or of a nested stack's root stack.
    """

    prefix: str
    extension: str
    root_stack_name: str

    @classmethod
    def of(cls, stack: cdk.Stack) -> "StackNames":
        """Derives the names from the identity of the stack.

        The identity consists of the name of the root stack, the path of a nested stack in it, and the account and
        region if they are known at synth time.

        Args:
            stack: The stack, or nested stack, of the jobs.
        """
        return StackFacts.of(stack).names

    @classmethod
    def _of(cls, stack: cdk.Stack, *place: str) -> "StackNames":
        root = stack
        while (parent := root.nested_stack_parent) is not None:
            root = parent
        path = stack.node.path.removeprefix(root.node.path) if root is not stack else ""
        return cls.derive(root.stack_name, path, *(part for part in place if not validation.is_token(part)))

    @classmethod
    def derive(cls, stack_name: str, path: str = "", *place: str) -> "StackNames":
        """Derives the names from a root stack's name, a nested stack's path, and the account and region if known."""
        digest = _hash("\n".join([stack_name, path, *place]))
        return cls(f"{_letters(stack_name + path, _STACK)}-{digest}", f".queries-{digest}", stack_name)

    @property
    def pattern(self) -> str:
        """A pattern that matches every derived job name of the stack."""
        return f"{self.prefix}-*"

    def job_prefix(self, identity: str) -> str:
        """Returns the prefix of a job's derived names, without the hyphen after it.

        Args:
            identity: The path of the construct within the stack, or the identity that the user passed.
        """
        return f"{self.prefix}-{_letters(identity, _JOB)}-{_hash(identity)}"


@dataclass(frozen=True)
class StackFacts:
    """Stack attributes, read once and cached: in Python every jsii property access is a call to another process."""

    stack: cdk.Stack
    account: str
    region: str
    partition: str
    names: StackNames

    @classmethod
    def of(cls, scope: Construct) -> "StackFacts":
        """Returns the attributes of a construct's stack."""
        if scope not in _FACTS:
            stack = scope if isinstance(scope, cdk.Stack) else cdk.Stack.of(scope)
            if stack not in _FACTS:
                account, region = stack.account, stack.region
                names = StackNames._of(stack, account, region)
                _FACTS[stack] = cls(stack, account, region, stack.partition, names)
            _FACTS[scope] = _FACTS[stack]
        return _FACTS[scope]


_FACTS: weakref.WeakKeyDictionary[Construct, StackFacts] = weakref.WeakKeyDictionary()


def looks_derived(job_name: str) -> bool:
    """Returns True if an explicit job name could match the pattern of a stack's derived names."""
    return _DERIVED.fullmatch(job_name) is not None


def _letters(text: str, length: int) -> str:
    return re.sub("[^a-zA-Z0-9]+", "", text)[:length] or "x"


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:_HASH]
