"""Programs that use the local AWS get no settings of the real AWS from the shell."""

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from personalize_local.environment import aws_variables, no_proxy, without_aws_variables

TOOL = str(Path(sys.executable).with_name("personalize-local"))
# No server listens on this port, so a request to it fails.
CLOSED_PORT = "http://127.0.0.1:9"
HOSTILE = {
    "AWS_PROFILE": "nope",
    "AWS_DEFAULT_PROFILE": "nope",
    "AWS_SESSION_TOKEN": "token",
    "AWS_SECURITY_TOKEN": "token",
    "AWS_CREDENTIAL_EXPIRATION": "2001-01-01T00:00:00Z",
    "AWS_CA_BUNDLE": "/nope",
    "AWS_ENDPOINT_URL": CLOSED_PORT,
    "AWS_ENDPOINT_URL_S3": CLOSED_PORT,
    "AWS_ENDPOINT_URL_STS": CLOSED_PORT,
    "AWS_ENDPOINT_URL_PERSONALIZE": CLOSED_PORT,
    "AWS_ENDPOINT_URL_CLOUDFORMATION": CLOSED_PORT,
    "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true",
    "AWS_USE_FIPS_ENDPOINT": "true",
    "AWS_USE_DUALSTACK_ENDPOINT": "true",
    "AWS_S3_US_EAST_1_REGIONAL_ENDPOINT": "legacy",
    "AWS_WEB_IDENTITY_TOKEN_FILE": "/nope",
    "AWS_ROLE_ARN": "arn:aws:iam::111111111111:role/real",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI": CLOSED_PORT,
    "AWS_MAX_ATTEMPTS": "1",
    "AWS_DATA_PATH": "/nope",
    "AWS_LAMBDA_FUNCTION_NAME": "real",
    "HTTP_PROXY": CLOSED_PORT,
    "http_proxy": CLOSED_PORT,
    "HTTPS_PROXY": CLOSED_PORT,
    "https_proxy": CLOSED_PORT,
    "ALL_PROXY": CLOSED_PORT,
}


@pytest.fixture
def hostile(tmp_path: Path) -> dict[str, str]:
    """The environment of a shell with settings of the real AWS, in variables and in files of the home folder."""
    config = tmp_path / "home" / ".aws"
    config.mkdir(parents=True)
    (config / "config").write_text(
        f"[default]\nendpoint_url = {CLOSED_PORT}\nuse_fips_endpoint = true\nregion = mars\n"
    )
    (config / "credentials").write_text("[default]\naws_access_key_id = REAL\naws_secret_access_key = REAL\n")
    files = {
        "AWS_CONFIG_FILE": str(config / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(config / "credentials"),
        "HOME": str(tmp_path / "home"),
        "NO_PROXY": "intranet",
    }
    return {**os.environ, **HOSTILE, **files, "TMPDIR": str(tmp_path)}


# A user's command: prints its identity, results of S3 and Personalize, and the remaining variables.
COMMAND = """
import boto3, json, os
print(json.dumps({
    "who": boto3.client("sts").get_caller_identity()["Arn"],
    "buckets": len(boto3.client("s3").list_buckets()["Buckets"]) > 0,
    "jobs": boto3.client("personalize").list_batch_segment_jobs()["batchSegmentJobs"],
    "left": sorted(name for name in os.environ if name.startswith("AWS_")),
    "no_proxy": [os.environ["NO_PROXY"], os.environ["no_proxy"]],
}))
"""
LEFT = [
    "AWS_ACCESS_KEY_ID",
    "AWS_CONFIG_FILE",
    "AWS_DEFAULT_REGION",
    "AWS_EC2_METADATA_DISABLED",
    "AWS_ENDPOINT_URL",
    "AWS_REGION",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SHARED_CREDENTIALS_FILE",
]


def test_the_command_uses_only_the_local_aws(hostile: dict[str, str]) -> None:
    command = [TOOL, "run", "--", sys.executable, "-c", COMMAND]
    ran = subprocess.run(command, env=hostile, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout) == {
        "who": "arn:aws:iam::123456789012:root",
        "buckets": True,
        "jobs": [],
        "left": LEFT,
        "no_proxy": ["intranet,127.0.0.1,localhost"] * 2,
    }


def test_a_python_process_uses_only_the_local_aws(hostile: dict[str, str]) -> None:
    program = (
        "import json, os, boto3; from personalize_local.gateway import LocalAws\nbefore = dict(os.environ)\n"
        "with LocalAws() as aws:\n"
        "    print(boto3.client('sts').get_caller_identity()['Arn'], boto3.client('s3').list_buckets()['Buckets'])\n"
        "    print(json.dumps(sorted(name for name in os.environ if name.startswith('AWS_'))))\n"
        "print(dict(os.environ) == before)"
    )
    ran = subprocess.run([sys.executable, "-c", program], env=hostile, capture_output=True, text=True, timeout=120)
    assert ran.stdout.splitlines() == ["arn:aws:iam::123456789012:root []", json.dumps(LEFT), "True"], ran.stderr


@pytest.mark.parametrize("reads", ["the lines of serve", "env"])
def test_variables_of_serve_remove_settings_of_the_real_aws(hostile: dict[str, str], reads: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    serve = subprocess.Popen(
        [TOOL, "serve", "--port", str(port)], env=hostile, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        lines = []
        assert serve.stdout is not None
        for line in serve.stdout:
            lines.append(line)
            if "PERSONALIZE_LOCAL_FILTER_IN_PROGRESS_ARN" in line:
                break
        env = subprocess.run([TOOL, "env"], env=hostile, capture_output=True, text=True, timeout=120)
        assert (env.stdout, env.stderr, env.returncode) == ("".join(lines), "", 0)
        variables = 'eval "$(personalize-local env)"\n' if reads == "env" else "".join(lines)
        script = f"{variables}exec {shlex.quote(sys.executable)} -c {shlex.quote(COMMAND)}"
        ran = subprocess.run(["sh", "-c", script], env=hostile, capture_output=True, text=True, timeout=120)
    finally:
        serve.send_signal(signal.SIGINT)
        assert serve.wait(timeout=120) == 0
    assert ran.returncode == 0, ran.stderr
    shown = json.loads(ran.stdout)
    assert shown["who"] == "arn:aws:iam::123456789012:root"
    assert shown["left"] == LEFT
    (unset,) = re.findall(r"^unset (.*)\n$", lines[0])
    assert set(unset.split()) == {name for name in HOSTILE if name.startswith("AWS_")} - set(LEFT)


def test_drops_only_aws_variables() -> None:
    shell = {"AWS_ENDPOINT_URL_S3": "x", "AWSUME": "x", "PATH": "x", "MY_AWS_X": "x"}
    assert aws_variables(shell) == ["AWS_ENDPOINT_URL_S3"]
    assert without_aws_variables(shell) == {"AWSUME": "x", "PATH": "x", "MY_AWS_X": "x"}


@pytest.mark.parametrize(
    ("shell", "value"),
    [
        ({}, "127.0.0.1,localhost"),
        ({"NO_PROXY": ""}, "127.0.0.1,localhost"),
        ({"no_proxy": "a, b"}, "a,b,127.0.0.1,localhost"),
        ({"NO_PROXY": "a", "no_proxy": "b,localhost"}, "a,b,localhost,127.0.0.1"),
    ],
)
def test_adds_local_hosts_to_no_proxy(shell: dict[str, str], value: str) -> None:
    assert no_proxy(shell) == {"NO_PROXY": value, "no_proxy": value}
