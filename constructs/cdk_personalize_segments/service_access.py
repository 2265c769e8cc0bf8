"""Attaches the permissions of Personalize: to the role that it assumes, and to the policies of buckets and keys.

Personalize needs the same permissions twice, in the role's policy and in the buckets' policies:
https://docs.aws.amazon.com/personalize/latest/dg/granting-personalize-s3-access.html
"""

from collections.abc import Callable, Iterator, Mapping

import aws_cdk as cdk
import aws_cdk.aws_iam as iam
import aws_cdk.aws_s3 as s3
import jsii
from constructs import Construct, IDependable, IValidation

from . import validation
from .buckets import BucketInfo, object_pattern
from .permissions import of_personalize, of_readers


class ServiceAccess:
    """The permissions of one storage's service role. They grow with the jobs that use the storage."""

    def __init__(
        self,
        scope: Construct,
        role: iam.IRole,
        role_arn: str,
        account: str,
        *,
        conditions: Mapping[str, Mapping[str, str]],
        limits_prefixes: bool,
    ) -> None:
        """Starts with nothing.

        Args:
            scope: The storage.
            role: The role that Personalize assumes.
            role_arn: The ARN of that role.
            account: The stack's account.
            conditions: The conditions in the policies of buckets and keys.
            limits_prefixes: Whether a bucket may be listed under the prefixes of jobs only.
        """
        self._scope = scope
        self._role = role
        self._role_arn = role_arn
        self._account = account
        self._conditions = conditions
        self._limits_prefixes = limits_prefixes
        self._service = iam.ServicePrincipal(of_personalize.SERVICE)
        self._grants: dict[tuple[s3.IBucket, str], _Grant] = {}
        # Maps each bucket, role or key to its policy. None means that the policy cannot be modified (an imported
        # resource). Decided when the first statement is added.
        self._policies: dict[object, IDependable | None] = {}
        # Statements that the user must add, by warning id and resource.
        self._unattached: dict[tuple[str, str], list[iam.PolicyStatement]] = {}

    def allow(self, bucket: s3.IBucket, info: BucketInfo, action: str, location: str) -> None:
        """Grants Personalize an action on objects, to list their bucket, and to use its key.

        Args:
            bucket: The bucket.
            info: The bucket's attributes.
            action: ``s3:GetObject`` or ``s3:PutObject``.
            location: The key of an object, or a prefix ending in "/".
        """
        is_first = (bucket, "s3:ListBucket") not in self._grants
        self._grant(bucket, info, "s3:ListBucket", info.arn, prefix=location)
        if is_first:
            self._allow_key(info)
        self._grant(bucket, info, action, f"{info.arn}/{object_pattern(location)}")

    def allow_handler(self, info: BucketInfo, *, reads: str | None = None, writes: str | None = None) -> None:
        """Lists the statements that the handler needs in the policies of another account's bucket and key.

        In its own account the handler's policy is enough.

        Args:
            info: The bucket.
            reads: The key or prefix that the handler lists and reads.
            writes: The prefix that the handler writes to.
        """
        if not info.is_foreign:
            return
        account = iam.AccountPrincipal(self._account)
        for statement in of_readers.handler_on_foreign_bucket(account, info, reads=reads, writes=writes):
            self._record_unattached("bucketPolicy", f"the bucket {info.name}", statement)
        if info.key_arn is not None:
            statement = of_readers.handler_on_foreign_key(account, writes=writes is not None)
            self._record_unattached("keyPolicy", f"the key {info.key_arn}", statement)

    def allow_results(self, info: BucketInfo, prefix: str) -> None:
        """Lists the statements that a Distributed Map needs to write results to another account's bucket.

        Args:
            info: The bucket.
            prefix: The folder of the results, ending in "/".
        """
        if not info.is_foreign:
            return
        account = iam.AccountPrincipal(self._account)
        statement = of_readers.results_on_foreign_bucket(account, info, prefix)
        self._record_unattached("bucketPolicy", f"the bucket {info.name}", statement)
        if info.key_arn is not None:
            statement = of_readers.handler_on_foreign_key(account, writes=True)
            self._record_unattached("keyPolicy", f"the key {info.key_arn}", statement)

    @property
    def policies(self) -> list[IDependable]:
        """The policies that must be in place before a job is created."""
        return [policy for policy in self._policies.values() if policy is not None]

    def objects(self) -> Iterator[list[str]]:
        """The resources of each action that the role is granted."""
        for grant in self._grants.values():
            yield [*grant.resources]

    def _grant(
        self, bucket: s3.IBucket, info: BucketInfo, action: str, resource: str, prefix: str | None = None
    ) -> None:
        grant = self._grants.get((bucket, action))
        if grant is not None:
            grant.add(resource, prefix)
            return
        grant = self._grants[bucket, action] = _Grant(
            of_personalize.service_role_on_bucket(action, resource, info.account),
            of_personalize.service_on_bucket(self._service, action, resource, self._conditions),
            resource,
            prefixes=[prefix] if self._limits_prefixes and prefix is not None else None,
        )
        self._add_to_role(grant.role_statement)
        policy = self._policies.get(bucket)
        if isinstance(policy, s3.BucketPolicy):
            # `add_to_resource_policy` would return a result, each part of which is another jsii call.
            policy.document.add_statements(grant.bucket_statement)
            return
        result = bucket.add_to_resource_policy(grant.bucket_statement)
        if bucket not in self._policies:
            self._policies[bucket] = result.policy_dependable if result.statement_added else None
        if self._policies[bucket] is None:
            self._record_unattached("bucketPolicy", f"the bucket {info.name}", grant.bucket_statement)

    def _add_to_role(self, statement: iam.PolicyStatement) -> None:
        if self._policies.get(self._role) is not None and isinstance(self._role, iam.Role):
            # The policy is already known. `add_to_policy` saves the two jsii calls that `add_to_principal_policy` needs
            # for its result.
            self._role.add_to_policy(statement)
            return
        result = self._role.add_to_principal_policy(statement)
        if self._role not in self._policies:
            # An imported immutable role reports `statement_added=True` although nothing was added. A mutable role has a
            # child named "Policy".
            was_added = isinstance(self._role, iam.Role) or self._role.node.try_find_child("Policy") is not None
            self._policies[self._role] = result.policy_dependable if was_added else None
        if self._policies[self._role] is None:
            self._record_unattached("rolePolicy", f"the role {self._role_arn}", statement)

    def _allow_key(self, info: BucketInfo) -> None:
        key = info.key
        if key is None or info.key_arn is None or key in self._policies:
            return
        validation.check_key("encryption_key", key)
        self._add_to_role(of_personalize.service_role_on_key(info.key_arn))
        in_same_stack = cdk.Stack.of(key) is cdk.Stack.of(self._role)
        # A key of another stack cannot name a role of this one, which names the key. Its account lets the role's own
        # policy decide: https://docs.aws.amazon.com/kms/latest/developerguide/key-policy-default.html
        role = iam.ArnPrincipal(self._role_arn) if in_same_stack else iam.AccountPrincipal(self._account)
        for principal, conditions in ((self._service, self._conditions), (role, {})):
            statement = of_personalize.service_on_key(principal, conditions)
            # A key's policy is part of the key.
            added = key.add_to_resource_policy(statement).statement_added
            self._policies[key] = key if added else None
            if not added:
                self._record_unattached("keyPolicy", f"the key {info.key_arn}", statement)

    def _record_unattached(self, id: str, owner: str, statement: iam.PolicyStatement) -> None:
        if not self._unattached:
            self._scope.node.add_validation(_UnattachedStatements(self._warn))
        self._unattached.setdefault((id, owner), []).append(statement)

    def _warn(self) -> None:
        stack = cdk.Stack.of(self._scope)
        for (id, owner), statements in self._unattached.items():
            listed = validation.pasteable(stack, [statement.to_statement_json() for statement in statements])
            cdk.Annotations.of(self._scope).add_warning_v2(
                f"{validation.WARNING}:{id}",
                f"cannot modify the policy of {owner} because it is imported. Add these statements to it so that "
                f"Amazon Personalize and the deployment can access it: {listed}",
            )


