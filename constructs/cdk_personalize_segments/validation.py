"""Checks arguments at synth time. Does not check tokens: their values are known only at deploy time.

Every error names the property, the value and the expected value.
"""

import json
import re
from collections.abc import Sequence
from types import UnionType
from typing import Any

import aws_cdk as cdk
import aws_cdk.aws_kms as kms
from batch_segment_handler import limits
from batch_segment_handler.text import quote

#: The start of the ids of warnings.
WARNING = "cdk-personalize-segments"
#: For `check_type` of an input.
EXPECTED_INPUT = "a BatchSegmentInput (use from_queries, from_asset or from_bucket)"
# arn:<partition>:personalize:<region>:<account>:<resource>, as in the service authorization reference.
_ARN = re.compile(r"arn:[a-z\d-]+:personalize:(?P<region>[a-z\d-]*):(?P<account>\d*):(?P<resource>.+)")
_FORM_OF_RESOURCE = {
    "solution_arn": ("a solution ARN", "solution/<name>"),
    "solution_version_arn": ("a solution version ARN", "solution/<name>/<version id>"),
    "filter_arn": ("a filter ARN", "filter/<name>"),
}
_KIND_OF_RESOURCE = [
    (re.compile(r"solution/[\w-]+", re.ASCII), "solution_arn"),
    (re.compile(r"solution/[\w-]+/[\w-]+", re.ASCII), "solution_version_arn"),
    (re.compile(r"filter/[\w-]+", re.ASCII), "filter_arn"),
]
_KEY_ARN = re.compile(r"arn:[a-z\d-]+:kms:[a-z\d-]+:\d{12}:key/[\w-]+", re.ASCII)
# https://github.com/aws/aws-cdk/blob/main/packages/aws-cdk-lib/core/lib/private/encoding.ts, VALID_KEY_CHARS
_TOKEN = re.compile(r"\$\{Token\[[a-zA-Z0-9:._-]+\]\}")
# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_resource.html and …_variables.html
_WILDCARDS = ("*", "?", "${")


def is_token(value: object) -> bool:
    """Returns whether the value is known only at deploy time.

    Searches a string for the marker of a token (https://docs.aws.amazon.com/cdk/v2/guide/tokens.html), which saves a
    jsii call for each value.
    """
    if isinstance(value, str):
        return "${Token[" in value
    if isinstance(value, int | float):
        return value < 0 and cdk.Token.is_unresolved(value)
    # A resolved token, such as {"Ref": "AWS::Region"}.
    return True


def has_wildcards(value: str) -> bool:
    """Returns whether a string contains a wildcard or a policy variable outside of its tokens."""
    literal = _TOKEN.sub("", value)
    return any(wildcard in literal for wildcard in _WILDCARDS)


def check_no_wildcards(prop: str, value: str) -> None:
    """Checks a string that becomes part of a policy, including the text around its tokens.

    Raises:
        ValueError: The string contains a wildcard or a policy variable.
    """
    if has_wildcards(value):
        raise ValueError(
            f"{prop}: got {quote(value)}, expected a value without '*', '?' and '${{', which are wildcards and "
            "variables in IAM policies"
        )


def ends_in_token(value: str) -> bool:
    """Returns whether a string ends in a token."""
    return any(match.end() == len(value) for match in _TOKEN.finditer(value))


def check_type(prop: str, value: object, type_: type[Any] | UnionType, expected: str) -> None:
    """Checks a value's type.

    Raises:
        TypeError: The value has another type. The message names the property.
    """
    if not isinstance(value, type_):
        raise TypeError(f"{prop}: got {type(value).__name__} {quote(value)}, expected {expected}")


def check_job_name(name: str) -> None:
    """Checks an explicit job name against the service's rule."""
    if is_token(name):
        check_no_wildcards("job_name", name)
        return
    if not limits.JOB_NAME.fullmatch(name) or len(name) > limits.MAX_JOB_NAME_LENGTH:
        raise ValueError(
            f"job_name: got {quote(name)} ({len(name)} characters), expected 1 to {limits.MAX_JOB_NAME_LENGTH} "
            "letters, digits, hyphens or underscores, the first one a letter or a digit"
        )


def check_num_results(number: float | None) -> None:
    """Checks the number of users per segment."""
    _check_whole_number("num_results", number, limits.MAX_RESULTS)


def check_queries_per_file(number: float | None) -> None:
    """Checks a quota of queries per input file."""
    _check_whole_number("queries_per_file", number, limits.MAX_RECORDS)


def check_max_concurrency(number: float, largest: int = limits.MAX_RECORDS) -> None:
    """Checks how many jobs run at once."""
    _check_whole_number("max_concurrency", number, largest)


