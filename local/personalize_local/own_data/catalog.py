"""What the tables of the loaded data contain."""

from dataclasses import dataclass

from .dataset_types import Field


@dataclass(frozen=True, slots=True)
class Column:
    """A column of items or users.

    Attributes:
        sql_name: Its name in the table. Names of users never become part of SQL.
        field: The field.
    """

    sql_name: str
    field: Field


@dataclass(frozen=True, slots=True)
class Catalog:
    """The contents of the tables.

    Attributes:
        items: The columns of items by name, without ITEM_ID.
        users: The columns of users by name, without USER_ID.
        columns: The names of all columns by the name of each data set that has a file.
        has_event_types: Whether interactions have event types.
        interaction_count: The number of interactions.
        item_count: The number of items in items.csv or interactions.csv.
        user_count: The number of users in users.csv or interactions.csv.
    """

    items: dict[str, Column]
    users: dict[str, Column]
    columns: dict[str, frozenset[str]]
    has_event_types: bool
    interaction_count: int
    item_count: int
    user_count: int
