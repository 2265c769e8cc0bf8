"""Calls of AWS services that a service makes with a role: Step Functions, EventBridge Scheduler."""

import contextvars
import os
import threading
import time
from typing import Any

import boto3
from botocore.config import Config
from ministack.core import iam_evaluator, responses

from .iam import create_role_session, is_trusted

# A session of a role is valid for an hour.
_MAX_CLIENT_SECONDS = 3000


class Roles:
    """Creates clients that act as a role, and decides what a role may do, in the account and region in use."""

    def __init__(self) -> None:
        """Connects to the local AWS that the environment names."""
        self._lock = threading.Lock()
        # The overloads of boto3's stubs take literals.
        self._session: Any = boto3.Session(region_name=os.environ["MINISTACK_REGION"])
        self._endpoint_url = os.environ["AWS_ENDPOINT_URL"]
        self._clients: dict[tuple[str, ...], tuple[float, Any]] = {}
        self._access_keys: dict[tuple[str, ...], tuple[float, str]] = {}

    def client(self, service: str, role_arn: str, session_name: str) -> Any:
        """Creates a client of a service that acts as a role.

        Args:
            service: The service's name in boto3.
            role_arn: The role.
            session_name: The name of the role's session, for error messages.
        """
        key = (service, role_arn, session_name, responses.get_region())
        # Creating a client is not thread-safe:
        # https://boto3.amazonaws.com/v1/documentation/api/latest/guide/session.html#multithreading-or-multiprocessing-with-sessions
        with self._lock:
            created, client = self._clients.get(key, (0.0, None))
            if time.monotonic() - created > _MAX_CLIENT_SECONDS or client is None:
                client = self._session.client(
                    service,
                    region_name=responses.get_region(),
                    endpoint_url=self._endpoint_url,
                    config=Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}),
                    **create_role_session(role_arn, session_name),
                )
                self._clients[key] = (time.monotonic(), client)
            return client

    def denial(
        self, action: str, resource: str, role_arn: str, session_name: str, context: dict[str, Any] | None = None
    ) -> str | None:
        """Returns why a role may not do something, or None if it may.

        Args:
            action: For example ``"lambda:InvokeFunction"``.
            resource: The ARN of the resource.
            role_arn: The role.
            session_name: The name of the role's session.
            context: Condition keys and their values.
        """
        access_key = self._access_key(role_arn, session_name)
        account, region = responses.get_account_id(), responses.get_region()

        def enforce() -> Any:
            responses.set_request_account_id(account)
            responses.set_request_region(region)
            iam_evaluator.pin_request_origin("127.0.0.1", True)
            return iam_evaluator.enforce(access_key, action, action.partition(":")[0], region, resource, context or {})

        # In a context of its own: the thread's context has the signature of the request that started the work.
        denied = contextvars.Context().run(enforce)
        if denied is None:
            return None
        if isinstance(denied, iam_evaluator.AuthError):
            return str(denied.message)
        why = (
            "with an explicit deny"
            if denied.decision == "Deny"
            else f"because no identity-based policy allows the {action} action"
        )
        return f"User: {denied.principal_arn} is not authorized to perform: {action} on resource: {resource} {why}"

    def _access_key(self, role_arn: str, session_name: str) -> str:
        key = (role_arn, session_name)
        with self._lock:
            created, access_key = self._access_keys.get(key, (0.0, ""))
            if time.monotonic() - created > _MAX_CLIENT_SECONDS or not access_key:
                access_key = create_role_session(role_arn, session_name)["aws_access_key_id"]
                self._access_keys[key] = (time.monotonic(), access_key)
            return access_key


def may_be_assumed(role_arn: str, service: str, source_arn: str) -> bool:
    """Returns whether a role's trust policy allows a service to assume it.

    Args:
        role_arn: The role.
        service: The service principal, for example ``"states.amazonaws.com"``.
        source_arn: The ``aws:SourceArn`` of the request.
    """
    return is_trusted(role_arn, service, responses.get_account_id(), responses.get_region(), source_arn)
