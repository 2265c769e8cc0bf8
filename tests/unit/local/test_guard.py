"""The local AWS answers programs that have its keys, and no web pages."""

import hashlib
import http.client
import http.server
import json
import os
import queue
import shutil
import signal
import subprocess
import threading
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from personalize_local.gateway import LocalAws
from unit.local.job_fixture import JobFixture

FORM = "application/x-www-form-urlencoded"


class Answer:
    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.headers = response.getheaders()
        self.body = response.read().decode()


@pytest.fixture
def send(local_aws: LocalAws) -> Callable[..., Answer]:
    """Sends a request unchanged. Only a missing Host header is added."""

    def sent(method: str, target: str, headers: dict[str, str], body: str = "") -> Answer:
        connection = http.client.HTTPConnection(local_aws.endpoint_url.partition("://")[2], timeout=30)
        try:
            connection.request(method, target, body.encode(), headers)
            return Answer(connection.getresponse())
        finally:
            connection.close()

    return sent


def signed(
    aws: LocalAws, body: str, *, access_key: str = "", secret_key: str = "", in_query: bool = False
) -> tuple[str, dict[str, str]]:
    """Returns the target and headers of a signed request to IAM, with its parameters in the query if presigned."""
    url = f"{aws.endpoint_url}/?{body}" if in_query else f"{aws.endpoint_url}/"
    headers = {} if in_query else {"Content-Type": FORM}
    request = AWSRequest("POST", url, headers=headers, data=b"" if in_query else body.encode())
    credentials = Credentials(access_key or aws.access_key, secret_key or aws.secret_key)
    (SigV4QueryAuth if in_query else SigV4Auth)(credentials, "iam", aws.region).add_auth(request)
    parts = urllib.parse.urlsplit(str(request.url))
    return f"{parts.path}?{parts.query}" if parts.query else parts.path, dict(request.headers.items())


def create_role(name: str) -> str:
    trust = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    return urllib.parse.urlencode(
        {"Action": "CreateRole", "Version": "2010-05-08", "RoleName": name, "AssumeRolePolicyDocument": document}
    )


@pytest.fixture
def roles(client: Callable[..., Any]) -> Callable[[], set[str]]:
    return lambda: {role["RoleName"] for role in client("iam").list_roles()["Roles"]}


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


# Headers that browsers add to requests of a page of another site, with and without a preflight.
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
    connection = http.client.HTTPConnection(address, timeout=30)
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
    assert f"'{access_key}' is no access key of this run" in answer.body.replace("&#x27;", "'")
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


@pytest.mark.parametrize("version", ["s3", "s3v4"])
def test_accepts_only_valid_presigned_urls(jobs: JobFixture, client: Callable[..., Any], version: str) -> None:
    jobs.put("content", key="a b/ü+c")
    s3 = client("s3", config=Config(signature_version=version))
    url = s3.generate_presigned_url("get_object", Params={"Bucket": jobs.input, "Key": "a b/ü+c"})
    assert urllib.request.urlopen(url, timeout=30).read() == b"content"
    expired = s3.generate_presigned_url("get_object", Params={"Bucket": jobs.input, "Key": "a b/ü+c"}, ExpiresIn=-5)
    other_service = f"{url}&Action=ListRoles&Version=2010-05-08"
    for bad in (expired, other_service, url.replace("%20", "%21"), url.replace("Signature=", "Signature=0")):
        with pytest.raises(urllib.error.HTTPError) as error:
            urllib.request.urlopen(bad, timeout=30)
        assert error.value.code in (400, 403)


