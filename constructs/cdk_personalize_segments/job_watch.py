"""Adds a job to the watcher of its stack, which publishes the job's events."""

from typing import Any

import aws_cdk as cdk
from batch_segment_handler import contract

from .batch_segment_storage import BatchSegmentStorage
from .provider import BatchSegmentProvider


class JobWatch:
    """The watch of one job. It begins when you add the job's first rule."""

    def __init__(
        self,
        provider: BatchSegmentProvider,
        storage: BatchSegmentStorage,
        resource: cdk.CustomResource,
        *,
        name: contract.JobSettings,
        names_of_stack: str,
        output_of_stack: str,
    ) -> None:
        """Does not change the template until `begin`.

        Args:
            provider: The provider of the job's stack.
            storage: The job's storage.
            resource: The job's resource.
            name: The job's name, or the prefix of its derived name.
            names_of_stack: A pattern of the stack's job names.
            output_of_stack: A pattern of the folders of these jobs in the output bucket, ending in "/".
        """
        self._provider = provider
        self._storage = storage
        self._resource = resource
        self._name = name
        self._names_of_stack = names_of_stack
        self._output_of_stack = output_of_stack
        self._has_begun = False

    @property
    def names(self) -> Any:
        """The event pattern for the names of the construct's jobs."""
        return self._name.get("JobName") or {"prefix": f"{self._name['JobNamePrefix']}-"}

    def begin(self) -> None:
        """Configures the handler to start the watcher for the job. The first call in a stack creates the watcher."""
        if self._has_begun:
            return
        self._has_begun = True
        machine = self._provider.workflow_functions.watcher
        arn = machine.state_machine.state_machine_arn
        resource = self._resource.node.default_child
        assert isinstance(resource, cdk.CfnResource)
        watcher: contract.JobSettings = {"WatcherArn": arn}
        for name, value in watcher.items():
            resource.add_property_override(name, value)
        # The handler starts the watcher as soon as it creates the job.
        self._resource.node.add_dependency(*machine.policies)
        self._provider.needs.watchers[arn] = None
        info = self._storage.bucket_info(self._storage.output_bucket)
        needs = self._provider.describe_needs
        needs.allow_job(self._names_of_stack)
        needs.allow_reading_output(info, self._output_of_stack, self._output_of_stack)
        self._storage.service_access.allow_handler(info, reads=self._output_of_stack)
        self._provider.check_size()
