"""A table of a workflow's segments, for SQL with Athena."""

import re
import weakref
from dataclasses import dataclass, field
from typing import Any

import aws_cdk as cdk
import aws_cdk.aws_glue as glue
import aws_cdk.aws_iam as iam
import aws_cdk.aws_s3 as s3
from batch_segment_handler.text import quote
from constructs import Construct

from . import locations, validation
from .batch_segment_workflow import BatchSegmentWorkflow
from .naming import StackFacts
from .permissions import of_queries, of_readers

# Athena takes other names only in quotation marks, and Glue folds them:
# https://docs.aws.amazon.com/athena/latest/ug/tables-databases-columns-names.html
_NAME = re.compile(r"[a-z][a-z0-9_]{0,254}")
#: The partitions of a run that is complete, and of the newest such run under the name "latest".
PARTITION_KEYS = ("audience", "run")
# The segments have the query in `input`, or in their documented form at the top. Their users are in `usersList`, or in
# the documented form in `recommendedUsers`: see `personalize_segments_reader`.
_COLUMNS = {
    "input": "struct<itemid:string,itemattributes:string,filtervalues:map<string,string>>",
    "itemattributes": "string",
    "output": "struct<userslist:array<string>,recommendedusers:array<string>>",
    "error": "string",
}
# https://docs.aws.amazon.com/athena/latest/ug/openx-json-serde.html: the one whose documentation says that `usersList`
# in a file is `userslist` in a table.
_SERDE = "org.openx.data.jsonserde.JsonSerDe"
_SERDE_PARAMETERS = {"case.insensitive": "TRUE"}
_INPUT_FORMAT = "org.apache.hadoop.mapred.TextInputFormat"
_OUTPUT_FORMAT = "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat"


