"""Questions that the documentation leaves open, and how trials answer them."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from .settings import excerpt
from .trials import TRIALS, NotAnsweredError, Outcome, Trials

# "… is not authorized to perform: <action> on resource: <ARN> …"
_DENIED = re.compile(r"perform: (?P<action>[\w:]+)(?: on resource: (?P<resource>\S+))?")
_PERMISSION = re.compile(r"privilege|permission|assum|access denied|not authorized|bucket policy|trust", re.I)


@dataclass(frozen=True)
class Answer:
    """An answer.

    Attributes:
        text: The answer in a sentence.
        agrees: Whether the library assumes this answer; None if the library works with any answer.
        evidence: Responses of the service that prove it.
    """

    text: str
    agrees: bool | None
    evidence: tuple[str, ...] = ()


@dataclass(frozen=True)
class Question:
    """A question.

    Attributes:
        id: The unique ID.
        asks: The question.
        how: The request that finds the answer.
        assumes: What the library assumes.
        answer: Finds the answer in the outcomes.
        needs: The required trials.
    """

    id: str
    asks: str
    how: str
    assumes: str
    answer: Callable[[Trials], Answer]
    needs: tuple[str, ...] = ()


def _evidence(*outcomes: Outcome) -> tuple[str, ...]:
    return tuple(excerpt(f"{outcome.trial}: {outcome}") for outcome in outcomes)


def _described(outcome: Outcome, *keys: str) -> str:
    if not outcome.was_created:
        raise NotAnsweredError(f"no job was created: {outcome}")
    return excerpt({key: value for key, value in outcome.description.items() if not keys or key in keys})


def _require_baseline(trials: Trials) -> None:
    """Raises an error if the job with the default storage failed too: another failure would prove nothing."""
    baseline = trials.outcome("default")
    if not baseline.is_active:
        raise NotAnsweredError(f"the job of the trial default did not become ACTIVE either: {baseline}")


def _works(trial: str, yes: str, agrees_if_not: bool | None) -> Callable[[Trials], Answer]:
    """Returns a function that tells whether a trial's job became ACTIVE."""

    def answer(trials: Trials) -> Answer:
        outcome = trials.outcome(trial)
        if outcome.is_active:
            return Answer(yes, True, _evidence(outcome))
        if trial != "default":
            _require_baseline(trials)
        return Answer("No, no job succeeded; see the evidence.", agrees_if_not, _evidence(outcome))

    return answer


def _conditions(trials: Trials) -> Answer:
    _require_baseline(trials)
    if trials.outcome("strict").is_active:
        return Answer(
            "Each key is sent and matches, because the job with all keys became ACTIVE. IfExists then matches too.",
            True,
            _evidence(trials.outcome("strict")),
        )
    named = {
        "sourceaccount": "aws:SourceAccount",
        "sourcearn": "aws:SourceArn",
        "listprefix": "s3:prefix",
        "ifexists": "aws:SourceAccount and aws:SourceArn with IfExists",
    }
    outcomes = {id: trials.outcome(id) for id in named}
    works = [named[id] for id, outcome in outcomes.items() if outcome.is_active]
    fails = [named[id] for id, outcome in outcomes.items() if not outcome.is_active]
    text = f"Works: {'; '.join(works) or 'none'}. Does not work: {'; '.join(fails) or 'none'}."
    return Answer(text, outcomes["ifexists"].is_active, _evidence(*outcomes.values()))


def _unknown_job(trials: Trials) -> Answer:
    arn = f"{trials.settings.jobs_arn}{trials.settings.job('never')}"
    try:
        described = trials.client("personalize").describe_batch_segment_job(batchSegmentJobArn=arn)
    except ClientError as error:
        code, message = error.response["Error"]["Code"], error.response["Error"]["Message"]
        known = code == "ResourceNotFoundException" or (code == "InvalidInputException" and "not exist" in message)
        return Answer(code, known, (f"{code}: {message}",))
    raise NotAnsweredError(f"the job is known: {excerpt(described)}")


def _paths(trials: Trials) -> Answer:
    outcome = trials.outcome("default")
    shown = _described(outcome, "jobInput", "jobOutput")
    paths = [
        outcome.description["jobInput"]["s3DataSource"]["path"],
        outcome.description["jobOutput"]["s3DataDestination"]["path"],
    ]
    kept = all(path.endswith("/") for path in paths)
    return Answer("As sent, with the trailing slash." if kept else "Without the trailing slash.", None, (shown,))


