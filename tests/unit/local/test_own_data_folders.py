"""Folders that Personalize cannot import or train with, each with the exact message."""

from pathlib import Path

import pytest
from personalize_local.errors import UsageError
from personalize_local.own_data.engine import OwnData
from personalize_local.own_data.problems import DataError
from unit.local.malformed_csv import CSV
from unit.local.malformed_schemas import SCHEMAS
from unit.local.own_data_folder import INTERACTIONS, ITEMS, USERS, Files, text, with_line, write_folder

MALFORMED = {**CSV, **SCHEMAS}
_GUIDE = "https://docs.aws.amazon.com/personalize/latest/dg/"


@pytest.mark.parametrize(("files", "fault", "fix", "page"), MALFORMED.values(), ids=MALFORMED)
def test_refuses_a_folder_with_line_and_fix(files: Files, fault: str, fix: str, page: str, tmp_path: Path) -> None:
    with pytest.raises(DataError) as raised:
        OwnData.load(write_folder(tmp_path / "data", files))
    assert str(raised.value) == f"{fault}; {fix} [{_GUIDE}{page}]"


def test_has_thirty_malformed_folders() -> None:
    assert len(MALFORMED) >= 30


def test_reports_the_faults_of_all_files_at_once(tmp_path: Path) -> None:
    files: Files = {
        "interactions.csv": with_line(INTERACTIONS, 9, "u00,i05,watch,now"),
        "users.csv": with_line(with_line(USERS, 4, "u02,,").splitlines(), 7, ",1,Kenya"),
    }
    with pytest.raises(DataError) as raised:
        OwnData.load(write_folder(tmp_path / "data", files))
    assert [(problem.file, problem.line) for problem in raised.value.problems] == [
        ("interactions.csv", 9),
        ("users.csv", 7),
    ]


@pytest.mark.parametrize(
    "items",
    [
        text([*ITEMS[:3], "", *ITEMS[3:]]).encode(),
        text(ITEMS).replace("\n", "\r\n").encode(),
        b"\xef\xbb\xbf" + text(ITEMS).encode(),
        text(ITEMS).rstrip().encode(),
        with_line(ITEMS, 3, r'i01,"Sci, \"Fi\"|Drama",1981').encode(),
    ],
    ids=["blank lines", "CRLF", "byte order mark", "no last line feed", "quoted values"],
)
def test_loads_all_spellings_of_csv(items: bytes, tmp_path: Path) -> None:
    with OwnData.load(write_folder(tmp_path / "data", {"items.csv": items})) as data:
        assert (data.catalog.item_count, data.catalog.user_count, data.catalog.interaction_count) == (40, 50, 1000)
        assert list(data.catalog.items) == ["GENRES", "YEAR"]


def test_loads_interactions_alone(tmp_path: Path) -> None:
    with OwnData.load(write_folder(tmp_path / "data", {"items.csv": None, "users.csv": None})) as data:
        assert (data.catalog.item_count, data.catalog.user_count) == (40, 50)
        found, no_items = data.segments([{"itemId": "i07"}, {"itemAttributes": 'ITEMS.GENRES = "Drama"'}])
    assert len(found.users) == 20 + 5
    assert no_items.error == "the data has no items.csv, which itemAttributes needs"


def test_loads_columns_with_the_names_of_sql_keywords(tmp_path: Path) -> None:
    header = "ITEM_ID,select,at"
    folder = write_folder(tmp_path / 'it\'s "data"', {"items.csv": text([header, *ITEMS[1:]])})
    with OwnData.load(folder) as data:
        (found,) = data.segments([{"itemAttributes": 'ITEMS.select = "Action" AND ITEMS.at = "1980"'}])
    assert found.error is None
    assert found.users


def test_names_a_folder_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^--data: got '.*none', expected a folder with interactions\.csv$"):
        OwnData.load(tmp_path / "none")


def test_deletes_the_database_after_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(DataError):
        OwnData.load(write_folder(tmp_path / "data", {"items.csv": ""}))
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_reports_progress(tmp_path: Path) -> None:
    steps: dict[str, float] = {}
    with OwnData.load(write_folder(tmp_path / "data"), lambda step, share: steps.update({step: share})):
        pass
    assert list(steps) == [
        "checking interactions.csv",
        "checking items.csv",
        "checking users.csv",
        "loading items",
        "loading users",
        "indexing items",
        "loading event types",
        "loading interactions",
        "ordering interactions",
        "counting interactions",
    ]
    assert set(steps.values()) == {1}
