"""The functions of a stack's workflows, and the state machine that watches the stack's jobs."""

import functools
from collections.abc import Callable

from batch_segment_handler import workflow_contract as contract

from . import state_machine
from .functions import READING_TIMEOUT, ProviderFunctions
from .machines import Machine, new_machine
from .naming import StackFacts
from .permissions import of_workflows
from .permissions.statements import Statements
from .states import Functions

_MODULE = "workflow"


class WorkflowFunctions:
    """Creates the functions and the watcher when they are asked for."""

    def __init__(
        self,
        functions: ProviderFunctions,
        facts: StackFacts,
        stack_id: str,
        *,
        start: Callable[[], Statements],
        describe: Callable[[], Statements],
    ) -> None:
        """Creates nothing.

        Args:
            functions: Creates the functions.
            facts: The stack.
            stack_id: The stack's ARN.
            start: Returns the statements of the function that starts jobs when the template is written.
            describe: The same for the function that looks whether they are complete.
        """
        self._functions = functions
        self._facts = facts
        self._stack_id = stack_id
        self._start = start
        self._describe = describe

    @functools.cached_property
    def both(self) -> Functions:
        """The functions, for a workflow. The first workflow of the stack creates the one that starts jobs."""
        function, _ = self._functions.new_function(
            "Start",
            contract.START,
            "Prepares the runs of workflows, and starts their batch segment jobs",
            self._start,
            module=_MODULE,
        )
        return Functions(self._facts.partition, function.function_arn, self._describe_arn)

    @functools.cached_property
    def watcher(self) -> Machine:
        """The state machine that waits for jobs created at deploy time. The first job with events creates it."""
        functions = Functions(self._facts.partition, "", self._describe_arn)
        settings: contract.WorkflowSettings = {"Workflow": "", "StackId": self._stack_id}
        is_traced = self._functions.options.tracing
        return new_machine(
            self._functions.scope,
            "Watcher",
            self._facts,
            definition=lambda: state_machine.watcher(functions, settings),
            statements=lambda _: of_workflows.publisher(
                [functions.describe], of_workflows.default_bus(self._facts), is_traced=is_traced
            ),
            description="Waits for batch segment jobs, and publishes an event when they are complete",
            is_traced=is_traced,
        )

    @functools.cached_property
    def _describe_arn(self) -> str:
        function, _ = self._functions.new_function(
            "Describe",
            contract.DESCRIBE,
            "Checks whether batch segment jobs of workflows are complete",
            self._describe,
            module=_MODULE,
            timeout=READING_TIMEOUT,
        )
        return function.function_arn