def _absent(trials: Trials) -> Answer:
    outcome = trials.outcome("default")
    shown = _described(outcome)
    data = outcome.description["jobInput"]["s3DataSource"]

    def state(values: dict[str, Any], key: str) -> str:
        return f"{key} is {'absent' if key not in values else repr(values[key])}"

    return Answer(f"{state(outcome.description, 'filterArn')}; {state(data, 'kmsKeyArn')}.", None, (shown,))


def _num_results(trials: Trials) -> Answer:
    outcome = trials.outcome("default")
    shown = _described(outcome, "numResults")
    got = outcome.description.get("numResults")
    return Answer(f"numResults is {got!r}" if got is not None else "numResults is absent", got == 25, (shown,))


def _statuses(trials: Trials) -> Answer:
    seen = {outcome.trial: outcome.statuses for outcome in trials.outcomes.values() if isinstance(outcome, Outcome)}
    words = list(dict.fromkeys(status for statuses in seen.values() for status in statuses))
    if not words:
        raise NotAnsweredError("no job was created")
    ends = [word for word in words if word == "ACTIVE" or word.endswith("FAILED")]
    evidence = "\n".join(f"{trial}: {' → '.join(statuses)}" for trial, statuses in seen.items() if statuses)
    return Answer(", ".join(words), bool(ends), (evidence,))


def _durations(trials: Trials) -> Answer:
    lines = [
        f"{outcome.trial}: {outcome}"
        for outcome in trials.outcomes.values()
        if isinstance(outcome, Outcome) and outcome.was_created
    ]
    if not lines:
        raise NotAnsweredError("no job was created")
    longest = max(
        outcome.seconds for outcome in trials.outcomes.values() if isinstance(outcome, Outcome) and outcome.was_created
    )
    return Answer(f"{longest:.0f} seconds at most", longest < 3600, (excerpt("\n".join(lines)),))


def _refusal(trial: str, code: str) -> Callable[[Trials], Answer]:
    """Returns a function that tells which error rejected a trial."""

    def answer(trials: Trials) -> Answer:
        outcome = trials.outcome(trial)
        if outcome.was_created:
            return Answer(f"Not refused: a job was created, {outcome}", False, _evidence(outcome))
        agrees = outcome.code == code
        if code == "InvalidInputException":
            # The handler recognizes this error by its message, and retries it.
            agrees = agrees and _PERMISSION.search(outcome.refusal) is not None
        return Answer(outcome.code, agrees, (excerpt(outcome.refusal), outcome.note))

    return answer


def _bucket_policy(trials: Trials) -> Answer:
    outcome = trials.outcome("nopolicy")
    evidence = (*_evidence(outcome), outcome.note)
    if outcome.is_active:
        return Answer("No, the job became ACTIVE without one.", None, evidence)
    if outcome.was_created:
        return Answer("Yes, the job was created and failed.", False, evidence)
    worded = _PERMISSION.search(outcome.refusal) is not None
    return Answer(f"Yes, the request is refused with {outcome.code}.", worded, evidence)


def _reuse(trials: Trials) -> Answer:
    outcome = trials.outcome("reuse")
    if outcome.code:
        return Answer(
            f"Refused with {outcome.code}.", outcome.code == "ResourceAlreadyExistsException", (outcome.refusal,)
        )
    return Answer("Accepted: the name could be used again.", False, _evidence(outcome))


def _quota(trials: Trials) -> Answer:
    outcome = trials.outcome("quota")
    _require_baseline(trials)
    if outcome.is_active:
        return Answer("The job works, so the quota is not enforced or is higher here.", None, _evidence(outcome))
    when = "The job was created and failed." if outcome.was_created else "The request is refused."
    return Answer(when, True, _evidence(outcome))


def _record(trials: Trials) -> Answer:
    outcome = trials.outcome("default")
    if not outcome.records:
        raise NotAnsweredError(f"there is no record: {outcome}; {outcome.note}")
    record = json.loads(outcome.records[0])
    output = record.get("output")
    inner = ", ".join(output) if isinstance(output, dict) else repr(output)
    known = isinstance(output, dict) and bool({"usersList", "recommendedUsers"} & output.keys())
    text = f"The record has {', '.join(record)}; its output has {inner}."
    if record.get("error"):
        text += " The query could not be answered: pass a query that matches your data in QUERY."
        known = True
    return Answer(text, known, (json.dumps(_without_users(record), ensure_ascii=False), "\n".join(outcome.keys)))


def _without_users(value: Any) -> Any:
    """Returns a record without the users' IDs, which do not belong in a report."""
    if isinstance(value, dict):
        return {key: _without_users(part) for key, part in value.items()}
    return [f"<{len(value)} values>"] if isinstance(value, list) else value


