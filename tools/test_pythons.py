"""Runs unit tests on the supported versions of Python that this machine has; called by ``make test-pythons``.

CDK apps run on any supported Python, so the tests of the modules that `cdk synth` imports run on each version found.
The version of the virtual environment is skipped: `make test` runs all tests on it. The handler runs in Lambda on
Python 3.14, so its tests run on that version.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
REQUIREMENTS = ROOT / "tests" / "requirements.txt"
ENVIRONMENTS = ROOT / ".pythons"
# The versions that pyproject.toml declares; Pyodide runs 3.14.
VERSIONS = ("3.11", "3.12", "3.13")
# The tests of the modules that `cdk synth` imports: the constructs, and the handler's check of queries.
SYNTH_TESTS = (
    "tests/unit/constructs/test_*.py",
    "tests/unit/handler/test_*quer*.py",
    "tests/unit/handler/test_limits.py",
    "tests/unit/reader/test_*.py",
)
# cdk-nag is not installed. The other tests synthesize often, with the same result on every Python: they count jsii
# calls and compare feature flags.
OMITTED = ("test_nag.py", "test_synth_cost.py", "test_feature_flags.py")
HANDLER_TESTS = ("tests/unit/handler", "tests/unit/reader")


def candidates(version: str) -> Iterator[str]:
    """Yields the possible paths of an interpreter of a version."""
    on_path = shutil.which(f"python{version}")
    if on_path:
        yield on_path
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    yield from (str(path) for path in sorted(pyenv.glob(f"versions/{version}.*/bin/python")))


def find(version: str) -> str | None:
    """Finds an interpreter that can create virtual environments. pyenv has shims even for versions that do not run."""
    program = f"import ensurepip, venv, sys; sys.exit(sys.version_info[:2] != ({version.replace('.', ', ')}))"
    for candidate in candidates(version):
        if subprocess.run([candidate, "-c", program], capture_output=True).returncode == 0:
            return candidate
    return None


def install(version: str, interpreter: str) -> Path:
    """Creates a version's virtual environment unless one with the same requirements exists. Returns its Python."""
    folder = ENVIRONMENTS / version
    python, installed = folder / "bin" / "python", folder / ".installed"
    wanted = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()
    if installed.exists() and installed.read_text() == wanted:
        return python
    print(f"installing the requirements of the tests on Python {version} into {folder.relative_to(ROOT)}", flush=True)
    subprocess.run([interpreter, "-m", "venv", "--clear", folder], check=True)
    pip: list[str | Path] = [
        python,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--require-hashes",
    ]
    # Compiling all of aws-cdk-lib takes longer than compiling the imported modules.
    subprocess.run([*pip, "--no-compile", "--requirement", REQUIREMENTS], check=True)
    installed.write_text(wanted)
    return python


def run(title: str, command: Sequence[str | Path]) -> bool:
    """Runs the tests on one version. Returns whether they pass."""
    print(f"--- {title}", flush=True)
    source_roots = [str(ROOT / name) for name in ("constructs", "lambda", "local", "tests")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(source_roots)}
    return subprocess.run(command, cwd=ROOT, env=environment).returncode == 0


def main() -> int:
    """Runs the tests on each version, and lists the missing versions."""
    current = f"{sys.version_info[0]}.{sys.version_info[1]}"
    others = [version for version in VERSIONS if version != current]
    found = {version: interpreter for version in others if (interpreter := find(version))}
    passed = []
    for version, interpreter in found.items():
        python = install(version, interpreter)
        tests = [path for pattern in SYNTH_TESTS for path in sorted(ROOT.glob(pattern)) if path.name not in OMITTED]
        pytest = ("-m", "pytest", "-p", "other_pythons", "--quiet", "--at-least=300")
        passed.append(run(f"Python {version}, {interpreter}", [python, *pytest, *tests]))
    handler_tests = [name for name in HANDLER_TESTS if (ROOT / name).exists()]
    script = ROOT / "tools" / "test-lambda-python.mjs"
    passed.append(run("Python 3.14, Pyodide", ["node", script, sysconfig.get_path("purelib"), *handler_tests]))
    for version in others:
        if version not in found:
            print(f"Python {version} was not found on this machine: no tests ran on it")
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main())
