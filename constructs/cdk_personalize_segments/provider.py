"""The provider: one in a stack, however many jobs and workflows the stack has."""

import functools
import weakref
from collections.abc import Iterator, Sequence

import aws_cdk as cdk
import aws_cdk.aws_ec2 as ec2
import aws_cdk.aws_iam as iam
import aws_cdk.aws_kms as kms
import aws_cdk.aws_logs as logs
import aws_cdk.custom_resources as cr
import jsii
from constructs import Construct, IValidation

from . import function_policies, validation
from .framework import DeploymentFunctions
from .functions import FunctionOptions, ProviderFunctions
from .job_needs import DescribeNeeds, JobNeeds
from .naming import StackFacts
from .permissions import of_functions
from .permissions.statements import Statements
from .tagging import TagKeys
from .workflow_functions import WorkflowFunctions

# Every job looks for its stack's provider, and `node.try_find_child` would be two calls to the Node.js process.
_PROVIDERS: weakref.WeakKeyDictionary[cdk.Stack, "BatchSegmentProvider"] = weakref.WeakKeyDictionary()


class BatchSegmentProvider(Construct):
    """The resources that a stack's jobs and workflows share: functions, CDK's provider framework, roles and logs.

    A stack has one provider. The first `BatchSegmentJob` or `BatchSegmentWorkflow` of the stack creates it with the
    defaults. To change the defaults, create the provider before the first job or workflow. For example::

        BatchSegmentProvider(stack, "Provider", log_encryption_key=key, tracing=True)

    The provider creates only the functions that the stack uses. Their policies grant only what the stack's jobs and
    workflows need.
    """

    #: The id of the provider that a stack's first job creates. Use it to change the settings of a deployed stack:
    #: CloudFormation rejects a change of the service token, so the functions must keep their logical IDs.
    DEFAULT_ID = "PersonalizeBatchSegmentProvider"

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        role: iam.IRole | None = None,
        asset_encryption_key: kms.IKey | None = None,
        log_encryption_key: kms.IKey | None = None,
        log_retention: logs.RetentionDays = logs.RetentionDays.THREE_MONTHS,
        log_removal_policy: cdk.RemovalPolicy = cdk.RemovalPolicy.RETAIN,
        vpc: ec2.IVpc | None = None,
        vpc_subnets: ec2.SubnetSelection | None = None,
        security_groups: Sequence[ec2.ISecurityGroup] | None = None,
        tracing: bool = False,
        waiter_log_options: cr.LogOptions | None = None,
    ) -> None:
        """Adds the provider to the stack.

        Args:
            scope: A construct of the stack, or the stack itself.
            id: The construct's id.
            role: The execution role of all functions. It must trust ``lambda.amazonaws.com``. The library adds
                the permissions to a role of the app. For an imported role, a warning at synth time lists the
                statements to add. Default: a new role for each function.
            asset_encryption_key: The customer managed key of the bucket that CDK publishes assets to, from
                ``cdk bootstrap --bootstrap-kms-key-id`` or ``--bootstrap-customer-key``. The handler is granted
                ``kms:Decrypt`` on it. Default: the key that the stack's synthesizer reports, if any.
            log_encryption_key: The KMS key of the log groups. Its policy must allow CloudWatch Logs to use it
                (https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/encrypt-log-data-kms.html). If the key is part
                of the app, the library adds the statement. Default: CloudWatch's own encryption.
            log_retention: How long log events are kept. Default: three months.
            log_removal_policy: The removal policy of the log groups. Default: ``RemovalPolicy.RETAIN``, so that the log
                of a failed first deployment survives the rollback.
            vpc: The VPC of all functions. They call Personalize, S3, CloudFormation and Lambda, Step Functions if jobs
                wait or have events, and Glue for a `SegmentsTable`. The subnets need a NAT gateway or endpoints for
                these services. Default: no VPC.
            vpc_subnets: The subnets in the VPC. Default: the private subnets.
            security_groups: The security groups of the functions. Default: one for each function.
            tracing: Whether X-Ray traces the functions and the state machines of the library. Default: False.
            waiter_log_options: Logging of the state machine that waits for jobs. Its input contains CloudFormation's
                presigned response URL, so keep ``include_execution_data`` off. Default: no logging.

        Raises:
            ValueError: The stack already has a provider.
        """
        super().__init__(scope, id)
        facts = StackFacts.of(scope)
        stack = facts.stack
        if stack in _PROVIDERS:
            raise ValueError(
                f"provider: got a second BatchSegmentProvider in the stack {stack.node.path or stack.stack_name}, "
                "expected one: create it before the first BatchSegmentJob or BatchSegmentWorkflow of the stack"
            )
        _PROVIDERS[stack] = self
        #: The stack.
        self.stack = stack
        #: The region of the stack's jobs.
        self.region = facts.region
        #: The account of the stack's jobs.
        self.account = facts.account
        #: The names of the stack's jobs and query files.
        self.names = facts.names
        if asset_encryption_key is not None:
            validation.check_key(
                "asset_encryption_key", asset_encryption_key, "a policy cannot name a key by its alias"
            )
        self._job_tags = TagKeys(stack)
        self._workflow_tags = TagKeys(stack)
        self._checks_tags = False
        #: The stack's ARN.
        #:
        #: :meta private:
        self.stack_id: str = stack.stack_id
        #: The resources that the handler uses.
        #:
        #: :meta private:
        self.needs = JobNeeds(facts, self.stack_id, asset_encryption_key)
        #: The resources that the function uses that starts the jobs of workflows.
        #:
        #: :meta private:
        self.start_needs = JobNeeds(facts, self.stack_id, asset_encryption_key)
        #: The resources that the function uses that looks whether jobs are complete.
        #:
        #: :meta private:
        self.describe_needs = DescribeNeeds(facts)
        # An ordered set.
        self._identities: dict[str, None] = {}

        in_vpc = {"vpc": vpc, "vpc_subnets": vpc_subnets, "security_groups": security_groups}
        options = FunctionOptions(
            role=role,
            vpc={name: value for name, value in in_vpc.items() if value is not None},
            tracing=tracing,
            waiter_log_options=waiter_log_options,
            log_encryption_key=log_encryption_key,
            log_retention=log_retention,
            log_removal_policy=log_removal_policy,
        )
        self._facts = facts
        functions_of_stack = ProviderFunctions(self, facts, options)
        self._deployment = DeploymentFunctions(
            functions_of_stack, lambda: of_functions.handler(self.needs, self._job_tags.keys())
        )
        #: The functions of the stack's workflows.
        #:
        #: :meta private:
        self.workflow_functions = WorkflowFunctions(
            functions_of_stack,
            facts,
            self.stack_id,
            start=lambda: of_functions.start(self.start_needs, self._workflow_tags.keys()),
            describe=lambda: of_functions.describe(self.describe_needs),
        )
        #: Whether X-Ray traces the functions and the state machines.
        self.tracing: bool = tracing
        # By whether jobs wait.
        self._service_tokens: dict[bool, str] = {}

    @classmethod
    def of(cls, scope: Construct) -> "BatchSegmentProvider":
        """Returns the provider of the stack that a construct is in. Creates it on first use.

        For example: ``BatchSegmentProvider.of(stack).role``.
        """
        stack = StackFacts.of(scope).stack
        return _PROVIDERS.get(stack) or cls(stack, cls.DEFAULT_ID)

    def name_prefix(self, scope: Construct, id: str, identity: str | None) -> str:
        """Returns the start of a job's derived names.

        :meta private:

        Args:
            scope: The job's parent.
            id: The job's id.
            identity: The identity that the user passed. Default: the job's path in the stack.

        Raises:
            ValueError: Another job of the stack has that identity.
        """
        identity = identity or self.path_in_stack(scope, id)
        if identity in self._identities:
            raise ValueError(
                f"identity: got {identity!r}, which another job of the stack has, expected a different one for each job"
            )
        self._identities[identity] = None
        self.needs.allow_derived_jobs()
        return self.names.job_prefix(identity)

    def path_in_stack(self, scope: Construct, id: str) -> str:
        """Returns the path of a construct in the stack.

        :meta private:

        Args:
            scope: The construct's parent.
            id: The construct's id.
        """
        # The path of the stack itself is known without a call to CDK.
        path = "" if scope is self.stack else scope.node.path.removeprefix(f"{self._stack_path}/")
        return f"{path}/{id}" if path else id

    @functools.cached_property
    def _stack_path(self) -> str:
        return self.stack.node.path

    def service_token(self, *, waits: bool) -> str:
        """Returns the service token of a job. The first job that needs a framework creates it.

        :meta private:

        Args:
            waits: Whether the job waits for completion.
        """
        if waits not in self._service_tokens:
            framework = (
                self._deployment.new_waiting_framework(lambda: of_functions.waiter(self.needs))
                if waits
                else self._deployment.new_framework()
            )
            self._service_tokens[waits] = framework.service_token
        return self._service_tokens[waits]

    @property
    def role(self) -> iam.IRole:
        """The role of the handler. In a stack without jobs, the first access creates it."""
        return self._deployment.role

    def allow_tagging(self, tags: cdk.IResolvable) -> None:
        """Grants the handler to set a job's tags, if there are any when the template is written.

        :meta private:

        Args:
            tags: The rendered tags of a job.
        """
        self._check_tags()
        self._job_tags.add(tags)

    def allow_tagging_of_workflow(self, tags: cdk.IResolvable | None = None, keys: Sequence[str] = ()) -> None:
        """Grants the function that starts the jobs of workflows to set their tags.

        :meta private:

        Args:
            tags: The rendered tags of a workflow.
            keys: The keys of its audiences' tags.
        """
        self._check_tags()
        self._workflow_tags.add(tags, keys)

    def _check_tags(self) -> None:
        if not self._checks_tags:
            self._checks_tags = True
            self.node.add_validation(_PolicySizeValidation(self))

    def check_size(self, *, with_tags: bool = False) -> None:
        """Checks that the policies fit into the roles.

        :meta private:

        Args:
            with_tags: Whether all tags are known.

        Raises:
            ValueError: The stack has too many jobs.
        """
        function_policies.check_size(self._facts, self._policies(with_tags))

    def _policies(self, with_tags: bool) -> Iterator[tuple[str, Statements]]:
        if self.needs.jobs:
            yield "handler", of_functions.handler(self.needs, self._job_tags.keys() if with_tags else [])
            yield "waiting", of_functions.waiter(self.needs)
        if self.start_needs.jobs:
            yield "starting", of_functions.start(self.start_needs, self._workflow_tags.keys() if with_tags else [])
        if self.describe_needs.jobs:
            yield "describing", of_functions.describe(self.describe_needs)


@jsii.implements(IValidation)
class _PolicySizeValidation:
    """Checks the size of the policies once more, when all tags are known."""

    def __init__(self, provider: BatchSegmentProvider) -> None:
        self._provider = provider

    def validate(self) -> list[str]:
        try:
            self._provider.check_size(with_tags=True)
        except ValueError as error:
            return [str(error)]
        return []
