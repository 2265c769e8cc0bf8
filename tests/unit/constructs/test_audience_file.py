"""Lists of audiences in CSV files, as spreadsheets save them."""

import codecs
from pathlib import Path

import pytest
from cdk_personalize_segments.audience import Audience
from support.constants import FILTER


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "queries.jsonl").write_text('{"itemId": "1"}\n')
    (tmp_path / "folder").mkdir()
    return tmp_path


def listed(folder: Path, content: bytes | str, filter_arn: str | None = None) -> list[Audience]:
    file = folder / "audiences.csv"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return Audience.list_from_csv(file, filter_arn=filter_arn)


def lines_of(audience: Audience) -> list[str]:
    source = audience.segment_input.source
    assert source is not None
    with source.open() as stream:
        return stream.read().decode().splitlines()


COMEDY = r'{"itemAttributes": "ITEMS.GENRES = \"Comedy\""}'


@pytest.mark.parametrize(
    "content",
    [
        "name,ITEMS.GENRES\nfans,Comedy\n",
        "name;ITEMS.GENRES\nfans;Comedy\n",
        "name,ITEMS.GENRES\r\nfans,Comedy",
        "name,ITEMS.GENRES\rfans,Comedy\r",
        codecs.BOM_UTF8 + b"name;ITEMS.GENRES\r\nfans;Comedy\r\n",
        "\n\nname,ITEMS.GENRES\n\n,\n  ,  \nfans,Comedy\n\n",
        "name;ITEMS.GENRES;;;\nfans;Comedy;;;\n;;;;\n",
        ' name , "ITEMS.GENRES"\n fans ,  Comedy \n',
        '"name","ITEMS.GENRES"\n"fans","Comedy"\n',
        "ITEMS.GENRES,name,num_results\nComedy,fans\n",
        'name,item_attributes\nfans,"ITEMS.GENRES = ""Comedy"""\n',
        'name;item_id;item_attributes\nfans;;"ITEMS.GENRES = ""Comedy"""\n',
    ],
)
def test_reads_a_list_as_spreadsheets_save_it(folder: Path, content: bytes | str) -> None:
    (audience,) = listed(folder, content)
    assert audience.name == "fans"
    assert lines_of(audience) == [COMEDY]
    assert (audience.num_results, audience.filter_arn, audience.tags) == (None, None, {})


def test_rows_of_one_name_are_queries_of_one_audience(folder: Path) -> None:
    content = """\
name;ITEMS.GENRES;ITEMS.YEAR;num_results;filter.COUNTRY
fans;Comedy;;;Japan
others;Drama;;7;
fans;Comedy | Romance;1999;100;Japan|Türkiye
"""
    fans, others = listed(folder, content, FILTER)
    assert (fans.name, fans.num_results, fans.filter_arn) == ("fans", 100, FILTER)
    assert lines_of(fans) == [
        r'{"itemAttributes": "ITEMS.GENRES = \"Comedy\"", "filterValues": {"COUNTRY": "\"Japan\""}}',
        r'{"itemAttributes": "ITEMS.GENRES = \"Comedy\" AND ITEMS.GENRES = \"Romance\" AND ITEMS.YEAR = \"1999\"", '
        r'"filterValues": {"COUNTRY": "\"Japan\",\"Türkiye\""}}',
    ]
    assert (others.name, others.num_results) == ("others", 7)
    assert lines_of(others) == [r'{"itemAttributes": "ITEMS.GENRES = \"Drama\""}']


def test_reads_items_and_files_beside_the_list(folder: Path) -> None:
    first, second = listed(folder, "name,item_id,queries\na,105,\nb,,queries.jsonl\n")
    assert lines_of(first) == ['{"itemId": "105"}']
    assert lines_of(second) == ['{"itemId": "1"}']


def test_a_quoted_cell_can_have_delimiters_quotes_and_newlines(folder: Path) -> None:
    (audience,) = listed(folder, 'name,ITEMS.TITLE\nfans,"Big, ""bigger""; biggest\nof all"\n')
    assert lines_of(audience) == [r'{"itemAttributes": "ITEMS.TITLE = \"Big, \\\"bigger\\\"; biggest\nof all\""}']


