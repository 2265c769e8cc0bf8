"""Starts and stops the local AWS in this process: Personalize, and MiniStack for all other services."""

import asyncio
import logging
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from datetime import datetime
from pathlib import Path

from . import toolchain
from .behavior import Behavior
from .environment import Connection, program_environment
from .ministack_settings import ministack_environment
from .stand_in import Films, StandIn

DEFAULT_ACCOUNT = "123456789012"
DEFAULT_REGION = "eu-west-1"
_MAX_SECONDS_TO_START = 30
_POLL_SECONDS = 0.02
_WAIT_SCALE = 0.02


class LocalAws:
    """The local AWS, served from a thread of this process until it is closed.

    It answers programs that sign their requests with the access key of this run, and no web pages. A process can have
    only one, once: MiniStack reads its settings from the environment when it is imported.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        account: str = DEFAULT_ACCOUNT,
        region: str = DEFAULT_REGION,
        wait_scale: float | None = None,
        pending_seconds: float = 0.1,
        in_progress_seconds: float = 0.2,
        behavior: Behavior | None = None,
        stand_in: StandIn | None = None,
    ) -> None:
        """Starts to serve on 127.0.0.1.

        Args:
            port: The port. 0 selects a free port.
            account: The account ID, 12 digits.
            region: The region.
            wait_scale: The factor for waits and retries in state machines and for sleeps in Lambda functions in Python.
                Nothing in the local AWS needs time to propagate. Defaults to 0.02, and for ``Wait`` states to a factor
                with which an hour takes as long as a job, since a job takes about an hour on AWS.
            pending_seconds: How long a batch segment job stays CREATE PENDING.
            in_progress_seconds: How long a batch segment job stays CREATE IN_PROGRESS at least.
            behavior: The unpublished answers to give. Defaults to those of `Behavior`.
            stand_in: The stand-in for trained solution versions. Defaults to the sample films.

        Raises:
            OSError: The port is in use.
        """
        self._stand_in = stand_in or Films()
        self.account = account
        self.region = region
        self._environment_before = dict(os.environ)
        self._tempdir_before = tempfile.tempdir
        self._socket = socket.create_server(("127.0.0.1", port))
        #: The folder for its temporary files, which only this user can read. It is removed at the end.
        self.folder = Path(tempfile.mkdtemp(prefix="personalize-local-"))
        #: The URL of the local AWS.
        self.endpoint_url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        #: The access key ID of the account's root user. Each run has another.
        self.access_key = "AKIA" + "".join(secrets.choice("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567") for _ in range(16))
        #: The secret access key.
        self.secret_key = secrets.token_urlsafe(30)
        self._connection = Connection(self.endpoint_url, account, region, self.access_key, self.secret_key, self.folder)
        try:
            self._start(wait_scale, pending_seconds, in_progress_seconds, behavior or Behavior())
        except BaseException:
            self._clean_up()
            raise

    def _start(
        self, wait_scale: float | None, pending_seconds: float, in_progress_seconds: float, behavior: Behavior
    ) -> None:
        scale = _WAIT_SCALE if wait_scale is None else wait_scale
        # Half a second for the requests of a job.
        hour = pending_seconds + in_progress_seconds + 0.5
        state_scale = min(scale, hour / 3600) if wait_scale is None else scale
        if "ministack.core" in sys.modules:
            # It has read its port, waits and account from another environment.
            raise RuntimeError(
                "MiniStack is already imported; create LocalAws before anything imports ministack, once in a process"
            )
        environment = ministack_environment(self._connection, self._environment_before, scale)
        os.environ.clear()
        os.environ.update(environment)
        tempfile.tempdir = str(self.folder)

        # MiniStack's KMS warns about a missing package for signing.
        logging.getLogger("kms").setLevel(logging.ERROR)
        # These modules import MiniStack, which reads the environment.
        from ministack import app as ministack_app

        from . import athena, glue_catalog, metrics, ministack_patches, patching, request_permissions, step_functions
        from .asgi import PersonalizeApp
        from .control import Control
        from .faults import Faults
        from .guard import Guard
        from .interrupts import Interrupts
        from .roles import Roles
        from .scheduler import Schedules
        from .service import Personalize
        from .shutdown import Shutdown

        patching.check_version()
        ministack_patches.apply()
        request_permissions.apply()
        metrics.apply()
        glue_catalog.apply()
        athena.apply()
        roles, interrupts = Roles(), Interrupts()
        step_functions.apply(roles, interrupts, state_scale)
        self._schedules = Schedules(roles)
        # With Docker, MiniStack would remove the containers of another MiniStack on this machine.
        ministack_app._docker_socket_present = lambda: False
        # In a container, MiniStack would run the startup scripts of another MiniStack or LocalStack.
        ministack_app._collect_scripts = lambda *_folders: []
        self._shutdown = Shutdown(interrupts)
        #: The faults to inject into Personalize.
        self.faults = Faults()
        #: The local Personalize. Tests can inspect its jobs and calls.
        self.personalize = Personalize(
            self.faults,
            pending_seconds=pending_seconds,
            in_progress_seconds=in_progress_seconds,
            behavior=behavior,
            stand_in=self._stand_in,
        )
        self._stand_in.attach(self.personalize)
        control = Control(self._schedules, self.account, self.region)
        self._app = Guard(PersonalizeApp(self.personalize, control, self.faults, ministack_app.app), self._connection)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="local-aws", daemon=True)
        self._thread.start()
        self._wait_until_ready()

    def __enter__(self) -> "LocalAws":
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def environment(self) -> dict[str, str]:
        """Returns the environment for a program that uses the local AWS, for example the CDK CLI."""
        path = os.environ.get("PATH", os.defpath)
        return program_environment(self._connection, self._environment_before, path, self._stand_in.seeds)

    def bootstrap(self) -> None:
        """Runs ``cdk bootstrap``, which CDK deployments require once.

        Raises:
            FileNotFoundError: The CDK CLI, Node.js or the AWS SDK for CDK's own functions is not installed.
            OldNodeError: Node.js is too old.
            subprocess.CalledProcessError: The command failed. Its output is in ``output``.
        """
        environment = self.environment()
        toolchain.check(environment["PATH"])
        command = [toolchain.find_cdk_cli(environment["PATH"]), "bootstrap", f"aws://{self.account}/{self.region}"]
        # In a folder without cdk.json. Otherwise, the CLI would synthesize the app first.
        folder = self.folder / "bootstrap"
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

    def train(self, solution: str, status: str = "ACTIVE") -> str:
        """Adds a version to a solution of the local Personalize, as a training does. No time passes.

        Args:
            solution: The name of the solution, for example ``"films-item-affinity"``.
            status: The status of the version.

        Returns:
            The ARN of the version.

        Raises:
            ServiceError: There is no such solution.
        """
        version = self.personalize.train(solution, status)
        partition = "aws-cn" if self.region.startswith("cn-") else "aws"
        return f"arn:{partition}:personalize:{self.region}:{self.account}:solution/{version.solution}/{version.id}"

    def tick(self, schedule_name: str | None = None, at: datetime | None = None) -> datetime:
        """Fires a schedule of EventBridge Scheduler now, as if its next time had come.

        Firing it twice with the same time is a redelivery: Scheduler delivers at least once.

        Args:
            schedule_name: The schedule, or a part of its name. Can be omitted if there is only one.
            at: The scheduled time that the target gets. Defaults to the next time at which the schedule would fire.

        Returns:
            The scheduled time.

        Raises:
            ScheduleError: There is no such schedule, or its role may not invoke the target.
        """
        return self._schedules.fire(schedule_name, at, self.account, self.region)

    def close(self) -> None:
        """Stops serving and removes executions, processes of Lambda functions, files and settings."""
        from ministack.core import lambda_runtime

        self._shutdown.stop()
        self._stop.set()
        # Before the join, because a running deployment waits for its functions.
        lambda_runtime.reset()
        self._thread.join(timeout=5)
        lambda_runtime.reset()
        self._clean_up()

    def _clean_up(self) -> None:
        os.environ.clear()
        os.environ.update(self._environment_before)
        tempfile.tempdir = self._tempdir_before
        shutil.rmtree(self.folder, ignore_errors=True)
        self._stand_in.close()

    async def _serve(self) -> None:
        from hypercorn.asyncio import serve
        from hypercorn.config import Config

        config = Config()
        # The server closes it. Otherwise, it would be closed twice, and the second time it may be another file.
        config.bind = [f"fd://{self._socket.detach()}"]
        config.accesslog = None
        config.errorlog = None
        config.graceful_timeout = 1
        await serve(self._app, config, shutdown_trigger=self._stopped)  # type: ignore[arg-type]

    async def _stopped(self) -> None:
        while not self._stop.is_set():
            await asyncio.sleep(0.05)

    def _wait_until_ready(self) -> None:
        from ministack import app

        # The socket accepts connections already. MiniStack answers them when its startup is complete.
        deadline = time.monotonic() + _MAX_SECONDS_TO_START
        while self._thread.is_alive() and time.monotonic() < deadline:
            if app._ready_scripts_state["status"] == "completed":
                return
            time.sleep(_POLL_SECONDS)
        raise RuntimeError("the local AWS did not start")
