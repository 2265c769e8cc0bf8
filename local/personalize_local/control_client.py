"""Sends the requests of the command ``personalize-local`` to the local AWS that the environment names."""

import json
import os
from typing import Any

from .errors import UsageError, not_local


def call(operation: str, **members: Any) -> dict[str, Any]:
    """Sends a request.

    Args:
        operation: Its name.
        **members: Its members. Members that are None are omitted.

    Raises:
        UsageError: The local AWS rejects it, or cannot be reached.
    """
    import boto3
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.exceptions import BotoCoreError
    from botocore.httpsession import URLLib3Session

    session = boto3.Session()
    body = json.dumps({name: value for name, value in members.items() if value is not None})
    headers = {"X-Amz-Target": f"PersonalizeLocal.{operation}", "Content-Type": "application/x-amz-json-1.1"}
    request = AWSRequest("POST", f"{os.environ['AWS_ENDPOINT_URL']}/", headers, body)
    credentials = session.get_credentials()
    if credentials is None:
        raise UsageError("AWS_ACCESS_KEY_ID is not set; take all variables from `personalize-local env`")
    SigV4Auth(credentials, "personalize", session.region_name).add_auth(request)
    try:
        answer = URLLib3Session().send(request.prepare())
        found: dict[str, Any] = json.loads(answer.content)
    except BotoCoreError as error:
        raise UsageError(f"the local AWS cannot be reached: {error}") from error
    except ValueError as error:
        raise not_local(os.environ["AWS_ENDPOINT_URL"]) from error
    if answer.status_code != 200:
        raise UsageError(str(found.get("message", found)))
    return found