def test_checks_sessions_of_roles(jobs: JobFixture, client: Callable[..., Any]) -> None:
    trust = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{jobs.aws.account}:root"}}
    document = {"Version": "2012-10-17", "Statement": [{**trust, "Action": "sts:AssumeRole"}]}
    jobs.iam.update_assume_role_policy(RoleName=jobs.role_name, PolicyDocument=json.dumps(document))
    made = client("sts").assume_role(RoleArn=jobs.role, RoleSessionName="session")["Credentials"]
    credentials = {
        "aws_access_key_id": made["AccessKeyId"],
        "aws_secret_access_key": made["SecretAccessKey"],
        "aws_session_token": made["SessionToken"],
    }
    assert client("s3", **credentials).list_objects_v2(Bucket=jobs.input)["KeyCount"] == 0
    for name in ("aws_secret_access_key", "aws_session_token"):
        with pytest.raises(ClientError, match=r"SignatureDoesNotMatch|InvalidToken"):
            client("s3", **{**credentials, name: "wrong"}).list_objects_v2(Bucket=jobs.input)


CODE = "import os\ndef handler(event, context): return {name: os.environ[name] for name in os.environ if 'AWS' in name}"


@pytest.fixture
def function(jobs: JobFixture, client: Callable[..., Any], tmp_path: Path) -> dict[str, Any]:
    """A Lambda function that returns its environment."""
    trust = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    jobs.iam.create_role(RoleName=f"{jobs.role_name}-f", AssumeRolePolicyDocument=document)
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "index.py").write_text(CODE)
    archive = Path(shutil.make_archive(str(tmp_path / "code"), "zip", tmp_path / "code")).read_bytes()
    made: dict[str, Any] = client("lambda").create_function(
        FunctionName=jobs.role_name,
        Runtime="python3.12",
        Handler="index.handler",
        Role=f"{jobs.role}-f",
        Code={"ZipFile": archive},
    )
    return made


def test_credentials_of_a_function_are_not_derived_from_its_name(
    function: dict[str, Any], client: Callable[..., Any], local_aws: LocalAws
) -> None:
    invoked = client("lambda").invoke(FunctionName=function["FunctionName"])
    environment = json.loads(invoked["Payload"].read())
    assert local_aws.secret_key not in environment.values()
    digest = hashlib.sha256(f"{function['FunctionArn']}:{function['Role']}".encode()).hexdigest()
    guessed = {
        "aws_access_key_id": f"ASIA{digest[:16].upper()}",
        "aws_secret_access_key": hashlib.sha256(f"secret:{digest}".encode()).hexdigest(),
        "aws_session_token": hashlib.sha256(f"token:{digest}".encode()).hexdigest(),
    }
    assert environment["AWS_ACCESS_KEY_ID"] != guessed["aws_access_key_id"]
    with pytest.raises(ClientError, match="InvalidClientTokenId"):
        client("sts", **guessed).get_caller_identity()


def test_requires_a_key_to_download_code(function: dict[str, Any], client: Callable[..., Any]) -> None:
    link = client("lambda").get_function(FunctionName=function["FunctionName"])["Code"]["Location"]
    assert urllib.request.urlopen(link, timeout=30).read().startswith(b"PK")
    with pytest.raises(urllib.error.HTTPError):
        urllib.request.urlopen(link.partition("&key=")[0], timeout=30)


PAGE = """
<!doctype html><title>evil</title><script>
const aws = "http://127.0.0.1:PORT";
const query = "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=123456789012/20260101/eu-west-1/iam/aws4_request" +
  "&X-Amz-Date=20260101T000000Z&X-Amz-SignedHeaders=host&X-Amz-Signature=0";
const body = name => "Action=CreateRole&Version=2010-05-08&RoleName=" + name + "&AssumeRolePolicyDocument=" +
  encodeURIComponent('{"Version":"2012-10-17","Statement":[]}');
const lines = [];
const attempt = async (name, options, path) => {
  try { lines.push(name + " " + (await fetch(aws + path, options)).type); }
  catch (error) { lines.push(name + " " + error.name); }
};
const form = {"Content-Type": "application/x-www-form-urlencoded"};
const socket = () => new Promise(done => {
  const opened = new WebSocket("ws://127.0.0.1:PORT/_aws/execute-api/a/b");
  opened.onopen = () => { lines.push("socket open"); done(); };
  opened.onerror = () => { lines.push("socket error"); done(); };
});
(async () => {
  await attempt("text", {method: "POST", mode: "no-cors", body: body("evil-text")}, "/?" + query);
  await attempt("form", {method: "POST", mode: "no-cors", headers: form, body: body("evil-form")}, "/?" + query);
  await attempt("cors", {method: "POST", headers: form, body: body("evil-cors")}, "/?" + query);
  await attempt("put", {method: "PUT", body: ""}, "/evil-bucket?" + query);
  await attempt("reset", {method: "POST", mode: "no-cors"}, "/_ministack/reset");
  await attempt("read", {}, "/_ministack/health");
  await socket();
  await fetch("/log", {method: "POST", body: lines.join("\\n")});
})();
</script>
"""


