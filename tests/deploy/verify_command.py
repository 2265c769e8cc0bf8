"""The command verify-account on the local AWS, and the expected answers."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from personalize_local.gateway import LocalAws

ROOT = Path(__file__).parents[2]
#: The expected answer and verdict of each question, by its ID.
ANSWERS = {
    "role-split": ("Yes, the job became ACTIVE.", "as assumed"),
    "trust-conditions": ("Yes, the role was assumed.", "as assumed"),
    "bucket-policy": ("Yes, the request is refused with InvalidInputException.", "as assumed"),
    "strict-conditions": ("Yes, the job became ACTIVE.", "as assumed"),
    "conditions": (
        "Each key is sent and matches, because the job with all keys became ACTIVE. IfExists then matches too.",
        "as assumed",
    ),
    "kms": ("Yes, the job became ACTIVE.", "as assumed"),
    "role-trust": ("InvalidInputException", "as assumed"),
    "solution-arn": ("ResourceNotFoundException", "as assumed"),
    "output-listing": ("Yes, without the permission no job succeeds.", "as assumed"),
    "output-slash": ("Accepted. The job: ACTIVE.", "either works"),
    "create-resources": ("No, the job's ARN is enough.", "as assumed"),
    "tag-resource": ("No.", "as assumed"),
    "unknown-job": ("ResourceNotFoundException", "as assumed"),
    "name-reuse": ("Refused with ResourceAlreadyExistsException.", "as assumed"),
    "describe-paths": ("As sent, with the trailing slash.", "either works"),
    "describe-absent": ("filterArn is absent; kmsKeyArn is absent.", "either works"),
    "num-results": ("numResults is 25", "as assumed"),
    "quota": ("The job was created and failed.", "as assumed"),
    "output-record": ("The record has input, output, error; its output has usersList.", "as assumed"),
    "check-object": ("Yes, with the segments.", "either works"),
}
#: Questions whose answer depends on time or on other resources in the local AWS.
OTHERS = {"status-words", "durations", "native-type"}
VERSION = "PERSONALIZE_LOCAL_ITEM_AFFINITY_VERSION_ARN"
FAST = ["--poll-seconds=0.1", "--patience-seconds=2"]


class Command:
    """Runs the command with the local AWS's environment in its own folder."""

    def __init__(self, aws: LocalAws, folder: Path) -> None:
        self.aws = aws
        self.report = folder / "report.md"
        tools = os.pathsep.join(filter(None, [str(ROOT / "tools"), aws.environment().get("PYTHONPATH")]))
        self.environment = {**aws.environment(), "PYTHONPATH": tools}
        self.version = self.environment[VERSION]

    def start(self, *arguments: str, **options: Any) -> "subprocess.Popen[str]":
        """Starts the command with stderr redirected to stdout."""
        return subprocess.Popen(
            [sys.executable, "-m", "verify_account", f"--report={self.report}", *FAST, *arguments],
            env=self.environment,
            cwd=self.report.parent,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            **{"stdin": subprocess.DEVNULL, **options},
        )

    def run(self, *arguments: str, **options: Any) -> tuple[int, str]:
        """Runs the command, and returns its exit code and output."""
        process = self.start(*arguments, **options)
        try:
            said, _ = process.communicate(timeout=400)
        finally:
            process.kill()
        return process.returncode, said

    def answers(self) -> dict[str, tuple[str, str]]:
        """Returns the table of the report: answer and verdict by question."""
        rows = re.findall(r"^\| \[([\w-]+)\]\(#\1\) \| (.*) \| (.*) \|$", self.report.read_text(), re.M)
        return {id: (answer.replace(r"\|", "|"), verdict) for id, answer, verdict in rows}