@jsii.implements(IValidation)
class _UnattachedStatements:
    """Warns of policies that cannot be modified, when all statements are known."""

    def __init__(self, warn: Callable[[], None]) -> None:
        self._warn = warn

    def validate(self) -> list[str]:
        self._warn()
        return []


class _Grant:
    """One action on one bucket, in the role's policy and in the bucket's."""

    def __init__(
        self,
        role_statement: iam.PolicyStatement,
        bucket_statement: iam.PolicyStatement,
        resource: str,
        *,
        prefixes: list[str] | None,
    ) -> None:
        self.role_statement = role_statement
        self.bucket_statement = bucket_statement
        # An ordered set.
        self.resources: dict[str, None] = {resource: None}
        self._prefixes = prefixes
        self._limit_prefixes()

    def add(self, resource: str, prefix: str | None) -> None:
        """Extends the statements to one more resource, or to one more prefix that may be listed."""
        if resource not in self.resources:
            self.resources[resource] = None
            self.role_statement.add_resources(resource)
            self.bucket_statement.add_resources(resource)
        if self._prefixes is not None and prefix is not None and prefix not in self._prefixes:
            self._prefixes.append(prefix)
            self._limit_prefixes()

    def _limit_prefixes(self) -> None:
        if self._prefixes is not None:
            # A statement keeps the last condition of an operator and key that it was given.
            for statement in (self.role_statement, self.bucket_statement):
                statement.add_condition("StringLike", of_personalize.list_condition(self._prefixes))
