"""Requests to IAM, signed without an SDK."""

import http.client
import json
import urllib.parse

from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from personalize_local.gateway import LocalAws

FORM = "application/x-www-form-urlencoded"


class Answer:
    """A complete response."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.headers = response.getheaders()
        self.body = response.read().decode()


def signed(
    aws: LocalAws, body: str, *, access_key: str = "", secret_key: str = "", in_query: bool = False
) -> tuple[str, dict[str, str]]:
    """Returns the target and headers of a signed request to IAM, with its parameters in the query if presigned."""
    url = f"{aws.endpoint_url}/?{body}" if in_query else f"{aws.endpoint_url}/"
    headers = {} if in_query else {"Content-Type": FORM}
    request = AWSRequest("POST", url, headers=headers, data=b"" if in_query else body.encode())
    credentials = Credentials(access_key or aws.access_key, secret_key or aws.secret_key)
    (SigV4QueryAuth if in_query else SigV4Auth)(credentials, "iam", aws.region).add_auth(request)
    parts = urllib.parse.urlsplit(str(request.url))
    return f"{parts.path}?{parts.query}" if parts.query else parts.path, dict(request.headers.items())


def create_role(name: str) -> str:
    """Returns the body of a request to IAM."""
    trust = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    return urllib.parse.urlencode(
        {"Action": "CreateRole", "Version": "2010-05-08", "RoleName": name, "AssumeRolePolicyDocument": document}
    )
