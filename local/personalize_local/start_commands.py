"""The commands that start a local AWS, `run` and `serve`, and `env`, which leads another terminal to it."""

import argparse
import math
import os
import re
import socket
import subprocess
import time
from typing import TYPE_CHECKING

from . import data_options, display, patching, process, served, toolchain
from .display import print_message
from .environment import no_proxy, shell_commands
from .errors import UsageError

if TYPE_CHECKING:
    from .gateway import LocalAws

# Modules that start slowly are imported by the functions that need them.


def run(options: argparse.Namespace) -> int:
    """Runs a command on a local AWS of its own.

    Returns:
        The exit code of the command.
    """
    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    if not command:
        raise UsageError("run: no command; for example: personalize-local run -- cdk deploy")
    path = toolchain.with_installed_node(os.environ.get("PATH", os.defpath))
    process.check_command(command, toolchain.search_path(path))
    with _start(options, port=0) as aws:
        print_message(f"running {' '.join(command)}")
        code = process.run_command(command, aws.environment())
        display.report_unfinished_jobs(list(aws.personalize.jobs.values()))
        return code


def serve(options: argparse.Namespace) -> int:
    """Serves a local AWS until Ctrl-C.

    Returns:
        The exit code.
    """
    # LocalAws replaces the variables of this process.
    shell = list(os.environ)
    with _start(options, options.port) as aws, served.publish(aws.folder, aws.environment()):
        print_message('in another terminal, run eval "$(personalize-local env)", or set these variables:')
        print("\n".join(shell_commands(aws.environment(), shell)), flush=True)
        print_message("Ctrl-C stops it and discards its state")
        try:
            while True:
                time.sleep(3600)
        except KeyboardInterrupt:
            return 0


def env(options: argparse.Namespace) -> int:
    """Prints the shell commands that make a terminal use the local AWS of `serve`.

    Returns:
        The exit code.
    """
    environment = {**served.find(options.port), **no_proxy(os.environ)}
    print("\n".join(shell_commands(environment, os.environ)))
    return 0


def _start(options: argparse.Namespace, port: int) -> "LocalAws":
    """Starts and bootstraps a local AWS. Runs all quick checks first."""
    from .gateway import LocalAws

    _check_options(options, port)
    try:
        patching.check_version()
        toolchain.check(os.environ.get("PATH", os.defpath))
    except (FileNotFoundError, RuntimeError) as error:
        raise UsageError(str(error)) from error
    try:
        # Loading the data can take half a minute.
        socket.create_server(("127.0.0.1", port)).close()
    except OSError as error:
        raise _port_error(port, error) from error
    stand_in = data_options.load_stand_in(options)
    try:
        aws = LocalAws(
            port=port,
            account=options.account,
            region=options.region,
            in_progress_seconds=options.job_seconds,
            stand_in=stand_in,
        )
    except OSError as error:
        raise _port_error(port, error) from error
    try:
        with display.progress("bootstrapping a local AWS for the CDK"):
            aws.bootstrap()
        print_message(f"serving {aws.account} {aws.region} at {aws.endpoint_url}")
    except BaseException as error:
        aws.close()
        if isinstance(error, subprocess.CalledProcessError):
            raise UsageError(f"cdk bootstrap failed:\n{error.output}") from error
        raise
    return aws


def _check_options(options: argparse.Namespace, port: int) -> None:
    if not re.fullmatch(r"[0-9]{12}", options.account):
        raise UsageError(f"--account: got {options.account!r}, expected 12 digits")
    if not re.fullmatch(r"[a-z]{2}(-[a-z]+)+-\d", options.region):
        raise UsageError(f"--region: got {options.region!r}, expected a region like eu-west-1")
    if not 0 <= options.job_seconds < math.inf:
        raise UsageError(f"--job-seconds: got {options.job_seconds}, expected a number of 0 or more")
    if not 0 <= port <= 65535:
        raise UsageError(f"--port: got {port}, expected 0 to 65535 (0 selects a free port)")


def _port_error(port: int, error: OSError) -> UsageError:
    # The message of the exception repeats the address.
    reason = os.strerror(error.errno) if error.errno else str(error)
    return UsageError(f"port {port} cannot be used: {reason}; choose another with --port")