HEADER = "name,item_id,num_results\n"
EXPECTED = "expected item_id, item_attributes, queries or ITEMS.<column>"
ONE_OF = "expected one of item_id, item_attributes, queries or ITEMS.<column>"
ALL_COLUMNS = "name, item_id, item_attributes, queries, num_results, ITEMS.<column>, filter.<placeholder>"
NUMBER = "expected a whole number from 1 to 5,000,000, in digits only"
NAME = "expected 1 to 63 letters, digits, hyphens or underscores: the name is a folder in S3"


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        # the file
        (b"PK\x03\x04xl/workbook.xml", 'got an Excel workbook or a zip file, expected CSV: save it as "CSV UTF-8"'),
        (b"\xd0\xcf\x11\xe0\xa1", 'got an old Excel workbook, expected CSV: save it as "CSV UTF-8"'),
        ("name,item_id\na,1\n".encode("utf-16"), 'got UTF-16, expected CSV: save it as "CSV UTF-8"'),
        (
            "name,item_id\na,1\nb,Komödie\n".encode("cp1252"),
            'line 3: got the byte 0xf6, which is not UTF-8, expected UTF-8: save it as "CSV UTF-8"',
        ),
        ("", "got no column name, expected a line of column names and a line for each query"),
        ("\n , \n", "got no column name, expected a line of column names and a line for each query"),
        (HEADER, "got no audiences, expected a line of column names and a line for each query"),
        (
            HEADER + 'a,"1,\nb,2,\n',
            "line 2: got an unclosed quotation mark, expected a closing one: double a quotation mark that is "
            "part of a text",
        ),
        (
            HEADER + 'a,"1"x,\n',
            "line 2: got text after a closing quotation mark, expected ',' or the end of the line: double a "
            "quotation mark that is part of a text",
        ),
        (
            HEADER + f"a,{'x' * 131_073},\n",
            "line 2: got a cell of more than 131,072 characters, expected a shorter one",
        ),
        # the header
        (
            "GENRES,1\n",
            f"line 1: got the column 'GENRES', expected one of {ALL_COLUMNS}; a column of the Items data is "
            "ITEMS.GENRES",
        ),
        (
            "name,my genre \x1b[31m\n",
            f"line 1: got the column 'my genre \\x1b[31m', expected one of {ALL_COLUMNS}",
        ),
        (
            "name,ITEMS.A,ITEMS.B\na,b,c\nb,b,c\na,b,d\na,b,c\n",
            "line 5: ITEMS.A: got the query of 'a' in line 2 again, expected each query of an audience once",
        ),
        ("nam,item_id\na,1\n", "line 1: got the column 'nam', expected name"),
        ("Name,item_id\na,1\n", "line 1: got the column 'Name', expected name"),
        ("name,item id\na,1\n", "line 1: got the column 'item id', expected item_id"),
        ("name,itemAttributes\na,1\n", "line 1: got the column 'itemAttributes', expected item_attributes"),
        ("name,Num Results\na,1\n", "line 1: got the column 'Num Results', expected num_results"),
        ("name,Items.GENRES\na,1\n", "line 1: got the column 'Items.GENRES', expected ITEMS.GENRES"),
        ("name,item_id,FILTER.AGE\na,1,2\n", "line 1: got the column 'FILTER.AGE', expected filter.AGE"),
        (
            "name|item_id\na|1\n",
            "line 1: got cells with '|' between them, expected commas or semicolons",
        ),
        (
            "name\titem_id\na\t1\n",
            "line 1: got cells with '\\t' between them, expected commas or semicolons",
        ),
        (
            "item_id,num_results\n1,2\n",
            "line 1: got the columns item_id, num_results, expected name among them: the first line names the columns",
        ),
        (
            "name,num_results\na,1\n",
            f"line 1: got the columns name, num_results, expected one for the queries: {EXPECTED[9:]}",
        ),
        ("name,item_id,item_id\na,1,2\n", "line 1: got the column item_id twice, expected it once"),
        ("name,,item_id\na,1,2\n", "line 1: got an empty name for column 2, expected a name"),
        (
            "name,ITEMS.\na,1\n",
            "line 1: got the column 'ITEMS.', expected letters, digits and underscores, for example ITEMS.GENRES",
        ),
        (
            "name,item_id,filter.$AGE\na,1,2\n",
            "line 1: got the column 'filter.$AGE', expected letters, digits and underscores, for example "
            "filter.COUNTRY",
        ),
        (
            "name,item_id,filter.AGE\na,1,2\n",
            "line 1: got the column filter.AGE without filter_arn, expected both: the column contains the values "
            "of a filter's placeholder",
        ),
        # rows
        (
            HEADER + "a,1,2,3\n",
            "line 2: got 4 cells, expected 3, one for each column: put a value that contains a comma or a semicolon in "
            "quotation marks",
        ),
        (HEADER + ",1,\n", "line 2: name: got none, expected the name of the audience on each of its lines"),
        (HEADER + "a b,1,\n", f"line 2: name: got 'a b' (3 characters), {NAME}"),
        (HEADER + "a/b,1,\n", f"line 2: name: got 'a/b' (3 characters), {NAME}"),
        (HEADER + "Komödie,1,\n", f"line 2: name: got 'Komödie' (7 characters), {NAME}"),
        (HEADER + f"{'a' * 64},1,\n", f"line 2: name: got '{'a' * 64}' (64 characters), {NAME}"),
        (HEADER + "\n\na,,\n", f"line 4: got no query, {ONE_OF}"),
        ("name,item_id,queries\na,1,queries.jsonl\n", f"line 2: got item_id and queries, {ONE_OF}"),
        ("name,item_id,ITEMS.A,ITEMS.B\na,1,2,3\n", f"line 2: got item_id and ITEMS.A, {ONE_OF}"),
        (HEADER + "a,1,many\n", f"line 2: num_results: got 'many', {NUMBER}"),
        (HEADER + "a,1,0\n", f"line 2: num_results: got '0', {NUMBER}"),
        (HEADER + 'a,1,"1,000"\n', f"line 2: num_results: got '1,000', {NUMBER}"),
        (HEADER + "a,1,5000001\n", f"line 2: num_results: got '5000001', {NUMBER}"),
        (HEADER + "a,1,1e3\n", f"line 2: num_results: got '1e3', {NUMBER}"),
        (
            HEADER + "a,1,10\na,2,\na,3,20\n",
            "line 4: num_results: got 20, expected 10 as in line 2, or an empty cell: the number applies to "
            "all queries of the audience",
        ),
        (
            "name,ITEMS.A\na,b|\n",
            "line 2: ITEMS.A: got 'b|', expected a value on each side of '|', which separates values",
        ),
        (
            "name,queries\na,no.jsonl\n",
            "line 2: queries: got a path that does not exist, '{folder}/no.jsonl', expected a file of queries, one "
            "JSON object per line",
        ),
        (
            "name,queries\na,folder\n",
            "line 2: queries: got a folder, '{folder}/folder', expected a file of queries, one JSON object per line",
        ),
        (
            "name,queries\na,queries.jsonl\na,queries.jsonl\n",
            "line 3: queries: got a file for 'a', which has queries in line 2, expected only one: add the queries "
            "to the file",
        ),
        (
            "name,item_id,queries\na,,queries.jsonl\na,1,\n",
            "line 3: item_id: got a query for 'a', which has a file in line 2, expected only one: add the query to "
            "the file",
        ),
        (
            'name,item_id,item_attributes\na,1,\n\na,,"ITEMS.A = ""b"""\n',
            "line 4: item_attributes: got another kind of query than in line 2, expected item_id",
        ),
        (
            'name,item_attributes\na,"ITEMS.A = ""b"" OR ITEMS.A = ""c"""\n',
            "line 2: item_attributes: 'OR' fails: write one query for each alternative",
        ),
    ],
)
def test_rejects_a_bad_file(folder: Path, content: bytes | str, fault: str) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011
        listed(folder, content)
    fault = fault.replace("{folder}", str(folder))
    assert str(refused.value) == f"1 fault in '{folder / 'audiences.csv'}':\n  {fault}"


def test_rejects_filter_values_beside_a_file(folder: Path) -> None:
    with pytest.raises(ValueError, match="fault") as refused:
        listed(folder, "name,queries,filter.AGE\na,queries.jsonl,7\n", FILTER)
    assert str(refused.value).endswith(
        "\n  line 2: filter.AGE: got a value in a line with queries, expected none: write filterValues in the file"
    )


@pytest.mark.parametrize(("name", "what"), [("no.csv", "a path that does not exist"), ("folder", "a folder")])
def test_rejects_a_path_without_a_file(folder: Path, name: str, what: str) -> None:
    with pytest.raises(ValueError, match="path") as refused:
        Audience.list_from_csv(folder / name)
    assert str(refused.value) == f"path: got {what}, '{folder / name}', expected a CSV file of audiences"


def test_names_all_faults_up_to_ten(folder: Path) -> None:
    with pytest.raises(ValueError, match="fault") as refused:
        listed(folder, HEADER + "a,1,many\n" * 12)
    lines = str(refused.value).splitlines()
    assert lines[0].startswith("12 faults in ")
    assert lines[1:] == [
        *(f"  line {line}: num_results: got 'many', {NUMBER}" for line in range(2, 12)),
        "  and 2 more",
    ]
