"""Access to the local AWS: only programs with its access keys, and never a web page.

Any web page can send requests to a port of the developer's machine, and the local AWS deploys and runs functions.
Therefore, every request is checked before MiniStack receives it. MiniStack itself answers every web page.
"""

import json
import re
import uuid
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs

from ministack import app as ministack_app
from ministack.core import iam_evaluator, router, sigv4

from . import request_validation
from .asgi import App, Receive, Scope, Send
from .environment import Connection
from .errors import RejectedError
from .links import Links
from .signatures import SignatureCheck

_CORS_PREFIX = b"access-control-"
_RESPONSE_STARTS = ("http.response.start", "websocket.accept", "websocket.http.response.start")


class Guard:
    """An ASGI application in front of another one. It rejects everything except signed requests of programs."""

    def __init__(self, app: App, connection: Connection) -> None:
        """Starts to guard an application, and MiniStack's links and credentials.

        Args:
            app: The application that receives accepted requests.
            connection: The URL and the access key of the local AWS.
        """
        self._app = app
        self._connection = connection
        self._links = Links()
        self._signature_check = SignatureCheck(connection)
        port = connection.endpoint_url.rpartition(":")[2]
        optional_port = f"(:{port})?" if port == "80" else f":{port}"
        # Names under localhost always resolve to this machine, so no other site can own one. SDKs call S3 by names
        # like `bucket.localhost`: https://www.rfc-editor.org/rfc/rfc6761#section-6.3
        self._host = re.compile(rf"(127\.0\.0\.1|([a-z0-9.-]+\.)?localhost){optional_port}", re.IGNORECASE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Rejects a request, or passes it on."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        names = [name.decode("latin-1").lower() for name, _ in scope["headers"]]
        headers: dict[str, str] = {}
        for name, value in zip(names, (value for _, value in scope["headers"]), strict=True):
            # The signature of a repeated header covers its values joined by a comma.
            text = sigv4.decode_header_value(value)
            headers[name] = f"{headers[name]},{text}" if name in headers else text
        query = parse_qs(scope["query_string"].decode("utf-8", "replace"), keep_blank_values=True)
        try:
            self._reject_web_pages(names, headers)
            if not self._links.allows(scope.get("method"), scope["path"], query):
                body = await self._signature_check.check(scope, headers, query, receive)
                scope = self._with_root_of_ministack(scope)
                receive = receive if body is None else _replay(body, receive)
        except RejectedError as rejected:
            await _answer(scope, headers, query, rejected, receive, send)
            return
        except ConnectionError:
            return
        await self._app(scope, receive, _without_cors(send))

    def _with_root_of_ministack(self, scope: Scope) -> Scope:
        """Replaces the root user's access key, since MiniStack's root user has the account ID as its access key."""
        own = f"Credential={self._connection.access_key}/".encode()
        root = f"Credential={self._connection.account}/".encode()
        headers = [
            (name, value.replace(own, root, 1) if name.lower() == b"authorization" else value)
            for name, value in scope["headers"]
        ]
        return {**scope, "headers": headers}

    def _reject_web_pages(self, names: list[str], headers: Mapping[str, str]) -> None:
        if names.count("host") != 1 or not self._host.fullmatch(headers["host"]):
            raise RejectedError("AccessDenied", f"the local AWS is not {headers.get('host', '')[:100]!r}")
        # Browsers send one of these headers with every request of a page. SDKs do not.
        # https://developer.mozilla.org/docs/Web/HTTP/Reference/Headers/Sec-Fetch-Site
        if "origin" in names or headers.get("sec-fetch-site", "none") != "none":
            raise RejectedError("AccessDenied", "the local AWS does not respond to pages in a browser")


def _replay(body: bytes, receive: Receive) -> Receive:
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> dict[str, Any]:
        return messages.pop() if messages else await receive()

    return replay


def _without_cors(send: Send) -> Send:
    # MiniStack allows every web page to read its answers.
    async def send_without_cors(message: dict[str, Any]) -> None:
        if message["type"] in _RESPONSE_STARTS:
            headers = message.get("headers", [])
            kept = [header for header in headers if not header[0].lower().startswith(_CORS_PREFIX)]
            message = {**message, "headers": kept}
        await send(message)

    return send_without_cors


async def _answer(
    scope: Scope,
    headers: dict[str, str],
    query: dict[str, list[str]],
    rejected: RejectedError,
    receive: Receive,
    send: Send,
) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1008})
        return
    if request_validation.is_personalize(headers):
        status, fields = 403, {"Content-Type": "application/x-amz-json-1.1"}
        body = json.dumps({"__type": rejected.code, "message": rejected.message}).encode()
    else:
        # In the error format of the service, so that an SDK can parse it.
        service = router.detect_service(scope["method"], scope["path"], headers, query)
        failure = iam_evaluator.AuthError(rejected.code, rejected.message)
        status, fields, body = ministack_app._credential_failure(service, "", str(uuid.uuid4()), failure, headers)
    body = b"" if scope["method"] == "HEAD" else body
    pairs = [(name.lower().encode(), value.encode()) for name, value in fields.items()]
    pairs.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": pairs})
    await send({"type": "http.response.body", "body": body})
