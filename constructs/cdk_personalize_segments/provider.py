"""The custom-resource provider: one in a stack, however many jobs the stack has."""

import functools
import json
import re
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import aws_cdk as cdk
import aws_cdk.aws_ec2 as ec2
import aws_cdk.aws_iam as iam
import aws_cdk.aws_kms as kms
import aws_cdk.aws_lambda as lambda_
import aws_cdk.aws_logs as logs
import aws_cdk.aws_s3_assets as s3_assets
import aws_cdk.aws_stepfunctions as sfn
import aws_cdk.custom_resources as cr
import batch_segment_handler
import jsii
from constructs import Construct, IConstruct, IValidation

from . import validation
from .batch_segment_storage import BucketInfo, object_pattern
from .naming import StackFacts

#: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html, "Role inline policies": all of a role
#: together, without white space. A function's role has another inline policy for its logs.
MAX_POLICY_LENGTH = 10_240 - 400
# Tokens are resolved at deploy, to about the length of the ARN of a bucket, a role or a key.
_TOKEN_MARKER = re.compile(r"\$\{Token\[[^\]]*\]\}")
_TYPICAL_TOKEN_VALUE = "x" * 95
Statements = Iterator[dict[str, Any]]

# Every job looks for its stack's provider, and `node.try_find_child` would be two calls to the Node.js process.
_PROVIDERS: weakref.WeakKeyDictionary[cdk.Stack, "BatchSegmentProvider"] = weakref.WeakKeyDictionary()
_CONSTRUCT_ID = "PersonalizeBatchSegmentProvider"
_HANDLER_PACKAGE = Path(batch_segment_handler.__file__).parent
#: Files of the handler package that the Lambda asset does not need.
ASSET_EXCLUDES = ["py.typed"]
# The provider framework's functions time out after 15 minutes. The handler must time out first so that it can report
# the cause.
_HANDLER_TIMEOUT = cdk.Duration.minutes(14)
# Reading the output of a complete job for errors can take a while.
_IS_COMPLETE_TIMEOUT = cdk.Duration.minutes(5)
#: CloudFormation waits one hour for a custom resource, and so does the framework at most.
MAX_WAIT = cdk.Duration.hours(1)
_QUERY_INTERVAL = cdk.Duration.seconds(30)
# https://docs.aws.amazon.com/lambda/latest/dg/configuration-vpc.html#configuration-vpc-permissions: EC2 has no
# resource-level permissions for the Describe actions, and the network interfaces are not known before they exist.
_VPC_ACTIONS = [
    "ec2:AssignPrivateIpAddresses",
    "ec2:CreateNetworkInterface",
    "ec2:DeleteNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:UnassignPrivateIpAddresses",
]
# https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsx-ray.html: neither action has a resource.
_TRACING_ACTIONS = ["xray:PutTelemetryRecords", "xray:PutTraceSegments"]


