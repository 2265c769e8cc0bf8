"""Undocumented filters of user segments are rejected, each with the exact message."""

import time
from collections.abc import Iterator

import pytest
from personalize_local.own_data.engine import OwnData
from personalize_local.own_data.problems import ExpressionError
from unit.local.own_data_folder import schema, text, write_folder

_USERS = ["USER_ID,AGE,COUNTRY,IS_MEMBER", *(f"u{user:02},{user},Japan,true" for user in range(50))]
_SCHEMA = schema(
    "Users", USER_ID="string", AGE="int", COUNTRY={"type": "string", "categorical": True}, IS_MEMBER="boolean"
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnData]:
    folder = tmp_path_factory.mktemp("filters") / "data"
    with OwnData.load(write_folder(folder, {"users.csv": text(_USERS), "users.json": _SCHEMA})) as loaded:
        yield loaded


REFUSED = [
    ('INCLUDE ItemID WHERE Items.GENRES IN ("Drama")', "column 9: filters of user segments filter users: write UserID"),
    ('INCLUDE ActionID WHERE Actions.X IN ("Drama")', "column 9: filters of user segments filter users: write UserID"),
    (
        'INCLUDE UserID WHERE Items.GENRES IN ("Drama")',
        "column 22: filters of user segments use Users.<field> or Interactions.EVENT_TYPE",
    ),
    (
        "INCLUDE UserID WHERE Users.AGE >= 18 IF CurrentUser.AGE > 18",
        "column 41: IF and CurrentUser are for item recommendations: remove the IF condition",
    ),
    (
        "INCLUDE UserID WHERE CurrentUser.AGE > 18",
        "column 22: filters of user segments use Users.<field> or Interactions.EVENT_TYPE",
    ),
    (
        "INCLUDE UserID WHERE Users.AGE >= CurrentUser.AGE",
        "column 35: filters of user segments compare with values: write a value",
    ),
    (
        "INCLUDE UserID WHERE Users.COUNTRY IN (CurrentUser.COUNTRY)",
        "column 40: got 'CurrentUser.COUNTRY', expected a placeholder such as $NAME or a value in double quotes",
    ),
    (
        "INCLUDE UserID WHERE Users.COUNTRY IN CurrentUser.COUNTRY",
        "column 39: filters of user segments compare with values: write a value",
    ),
    (
        "INCLUDE UserID WHERE (Users.AGE >= 18)",
        "column 22: got '(', expected Dataset.field; parentheses around conditions are not documented: "
        "join whole expressions with |",
    ),
    (
        "INCLUDE UserID WHERE Users.AGE >= 18 AND (Users.AGE < 30 OR Users.AGE > 60)",
        "column 42: got '(', expected Dataset.field; parentheses around conditions are not documented: "
        "join whole expressions with |",
    ),
    (
        "INCLUDE UserID WHERE Users.AGE >= 18 AND Users.AGE < 30 OR Users.AGE > 60",
        "column 57: the order of AND and OR in one expression is not documented: use one of them, and | "
        "between expressions",
    ),
    (
        'INCLUDE UserID WHERE Users.AGE >= 18 AND Interactions.EVENT_TYPE IN ("watch")',
        "column 42: an expression uses the fields of one data set: join a second expression with |",
    ),
    (
        'INCLUDE UserID WHERE Users.AGE >= "18"',
        "column 35: got '\"18\"', expected a number or a placeholder such as $NAME or Dataset.field or (; "
        "comparison operators take numbers, and IN takes text",
    ),
    (
        "INCLUDE UserID WHERE Users.AGE IN (18)",
        "column 36: got '18', expected a placeholder such as $NAME or a value in double quotes; IN "
        "takes text in double quotes, and comparison operators take numbers",
    ),
    ('INCLUDE UserID WHERE Users.AGE IN ("18")', "column 22: AGE has numbers, and IN compares text: use ="),
    (
        'INCLUDE UserID WHERE Users.COUNTRY = "Japan"',
        "column 38: got '\"Japan\"', expected a number or a placeholder such as $NAME or Dataset.field or "
        "(; comparison operators take numbers, and IN takes text",
    ),
    ("INCLUDE UserID WHERE Users.COUNTRY = $COUNTRY", "column 22: COUNTRY has text, and = compares numbers: use IN"),
    ("INCLUDE UserID WHERE Users.COUNTRY IN 'Japan'", 'column 39: got "\'", expected Dataset.field or ('),
    (
        "INCLUDE UserID WHERE Users.COUNTRY IN ('Japan')",
        'column 40: got "\'", expected a placeholder such as $NAME or a value in double quotes; write '
        "values in double quotes",
    ),
    ('INCLUDE UserID WHERE Users.COUNTRY IN ("Japan"', "column 47: got the end, expected , or )"),
    (
        'INCLUDE UserID WHERE Users.COUNTRY IN ("Japan)',
        "column 40: got a quotation mark that is not closed, expected a placeholder such as $NAME or a "
        "value in double quotes",
    ),
    (
        "INCLUDE UserID WHERE Users.COUNTRY IN ()",
        "column 40: got ')', expected a placeholder such as $NAME or a value in double quotes",
    ),
    ('INCLUDE UserID WHERE Users.COUNTRY IN ("Japan" "Kenya")', "column 48: got '\"Kenya\"', expected , or )"),
    (
        "INCLUDE UserID WHERE Users.COUNTRY NOT IN ($COUNTRY)",
        "column 44: placeholders are not allowed with NOT IN: use IN and swap INCLUDE and EXCLUDE",
    ),
    (
        'INCLUDE UserID WHERE Users.COUNTRY LIKE "J%"',
        "column 36: got 'LIKE', expected IN or NOT IN or a comparison operator or AND or OR or IF or |; "
        "the operators are IN, NOT IN, =, !=, <, <=, > and >=",
    ),
    (
        "INCLUDE UserID WHERE Users.AGE BETWEEN 18 AND 30",
        "column 32: got 'BETWEEN', expected IN or NOT IN or a comparison operator or AND or OR or IF or "
        "|; the operators are IN, NOT IN, =, !=, <, <=, > and >=",
    ),
    (
        "INCLUDE UserID WHERE Users.AGE == 18",
        "column 33: got '=', expected a number or a placeholder such as $NAME or Dataset.field or (; write a single =",
    ),
    (
        "INCLUDE UserID WHERE Users.AGE <> 18",
        "column 33: got '>', expected a number or a placeholder such as $NAME or Dataset.field or (; write !=",
    ),
    ("INCLUDE UserID WHERE NOT Users.AGE = 18", "column 22: got 'NOT', expected Dataset.field"),
    ("INCLUDE UserID WHERE Users.AGE", "column 31: got the end, expected IN or NOT IN or a comparison operator"),
    ("INCLUDE UserID WHERE Users.age > 18", "column 22: users.csv has no column 'age', did you mean AGE?"),
    (
        'INCLUDE UserID WHERE Users.CONTRY IN ("Japan")',
        "column 22: users.csv has no column 'CONTRY', did you mean COUNTRY?",
    ),
    (
        'INCLUDE UserID WHERE Users.IS_MEMBER IN ("true")',
        "column 22: IS_MEMBER is boolean: filters need a string, int or long column",
    ),
    ('INCLUDE UserID WHERE Users.COUNTRY IN ("*")', "column 40: * is for Interactions.EVENT_TYPE only: write a value"),
    (
        "INCLUDE UserID WHERE Interactions.EVENT_VALUE > 3",
        "column 22: the only field of interactions for filters is EVENT_TYPE",
    ),
    (
        'INCLUDE UserID WHERE Interactions.EVENT_TYPE = "watch"',
        "column 48: got '\"watch\"', expected a number or a placeholder such as $NAME or Dataset.field or "
        "(; comparison operators take numbers, and IN takes text",
    ),
    (
        "INCLUDE UserID WHERE Interactions.EVENT_TYPE = 3",
        "column 22: EVENT_TYPE has text, and = compares numbers: use IN",
    ),
    (
        "INCLUDE UserID WHERE Interactions.EVENT_TYPE IN (*)",
        "column 50: got '*', expected a placeholder such as $NAME or a value in double quotes",
    ),
    ("INCLUDE UserID WHERE AGE > 18", "column 22: got 'AGE', expected Dataset.field"),
    ("INCLUDE UserID Users.AGE > 18", "column 16: got 'Users.AGE', expected WHERE"),
    ("INCLUDE Users.AGE > 18", "column 9: got 'Users.AGE', expected UserID or ItemID"),
    ("UserID WHERE Users.AGE > 18", "column 1: got 'UserID', expected INCLUDE or EXCLUDE"),
    ("INCLUDE UserID WHERE Users.AGE > 18 |", "column 38: got the end, expected INCLUDE or EXCLUDE"),
    (
        "INCLUDE UserID WHERE Users.AGE > 18 || EXCLUDE UserID WHERE Users.AGE > 60",
        "column 38: got '|', expected INCLUDE or EXCLUDE",
    ),
    ("INCLUDE UserID WHERE Users.AGE > 18; DROP TABLE users", "column 36: got ';', expected AND or OR or IF or |"),
    (
        "INCLUDE UserID WHERE Users.AGE > $",
        "column 34: got '$', expected a number or a placeholder such as $NAME or Dataset.field or (",
    ),
    ("", "column 1: got the end, expected INCLUDE or EXCLUDE"),
    (" ", "column 1: got ' ', expected INCLUDE or EXCLUDE"),
]


