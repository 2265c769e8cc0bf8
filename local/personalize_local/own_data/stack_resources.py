"""The resources that stacks create with the user's own data: dataset groups, schemas, datasets, solutions and filters.

All are ACTIVE at once. A dataset has the rows of the loaded folder, whatever its import job names. A solution has one
version, because "automatic training" is the default and creates the first version:
https://docs.aws.amazon.com/personalize/latest/dg/solution-config-auto-training.html
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ..behavior import Behavior
from ..errors import ServiceError
from ..models import Filter, Json, SolutionVersion
from ..seeds import RECIPES
from .avro_schema import parse_schema
from .dataset_types import DATASET_TYPES, DatasetType
from .engine import OwnData
from .problems import DataError, ExpressionError

if TYPE_CHECKING:
    # Importing them imports MiniStack, which reads its settings from the environment.
    from ..catalog import Catalog
    from ..iam import Caller
    from ..service import Operation


@dataclass(frozen=True, slots=True)
class _Group:
    name: str
    datasets: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Schema:
    name: str
    text: str
    kind: DatasetType
    columns: frozenset[str]


class StackResources:
    """The resources, by ARN. Errors have the codes of the service."""

    def __init__(self, data: OwnData, catalog: "Catalog") -> None:
        """Starts without resources.

        Args:
            data: The data.
            catalog: Receives the solution versions and the filters.
        """
        self._data = data
        self._catalog = catalog
        self._groups: dict[str, _Group] = {}
        self._schemas: dict[str, _Schema] = {}
        self._datasets: dict[str, Json] = {}

    def create_group(self, arn: str, properties: Mapping[str, Any]) -> None:
        """Creates a dataset group."""
        _require_new(arn, self._groups)
        self._groups[arn] = _Group(properties["Name"])

    def create_schema(self, arn: str, properties: Mapping[str, Any]) -> None:
        """Creates a schema and checks it as CreateSchema does."""
        _require_new(arn, self._schemas)
        text = properties["Schema"]
        try:
            name = json.loads(text).get("name")
        except (ValueError, AttributeError):
            raise _invalid(f"the schema {properties['Name']} is not a JSON object") from None
        kind = next((kind for kind in DATASET_TYPES if kind.name == name), None)
        if kind is None:
            names = ", ".join(kind.name for kind in DATASET_TYPES)
            raise _invalid(f"the schema {properties['Name']}: name: got {name!r}, expected one of {names}")
        try:
            fields = parse_schema(f"schema {properties['Name']}", text, kind)
        except DataError as error:
            raise _invalid(str(error)) from None
        columns = frozenset(one.name for one in fields)
        self._schemas[arn] = _Schema(properties["Name"], text, kind, columns)

    def create_dataset(self, arn: str, properties: Mapping[str, Any]) -> None:
        """Creates a dataset. Its schema has the columns of the loaded file."""
        _require_new(arn, self._datasets)
        group = self._find_group(properties["DatasetGroupArn"])
        schema = self._schemas.get(properties["SchemaArn"])
        if schema is None:
            raise _missing("Schema", properties["SchemaArn"])
        kind = schema.kind
        if properties["DatasetType"].casefold() != kind.name.casefold():
            raise _invalid(f"the dataset has the type {properties['DatasetType']}, and its schema is {kind.name}")
        columns = self._columns(kind)
        if columns is None:
            raise _invalid(f"the data has no {kind.file}")
        if columns and schema.columns != columns:
            listed = ", ".join(sorted(schema.columns ^ columns))
            raise _invalid(f"{kind.file} and the schema {schema.name} differ in the columns {listed}")
        group.datasets[kind.name] = arn
        self._datasets[arn] = {
            "name": properties["Name"],
            "datasetArn": arn,
            "datasetGroupArn": properties["DatasetGroupArn"],
            "datasetType": kind.name.upper(),
            "schemaArn": properties["SchemaArn"],
            "status": "ACTIVE",
        }

    def create_solution(self, arn: str, properties: Mapping[str, Any]) -> None:
        """Creates a solution with one version."""
        name = properties["Name"]
        _require_new(arn, {arn for version in self._catalog.versions if version.solution == name})
        group = self._find_group(properties["DatasetGroupArn"])
        recipe = RECIPES.get(properties.get("RecipeArn", "").rpartition("/")[2])
        if recipe is None:
            supported = ", ".join(RECIPES)
            raise _invalid(f"the recipe of {name} is not part of the local Personalize, which supports {supported}")
        needed = ["Interactions", "Items"] if recipe.query_key == "itemAttributes" else ["Interactions"]
        if missing := [kind for kind in needed if kind not in group.datasets]:
            # https://docs.aws.amazon.com/personalize/latest/dg/item-attribute-affinity-recipe.html
            raise _invalid(f"the dataset group {group.name} has no dataset of the type {missing[0]}")
        self._catalog.groups[f"solution/{name}"] = group.name
        created = datetime.now(UTC).replace(microsecond=0)
        self._catalog.versions = [*self._catalog.versions, SolutionVersion(name, "0001", recipe, created=created)]

    def create_filter(self, arn: str, properties: Mapping[str, Any]) -> None:
        """Creates a filter of users."""
        name, expression = properties["Name"], properties["FilterExpression"]
        _require_new(arn, {arn for found in self._catalog.filters if found.name == name})
        group = self._find_group(properties["DatasetGroupArn"])
        try:
            self._data.filter(expression)
        except ExpressionError as error:
            raise _invalid(f"the filter {name}: {error}") from None
        self._catalog.groups[f"filter/{name}"] = group.name
        self._catalog.filters = [*self._catalog.filters, Filter(name, expression, "ACTIVE")]

    def delete(self, arn: str) -> None:
        """Deletes a resource. Jobs stay."""
        kind, _, name = arn.split(":", 5)[5].partition("/")
        for group in self._groups.values():
            for dataset in [dataset for dataset, other in group.datasets.items() if other == arn]:
                del group.datasets[dataset]
        for resources in (self._groups, self._schemas, self._datasets):
            resources.pop(arn, None)
        if self._catalog.groups.pop(f"{kind}/{name}", None) is None:
            return
        if kind == "solution":
            self._catalog.versions = [version for version in self._catalog.versions if version.solution != name]
        else:
            self._catalog.filters = [found for found in self._catalog.filters if found.name != name]

    def operations(self) -> "dict[str, Operation]":
        """Returns the operations that describe the resources."""
        return {
            "DescribeDatasetGroup": self._describe_group,
            "DescribeSchema": self._describe_schema,
            "DescribeDataset": self._describe_dataset,
        }

    def _describe_group(self, request: Json, caller: "Caller", _behavior: Behavior) -> Json:
        arn = request["datasetGroupArn"]
        caller.authorize("personalize:DescribeDatasetGroup", arn)
        return {"datasetGroup": {"name": self._find_group(arn).name, "datasetGroupArn": arn, "status": "ACTIVE"}}

    def _describe_schema(self, request: Json, caller: "Caller", _behavior: Behavior) -> Json:
        arn = request["schemaArn"]
        caller.authorize("personalize:DescribeSchema", arn)
        if arn not in self._schemas:
            raise _missing("Schema", arn)
        return {"schema": {"name": self._schemas[arn].name, "schemaArn": arn, "schema": self._schemas[arn].text}}

    def _describe_dataset(self, request: Json, caller: "Caller", _behavior: Behavior) -> Json:
        arn = request["datasetArn"]
        caller.authorize("personalize:DescribeDataset", arn)
        if arn not in self._datasets:
            raise _missing("Dataset", arn)
        return {"dataset": self._datasets[arn]}

    def _find_group(self, arn: str) -> _Group:
        if arn not in self._groups:
            raise _missing("Dataset group", arn)
        return self._groups[arn]

    def _columns(self, kind: DatasetType) -> frozenset[str] | None:
        """Returns the columns of a file. None if it does not exist."""
        return self._data.catalog.columns.get(kind.name)


def _require_new(arn: str, existing: Any) -> None:
    if arn in existing:
        raise ServiceError("ResourceAlreadyExistsException", f"Another resource with Arn {arn} already exists.")


def _missing(kind: str, arn: str) -> ServiceError:
    return ServiceError("ResourceNotFoundException", f"{kind} {arn} does not exist.")


def _invalid(message: str) -> ServiceError:
    return ServiceError("InvalidInputException", message)
