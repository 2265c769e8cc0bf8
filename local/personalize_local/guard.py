"""Who may use the local AWS: programs that have its keys, and never a page in a browser.

A page of any site can send requests to a port of the developer's machine, and this one deploys functions and runs them.
So every request is checked before MiniStack sees it. MiniStack itself trusts an access key that is an account number,
checks no signature of it, takes an unsigned request to S3 for the account's, and answers every page in the browser.
"""

import hmac
import json
import re
import secrets
import sys
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, cast
from urllib.parse import parse_qs, quote, urlsplit

from botocore.auth import HmacV1Auth
from botocore.awsrequest import HTTPHeaders
from botocore.credentials import Credentials
from ministack import app as ministack_app
from ministack.core import iam_evaluator, lambda_runtime, responses, router, sigv4
from ministack.services import lambda_svc
from ministack.services import sts as ministack_sts
from ministack.services.cloudformation import custom_resource

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

# MiniStack's controls: they reset it, change its settings and show messages, and ask for no credentials.
_CONTROLS = re.compile(r"/_(ministack|localstack)(/|$)|/health$")
_ANSWER_OF_A_CUSTOM_RESOURCE = "/_ministack/cfn-response/"
_SIGNAL_OF_A_WAIT_CONDITION = "/_ministack/cfn-signal/"
_DOWNLOADS = ("/_ministack/lambda-code/", "/_ministack/lambda-layers/")
_VERSION_4 = "the local AWS takes signatures of version 4, AWS4-HMAC-SHA256"
_CORS = b"access-control-"
_STARTS = ("http.response.start", "websocket.accept", "websocket.http.response.start")


