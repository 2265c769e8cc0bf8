"""The trials of a run. Each creates at most one job and waits for its end."""

import re
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from .cdk import Cdk
from .settings import LIBRARY_STACKS, PROBES, Settings, excerpt

#: The service runs five jobs at once (https://docs.aws.amazon.com/personalize/latest/dg/limits.html). Leave some for
#: other jobs in the account.
AT_ONCE = 3
ACTIVE = "ACTIVE"
# Errors that retries cannot resolve.
_FINAL = {"ResourceAlreadyExistsException", "ResourceNotFoundException", "ValidationException"}
_DENIED = {"AccessDenied", "AccessDeniedException"}


class NotAnsweredError(Exception):
    """A question has no answer, for the reason in the message."""


@dataclass(frozen=True)
class Trial:
    """One attempt to create a job.

    Attributes:
        id: The ID, which is part of the name of the job or of the stack.
        what: The attempt in words.
        jobs: The expected number of billed jobs, 0 or 1. It is at most 1 in any case.
        after: The trial that must end first.
        only_if_refused: Whether the trial is skipped if the job of `after` became ACTIVE.
    """

    id: str
    what: str
    jobs: int
    after: str | None = None
    only_if_refused: bool = False


TRIALS = {
    trial.id: trial
    for trial in (
        Trial("default", "the library's default storage", 1),
        Trial("strict", "the library with strict_conditions=True", 1),
        Trial("kms", "the library with a KMS key", 1),
        Trial("noslash", "an output path without the trailing slash, by a caller with permission for job ARNs only", 1),
        Trial("quota", "a file with one query over the documented quota", 1),
        Trial("nolisting", "an output bucket that Personalize cannot list", 1),
        Trial("nopolicy", "buckets without a bucket policy for Personalize", 0),
        Trial("untrusting", "a role that does not trust Personalize", 0),
        Trial("solution", "the ARN of a solution instead of a solution version", 0),
        Trial("reuse", "the name of a job that has ended", 0, after="default"),
        Trial("sourceaccount", "bucket policies with aws:SourceAccount", 0, after="strict", only_if_refused=True),
        Trial("sourcearn", "bucket policies with aws:SourceArn", 0, after="strict", only_if_refused=True),
        Trial("listprefix", "bucket policies with s3:prefix", 0, after="strict", only_if_refused=True),
        Trial("ifexists", "bucket policies with the keys and IfExists", 0, after="strict", only_if_refused=True),
    )
}


@dataclass
class Outcome:
    """The outcome of a trial.

    Attributes:
        trial: The trial's ID.
        request: The request, if it was sent without the library.
        code: The error's code if the service refused the request.
        refusal: The complete error.
        description: The latest description of the job.
        statuses: The statuses of the job in their order.
        seconds: The time from the creation to the end of the job.
        keys: The objects of the output.
        records: The first records of the output.
        note: A remark.
        caller_refusal: The error for the caller with permission for job ARNs only.
    """

    trial: str
    request: dict[str, Any] = field(default_factory=dict)
    code: str = ""
    refusal: str = ""
    description: dict[str, Any] = field(default_factory=dict)
    statuses: list[str] = field(default_factory=list)
    seconds: float = 0
    keys: list[str] = field(default_factory=list)
    records: list[str] = field(default_factory=list)
    note: str = ""
    caller_refusal: str = ""

    @property
    def is_active(self) -> bool:
        """Whether the job succeeded."""
        return self.description.get("status") == ACTIVE

    @property
    def was_created(self) -> bool:
        """Whether a job was created, which is billed."""
        return bool(self.description)

    def __str__(self) -> str:
        if not self.was_created:
            return f"refused: {self.refusal}"
        if self.is_active:
            return f"ACTIVE after {self.seconds:.0f} seconds"
        reason = self.description.get("failureReason") or "no failureReason"
        return f"{self.description.get('status')} after {self.seconds:.0f} seconds: {reason}"


