"""The local AWS accepts requests of programs that have its keys, and rejects those of web pages."""

import http.client
import urllib.parse
from collections.abc import Callable

import pytest
from personalize_local.gateway import LocalAws
from unit.local.signed_requests import FORM, Answer, create_role, signed


@pytest.mark.parametrize("in_query", [False, True])
def test_answers_a_signed_request(
    local_aws: LocalAws, send: Callable[..., Answer], roles: Callable[[], set[str]], in_query: bool
) -> None:
    name = f"signed-{in_query}"
    target, headers = signed(local_aws, create_role(name), in_query=in_query)
    answer = send("POST", target, headers, "" if in_query else create_role(name))
    assert answer.status == 200, answer.body
    assert name in roles()
    assert [name for name, _ in answer.headers if name.lower().startswith("access-control-")] == []


# Headers that browsers add to cross-site requests, with and without a preflight.
@pytest.mark.parametrize(
    "added",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:3000"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "same-origin"},
        {"Host": "evil.example"},
        {"Host": "evil.example:{port}"},
        {"Host": "127.0.0.1.evil.example:{port}"},
        {"Host": "localhost.evil.example:{port}"},
        {"Host": "127.0.0.1:1"},
        {"Host": "127.0.0.1"},
        {"Host": ""},
    ],
)
def test_rejects_a_web_page_even_with_valid_keys(
    local_aws: LocalAws, send: Callable[..., Answer], roles: Callable[[], set[str]], added: dict[str, str]
) -> None:
    body = create_role("by-a-page")
    target, headers = signed(local_aws, body)
    port = local_aws.endpoint_url.rpartition(":")[2]
    answer = send("POST", target, {**headers, **{name: value.format(port=port) for name, value in added.items()}}, body)
    assert answer.status == 403
    assert "by-a-page" not in roles()
    assert [name for name, _ in answer.headers if name.lower().startswith("access-control-")] == []


def test_rejects_a_second_host(local_aws: LocalAws) -> None:
    address = local_aws.endpoint_url.partition("://")[2]
    connection = http.client.HTTPConnection(address, timeout=120)
    connection.putrequest("GET", "/", skip_host=True)
    for host in (address, "evil.example"):
        connection.putheader("Host", host)
    connection.endheaders()
    assert connection.getresponse().status in (400, 403)
    connection.close()


def scope(access_key: str, service: str) -> str:
    return f"{access_key}/20260101/eu-west-1/{service}/aws4_request"


# Browsers send these requests without a preflight. Here they lack the headers that identify a web page.
@pytest.mark.parametrize("access_key", ["", "test", "123456789012", "000000000000", "valid"])
@pytest.mark.parametrize("where", ["header", "query", "version 2"])
def test_rejects_well_known_access_keys(
    local_aws: LocalAws, send: Callable[..., Answer], roles: Callable[[], set[str]], access_key: str, where: str
) -> None:
    key = local_aws.access_key if access_key == "valid" else access_key
    body = create_role("by-a-known-key")
    headers = {"Content-Type": FORM}
    target = "/"
    if where == "header":
        headers["Authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={scope(key, 'iam')}, SignedHeaders=host, Signature={'0' * 64}"
        )
        headers["X-Amz-Date"] = "20260101T000000Z"
    elif where == "query":
        target += "?" + urllib.parse.urlencode(
            {
                "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
                "X-Amz-Credential": scope(key, "iam"),
                "X-Amz-Date": "20260101T000000Z",
                "X-Amz-SignedHeaders": "host",
                "X-Amz-Signature": "0" * 64,
            }
        )
    else:
        target += f"?AWSAccessKeyId={key}&Signature=0&Expires=9999999999&Action=CreateRole"
    answer = send("POST", target, headers, body)
    assert 400 <= answer.status < 404, answer.body
    assert "by-a-known-key" not in roles()


@pytest.mark.parametrize("access_key", ["test", "123456789012"])
def test_rejects_a_well_known_access_key_with_the_valid_secret(
    local_aws: LocalAws, send: Callable[..., Answer], roles: Callable[[], set[str]], access_key: str
) -> None:
    body = create_role("by-the-account")
    target, headers = signed(local_aws, body, access_key=access_key)
    answer = send("POST", target, headers, body)
    assert answer.status == 403
    assert f"'{access_key}' is not an access key of this run" in answer.body.replace("&#x27;", "'")
    assert "by-the-account" not in roles()


@pytest.mark.parametrize("in_query", [False, True])
def test_rejects_a_request_changed_after_signing(
    local_aws: LocalAws, send: Callable[..., Answer], roles: Callable[[], set[str]], in_query: bool
) -> None:
    target, headers = signed(local_aws, create_role("asked-for"), in_query=in_query)
    body = "" if in_query else create_role("changed")
    answer = send("POST", target.replace("asked-for", "changed"), headers, body)
    assert answer.status == 403
    assert "SignatureDoesNotMatch" in answer.body
    assert "changed" not in roles()


def test_each_run_has_its_own_keys(local_aws: LocalAws) -> None:
    own = local_aws.environment()
    assert own["AWS_ACCESS_KEY_ID"] == local_aws.access_key
    assert own["AWS_SECRET_ACCESS_KEY"] == local_aws.secret_key
    assert local_aws.account not in (local_aws.access_key, local_aws.secret_key)
    assert len(local_aws.secret_key) >= 40


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/_ministack/health"),
        ("GET", "/_localstack/health"),
        ("GET", "/health"),
        ("GET", "/_ministack/ready"),
        ("POST", "/_ministack/reset"),
        ("POST", "/_ministack%2Freset"),
        ("POST", "/_ministack/config"),
        ("GET", "/_ministack/ses/messages"),
        ("GET", "/_ministack/lambda-code/123456789012/eu-west-1/name"),
        ("PUT", "/_ministack/cfn-response/00000000-0000-4000-8000-000000000000"),
        ("PUT", "/_ministack/cfn-signal/00000000-0000-4000-8000-000000000000"),
        ("POST", "/_ministack/rds/iam-auth"),
        ("OPTIONS", "/"),
        ("GET", "/"),
        ("PUT", "/unsigned-bucket"),
        ("GET", "/v2/_catalog"),
        ("GET", "/_aws/lambda-url/abc/"),
    ],
)
def test_rejects_the_control_api_and_unsigned_requests(send: Callable[..., Answer], method: str, path: str) -> None:
    assert send(method, path, {}).status == 403


def test_rejects_a_preflight_without_cors_headers(send: Callable[..., Answer]) -> None:
    answer = send("OPTIONS", "/", {"Origin": "https://evil.example", "Access-Control-Request-Method": "PUT"})
    assert answer.status == 403
    assert [name for name, _ in answer.headers if name.lower().startswith("access-control-")] == []


@pytest.mark.parametrize("origin", [None, "https://evil.example"])
def test_rejects_a_web_socket(send: Callable[..., Answer], origin: str | None) -> None:
    headers = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    answer = send("GET", "/_aws/execute-api/abc/prod", headers | ({"Origin": origin} if origin else {}))
    assert answer.status == 403
