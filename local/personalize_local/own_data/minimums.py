"""The minimums of training, and the maximum of event types."""

from collections.abc import Iterator

import duckdb

from . import sources
from .csv_file import CsvFile
from .dataset_types import MAX_EVENT_TYPES_AND_METADATA, Field
from .problems import Problem

# "Minimum number of unique item interactions required to create a solution version", "Minimum number of unique users
# with at least 2 item interactions each" and "Minimum percentage of total users that must have at least 2 or more item
# interactions": https://docs.aws.amazon.com/personalize/latest/dg/limits.html
_MIN_UNIQUE_INTERACTIONS = 1000
_MIN_USERS = 25
_MIN_PERCENT_OF_USERS = 1


def find_shortages(connection: duckdb.DuckDBPyConnection, interactions: CsvFile) -> Iterator[Problem]:
    """Returns the reasons why Personalize does not train with the loaded data.

    Args:
        connection: The connection.
        interactions: The file of interactions.
    """
    ((people, repeated),) = connection.execute(
        "SELECT count(*), count_if(times >= 2) FROM (SELECT count(*) AS times FROM interactions GROUP BY person)"
    ).fetchall()
    # As many users have at least as many unique interactions. Counting these takes seconds for 10 million.
    if people < _MIN_UNIQUE_INTERACTIONS:
        ((unique,),) = connection.execute("SELECT count(*) FROM (SELECT DISTINCT * FROM interactions)").fetchall()
        if unique < _MIN_UNIQUE_INTERACTIONS:
            yield Problem(
                interactions.name,
                None,
                f"got {unique:,} unique interactions, expected at least {_MIN_UNIQUE_INTERACTIONS:,}",
                "add interactions",
                sources.LIMITS,
            )
    if repeated < _MIN_USERS:
        yield Problem(
            interactions.name,
            None,
            f"got {repeated} users with at least 2 interactions each, expected at least {_MIN_USERS}",
            "add interactions of the same users",
            sources.ERRORS,
        )
    elif repeated * 100 < people * _MIN_PERCENT_OF_USERS:
        yield Problem(
            interactions.name,
            None,
            f"got {repeated:,} of {people:,} users with at least 2 interactions, expected at least "
            f"{_MIN_PERCENT_OF_USERS}%",
            "add interactions of the same users",
            sources.LIMITS,
        )
    yield from _too_many_event_types(connection, interactions)


def _too_many_event_types(connection: duckdb.DuckDBPyConnection, interactions: CsvFile) -> Iterator[Problem]:
    ((types,),) = connection.execute("SELECT count(*) FROM events").fetchall()
    metadata = sum(_is_optional_metadata(interactions, field) for field in interactions.fields)
    if types + metadata > MAX_EVENT_TYPES_AND_METADATA:
        yield Problem(
            interactions.name,
            None,
            f"got {types} event types and {metadata} optional metadata columns, expected at most "
            f"{MAX_EVENT_TYPES_AND_METADATA} together",
            "remove columns or merge event types",
            sources.LIMITS,
        )


def _is_optional_metadata(interactions: CsvFile, field: Field) -> bool:
    # "The metadata fields included in this count are EVENT_TYPE, EVENT_VALUE fields along with any custom metadata
    # fields": https://docs.aws.amazon.com/personalize/latest/dg/interactions-dataset-requirements.html
    return field.name in ("EVENT_TYPE", "EVENT_VALUE") or interactions.kind.known_field(field.name) is None
