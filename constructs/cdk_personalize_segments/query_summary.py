"""The summary of a job's queries that `cdk diff` shows."""

import json
import re
from collections.abc import Iterable

_MAX_LENGTH = 300


def summarize(count: int, lines: Iterable[bytes]) -> str:
    """Describes queries for ``cdk diff``, in at most 300 characters.

    Args:
        count: How many queries there are.
        lines: The first lines, which were checked.

    Returns:
        For example ``3 queries: ITEMS.GENRES = "Comedy"; 105 (COUNTRY="Japan"); …``.
    """
    text = "1 query: " if count == 1 else f"{count:,} queries: "
    shown_queries = 0
    for line in lines:
        query = json.loads(line)
        values = query.pop("filterValues", {})
        one = _harmless(next(iter(query.values())))
        if values:
            one += _harmless(" (" + ", ".join(f"{name}={value}" for name, value in values.items()) + ")")
        separator = "; " if shown_queries else ""
        # Room for "; …".
        if len(text) + len(separator) + len(one) > _MAX_LENGTH - 3:
            break
        text += separator + one
        shown_queries += 1
    if shown_queries == count:
        return text
    if not shown_queries:
        return text + one[: _MAX_LENGTH - len(text) - 1] + "…"
    return f"{text}; …"


def _harmless(text: str) -> str:
    # CDK would resolve what looks like a token, and CloudFormation a dynamic reference such as {{resolve:ssm:…}}:
    # https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/dynamic-references.html
    text = re.sub(r"\{(?=\{)|(?<=[$#])(?=\{)", lambda found: f"{found[0]} ", text)
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)
