"""Checks the conditions of ``itemAttributes`` against the columns of items."""

from ..errors import QueryError
from .catalog import Catalog, Column
from .problems import excerpt
from .suggestions import nearest_name
from .tables import can_be_queried


def find_column(catalog: Catalog, name: str) -> Column:
    """Returns the column of items that a condition names.

    No documentation says whether Personalize compares the names case-sensitively. Here it does, so a query that works
    here works in either case.

    Raises:
        QueryError: The column does not exist or cannot be used.
    """
    column = catalog.items.get(name)
    if column is None:
        if not catalog.items:
            raise QueryError("the data has no items.csv, which itemAttributes needs")
        raise QueryError(f"items.csv has no column {excerpt(name)}{nearest_name(name, list(catalog.items))}")
    if not can_be_queried(column.field):
        kind = "textual" if column.field.is_textual else "boolean"
        raise QueryError(f"the column {name} is {kind}, which itemAttributes cannot use")
    return column
