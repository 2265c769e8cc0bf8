"""The custom-resource provider: one in a stack, however many jobs the stack has."""

import hashlib
import json
import re
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import aws_cdk.aws_iam as iam
import aws_cdk.aws_lambda as lambda_
import aws_cdk.aws_logs as logs
import aws_cdk.aws_stepfunctions as sfn
import aws_cdk.custom_resources as cr
import batch_segment_handler
import jsii
from batch_segment_handler import limits
from constructs import Construct, IValidation

from .batch_segment_storage import BucketFacts, pattern

# A derived name is "<stack>-<job>-<12 hex>", and "-<attempt>" of up to three characters after failed ones.
_LONGEST_NAME_PREFIX = limits.MAX_JOB_NAME_LENGTH - len("-0123456789ab") - len("-99")
_LONGEST_STACK_PART = 21
_LONGEST_JOB_PART = _LONGEST_NAME_PREFIX - _LONGEST_STACK_PART - len("-")
#: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html, "Role inline policies", all of a role's
#: together and without spaces; a function's role has one for its logs as well.
_LONGEST_POLICY = 10_240 - 400
# What is known at deploy, and about how long it is then: the ARN of a bucket, a role or a key.
_TOKEN = re.compile(r"\$\{Token\[[^\]]*\]\}")
_RESOLVED = "x" * 95
Statements = Iterator[dict[str, Any]]

# Every job looks for its stack's provider, and `node.try_find_child` would be two calls to another process.
_PROVIDERS: weakref.WeakKeyDictionary[cdk.Stack, "BatchSegmentProvider"] = weakref.WeakKeyDictionary()
_ID = "PersonalizeBatchSegmentProvider"
_HANDLER = Path(batch_segment_handler.__file__).parent
#: What of the handler's package only the library uses.
NOT_SHIPPED = ["py.typed", "segments.py"]
_LOG_RETENTION = logs.RetentionDays.THREE_MONTHS
# The framework's own functions stop after 15 minutes; ours has to be the first to speak.
_HANDLER_TIMEOUT = cdk.Duration.minutes(14)
# A complete job's output is read for errors, and may be large.
_IS_COMPLETE_TIMEOUT = cdk.Duration.minutes(5)
#: CloudFormation waits one hour for a custom resource, and so does the framework at most.
LONGEST_WAIT = cdk.Duration.hours(1)
_QUERY_INTERVAL = cdk.Duration.seconds(30)


