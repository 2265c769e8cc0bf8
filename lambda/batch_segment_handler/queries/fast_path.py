r"""The fast path: a regular expression that matches as many valid lines at once as it can.

Invariant: it matches only lines that `LineParser` accepts without a warning. It need not match all of them: any other
line goes to the parser, so the report is the same with and without this module (the tests compare the two).

The usual spellings come first (`json.dumps`, compact, then either with escapes or CRLF), and last a line with any white
space and order of keys. The time is linear in the line: repetitions are possessive or limited.

Measured against the parser in one run: 170 times as fast on itemId queries and 165 times on itemAttributes queries in
the usual spelling, 100 times on filter values in another order and spacing. Compiling takes 2 to 25 ms.
"""

import re
import sys
from collections.abc import Iterator, Mapping

from ..limits import QueryKind

#: Earlier releases match possessive groups wrongly: https://github.com/python/cpython/issues/106052
_IS_RELIABLE = sys.version_info >= (3, 11, 5)
_HEX = rb"[0-9a-fA-F]"
#: Plain bytes of a JSON string. A class of the allowed bytes is a fifth faster than a negated one.
_PLAIN = rb"[ !#-\[\]-\xff]"
_NO_QUOTE = rb"[ !#-&(-\[\]-\xff]"  # nor a single quote
_PAIR = rb"\\u[dD][89abAB]%b{2}\\u[dD][c-fC-F]%b{2}" % (_HEX, _HEX)
#: Escapes in a JSON string, except for half a surrogate pair.
_ESCAPE = rb'\\["\\/bfnrt]|\\u(?![dD][89a-fA-F])%b{4}|%b' % (_HEX, _PAIR)
#: Escapes in a quoted value within a JSON string. The value's own backslash, written as two, precedes one character.
_VALUE_ESCAPE = rb'\\[/bfnrt]|\\u(?!00[0-7]|[dD][89a-fA-F])%b{4}|%b|\\\\(?:%b|\\["\\])' % (_HEX, _PAIR, _PLAIN)
_COLUMN = rb"ITEMS\.[A-Za-z_][A-Za-z0-9_]*+"
#: A JSON string that is valid, or checked elsewhere.
_SKIPPED = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
#: White space between JSON tokens.
_SPACE = rb"[ \t\r]*+"
#: Filter values of a line in any order: each has its own group in the pattern.
_MAX_NAMES = 25  # of a job: https://docs.aws.amazon.com/personalize/latest/dg/API_RS_GetRecommendations.html
_MAX_UNKNOWN_NAMES = 4


def _joined(item: bytes, separator: bytes) -> bytes:
    return b"%b(?:%b%b)*+" % (item, separator, item)


def _value(plain: bytes) -> bytes:
    return rb'\\"(?:%b++\\"|(?:%b++|%b)++\\")' % (plain, plain, _VALUE_ESCAPE)


#: Values by kind of query, in the usual spelling without escapes, and in any spelling.
_USUAL: dict[QueryKind, bytes] = {
    "itemId": b'"%b++"' % _PLAIN,
    "itemAttributes": b'"%b"' % _joined(rb'%b = \\"%b++\\"' % (_COLUMN, _NO_QUOTE), b" AND "),
}
_ANY: dict[QueryKind, bytes] = {
    "itemId": b'"(?:%b++"|(?:%b++|%b)++")' % (_PLAIN, _PLAIN, _ESCAPE),
    "itemAttributes": b'" *+%b *+"' % _joined(b"%b *+= *+%b" % (_COLUMN, _value(_NO_QUOTE)), b" *+AND ++"),
}
_USUAL_FILTER_VALUE = b'"%b"' % _joined(rb'\\"%b++\\"' % _PLAIN, b",")
_ANY_FILTER_VALUE = rb'"(?:\\"%b++\\""|(?: *+%b *+|[-+.0-9]++)")' % (_PLAIN, _joined(_value(_PLAIN), b" *+, *+"))


