"""The reasons in the events of a workflow."""

import contextlib
import json

from .contract import FlatProperties
from .errors import explain
from .retries import LIMIT_THE_JOBS
from .text import printable, shorten
from .workflow_contract import Fault

_MAX_REASON_BYTES = 2500
# Adapts the messages of deployments to runs.
_IN_A_RUN = {
    LIMIT_THE_JOBS: "",
    "Deploy again": "Start the run again",
    "deploy again": "start the run again",
    "job_input": "segment_input",
    "trigger: all": "all",
    "Change trigger to give the job another name": "Train a new solution version, or rename the audience",
}


def explain_in_run(error: Exception, properties: FlatProperties) -> str:
    """Returns the message of an error, with the property to change and the fix.

    Args:
        error: The error.
        properties: The properties of the job, which the message can show.
    """
    text = str(explain(error, properties))
    for of_deployment, of_run in _IN_A_RUN.items():
        text = text.replace(of_deployment, of_run)
    return text


def reason_of(fault: Fault) -> str:
    """Returns the reason for an error that a state caught.

    Args:
        fault: The error. The cause of a function's exception is JSON with an ``errorMessage``:
            https://docs.aws.amazon.com/step-functions/latest/dg/connect-lambda.html
    """
    cause = fault.get("Cause", "")
    with contextlib.suppress(ValueError, TypeError, KeyError):
        cause = json.loads(cause)["errorMessage"]
    return shorten(f"{printable(fault.get('Error', 'unknown error'), 200)}: {printable(cause)}", _MAX_REASON_BYTES)