class RefusedError(Exception):
    """A request that goes no further."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class Guard:
    """An ASGI application in front of another: it refuses everything but signed requests of programs."""

    def __init__(self, app: App, *, port: int, account: str, access_key: str, secret_key: str) -> None:
        """Makes MiniStack's own credentials and links unguessable as well.

        Args:
            app: What gets the requests that are let through.
            port: Where both are served.
            account: The account that the access key belongs to.
            access_key: The access key of the account's root.
            secret_key: Its secret.
        """
        self._app = app
        self._account = account
        self._access_key = access_key
        self._secret_key = secret_key
        port_of_url = f"(:{port})?" if port == 80 else f":{port}"
        # A name under localhost is this machine for every resolver, so no other site can have it; S3 is asked by
        # such names, `bucket.localhost`: https://www.rfc-editor.org/rfc/rfc6761#section-6.3
        self._host = re.compile(rf"(127\.0\.0\.1|([a-z0-9.-]+\.)?localhost){port_of_url}", re.IGNORECASE)
        self._link_key = secrets.token_bytes(32)
        self._tokens: set[str] = set()
        self._guard_links()
        self._guard_sessions_of_functions()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request, or passes it on."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        names = [name.decode("latin-1").lower() for name, _ in scope["headers"]]
        headers: dict[str, str] = {}
        for name, value in zip(names, (value for _, value in scope["headers"]), strict=True):
            # A header on several lines is signed as its values joined by a comma.
            text = sigv4.decode_header_value(value)
            headers[name] = f"{headers[name]},{text}" if name in headers else text
        query = parse_qs(scope["query_string"].decode("utf-8", "replace"), keep_blank_values=True)
        try:
            self._refuse_pages(names, headers)
            if not self._may_be_unsigned(scope, query):
                scope, receive = await self._authenticate(scope, headers, query, receive)
        except RefusedError as refused:
            await _answer(scope, headers, query, refused, receive, send)
            return
        except ConnectionError:
            return
        await self._app(scope, receive, _without_cors(send))

    def _refuse_pages(self, names: list[str], headers: Mapping[str, str]) -> None:
        if names.count("host") != 1 or not self._host.fullmatch(headers["host"]):
            raise RefusedError("AccessDenied", f"the local AWS is not {headers.get('host', '')[:100]!r}")
        # A browser sends one of them with everything that a page asks for; no SDK does.
        # https://developer.mozilla.org/docs/Web/HTTP/Reference/Headers/Sec-Fetch-Site
        if "origin" in names or headers.get("sec-fetch-site", "none") != "none":
            raise RefusedError("AccessDenied", "the local AWS answers no pages in a browser")

    def _may_be_unsigned(self, scope: Scope, query: Mapping[str, list[str]]) -> bool:
        """Whether a request is to a link with a secret in it; all others of MiniStack's controls are closed."""
        path = scope["path"]
        if not _CONTROLS.match(path):
            return False
        method = scope.get("method")
        if method == "PUT" and path.startswith(_ANSWER_OF_A_CUSTOM_RESOURCE):
            is_open = path.removeprefix(_ANSWER_OF_A_CUSTOM_RESOURCE) in self._tokens
        elif method == "PUT" and path.startswith(_SIGNAL_OF_A_WAIT_CONDITION):
            # Not imported before there is a wait condition.
            wait_conditions = sys.modules.get("ministack.services.cloudformation.wait_conditions")
            token = path.removeprefix(_SIGNAL_OF_A_WAIT_CONDITION)
            is_open = wait_conditions is not None and wait_conditions.has_handle(token)
        elif method == "GET" and path.startswith(_DOWNLOADS):
            given = query.get("key", [""])[-1]
            is_open = hmac.compare_digest(given.encode(), self._key_of(path).encode())
        else:
            is_open = False
        if not is_open:
            raise RefusedError("AccessDenied", f"{path[:100]!r} is closed in the local AWS")
        return True

    async def _authenticate(
        self, scope: Scope, headers: dict[str, str], query: dict[str, list[str]], receive: Receive
    ) -> tuple[Scope, Receive]:
        """Checks who signed a request, and that it is the one that was signed."""
        if "authorization" not in headers and "X-Amz-Algorithm" not in query and "AWSAccessKeyId" in query:
            _refuse_other_services(scope, headers, query)
            self._authenticate_version_2(scope, headers, query)
            return scope, receive
        signature, presigned = _signature_of(scope, headers, query)
        if router.extract_access_key_id(headers, query) != signature.access_key_id:
            raise RefusedError("IncompleteSignature", "the request has two access keys")
        token = (query.get("X-Amz-Security-Token") or [""])[0] if presigned else headers.get("x-amz-security-token", "")
        secret = self._secret_of(signature.access_key_id, token)
        if presigned and signature.service == "s3":
            _refuse_other_services(scope, headers, query)
            if _is_expired(signature, query):
                raise RefusedError("AccessDenied", "Request has expired")
        elif failure := sigv4.request_time_failure(signature):
            raise RefusedError(*failure)
        # Not before it is known that the sender has a key.
        body = await _body_of(receive) if scope["type"] == "http" else b""
        method = scope.get("method", "GET")
        failure = sigv4.header_signature_failure(
            signature, secret, method, _raw_path(scope), query, headers, body, presigned=presigned
        )
        if failure:
            raise RefusedError(*failure)
        if signature.access_key_id == self._access_key and not presigned:
            # For MiniStack the account's number is its root, whatever a test sets in the environment.
            key, account = self._access_key.encode(), self._account.encode()
            scope = {
                **scope,
                "headers": [
                    (name, value.replace(b"Credential=" + key, b"Credential=" + account, 1))
                    if name.lower() == b"authorization"
                    else (name, value)
                    for name, value in scope["headers"]
                ],
            }
        return scope, (_replay(body, receive) if scope["type"] == "http" else receive)

    def _authenticate_version_2(self, scope: Scope, headers: Mapping[str, str], query: Mapping[str, list[str]]) -> None:
        """Checks a presigned URL of S3 as boto3 makes them unless it is told otherwise."""
        if any(len(query.get(name, ())) != 1 for name in ("AWSAccessKeyId", "Signature", "Expires")):
            raise RefusedError("IncompleteSignature", "a presigned URL has one access key, signature and expiry")
        expires = query["Expires"][0]
        if not re.fullmatch(r"[0-9]{1,12}", expires) or int(expires) < time.time():
            raise RefusedError("RequestExpired", "Request has expired")
        token = (query.get("x-amz-security-token") or [""])[0]
        credentials = Credentials(
            query["AWSAccessKeyId"][0], self._secret_of(query["AWSAccessKeyId"][0], token), token or None
        )
        bucket = ministack_app._extract_s3_vhost_bucket(headers["host"])
        path = (f"/{bucket}" if bucket else "") + _raw_path(scope)
        fields = HTTPHeaders()
        for name, value in headers.items():
            fields[name] = value
        url = urlsplit(f"http://localhost{path}?{scope['query_string'].decode('latin-1')}")
        expected = _Version2(credentials, expires).get_signature(scope["method"], url, cast(Mapping[str, Any], fields))
        if not hmac.compare_digest(expected.encode(), query["Signature"][0].encode()):
            raise RefusedError("SignatureDoesNotMatch", sigv4.SIGNATURE_MISMATCH)

    def _secret_of(self, access_key: str, token: str) -> str:
        if access_key == self._access_key and not token:
            return self._secret_key
        account = self._account
        if not iam_evaluator.is_root_access_key(access_key):
            account = (
                iam_evaluator.find_iam_access_key_account(access_key)
                or responses._account_from_sts_session(access_key)
                or account
            )
            credential = iam_evaluator.resolve_credential(access_key, account, token)
            if isinstance(credential, iam_evaluator.ResolvedCredential):
                return str(credential.secret_access_key)
            raise RefusedError(credential.code, credential.message)
        raise RefusedError(
            "UnrecognizedClientException",
            f"The security token included in the request is invalid: {access_key[:40]!r} is no access key of this run "
            "of the local AWS; take the AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY that it gives",
        )

    def _guard_links(self) -> None:
        register = custom_resource.register_token

        def register_token(token: str) -> Any:
            self._tokens.add(token)
            return register(token)

        custom_resource.register_token = register_token
        code, layer = lambda_svc._presigned_code_url, lambda_svc._layer_content_url

        def with_key(url: str) -> str:
            path = "/" + url.partition("://")[2].partition("/")[2].partition("?")[0]
            return f"{url}{'&' if '?' in url else '?'}key={self._key_of(path)}"

        lambda_svc._presigned_code_url = lambda *arguments: with_key(code(*arguments))
        lambda_svc._layer_content_url = lambda *arguments: with_key(layer(*arguments))

    def _key_of(self, path: str) -> str:
        return hmac.digest(self._link_key, path.encode(), "sha256").hex()

    def _guard_sessions_of_functions(self) -> None:
        # MiniStack derives the credentials of a function from its ARN and its role's, which anybody can guess.
        original = lambda_runtime.execution_credentials

        def execution_credentials(config: dict[str, Any]) -> dict[str, str]:
            guessable = original(config)
            session = ministack_sts._sessions.pop(guessable["AWS_ACCESS_KEY_ID"])
            digest = hmac.digest(self._link_key, guessable["AWS_ACCESS_KEY_ID"].encode(), "sha512").hex()
            access_key, secret_key, token = f"ASIA{digest[:16].upper()}", digest[16:56], digest[56:]
            ministack_sts.register_session(
                access_key, {**session, "SecretAccessKey": secret_key, "SessionToken": token}
            )
            return {"AWS_ACCESS_KEY_ID": access_key, "AWS_SECRET_ACCESS_KEY": secret_key, "AWS_SESSION_TOKEN": token}

        for module in (lambda_runtime, lambda_svc):
            module.execution_credentials = execution_credentials


