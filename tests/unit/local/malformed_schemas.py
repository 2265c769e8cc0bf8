"""Avro schemas that Personalize rejects or that differ from their files: fault, fix and page of the guide."""

from unit.local.own_data_folder import ITEMS, ITEMS_SCHEMA, Files, schema, with_line

SCHEMAS: dict[str, tuple[Files, str, str, str]] = {
    "schema invalid": (
        {"items.json": '{"type": "record",\n "name": }'},
        "items.json:2: invalid JSON: Expecting value",
        "correct it",
        "how-it-works-dataset-schema.html",
    ),
    "schema not record": (
        {"items.json": "[]"},
        'items.json: expected an Avro schema with "type": "record"',
        "see the example of the page",
        "how-it-works-dataset-schema.html",
    ),
    "schema name": (
        {"items.json": schema("Item", **ITEMS_SCHEMA)},
        "items.json:3: name: got 'Item', expected Items",
        "rename it",
        "how-it-works-dataset-schema.html",
    ),
    "schema missing": (
        {"items.json": schema("Items", **ITEMS_SCHEMA, PRICE="float")},
        "items.csv:1: missing columns of the schema: PRICE",
        "add the columns",
        "error-messages.html",
    ),
    "schema extra": (
        {"items.json": schema("Items", ITEM_ID="string", YEAR="int")},
        "items.csv:1: got columns that the schema does not have: 'GENRES'",
        "declare or remove them",
        "data-prep-importing.html",
    ),
    "schema order": (
        {"items.json": schema("Items", ITEM_ID="string", YEAR="int", GENRES="string")},
        "items.csv:1: got GENRES as column 2, expected YEAR as in the schema",
        "use the same order in both files",
        "how-it-works-dataset-schema.html",
    ),
    "schema type": (
        {"items.json": schema("Items", **{**ITEMS_SCHEMA, "YEAR": "number"})},
        (
            "items.json:17: YEAR: type: got 'number', expected one of float, double, int, long, "
            "string, boolean, alone or in a list with null"
        ),
        "arrays and maps are not supported",
        "how-it-works-dataset-schema.html",
    ),
    "schema array": (
        {"items.json": schema("Items", **{**ITEMS_SCHEMA, "GENRES": {"type": {"type": "array", "items": "string"}}})},
        (
            'items.json:12: GENRES: type: got \'{"type": "array", "items": "string"}\', expected one '
            "of float, double, int, long, string, boolean, alone or in a list with null"
        ),
        "arrays and maps are not supported",
        "how-it-works-dataset-schema.html",
    ),
    "schema id type": (
        {"items.json": schema("Items", **{**ITEMS_SCHEMA, "ITEM_ID": "long"})},
        "items.json:8: ITEM_ID: type: got long, expected string",
        "change the type",
        "how-it-works-dataset-schema.html",
    ),
    "text in an int column": (
        {"items.json": schema("Items", **{**ITEMS_SCHEMA, "GENRES": "int"})},
        "items.csv:2: GENRES: got 'Action', expected an int (40 rows)",
        "correct the value or the type in the schema",
        "how-it-works-dataset-schema.html",
    ),
    "an empty value of a schema without null": (
        {"items.json": schema("Items", **ITEMS_SCHEMA), "items.csv": with_line(ITEMS, 3, "i01,,1981")},
        "items.csv:3: GENRES: got an empty value, expected a value",
        "fill it in or add null to the type in the schema",
        "custom-datasets-and-schemas.html",
    ),
    "a categorical number": (
        {"items.json": schema("Items", **{**ITEMS_SCHEMA, "YEAR": {"type": "int", "categorical": True}})},
        "items.json:17: YEAR: got type int for text, expected string",
        "change the type to string",
        "how-it-works-dataset-schema.html",
    ),
    "a flag as text": (
        {"items.json": schema("Items", **{**ITEMS_SCHEMA, "GENRES": {"type": "string", "categorical": "true"}})},
        'items.json:12: GENRES: categorical: got "true", expected true or false',
        "correct it",
        "how-it-works-dataset-schema.html",
    ),
    "schema textual user": (
        {"users.json": schema("Users", USER_ID="string", AGE="int", COUNTRY={"type": "string", "textual": True})},
        "users.json:16: COUNTRY: textual fields exist in Items data sets only",
        'set "categorical": true instead',
        "how-it-works-dataset-schema.html",
    ),
    "schema two textual": (
        {
            "items.json": schema(
                "Items",
                ITEM_ID="string",
                GENRES={"type": "string", "textual": True},
                YEAR={"type": "string", "textual": True},
            )
        },
        "items.json:17: got 2 textual fields, expected at most 1",
        "keep one of them",
        "limits.html",
    ),
    "a number beyond int": (
        {"items.json": schema("Items", **ITEMS_SCHEMA), "items.csv": with_line(ITEMS, 3, "i01,Drama,3000000000")},
        "items.csv:3: YEAR: got '3000000000', expected an int",
        "correct the value or the type in the schema",
        "how-it-works-dataset-schema.html",
    ),
}
