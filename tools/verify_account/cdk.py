"""The CDK CLI in its own process groups, so that only this program receives Ctrl-C."""

import contextlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .settings import VARIABLE, Settings, UsageError, excerpt

#: A limit for deployments that hang, longer than any of the stacks takes.
_LONGEST = 3600
_AT_ONCE = 4


class CdkError(Exception):
    """The CLI failed. The message is the end of its output."""


class Cdk:
    """The CLI for the app of a run."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        """Finds the CLI.

        Args:
            settings: The run.
            folder: An empty folder for the CLI's output.

        Raises:
            UsageError: There is no CLI.
        """
        found = shutil.which("cdk")
        if found is None:
            raise UsageError("the CDK CLI, cdk, is not in PATH: run `make verify-account`")
        self._cdk = found
        self._folder = folder
        self._assembly = folder / "cdk.out"
        self._environment = {
            **os.environ,
            VARIABLE: settings.to_json(),
            "AWS_REGION": settings.region,
            "AWS_DEFAULT_REGION": settings.region,
            "CDK_DISABLE_CLI_TELEMETRY": "1",
            "CDK_VALIDATION": "false",
            "NO_COLOR": "1",
            "PYTHONPATH": os.pathsep.join(filter(None, [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH")])),
        }
        self._running: set[subprocess.Popen[str]] = set()
        self._lock = threading.Lock()
        self._stopped = False
        #: The stacks whose deployment was started and that are not destroyed yet.
        self.stacks: list[str] = []

    def synth(self) -> None:
        """Synthesizes the app once, for all deployments.

        Raises:
            CdkError: It failed.
        """
        # The CLI passes the command to a shell.
        app = shlex.join([sys.executable, "-m", "verify_account.app"])
        self._run("synth", "--quiet", "--app", app, "--output", str(self._assembly))

    def deploy(self, stack: str) -> dict[str, str]:
        """Deploys a stack.

        Returns:
            Its outputs.

        Raises:
            CdkError: It failed.
        """
        outputs = self._folder / f"{stack}.json"
        with self._lock:
            self.stacks.append(stack)
        self._run(
            "deploy", stack, "--exclusively", "--app", str(self._assembly), "--require-approval=never",
            "--progress=events", f"--outputs-file={outputs}",
        )  # fmt: skip
        found: dict[str, str] = json.loads(outputs.read_text())[stack]
        return found

    def destroy(self) -> list[str]:
        """Destroys every stack whose deployment was started.

        Returns:
            The CLI's errors for the stacks that could not be destroyed.
        """
        self._stopped = False
        pool = ThreadPoolExecutor(_AT_ONCE)
        try:
            futures = {stack: pool.submit(self._destroy, stack) for stack in self.stacks}
            # Sleep briefly, so that Ctrl-C is noticed.
            while not all(future.done() for future in futures.values()):
                time.sleep(0.2)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
        return [f"{stack}: {future.exception()}" for stack, future in futures.items() if future.exception()]

    def _destroy(self, stack: str) -> None:
        self._run("destroy", stack, "--exclusively", "--force", "--app", str(self._assembly))
        with self._lock:
            self.stacks.remove(stack)

    def stop(self) -> None:
        """Stops the running commands. CloudFormation continues its operations."""
        with self._lock:
            self._stopped = True
            for process in self._running:
                _end(process)

    def _run(self, command: str, *arguments: str) -> str:
        with self._lock:
            if self._stopped:
                raise CdkError(f"cdk {command} was not started: interrupted")
            process = subprocess.Popen(
                [self._cdk, command, *arguments],
                cwd=self._folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
            self._running.add(process)
        try:
            said, _ = process.communicate(timeout=_LONGEST)
        except BaseException:
            _end(process)
            raise
        finally:
            with self._lock:
                self._running.discard(process)
        if process.returncode != 0:
            raise CdkError(f"cdk {command} failed:\n{_important(said)}")
        return said


def _end(process: "subprocess.Popen[str]") -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _important(said: str) -> str:
    """Returns the CLI's output from the first failed resource on, or its last lines."""
    # Omit the stack traces of CDK's provider framework.
    lines = [line for line in said.splitlines() if line.strip() and not line.lstrip().startswith(("at ", "(/"))]
    first = next((number for number, line in enumerate(lines) if "_FAILED" in line), None)
    return excerpt("\n".join(lines[-12:] if first is None else lines[first : first + 12]))