def _check_object(trials: Trials) -> Answer:
    outcome = trials.outcome("default")
    if not outcome.is_active:
        raise NotAnsweredError(f"the job has no output: {outcome}")
    there = any(key.endswith("/_CHECK") for key in outcome.keys)
    return Answer("Yes, with the segments." if there else "No.", None, ("\n".join(outcome.keys),))


def _listing(trials: Trials) -> Answer:
    outcome = trials.outcome("nolisting")
    _require_baseline(trials)
    if outcome.is_active:
        return Answer(
            "No, the job became ACTIVE: s3:ListBucket on the output is not needed.", False, _evidence(outcome)
        )
    return Answer("Yes, without the permission no job succeeds.", True, _evidence(outcome))


def _slash(trials: Trials) -> Answer:
    outcome = trials.outcome("noslash")
    if not outcome.was_created:
        return Answer("Refused when the job is created.", True, _evidence(outcome))
    return Answer(
        f"Accepted. The job: {outcome.description['status']}.", None, (*_evidence(outcome), "\n".join(outcome.keys))
    )


def _caller_may(action: str, yes: str, no: str, agrees_if_needed: bool | None) -> Callable[[Trials], Answer]:
    """Returns a function that tells whether the caller, with permission for job ARNs only, lacks a permission."""

    def answer(trials: Trials) -> Answer:
        outcome = trials.outcome("noslash")
        if not outcome.caller_refusal:
            return Answer(no, True, (f"the caller's request was not denied: {excerpt(str(outcome))}",))
        denied = _DENIED.search(outcome.caller_refusal)
        if denied is None:
            raise NotAnsweredError(f"the caller was denied for another reason: {outcome.caller_refusal}")
        if denied["action"] == "personalize:TagResource":
            needed = action == "TagResource"
        else:
            if action == "TagResource":
                raise NotAnsweredError(f"the caller was denied {denied['action']} before: {outcome.caller_refusal}")
            needed = ":solution/" in (denied["resource"] or "")
        return Answer(yes if needed else no, agrees_if_needed if needed else True, (outcome.caller_refusal,))

    return answer


def _native_type(trials: Trials) -> Answer:
    name = "AWS::Personalize::BatchSegmentJob"
    try:
        found = trials.client("cloudformation").describe_type(Type="RESOURCE", TypeName=name)
    except ClientError as error:
        code, message = error.response["Error"]["Code"], error.response["Error"]["Message"]
        if code not in ("TypeNotFoundException", "CFNRegistryException"):
            raise
        return Answer("No.", True, (f"{code}: {message}",))
    kind = found.get("ProvisioningType", "not given")
    shown = {key: found[key] for key in ("TypeName", "ProvisioningType", "Visibility") if key in found}
    return Answer(f"The type exists. Its ProvisioningType is {kind}.", kind == "NON_PROVISIONABLE", (excerpt(shown),))


