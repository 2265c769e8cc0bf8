import hashlib
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from personalize_local.gateway import LocalAws
from personalize_local.toolchain import find_cdk_cli
from stacks import RealStack

ROOT = Path(__file__).parents[2]


class Cdk:
    """The real CDK CLI on an app in a folder of its own."""

    def __init__(self, aws: LocalAws, folder: Path, app: str, stack: str) -> None:
        self.aws = aws
        self.folder = folder
        self.app = app
        self.stack = stack

    def run(self, command: str, *arguments: str, **context: str) -> subprocess.CompletedProcess[str]:
        """Runs the CLI; stdout and stderr together, as somebody at a terminal sees them."""
        environment = {
            # Validating templates is for `make check`; here it would take as long as the rest.
            **self.aws.environment(),
            "CDK_VALIDATION": "false",
            "PATH": os.pathsep.join([str(ROOT / ".venv" / "bin"), os.environ["PATH"]]),
        }
        given = [part for name, value in context.items() for part in ("-c", f"{name}={value}")]
        return subprocess.run(
            [find_cdk_cli(environment), command, "--app", self.app, *given, *arguments],
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
        """Deploys what must fail and returns what the CLI said."""
        done = self.run("deploy", "--require-approval=never", **context)
        assert done.returncode != 0, done.stdout
        return done.stdout

    def destroy(self, **context: str) -> str:
        """Destroys the stack."""
        done = self.run("destroy", "--force", **context)
        assert done.returncode == 0, done.stdout
        return done.stdout


@pytest.fixture
def stack(aws: LocalAws, client: Callable[[str], Any], request: pytest.FixtureRequest) -> RealStack:
    """A stack of the test's own, deployed without the CLI."""
    digest = hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:8]
    return RealStack(aws, client, f"Test{digest}")


@pytest.fixture
def cdk(aws: LocalAws, tmp_path: Path) -> Callable[..., Cdk]:
    """Makes CLIs for apps; the feature flags are those of this project's ``cdk.json``."""

    def make(app: str, stack: str) -> Cdk:
        (tmp_path / "cdk.json").write_text((ROOT / "cdk.json").read_text())
        return Cdk(aws, tmp_path, app, stack)

    return make