class SegmentsTable(Construct):
    """A Glue table of a workflow's segments, to be queried with Athena.

    A run registers the segments of an audience when all of them are written, so a query never reads half a run. It
    registers them in two partitions: one for the audience and the run, and one for the audience and the run
    ``latest``. Select a run in every query, because ``latest`` contains the same segments as the newest run. For
    example, with ``SegmentsTable(stack, "Table", workflow=weekly)``::

        SELECT user_id
        FROM weekly
        CROSS JOIN UNNEST(coalesce(output.userslist, output.recommendedusers)) AS t(user_id)
        WHERE audience = 'comedy-fans' AND run = 'latest'

    Segments that were written before the workflow had a table are not registered.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        workflow: BatchSegmentWorkflow,
        database_name: str | None = None,
        table_name: str | None = None,
    ) -> None:
        """Adds the table to the stack.

        Args:
            scope: The parent construct.
            id: The construct's id.
            workflow: The workflow. It can have one table.
            database_name: The name of the table's database, of lower-case letters, digits and underscores. The stack
                creates the database; its tables with the same name share it. Default: one database for the stack, with
                a name derived from the stack's.
            table_name: The name of the table, of the same characters. Default: the workflow's id in lower case.

        Raises:
            ValueError: A name is invalid, another table of the database has the name, or the workflow already has a
                table.
        """
        super().__init__(scope, id)
        facts = StackFacts.of(scope)
        if workflow in _WORKFLOWS:
            raise ValueError(
                f"workflow: got {workflow.node.path}, which has a SegmentsTable already, expected one without"
            )
        _check_name("database_name", database_name)
        _check_name("table_name", table_name)
        #: The name of the database.
        self.database_name: str = database_name or _lower(facts.names.prefix)
        #: The name of the table.
        self.table_name: str = table_name or _lower(workflow.node.id)
        database = _database(facts, self.database_name)
        if self.table_name in database.tables:
            raise ValueError(
                f"table_name: got {self.table_name!r}, which another SegmentsTable of the database "
                f"{self.database_name!r} has, expected a different one for each table"
            )
        database.tables.add(self.table_name)
        _WORKFLOWS.add(workflow)
        self._facts = facts
        self._workflow = workflow
        storage = workflow.storage
        bucket = storage.bucket_info(storage.output_bucket)
        glue.CfnTable(
            self,
            "Table",
            catalog_id=facts.account,
            database_name=database.resource.ref,
            table_input=_table_input(self.table_name, f"s3://{bucket.name}/{workflow.output_prefix}"),
        )
        workflow.set_table(
            {
                "Database": self.database_name,
                "Table": self.table_name,
                "StorageDescriptor": {
                    "Columns": [{"Name": name, "Type": type_} for name, type_ in _COLUMNS.items()],
                    "InputFormat": _INPUT_FORMAT,
                    "OutputFormat": _OUTPUT_FORMAT,
                    "SerdeInfo": {"SerializationLibrary": _SERDE, "Parameters": _SERDE_PARAMETERS},
                },
            }
        )

    def grant_query(
        self,
        grantee: iam.IGrantable,
        *,
        work_group: str = "primary",
        results_bucket: s3.IBucket | None = None,
        results_prefix: str = "",
    ) -> iam.Grant:
        """Grants permission to query the table with Athena, and to read the segments.

        If Lake Formation manages the catalog, grant SELECT there as well. For example:
        ``table.grant_query(analyst, results_bucket=bucket, results_prefix="results/")``.

        Args:
            grantee: The principal, for example a function.
            work_group: The name of the Athena workgroup that queries run in.
            results_bucket: The bucket to which Athena writes the results of the workgroup or the caller. Default: no
                grant on a bucket, for a workgroup with managed query results, which need none
                (https://docs.aws.amazon.com/athena/latest/ug/managed-results.html), or for a grantee that can write
                results already.
            results_prefix: The folder in that bucket, ending in "/". Default: the whole bucket.

        Raises:
            ValueError: `results_prefix` does not end in "/", or is given without `results_bucket`.
        """
        validation.check_no_wildcards("work_group", work_group)
        grants = [
            of_queries.run_queries(self._facts, work_group),
            of_queries.read_default_database(self._facts),
            of_queries.read_table(self._facts, self.database_name, self.table_name),
        ]
        if results_prefix:
            locations.check_prefix("results_prefix", results_prefix)
            if results_bucket is None:
                raise ValueError(f"results_prefix: got {quote(results_prefix)} without results_bucket, expected both")
        granted = self._workflow.grant_read_segments(grantee)
        if results_bucket is not None:
            info = self._workflow.storage.bucket_info(results_bucket)
            grants += [of_queries.find_results(info), of_queries.write_results(info, results_prefix)]
            granted = of_readers.grant_key(info, granted, grantee, writes=True)
        for options in grants:
            granted = granted.combine(iam.Grant.add_to_principal(grantee=grantee, **options))
        return granted


@dataclass
class _Database:
    """A database of a stack, and the names of its tables."""

    resource: glue.CfnDatabase
    tables: set[str] = field(default_factory=set)


_DATABASES: weakref.WeakKeyDictionary[cdk.Stack, dict[str, _Database]] = weakref.WeakKeyDictionary()
_WORKFLOWS: weakref.WeakSet[Any] = weakref.WeakSet()


def _database(facts: StackFacts, name: str) -> _Database:
    """Returns the stack's database of a name. Creates it on first use."""
    databases = _DATABASES.setdefault(facts.stack, {})
    if name not in databases:
        resource = glue.CfnDatabase(
            facts.stack,
            f"PersonalizeSegmentsDatabase-{name}",
            catalog_id=facts.account,
            database_input=glue.CfnDatabase.DatabaseInputProperty(
                name=name, description="User segments of Amazon Personalize"
            ),
        )
        databases[name] = _Database(resource)
    return databases[name]


def _table_input(name: str, location: str) -> glue.CfnTable.TableInputProperty:
    return glue.CfnTable.TableInputProperty(
        name=name,
        description="User segments of Amazon Personalize. The run 'latest' holds the segments of the newest run.",
        table_type="EXTERNAL_TABLE",
        parameters={"EXTERNAL": "TRUE", "classification": "json"},
        partition_keys=[glue.CfnTable.ColumnProperty(name=key, type="string") for key in PARTITION_KEYS],
        storage_descriptor=glue.CfnTable.StorageDescriptorProperty(
            columns=[glue.CfnTable.ColumnProperty(name=column, type=type_) for column, type_ in _COLUMNS.items()],
            location=location,
            input_format=_INPUT_FORMAT,
            output_format=_OUTPUT_FORMAT,
            serde_info=glue.CfnTable.SerdeInfoProperty(serialization_library=_SERDE, parameters=_SERDE_PARAMETERS),
        ),
    )


def _check_name(prop: str, name: str | None) -> None:
    if name is not None and not _NAME.fullmatch(name):
        raise ValueError(
            f"{prop}: got {quote(name)}, expected 1 to 255 lower-case letters, digits and underscores, the "
            "first one a letter"
        )


def _lower(name: str) -> str:
    text = re.sub("[^a-z0-9]+", "_", name.lower()).strip("_")[:255]
    return text if _NAME.fullmatch(text) else f"segments_{text}"[:255].rstrip("_")
