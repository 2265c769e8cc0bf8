"""No query stops the local Personalize or affects other queries."""

import json

import pytest
from personalize_local.data_set import parse_expression
from personalize_local.errors import QueryError
from personalize_local.gateway import LocalAws
from personalize_local.seeds import FILTERS, films
from support.timing import assert_linear
from unit.local.job_fixture import JobFixture

IN_COUNTRY = next(found for found in FILTERS if found.name == "country").bind


def parse_invalid(expression: str) -> None:
    with pytest.raises(QueryError):
        parse_expression(expression)


@pytest.mark.parametrize("unit", ['\\"', '"\\', '"', "\\", '"",', '"Japan\\\\'])
def test_reads_filter_values_in_linear_time(unit: str) -> None:
    assert_linear(lambda text: IN_COUNTRY({"COUNTRY": text}), lambda length: unit * length, 16_000)


@pytest.mark.parametrize(
    ("start", "unit"), [("", " "), ("ITEMS", " "), ("ITEMS.", "A"), ('ITEMS.A = "', '\\"'), ('ITEMS.A = "x"', " ")]
)
def test_reads_expressions_in_linear_time(start: str, unit: str) -> None:
    assert_linear(parse_invalid, lambda length: start + unit * length + "!", 64_000)


@pytest.mark.parametrize(
    ("text", "countries"),
    [
        ('"Japan"', {"Japan"}),
        ('"Japan","France" , "Kenya"', {"Japan", "France", "Kenya"}),
        ('"Japan","Fra\\"nce"', {"Japan"}),
        ('"Japan","France', {"Japan"}),
        ('"Japan","France\\', {"Japan"}),
        ("Japan", set()),
        ("", set()),
    ],
)
def test_takes_the_countries_in_quotes(text: str, countries: set[str]) -> None:
    is_included = IN_COUNTRY({"COUNTRY": text})
    assert {user.country for user in films().users.values() if is_included(user)} == countries


def test_a_hostile_line_does_not_affect_other_lines(jobs: JobFixture, local_aws: LocalAws) -> None:
    good = json.dumps({"itemId": "1", "filterValues": {"COUNTRY": '"Japan"'}})
    hostile = {
        '{"itemId": "1", "filterValues": {"COUNTRY": 1}}': "filterValues: COUNTRY: got 1, expected a string",
        '{"itemId": "1", "filterValues": "COUNTRY"}': "filterValues is not an object",
        "[" * 100_000: "the line is not JSON",
        '{"itemId": ' + "9" * 10_000 + "}": "the line is not JSON",
        '{"itemId": "\\ud800"}': "filterValues: no value for the placeholder COUNTRY",
    }
    jobs.put("\n".join([good, *hostile, good]))
    arn = local_aws.environment()["PERSONALIZE_LOCAL_FILTER_WITH_PLACEHOLDER_ARN"]
    job = jobs.run(filterArn=arn)
    assert job["status"] == "ACTIVE", job["failureReason"]
    records = jobs.results()
    assert [record["error"] for record in records] == [None, *hostile.values(), None]
    assert records[0] == records[-1]
    assert records[-2]["input"] == {"itemId": "\ud800"}
    assert len(records[0]["output"]["usersList"]) == 25