@pytest.mark.parametrize(("expression", "message"), REFUSED)
def test_refuses_other_expressions(data: OwnData, expression: str, message: str) -> None:
    with pytest.raises(ExpressionError) as raised:
        data.filter(expression)
    assert str(raised.value) == message


def test_refuses_more_fields_than_the_quota(data: OwnData, tmp_path_factory: pytest.TempPathFactory) -> None:
    names = [f"F{number}" for number in range(11)]
    lines = [",".join(["USER_ID", *names]), *(f"u{user:02}{',1' * 11}" for user in range(50))]
    folder = write_folder(tmp_path_factory.mktemp("fields") / "data", {"users.csv": text(lines)})
    conditions = [f"Users.{name} = 1" for name in names]
    with OwnData.load(folder) as wide:
        wide.filter(f"INCLUDE UserID WHERE {' AND '.join(conditions[:10] * 2)}")
        with pytest.raises(ExpressionError, match=r"^column 1: got 11 fields, expected at most 10: use fewer fields$"):
            wide.filter(f"INCLUDE UserID WHERE {' AND '.join(conditions)}")


def test_refuses_fields_of_missing_files(tmp_path_factory: pytest.TempPathFactory) -> None:
    lines = ["USER_ID,ITEM_ID,TIMESTAMP", *(f"u{number % 50},i1,{number + 1}" for number in range(1000))]
    files = {"users.csv": None, "items.csv": None, "interactions.csv": text(lines)}
    with OwnData.load(write_folder(tmp_path_factory.mktemp("alone") / "data", dict(files))) as alone:
        with pytest.raises(ExpressionError, match=r"^column 22: the data has no users.csv: add it or use Interactions"):
            alone.filter("INCLUDE UserID WHERE Users.AGE = 1")
        with pytest.raises(ExpressionError, match=r"^column 22: interactions.csv has no column EVENT_TYPE: add it$"):
            alone.filter('INCLUDE UserID WHERE Interactions.EVENT_TYPE IN ("watch")')


@pytest.mark.parametrize("part", ['"', "\\", "(", " OR", "$A,", "Users.AGE = 1 OR "])
def test_takes_linear_time(data: OwnData, part: str) -> None:
    def seconds(length: int) -> float:
        started = time.process_time()
        with pytest.raises(ExpressionError):
            data.filter(f"INCLUDE UserID WHERE {part * length}?")
        return time.process_time() - started

    seconds(10)
    # 64 times the length. Quadratic time would be 4,096 times as long.
    assert seconds(6400) < 640 * max(seconds(100), 0.001)