def _signature_of(
    scope: Scope, headers: Mapping[str, str], query: Mapping[str, list[str]]
) -> tuple[sigv4.HeaderSignature, bool]:
    """The signature of a request, and whether it is in the query string."""
    if sum(name.lower() == b"authorization" for name, _ in scope["headers"]) > 1:
        raise RefusedError("IncompleteSignature", "the request has two signatures")
    authorization = headers.get("authorization")
    presigned = authorization is None
    if authorization is not None:
        if not authorization.startswith("AWS4-HMAC-SHA256 "):
            raise RefusedError("IncompleteSignature", _VERSION_4)
        signature = sigv4.parse_header_signature(headers)
    elif query.get("X-Amz-Algorithm") == ["AWS4-HMAC-SHA256"]:
        if any(len(values) != 1 for name, values in query.items() if name.lower().startswith("x-amz-")):
            raise RefusedError("IncompleteSignature", "the request has two signatures")
        signature = sigv4.parse_query_signature(query)
    elif "X-Amz-Algorithm" in query:
        raise RefusedError("IncompleteSignature", _VERSION_4)
    else:
        raise RefusedError(
            "MissingAuthenticationToken", "Missing Authentication Token: the local AWS takes signed requests"
        )
    if isinstance(signature, tuple):
        raise RefusedError(*signature)
    return signature, presigned