class BatchSegmentProvider(Construct):
    """What a stack's `BatchSegmentJob` resources share: the handler, CDK's provider framework, their roles and logs.

    The handler's policy names what the stack's jobs need and nothing else. Jobs say what they need through the
    ``allow_…`` methods; the statements are written when the template is, since tags are known only then.
    """

    def __init__(self, stack: cdk.Stack) -> None:
        """Use `of`."""
        super().__init__(stack, _ID)
        #: The stack.
        self.stack = stack
        #: Where the stack's jobs are.
        self.region = stack.region
        self.account = stack.account
        self._partition = stack.partition
        self._stack_id = stack.stack_id
        self._path = stack.node.path
        self._arn_of_jobs = f"arn:{self._partition}:personalize:{self.region}:{self.account}:batch-segment-job/"
        # One pattern for all of a stack's jobs keeps the handler's policy small.
        self._names = _shortened(self._path, _LONGEST_STACK_PART, digits=6)
        # Those of each job that may have any.
        self._tags: list[cdk.IResolvable] = []
        # Ordered sets of ARNs.
        self._jobs: dict[str, None] = {}
        self._solutions: dict[str, None] = {}
        self._lists_solutions = False
        self._filters: dict[str, None] = {}
        self._roles: dict[str, None] = {}
        self._assets = _ByAccount()
        self._staging = _ByAccount()
        self._staging_keys: dict[str, None] = {}
        self._input = _Readable()
        self._output = _Readable()

        self._lambda = iam.ServicePrincipal("lambda.amazonaws.com")
        self._log_group = self._new_log_group("Logs")
        self._role = self._new_lambda_role("HandlerRole", "Creates batch segment jobs", self._log_group)
        self._code = lambda_.Code.from_asset(
            # The package in its parent folder and nothing else of that folder, so that it keeps its name in Lambda.
            str(_HANDLER.parent),
            exclude=["/*", f"!/{_HANDLER.name}", "__pycache__", *NOT_SHIPPED],
            ignore_mode=cdk.IgnoreMode.GIT,
        )
        self._on_event = self._new_function("Handler", "on_event", self._role, self._log_group, _HANDLER_TIMEOUT)
        policy = self._new_policy("HandlerPolicy", self._role, cdk.Lazy.uncached_any(_Late(self.handler_policy)))
        self._on_event.node.add_dependency(policy)
        self._framework_logs = self._new_log_group("FrameworkLogs")
        # By whether jobs wait.
        self._service_tokens: dict[bool, str] = {}

    @classmethod
    def of(cls, scope: Construct) -> "BatchSegmentProvider":
        """The provider of the stack that a construct is in, made on first use."""
        stack = scope if isinstance(scope, cdk.Stack) else cdk.Stack.of(scope)
        provider = _PROVIDERS.get(stack)
        if provider is None:
            provider = _PROVIDERS[stack] = cls(stack)
        return provider

    def name_prefix(self, scope: Construct, id: str) -> str:
        """The start of a derived name: the stack and the construct in what characters the service allows.

        What `cdk.Names.unique_resource_name` would make of the path, without a call to another process for each job.
        The hashes make that no stack's prefix is the beginning of another's, and no construct's either.

        Args:
            scope: The job's parent.
            id: The job's id.
        """
        self._jobs[f"{self._arn_of_jobs}{self._names}-*"] = None
        # The path of the stack itself needs no question to CDK.
        path = id if scope is self.stack else f"{scope.node.path.removeprefix(f'{self._path}/')}/{id}"
        return f"{self._names}-{_shortened(path, _LONGEST_JOB_PART, digits=8)}"

    def service_token(self, *, waits: bool) -> str:
        """The service token of a job; the framework that answers it is made with the first job that needs it.

        Args:
            waits: Whether the job waits for completion.
        """
        if waits not in self._service_tokens:
            provider = self._new_waiting_provider() if waits else self._new_provider()
            self._service_tokens[waits] = provider.service_token
        return self._service_tokens[waits]

    def allow_job(self, name: str) -> None:
        """Lets the handler create and describe a job of an explicit name.

        Raises:
            ValueError: Another job of the stack has that name.
        """
        arn = f"{self._arn_of_jobs}{name}"
        if arn in self._jobs:
            raise ValueError(f"job_name: got {name!r} for a second job, expected a name for each: it can be used once")
        self._jobs[arn] = None

    def allow_tagging(self, tags: cdk.IResolvable) -> None:
        """Lets the handler tag jobs, if there are tags when the template is written.

        Args:
            tags: A job's tags as the template will have them.
        """
        if not self._tags:
            self.node.add_validation(_FitsWithTags(self))
        self._tags.append(tags)

    def allow_solution_version(self, *arns: str) -> None:
        """Lets the handler look at a solution version and use it."""
        self._solutions |= dict.fromkeys(arns)

    def allow_solution(self, arn: str) -> None:
        """Lets the handler look for the latest version of a solution and use it."""
        self._lists_solutions = True
        self.allow_solution_version(f"{arn}/*")

    def allow_filter(self, arn: str) -> None:
        """Lets the handler look at a filter."""
        self._filters[arn] = None

    def allow_passing(self, role_arn: str) -> None:
        """Lets the handler hand a role to Personalize."""
        self._roles[role_arn] = None

    def allow_staging(self, asset: str, bucket: BucketFacts, prefix: str) -> None:
        """Lets the handler read one asset and write it under the input prefix.

        Args:
            asset: The asset's object, ``<bucket>/<key>``.
            bucket: The input bucket.
            prefix: The folder in it, ending in "/".
        """
        # The account's bucket for assets, which is what CDK's own role for publishing assets insists on too.
        self._assets.add(f"arn:{self._partition}:s3:::{asset}", self.account)
        self._staging.add(f"{bucket.arn}/{prefix}*", bucket.account)
        if bucket.key_arn is not None:
            self._staging_keys[bucket.key_arn] = None

    def allow_reading_input(self, bucket: BucketFacts, key_or_prefix: str) -> None:
        """Lets the handler check queries that are in S3.

        Args:
            bucket: The bucket.
            key_or_prefix: The key of an object, or a prefix ending in "/".
        """
        self._input.add(bucket, key_or_prefix, pattern(key_or_prefix))

    def allow_reading_output(self, bucket: BucketFacts, folders: str) -> None:
        """Lets the function that looks at jobs count the errors in their output.

        Args:
            bucket: The bucket.
            folders: The folder of the job, or a pattern of its folders, ending in "/".
        """
        self._output.add(bucket, folders, f"{folders}*")

    def tag_keys(self) -> list[Any]:
        """The keys of all jobs' tags as they are now, each once."""
        if not self._tags:
            return []
        resolved: list[list[dict[str, Any]] | None] = self.stack.resolve(self._tags)
        keys: list[Any] = []
        keys.extend(tag["key"] for tags in resolved for tag in tags or [] if tag["key"] not in keys)
        return sorted(keys, key=str)

    def handler_policy(self) -> Statements:
        """What the handler may do, for the jobs that the stack has."""
        return self._handler_policy(self.tag_keys())

    def _handler_policy(self, tag_keys: list[Any]) -> Statements:
        """The policy.

        https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonpersonalize.html names the
        resource of each action. It lists only the job for CreateBatchSegmentJob; AWS's own solution grants it on the
        solution too, so that either answer works.
        """
        jobs = list(self._jobs)
        solutions = list(self._solutions)
        # A tag that leaves the template with the last of them still has to be taken off.
        yield _allow(["personalize:DescribeBatchSegmentJob", "personalize:UntagResource"], jobs)
        conditions = {"ForAllValues:StringEquals": {"aws:TagKeys": tag_keys}} if tag_keys else {}
        yield _allow(["personalize:CreateBatchSegmentJob"], [*jobs, *solutions], conditions)
        if tag_keys:
            yield _allow(["personalize:TagResource"], jobs, conditions)
        yield _allow(["personalize:DescribeSolutionVersion"], solutions)
        # Asked about a recipe that the handler does not know. Recipes are the service's and in no account.
        yield _allow(["personalize:DescribeRecipe"], [f"arn:{self._partition}:personalize:::recipe/*"])
        if self._lists_solutions:
            # The service authorization reference lists no resource for it, so that it can be allowed on all or on none.
            yield _allow(["personalize:ListSolutionVersions"], ["*"])
        if self._filters:
            yield _allow(["personalize:DescribeFilter"], list(self._filters))
        # An update that fails has to know whether it is a rollback.
        yield _allow(["cloudformation:DescribeStacks"], [self._stack_id])
        to_personalize = {"StringEquals": {"iam:PassedToService": "personalize.amazonaws.com"}}
        yield _allow(["iam:PassRole"], list(self._roles), to_personalize)
        yield from self._assets.statements("s3:GetObject")
        yield from self._staging.statements("s3:PutObject")
        if self._staging_keys:
            # https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingKMSEncryption.html: Decrypt is for the parts
            # of a multipart upload.
            yield _allow(["kms:GenerateDataKey", "kms:Decrypt"], list(self._staging_keys))
        yield from self._input.statements()

    def check_size(self, tag_keys: Sequence[Any] = ()) -> None:
        """Checks that the policies that grow with the stack's jobs each fit into a role.

        Args:
            tag_keys: The keys of tags; without them tags are not counted yet.

        Raises:
            ValueError: One does not.
        """
        # What is known at deploy is not asked for: that would take as long as all the rest of a job.
        places = {self._partition: "aws-cn", self.region: "ap-southeast-2", self.account: "123456789012"}
        for name, statements in (
            ("handler", self._handler_policy([*tag_keys])),
            ("waiting", self.is_complete_policy()),
        ):
            policy = json.dumps(list(statements), separators=(",", ":"))
            for token, place in places.items():
                policy = policy.replace(token, place)
            length = len(_TOKEN.sub(_RESOLVED, policy))
            if length > _LONGEST_POLICY:
                raise ValueError(
                    f"too many jobs for one stack: the policy of the {name} function has about {length:,} characters, "
                    f"and a role takes {_LONGEST_POLICY:,}. Put some of the jobs into another stack, or their queries "
                    "into S3 (BatchSegmentInput.from_bucket)"
                )

    def is_complete_policy(self) -> Statements:
        """What the function that looks at jobs may do."""
        # A wait that fails has to know whether it is part of a rollback.
        yield _allow(["cloudformation:DescribeStacks"], [self._stack_id])
        yield _allow(["personalize:DescribeBatchSegmentJob"], list(self._jobs))
        yield from self._output.statements()

    def _new_provider(self) -> cr.Provider:
        framework_role = self._new_lambda_role(
            "FrameworkRole", "Lets CDK's provider framework call the handler", self._framework_logs, self._on_event
        )
        return cr.Provider(
            self,
            "Framework",
            on_event_handler=self._on_event,
            # What the framework would be granted by CDK is wider than what it calls.
            framework_on_event_role=framework_role.without_policy_updates(),
            log_group=self._framework_logs,
        )

    def _new_waiting_provider(self) -> cr.Provider:
        log_group = self._log_group
        is_complete_role = self._new_lambda_role("IsCompleteRole", "Looks whether jobs are complete", log_group)
        is_complete = self._new_function("IsComplete", "is_complete", is_complete_role, log_group, _IS_COMPLETE_TIMEOUT)
        is_complete.node.add_dependency(
            self._new_policy(
                "IsCompletePolicy", is_complete_role, cdk.Lazy.uncached_any(_Late(self.is_complete_policy))
            )
        )
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
        provider = cr.Provider(
            self,
            "WaitingFramework",
            on_event_handler=self._on_event,
            is_complete_handler=is_complete,
            framework_on_event_role=on_event_role.without_policy_updates(),
            framework_complete_and_timeout_role=waiter_role.without_policy_updates(),
            log_group=self._framework_logs,
            query_interval=_QUERY_INTERVAL,
            total_timeout=LONGEST_WAIT,
        )
        state_machine = provider.node.find_child("waiter-state-machine").node.default_child
        assert isinstance(state_machine, sfn.CfnStateMachine)
        start_waiting = self._new_policy(
            "WaitingFrameworkPolicy",
            on_event_role,
            _document([_allow(["states:StartExecution"], [state_machine.ref])]),
        )
        provider.node.find_child("framework-onEvent").node.add_dependency(start_waiting)
        return provider

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
            role=role,
            log_group=log_group,
            timeout=timeout,
            # Streaming a gigabyte from one bucket to another needs little; the CPU share comes with the memory.
            memory_size=512,
        )

    def _new_policy(self, id: str, role: iam.IRole, document: Any) -> iam.CfnPolicy:
        return iam.CfnPolicy(self, id, policy_name=id, policy_document=document, roles=[role.role_name])

    def _new_log_group(self, id: str) -> logs.LogGroup:
        return logs.LogGroup(self, id, retention=_LOG_RETENTION, removal_policy=cdk.RemovalPolicy.DESTROY)

    def _new_lambda_role(
        self, id: str, description: str, log_group: logs.ILogGroup, *called: lambda_.IFunction
    ) -> iam.Role:
        # https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-loggroups.html: the log group is
        # there already, so the role need not create one.
        statements = [_allow(["logs:CreateLogStream", "logs:PutLogEvents"], [log_group.log_group_arn])]
        if called:
            # GetFunction: the framework waits for a function that Lambda has put to sleep.
            arns = [function.function_arn for function in called]
            statements.append(_allow(["lambda:InvokeFunction", "lambda:GetFunction"], arns))
        return iam.Role(
            self,
            id,
            description=description,
            assumed_by=self._lambda,
            inline_policies={"Lambda": iam.PolicyDocument.from_json(_document(statements))},
        )


