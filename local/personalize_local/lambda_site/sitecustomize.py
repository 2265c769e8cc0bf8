"""Python imports this when a Lambda function starts on the local AWS: it shortens the function's sleeps.

Nothing has to propagate here, so waiting at full length would show nothing. The function's code stays as it is.
"""

import os
import time

_scale = float(os.environ["PERSONALIZE_LOCAL_WAIT_SCALE"])
_sleep = time.sleep
time.sleep = lambda seconds: _sleep(float(seconds) * _scale)