def accepted_lines(kind: QueryKind, placeholders: Mapping[str, bool] | None) -> re.Pattern[bytes]:
    """Returns a pattern of one or more valid lines, each with its newline, in a block that is UTF-8.

    Args:
        kind: The kind of query.
        placeholders: As for `check_queries`; names as `filter_placeholders` finds them.
    """
    if not _IS_RELIABLE:
        return re.compile(b"(?!)")
    names = {name.encode(): is_required for name, is_required in (placeholders or {}).items()}
    is_known = placeholders is not None
    lines = [*_usual_lines(kind, names, is_known=is_known), _any_line(kind, names, is_known=is_known)]
    # Each spelling repeats within the outer repetition, since most lines have the spelling of the line before.
    return re.compile(b"(?:%b)++" % b"|".join(b"(?:%b\n)++" % line for line in lines))


def _usual_lines(kind: QueryKind, names: Mapping[bytes, bool], *, is_known: bool) -> Iterator[bytes]:
    plain, any_value = (_USUAL[kind], _USUAL_FILTER_VALUE), (_ANY[kind], _ANY_FILTER_VALUE)
    for space, end, (value, filter_value) in ((b" ", b"", plain), (b"", b"", plain), (b" ?+", rb"\r?+", any_value)):
        colon, comma = b":" + space, b"," + space
        query = b'"%b"%b%b' % (kind.encode(), colon, value)
        if not any(names.values()):
            yield rb"\{%b\}%b" % (query, end)
        if names or not is_known:
            values = comma.join(
                b'"%b"%b%b' % (name, colon, filter_value) for name in names or [rb"(?!\$)%b++" % _PLAIN]
            )
            yield rb'\{%b%b"filterValues"%b\{%b\}\}%b' % (query, comma, colon, values, end)


def _any_line(kind: QueryKind, names: Mapping[bytes, bool], *, is_known: bool) -> bytes:
    is_required = any(names.values())
    query = _member(b'"%b"' % kind.encode(), _ANY[kind])
    after, before = (
        _member(b'"filterValues"', rb"\{%b%b%b\}" % (_SPACE, _filter_values(names, group, is_known=is_known), _SPACE))
        for group in (b"after", b"before")
    )
    return rb"%b\{%b(?:%b(?:%b,%b%b)%b|%b%b,%b%b)%b\}%b" % (
        *(_SPACE, _SPACE),
        *(query, _SPACE, _SPACE, after, b"" if is_required else b"?+"),
        *(before, _SPACE, _SPACE, query),
        *(_SPACE, _SPACE),
    )


def _filter_values(names: Mapping[bytes, bool], prefix: bytes, *, is_known: bool) -> bytes:
    """Returns a pattern of filter values in any order: no name twice, and every required one."""
    if is_known and not names:
        return b""
    if len(names) > _MAX_NAMES:
        return b"(?!)"
    name = b"|".join(names) or rb"(?!\$)%b*+" % _PLAIN
    are_all_required = all(names.values()) if names else False
    values = b""
    # From the last value to the first, each with a group of its own that holds the name.
    for number in reversed(range(len(names) or _MAX_UNKNOWN_NAMES)):
        rest = values and b"(?:%b,%b%b)%b" % (_SPACE, _SPACE, values, b"" if are_all_required else b"?+")
        earlier = b"".join(b'(?!(?P=%b%d)")' % (prefix, other) for other in range(number))
        values = _member(b'"%b(?P<%b%d>%b)"' % (earlier, prefix, number, name), _ANY_FILTER_VALUE) + rest
    if are_all_required:
        return values
    other = _member(b'"%b*+"' % _PLAIN, _SKIPPED)
    required = [b'(?=(?:%b%b,%b)*?"%b")' % (other, _SPACE, _SPACE, one) for one in names if names[one]]
    return b"".join(required) + values if required else b"(?:%b)?+" % values


def _member(key: bytes, value: bytes) -> bytes:
    return b"%b%b:%b%b" % (key, _SPACE, _SPACE, value)
