"""The local AWS of a running `personalize-local serve`, for `personalize-local env` in another terminal."""

import contextlib
import fcntl
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from .environment import EXPORTED_VARIABLES
from .errors import UsageError
from .seeds import SEEDS

_FILE = "served.json"


@contextlib.contextmanager
def publish(folder: Path, environment: Mapping[str, str]) -> Iterator[None]:
    """Lets `find` find a local AWS until the context ends.

    Args:
        folder: Its folder of temporary files, which only this user can read.
        environment: The environment of a program that uses it.
    """
    variables = {name: environment[name] for name in (*EXPORTED_VARIABLES, *SEEDS) if name in environment}
    with (folder / _FILE).open("w") as file:
        json.dump(variables, file)
        file.flush()
        # The system releases the lock when the process ends, even if it is killed.
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def find(port: int | None) -> dict[str, str]:
    """Returns the variables of the local AWS that is served.

    Args:
        port: Its port. Can be None if there is only one.

    Raises:
        UsageError: No local AWS is served, or several are.
    """
    found = {}
    for folder in Path(tempfile.gettempdir()).glob("personalize-local-*"):
        # The folder can be removed in the meantime.
        with contextlib.suppress(OSError):
            # In another user's folder, the file could lead programs to that user's server, or be a pipe without an end.
            if folder.lstat().st_uid != os.getuid():
                continue
            with (folder / _FILE).open() as file:
                if _is_locked(file.fileno()):
                    variables: dict[str, str] = json.load(file)
                    found[int(variables["AWS_ENDPOINT_URL"].rpartition(":")[2])] = variables
    on_port = "" if port is None else f" on port {port}"
    chosen = [variables for served, variables in found.items() if port in (None, served)]
    if not chosen:
        start = "personalize-local serve" if port is None else f"personalize-local serve --port {port}"
        raise UsageError(f"env: no local AWS is served{on_port}; start one in another terminal: {start}")
    if len(chosen) > 1:
        ports = ", ".join(str(served) for served in sorted(found))
        raise UsageError(f"env: found {len(chosen)} local AWS, on the ports {ports}; choose one with --port")
    return chosen[0]


def _is_locked(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False
