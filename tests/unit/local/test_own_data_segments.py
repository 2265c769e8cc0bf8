"""The segments of the samples equal a plain count in Python."""

import csv
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from personalize_local.own_data.engine import OwnData
from personalize_local.own_data.problems import ExpressionError
from personalize_local.own_data.samples import SAMPLES, main, write_sample
from personalize_local.own_data.segment_queries import parse_attributes, parse_by_grammar

Row = dict[str, str]


@pytest.fixture(scope="module", params=[True, False], ids=["schemas", "no schemas"])
def folders(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a folder for each sample."""
    folder = tmp_path_factory.mktemp("samples")
    for name, sample in SAMPLES.items():
        write_sample(folder / name, sample, schemas=request.param)
    return folder


def read(path: Path) -> list[Row]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def count(folder: Path, item: Callable[[Row], bool], user: Callable[[Row], bool] = lambda _: True) -> list[str]:
    """Returns all matching users in the documented order."""
    items = {row["ITEM_ID"] for row in read(folder / "items.csv") if item(row)}
    users = {row["USER_ID"] for row in read(folder / "users.csv") if user(row)}
    times: Counter[str] = Counter()
    latest: dict[str, int] = {}
    for row in read(folder / "interactions.csv"):
        if row["ITEM_ID"] in items and row["USER_ID"] in users:
            times[row["USER_ID"]] += 1
            latest[row["USER_ID"]] = max(latest.get(row["USER_ID"], 0), int(row["TIMESTAMP"]))
    return sorted(times, key=lambda one: (-times[one], -latest[one], one))


def test_answers_queries_over_films(folders: Path) -> None:
    folder = folders / "films"
    queries = [
        {"itemId": "1"},
        {"itemAttributes": 'ITEMS.GENRES = "Drama"'},
        {"itemAttributes": 'ITEMS.GENRES = "Drama" AND ITEMS.GENRES = "Action"'},
        {"itemAttributes": 'ITEMS.GENRES = "Drama" AND ITEMS.YEAR = "1954"'},
    ]
    expected = [
        count(folder, lambda row: row["ITEM_ID"] == "1"),
        count(folder, lambda row: "Drama" in row["GENRES"].split("|")),
        count(folder, lambda row: {"Drama", "Action"} <= set(row["GENRES"].split("|"))),
        count(folder, lambda row: "Drama" in row["GENRES"].split("|") and row["YEAR"] == "1954"),
    ]
    assert all(len(users) > 3 for users in expected)
    with OwnData.load(folder) as data:
        found = list(data.segments(queries, number=40))
    assert [segment.users for segment in found] == [users[:40] for users in expected]
    assert [segment.found for segment in found] == list(map(len, expected))
    assert [segment.error for segment in found] == [None] * 4


def test_answers_queries_over_categories_of_two_levels(folders: Path) -> None:
    folder = folders / "retail"
    queries = [
        {"itemAttributes": 'ITEMS.CATEGORY_L1 = "footwear"'},
        {"itemAttributes": 'ITEMS.CATEGORY_L1 = "footwear" AND ITEMS.CATEGORY_L2 = "boot"'},
        {"itemAttributes": 'ITEMS.CATEGORY_L1 = "footwear" AND ITEMS.CATEGORY_L2 = "shirt"'},
    ]
    with OwnData.load(folder) as data:
        found = list(data.segments(queries, data.filter("INCLUDE UserID WHERE Users.AGE >= 40"), number=1000))
    assert [segment.users for segment in found] == [
        count(folder, lambda row: row["CATEGORY_L1"] == "footwear", lambda row: int(row["AGE"]) >= 40),
        count(folder, lambda row: row["CATEGORY_L2"] == "boot", lambda row: int(row["AGE"]) >= 40),
        (),
    ]


def test_filters_users_by_their_columns_and_events(folders: Path) -> None:
    folder = folders / "retail"
    bought = {row["USER_ID"] for row in read(folder / "interactions.csv") if row["EVENT_TYPE"] == "Purchase"}
    expressions: dict[str, Callable[[Row], bool]] = {
        'INCLUDE UserID WHERE Users.MEMBERSHIP_STATUS IN ("gold", "silver")': lambda row: (
            row["MEMBERSHIP_STATUS"] in ("gold", "silver")
        ),
        'EXCLUDE UserID WHERE Users.MEMBERSHIP_STATUS IN ("gold")': lambda row: row["MEMBERSHIP_STATUS"] != "gold",
        'EXCLUDE UserID WHERE Interactions.EVENT_TYPE IN ("purchase")': lambda row: row["USER_ID"] not in bought,
        "INCLUDE UserID WHERE Users.AGE < 30 OR Users.AGE > 60 | EXCLUDE UserID WHERE Users.AGE >= 65": lambda row: (
            not 30 <= int(row["AGE"]) <= 60 and int(row["AGE"]) < 65
        ),
    }
    with OwnData.load(folder) as data:
        for expression, is_included in expressions.items():
            (segment,) = data.segments([{"itemId": "1"}], data.filter(expression), number=1000)
            expected = count(folder, lambda row: row["ITEM_ID"] == "1", is_included)
            assert expected
            assert (expression, segment.users) == (expression, expected)


def test_fills_placeholders_from_each_query(folders: Path) -> None:
    folder = folders / "films"
    countries = ["Kenya", "Japan"]
    queries = [{"itemId": "1", "filterValues": {"COUNTRY": f'"{country}"'}} for country in countries]
    with OwnData.load(folder) as data:
        user_filter = data.filter("INCLUDE UserID WHERE Users.COUNTRY IN ($COUNTRY)")
        found = [segment.users for segment in data.segments(queries, user_filter, number=1000)]
        (missing,) = data.segments([{"itemId": "1"}], user_filter)
    assert found == [
        count(folder, lambda row: row["ITEM_ID"] == "1", lambda row, country=country: row["COUNTRY"] == country)  # type: ignore[misc]
        for country in countries
    ]
    assert missing.error == "filterValues: no value for the placeholder COUNTRY"


def test_names_the_fault_of_a_query(folders: Path) -> None:
    queries = [
        {"itemId": "none"},
        {"itemAttributes": 'ITEMS.GENRE = "Drama"'},
        {"itemAttributes": 'ITEMS.GENRES = "Drama" OR ITEMS.GENRES = "Action"'},
        {"itemAttributes": "ITEMS.GENRES = 'Drama'"},
        {"itemAttributes": 'ITEMS.GENRES = "Drama'},
        {"itemAttributes": ""},
        {},
        {"itemId": "1"},
    ]
    with OwnData.load(folders / "films") as data:
        found = list(data.segments(queries))
    assert [segment.error for segment in found] == [
        "the item none is not in the data",
        "items.csv has no column 'GENRE', did you mean GENRES?",
        "column 24: got 'OR', expected AND or the end; write one query for each alternative",
        'column 16: got "\'", expected a value in double quotes',
        "column 16: got a quotation mark that is not closed, expected a value in double quotes",
        "column 1: got the end, expected ITEMS.<column>",
        "the line has no itemId and no itemAttributes",
        None,
    ]
    assert len(found[-1].users) == 25


@pytest.mark.parametrize(
    "query",
    [
        {"itemId": "\ud800"},
        {"itemAttributes": 'ITEMS.GENRES = "\ud800"'},
        {"itemId": "1", "filterValues": {"COUNTRY": '"\ud800"'}},
    ],
)
def test_answers_other_queries_after_text_without_utf_8(folders: Path, query: dict[str, Any]) -> None:
    valid = {"itemId": "1", "filterValues": {"COUNTRY": '"Japan"'}}
    with OwnData.load(folders / "films") as data:
        first, second = data.segments([query, valid], data.filter("INCLUDE UserID WHERE Users.COUNTRY IN ($COUNTRY)"))
    assert first.error == "the line has half of a surrogate pair, which no value of a CSV file has"
    assert second.users


def test_orders_many_interactions_in_parts(folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    queries = [{"itemId": str(item)} for item in range(1, 501)]
    found = []
    for at_once in (10_000_000, 700, 1):
        monkeypatch.setattr("personalize_local.own_data.tables._SORTED_AT_ONCE", at_once)
        with OwnData.load(folders / "films") as data:
            found.append(list(data.segments(queries)))
    assert found[1] == found[0]
    assert found[2] == found[0]


def test_answers_threads_at_the_same_time(folders: Path) -> None:
    queries = [{"itemId": str(item)} for item in range(1, 40)]
    with OwnData.load(folders / "films") as data:
        user_filter = data.filter("INCLUDE UserID WHERE Users.AGE >= 40")
        alone = [list(data.segments(queries, chosen)) for chosen in (None, user_filter)]
        with ThreadPoolExecutor(4) as pool:
            together = list(pool.map(lambda i: list(data.segments(queries, (None, user_filter)[i % 2])), range(12)))
    assert together == alone * 6


@pytest.mark.parametrize("name", SAMPLES)
def test_writes_the_same_sample_again(name: str, tmp_path: Path) -> None:
    for folder in ("one", "other"):
        main([name, str(tmp_path / folder)])
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert files == [f"{table}.{suffix}" for table in ("interactions", "items", "users") for suffix in ("csv", "json")]
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "other" / file).read_bytes()


@pytest.mark.parametrize(
    "expression",
    [
        'ITEMS.A = "x"',
        'ITEMS.A = "x" AND ITEMS._b2 = ""',
        'items.A="x"and ITEMS . A = "y z"',
        r'ITEMS.A = "a \"quoted\" \\ text"',
        'ITEMS.A = "x"\n',
        'ITEMS.A = "line\nfeed"',
        'ITEMS.A = "x" AND ',
        'ITEMS.A = "x" ITEMS.B = "y"',
        'ITEMS.A = "x"AND ITEMS.B = "y"',
        'ITEMS.A == "x"',
        'ITEMS.A = "x" AND items.B = "y"',
    ],
)
def test_parses_as_the_grammar_does(expression: str) -> None:
    def parse(function: Callable[[str], tuple[tuple[str, str], ...]]) -> object:
        try:
            return function(expression)
        except ExpressionError as error:
            return str(error)

    assert parse(parse_attributes) == parse(parse_by_grammar)
