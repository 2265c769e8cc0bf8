"""``tools/deploy-local``, with a CDK CLI that is a shell script. tests/deploy/test_deploy_local.py has the real one."""

import os
import subprocess
from pathlib import Path

import pytest
from support.terminal import terminal_with

SCRIPT = Path(__file__).parents[3] / "tools" / "deploy-local"
PROGRESS = ["synthesizing the stack of app.py", "deploying the stack and waiting for its job"]
# Prints its arguments that a user can add to, and a line to each stream.
TALKS = 'echo "$1 out ${*: -2}"; echo "$1 err" >&2'
ADDED = ("-c", "num_results=3")


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """The environment of the script. `write_cdk` writes the CLI in it."""
    write_program(tmp_path / "personalize-local", 'echo "table of $1"')
    return {
        **os.environ,
        "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}",
        "CDK_HOME": str(tmp_path / "home"),
        "PERSONALIZE_LOCAL_ITEM_ATTRIBUTE_AFFINITY_VERSION_ARN": "arn",
    }


def write_program(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/bash\n{script}\n")
    path.chmod(0o755)


def run(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([SCRIPT, *arguments], env=environment, capture_output=True, text=True, timeout=60)


def test_hides_the_cli(environment: dict[str, str], tmp_path: Path) -> None:
    write_program(tmp_path / "cdk", TALKS)
    ran = run(environment, *ADDED)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.splitlines() == [*PROGRESS, "table of segments"]


def test_shows_the_cli_with_verbose(environment: dict[str, str], tmp_path: Path) -> None:
    write_program(tmp_path / "cdk", TALKS)
    ran = run(environment, "--verbose", *ADDED)
    assert (ran.returncode, ran.stderr) == (0, "synth err\ndeploy err\n")
    deployed = "deploy out --require-approval never"
    assert ran.stdout.splitlines() == [
        PROGRESS[0],
        "synth out -c num_results=3",
        PROGRESS[1],
        deployed,
        "table of segments",
    ]


@pytest.mark.parametrize(("failing", "code", "steps"), [("synth", 1, 1), ("deploy", 7, 2)])
def test_shows_the_cli_and_passes_its_exit_code_on_if_it_fails(
    failing: str, code: int, steps: int, environment: dict[str, str], tmp_path: Path
) -> None:
    write_program(tmp_path / "cdk", f"{TALKS}; test $1 != {failing} || exit {code}")
    ran = run(environment, *ADDED)
    assert (ran.returncode, ran.stdout.splitlines()) == (code, PROGRESS[:steps])
    assert ran.stderr.splitlines()[0].startswith(f"{failing} out ")
    assert ran.stderr.splitlines()[1:] == [f"{failing} err"]


def test_ctrl_c_ends_it(environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_program(tmp_path / "cdk", f"echo hidden; touch {tmp_path}/started; exec sleep 60")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    # A command that has read from the terminal is in its foreground, see test_process.py.
    waits = f"(until test -e {tmp_path}/started; do sleep 0.05; done; echo ready) & "
    with terminal_with(f"read go; {waits} exec {SCRIPT}") as terminal:
        terminal.type(b"go\n")
        shown = terminal.read_until(b"ready")
        terminal.type(b"\x03")
        assert terminal.wait_for_exit_code() == 130
    assert PROGRESS[0].encode() in shown
    assert b"hidden" not in shown