class Page(http.server.ThreadingHTTPServer):
    """A server of a page of another origin. The page posts its report when it is done."""

    def __init__(self, html: str) -> None:
        super().__init__(("127.0.0.1", 0), PageHandler)
        self.html = html.encode()
        self.reports: queue.Queue[str] = queue.Queue()


class PageHandler(http.server.BaseHTTPRequestHandler):
    server: Page

    def do_GET(self) -> None:
        self.reply(self.server.html if self.path == "/" else b"")

    def do_POST(self) -> None:
        self.server.reports.put(self.rfile.read(int(self.headers["Content-Length"])).decode())
        self.reply(b"")

    def reply(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def page(local_aws: LocalAws) -> Iterator[Page]:
    with Page(PAGE.replace("PORT", local_aws.endpoint_url.rpartition(":")[2])) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")
def test_a_web_page_in_chromium_changes_and_reads_nothing(
    page: Page, jobs: JobFixture, roles: Callable[[], set[str]], tmp_path: Path
) -> None:
    options = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    options += f" --disable-component-update --disable-sync --user-data-dir={tmp_path / 'profile'}"
    command = [str(CHROMIUM), *options.split(), "--remote-debugging-port=0", f"http://localhost:{page.server_port}/"]
    with (tmp_path / "log").open("w") as log:
        browser = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    try:
        report = page.reports.get(timeout=60).splitlines()
    finally:
        os.killpg(browser.pid, signal.SIGKILL)
        browser.wait(timeout=30)
    # Requests without a preflight were sent and answered, but the page cannot read the answers. Others were not sent.
    assert report == [
        "text opaque",
        "form opaque",
        "cors TypeError",
        "put TypeError",
        "reset opaque",
        "read TypeError",
        "socket error",
    ]
    assert {name for name in roles() if name.startswith("evil")} == set()
    assert "evil-bucket" not in {bucket["Name"] for bucket in jobs.s3.list_buckets()["Buckets"]}
    # Nothing was reset.
    assert jobs.role_name in roles()


TAKEOVER = b"Action=CreateUser&UserName=takeover&Version=2010-05-08"


@pytest.mark.parametrize("version", ["s3", "s3v4"])
def test_rejects_a_presigned_url_for_another_service(
    jobs: JobFixture, client: Callable[..., Any], version: str
) -> None:
    s3 = client("s3", config=Config(signature_version=version))
    url = s3.generate_presigned_url("create_multipart_upload", Params={"Bucket": jobs.input, "Key": "a"})
    request = urllib.request.Request(url, data=TAKEOVER, headers={"Content-Type": FORM}, method="POST")
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=10)
    assert refused.value.code == 403
    refused.value.close()
    assert "takeover" not in {user["UserName"] for user in client("iam").list_users()["Users"]}


def test_rejects_a_second_access_key_in_a_presigned_url(
    jobs: JobFixture, client: Callable[..., Any], local_aws: LocalAws
) -> None:
    jobs.put("secret", key="in/secret")
    s3 = client("s3", config=Config(signature_version="s3"))
    url = s3.generate_presigned_url("get_object", Params={"Bucket": jobs.input, "Key": "in/secret"})
    for name in ("X-Amz-Credential", "x-amz-credential"):
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"{url}&{name}={local_aws.account}/20990101/eu-west-1/s3/aws4_request", timeout=10)
        assert refused.value.code in (400, 403)
        refused.value.close()
