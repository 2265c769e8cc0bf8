"""Python imports this module when a Lambda function starts on the local AWS. The function's code is not modified.

It shortens sleeps, because nothing in the local AWS needs time to propagate. It also finds the programs of layers:
Lambda extracts layers to /opt, where the local AWS cannot write.
https://docs.aws.amazon.com/lambda/latest/dg/packaging-layers.html
"""

import os
import subprocess
import sys
import time
from typing import Any

_scale = float(os.environ["PERSONALIZE_LOCAL_WAIT_SCALE"])
_sleep = time.sleep
time.sleep = lambda seconds: _sleep(float(seconds) * _scale)

_start = subprocess.Popen.__init__


def _start_from_layer(self: Any, args: Any, *rest: Any, **kwargs: Any) -> None:
    if not isinstance(args, (str, bytes)) and str(args[0]).startswith("/opt/"):
        for layer in os.environ.get("_LAMBDA_LAYERS_DIRS", "").split(os.pathsep):
            program = os.path.join(layer, str(args[0]).removeprefix("/opt/"))
            if layer and os.path.isfile(program):
                # MiniStack extracts files without their permissions, and scripts name the interpreter of Lambda,
                # /var/lang/bin/python.
                with open(program, "rb") as file:
                    is_python = b"python" in file.readline()
                os.chmod(program, 0o700)
                args = [*([sys.executable] if is_python else []), program, *args[1:]]
                break
    _start(self, args, *rest, **kwargs)


subprocess.Popen.__init__ = _start_from_layer  # type: ignore[method-assign]
