"""The environment variables that configure MiniStack.

A developer's shell may configure another MiniStack or LocalStack, or use the same names for something else. With such
variables, the local AWS would read and delete the files of another one, keep objects on disk, or send real mail.
"""

import os
from collections.abc import Mapping
from pathlib import Path

from . import toolchain
from .environment import Connection, no_proxy, without_aws_variables

# Its sitecustomize.py is imported by every Lambda function in Python.
_LAMBDA_SITE = Path(__file__).parent / "lambda_site"
_PREFIXES = ("MINISTACK_", "LOCALSTACK_", "DOCKER_")
#: The other variables that MiniStack, its workers or its stub of the AWS SDK read, except those of `_settings`.
OTHER_VARIABLES = {
    "ALB_TARGET_CONNECT_TIMEOUT_SECONDS",
    "ALB_TARGET_IDLE_TIMEOUT_SECONDS",
    "APPSYNC_EVENTS_ENFORCE_AUTH",
    "APPSYNC_EVENTS_HTTP_HOST_TEMPLATE",
    "APPSYNC_EVENTS_KA_INTERVAL_SECS",
    "APPSYNC_EVENTS_REALTIME_HOST_TEMPLATE",
    "ATHENA_ENGINE",
    "BIND_HOST",
    "CLOUDTRAIL_MAX_EVENTS",
    "CLOUDTRAIL_RECORDING",
    "CODEBUILD_DOCKER_FLAGS",
    "COGNITO_DEFAULT_FROM",
    "COGNITO_EMAIL_ENABLED",
    "DOCDB_BASE_PORT",
    "DOCDB_PERSIST",
    "DOCDB_TMPFS_SIZE",
    "DSQL_BASE_PORT",
    "DSQL_PERSIST",
    "DSQL_PG_IMAGE",
    "DSQL_STRICT",
    "EC2_DOCKER_FLAGS",
    "ECS_REAP_INTERVAL_SECONDS",
    "ECS_RESTORE_RECONCILE_DELAY_SECONDS",
    "EDGE_PORT",
    "EKS_BASE_PORT",
    "EKS_K3S_IMAGE",
    "ELASTICACHE_BASE_PORT",
    "ELASTICACHE_CLUSTER_MODE_REAL",
    "ES_ENDPOINT",
    "FBT_AWS_REGION",
    "GLUE_DOCKER_IMAGE",
    "HOSTNAME",
    "IOT_MTLS_PORT",
    "IOT_RETRANSMIT_SECONDS",
    "IOT_SESSION_EXPIRY_SECONDS",
    "IOT_WS_FRAME_MAX_BYTES",
    "LAMBDA_ACCOUNT_CONCURRENCY",
    "LAMBDA_ASYNC_RETRY_BASE_SECONDS",
    "LAMBDA_ASYNC_RETRY_MAX_SECONDS",
    "LAMBDA_DOCKER_FLAGS",
    "LAMBDA_DOCKER_NETWORK",
    "LAMBDA_KEEPALIVE_MS",
    "LAMBDA_REMOTE_DOCKER_VOLUME_MOUNT",
    "LAMBDA_STRICT",
    "LAMBDA_TASK_ROOT",
    "LAMBDA_WARM_TTL_SECONDS",
    "MWAA_AIRFLOW_IMAGE",
    "MWAA_BASE_PORT",
    "MWAA_PERSIST",
    "OPENSEARCH_BASE_PORT",
    "OPENSEARCH_DASHBOARDS",
    "OPENSEARCH_DASHBOARDS_BASE_PORT",
    "OPENSEARCH_DASHBOARDS_IMAGE",
    "OPENSEARCH_DATAPLANE",
    "OPENSEARCH_IMAGE",
    "RDS_BASE_PORT",
    "RDS_PERSIST",
    "RDS_TMPFS_SIZE",
    "REDIS_HOST",
    "REDIS_PORT",
    "SERVICES",
    "SFN_MOCK_CONFIG",
    "SFTP_BASE_PORT",
    "SFTP_HOST",
    "SFTP_PORT",
    "SFTP_PORT_PER_SERVER",
    "SMTP_HOST",
    "TRANSLATE_JOB_RUN_SECONDS",
    "USE_SSL",
}


def ministack_environment(connection: Connection, shell: Mapping[str, str], wait_scale: float) -> dict[str, str]:
    """Returns the environment of MiniStack and its Lambda functions.

    Args:
        connection: The local AWS.
        shell: The environment of the shell. Its variables are passed on, except those that configure the real AWS or
            MiniStack.
        wait_scale: The factor for waits in state machines and sleeps in Lambda functions.
    """
    connection.empty_file.touch()
    return {**_without_settings(without_aws_variables(shell)), **_settings(connection, shell, wait_scale)}


def _without_settings(environment: Mapping[str, str]) -> dict[str, str]:
    return {
        name: value
        for name, value in environment.items()
        if not name.startswith(_PREFIXES) and name not in OTHER_VARIABLES
    }


def _settings(connection: Connection, shell: Mapping[str, str], wait_scale: float) -> dict[str, str]:
    settings = {
        "AUTH": "true",
        "GATEWAY_PORT": connection.endpoint_url.rpartition(":")[2],
        "MINISTACK_HOST": "127.0.0.1",
        "MINISTACK_ACCOUNT_ID": connection.account,
        "MINISTACK_REGION": connection.region,
        **connection.sdk_variables(),
        **no_proxy(shell),
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        "PERSIST_STATE": "0",
        "S3_PERSIST": "0",
        "LOCALSTACK_PERSISTENCE": "0",
        "STATE_DIR": str(connection.folder / "state"),
        "S3_DATA_DIR": str(connection.folder / "s3"),
        "LAMBDA_EXECUTOR": "local",
        "LOG_LEVEL": "CRITICAL",
        "TMPDIR": str(connection.folder),
        "SFN_WAIT_SCALE": str(wait_scale),
        "PERSONALIZE_LOCAL_WAIT_SCALE": str(wait_scale),
        "PYTHONPATH": os.pathsep.join(filter(None, [str(_LAMBDA_SITE), shell.get("PYTHONPATH")])),
        "NODE_PATH": os.pathsep.join(filter(None, [*toolchain.sdk_folders(), shell.get("NODE_PATH")])),
    }
    node_folder = toolchain.link_installed_node(connection.folder)
    if node_folder is not None:
        settings["PATH"] = os.pathsep.join([str(node_folder), shell.get("PATH", os.defpath)])
    return settings
