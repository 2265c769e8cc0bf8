"""A web page in a real browser cannot change or read anything in the local AWS."""

import http.server
import os
import queue
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from personalize_local.gateway import LocalAws
from unit.local.job_fixture import JobFixture

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
    """Serves a page from another origin. The page posts its report at the end."""

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
        report = page.reports.get(timeout=120).splitlines()
    finally:
        os.killpg(browser.pid, signal.SIGKILL)
        browser.wait(timeout=120)
    # The browser sends requests without a preflight, but the page cannot read the responses. Others are not sent.
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
