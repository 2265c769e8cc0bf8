"""The ASGI application that answers requests to Personalize and passes all others to MiniStack."""

import asyncio
import json
import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from ministack.core import iam_evaluator, responses, router

from . import request_validation
from .control import TARGET, Control
from .errors import ServiceError
from .faults import Fault, Faults
from .iam import Caller
from .service import Personalize

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class PersonalizeApp:
    """An ASGI application that translates between HTTP and `Personalize`, and injects faults."""

    def __init__(self, personalize: Personalize, control: Control, faults: Faults, ministack: App) -> None:
        """Connects the services.

        Args:
            personalize: The local Personalize.
            control: Answers the command `personalize-local`.
            faults: The faults to inject into Personalize's answers.
            ministack: The application for all other services.
        """
        self._personalize = personalize
        self._control = control
        self._faults = faults
        self._ministack = ministack

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request."""
        if scope["type"] == "http":
            # Policies require TLS (aws:SecureTransport). Between two programs on one machine it adds nothing.
            scope = {**scope, "scheme": "https"}
            headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
            if request_validation.is_personalize(headers) or headers.get("x-amz-target", "").startswith(TARGET):
                await self._answer(scope, headers, receive, send)
                return
        await self._ministack(scope, receive, send)

    async def _answer(self, scope: Scope, headers: dict[str, str], receive: Receive, send: Send) -> None:
        body = await read_body(receive)
        fault = self._faults.next_fault(headers["x-amz-target"].rpartition(".")[2])
        if fault is not None:
            await asyncio.sleep(fault.delay)
        fails = fault is not None and (fault.code is not None or fault.reset or fault.malformed)
        status, answer = 200, {}
        if fault is None or fault.after or not fails:
            try:
                # In a thread, because the service calls S3, which this event loop serves.
                answer = await asyncio.to_thread(self._handle, scope, headers, body)
            except ServiceError as error:
                status, answer = error.status, {"__type": error.code, "message": error.message}
        if fault is not None and fault.code is not None:
            status, answer = fault.status, {"__type": fault.code, "message": fault.message}
        await _send(status, answer, fault, send)

    def _handle(self, scope: Scope, headers: Mapping[str, str], body: bytes) -> dict[str, Any]:
        access_key = router.extract_access_key_id(headers, {})
        if not access_key:
            raise ServiceError("MissingAuthenticationTokenException", "Missing Authentication Token", 403)
        # As MiniStack does before each call of its evaluator.
        responses.set_request_account_id(iam_evaluator.find_iam_access_key_account(access_key) or access_key)
        responses.set_request_region(router.extract_region(headers, {}))
        iam_evaluator.pin_request_origin("127.0.0.1", True)
        iam_evaluator.pin_signed_request(scope["method"], scope["path"], {}, scope["headers"])
        iam_evaluator.pin_signed_body(body)
        caller = Caller(access_key, responses.get_account_id(), responses.get_region())
        try:
            request = json.loads(body or b"{}")
        except ValueError as error:
            raise ServiceError("SerializationException", f"the request is not JSON: {error}") from error
        target = headers["x-amz-target"]
        if target.startswith(TARGET):
            return self._control.answer(target, request, access_key)
        return self._personalize.answer(request_validation.operation_of(target), request, caller)


async def read_body(receive: Receive) -> bytes:
    """Reads the body of a request.

    Raises:
        ConnectionAbortedError: The client disconnected.
    """
    chunks: list[bytes] = []
    has_more = True
    while has_more:
        message = await receive()
        if message["type"] != "http.request":
            raise ConnectionAbortedError
        chunks.append(message.get("body", b""))
        has_more = message.get("more_body", False)
    return b"".join(chunks)


async def _send(status: int, answer: dict[str, Any], fault: Fault | None, send: Send) -> None:
    content = b"<html>nonsense" if fault is not None and fault.malformed else json.dumps(answer).encode()
    length = len(content)
    if fault is not None and fault.reset:
        # The server cuts the connection if a body ends before its length.
        content, length = b"", 1000
    headers = [
        (b"content-type", b"application/x-amz-json-1.1"),
        (b"content-length", str(length).encode()),
        (b"x-amzn-requestid", str(uuid.uuid4()).encode()),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})
