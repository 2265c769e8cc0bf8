"""Makes MiniStack's links and the credentials of Lambda functions unguessable.

MiniStack serves some links without a signature: the responses of custom resources, the signals of wait conditions, and
the code of functions and layers. It derives the credentials of a function from the ARNs of the function and its role.
"""

import hmac
import re
import secrets
import sys
import threading
from collections.abc import Mapping
from typing import Any

from ministack.core import lambda_runtime
from ministack.services import lambda_svc
from ministack.services import sts as ministack_sts
from ministack.services.cloudformation import custom_resource

from .errors import RejectedError
from .patching import replace

# MiniStack's control API needs no credentials. It resets MiniStack, changes its settings and shows messages.
_CONTROLS = re.compile(r"/_(ministack|localstack)(/|$)|/health$")
_CUSTOM_RESOURCE_RESPONSE = "/_ministack/cfn-response/"
_WAIT_CONDITION_SIGNAL = "/_ministack/cfn-signal/"
_DOWNLOADS = ("/_ministack/lambda-code/", "/_ministack/lambda-layers/")


class Links:
    """The links that need no signature because they contain a secret."""

    def __init__(self) -> None:
        """Adds a key to the links to code, and replaces the credentials of functions."""
        self._key = secrets.token_bytes(32)
        self._tokens: set[str] = set()
        self._record_tokens()
        self._add_keys_to_downloads()
        self._replace_function_credentials()

    def allows(self, method: str | None, path: str, query: Mapping[str, list[str]]) -> bool:
        """Returns whether a request is to a link with a valid secret.

        Raises:
            RejectedError: The request is to a link without one, or to another part of MiniStack's control API.
        """
        if not _CONTROLS.match(path):
            return False
        if method == "PUT" and path.startswith(_CUSTOM_RESOURCE_RESPONSE):
            is_valid = path.removeprefix(_CUSTOM_RESOURCE_RESPONSE) in self._tokens
        elif method == "PUT" and path.startswith(_WAIT_CONDITION_SIGNAL):
            # MiniStack imports the module with the first wait condition.
            wait_conditions = sys.modules.get("ministack.services.cloudformation.wait_conditions")
            token = path.removeprefix(_WAIT_CONDITION_SIGNAL)
            is_valid = wait_conditions is not None and wait_conditions.has_handle(token)
        elif method == "GET" and path.startswith(_DOWNLOADS):
            key = query.get("key", [""])[-1]
            is_valid = hmac.compare_digest(key.encode(), self._key_of(path).encode())
        else:
            is_valid = False
        if not is_valid:
            raise RejectedError("AccessDenied", f"{path[:100]!r} is closed in the local AWS")
        return True

    def _record_tokens(self) -> None:
        register = custom_resource.register_token

        def register_token(token: str) -> Any:
            self._tokens.add(token)
            return register(token)

        custom_resource.register_token = register_token

    def _add_keys_to_downloads(self) -> None:
        code_url, layer_url = lambda_svc._presigned_code_url, lambda_svc._layer_content_url

        def with_key(url: str) -> str:
            path = "/" + url.partition("://")[2].partition("/")[2].partition("?")[0]
            return f"{url}{'&' if '?' in url else '?'}key={self._key_of(path)}"

        lambda_svc._presigned_code_url = lambda *args: with_key(code_url(*args))
        lambda_svc._layer_content_url = lambda *args: with_key(layer_url(*args))

    def _key_of(self, path: str) -> str:
        return hmac.digest(self._key, path.encode(), "sha256").hex()

    def _replace_function_credentials(self) -> None:
        original = lambda_runtime.execution_credentials
        # Functions that start at the same time add sessions while MiniStack looks for expired ones, and processes of
        # one function have the same guessable session.
        lock = threading.RLock()

        def one_at_a_time(register: Any) -> Any:
            def register_session(access_key: str, session: dict[str, Any]) -> None:
                with lock:
                    register(access_key, session)

            return register_session

        replace(ministack_sts, "register_session", "access_key session", one_at_a_time)

        def execution_credentials(config: dict[str, Any]) -> dict[str, str]:
            with lock:
                guessable = original(config)
                session = ministack_sts._sessions.pop(guessable["AWS_ACCESS_KEY_ID"])
            digest = hmac.digest(self._key, guessable["AWS_ACCESS_KEY_ID"].encode(), "sha512").hex()
            access_key, secret_key, token = f"ASIA{digest[:16].upper()}", digest[16:56], digest[56:]
            ministack_sts.register_session(
                access_key, {**session, "SecretAccessKey": secret_key, "SessionToken": token}
            )
            return {"AWS_ACCESS_KEY_ID": access_key, "AWS_SECRET_ACCESS_KEY": secret_key, "AWS_SESSION_TOKEN": token}

        for module in (lambda_runtime, lambda_svc):
            module.execution_credentials = execution_credentials