class BatchSegmentProvider(Construct):
    """What the `BatchSegmentJob` resources of a stack share: the handler, CDK's provider framework, roles and logs.

    A stack has one provider. Its first job creates it with the defaults; create it before the first job to change them:

        BatchSegmentProvider(stack, "Provider", log_encryption_key=key, tracing=lambda_.Tracing.ACTIVE)

    The handler's policy names what the stack's jobs need and nothing else.
    """

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
            role: The role that the library's two functions run in. It must trust ``lambda.amazonaws.com``. A role of
                the app gets the statements that it needs; for an imported role, a warning at synth lists them. Default:
                a new role for each function.
            asset_encryption_key: The customer managed key of the bucket that CDK publishes assets to, from
                ``cdk bootstrap --bootstrap-kms-key-id`` or ``--bootstrap-customer-key``. The handler is granted
                ``kms:Decrypt`` on it. Default: the key that the stack's synthesizer reports, if any.
            log_encryption_key: The key of the log groups. Its policy must let CloudWatch Logs use it, which is added
                where the key is part of the app
                (https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/encrypt-log-data-kms.html). Default:
                CloudWatch's own encryption.
            log_retention: How long log events are kept. Default: three months.
            log_removal_policy: What happens to the log groups when the stack is deleted. By default they stay, so that
                the log of a failed first deployment outlives its rollback.
            vpc: The VPC that all functions run in. They call Personalize, S3, CloudFormation, Lambda, and Step
                Functions if jobs wait, so the subnets need a NAT gateway or the endpoints of these services. Default:
                outside a VPC.
            vpc_subnets: The subnets in the VPC. Default: the private ones.
            security_groups: The security groups of the functions. Default: one for each function.
            tracing: Whether X-Ray traces the functions of the library and the waiter. Default: False.
            waiter_log_options: Logging of the state machine that waits for jobs. Its input holds CloudFormation's
                pre-signed response URL, so keep ``include_execution_data`` off. Default: no logging.

        Raises:
            ValueError: The stack has a provider already.
        """
        super().__init__(scope, id)
        facts = StackFacts.of(scope)
        stack = facts.stack
        if stack in _PROVIDERS:
            raise ValueError(
                f"provider: the stack {stack.node.path or stack.stack_name} already has a BatchSegmentProvider; create "
                "it once, before the first BatchSegmentJob of the stack"
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
        self._partition = facts.partition
        self._stack_id = stack.stack_id
        self._arn_of_jobs = f"arn:{self._partition}:personalize:{self.region}:{self.account}:batch-segment-job/"
        self._vpc: dict[str, Any] = {
            name: value
            for name, value in (("vpc", vpc), ("vpc_subnets", vpc_subnets), ("security_groups", security_groups))
            if value is not None
        }
        self._tracing = tracing
        self._waiter_log_options = waiter_log_options
        self._log_encryption_key = log_encryption_key
        self._log_retention = log_retention
        self._log_removal_policy = log_removal_policy
        self._given_role = role
        if asset_encryption_key is not None:
            validation.key("asset_encryption_key", asset_encryption_key, "a policy cannot name a key by its alias")
        if log_encryption_key is not None:
            self._allow_logs_to_use(log_encryption_key)
        # The rendered tags of every job that can have tags.
        self._tags: list[cdk.IResolvable] = []
        # Ordered sets of ARNs, and of identities of jobs.
        self._jobs: dict[str, None] = {}
        self._identities: dict[str, None] = {}
        self._solutions: dict[str, None] = {}
        self._lists_solutions = False
        self._filters: dict[str, None] = {}
        self._roles: dict[str, None] = {}
        self._asset_key = asset_encryption_key
        self._asset_buckets: dict[str, None] = {}
        self._decrypted_keys: dict[str, None] = {}
        self._staging = _ArnsByAccount()
        self._staging_keys: dict[str, None] = {}
        self._input = _ReadAccess()
        self._output = _ReadAccess()

        self._lambda = iam.ServicePrincipal("lambda.amazonaws.com")
        self._log_group = self._new_log_group("Logs")
        #: The role of the handler.
        self.role: iam.IRole = role or self._new_lambda_role(
            "HandlerRole", "Creates batch segment jobs", self._log_group, tracing=tracing
        )
        self._code = lambda_.Code.from_asset(
            # The package in its parent folder, without its neighbors, so that it keeps its name in Lambda.
            str(_HANDLER_PACKAGE.parent),
            exclude=["/*", f"!/{_HANDLER_PACKAGE.name}", "__pycache__", *ASSET_EXCLUDES],
            ignore_mode=cdk.IgnoreMode.GIT,
        )
        self._on_event = self._new_function("Handler", "on_event", self.role, self._log_group, _HANDLER_TIMEOUT)
        self._attach("HandlerPolicy", self.role, self.handler_policy, self._on_event)
        self._framework_logs = self._new_log_group("FrameworkLogs")
        # By whether jobs wait.
        self._service_tokens: dict[bool, str] = {}

    @classmethod
    def of(cls, scope: Construct) -> "BatchSegmentProvider":
        """The provider of the stack that a construct is in. Created on first use."""
        stack = StackFacts.of(scope).stack
        return _PROVIDERS.get(stack) or cls(stack, _CONSTRUCT_ID)

    def name_prefix(self, scope: Construct, id: str, identity: str | None) -> str:
        """The start of a job's derived names.

        :meta private:

        Args:
            scope: The job's parent.
            id: The job's id.
            identity: An identity of the user's own choice. Default: the job's path in the stack.

        Raises:
            ValueError: Another job of the stack has that identity.
        """
        if identity is None:
            # The path of the stack itself is known without a call to CDK.
            path = "" if scope is self.stack else scope.node.path.removeprefix(f"{self._stack_path}/")
            identity = f"{path}/{id}" if path else id
        if identity in self._identities:
            raise ValueError(
                f"identity: got {identity!r}, which another job of the stack has; expected a different one for each job"
            )
        self._identities[identity] = None
        # One pattern for all of a stack's jobs keeps the handler's policy small.
        self._jobs[f"{self._arn_of_jobs}{self.names.pattern}"] = None
        return self.names.job_prefix(identity)

    @functools.cached_property
    def _stack_path(self) -> str:
        return self.stack.node.path

    def service_token(self, *, waits: bool) -> str:
        """The service token of a job. The framework behind it is created with the first job that needs it.

        :meta private:

        Args:
            waits: Whether the job waits for completion.
        """
        if waits not in self._service_tokens:
            provider = self._new_waiting_provider() if waits else self._new_provider()
            self._service_tokens[waits] = provider.service_token
        return self._service_tokens[waits]

    def allow_job(self, name: str) -> None:
        """Lets the handler create and describe a job of an explicit name.

        :meta private:

        Raises:
            ValueError: Another job of the stack has that name.
        """
        arn = f"{self._arn_of_jobs}{name}"
        if arn in self._jobs:
            raise ValueError(
                f"job_name: {name!r} is already used by another job in this stack; job names must be unique"
            )
        self._jobs[arn] = None

    def allow_tagging(self, tags: cdk.IResolvable) -> None:
        """Lets the handler tag jobs, if there are tags when the template is written.

        :meta private:

        Args:
            tags: A job's tags as the template will have them.
        """
        if not self._tags:
            self.node.add_validation(_PolicySizeValidation(self))
        self._tags.append(tags)

    def allow_solution_version(self, *arns: str) -> None:
        """Lets the handler look at a solution version and use it.

        :meta private:
        """
        self._solutions |= dict.fromkeys(arns)

    def allow_solution(self, arn: str) -> None:
        """Lets the handler look for the latest version of a solution and use it.

        :meta private:
        """
        self._lists_solutions = True
        self.allow_solution_version(f"{arn}/*")

    def allow_filter(self, arn: str) -> None:
        """Lets the handler look at a filter.

        :meta private:
        """
        self._filters[arn] = None

    def allow_pass_role(self, role_arn: str) -> None:
        """Lets the handler pass a role to Personalize.

        :meta private:
        """
        self._roles[role_arn] = None

    def allow_staging(self, asset: s3_assets.Asset, bucket: BucketInfo, prefix: str) -> dict[str, str]:
        """Lets the handler read the stack's query assets and write them under the input prefix.

        :meta private:

        Args:
            asset: The asset.
            bucket: The input bucket.
            prefix: The folder in it, ending in "/".

        Returns:
            The properties that tell the handler where the asset is.
        """
        asset_bucket = asset.s3_bucket_name
        if asset_bucket not in self._asset_buckets:
            self._asset_buckets[asset_bucket] = None
            # A synthesizer may report the key of its bucket.
            key = self._asset_key or asset.bucket.encryption_key
            if key is not None:
                self._decrypted_keys[key.key_arn] = None
        self._staging.add(f"{bucket.arn}/{prefix}*", bucket.account)
        if bucket.key_arn is not None:
            self._staging_keys[bucket.key_arn] = None
        properties = {"AssetBucket": asset_bucket, "AssetKey": asset.s3_object_key}
        if self._decrypted_keys:
            properties["AssetKmsKeyArn"] = next(iter(self._decrypted_keys))
        return properties

    def allow_reading_input(self, bucket: BucketInfo, key_or_prefix: str) -> None:
        """Lets the handler check queries that are in S3.

        :meta private:

        Args:
            bucket: The bucket.
            key_or_prefix: The key of an object, or a prefix ending in "/".
        """
        self._input.add(bucket, key_or_prefix, object_pattern(key_or_prefix))

    def allow_reading_output(self, bucket: BucketInfo, folders: str) -> None:
        """Lets the function that looks at jobs count the errors in their output.

        :meta private:

        Args:
            bucket: The bucket.
            folders: The folder of the job, or a pattern of its folders, ending in "/".
        """
        self._output.add(bucket, folders, f"{folders}*")

    def tag_keys(self) -> list[Any]:
        """The keys of all jobs' tags as they are now, each once.

        :meta private:
        """
        if not self._tags:
            return []
        resolved: list[list[dict[str, Any]] | None] = self.stack.resolve(self._tags)
        keys: list[Any] = []
        keys.extend(tag["key"] for tags in resolved for tag in tags or [] if tag["key"] not in keys)
        return sorted(keys, key=str)

    def handler_policy(self) -> Statements:
        """The statements of the handler, for the jobs that the stack has.

        :meta private:
        """
        return self._handler_policy(self.tag_keys())

    def _handler_policy(self, tag_keys: list[Any]) -> Statements:
        """The policy.

        https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonpersonalize.html names the
        resource of each action. It lists only the job for CreateBatchSegmentJob; AWS's own solution grants it on the
        solution too, so that either answer works.
        """
        jobs = list(self._jobs)
        solutions = list(self._solutions)
        # UntagResource is always granted: removing a job's last tag from the template still needs it.
        yield _allow(["personalize:DescribeBatchSegmentJob", "personalize:UntagResource"], jobs)
        conditions = {"ForAllValues:StringEquals": {"aws:TagKeys": tag_keys}} if tag_keys else {}
        yield _allow(["personalize:CreateBatchSegmentJob"], [*jobs, *solutions], conditions)
        # Whether a create without tags is authorized for TagResource too is not documented
        # (https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonpersonalize.html lists it as a
        # dependent action), so either answer works. The condition on keys is met without any tag.
        untagged = {"Null": {"aws:TagKeys": "true"}}
        yield _allow(["personalize:TagResource"], jobs, conditions if tag_keys else untagged)
        yield _allow(["personalize:DescribeSolutionVersion"], solutions)
        # Called for a recipe that the handler does not know. Recipes belong to the service and to no account.
        yield _allow(["personalize:DescribeRecipe"], [f"arn:{self._partition}:personalize:::recipe/*"])
        if self._lists_solutions:
            # The service authorization reference lists no resource for it, so that it can be allowed on all or on none.
            yield _allow(["personalize:ListSolutionVersions"], ["*"])
        if self._filters:
            yield _allow(["personalize:DescribeFilter"], list(self._filters))
        # An update must know whether it is a rollback.
        yield _allow(["cloudformation:DescribeStacks"], [self._stack_id])
        to_personalize = {"StringEquals": {"iam:PassedToService": "personalize.amazonaws.com"}}
        yield _allow(["iam:PassRole"], list(self._roles), to_personalize)
        if self._asset_buckets:
            # The account's bucket for assets, which CDK's own role for publishing assets requires too.
            objects = [f"arn:{self._partition}:s3:::{bucket}/*{self.names.extension}" for bucket in self._asset_buckets]
            yield _allow(["s3:GetObject"], objects, _of_account(self.account))
        if self._decrypted_keys:
            yield _allow(["kms:Decrypt"], list(self._decrypted_keys))
        yield from self._staging.statements("s3:PutObject")
        if self._staging_keys:
            # https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingKMSEncryption.html: Decrypt is for the parts
            # of a multipart upload.
            yield _allow(["kms:GenerateDataKey", "kms:Decrypt"], list(self._staging_keys))
        yield from self._input.statements()

    def check_size(self, tag_keys: Sequence[Any] = ()) -> None:
        """Checks that the policies that grow with the stack's jobs each fit into a role.

        :meta private:

        Args:
            tag_keys: The keys of tags; without them tags are not counted yet.

        Raises:
            ValueError: One does not.
        """
        # Estimate the size without resolving tokens. Resolving would double the synth time of each job.
        places = {self._partition: "aws-cn", self.region: "ap-southeast-2", self.account: "123456789012"}
        for name, statements in (
            ("handler", self._handler_policy([*tag_keys])),
            ("waiting", self.is_complete_policy()),
        ):
            policy = json.dumps(list(statements), separators=(",", ":"))
            for token, place in places.items():
                policy = policy.replace(token, place)
            length = len(_TOKEN_MARKER.sub(_TYPICAL_TOKEN_VALUE, policy))
            if length > MAX_POLICY_LENGTH:
                raise ValueError(
                    f"too many jobs for one stack: the policy of the {name} function has about {length:,} characters, "
                    f"and a role takes {MAX_POLICY_LENGTH:,}. Move some of the jobs to another stack, or share one "
                    "storage between them"
                )

    def is_complete_policy(self) -> Statements:
        """The statements of the function that looks at jobs.

        :meta private:
        """
        # A wait that fails must know whether it is part of a rollback.
        yield _allow(["cloudformation:DescribeStacks"], [self._stack_id])
        yield _allow(["personalize:DescribeBatchSegmentJob"], list(self._jobs))
        yield from self._output.statements()

    def hand_over(self, role: iam.IRole, statements: Statements) -> None:
        """Reports the statements of a role whose policy the app does not write.

        :meta private:
        """
        if isinstance(role, iam.Role):
            for statement in statements:
                role.add_to_policy(iam.PolicyStatement.from_json(statement))
            return
        cdk.Annotations.of(self).add_warning_v2(
            f"{validation.WARNING}:handlerRole",
            f"the policy of the role {role.role_name} cannot be changed because the role is imported. Add these "
            f"statements to it so that the function can create jobs: {validation.pasteable(self.stack, [*statements])}",
        )

    def _attach(
        self, id: str, role: iam.IRole, statements: Callable[[], Statements], function: lambda_.IFunction
    ) -> None:
        """Gives a role the statements that are known when the template is written."""
        if role is self._given_role:
            statements = functools.partial(self._statements_of_given_role, statements)
        if isinstance(role, iam.Role) and isinstance(role.node.default_child, iam.CfnRole):
            document = cdk.Lazy.uncached_any(_LazyPolicyDocument(statements))
            # The L1: an L2 policy would need a call to CDK for every statement, and could not have lazy ones.
            # The names of a role's inline policies are unique, and a role of the app can serve several stacks.
            policy_name = f"{self.names.prefix}-{id}" if role is self._given_role else id
            policy = iam.CfnPolicy(self, id, policy_name=policy_name, policy_document=document, roles=[role.role_name])
            function.node.add_dependency(policy)
        else:
            self.node.add_validation(_RoleOfAnotherOwner(self, role, statements))

    def _statements_of_given_role(self, statements: Callable[[], Statements]) -> Statements:
        yield from self._function_statements(self._log_group, tracing=self._tracing)
        yield from statements()

    def _function_statements(
        self, log_group: logs.ILogGroup, *called: lambda_.IFunction, tracing: bool = False
    ) -> Statements:
        # https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-loggroups.html: the log group exists,
        # so the role need not create it.
        yield _allow(["logs:CreateLogStream", "logs:PutLogEvents"], [log_group.log_group_arn])
        if called:
            # GetFunction: the framework waits for a function that Lambda has made inactive.
            arns = [function.function_arn for function in called]
            yield _allow(["lambda:InvokeFunction", "lambda:GetFunction"], arns)
        if self._vpc:
            yield _allow(_VPC_ACTIONS, ["*"])
        if tracing:
            yield _allow(_TRACING_ACTIONS, ["*"])

    def _new_provider(self) -> cr.Provider:
        framework_role = self._new_lambda_role(
            "FrameworkRole", "Lets CDK's provider framework call the handler", self._framework_logs, self._on_event
        )
        return cr.Provider(
            self,
            "Framework",
            on_event_handler=self._on_event,
            # CDK's default grants are broader than what the framework calls.
            framework_on_event_role=framework_role.without_policy_updates(),
            log_group=self._framework_logs,
            **self._vpc,
        )

    def _new_waiting_provider(self) -> cr.Provider:
        log_group = self._log_group
        is_complete_role = self._given_role or self._new_lambda_role(
            "IsCompleteRole", "Looks whether jobs are complete", log_group, tracing=self._tracing
        )
        is_complete = self._new_function("IsComplete", "is_complete", is_complete_role, log_group, _IS_COMPLETE_TIMEOUT)
        self._attach("IsCompletePolicy", is_complete_role, self.is_complete_policy, is_complete)
        on_event_role = self._new_lambda_role(
            "WaitingFrameworkRole",
            "Lets CDK's provider framework call the handler and start to wait",
            self._framework_logs,
            self._on_event,
        )
        waiter_role = self._new_lambda_role(
            "WaiterRole",
            "Lets CDK's provider framework look whether jobs are complete",
            self._framework_logs,
            is_complete,
        )
        logging: dict[str, Any] = {}
        if self._waiter_log_options is not None:
            logging = {
                "waiter_state_machine_log_options": self._waiter_log_options,
                "disable_waiter_state_machine_logging": False,
            }
        provider = cr.Provider(
            self,
            "WaitingFramework",
            on_event_handler=self._on_event,
            is_complete_handler=is_complete,
            framework_on_event_role=on_event_role.without_policy_updates(),
            framework_complete_and_timeout_role=waiter_role.without_policy_updates(),
            log_group=self._framework_logs,
            query_interval=_QUERY_INTERVAL,
            total_timeout=MAX_WAIT,
            **logging,
            **self._vpc,
        )
        waiter = provider.node.find_child("waiter-state-machine")
        state_machine = waiter.node.default_child
        assert isinstance(state_machine, sfn.CfnStateMachine)
        if self._tracing:
            self._trace_waiter(waiter, state_machine)
        start = _allow(["states:StartExecution"], [state_machine.ref])
        self._attach(
            "WaitingFrameworkPolicy",
            on_event_role,
            lambda: iter([start]),
            cast(lambda_.IFunction, provider.node.find_child("framework-onEvent")),
        )
        return provider

    @staticmethod
    def _trace_waiter(waiter: IConstruct, state_machine: sfn.CfnStateMachine) -> None:
        state_machine.tracing_configuration = sfn.CfnStateMachine.TracingConfigurationProperty(enabled=True)
        role = waiter.node.find_child("Role")
        assert isinstance(role, iam.Role)
        # https://docs.aws.amazon.com/step-functions/latest/dg/concepts-xray-tracing.html
        sampling = ["xray:GetSamplingRules", "xray:GetSamplingTargets"]
        role.add_to_policy(iam.PolicyStatement(actions=[*_TRACING_ACTIONS, *sampling], resources=["*"]))

    def _new_function(
        self, id: str, handler: str, role: iam.IRole, log_group: logs.ILogGroup, timeout: cdk.Duration
    ) -> lambda_.Function:
        return lambda_.Function(
            self,
            id,
            description=f"Batch segment jobs of Amazon Personalize: {handler}",
            runtime=lambda_.Runtime.PYTHON_3_14,
            code=self._code,
            handler=f"batch_segment_handler.handler.{handler}",
            # The library writes all statements, and CDK's for tracing and a VPC are broader.
            role=role.without_policy_updates() if isinstance(role, iam.Role) and self._has_options else role,
            log_group=log_group,
            timeout=timeout,
            # Streaming a gigabyte from one bucket to another needs little; the CPU share comes with the memory.
            memory_size=512,
            tracing=lambda_.Tracing.ACTIVE if self._tracing else None,
            **self._vpc,
        )

    @property
    def _has_options(self) -> bool:
        return self._tracing or bool(self._vpc)

    def _new_log_group(self, id: str) -> logs.LogGroup:
        return logs.LogGroup(
            self,
            id,
            encryption_key=self._log_encryption_key,
            retention=self._log_retention,
            removal_policy=self._log_removal_policy,
        )

    def _allow_logs_to_use(self, key: kms.IKey) -> None:
        # https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/encrypt-log-data-kms.html. The names
        # of log groups begin with the stack's name. Their ARNs would be a circular reference: the group names the key.
        log_groups = self.stack.format_arn(
            service="logs",
            resource="log-group",
            arn_format=cdk.ArnFormat.COLON_RESOURCE_NAME,
            resource_name=f"{self.names.root_stack_name}-*",
        )
        key.add_to_resource_policy(
            iam.PolicyStatement(
                principals=[iam.ServicePrincipal(f"logs.{self.region}.amazonaws.com")],
                actions=["kms:Encrypt*", "kms:Decrypt*", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:Describe*"],
                resources=["*"],
                conditions={"ArnLike": {"kms:EncryptionContext:aws:logs:arn": log_groups}},
            )
        )

    def _new_lambda_role(
        self,
        id: str,
        description: str,
        log_group: logs.ILogGroup,
        *called: lambda_.IFunction,
        tracing: bool = False,
    ) -> iam.Role:
        statements = self._function_statements(log_group, *called, tracing=tracing)
        return iam.Role(
            self,
            id,
            description=description,
            assumed_by=self._lambda,
            inline_policies={"Lambda": iam.PolicyDocument.from_json(_document(statements))},
        )


class _ArnsByAccount:
    """Resources of S3, by the account that they have to be of, where that is known."""

    def __init__(self) -> None:
        # An ordered set for each account.
        self._arns: dict[str | None, dict[str, None]] = {}

    def add(self, arn: str, account: str | None) -> None:
        self._arns.setdefault(account, {})[arn] = None

    def statements(self, action: str) -> Statements:
        for account, arns in self._arns.items():
            yield _allow([action], list(arns), _of_account(account))


class _ReadAccess:
    """Objects that a function may list and read."""

    def __init__(self) -> None:
        # By bucket; ordered sets.
        self._prefixes: dict[BucketInfo, dict[str, None]] = {}
        self._objects = _ArnsByAccount()
        self._keys: dict[str, None] = {}

    def add(self, bucket: BucketInfo, prefix: str, objects: str) -> None:
        self._prefixes.setdefault(bucket, {})[prefix] = None
        self._objects.add(f"{bucket.arn}/{objects}", bucket.account)
        if bucket.key_arn is not None:
            self._keys[bucket.key_arn] = None

    def statements(self) -> Statements:
        for bucket, prefixes in self._prefixes.items():
            conditions = {"StringLike": {"s3:prefix": list(prefixes)}, **_of_account(bucket.account)}
            yield _allow(["s3:ListBucket"], [bucket.arn], conditions)
        yield from self._objects.statements("s3:GetObject")
        if self._keys:
            yield _allow(["kms:Decrypt"], list(self._keys))


def _of_account(account: str | None) -> dict[str, Any]:
    return {} if account is None else {"StringEquals": {"aws:ResourceAccount": account}}


def _allow(actions: list[str], resources: list[str], conditions: Mapping[str, Any] | None = None) -> dict[str, Any]:
    statement = {"Effect": "Allow", "Action": actions, "Resource": resources}
    return {**statement, "Condition": conditions} if conditions else statement


def _document(statements: Iterable[dict[str, Any]]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": list(statements)}


@jsii.implements(cdk.IAnyProducer)
class _LazyPolicyDocument:
    """A policy as it stands when the template is written."""

    def __init__(self, statements: Callable[[], Statements]) -> None:
        self._statements = statements

    def produce(self, _context: cdk.IResolveContext) -> Any:
        return _document(self._statements())


@jsii.implements(IValidation)
class _RoleOfAnotherOwner:
    """Hands the statements to a role whose policy is not in the template, once all of them are known.

    That is a role precreated for `iam.Role.customize_roles`, which reports them, or an imported role.
    """

    def __init__(self, provider: BatchSegmentProvider, role: iam.IRole, statements: Callable[[], Statements]) -> None:
        self._provider = provider
        self._role = role
        self._statements = statements
        self._is_done = False

    def validate(self) -> list[str]:
        if not self._is_done:
            self._is_done = True
            self._provider.hand_over(self._role, self._statements())
        return []


@jsii.implements(IValidation)
class _PolicySizeValidation:
    """Checks the size of the policies once more, when all tags are known."""

    def __init__(self, provider: BatchSegmentProvider) -> None:
        self._provider = provider

    def validate(self) -> list[str]:
        try:
            self._provider.check_size(self._provider.tag_keys())
        except ValueError as error:
            return [str(error)]
        return []