class _Version2(HmacV1Auth):
    """The signature of a presigned URL: it has the time of its end where others have that of their making."""

    def __init__(self, credentials: Credentials, expires: str) -> None:
        super().__init__(credentials)
        self._expires = expires

    def _get_date(self) -> str:
        return self._expires


def _raw_path(scope: Scope) -> str:
    return str((scope.get("raw_path") or quote(scope["path"]).encode()).decode("latin-1"))


def _refuse_other_services(scope: Scope, headers: dict[str, str], query: dict[str, list[str]]) -> None:
    # The URL of an object signs neither the body nor all headers and parameters, which could name another service.
    if scope["type"] != "http" or router.detect_service(scope["method"], scope["path"], headers, query) != "s3":
        raise RefusedError("SignatureDoesNotMatch", sigv4.SIGNATURE_MISMATCH)


def _is_expired(signature: sigv4.HeaderSignature, query: Mapping[str, list[str]]) -> bool:
    try:
        return bool(sigv4.presigned_request_is_expired(signature.amz_date, query["X-Amz-Expires"][0]))
    except (KeyError, ValueError):
        return True


async def _body_of(receive: Receive) -> bytes:
    chunks: list[bytes] = []
    more = True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            raise ConnectionAbortedError
        chunks.append(message.get("body", b""))
        more = message.get("more_body", False)
    return b"".join(chunks)


def _replay(body: bytes, receive: Receive) -> Receive:
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> dict[str, Any]:
        return messages.pop() if messages else await receive()

    return replay


def _without_cors(send: Send) -> Send:
    # MiniStack lets every page in a browser read its answers.
    async def send_without(message: dict[str, Any]) -> None:
        if message["type"] in _STARTS:
            headers = message.get("headers", [])
            message = {**message, "headers": [pair for pair in headers if not pair[0].lower().startswith(_CORS)]}
        await send(message)

    return send_without


async def _answer(
    scope: Scope,
    headers: dict[str, str],
    query: dict[str, list[str]],
    refused: RefusedError,
    receive: Receive,
    send: Send,
) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1008})
        return
    if headers.get("x-amz-target", "").startswith("AmazonPersonalize."):
        status, fields = 403, {"Content-Type": "application/x-amz-json-1.1"}
        body = json.dumps({"__type": refused.code, "message": refused.message}).encode()
    else:
        # In the words of the service that was asked, so that an SDK understands them.
        service = router.detect_service(scope["method"], scope["path"], headers, query)
        failure = iam_evaluator.AuthError(refused.code, refused.message)
        status, fields, body = ministack_app._credential_failure(service, "", str(uuid.uuid4()), failure, headers)
    body = b"" if scope["method"] == "HEAD" else body
    pairs = [(name.lower().encode(), value.encode()) for name, value in fields.items()]
    pairs.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": pairs})
    await send({"type": "http.response.body", "body": body})
