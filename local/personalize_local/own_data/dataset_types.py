"""The three types of data sets, with their documented fields and quotas."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

#: The Avro types of fields that have values: https://docs.aws.amazon.com/personalize/latest/dg/how-it-works-dataset-schema.html
AvroType = Literal["float", "double", "int", "long", "string", "boolean"]

#: "Maximum number of characters for USER_ID data values", and the same for ITEM_ID:
#: https://docs.aws.amazon.com/personalize/latest/dg/limits.html
MAX_ID_CHARACTERS = 256
#: "Maximum number of characters for categorical data and impression values", same page.
MAX_VALUE_CHARACTERS = 1000
#: "Maximum number of distinct event types combined with total number of optional metadata columns", same page.
MAX_EVENT_TYPES_AND_METADATA = 10
#: "Maximum number of textual fields for an Items dataset", same page.
MAX_TEXTUAL_FIELDS = 1


@dataclass(frozen=True, slots=True)
class Field:
    """A column of a data set.

    Attributes:
        name: The name in the header.
        type: The Avro type of its values.
        is_nullable: Whether a value can be empty.
        is_categorical: Whether values are categories joined by ``|``.
        is_textual: Whether it is unstructured text, which filters and queries cannot use.
    """

    name: str
    type: AvroType
    is_nullable: bool = False
    is_categorical: bool = False
    is_textual: bool = False

    @property
    def is_number(self) -> bool:
        """Whether the values are numbers."""
        return self.type in ("float", "double", "int", "long")


@dataclass(frozen=True, slots=True, eq=False)
class DatasetType:
    """A type of data set: https://docs.aws.amazon.com/personalize/latest/dg/custom-datasets-and-schemas.html.

    Attributes:
        name: The name in its Avro schema.
        file: The name of its CSV file.
        required: The required fields.
        reserved: The reserved keywords. They are optional.
        max_metadata: The maximum number of fields that are neither required nor reserved.
        min_metadata: The minimum number of them.
    """

    name: str
    file: str
    required: tuple[Field, ...]
    reserved: Mapping[str, Field]
    max_metadata: int
    min_metadata: int

    def known_field(self, name: str) -> Field | None:
        """Returns the required field or the reserved keyword of a name."""
        return next((field for field in self.required if field.name == name), self.reserved.get(name))


def _by_name(*fields: Field) -> Mapping[str, Field]:
    return {field.name: field for field in fields}


# "Maximum number of metadata columns, excluding reserved fields, in an Item interactions dataset": 5, "Maximum number
# of metadata fields for a Users dataset": 25, for an Items dataset: 100.
# https://docs.aws.amazon.com/personalize/latest/dg/limits.html
INTERACTIONS = DatasetType(
    "Interactions",
    "interactions.csv",
    (Field("USER_ID", "string"), Field("ITEM_ID", "string"), Field("TIMESTAMP", "long")),
    _by_name(
        Field("EVENT_TYPE", "string"),
        Field("EVENT_VALUE", "float", is_nullable=True),
        Field("IMPRESSION", "string", is_nullable=True),
        Field("RECOMMENDATION_ID", "string", is_nullable=True),
        Field("EVENT_ATTRIBUTION_SOURCE", "string", is_nullable=True),
    ),
    max_metadata=5,
    min_metadata=0,
)
ITEMS = DatasetType(
    "Items",
    "items.csv",
    (Field("ITEM_ID", "string"),),
    # "If creation timestamp data is missing for one or more items, Amazon Personalize infers this":
    # https://docs.aws.amazon.com/personalize/latest/dg/items-datasets.html
    _by_name(Field("CREATION_TIMESTAMP", "long", is_nullable=True)),
    max_metadata=100,
    min_metadata=1,
)
USERS = DatasetType("Users", "users.csv", (Field("USER_ID", "string"),), {}, max_metadata=25, min_metadata=1)
DATASET_TYPES = (INTERACTIONS, ITEMS, USERS)
#: All required and reserved names. "The keywords can't be in your data."
KEYWORDS = tuple(
    dict.fromkeys(name for kind in DATASET_TYPES for name in (*(field.name for field in kind.required), *kind.reserved))
)
#: Fields in Unix epoch seconds.
TIMESTAMPS = ("TIMESTAMP", "CREATION_TIMESTAMP")
