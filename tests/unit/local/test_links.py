"""Presigned URLs, role sessions and links to code each require their own secret."""

import hashlib
import json
import shutil
import sys
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from personalize_local.gateway import LocalAws
from unit.local.job_fixture import JobFixture
from unit.local.signed_requests import FORM


@pytest.mark.parametrize("version", ["s3", "s3v4"])
def test_accepts_only_valid_presigned_urls(jobs: JobFixture, client: Callable[..., Any], version: str) -> None:
    jobs.put("content", key="a b/ü+c")
    s3 = client("s3", config=Config(signature_version=version))
    url = s3.generate_presigned_url("get_object", Params={"Bucket": jobs.input, "Key": "a b/ü+c"})
    assert urllib.request.urlopen(url, timeout=120).read() == b"content"
    expired = s3.generate_presigned_url("get_object", Params={"Bucket": jobs.input, "Key": "a b/ü+c"}, ExpiresIn=-5)
    other_service = f"{url}&Action=ListRoles&Version=2010-05-08"
    for bad in (expired, other_service, url.replace("%20", "%21"), url.replace("Signature=", "Signature=0")):
        with pytest.raises(urllib.error.HTTPError) as error:
            urllib.request.urlopen(bad, timeout=120)
        assert error.value.code in (400, 403)


def test_checks_sessions_of_roles(jobs: JobFixture, client: Callable[..., Any]) -> None:
    trust = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{jobs.aws.account}:root"}}
    document = {"Version": "2012-10-17", "Statement": [{**trust, "Action": "sts:AssumeRole"}]}
    jobs.iam.update_assume_role_policy(RoleName=jobs.role_name, PolicyDocument=json.dumps(document))
    made = client("sts").assume_role(RoleArn=jobs.role, RoleSessionName="session")["Credentials"]
    credentials = {
        "aws_access_key_id": made["AccessKeyId"],
        "aws_secret_access_key": made["SecretAccessKey"],
        "aws_session_token": made["SessionToken"],
    }
    assert client("s3", **credentials).list_objects_v2(Bucket=jobs.input)["KeyCount"] == 0
    for name in ("aws_secret_access_key", "aws_session_token"):
        with pytest.raises(ClientError, match=r"SignatureDoesNotMatch|InvalidToken"):
            client("s3", **{**credentials, name: "wrong"}).list_objects_v2(Bucket=jobs.input)


CODE = "import os\ndef handler(event, context): return {name: os.environ[name] for name in os.environ if 'AWS' in name}"


@pytest.fixture
def function(jobs: JobFixture, client: Callable[..., Any], tmp_path: Path) -> dict[str, Any]:
    """A Lambda function that returns its environment."""
    trust = {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    jobs.iam.create_role(RoleName=f"{jobs.role_name}-f", AssumeRolePolicyDocument=document)
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "index.py").write_text(CODE)
    archive = Path(shutil.make_archive(str(tmp_path / "code"), "zip", tmp_path / "code")).read_bytes()
    made: dict[str, Any] = client("lambda").create_function(
        FunctionName=jobs.role_name,
        Runtime="python3.12",
        Handler="index.handler",
        Role=f"{jobs.role}-f",
        Code={"ZipFile": archive},
    )
    return made


@pytest.fixture
def frequent_switches() -> Iterator[None]:
    """Makes threads switch often, so that a race appears."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def test_credentials_of_a_function_are_not_derived_from_its_name(
    function: dict[str, Any], client: Callable[..., Any], local_aws: LocalAws
) -> None:
    invoked = client("lambda").invoke(FunctionName=function["FunctionName"])
    environment = json.loads(invoked["Payload"].read())
    assert local_aws.secret_key not in environment.values()
    digest = hashlib.sha256(f"{function['FunctionArn']}:{function['Role']}".encode()).hexdigest()
    guessed = {
        "aws_access_key_id": f"ASIA{digest[:16].upper()}",
        "aws_secret_access_key": hashlib.sha256(f"secret:{digest}".encode()).hexdigest(),
        "aws_session_token": hashlib.sha256(f"token:{digest}".encode()).hexdigest(),
    }
    assert environment["AWS_ACCESS_KEY_ID"] != guessed["aws_access_key_id"]
    with pytest.raises(ClientError, match="InvalidClientTokenId"):
        client("sts", **guessed).get_caller_identity()


def test_processes_of_a_function_share_its_credentials(
    function: dict[str, Any], client: Callable[..., Any], frequent_switches: None
) -> None:
    # MiniStack reads the environment on import, so import it after the local AWS has started.
    from ministack.core import lambda_runtime
    from ministack.services import sts

    configuration = client("lambda").get_function_configuration(FunctionName=function["FunctionName"])

    def start(number: int) -> dict[str, str]:
        sts.register_session(f"ASIA{number}", {"Expiration": 0})
        return dict(lambda_runtime.execution_credentials(configuration))

    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(start, range(2000)))
    assert all(credentials == made[0] for credentials in made)


def test_requires_a_key_to_download_code(function: dict[str, Any], client: Callable[..., Any]) -> None:
    link = client("lambda").get_function(FunctionName=function["FunctionName"])["Code"]["Location"]
    assert urllib.request.urlopen(link, timeout=120).read().startswith(b"PK")
    with pytest.raises(urllib.error.HTTPError):
        urllib.request.urlopen(link.partition("&key=")[0], timeout=120)


TAKEOVER = b"Action=CreateUser&UserName=takeover&Version=2010-05-08"


@pytest.mark.parametrize("version", ["s3", "s3v4"])
def test_rejects_a_presigned_url_for_another_service(
    jobs: JobFixture, client: Callable[..., Any], version: str
) -> None:
    s3 = client("s3", config=Config(signature_version=version))
    url = s3.generate_presigned_url("create_multipart_upload", Params={"Bucket": jobs.input, "Key": "a"})
    request = urllib.request.Request(url, data=TAKEOVER, headers={"Content-Type": FORM}, method="POST")
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=10)
    assert refused.value.code == 403
    refused.value.close()
    assert "takeover" not in {user["UserName"] for user in client("iam").list_users()["Users"]}


def test_rejects_a_second_access_key_in_a_presigned_url(
    jobs: JobFixture, client: Callable[..., Any], local_aws: LocalAws
) -> None:
    jobs.put("secret", key="in/secret")
    s3 = client("s3", config=Config(signature_version="s3"))
    url = s3.generate_presigned_url("get_object", Params={"Bucket": jobs.input, "Key": "in/secret"})
    for name in ("X-Amz-Credential", "x-amz-credential"):
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"{url}&{name}={local_aws.account}/20990101/eu-west-1/s3/aws4_request", timeout=10)
        assert refused.value.code in (400, 403)
        refused.value.close()
