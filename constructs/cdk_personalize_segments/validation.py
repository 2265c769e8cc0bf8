"""Checks of what a user passed, at synth. Tokens are let through: the handler and the service see their values.

Every error names the property, what was got and what was expected.
"""

import json
import re
import unicodedata
from collections.abc import Sequence
from types import UnionType
from typing import Any

import aws_cdk as cdk
import aws_cdk.aws_kms as kms
from batch_segment_handler import limits

#: The start of the ids of warnings.
WARNING = "cdk-personalize-segments"
# arn:<partition>:personalize:<region>:<account>:<resource>, as in the service authorization reference.
_ARN = re.compile(r"arn:[a-z\d-]+:personalize:(?P<region>[a-z\d-]*):(?P<account>\d*):(?P<resource>.+)")
_FORM_OF_RESOURCE = {
    "solution_arn": ("a solution ARN", "solution/<name>"),
    "solution_version_arn": ("a solution version ARN", "solution/<name>/<version id>"),
    "filter_arn": ("a filter ARN", "filter/<name>"),
}
_KIND_OF_RESOURCE = [
    (re.compile(r"solution/[^/]+"), "solution_arn"),
    (re.compile(r"solution/[^/]+/[^/]+"), "solution_version_arn"),
    (re.compile(r"filter/[^/]+"), "filter_arn"),
]
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
_MAX_BUCKET_NAME_LENGTH = 63
_KEY_ARN = re.compile(r"arn:[a-z\d-]+:kms:[a-z\d-]+:\d{12}:key/.+")


def is_token(value: object) -> bool:
    """Whether the value is known only at deploy.

    Asking CDK is a call to another process, and values are asked about often; so texts are looked at for the marker by
    which they stand for a token: https://docs.aws.amazon.com/cdk/v2/guide/tokens.html
    """
    if isinstance(value, str):
        return "${Token[" in value
    if isinstance(value, int | float):
        return value < 0 and cdk.Token.is_unresolved(value)
    # An intrinsic function, which is what a token resolves to.
    return True


def type_of(prop: str, value: object, expected: type[Any] | UnionType, how: str) -> None:
    """Checks the type of a value whose methods are used; without it the error would name one of them and no property.

    Raises:
        TypeError: It is of another.
    """
    if not isinstance(value, expected):
        raise TypeError(f"{prop}: got {type(value).__name__} {shown(value)}, expected {how}")


def job_name(name: str) -> None:
    """Checks an explicit job name against the service's rule."""
    if is_token(name):
        return
    if not limits.JOB_NAME.fullmatch(name) or len(name) > limits.MAX_JOB_NAME_LENGTH:
        raise ValueError(
            f"job_name: got {shown(name)} ({len(name)} characters), expected 1 to {limits.MAX_JOB_NAME_LENGTH} "
            "letters, digits, hyphens or underscores, the first one a letter or a digit"
        )


def num_results(number: float | None) -> None:
    """Checks the number of users per segment."""
    _whole_number("num_results", number, limits.MAX_RESULTS)


def queries_per_file(number: float | None) -> None:
    """Checks a quota of queries per input file."""
    _whole_number("queries_per_file", number, limits.MAX_RECORDS)


def max_concurrency(number: float) -> None:
    """Checks how many jobs run at once."""
    _whole_number("max_concurrency", number, limits.MAX_RECORDS)


def max_query_errors(number: float | None, *, waits: bool) -> None:
    """Checks how many queries may end with an error."""
    _whole_number("max_query_errors", number, limits.MAX_RECORDS, smallest=0)
    if number is not None and not waits:
        raise ValueError(
            f"max_query_errors: got {number!r} without wait_for_completion, expected both: the errors are known when "
            "the job is complete"
        )


def identity(value: str | None, job_name: str | None) -> None:
    """Checks the text that a job's name is derived from."""
    if value is None:
        return
    check = isinstance(value, str) and value.isprintable() and bool(value.strip()) and not is_token(value)
    if not check or len(value) > 256:
        raise ValueError(f"identity: got {shown(value)}, expected 1 to 256 printable characters, known at synth")
    if job_name is not None:
        raise ValueError(
            f"identity: got {shown(value)} with job_name {shown(job_name)}, expected one of the two: an explicit name "
            "is not derived"
        )