def _shortened(path: str, longest: int, *, digits: int) -> str:
    readable = re.sub(r"[^a-zA-Z0-9]+", "-", path).strip("-")
    digest = hashlib.sha256(path.encode()).hexdigest()[:digits]
    return f"{readable[: longest - digits - 1]}-{digest}".lstrip("-")


class _ByAccount:
    """Resources of S3, by the account that they have to be of, where that is known."""

    def __init__(self) -> None:
        # An ordered set for each account.
        self._arns: dict[str | None, dict[str, None]] = {}

    def add(self, arn: str, account: str | None) -> None:
        self._arns.setdefault(account, {})[arn] = None

    def statements(self, action: str) -> Statements:
        for account, arns in self._arns.items():
            yield _allow([action], list(arns), _of_account(account))


class _Readable:
    """Objects that a function may list and read."""

    def __init__(self) -> None:
        # By bucket; ordered sets.
        self._prefixes: dict[BucketFacts, dict[str, None]] = {}
        self._objects = _ByAccount()
        self._keys: dict[str, None] = {}

    def add(self, bucket: BucketFacts, prefix: str, objects: str) -> None:
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
class _Late:
    """A policy as it stands when the template is written."""

    def __init__(self, statements: Callable[[], Statements]) -> None:
        self._statements = statements

    def produce(self, _context: cdk.IResolveContext) -> Any:
        return _document(self._statements())


@jsii.implements(IValidation)
class _FitsWithTags:
    """The policies' size once more, when all tags are known."""

    def __init__(self, provider: BatchSegmentProvider) -> None:
        self._provider = provider

    def validate(self) -> list[str]:
        try:
            self._provider.check_size(self._provider.tag_keys())
        except ValueError as error:
            return [str(error)]
        return []
