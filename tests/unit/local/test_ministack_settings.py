"""MiniStack gets no settings from the shell, reads no data of another MiniStack, and stores none."""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import ministack
import pytest
from personalize_local.environment import Connection
from personalize_local.gateway import LocalAws
from personalize_local.ministack_settings import OTHER_VARIABLES, ministack_environment

#: The expressions of names that MiniStack computes. The names have its prefixes, or `EC2_DOCKER_FLAGS` lists them.
COMPUTED = {"_PROXY_PREFIX + name", "env_name", "name"}
#: Variables in MiniStack's JavaScript workers, which run Lambda functions. MiniStack itself sets the variables that
#: start with an underscore.
JAVASCRIPT = re.compile(r"process\.env\.([A-Za-z]\w+)")


def names_read(source: str) -> Iterator[str]:
    """Yields the names of variables in `os.environ.get(…)`, `os.getenv(…)`, `os.environ[…]` and `… in os.environ`."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case (
                ast.Call(func=ast.Attribute(value=ast.Attribute(attr="environ"), attr="get" | "pop"), args=[name, *_])
                | ast.Call(func=ast.Attribute(attr="getenv"), args=[name, *_])
                | ast.Subscript(value=ast.Attribute(attr="environ"), slice=name)
                | ast.Compare(left=name, comparators=[ast.Attribute(attr="environ")])
            ):
                yield str(name.value) if isinstance(name, ast.Constant) else ast.unparse(name)
    yield from JAVASCRIPT.findall(source)


@pytest.fixture(scope="module")
def read() -> set[str]:
    """The environment variables that the installed MiniStack reads."""
    files = Path(ministack.__path__[0]).rglob("*.py")
    return {name for file in files for name in names_read(file.read_text())} - COMPUTED


@pytest.fixture
def connection(tmp_path: Path) -> Connection:
    return Connection("http://127.0.0.1:4566", "123456789012", "eu-west-1", "AKIA", "secret", tmp_path)


def test_knows_all_variables_of_the_installed_ministack(read: set[str], connection: Connection) -> None:
    assert len(read) > 100
    shell = dict.fromkeys([*read, "DOCKER_TLS_VERIFY", "MINISTACK_LAMBDA_PROXY_mine"], "of the shell")
    names = {name for name, value in ministack_environment(connection, shell, 0.02).items() if value == "of the shell"}
    # Variables that MiniStack sets for the Python workers of Lambda functions.
    assert {name for name in names if not name.startswith("_")} == set()


def test_drops_no_variable_that_ministack_does_not_read(read: set[str], connection: Connection) -> None:
    assert OTHER_VARIABLES - read == set()
    shell = {"HOME": "x", "LANG": "x", "MY_MINISTACK_X": "x", "S3_PERSISTENT": "x"}
    assert shell.items() <= ministack_environment(connection, shell, 0.02).items()


def test_runs_no_startup_scripts(local_aws: LocalAws, tmp_path: Path) -> None:
    from ministack import app

    (tmp_path / "script.sh").touch()
    assert app._collect_scripts(str(tmp_path)) == []


PROGRAM = """
import boto3, json, os, sys
from personalize_local.gateway import LocalAws
with LocalAws() as aws:
    s3, ses = boto3.client("s3"), boto3.client("ses")
    print([bucket["Name"] for bucket in s3.list_buckets()["Buckets"]])
    s3.create_bucket(Bucket="new", CreateBucketConfiguration={"LocationConstraint": aws.region})
    s3.put_object(Bucket="new", Key="queries.jsonl", Body=b"customers")
    ses.verify_email_identity(EmailAddress="a@example.com")
    ses.send_email(
        Source="a@example.com",
        Destination={"ToAddresses": ["customer@example.com"]},
        Message={"Subject": {"Data": "x"}, "Body": {"Text": {"Data": "x"}}},
    )
    names = ("SMTP_HOST", "REDIS_HOST", "DOCKER_HOST", "SFN_MOCK_CONFIG", "SERVICES", "MINISTACK_EDITION")
    print([name for name in names if name in os.environ], [name for name in names if name not in aws.environment()])
"""


@pytest.mark.parametrize("variable", ["S3_PERSIST", "LOCALSTACK_PERSISTENCE", "PERSIST_STATE"])
def test_neither_reads_nor_keeps_data_on_disk(tmp_path: Path, variable: str) -> None:
    other, state = tmp_path / "other", tmp_path / "state"
    bucket = other / "123456789012" / "precious"
    bucket.mkdir(parents=True)
    (bucket / "work.txt").write_text("weeks of work")
    state.mkdir()
    (tmp_path / "tmp").mkdir()
    shell = {
        **os.environ,
        variable: "1",
        "S3_DATA_DIR": str(other),
        "STATE_DIR": str(state),
        "TMPDIR": str(tmp_path / "tmp"),
        # No server listens on this port.
        "SMTP_HOST": "127.0.0.1:9",
        "REDIS_HOST": "127.0.0.1",
        "DOCKER_HOST": "tcp://127.0.0.1:9",
        "SFN_MOCK_CONFIG": "/nope",
        "SERVICES": "sqs",
        "MINISTACK_EDITION": "full",
    }
    ran = subprocess.run([sys.executable, "-c", PROGRAM], env=shell, capture_output=True, text=True, timeout=120)
    assert ran.stdout.splitlines() == ["[]", "[] []"], ran.stderr
    files = [str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*") if file.is_file()]
    assert files == ["other/123456789012/precious/work.txt"]


def test_refuses_a_ministack_that_has_read_another_environment() -> None:
    program = "from personalize_local.gateway import LocalAws\nfrom ministack.services import sqs\nLocalAws()"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert ran.returncode == 1
    assert ran.stderr.splitlines()[-1] == (
        "RuntimeError: MiniStack is already imported; create LocalAws before anything imports ministack, once in a "
        "process"
    )