QUESTIONS = (
    Question(
        "role-split",
        "Does a job work with a role that can only read the input bucket and only write the output bucket?",
        "The library's default storage: two buckets, s3:GetObject on one, s3:PutObject on the other, s3:ListBucket on "
        "both.",
        "Yes.",
        _works("default", "Yes, the job became ACTIVE.", False),
        ("default",),
    ),
    Question(
        "trust-conditions",
        "Are aws:SourceAccount and aws:SourceArn sent when the role is assumed?",
        "The role of the library's default storage trusts the service with both conditions only.",
        "Yes, as the guide documents.",
        _works("default", "Yes, the role was assumed.", False),
        ("default",),
    ),
    Question(
        "bucket-policy",
        "Does a job need the bucket policies in addition to the role's policy?",
        "A job whose buckets have no statement for Personalize.",
        "Yes; the request is refused, and the message says so.",
        _bucket_policy,
        ("nopolicy",),
    ),
    Question(
        "strict-conditions",
        "Are aws:SourceAccount, aws:SourceArn and s3:prefix sent with the calls to S3?",
        "The library's storage with strict_conditions=True.",
        "Unknown, so the property is off by default.",
        _works("strict", "Yes, the job became ACTIVE.", None),
        ("default", "strict"),
    ),
    Question(
        "conditions",
        "Which of these conditions work, and do they work with IfExists?",
        "If strict_conditions does not work: one job for each condition alone, and one with IfExists.",
        "Conditions with IfExists work.",
        _conditions,
        ("default", "strict", "sourceaccount", "sourcearn", "listprefix", "ifexists"),
    ),
    Question(
        "kms",
        "Does a job work with a KMS key for both buckets?",
        "The library's storage with encryption_key.",
        "Yes, with the key policy and role policy of the guide.",
        _works("kms", "Yes, the job became ACTIVE.", False),
        ("default", "kms"),
    ),
    Question(
        "role-trust",
        "Which error is returned for a role that does not trust Personalize?",
        "A job with a role that trusts the account only.",
        "InvalidInputException, with a message about the role.",
        _refusal("untrusting", "InvalidInputException"),
        ("untrusting",),
    ),
    Question(
        "solution-arn",
        "Which error is returned for a solution ARN instead of a solution version ARN?",
        "A job with the ARN of the solution.",
        "ResourceNotFoundException.",
        _refusal("solution", "ResourceNotFoundException"),
        ("solution",),
    ),
    Question(
        "output-listing",
        "Does Personalize need permission to list the output bucket?",
        "A job whose role and output bucket lack s3:ListBucket.",
        "Yes.",
        _listing,
        ("default", "nolisting"),
    ),
    Question(
        "output-slash",
        "Is an output path without the trailing slash refused?",
        "A job with the path s3://bucket/segments/noslash.",
        "The library always sends the slash.",
        _slash,
        ("noslash",),
    ),
    Question(
        "create-resources",
        "Is CreateBatchSegmentJob evaluated on the solution as well as on the job?",
        "A caller whose policy allows it on the ARNs of jobs only.",
        "Either works: the library grants both.",
        _caller_may("CreateBatchSegmentJob", "Yes.", "No, the job's ARN is enough.", True),
        ("noslash",),
    ),
    Question(
        "tag-resource",
        "Is personalize:TagResource needed for a job without tags?",
        "The same caller, which has no TagResource.",
        "No.",
        _caller_may("TagResource", "Yes.", "No.", False),
        ("noslash",),
    ),
    Question(
        "unknown-job",
        "Which error does DescribeBatchSegmentJob return for a job that does not exist?",
        "DescribeBatchSegmentJob with an unused name.",
        "ResourceNotFoundException, or InvalidInputException that says the job does not exist.",
        _unknown_job,
    ),
    Question(
        "name-reuse",
        "Can the name of a job be used again after the job has ended?",
        "CreateBatchSegmentJob with the request of a job that has ended.",
        "No: ResourceAlreadyExistsException.",
        _reuse,
        ("default", "reuse"),
    ),
    Question(
        "describe-paths",
        "Does DescribeBatchSegmentJob return the paths as they were sent?",
        "The description of a job whose paths end in a slash.",
        "Either works: paths are compared without the trailing slash.",
        _paths,
        ("default",),
    ),
    Question(
        "describe-absent",
        "Are filterArn and kmsKeyArn empty or absent if they were not sent?",
        "The description of a job without filter and key.",
        "Either works: an empty value counts as absent.",
        _absent,
        ("default",),
    ),
    Question(
        "num-results",
        "What is numResults if it was not sent?",
        "The description of a job without numResults.",
        "25, as the guide documents.",
        _num_results,
        ("default",),
    ),
    Question(
        "status-words",
        "Which values does the status of a job have?",
        "All jobs of this run are described until they end.",
        "ACTIVE, or a value that ends in FAILED. Every other value counts as in progress.",
        _statuses,
        ("default",),
    ),
    Question(
        "quota",
        "What happens to a file with more queries than the documented quota?",
        "A file with one query too many, created without the library, which would split it.",
        "The job fails. The library never writes such a file.",
        _quota,
        ("default", "quota"),
    ),
    Question(
        "output-record",
        "Which keys does a record of the output have?",
        "The first record of a job's output.",
        "input, output with usersList or recommendedUsers, and optionally error.",
        _record,
        ("default",),
    ),
    Question(
        "check-object",
        "Does the output contain an object _CHECK?",
        "The objects of a job's output.",
        "Either works: only objects that end in .out are read.",
        _check_object,
        ("default",),
    ),
    Question(
        "native-type",
        "Can CloudFormation create AWS::Personalize::BatchSegmentJob in this region?",
        "cloudformation:DescribeType.",
        "No, so the library uses a custom resource.",
        _native_type,
    ),
    Question(
        "durations",
        "How long does a job take?",
        "The time from creation to the end of each job of this run.",
        "Less than the hour that CloudFormation waits, for few queries.",
        _durations,
        ("default",),
    ),
)


def trials_for(questions: list[Question]) -> list[str]:
    """Returns the trials that questions need, in the order of `TRIALS`."""
    needed = {trial for question in questions for trial in question.needs}
    return [trial for trial in TRIALS if trial in needed]