def check_max_query_errors(number: float | None, *, waits: bool) -> None:
    """Checks how many queries may end with an error."""
    _check_whole_number("max_query_errors", number, limits.MAX_RECORDS, smallest=0)
    if number is not None and not waits:
        raise ValueError(
            f"max_query_errors: got {number!r} without wait_for_completion, expected both: the errors are known when "
            "the job is complete"
        )


def check_identity(value: str | None, job_name: str | None) -> None:
    """Checks the text from which a job's name is derived."""
    if value is None:
        return
    check = isinstance(value, str) and value.isprintable() and bool(value.strip()) and not is_token(value)
    if not check or len(value) > 256:
        raise ValueError(f"identity: got {quote(value)}, expected 1 to 256 printable characters, known at synth time")
    if job_name is not None:
        raise ValueError(
            f"identity: got {quote(value)} with job_name {quote(job_name)}, expected only one: an explicit name is "
            "not derived"
        )


def _check_whole_number(prop: str, number: float | None, largest: int, *, smallest: int = 1) -> None:
    if number is None:
        return
    is_number = isinstance(number, int | float) and not isinstance(number, bool)
    if is_number and is_token(number):
        return
    if not is_number or number != int(number) or not smallest <= number <= largest:
        raise ValueError(f"{prop}: got {number!r}, expected a whole number from {smallest} to {largest:,}")


def check_personalize_arn(prop: str, arn: str | None, *, region: str, account: str) -> None:
    """Checks the ARN of a solution, solution version or filter: its kind, region and account.

    Args:
        prop: ``"solution_arn"``, ``"solution_version_arn"`` or ``"filter_arn"``.
        arn: The value of the property.
        region: The stack's region.
        account: The stack's account.
    """
    if arn is None:
        return
    if is_token(arn):
        check_no_wildcards(prop, arn)
        return
    name, form = _FORM_OF_RESOURCE[prop]
    expected = f"expected {name}, arn:<partition>:personalize:<region>:<account>:{form}"
    match = _ARN.fullmatch(arn)
    if match is None or len(arn) > limits.MAX_ARN_LENGTH:
        raise ValueError(f"{prop}: got {quote(arn)}, {expected}, at most {limits.MAX_ARN_LENGTH} characters")
    got = next((kind for form_of, kind in _KIND_OF_RESOURCE if form_of.fullmatch(match["resource"])), None)
    if got != prop:
        if got is None:
            raise ValueError(f"{prop}: got {quote(arn)}, {expected}")
        hint = ""
        if (prop, got) == ("solution_version_arn", "solution_arn"):
            hint = " (or pass it as solution_arn to use the latest ACTIVE version)"
        elif (prop, got) == ("solution_arn", "solution_version_arn"):
            hint = " (or pass it as solution_version_arn)"
        raise ValueError(f"{prop}: got {_FORM_OF_RESOURCE[got][0]}, {quote(arn)}; {expected}{hint}")
    for part, of_stack in (("region", region), ("account", account)):
        if not is_token(of_stack) and match[part] != of_stack:
            raise ValueError(
                f"{prop}: got {part} {match[part]!r} in {quote(arn)}, expected {of_stack!r}, the stack's {part}: "
                "a job can use only resources of its own region and account"
            )


def check_key(prop: str, value: kms.IKey, why: str = "Personalize does not resolve aliases") -> None:
    """Checks a KMS key.

    Neither Personalize (botocore's model, shape KmsKeyArn) nor a policy
    (https://docs.aws.amazon.com/kms/latest/developerguide/alias-authorization.html) accepts an alias.
    """
    arn = value.key_arn
    check_no_wildcards(prop, arn)
    # An alias implements IKey, and its ARN is a token.
    is_alias = isinstance(getattr(value, "alias_name", None), str) or ":alias/" in arn
    if is_alias or not (is_token(arn) or _KEY_ARN.fullmatch(arn)):
        raise ValueError(
            f"{prop}: got {quote(value.node.path if is_token(arn) else arn)}, expected a key, "
            f"arn:<partition>:kms:<region>:<account>:key/<id>, not an alias: {why}"
        )


def pasteable(stack: cdk.Stack, statements: Sequence[Any]) -> str:
    """Returns policy statements as JSON that you can paste into a policy.

    Args:
        stack: The stack that resolves the tokens.
        statements: The statements, as JSON with tokens.

    Returns:
        For example ``[{"Action": "s3:GetObject", …}]``. A deploy-time value is a placeholder, ``<LogicalId.Arn>``.
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
