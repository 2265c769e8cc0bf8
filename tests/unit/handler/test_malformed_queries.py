"""Malformed query files, each with its faults."""

import io

import pytest
from batch_segment_handler.queries import Fault, blocks, check_queries

GOOD = b'{"itemId": "1"}\n'

GRAMMAR = ': an expression is ITEMS.<column> = "<value>", joined by AND'
ARRAY = "a JSON array: write one object per line, without brackets around them or commas between them"
CUT = "the line ends inside the query: write each query on one line"
KEYS = 'a query has "itemId" or "itemAttributes", and may have "filterValues"'
QUERY = ', expected a query, {"itemId": "…"} or {"itemAttributes": "…"}'
ID = ', expected "itemId" to be text in double quotes'
VALUES = r', expected "filterValues" to be an object, {"GENRE": "\"Comedy\""}'
ESCAPE = r"a backslash that escapes nothing: a backslash in text is written \\, a quote \""
BLANK = "a blank line before a query: remove it"
UTF8 = " is not UTF-8: save the file as UTF-8"


def attributes(expression: bytes) -> bytes:
    return b'{"itemAttributes": "' + expression + b'"}'


#: Content, and line, column and reason of all faults.
MALFORMED: dict[str, tuple[bytes, list[tuple[int, int | None, str]]]] = {
    "an empty file": (b"", [(0, None, "no query: a job needs at least one")]),
    "only blank lines": (b"\n \n\t\r\n", [(0, None, "no query: a job needs at least one")]),
    "only a byte order mark": (b"\xef\xbb\xbf", [(0, None, "no query: a job needs at least one")]),
    "a blank first line": (b"\n" + GOOD, [(1, None, BLANK)]),
    "a blank line in the middle": (GOOD + b"\n" + GOOD, [(2, None, BLANK)]),
    "two runs of blank lines": (
        GOOD + b'\n\r\n \n{"itemId": "1"}\n\n{"itemId": "1"}\n\n\n',
        [(2, None, BLANK), (6, None, BLANK)],
    ),
    "a line that is no JSON": (b"itemId: 105\n", [(1, 1, "got 'itemId'" + QUERY)]),
    "a bare ID": (b"105\n", [(1, 1, "got a number" + QUERY)]),
    "a bare text": (b'"105"\n', [(1, 1, "got text" + QUERY)]),
    "a bare null": (b"null\n", [(1, 1, "got 'null'" + QUERY)]),
    "a CSV file": (b"itemId\n105\n", [(1, 1, "got 'itemId'" + QUERY), (2, 1, "got a number" + QUERY)]),
    "a comment": (b"# my queries\n" + GOOD, [(1, 1, "got '#'" + QUERY)]),
    "a JSON array on one line": (b'[{"itemId": "1"}, {"itemId": "2"}]\n', [(1, 1, ARRAY)]),
    "a JSON array over several lines": (
        b'[\n{"itemId": "1"},\n{"itemId": "2"}\n]\n',
        [(1, 1, ARRAY), (2, 16, "a comma after the query: end the line with the closing brace"), (4, 1, ARRAY)],
    ),
    "a query written over several lines": (
        b'{\n  "itemId": "1"\n}\n',
        [(1, 2, CUT), (2, 3, "got text" + QUERY), (3, 1, "got '}'" + QUERY)],
    ),
    "two queries on one line": (
        b'{"itemId": "1"} {"itemId": "2"}\n',
        [(1, 17, "a second query on the line: write each query on its own line")],
    ),
    "lines that end in a carriage return alone": (
        b'{"itemId": "1"}\r{"itemId": "2"}\r',
        [(1, 17, "a second query on the line: write each query on its own line")],
    ),
    "a comma after each query": (
        b'{"itemId": "1"},\n',
        [(1, 16, "a comma after the query: end the line with the closing brace")],
    ),
    "a semicolon after a query": (
        b'{"itemId": "1"};\n',
        [(1, 16, "got ';', expected the end of the line after the query")],
    ),
    "a closing brace too many": (
        b'{"itemId": "1"}}\n',
        [(1, 16, "got '}', expected the end of the line after the query")],
    ),
    "no closing brace": (b'{"itemId": "1"\n', [(1, 15, CUT)]),
    "no closing quote": (b'{"itemId": "1}\n', [(1, 12, "text without a closing quote: write each query on one line")]),
    "no value": (b'{"itemId": }\n', [(1, 12, "got '}'" + ID)]),
    "nothing after the colon": (b'{"itemId":\n', [(1, 11, CUT)]),
    "no colon": (b'{"itemId" "1"}\n', [(1, 11, "got text, expected a colon after the key")]),
    "an equals sign for a colon": (b'{"itemId" = "1"}\n', [(1, 11, "got '=', expected a colon after the key")]),
    "a comma too many": (b'{"itemId": "1",}\n', [(1, 16, "got '}', expected a key in double quotes")]),
    "a comma first": (b'{,"itemId": "1"}\n', [(1, 2, "got ',', expected a key in double quotes")]),
    "single quotes": (b"{'itemId': '1'}\n", [(1, 2, "got a single quote, expected a key in double quotes")]),
    "a key without quotes": (b'{itemId: "1"}\n', [(1, 2, "got 'itemId', expected a key in double quotes")]),
    "a value without quotes": (b'{"itemId": abc}\n', [(1, 12, "got 'abc'" + ID)]),
    "a number": (b'{"itemId": 105}\n', [(1, 12, "got a number" + ID + ': write "105"')]),
    "a negative number": (b'{"itemId": -1.5e3}\n', [(1, 12, "got a number" + ID + ': write "-1.5e3"')]),
    "a number of 5000 digits": (b'{"itemId": ' + b"1" * 5000 + b"}\n", [(1, 12, "got a number" + ID)]),
    "true": (b'{"itemId": true}\n', [(1, 12, "got 'true'" + ID + ': write "true"')]),
    "null": (b'{"itemId": null}\n', [(1, 12, "got 'null'" + ID)]),
    "NaN": (b'{"itemId": NaN}\n', [(1, 12, "got 'NaN'" + ID)]),
    "minus infinity": (b'{"itemId": -Infinity}\n', [(1, 12, "got a number" + ID)]),
    "a list of IDs": (b'{"itemId": ["1", "2"]}\n', [(1, 12, "got an array" + ID)]),
    "an object for an ID": (b'{"itemId": {"S": "1"}}\n', [(1, 12, "got an object" + ID)]),
    "an empty ID": (b'{"itemId": ""}\n', [(1, 12, '"itemId" is empty')]),
    "an empty object": (b"{}\n", [(1, 1, 'no "itemId" and no "itemAttributes": a query has one of them')]),
    "filter values alone": (
        rb'{"filterValues": {"GENRE": "\"Comedy\""}}',
        [(1, 1, 'no "itemId" and no "itemAttributes": a query has one of them')],
    ),
    "a key in snake case": (b'{"item_id": "1"}\n', [(1, 2, "unknown key 'item_id': write \"itemId\"")]),
    "a key in other case": (b'{"ItemID": "1"}\n', [(1, 2, "unknown key 'ItemID': write \"itemId\"")]),
    "filter values in snake case": (
        b'{"itemId": "1", "filter_values": {}}\n',
        [(1, 17, "unknown key 'filter_values': write \"filterValues\"")],
    ),
    "a key of batch inference": (b'{"userId": "1"}\n', [(1, 2, "unknown key 'userId': " + KEYS)]),
    "a key with a long name": (
        b'{"' + b"k" * 1000 + b'": "1"}\n',
        [(1, 2, "unknown key 'kkkkkkkkkkkkkkkkkkk…': " + KEYS)],
    ),
    "an empty key": (b'{"": "1"}\n', [(1, 2, "unknown key '': " + KEYS)]),
    "a key twice": (b'{"itemId": "1", "itemId": "2"}\n', [(1, 17, "the key 'itemId' occurs twice: keep one")]),
    "a key twice, once in other words": (
        rb'{"itemId": "1", "item\u0049d": "2"}',
        [(1, 17, "the key 'itemId' occurs twice: keep one")],
    ),
    "both kinds in one query": (
        rb'{"itemId": "1", "itemAttributes": "ITEMS.a = \"b\""}',
        [(1, 17, 'both "itemId" and "itemAttributes": a query has one of them')],
    ),
    "both kinds in one file": (
        GOOD + rb'{"itemAttributes": "ITEMS.a = \"b\""}',
        [
            (
                2,
                2,
                'got "itemAttributes", expected "itemId", as in the queries before: a job takes one kind of query',
            )
        ],
    ),
    "bytes that are not UTF-8": (b'{"itemId": "caf\xe9"}\n', [(1, 16, "byte 0xe9" + UTF8)]),
    "a character cut in half": (b'{"itemId": "\xc3\xa9\xc3"}\n', [(1, 14, "byte 0xc3" + UTF8)]),
    "a surrogate in UTF-8": (b'{"itemId": "\xed\xa0\x80"}\n', [(1, 13, "byte 0xed" + UTF8)]),
    "an overlong character": (b'{"itemId": "\xc0\xaf"}\n', [(1, 13, "byte 0xc0" + UTF8)]),
    "half of an escaped surrogate pair": (
        rb'{"itemId": "a\ud83d"}',
        [(1, 14, "half of a surrogate pair: write both halves, or the character")],
    ),
    "a surrogate pair the wrong way round": (
        rb'{"itemId": "\ude00\ud83d"}',
        [(1, 13, "half of a surrogate pair: write both halves, or the character")],
    ),
    "UTF-16 little endian": (
        b'\xff\xfe{\x00"\x00i\x00t\x00e\x00m\x00I\x00d\x00"\x00:\x00 \x00"\x001\x00"\x00}\x00',
        [(0, None, "the file is UTF-16: save it as UTF-8")],
    ),
    "UTF-16 without a mark": (
        b'{\x00"\x00i\x00t\x00e\x00m\x00I\x00d\x00"\x00:\x00 \x00"\x001\x00"\x00}\x00',
        [(1, 2, "got '\\x00', expected a key in double quotes")],
    ),
    "gzip, whatever follows": (b"\x1f\x8b\x08\x00\n\xff\n\n\xfe\n", [(0, None, "the file is compressed: unpack it")]),
    "gzip alone": (b"\x1f\x8b", [(0, None, "the file is compressed: unpack it")]),
    "zip": (b"PK\x03\x04\x14\x00\xff\n", [(0, None, "the file is compressed: unpack it")]),
    "bzip2": (b"BZh91AY&SY\xff\n", [(0, None, "the file is compressed: unpack it")]),
    "Zstandard": (b"\x28\xb5\x2f\xfd\x04\n\xff", [(0, None, "the file is compressed: unpack it")]),
    "xz": (b"\xfd7zXZ\x00\n", [(0, None, "the file is compressed: unpack it")]),
    "Parquet": (b"PAR1\x15\x04\n", [(0, None, "the file is Parquet: write JSON Lines, one query on each line")]),
    "Avro": (b"Obj\x01\x04\x14\n", [(0, None, "the file is Avro: write JSON Lines, one query on each line")]),
    "a byte order mark in the middle": (GOOD + b"\xef\xbb\xbf" + GOOD, [(2, 1, "got a byte order mark" + QUERY)]),
    "a NUL byte": (b'{"itemId": "1"}\x00\n', [(1, 16, "got '\\x00', expected the end of the line after the query")]),
    "a no-break space": (b'{"itemId":\xc2\xa0"1"}\n', [(1, 11, "got '\\xa0'" + ID)]),
    "a tab in text": (b'{"itemId": "a\tb"}\n', [(1, 14, r"a control character in text: write it as \u0009")]),
    "a backslash alone": (rb'{"itemId": "a\b\c"}', [(1, 16, ESCAPE)]),
    "an escape that is too short": (rb'{"itemId": "\u12"}', [(1, 14, ESCAPE)]),
    "typographic quotes": (
        b"{\xe2\x80\x9citemId\xe2\x80\x9d: \xe2\x80\x9c1\xe2\x80\x9d}\n",
        [(1, 2, "got '“', expected a key in double quotes")],
    ),
    "a deep nesting of arrays": (b"[" * 100_000 + b"\n", [(1, 1, ARRAY)]),
    "a deep nesting of objects": (b'{"itemId":' * 20_000 + b"\n", [(1, 11, "got an object" + ID)]),
    "a line too long": (
        GOOD + b'{"itemId": "' + b"x" * 300_000 + b'"}\n' + GOOD,
        [(2, None, "longer than 262,144 bytes: write one query on each line")],
    ),
    "a line too long without end": (
        b"x" * 300_000 + b"x" * 300_000,
        [(1, None, "longer than 262,144 bytes: write one query on each line")],
    ),
    "filter values as text": (b'{"itemId": "1", "filterValues": "GENRE"}\n', [(1, 33, "got text" + VALUES)]),
    "filter values as a list": (b'{"itemId": "1", "filterValues": ["Comedy"]}\n', [(1, 33, "got an array" + VALUES)]),
    "filter values as null": (b'{"itemId": "1", "filterValues": null}\n', [(1, 33, "got 'null'" + VALUES)]),
    "a filter value that is a number": (
        b'{"itemId": "1", "filterValues": {"YEAR": 1999}}\n',
        [(1, 42, 'got a number, expected a filter value to be text in double quotes: write "1999"')],
    ),
    "a filter value that is a boolean": (
        b'{"itemId": "1", "filterValues": {"NEW": false}}\n',
        [(1, 41, "got 'false', expected a filter value to be text in double quotes" + r': write "\"false\""')],
    ),
    "a filter value that is null": (
        b'{"itemId": "1", "filterValues": {"NEW": null}}\n',
        [(1, 41, "got 'null', expected a filter value to be text in double quotes")],
    ),
    "a filter value with the $ of its placeholder": (
        rb'{"itemId": "1", "filterValues": {"$COUNTRY": "\"Japan\""}}',
        [(1, 34, "the filter value '$COUNTRY': write 'COUNTRY', without the $")],
    ),
    "a filter value that is a list": (
        b'{"itemId": "1", "filterValues": {"GENRE": ["Comedy"]}}\n',
        [(1, 43, "got an array, expected a filter value to be text in double quotes")],
    ),
    "a filter value twice": (
        rb'{"itemId": "1", "filterValues": {"G": "\"a\"", "G": "\"b\""}}',
        [(1, 48, "the key 'G' occurs twice: keep one")],
    ),
    "filter values twice": (
        b'{"itemId": "1", "filterValues": {}, "filterValues": {}}\n',
        [(1, 37, "the key 'filterValues' occurs twice: keep one")],
    ),
    "filter values that do not end": (rb'{"itemId": "1", "filterValues": {"G": "\"a\""}', [(1, 47, CUT)]),
    "an empty expression": (attributes(b""), [(1, 20, '"itemAttributes" is empty')]),
    "a blank expression": (attributes(b"  "), [(1, 23, "got the end, expected ITEMS.<column>" + GRAMMAR)]),
    "an expression with quotes not escaped": (
        attributes(b'ITEMS.genres = "Comedy"'),
        [
            (
                1,
                37,
                (
                    "got 'Comedy', expected a comma or a closing brace after the value; a quote inside "
                    r"text is written \""
                ),
            )
        ],
    ),
    "the sample of the documentation": (
        attributes(rb'ITEMS.genres = "\Comedy\" AND ITEMS.genres = "\Action\"'),
        [
            (
                1,
                37,
                (
                    "got '\\\\', expected a comma or a closing brace after the value; a quote inside "
                    r"text is written \""
                ),
            )
        ],
    ),
    "a value without quotes in an expression": (
        attributes(b"ITEMS.genres = Comedy"),
        [(1, 36, "got 'Comedy', expected a value in double quotes" + GRAMMAR)],
    ),
    "a value that does not end": (
        attributes(rb"ITEMS.genres = \"Comedy"),
        [(1, 36, "got an unclosed quote, expected a value in double quotes" + GRAMMAR)],
    ),
    "a column without ITEMS": (
        attributes(rb"genres = \"Comedy\""),
        [(1, 21, "got 'genres', expected ITEMS.<column>" + GRAMMAR)],
    ),
    "a column of another dataset": (
        attributes(rb"USERS.age = \"3\""),
        [(1, 21, "got 'USERS.age', expected ITEMS.<column>" + GRAMMAR)],
    ),
    "ITEMS without a column": (
        attributes(rb"ITEMS. = \"3\""),
        [(1, 21, "got 'ITEMS.', expected ITEMS.<column>" + GRAMMAR)],
    ),
    "a column that begins with a digit": (
        attributes(rb"ITEMS.1st = \"3\""),
        [(1, 21, "got 'ITEMS.1st', expected ITEMS.<column>" + GRAMMAR)],
    ),
    "a column with a hyphen": (attributes(rb"ITEMS.a-b = \"3\""), [(1, 28, "got '-b', expected =" + GRAMMAR)]),
    "a double equals sign": (attributes(rb"ITEMS.a == \"3\""), [(1, 29, "got '==', expected =" + GRAMMAR)]),
    "a colon in an expression": (attributes(rb"ITEMS.a: \"3\""), [(1, 28, "got ':', expected =" + GRAMMAR)]),
    "a column alone": (attributes(b"ITEMS.a"), [(1, 28, "got the end, expected =" + GRAMMAR)]),
    "no value in an expression": (
        attributes(b"ITEMS.a ="),
        [(1, 30, "got the end, expected a value in double quotes" + GRAMMAR)],
    ),
    "two conditions without AND": (
        attributes(rb"ITEMS.a = \"1\" ITEMS.b = \"2\""),
        [(1, 37, "got 'ITEMS.b', expected AND" + GRAMMAR)],
    ),
    "a comma for AND": (attributes(rb"ITEMS.a = \"1\", ITEMS.b = \"2\""), [(1, 36, "got ',', expected AND" + GRAMMAR)]),
    "AND at the end": (
        attributes(rb"ITEMS.a = \"1\" AND"),
        [(1, 40, "got the end, expected ITEMS.<column>" + GRAMMAR)],
    ),
    "AND at the beginning": (
        attributes(rb"AND ITEMS.a = \"1\""),
        [(1, 21, "got 'AND', expected ITEMS.<column>" + GRAMMAR)],
    ),
    "AND twice": (
        attributes(rb"ITEMS.a = \"1\" AND AND ITEMS.b = \"2\""),
        [(1, 41, "got 'AND', expected ITEMS.<column>" + GRAMMAR)],
    ),
    "a placeholder in an expression": (
        attributes(b"ITEMS.a = $GENRE"),
        [(1, 31, "got '$GENRE', expected a value in double quotes" + GRAMMAR)],
    ),
    "OR": (
        attributes(rb"ITEMS.a = \"1\" OR ITEMS.a = \"2\""),
        [(1, 37, "'OR' fails: write one query for each alternative")],
    ),
    "or in lower case after AND": (
        attributes(rb"ITEMS.a = \"1\" AND ITEMS.b = 'x' or ITEMS.a = \"2\""),
        [(1, 55, "'or' fails: write one query for each alternative")],
    ),
    "OR in parentheses": (
        attributes(rb"(ITEMS.a = \"OR\" OR ITEMS.a = \"2\")"),
        [(1, 39, "'OR' fails: write one query for each alternative")],
    ),
    "OR after another operator": (
        attributes(rb"ITEMS.a IN (\"1\") OR ITEMS.OR = \"2\""),
        [(1, 40, "'OR' fails: write one query for each alternative")],
    ),
    "a fault after escapes": (
        attributes(b'ITEMS.a = \\"\\u00e9\\ud83d\\ude00\xc3\xb6\\" oder'),
        [(1, 55, "got 'oder', expected AND" + GRAMMAR)],
    ),
    "a fault after a tab and a carriage return": (
        b'\t {"itemAttributes"\t: "ITEMS.a"}\r\n',
        [(1, 31, "got the end, expected =" + GRAMMAR)],
    ),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_rejects(name: str) -> None:
    content, faults = MALFORMED[name]

    report = check_queries([("queries.jsonl", io.BytesIO(content))])

    assert report.faults == [Fault("queries.jsonl", *fault) for fault in faults]


#: Marks that only the beginning of a file can have.
_MARKS = (b"\xef\xbb\xbf", *blocks.OTHER_FORMATS)


@pytest.mark.parametrize("name", [name for name, (content, _) in MALFORMED.items() if not content.startswith(_MARKS)])
def test_rejects_the_same_after_many_good_lines(name: str) -> None:
    content, faults = MALFORMED[name]
    if not content.strip():
        faults = []
    is_of_attributes = content.lstrip().startswith(b'{"itemAttributes"')
    many = (rb'{"itemAttributes": "ITEMS.genres = \"Comedy\""}' + b"\n" if is_of_attributes else GOOD) * 20_000

    report = check_queries([("queries.jsonl", io.BytesIO(many + content))])

    assert report.faults == [Fault("queries.jsonl", line + 20_000, column, reason) for line, column, reason in faults]


@pytest.mark.parametrize("name", MALFORMED)
def test_messages_show_little_of_the_data(name: str) -> None:
    content, _ = MALFORMED[name]

    report = check_queries([("queries.jsonl", io.BytesIO(content))])

    assert all(len(str(fault)) < 200 for fault in report.faults)
