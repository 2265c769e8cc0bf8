"""Checks the signatures of requests.

MiniStack trusts an access key that is an account ID, does not check its signature, and treats an unsigned request to S3
as one of the account.
"""

import hmac
import re
import time
from collections.abc import Mapping
from typing import Any, cast
from urllib.parse import quote, urlsplit

from botocore.auth import HmacV1Auth
from botocore.awsrequest import HTTPHeaders
from botocore.credentials import Credentials
from ministack import app as ministack_app
from ministack.core import iam_evaluator, responses, router, sigv4

from .asgi import Receive, Scope, read_body
from .environment import Connection
from .errors import RejectedError

_VERSION_4 = "the local AWS expects signatures of version 4, AWS4-HMAC-SHA256"

Query = Mapping[str, list[str]]
Headers = Mapping[str, str]


class SignatureCheck:
    """Checks who signed a request, and that nobody changed it afterwards."""

    def __init__(self, connection: Connection) -> None:
        """Prepares to check signatures.

        Args:
            connection: The access key of the account's root user.
        """
        self._connection = connection

    async def check(self, scope: Scope, headers: Headers, query: Query, receive: Receive) -> bytes | None:
        """Checks the signature of a request.

        Returns:
            The body of the request. None if it was not read: a web socket has none, and version 2 does not sign it.

        Raises:
            RejectedError: The signature is missing or wrong.
            ConnectionError: The client disconnected.
        """
        if "authorization" not in headers and "X-Amz-Algorithm" not in query and "AWSAccessKeyId" in query:
            self._check_version_2(scope, headers, query)
            return None
        signature, is_presigned = _parse_version_4(scope, headers, query)
        _require_one_access_key(headers, query, signature.access_key_id)
        if is_presigned:
            token = (query.get("X-Amz-Security-Token") or [""])[0]
        else:
            token = headers.get("x-amz-security-token", "")
        secret = self._secret_of(signature.access_key_id, token)
        if is_presigned and signature.service == "s3":
            _reject_other_services(scope, headers, query)
            if _is_expired(signature, query):
                raise RejectedError("AccessDenied", "Request has expired")
        elif failure := sigv4.request_time_failure(signature):
            raise RejectedError(*failure)
        # Read the body only of senders that have an access key.
        body = await read_body(receive) if scope["type"] == "http" else None
        method = scope.get("method", "GET")
        failure = sigv4.header_signature_failure(
            signature, secret, method, _raw_path(scope), query, headers, body or b"", presigned=is_presigned
        )
        if failure:
            raise RejectedError(*failure)
        return body

    def _check_version_2(self, scope: Scope, headers: Headers, query: Query) -> None:
        """Checks a presigned URL of S3 as boto3 makes it by default."""
        _reject_other_services(scope, headers, query)
        # Version 2 signs no other parameter, and MiniStack prefers the access key of version 4.
        _require_one_access_key(headers, query, query["AWSAccessKeyId"][0])
        if any(len(query.get(name, ())) != 1 for name in ("AWSAccessKeyId", "Signature", "Expires")):
            raise RejectedError("IncompleteSignature", "a presigned URL has one access key, signature and expiry")
        expires = query["Expires"][0]
        if not re.fullmatch(r"[0-9]{1,12}", expires) or int(expires) < time.time():
            raise RejectedError("RequestExpired", "Request has expired")
        token = (query.get("x-amz-security-token") or [""])[0]
        access_key = query["AWSAccessKeyId"][0]
        credentials = Credentials(access_key, self._secret_of(access_key, token), token or None)
        bucket = ministack_app._extract_s3_vhost_bucket(headers["host"])
        path = (f"/{bucket}" if bucket else "") + _raw_path(scope)
        fields = HTTPHeaders()
        for name, value in headers.items():
            fields[name] = value
        url = urlsplit(f"http://localhost{path}?{scope['query_string'].decode('latin-1')}")
        signer = _PresignedUrlAuth(credentials, expires)
        expected = signer.get_signature(scope["method"], url, cast(Mapping[str, Any], fields))
        if not hmac.compare_digest(expected.encode(), query["Signature"][0].encode()):
            raise RejectedError("SignatureDoesNotMatch", sigv4.SIGNATURE_MISMATCH)

    def _secret_of(self, access_key: str, token: str) -> str:
        if access_key == self._connection.access_key and not token:
            return self._connection.secret_key
        if not iam_evaluator.is_root_access_key(access_key):
            account = (
                iam_evaluator.find_iam_access_key_account(access_key)
                or responses._account_from_sts_session(access_key)
                or self._connection.account
            )
            credential = iam_evaluator.resolve_credential(access_key, account, token)
            if isinstance(credential, iam_evaluator.ResolvedCredential):
                return str(credential.secret_access_key)
            raise RejectedError(credential.code, credential.message)
        raise RejectedError(
            "UnrecognizedClientException",
            f"The security token included in the request is invalid: {access_key[:40]!r} is not an access key of this "
            "run of the local AWS; use the AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY of `personalize-local env`",
        )