def _whole_number(prop: str, number: float | None, largest: int, *, smallest: int = 1) -> None:
    if number is None:
        return
    is_number = isinstance(number, int | float) and not isinstance(number, bool)
    if is_number and is_token(number):
        return
    if not is_number or number != int(number) or not smallest <= number <= largest:
        raise ValueError(f"{prop}: got {number!r}, expected a whole number from {smallest} to {largest:,}")


def personalize_arn(prop: str, arn: str | None, *, region: str, account: str) -> None:
    """Checks the ARN of a solution, solution version or filter: its kind, and that it is of the stack's own place.

    Args:
        prop: ``"solution_arn"``, ``"solution_version_arn"`` or ``"filter_arn"``.
        arn: What was passed for it.
        region: The stack's region.
        account: The stack's account.
    """
    if arn is None or is_token(arn):
        return
    name, form = _FORM_OF_RESOURCE[prop]
    expected = f"expected {name}, arn:<partition>:personalize:<region>:<account>:{form}"
    match = _ARN.fullmatch(arn)
    if match is None or len(arn) > limits.MAX_ARN_LENGTH:
        raise ValueError(f"{prop}: got {shown(arn)}, {expected}, at most {limits.MAX_ARN_LENGTH} characters")
    got = next((kind for form_of, kind in _KIND_OF_RESOURCE if form_of.fullmatch(match["resource"])), None)
    if got != prop:
        if got is None:
            raise ValueError(f"{prop}: got {shown(arn)}, {expected}")
        hint = ""
        if (prop, got) == ("solution_version_arn", "solution_arn"):
            hint = " (or pass it as solution_arn: the latest ACTIVE version is taken)"
        elif (prop, got) == ("solution_arn", "solution_version_arn"):
            hint = " (or pass it as solution_version_arn)"
        raise ValueError(f"{prop}: got {_FORM_OF_RESOURCE[got][0]}, {shown(arn)}; {expected}{hint}")
    for part, of_stack in (("region", region), ("account", account)):
        if not is_token(of_stack) and match[part] != of_stack:
            raise ValueError(
                f"{prop}: got {part} {match[part]!r} in {shown(arn)}, expected {of_stack!r}, the stack's {part}: "
                "Personalize takes only what is in the job's own region and account"
            )


def key(prop: str, value: kms.IKey, why: str = "Personalize resolves none") -> None:
    """Checks a KMS key.

    Personalize takes no alias (botocore's model, shape KmsKeyArn), and neither does a policy that names a key
    (https://docs.aws.amazon.com/kms/latest/developerguide/alias-authorization.html).
    """
    arn = value.key_arn
    # An alias is a key to CDK's types, and its ARN a token.
    if isinstance(getattr(value, "alias_name", None), str) or not (is_token(arn) or _KEY_ARN.fullmatch(arn)):
        raise ValueError(
            f"{prop}: got {shown(value.node.path if is_token(arn) else arn)}, expected a key, "
            f"arn:<partition>:kms:<region>:<account>:key/<id>, and not an alias: {why}"
        )


def prefix(prop: str, value: str, hint: str = "") -> None:
    """Checks a key prefix that stands for a folder.

    https://docs.aws.amazon.com/personalize/latest/dg/creating-batch-seg-job.html: S3 is prefix based, so that
    ``folder`` also matches ``folder_test/``.
    """
    if is_token(value):
        return
    if not value.endswith("/"):
        raise ValueError(
            f"{prop}: got {shown(value)}, expected a prefix that ends in '/': "
            f"without it, {shown(value + '_test/')} would match as well{hint}"
        )
    s3_key(prop, value)


def folder_of_jobs(prop: str, bucket_name: str, prefix: str, *, more: int = 0) -> None:
    """Checks that the paths below a prefix are as short as the service wants them.

    Args:
        prop: The property that the prefix came from.
        bucket_name: The bucket's name.
        prefix: The prefix, below which each job has a folder.
        more: How many characters there are after the job's folder.
    """
    name = _MAX_BUCKET_NAME_LENGTH if is_token(bucket_name) else len(bucket_name)
    longest = limits.MAX_S3_PATH_LENGTH - len("s3:///") - name - limits.MAX_JOB_NAME_LENGTH - len("/") - more
    if not is_token(prefix) and len(prefix) > longest:
        raise ValueError(
            f"{prop}: got {len(prefix)} characters, expected at most {longest}: a path that the service is given may "
            f"have {limits.MAX_S3_PATH_LENGTH}, with the names of bucket and job"
        )


