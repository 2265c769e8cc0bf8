"""The real CDK CLI."""

import json
import os
import subprocess
from pathlib import Path

from personalize_local.gateway import LocalAws
from personalize_local.toolchain import find_cdk_cli

ROOT = Path(__file__).parents[2]


class Cdk:
    """Runs the CLI for an app in its own folder."""

    def __init__(self, aws: LocalAws, folder: Path, app: str, stack: str) -> None:
        self.aws = aws
        self.folder = folder
        self.app = app
        self.stack = stack

    def run(self, command: str, *arguments: str, **context: str) -> subprocess.CompletedProcess[str]:
        """Runs the CLI with stderr redirected to stdout, as on a terminal."""
        environment = {
            # `make check` validates templates. Validation here would double the time.
            **self.aws.environment(),
            "CDK_VALIDATION": "false",
            "PATH": os.pathsep.join([str(ROOT / ".venv" / "bin"), os.environ["PATH"]]),
        }
        given = [part for name, value in context.items() for part in ("-c", f"{name}={value}")]
        return subprocess.run(
            [find_cdk_cli(environment["PATH"]), command, "--app", self.app, *given, *arguments],
            cwd=self.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
            check=False,
        )

    def deploy(self, **context: str) -> dict[str, str]:
        """Deploys and returns the stack's outputs."""
        outputs = self.folder / "outputs.json"
        done = self.run("deploy", "--require-approval=never", f"--outputs-file={outputs}", **context)
        assert done.returncode == 0, done.stdout
        found: dict[str, str] = json.loads(outputs.read_text())[self.stack]
        return found

    def fails(self, **context: str) -> str:
        """Runs a deployment that must fail, and returns the output."""
        done = self.run("deploy", "--require-approval=never", **context)
        assert done.returncode != 0, done.stdout
        return done.stdout

    def destroy(self, **context: str) -> str:
        """Destroys the stack."""
        done = self.run("destroy", "--force", **context)
        assert done.returncode == 0, done.stdout
        return done.stdout
