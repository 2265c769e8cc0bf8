"""CSV files that Personalize cannot import or train with: fault, fix and page of the guide."""

from unit.local.own_data_folder import INTERACTIONS, ITEMS, USERS, Files, rename, text, with_line

CSV: dict[str, tuple[Files, str, str, str]] = {
    "no interactions": (
        {"interactions.csv": None},
        "interactions.csv: the file is missing, got items.csv, users.csv",
        "add interactions.csv",
        "custom-datasets-and-schemas.html",
    ),
    "an empty folder": (
        {"interactions.csv": None, "items.csv": None, "users.csv": None},
        "interactions.csv: the file is missing, got no CSV file",
        "add interactions.csv",
        "custom-datasets-and-schemas.html",
    ),
    "a compressed file": (
        {"interactions.csv": None, "interactions.csv.gz": b"\x1f\x8b"},
        "interactions.csv.gz: got a compressed file, expected CSV",
        "run gunzip interactions.csv.gz",
        "data-prep-importing.html",
    ),
    "empty file": (
        {"interactions.csv": ""},
        "interactions.csv:1: expected the names of the columns",
        "add a header",
        "data-prep-importing.html",
    ),
    "header only": (
        {"interactions.csv": text(INTERACTIONS[:1])},
        "interactions.csv: got 0 interactions, expected at least 1,000",
        "add interactions",
        "limits.html",
    ),
    "too few": (
        {"interactions.csv": text(INTERACTIONS[:-1])},
        "interactions.csv: got 999 interactions, expected at least 1,000",
        "add interactions",
        "limits.html",
    ),
    "few users": (
        {
            "interactions.csv": text(
                INTERACTIONS[:1] + [f"u{i % 24},i{i:04},watch,{1600000000 + i}" for i in range(1200)]
            )
        },
        "interactions.csv: got 24 users with at least 2 interactions each, expected at least 25",
        "add interactions of the same users",
        "error-messages.html",
    ),
    "repeated interactions": (
        {"interactions.csv": text(INTERACTIONS[:1] + INTERACTIONS[1:-10] + INTERACTIONS[1:11])},
        "interactions.csv: got 990 unique interactions, expected at least 1,000",
        "add interactions",
        "limits.html",
    ),
    "users with one interaction": (
        {
            "interactions.csv": text(
                INTERACTIONS[: 1 + 30 * 20] + [f"x{i:05},i00,watch,1600000000" for i in range(4000)]
            )
        },
        "interactions.csv: got 30 of 4,030 users with at least 2 interactions, expected at least 1%",
        "add interactions of the same users",
        "limits.html",
    ),
    "a missing column": (
        {"interactions.csv": rename(INTERACTIONS, "TIMESTAMP", "TIME")},
        "interactions.csv:1: missing the required column TIMESTAMP",
        "add it",
        "custom-datasets-and-schemas.html",
    ),
    "lowercase names": (
        {"interactions.csv": text([INTERACTIONS[0].lower(), *INTERACTIONS[1:]])},
        "interactions.csv:1: missing the required columns USER_ID, ITEM_ID, TIMESTAMP",
        "rename user_id to USER_ID and rename item_id to ITEM_ID and rename timestamp to TIMESTAMP",
        "custom-datasets-and-schemas.html",
    ),
    "semicolons": (
        {"items.csv": text([line.replace(",", ";") for line in ITEMS])},
        "items.csv:1: got semicolons between columns, expected commas",
        "save it with commas",
        "data-prep-importing.html",
    ),
    "tabs": (
        {"items.csv": text([line.replace(",", "\t") for line in ITEMS])},
        "items.csv:1: got tabs between columns, expected commas",
        "save it with commas",
        "data-prep-importing.html",
    ),
    "quoted header": (
        {"items.csv": text(['"ITEM_ID","GENRES","YEAR"', *ITEMS[1:]])},
        "items.csv:1: got a header in quotation marks",
        "remove the quotation marks",
        "data-prep-importing.html",
    ),
    "UTF-16": (
        {"items.csv": text(ITEMS).encode("utf-16")},
        "items.csv:1: got bytes that are not UTF-8",
        "save the file as UTF-8",
        "data-prep-importing.html",
    ),
    "Latin-1": (
        {"items.csv": with_line(ITEMS, 3, "i01,Komödie,1981").encode("latin-1")},
        "items.csv:3: got bytes that are not UTF-8",
        "save the file as UTF-8",
        "data-prep-importing.html",
    ),
    "a date": (
        {"interactions.csv": with_line(INTERACTIONS, 7, "u00,i05,watch,2020-09-13T12:26:40Z")},
        ("interactions.csv:7: TIMESTAMP: got '2020-09-13T12:26:40Z', expected Unix epoch seconds, such as 1596238243"),
        "convert it to whole seconds since 1970 (UTC)",
        "data-prep-formatting.html",
    ),
    "milliseconds": (
        {"interactions.csv": text(INTERACTIONS[:1] + [line + "000" for line in INTERACTIONS[1:]])},
        (
            "interactions.csv:2: TIMESTAMP: got '1600000000000', expected Unix epoch seconds, such "
            "as 1596238243 (1,000 rows)"
        ),
        "it looks like milliseconds: divide it by 1000",
        "data-prep-formatting.html",
    ),
    "parts of seconds": (
        {"interactions.csv": with_line(INTERACTIONS, 7, "u00,i05,watch,1600000000.5")},
        ("interactions.csv:7: TIMESTAMP: got '1600000000.5', expected Unix epoch seconds, such as 1596238243"),
        "convert it to whole seconds since 1970 (UTC)",
        "data-prep-formatting.html",
    ),
    "no timestamp": (
        {"interactions.csv": with_line(INTERACTIONS, 7, "u00,i05,watch,")},
        "interactions.csv:7: TIMESTAMP: got an empty value, expected a value",
        "fill it in or remove the row",
        "custom-datasets-and-schemas.html",
    ),
    "empty user": (
        {"interactions.csv": with_line(INTERACTIONS, 7, ",i05,watch,1600000000")},
        "interactions.csv:7: USER_ID: got an empty value, expected a value",
        "fill it in or remove the row",
        "custom-datasets-and-schemas.html",
    ),
    "long id": (
        {"interactions.csv": with_line(INTERACTIONS, 7, "u" * 257 + ",i05,watch,1600000000")},
        "interactions.csv:7: USER_ID: got 257 characters, expected at most 256",
        "shorten it",
        "limits.html",
    ),
    "missing value": (
        {"interactions.csv": with_line(INTERACTIONS, 7, "u00,i05,1600000000")},
        "interactions.csv:7: got 3 values, expected 4",
        "add the missing values",
        "data-prep-importing.html",
    ),
    "extra value": (
        {"items.csv": with_line(ITEMS, 3, "i01,Drama,Comedy,1981")},
        "items.csv:3: got 4 values, expected 3",
        "put values that have a comma in double quotes",
        "data-prep-importing.html",
    ),
    "unclosed quote": (
        {"items.csv": with_line(ITEMS, 3, 'i01,"Drama,1981')},
        "items.csv:3: got a quotation mark that is not closed, or text after a closed one",
        'close the quotation mark, and write \\" for a quotation mark within a value',
        "data-prep-importing.html",
    ),
    "text after quote": (
        {"items.csv": with_line(ITEMS, 3, 'i01,"Drama"x,1981')},
        "items.csv:3: got a quotation mark that is not closed, or text after a closed one",
        'close the quotation mark, and write \\" for a quotation mark within a value',
        "data-prep-importing.html",
    ),
    "line break": (
        {"items.csv": with_line(ITEMS, 3, 'i01,"Dra\nma",1981')},
        "items.csv:3: GENRES: got 'Dra\\nma', expected each record on a single line",
        "remove the line break",
        "data-prep-importing.html",
    ),
    "a repeated header": (
        {"items.csv": text([*ITEMS[:2], ITEMS[0], *ITEMS[2:]])},
        "items.csv:3: ITEM_ID: got 'ITEM_ID', expected a value that is not a reserved keyword",
        "change the value or remove a repeated header",
        "how-it-works-dataset-schema.html",
    ),
    "dup item": (
        {"items.csv": text([*ITEMS, ITEMS[5], ITEMS[6]])},
        "items.csv:42: ITEM_ID: got 'i04' again (2 rows)",
        "keep one row of each id",
        "data-prep-importing.html",
    ),
    "dup user": (
        {"users.csv": text([*USERS, USERS[5]])},
        "users.csv:52: USER_ID: got 'u04' again",
        "keep one row of each id",
        "data-prep-importing.html",
    ),
    "a repeated column": (
        {"items.csv": rename(ITEMS, "YEAR", "GENRES")},
        "items.csv:1: GENRES: got the name more than once",
        "remove a column",
        "how-it-works-dataset-schema.html",
    ),
    "names that differ in underscores": (
        {"items.csv": rename(ITEMS, "YEAR", "GEN_RES")},
        "items.csv:1: GEN_RES: got a name that differs from GENRES in underscores only",
        "rename one of them",
        "how-it-works-dataset-schema.html",
    ),
    "a space in a name": (
        {"items.csv": rename(ITEMS, "YEAR", "Release year")},
        "items.csv:1: got the column name 'Release year', expected letters, digits and underscores",
        "rename the column",
        "how-it-works-dataset-schema.html",
    ),
    "a reserved name": (
        {"items.csv": rename(ITEMS, "YEAR", "EVENT_TYPE")},
        "items.csv:1: EVENT_TYPE: the name is reserved for another data set",
        "rename the column",
        "custom-datasets-and-schemas.html",
    ),
    "ids alone": (
        {"items.csv": text(["ITEM_ID", *(line.split(",")[0] for line in ITEMS[1:])])},
        "items.csv:1: got no metadata column, expected at least 1",
        "add a column",
        "custom-datasets-and-schemas.html",
    ),
    "six metadata columns": (
        {
            "interactions.csv": text(
                [INTERACTIONS[0] + ",A,B,C,D,E,F"] + [line + ",1,2,3,4,5,6" for line in INTERACTIONS[1:]]
            )
        },
        "interactions.csv:1: got 6 metadata columns, expected at most 5",
        "remove 1 of them",
        "limits.html",
    ),
    "twelve event types": (
        {
            "interactions.csv": text(
                INTERACTIONS[:1] + [line.replace("watch", f"w{i % 11}") for i, line in enumerate(INTERACTIONS[1:])]
            )
        },
        ("interactions.csv: got 12 event types and 1 optional metadata columns, expected at most 10 together"),
        "remove columns or merge event types",
        "limits.html",
    ),
    "a long category": (
        {"items.csv": with_line(ITEMS, 3, "i01," + "x" * 1001 + ",1981")},
        "items.csv:3: GENRES: got 1,001 characters, expected at most 1,000",
        'shorten it, or declare the column with "textual": true in items.json',
        "limits.html",
    ),
    "both line ends": (
        {"items.csv": text(ITEMS[:5]).replace("\n", "\r\n") + text(ITEMS[5:])},
        "items.csv:6: got a line that ends with LF, and the lines before end with CRLF",
        "end all lines alike",
        "data-prep-importing.html",
    ),
    "a workbook": (
        {"items.csv": b"PK\x03\x04\x00\x00abc"},
        "items.csv: got a ZIP archive or an Excel workbook, expected CSV",
        "unpack or export it",
        "data-prep-importing.html",
    ),
    "gzip in a CSV file": (
        {"items.csv": b"\x1f\x8b\x08\x00\x00"},
        "items.csv: got a gzip file, expected CSV",
        "unpack or export it",
        "data-prep-importing.html",
    ),
    "carriage returns": (
        {"items.csv": text(ITEMS).replace("\n", "\r")},
        "items.csv:1: got lines that end with a carriage return alone",
        "save it with line feeds",
        "data-prep-importing.html",
    ),
}