def region(prop: str, got: str, expected: str) -> None:
    """Checks that a bucket is in the job's region.

    https://docs.aws.amazon.com/personalize/latest/dg/API_BatchInferenceJobInput.html says so of the other kind of job.
    """
    if not is_token(got) and not is_token(expected) and got != expected:
        raise ValueError(
            f"{prop}: got a bucket in the region {got!r}, expected one in {expected!r}, the stack's region"
        )


def s3_key(prop: str, value: str) -> None:
    """Checks what every key and prefix has to be."""
    if is_token(value):
        return
    if not value or value.startswith("/") or not value.isprintable() or any(part in value for part in ("*", "?", "${")):
        raise ValueError(
            f"{prop}: got {shown(value)}, expected a key without a leading '/', without control characters, and "
            "without '*', '?' and '${', which mean something else in the policies that name it"
        )


def s3_path(prop: str, path: str) -> None:
    """Checks the length of an ``s3://`` path (botocore's model, shape S3Location)."""
    if not is_token(path) and len(path) > limits.MAX_S3_PATH_LENGTH:
        raise ValueError(
            f"{prop}: got a path of {len(path)} characters, {shown(path)}, expected at most {limits.MAX_S3_PATH_LENGTH}"
        )


def tags(values: Sequence[tuple[Any, Any]]) -> list[str]:
    """Checks tags against the service's rules.

    Args:
        values: Keys and values, as the template has them.

    Returns:
        One sentence for each fault.
    """
    faults = []
    if len(values) > limits.MAX_TAGS:
        faults.append(
            f"tags: got {len(values)}, expected at most {limits.MAX_TAGS} on one job, those of Tags.of(…) included"
        )
    for key, value in values:
        if not is_token(key):
            if key.lower().startswith("aws:"):
                faults.append(
                    f"tags: got the key {shown(key)}, expected one without aws: before it, which is AWS's own"
                )
            if not (0 < len(key) <= limits.MAX_TAG_KEY_LENGTH and _is_tag_text(key)):
                faults.append(
                    f"tags: got the key {shown(key)}, expected 1 to {limits.MAX_TAG_KEY_LENGTH} "
                    f"letters, digits, spaces or {limits.TAG_PUNCTUATION}"
                )
        if not is_token(value) and not (len(value) <= limits.MAX_TAG_VALUE_LENGTH and _is_tag_text(value)):
            faults.append(
                f"tags: got {shown(value)} for the key {shown(str(key))}, expected at most "
                f"{limits.MAX_TAG_VALUE_LENGTH} letters, digits, spaces or {limits.TAG_PUNCTUATION}"
            )
    return faults


def _is_tag_text(text: str) -> bool:
    # The model's pattern is written with \p{L}\p{Z}\p{N}, which Python's `re` does not know.
    return all(character in limits.TAG_PUNCTUATION or unicodedata.category(character)[0] in "LZN" for character in text)


def pasteable(stack: cdk.Stack, statements: Sequence[Any]) -> str:
    """Writes policy statements as JSON to paste into a policy, with intrinsic functions written out as text.

    Args:
        stack: The stack that the statements are written for.
        statements: The statements, as JSON with tokens.

    Returns:
        For example ``[{"Action": "s3:GetObject", …}]``; a value that only the deployment knows is ``<LogicalId.Arn>``.
    """
    partition = "aws-cn" if not is_token(stack.region) and stack.region.startswith("cn-") else "aws"
    return json.dumps(_written_out(stack.resolve(statements), partition))


def _written_out(value: Any, partition: str) -> Any:
    match value:
        case {"Ref": "AWS::Partition"}:
            return partition
        case {"Ref": name} if len(value) == 1:
            return f"<{name}>"
        case {"Fn::GetAtt": [name, attribute]}:
            return f"<{name}.{attribute}>"
        case {"Fn::Join": ["", parts]}:
            return "".join(str(_written_out(part, partition)) for part in parts)
        case dict():
            return {key: _written_out(part, partition) for key, part in value.items()}
        case list():
            return [_written_out(part, partition) for part in value]
    return value


def shown(value: object) -> str:
    """A value as an error message shows it: quoted, control characters escaped, at most 200 characters."""
    text = repr(value)
    return text if len(text) <= 200 else text[:199] + "…"
