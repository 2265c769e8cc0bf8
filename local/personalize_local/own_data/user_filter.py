"""Filters of users, checked against the data and evaluated as SQL.

A filter is rejected if the documentation does not allow it for user segments:
https://docs.aws.amazon.com/personalize/latest/dg/user-segment-filter-examples.html

These choices have no documentation:
    - A user without a value, or without a row in users.csv, matches no IN and no comparison. NOT IN is the opposite
      of IN, because "EXCLUDE … IN" and "INCLUDE … NOT IN" "get the same results":
      https://docs.aws.amazon.com/personalize/latest/dg/error-messages.html
    - Names of fields are case-sensitive except EVENT_TYPE, and all keywords are not.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import QueryError
from .catalog import Catalog, Column
from .filter_language import Condition, Expression, Number, Placeholder, Text, parse_filter
from .filter_values import read_number, read_texts
from .problems import ExpressionError, excerpt
from .suggestions import nearest_name

# "Maximum number of distinct dataset fields for a filter": https://docs.aws.amazon.com/personalize/latest/dg/limits.html
_MAX_FIELDS = 10


@dataclass(slots=True)
class Predicate:
    """A condition on the table ``users``.

    Attributes:
        sql: The condition, which has named parameters.
        parameters: Their values.
    """

    sql: str
    parameters: dict[str, Any] = field(default_factory=dict)

    def bind(self, value: Any) -> str:
        """Adds a parameter and returns its name for SQL."""
        name = f"filter_{len(self.parameters)}"
        self.parameters[name] = value
        return f"${name}"


class UserFilter:
    """A filter of users.

    Attributes:
        expression: Its text.
        placeholders: The names of its parameters. The value is whether it is required: "For filters with expressions
        that
            use an EXCLUDE element, you can omit the filter-values"
            (https://docs.aws.amazon.com/personalize/latest/dg/API_RS_GetRecommendations.html).
        uses_interactions: Whether it tests interactions, which Item-Attribute-Affinity does not allow.
    """

    def __init__(self, expression: str, catalog: Catalog) -> None:
        """Parses a filter and checks it against the data.

        Args:
            expression: The expression.
            catalog: The data.

        Raises:
            ExpressionError: The filter is not documented for user segments or does not fit the data.
        """
        self.expression = expression
        self._parts = parse_filter(expression)
        self._catalog = catalog
        for part in self._parts:
            self._check(part)
        fields = {(condition.field.dataset, condition.field.name) for _, condition in self._conditions()}
        if len(fields) > _MAX_FIELDS:
            raise ExpressionError(0, f"got {len(fields)} fields, expected at most {_MAX_FIELDS}: use fewer fields")
        self.uses_interactions = any(dataset == "INTERACTIONS" for dataset, _ in fields)
        self.placeholders: dict[str, bool] = {}
        for part, condition in self._conditions():
            for operand in condition.operands:
                if isinstance(operand, Placeholder):
                    self.placeholders[operand.name] = part.includes or self.placeholders.get(operand.name, False)

    def require(self, values: Mapping[str, Any]) -> None:
        """Checks that each required placeholder has a value.

        Raises:
            QueryError: A value is missing.
        """
        if missing := [name for name, is_required in self.placeholders.items() if is_required and name not in values]:
            hint = nearest_name(missing[0], list(values))
            raise QueryError(f"filterValues: no value for the placeholder {missing[0]}{hint}")

    def predicate(self, values: Mapping[str, Any]) -> Predicate:
        """Returns the condition of the users that stay in a segment.

        Args:
            values: The values of placeholders, as in ``filterValues``.

        Raises:
            QueryError: A value is missing or invalid.
        """
        self.require(values)
        predicate = Predicate("")
        parts: dict[bool, list[str]] = {True: [], False: []}
        for part in self._parts:
            names = {
                operand.name
                for one in part.chain.conditions
                for operand in one.operands
                if isinstance(operand, Placeholder)
            }
            if names <= values.keys():
                joiner = f" {part.chain.joins[0][1]} " if part.chain.joins else ""
                conditions = (self._sql(condition, values, predicate) for condition in part.chain.conditions)
                parts[part.includes].append(f"({joiner.join(conditions)})")
        # "Include A | Include B | Exclude C | Exclude D is equal to Include (A or B) - (C or D)":
        # https://docs.aws.amazon.com/personalize/latest/dg/multiple-expression-example.html
        included = " OR ".join(parts[True]) or "true"
        excluded = " OR ".join(parts[False]) or "false"
        predicate.sql = f"(({included}) AND NOT ({excluded}))"
        return predicate

    def texts(self) -> Iterator[tuple[Column, Text]]:
        """Returns the columns of users with the fixed values that the filter compares them with."""
        for _, condition in self._conditions():
            if condition.field.dataset == "USERS":
                for operand in condition.operands:
                    if isinstance(operand, Text):
                        yield self._catalog.users[condition.field.name], operand

    def _conditions(self) -> Iterator[tuple[Expression, Condition]]:
        return ((part, condition) for part in self._parts for condition in part.chain.conditions)

    def _check(self, part: Expression) -> None:
        if part.entity != "USERID":
            raise ExpressionError(part.entity_at, "filters of user segments filter users: write UserID")
        if part.current_user is not None:
            at = part.current_user.conditions[0].at
            raise ExpressionError(at, "IF and CurrentUser are for item recommendations: remove the IF condition")
        words = {word for _, word in part.chain.joins}
        if len(words) > 1:
            at = next(at for at, word in part.chain.joins if word != part.chain.joins[0][1])
            raise ExpressionError(
                at,
                "the order of AND and OR in one expression is not documented: use one of them, and | between "
                "expressions",
            )
        dataset = part.chain.conditions[0].field.dataset
        for condition in part.chain.conditions:
            if condition.field.dataset != dataset:
                raise ExpressionError(
                    condition.at, "an expression uses the fields of one data set: join a second expression with |"
                )
            self._check_condition(condition)

    def _check_condition(self, condition: Condition) -> None:
        if condition.operator == "NOT IN":
            for operand in condition.operands:
                if isinstance(operand, Placeholder):
                    raise ExpressionError(
                        operand.at, "placeholders are not allowed with NOT IN: use IN and swap INCLUDE and EXCLUDE"
                    )
        for operand in condition.operands:
            if not isinstance(operand, Text | Number | Placeholder):
                raise ExpressionError(operand.at, "filters of user segments compare with values: write a value")
            if operand == Text(operand.at, "*") and condition.field.dataset != "INTERACTIONS":
                # https://docs.aws.amazon.com/personalize/latest/dg/creating-filter-expressions.html
                raise ExpressionError(operand.at, "* is for Interactions.EVENT_TYPE only: write a value")
        if condition.field.dataset == "USERS":
            self._check_user_field(condition)
        elif condition.field.dataset == "INTERACTIONS":
            self._check_event_type(condition)
        else:
            raise ExpressionError(condition.at, "filters of user segments use Users.<field> or Interactions.EVENT_TYPE")

    def _check_user_field(self, condition: Condition) -> None:
        name, column = condition.field.name, self._catalog.users.get(condition.field.name)
        if column is None:
            if not self._catalog.users:
                raise ExpressionError(condition.at, "the data has no users.csv: add it or use Interactions.EVENT_TYPE")
            raise ExpressionError(
                condition.at,
                f"users.csv has no column {excerpt(name)}{nearest_name(name, list(self._catalog.users))}",
            )
        if column.field.type == "boolean":
            raise ExpressionError(condition.at, f"{name} is boolean: filters need a string, int or long column")
        is_comparison = "IN" not in condition.operator
        if is_comparison and not column.field.is_number:
            raise ExpressionError(condition.at, f"{name} has text, and {condition.operator} compares numbers: use IN")
        if not is_comparison and column.field.is_number:
            raise ExpressionError(condition.at, f"{name} has numbers, and {condition.operator} compares text: use =")

    def _check_event_type(self, condition: Condition) -> None:
        if condition.field.name.upper() != "EVENT_TYPE":
            raise ExpressionError(condition.at, "the only field of interactions for filters is EVENT_TYPE")
        if "IN" not in condition.operator:
            raise ExpressionError(
                condition.at, f"EVENT_TYPE has text, and {condition.operator} compares numbers: use IN"
            )
        if not self._catalog.has_event_types:
            raise ExpressionError(condition.at, "interactions.csv has no column EVENT_TYPE: add it")

    def _sql(self, condition: Condition, values: Mapping[str, Any], predicate: Predicate) -> str:
        if "IN" not in condition.operator:
            (operand,) = condition.operands
            number = operand.number if isinstance(operand, Number) else read_number(values, _placeholder(operand).name)
            operator = "<>" if condition.operator == "!=" else condition.operator
            column = self._catalog.users[condition.field.name].sql_name
            return f"coalesce({column} {operator} {predicate.bind(number)}, false)"
        texts: list[str] = []
        for operand in condition.operands:
            texts += [operand.text] if isinstance(operand, Text) else read_texts(values, _placeholder(operand).name)
        match = self._sql_of_events(texts, predicate) if condition.field.dataset == "INTERACTIONS" else None
        if match is None:
            user_column = self._catalog.users[condition.field.name]
            name, values_name = user_column.sql_name, predicate.bind(texts)
            # "separate each value using the vertical bar":
            # https://docs.aws.amazon.com/personalize/latest/dg/user-dataset-requirements.html
            parts = f"string_split({name}, '|')" if user_column.field.is_categorical else f"[{name}]"
            match = f"coalesce(list_has_any({parts}, {values_name}), false)"
        return f"NOT {match}" if condition.operator == "NOT IN" else match

    @staticmethod
    def _sql_of_events(texts: list[str], predicate: Predicate) -> str:
        # "Use * to include or exclude interactions of all types."
        if "*" in texts:
            return "(person IN (SELECT person FROM interactions))"
        # "Amazon Personalize ignores case only when matching event types":
        # https://docs.aws.amazon.com/personalize/latest/dg/filter-expressions.html
        name = predicate.bind([text.lower() for text in texts])
        events = f"SELECT event FROM events WHERE list_contains({name}, lower(name))"
        return f"(person IN (SELECT person FROM interactions WHERE event IN ({events})))"


def _placeholder(operand: object) -> Placeholder:
    assert isinstance(operand, Placeholder)
    return operand
