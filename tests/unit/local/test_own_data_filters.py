"""The local Personalize evaluates the documented filter language and rejects everything else.

https://docs.aws.amazon.com/personalize/latest/dg/creating-filter-expressions.html and the pages of examples.
"""

from collections.abc import Iterator
from typing import Any

import pytest
from personalize_local.errors import QueryError
from personalize_local.own_data.engine import OwnData
from unit.local.own_data_folder import INTERACTIONS, schema, text, write_folder

# 50 users from u00 to u49. An age is the number of the user. u00 has no value in any column, and u49 has no row.
_USERS = [
    "USER_ID,AGE,HOBBIES,IS_MEMBER",
    "u00,,,",
    *(f"u{user:02},{user},{'chess|golf' if user % 2 else 'golf'},true" for user in range(1, 49)),
]
_SCHEMA = schema(
    "Users",
    USER_ID="string",
    AGE=["int", "null"],
    HOBBIES={"type": ["null", "string"], "categorical": True},
    IS_MEMBER=["boolean", "null"],
)
# Only u07 bought.
_INTERACTIONS = [*INTERACTIONS, "u07,i00,Buy,1700000000"]
ALL = set(range(50))
ODD = set(range(1, 49, 2))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnData]:
    files = {"users.csv": text(_USERS), "users.json": _SCHEMA, "interactions.csv": text(_INTERACTIONS)}
    with OwnData.load(write_folder(tmp_path_factory.mktemp("filters") / "data", dict(files))) as loaded:
        yield loaded


def included(data: OwnData, expression: str, **values: str) -> set[int]:
    """Returns the numbers of the users that a filter keeps. Each user has interactions with some of the items."""
    queries: list[dict[str, Any]] = [{"itemId": f"i{item:02}", "filterValues": values} for item in range(40)]
    segments = list(data.segments(queries, data.filter(expression), number=50))
    if error := next((segment.error for segment in segments if segment.error), None):
        raise QueryError(error)
    return {int(user[1:]) for segment in segments for user in segment.users}


EVALUATED = {
    "INCLUDE UserID WHERE Users.AGE >= 18": set(range(18, 49)),
    "include userid where users.AGE<18": set(range(1, 18)),
    "EXCLUDE UserID WHERE Users.AGE < 18": ALL - set(range(1, 18)),
    "INCLUDE UserID WHERE Users.AGE = 18": {18},
    "INCLUDE UserID WHERE Users.AGE = 18.5": set(),
    "INCLUDE UserID WHERE Users.AGE != 18": set(range(1, 49)) - {18},
    "INCLUDE UserID WHERE Users.AGE > 9 AND Users.AGE <= 20": set(range(10, 21)),
    "INCLUDE UserID WHERE Users.AGE < 3 OR Users.AGE > 47": {1, 2, 48},
    'INCLUDE UserID WHERE Users.HOBBIES IN ("chess")': ODD,
    'INCLUDE UserID WHERE Users.HOBBIES IN ("Chess")': set(),
    'INCLUDE UserID WHERE Users.HOBBIES IN ("chess|golf")': set(),
    'INCLUDE UserID WHERE Users.HOBBIES NOT IN ("chess")': ALL - ODD,
    'EXCLUDE UserID WHERE Users.HOBBIES IN ("chess", "darts")': ALL - ODD,
    'INCLUDE UserID WHERE Interactions.EVENT_TYPE IN ("buy", "sell")': {7},
    'EXCLUDE UserID WHERE Interactions.EVENT_TYPE IN ("BUY")': ALL - {7},
    'INCLUDE UserID WHERE Interactions.EVENT_TYPE IN ("*")': ALL,
    'EXCLUDE UserID WHERE Interactions.EVENT_TYPE IN ("*")': set(),
    # "Include A | Include B | Exclude C | Exclude D is equal to Include (A or B) - (C or D)", in any order.
    "INCLUDE UserID WHERE Users.AGE < 5 | INCLUDE UserID WHERE Users.AGE > 45": {1, 2, 3, 4, 46, 47, 48},
    "EXCLUDE UserID WHERE Users.AGE > 3 | INCLUDE UserID WHERE Users.AGE < 6": {1, 2, 3},
    'EXCLUDE UserID WHERE Users.AGE > 3 | EXCLUDE UserID WHERE Interactions.EVENT_TYPE IN ("buy")': {0, 1, 2, 3, 49},
}


@pytest.mark.parametrize(("expression", "users"), EVALUATED.items(), ids=EVALUATED)
def test_evaluates_the_documented_language(data: OwnData, expression: str, users: set[int]) -> None:
    assert included(data, expression) == users


def test_fills_placeholders(data: OwnData) -> None:
    ages = "EXCLUDE UserID WHERE Users.AGE < $AGE"
    assert included(data, ages, AGE="40") == {0, *range(40, 50)}
    assert included(data, ages, AGE='"40"') == {0, *range(40, 50)}
    assert included(data, "INCLUDE UserID WHERE Users.AGE > ($AGE)", AGE="46.5") == {47, 48}
    hobbies = "INCLUDE UserID WHERE Users.HOBBIES IN ($HOBBY)"
    assert included(data, hobbies, HOBBY='"chess"') == ODD
    assert included(data, hobbies, HOBBY='"darts", "chess"') == ODD
    assert included(data, hobbies, HOBBY=r'"a \" quote","golf"') == set(range(1, 49))
    assert included(data, 'INCLUDE UserID WHERE Users.HOBBIES IN ("chess", $MORE)', MORE='"golf"') == set(range(1, 49))


def test_leaves_out_an_exclusion_without_values(data: OwnData) -> None:
    expression = "INCLUDE UserID WHERE Users.AGE < 9 | EXCLUDE UserID WHERE Users.HOBBIES IN ($HOBBY)"
    assert included(data, expression) == set(range(1, 9))
    assert included(data, expression, HOBBY='"chess"') == {2, 4, 6, 8}


@pytest.mark.parametrize(
    ("expression", "values", "error"),
    [
        ("INCLUDE UserID WHERE Users.AGE < $AGE", {}, "no value for the placeholder AGE"),
        ("INCLUDE UserID WHERE Users.AGE < $AGE", {"Age": "1"}, "no value for the placeholder AGE, did you mean Age?"),
        ("INCLUDE UserID WHERE Users.AGE < $AGE", {"AGE": "old"}, "AGE: got 'old', expected a number"),
        (
            "INCLUDE UserID WHERE Users.HOBBIES IN ($HOBBY)",
            {"HOBBY": "chess"},
            "HOBBY: got 'chess', expected values in double quotes, joined by commas",
        ),
        (
            "INCLUDE UserID WHERE Users.HOBBIES IN ($HOBBY)",
            {"HOBBY": '"chess",'},
            "HOBBY: got '\"chess\",', expected values in double quotes, joined by commas",
        ),
        (
            "INCLUDE UserID WHERE Users.HOBBIES IN ($HOBBY)",
            {"HOBBY": ["chess"]},
            'HOBBY: got ["chess"], expected a string',
        ),
    ],
)
def test_names_the_fault_of_a_value(data: OwnData, expression: str, values: dict[str, str], error: str) -> None:
    with pytest.raises(QueryError) as raised:
        included(data, expression, **values)
    assert str(raised.value) == f"filterValues: {error}"