def _parse_version_4(scope: Scope, headers: Headers, query: Query) -> tuple[sigv4.HeaderSignature, bool]:
    """Returns the signature of a request, and whether it is in the query string."""
    if sum(name.lower() == b"authorization" for name, _ in scope["headers"]) > 1:
        raise RejectedError("IncompleteSignature", "the request has two signatures")
    authorization = headers.get("authorization")
    is_presigned = authorization is None
    if authorization is not None:
        if not authorization.startswith("AWS4-HMAC-SHA256 "):
            raise RejectedError("IncompleteSignature", _VERSION_4)
        signature = sigv4.parse_header_signature(headers)
    elif query.get("X-Amz-Algorithm") == ["AWS4-HMAC-SHA256"]:
        if any(len(values) != 1 for name, values in query.items() if name.lower().startswith("x-amz-")):
            raise RejectedError("IncompleteSignature", "the request has two signatures")
        signature = sigv4.parse_query_signature(query)
    elif "X-Amz-Algorithm" in query:
        raise RejectedError("IncompleteSignature", _VERSION_4)
    else:
        raise RejectedError(
            "MissingAuthenticationToken", "Missing Authentication Token: the local AWS expects signed requests"
        )
    if isinstance(signature, tuple):
        raise RejectedError(*signature)
    return signature, is_presigned


class _PresignedUrlAuth(HmacV1Auth):
    """The signature of a presigned URL, which covers its expiry instead of its date."""

    def __init__(self, credentials: Credentials, expires: str) -> None:
        super().__init__(credentials)
        self._expires = expires

    def _get_date(self) -> str:
        return self._expires


def _raw_path(scope: Scope) -> str:
    return str((scope.get("raw_path") or quote(scope["path"]).encode()).decode("latin-1"))


def _require_one_access_key(headers: Headers, query: Query, access_key: str) -> None:
    if router.extract_access_key_id(headers, query) != access_key:
        raise RejectedError("IncompleteSignature", "the request has two access keys")


def _reject_other_services(scope: Scope, headers: Headers, query: Query) -> None:
    # The presigned URL of an object signs neither the body nor all headers and parameters. Those could name another
    # service: MiniStack treats the fields of a form like the parameters of a Query API.
    if headers.get("content-type", "").lower().startswith("application/x-www-form-urlencoded"):
        raise RejectedError("AccessDenied", "a presigned URL accepts no form; set another Content-Type")
    if scope["type"] != "http" or router.detect_service(scope["method"], scope["path"], headers, query) != "s3":
        raise RejectedError("SignatureDoesNotMatch", sigv4.SIGNATURE_MISMATCH)


def _is_expired(signature: sigv4.HeaderSignature, query: Query) -> bool:
    try:
        return bool(sigv4.presigned_request_is_expired(signature.amz_date, query["X-Amz-Expires"][0]))
    except (KeyError, ValueError):
        return True