class Trials:
    """Runs trials, at most three at once."""

    def __init__(
        self, settings: Settings, cdk: Cdk, say: Callable[[str], None], *, poll: float, patience: float, longest: float
    ) -> None:
        """Creates the trials without starting them.

        Args:
            settings: The run.
            cdk: The CDK CLI for its stacks.
            say: Shows progress to the user.
            poll: Seconds between two checks of a job.
            patience: Seconds for which a rejected request is retried while permissions propagate.
            longest: Seconds to wait for a job.
        """
        self.settings = settings
        self._cdk = cdk
        self._say = say
        self._poll, self._patience, self._longest = poll, patience, longest
        self._stop = threading.Event()
        self._session: Any = boto3.Session(region_name=settings.region)
        self._lock = threading.Lock()
        self._probes: dict[str, str] = {}
        self._probes_error = ""
        #: The outcomes by trial, or the exception that stopped the trial.
        self.outcomes: dict[str, Outcome | Exception] = {}
        #: The ARNs of all jobs that were created.
        self.jobs: list[str] = []

    def client(self, service: str, **credentials: str) -> Any:
        """Creates a client. A session is not thread-safe."""
        with self._lock:
            return self._session.client(service, config=Config(retries={"mode": "standard"}), **credentials)

    def outcome(self, trial: str) -> Outcome:
        """Returns the outcome of a trial.

        Raises:
            NotAnsweredError: The trial was not carried out.
        """
        found = self.outcomes.get(trial)
        if found is None:
            raise NotAnsweredError(f"the trial {trial} was not carried out")
        if isinstance(found, Exception):
            raise NotAnsweredError(f"{type(found).__name__}: {found}") from found
        return found

    def run(self, trials: list[str]) -> None:
        """Runs trials, and returns when all jobs have ended."""
        pool = ThreadPoolExecutor(AT_ONCE)
        try:
            if set(trials) - LIBRARY_STACKS.keys():
                self._finish({PROBES: pool.submit(self._deploy_probes)})
            self._finish({id: pool.submit(self._carry_out, id) for id in trials if TRIALS[id].after is None})
            self._finish({id: pool.submit(self._follow_up, id) for id in trials if TRIALS[id].after is not None})
        except BaseException:
            self._stop.set()
            self._cdk.stop()
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _finish(self, futures: Mapping[str, "Future[None]"]) -> None:
        # Sleep briefly, so that Ctrl-C is noticed.
        while not all(future.done() for future in futures.values()):
            time.sleep(min(self._poll, 0.2))
        for future in futures.values():
            future.result()

    def _follow_up(self, id: str) -> None:
        trial = TRIALS[id]
        before = self.outcomes.get(trial.after or "")
        if isinstance(before, Outcome) and not (trial.only_if_refused and before.is_active):
            self._carry_out(id)
        elif isinstance(before, Outcome):
            self.outcomes[id] = NotAnsweredError(f"not needed: the job of the trial {trial.after} became ACTIVE")
        else:
            self.outcomes[id] = NotAnsweredError(f"the trial {trial.after} has no outcome")

    def _carry_out(self, id: str) -> None:
        self._say(f"{id}: {TRIALS[id].what}")
        try:
            outcome = self._library(id) if id in LIBRARY_STACKS else self._probe(id)
            self.outcomes[id] = outcome
            self._say(f"{id}: {excerpt(str(outcome), 300)}")
        except Exception as error:
            # No error may stop the other trials.
            self.outcomes[id] = error
            self._say(f"{id}: not carried out: {excerpt(str(error), 300)}")

    def _library(self, id: str) -> Outcome:
        outcome = Outcome(id)
        try:
            made = self._cdk.deploy(self.settings.stack(id))
        except Exception as error:
            if not re.search("CreateBatchSegmentJob|InvalidInputException", str(error)):
                raise
            outcome.refusal = str(error)
            outcome.code = next(iter(re.findall(r"\w+Exception", str(error))), "")
            return outcome
        self._watch(outcome, made["JobArn"])
        return outcome

    def _deploy_probes(self) -> None:
        self._say(f"{PROBES}: buckets and roles for jobs that are created without the library")
        try:
            self._probes = self._cdk.deploy(self.settings.stack(PROBES))
        except Exception as error:
            self._probes_error = f"the stack of probes could not be deployed: {error}"
            self._say(f"{PROBES}: {excerpt(self._probes_error, 300)}")

    def _probe(self, id: str) -> Outcome:
        outcome = Outcome(id)
        request: dict[str, Any]
        if id == "reuse":
            first = self.outcome("default").description
            request = {
                key: first[key]
                for key in ("jobName", "solutionVersionArn", "jobInput", "jobOutput", "roleArn")
                if key in first
            }
            arn = first["batchSegmentJobArn"]
        else:
            request = self._request(id)
            arn = f"{self.settings.jobs_arn}{request['jobName']}"
        outcome.request = request
        if id == "noslash":
            arn = self._create(outcome, self._caller())
            if outcome.code in _DENIED:
                outcome.caller_refusal, outcome.code, outcome.refusal = outcome.refusal, "", ""
                arn = self._create(outcome, self.client("personalize"))
        else:
            arn = self._create(outcome, self.client("personalize"))
        if arn is not None:
            self._watch(outcome, arn)
        return outcome

    def _request(self, id: str) -> dict[str, Any]:
        if self._probes_error:
            raise NotAnsweredError(self._probes_error)
        pair = id if f"{id}Input" in self._probes else "guide"
        source, target = self._probes[f"{pair}Input"], self._probes[f"{pair}Output"]
        lines = self.settings.quota + 1 if id == "quota" else 1
        key = f"queries/{id}/queries.jsonl"
        self.client("s3").put_object(Bucket=source, Key=key, Body=f"{self.settings.line()}\n".encode() * lines)
        is_solution = id == "solution"
        return {
            "jobName": self.settings.job(id),
            "solutionVersionArn": self.settings.solution_arn if is_solution else self.settings.solution_version_arn,
            "jobInput": {"s3DataSource": {"path": f"s3://{source}/{key}"}},
            "jobOutput": {
                "s3DataDestination": {"path": f"s3://{target}/segments/{id}{'' if id == 'noslash' else '/'}"}
            },
            "roleArn": self._probes["UntrustingArn" if id == "untrusting" else "RoleArn"],
        }

    def _caller(self) -> Any:
        role, sts = self._probes["CallerArn"], self.client("sts")
        ends = time.monotonic() + self._patience
        while True:
            try:
                got = sts.assume_role(RoleArn=role, RoleSessionName="verify-account")["Credentials"]
                break
            except ClientError:
                # A new role takes time to propagate.
                if time.monotonic() > ends:
                    raise
            self._wait(5)
        return self.client(
            "personalize",
            aws_access_key_id=got["AccessKeyId"],
            aws_secret_access_key=got["SecretAccessKey"],
            aws_session_token=got["SessionToken"],
        )

    def _create(self, outcome: Outcome, personalize: Any) -> str | None:
        """Creates the job. Retries rejected requests while permissions propagate."""
        started, attempt = time.monotonic(), 0
        while True:
            attempt += 1
            try:
                arn: str = personalize.create_batch_segment_job(**outcome.request)["batchSegmentJobArn"]
                outcome.note = f"attempts: {attempt}"
                return arn
            except ClientError as error:
                code, message = error.response["Error"]["Code"], error.response["Error"]["Message"]
                longest = self._longest if code == "LimitExceededException" else self._patience
                waited = time.monotonic() - started
                if code in _FINAL or waited > longest:
                    outcome.code = code
                    outcome.refusal = f"{code}: {message}"
                    outcome.note = f"attempts: {attempt}, in {waited:.0f} seconds"
                    return None
            self._wait(5)

    def _watch(self, outcome: Outcome, arn: str) -> None:
        started = time.monotonic()
        if arn not in self.jobs:
            self.jobs.append(arn)
        personalize = self.client("personalize")
        while True:
            outcome.description = personalize.describe_batch_segment_job(batchSegmentJobArn=arn)["batchSegmentJob"]
            status = outcome.description["status"]
            if status not in outcome.statuses:
                outcome.statuses.append(status)
            times = [outcome.description.get(name) for name in ("creationDateTime", "lastUpdatedDateTime")]
            ended = status == ACTIVE or status.endswith("FAILED")
            outcome.seconds = time.monotonic() - started
            if ended and None not in times:
                # The service's times are exact: a deployment ends some time after the job was created.
                outcome.seconds = max(0, (times[1] - times[0]).total_seconds())  # type: ignore[operator]
            if ended:
                break
            if time.monotonic() - started > self._longest:
                raise NotAnsweredError(f"the job {arn} is still {status} after {outcome.seconds:.0f} seconds")
            self._wait(self._poll)
        self._read_output(outcome)

    def _read_output(self, outcome: Outcome) -> None:
        path = outcome.description["jobOutput"]["s3DataDestination"]["path"]
        bucket, _, prefix = path.removeprefix("s3://").partition("/")
        s3 = self.client("s3")
        try:
            found = s3.list_objects_v2(Bucket=bucket, Prefix=prefix, MaxKeys=100).get("Contents", [])
            outcome.keys = [f"s3://{bucket}/{item['Key']}" for item in found]
            for key in [item["Key"] for item in found if item["Key"].endswith(".out")][:1]:
                body = s3.get_object(Bucket=bucket, Key=key)["Body"]
                lines = [line.decode(errors="replace") for line, _ in zip(body.iter_lines(), range(3), strict=False)]
                outcome.records += lines
        except (ClientError, BotoCoreError) as error:
            outcome.note += f"; the output could not be read: {error}"

    def _wait(self, seconds: float) -> None:
        if self._stop.wait(min(seconds, max(self._poll, 0.05))):
            raise NotAnsweredError("interrupted")
