"""``personalize-local env`` finds the local AWS of a running ``personalize-local serve``."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from personalize_local import cli, served
from personalize_local.environment import EXPORTED_VARIABLES
from personalize_local.errors import UsageError

Serve = Callable[[int], AbstractContextManager[None]]
NONE = "personalize-local: env: no local AWS is served; start one in another terminal: personalize-local serve\n"


@pytest.fixture
def serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Serve:
    """Serves a local AWS on a port, as far as `env` can see."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def publish(port: int) -> AbstractContextManager[None]:
        folder = tmp_path / f"personalize-local-{port}"
        folder.mkdir()
        return served.publish(folder, environment(port))

    return publish


def environment(port: int) -> dict[str, str]:
    return {**dict.fromkeys(EXPORTED_VARIABLES, "x y"), "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"}


def test_prints_the_variables(serve: Serve, capsys: pytest.CaptureFixture[str]) -> None:
    with serve(4566):
        assert cli.main(["env"]) == 0
    unset, *exports = capsys.readouterr().out.splitlines()
    assert unset.startswith("unset ")
    assert exports[:2] == ["export AWS_ENDPOINT_URL=http://127.0.0.1:4566", "export AWS_ACCESS_KEY_ID='x y'"]
    assert len(exports) == len(EXPORTED_VARIABLES)
    assert cli.main(["env"]) == 2
    assert capsys.readouterr() == ("", NONE)


def test_selects_one_by_its_port(serve: Serve) -> None:
    with serve(4567), serve(4566):
        assert served.find(4567)["AWS_ENDPOINT_URL"] == "http://127.0.0.1:4567"
        with pytest.raises(
            UsageError, match=r"^env: found 2 local AWS, on the ports 4566, 4567; choose one with --port$"
        ):
            served.find(None)
        with pytest.raises(UsageError, match=r"^env: no local AWS is served on port 1; start .* serve --port 1$"):
            served.find(1)


def test_ignores_one_that_was_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "personalize-local-killed"
    folder.mkdir()
    program = (
        "import pathlib, sys, time; from personalize_local import served; folder, *variables = sys.argv[1:]\n"
        "with served.publish(pathlib.Path(folder), dict(zip(variables[::2], variables[1::2]))):\n"
        "    print('served', flush=True); time.sleep(60)"
    )
    variables = [part for variable in environment(4566).items() for part in variable]
    command = [sys.executable, "-c", program, str(folder), *variables]
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "served\n"
        assert served.find(None) == environment(4566)
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=60)
    assert (folder / "served.json").is_file()
    with pytest.raises(UsageError, match=r"^env: no local AWS is served"):
        served.find(None)


def test_ignores_one_of_another_user(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: os.geteuid() + 1)
    with serve(4566), pytest.raises(UsageError, match=r"^env: no local AWS is served"):
        served.find(None)


@pytest.mark.timeout(60)
def test_does_not_open_a_file_of_another_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(os, "getuid", lambda: os.geteuid() + 1)
    (tmp_path / "personalize-local-theirs").mkdir()
    # To open a pipe without a writer would wait for one.
    os.mkfifo(tmp_path / "personalize-local-theirs" / "served.json")
    with pytest.raises(UsageError, match=r"^env: no local AWS is served"):
        served.find(None)
