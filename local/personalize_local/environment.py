"""Environment variables of the shell, and of programs that use the local AWS."""

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from . import toolchain
from .seeds import SEEDS

#: The variables that `personalize-local serve` exports, in addition to the seeds.
EXPORTED_VARIABLES = (
    "AWS_ENDPOINT_URL",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_EC2_METADATA_DISABLED",
    "AWS_CONFIG_FILE",
    "AWS_SHARED_CREDENTIALS_FILE",
    "NO_PROXY",
    "no_proxy",
    "CDK_DEFAULT_ACCOUNT",
    "CDK_DEFAULT_REGION",
    "CDK_HOME",
)
#: The variables that `personalize-local serve` always unsets. Another terminal or a company's settings may set them
#: even if this terminal does not.
UNSET_VARIABLES = ("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_SESSION_TOKEN", "AWS_CA_BUNDLE")
_LOCAL_HOSTS = ("127.0.0.1", "localhost")


@dataclass(frozen=True)
class Connection:
    """How programs reach a running local AWS.

    Attributes:
        endpoint_url: Its URL.
        account: The account ID.
        region: The region.
        access_key: The access key ID of the account's root user.
        secret_key: The secret access key.
        folder: The folder for temporary files, which is removed when the local AWS stops.
    """

    endpoint_url: str
    account: str
    region: str
    access_key: str
    secret_key: str
    folder: Path

    @property
    def empty_file(self) -> Path:
        """The file that replaces the user's AWS configuration files."""
        return self.folder / "aws"

    def sdk_variables(self) -> dict[str, str]:
        """Returns the variables that AWS SDKs read. They override the user's configuration files."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": str(self.empty_file),
            "AWS_SHARED_CREDENTIALS_FILE": str(self.empty_file),
        }


def aws_variables(names: Iterable[str]) -> list[str]:
    """Returns the variables that lead to the real AWS or change how its SDKs work: all that start with ``AWS_``.

    For example, the service-specific ``AWS_ENDPOINT_URL_S3`` overrides ``AWS_ENDPOINT_URL``:
    https://docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html
    """
    return sorted(name for name in names if name.startswith("AWS_"))


def without_aws_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """Returns an environment without its :func:`aws_variables`."""
    excluded = set(aws_variables(environment))
    return {name: value for name, value in environment.items() if name not in excluded}


def no_proxy(environment: Mapping[str, str]) -> dict[str, str]:
    """Returns the variables that exclude this machine from proxying, in addition to the hosts excluded already.

    Some programs read ``NO_PROXY`` and some ``no_proxy``, so both get the same value.
    """
    current = ",".join(filter(None, (environment.get("NO_PROXY"), environment.get("no_proxy"))))
    hosts = [host.strip() for host in current.split(",") if host.strip()]
    value = ",".join(dict.fromkeys([*hosts, *_LOCAL_HOSTS]))
    return {"NO_PROXY": value, "no_proxy": value}


def program_environment(
    connection: Connection, shell: Mapping[str, str], path: str, seeds: Mapping[str, str] = SEEDS
) -> dict[str, str]:
    """Returns the environment of a program that uses the local AWS, for example the CDK CLI.

    Args:
        connection: The local AWS.
        shell: The environment of the shell. Its variables are passed on, except its :func:`aws_variables`.
        path: The ``PATH`` to start from.
        seeds: The variables that hold ARNs, and the last part of each ARN.
    """
    partition = "aws-cn" if connection.region.startswith("cn-") else "aws"
    arn = f"arn:{partition}:personalize:{connection.region}:{connection.account}"
    return {
        # The filters of the sample films do not exist with own data.
        **{name: value for name, value in without_aws_variables(shell).items() if name not in SEEDS},
        **connection.sdk_variables(),
        **no_proxy(shell),
        "CDK_DEFAULT_ACCOUNT": connection.account,
        "CDK_DEFAULT_REGION": connection.region,
        # The CDK CLI caches the account of each access key there. Do not mix it with the real accounts.
        "CDK_HOME": str(connection.folder / "cdk"),
        "CDK_DISABLE_CLI_TELEMETRY": "true",
        "NO_UPDATE_NOTIFIER": "1",
        **{name: f"{arn}:{resource}" for name, resource in seeds.items()},
        "PATH": toolchain.search_path(path),
    }


def shell_commands(environment: Mapping[str, str], shell: Iterable[str]) -> list[str]:
    """Returns the shell commands that make another terminal use the local AWS.

    Args:
        environment: The environment of a program, see :func:`program_environment`.
        shell: The names of the variables of this shell.
    """
    # Skip names that a shell cannot unset.
    names = {name for name in aws_variables(shell) if name.isascii() and name.isidentifier()}
    seeds = [name for name in SEEDS if name in environment]
    unset = sorted({*UNSET_VARIABLES, *names, *SEEDS} - {*EXPORTED_VARIABLES, *seeds})
    exports = [f"export {name}={shlex.quote(environment[name])}" for name in (*EXPORTED_VARIABLES, *seeds)]
    return [f"unset {' '.join(unset)}", *exports]
