"""The pages of the Amazon Personalize Developer Guide that error messages cite."""

_GUIDE = "https://docs.aws.amazon.com/personalize/latest/dg"

#: Quotas and minimums.
LIMITS = f"{_GUIDE}/limits.html"
#: The format of CSV files: headers, one record a line, UTF-8.
CSV_FORMAT = f"{_GUIDE}/data-prep-importing.html"
#: Timestamps and values joined by ``|``.
DATA_FORMAT = f"{_GUIDE}/data-prep-formatting.html"
#: Required fields and reserved keywords of custom data sets.
CUSTOM_SCHEMAS = f"{_GUIDE}/custom-datasets-and-schemas.html"
#: The Avro types and the names of fields.
SCHEMAS = f"{_GUIDE}/how-it-works-dataset-schema.html"
#: The fields of the Items data set.
ITEMS = f"{_GUIDE}/item-dataset-requirements.html"
#: Unstructured text of items.
ITEM_TEXT = f"{_GUIDE}/items-datasets.html"
#: Causes of failed imports and trainings.
ERRORS = f"{_GUIDE}/error-messages.html"
#: What filters apply to, and what they cannot do.
FILTERS = f"{_GUIDE}/filter-expressions.html"
#: The elements of a filter expression.
FILTER_ELEMENTS = f"{_GUIDE}/creating-filter-expressions.html"
#: Several expressions joined by ``|``.
COMBINED_FILTERS = f"{_GUIDE}/multiple-expression-example.html"
#: Values of placeholders in the input of a batch job.
FILTER_VALUES = f"{_GUIDE}/filter-batch.html"
#: The omission of placeholders of EXCLUDE: the field ``filterValues``.
RUNTIME_FILTER_VALUES = f"{_GUIDE}/API_RS_GetRecommendations.html"
#: The input of batch segment jobs.
QUERIES = f"{_GUIDE}/prepare-input-data-user-segment.html"
