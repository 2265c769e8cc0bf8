"""The Glue table of a workflow's segments."""

from typing import Any

import aws_cdk as cdk
import aws_cdk.aws_iam as iam
import aws_cdk.aws_kms as kms
import aws_cdk.aws_s3 as s3
import pytest
from aws_cdk.assertions import Template
from cdk_personalize_segments import BatchSegmentWorkflow, SegmentsTable
from constructs import Construct
from support.constants import ACCOUNT, REGION
from support.templates import add_workflow, definition, policy_statements

GLUE = f"arn:aws:glue:{REGION}:{ACCOUNT}"
COLUMNS = [
    ("input", "struct<itemid:string,itemattributes:string,filtervalues:map<string,string>>"),
    ("itemattributes", "string"),
    ("output", "struct<userslist:array<string>,recommendedusers:array<string>>"),
    ("error", "string"),
]
INPUT_FORMAT = "org.apache.hadoop.mapred.TextInputFormat"
OUTPUT_FORMAT = "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat"
SERDE = {
    "SerializationLibrary": "org.openx.data.jsonserde.JsonSerDe",
    "Parameters": {"case.insensitive": "TRUE"},
}


@pytest.fixture
def workflow(stack: cdk.Stack) -> BatchSegmentWorkflow:
    return add_workflow(stack)


def only(stack: cdk.Stack, type_: str) -> dict[str, Any]:
    (found,) = Template.from_stack(stack).find_resources(type_).values()
    return dict(found["Properties"])


def test_describes_both_forms_of_segments(stack: cdk.Stack, workflow: BatchSegmentWorkflow) -> None:
    table = SegmentsTable(stack, "Table", workflow=workflow)
    assert (table.database_name, table.table_name) == ("demo_f959b00b", "weekly")
    assert only(stack, "AWS::Glue::Database") == {
        "CatalogId": ACCOUNT,
        "DatabaseInput": {"Name": "demo_f959b00b", "Description": "User segments of Amazon Personalize"},
    }
    output = stack.get_logical_id(workflow.storage.output_bucket.node.default_child)  # type: ignore[arg-type]
    assert only(stack, "AWS::Glue::Table") == {
        "CatalogId": ACCOUNT,
        "DatabaseName": {"Ref": "PersonalizeSegmentsDatabasedemof959b00b"},
        "TableInput": {
            "Name": "weekly",
            "Description": "User segments of Amazon Personalize. The run 'latest' holds the segments of the newest "
            "run.",
            "TableType": "EXTERNAL_TABLE",
            "Parameters": {"EXTERNAL": "TRUE", "classification": "json"},
            "PartitionKeys": [{"Name": "audience", "Type": "string"}, {"Name": "run", "Type": "string"}],
            "StorageDescriptor": {
                "Columns": [{"Name": name, "Type": type_} for name, type_ in COLUMNS],
                "Location": {"Fn::Join": ["", ["s3://", {"Ref": output}, "/segments/"]]},
                "InputFormat": INPUT_FORMAT,
                "OutputFormat": OUTPUT_FORMAT,
                "SerdeInfo": SERDE,
            },
        },
    }


def test_has_the_workflow_register_its_segments(stack: cdk.Stack, workflow: BatchSegmentWorkflow) -> None:
    SegmentsTable(stack, "Table", workflow=workflow)
    states = definition(stack)["States"]["Audiences"]["ItemProcessor"]["States"]
    assert states["Describe"]["Parameters"]["Payload"]["Settings"]["Table"] == {
        "Database": "demo_f959b00b",
        "Table": "weekly",
        "StorageDescriptor": {
            "Columns": [{"Name": name, "Type": type_} for name, type_ in COLUMNS],
            "InputFormat": INPUT_FORMAT,
            "OutputFormat": OUTPUT_FORMAT,
            "SerdeInfo": SERDE,
        },
    }
    (statement,) = (one for one in policy_statements(stack, "DescribePolicy") if "glue" in str(one["Action"]))
    glue = GLUE.replace("arn:aws:", "arn:<AWS::Partition>:")
    assert statement == {
        "Effect": "Allow",
        "Action": ["glue:CreatePartition", "glue:GetPartition", "glue:UpdatePartition"],
        "Resource": [f"{glue}:catalog", f"{glue}:database/demo_f959b00b", f"{glue}:table/demo_f959b00b/weekly"],
    }


def test_has_the_location_of_the_workflows_own_output_prefix(stack: cdk.Stack) -> None:
    SegmentsTable(stack, "Table", workflow=add_workflow(stack, output_prefix="weekly/"))
    location = only(stack, "AWS::Glue::Table")["TableInput"]["StorageDescriptor"]["Location"]
    assert location["Fn::Join"][1][-1] == "/weekly/"


def test_tables_of_a_stack_share_a_database(stack: cdk.Stack, workflow: BatchSegmentWorkflow) -> None:
    first = SegmentsTable(stack, "First", workflow=workflow)
    second = SegmentsTable(stack, "Second", workflow=add_workflow(stack, "Daily-2"))
    third = SegmentsTable(
        stack, "Third", workflow=add_workflow(stack, "3"), database_name="marketing", table_name="weekly"
    )
    assert [(one.database_name, one.table_name) for one in (first, second, third)] == [
        ("demo_f959b00b", "weekly"),
        ("demo_f959b00b", "daily_2"),
        ("marketing", "weekly"),
    ]
    template = Template.from_stack(stack)
    template.resource_count_is("AWS::Glue::Database", 2)
    template.resource_count_is("AWS::Glue::Table", 3)


def test_a_table_in_another_stack_depends_on_the_workflow(
    app: cdk.App, stack: cdk.Stack, workflow: BatchSegmentWorkflow
) -> None:
    other = cdk.Stack(app, "Other", env=cdk.Environment(account=ACCOUNT, region=REGION))
    SegmentsTable(other, "Table", workflow=workflow)
    app.synth()
    assert other.dependencies == [stack]
    assert stack.dependencies == []


def test_names_that_start_with_a_digit_get_a_prefix(stack: cdk.Stack) -> None:
    assert SegmentsTable(stack, "Table", workflow=add_workflow(stack, "7-days")).table_name == "segments_7_days"


NAME = "expected 1 to 255 lowercase letters, digits and underscores, the first one a letter"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"database_name": "Marketing"}, f"database_name: got 'Marketing', {NAME}"),
        ({"database_name": "7"}, f"database_name: got '7', {NAME}"),
        ({"table_name": "user-segments"}, f"table_name: got 'user-segments', {NAME}"),
        ({"table_name": ""}, f"table_name: got '', {NAME}"),
        ({"table_name": "a.b"}, f"table_name: got 'a.b', {NAME}"),
    ],
)
def test_rejects_bad_names(
    stack: cdk.Stack, workflow: BatchSegmentWorkflow, options: dict[str, str], message: str
) -> None:
    with pytest.raises(ValueError) as refused:  # noqa: PT011
        SegmentsTable(stack, "Table", workflow=workflow, **options)
    assert str(refused.value) == message


def test_rejects_a_second_table_of_a_workflow(stack: cdk.Stack, workflow: BatchSegmentWorkflow) -> None:
    SegmentsTable(stack, "Table", workflow=workflow)
    with pytest.raises(ValueError, match="workflow") as refused:
        SegmentsTable(stack, "Other", workflow=workflow)
    assert str(refused.value) == (
        "workflow: got Demo/Weekly, which already has a SegmentsTable, expected a different workflow for each table"
    )


def test_rejects_a_second_table_of_a_name(stack: cdk.Stack, workflow: BatchSegmentWorkflow) -> None:
    SegmentsTable(stack, "Table", workflow=workflow)
    with pytest.raises(ValueError, match="table_name") as refused:
        SegmentsTable(stack, "Other", workflow=add_workflow(Construct(stack, "Team"), "Weekly"))
    assert str(refused.value) == (
        "table_name: got 'weekly', which another SegmentsTable of the database 'demo_f959b00b' has, expected a "
        "different one for each table"
    )


# -- the grant


def allowed(stack: cdk.Stack) -> list[tuple[list[str], Any]]:
    """Returns the actions and resources of the analyst's policy."""
    policies = Template.from_stack(stack).find_resources("AWS::IAM::Policy")
    (policy,) = (one for name, one in policies.items() if name.startswith("Analyst"))
    return [
        ([actions] if isinstance(actions := statement["Action"], str) else actions, written(statement["Resource"]))
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]
    ]


def written(value: Any) -> Any:
    """Returns a resource with a literal partition."""
    match value:
        case {"Fn::Join": ["", ["arn:", {"Ref": "AWS::Partition"}, rest]]}:
            return f"arn:aws{rest}"
        case list():
            return [written(one) for one in value]
    return value


@pytest.fixture
def analyst(stack: cdk.Stack) -> iam.Role:
    return iam.Role(stack, "Analyst", assumed_by=iam.AccountRootPrincipal())


def test_grants_the_queries_the_table_and_the_segments(
    stack: cdk.Stack, workflow: BatchSegmentWorkflow, analyst: iam.Role
) -> None:
    SegmentsTable(stack, "Table", workflow=workflow).grant_query(analyst)
    listing, reading, *rest = allowed(stack)
    # The grant of the workflow itself.
    assert (listing[0], reading[0]) == (["s3:ListBucket"], ["s3:GetObject"])
    assert rest == [
        (
            [
                "athena:StartQueryExecution",
                "athena:StopQueryExecution",
                "athena:GetQueryExecution",
                "athena:GetQueryResults",
            ],
            f"arn:aws:athena:{REGION}:{ACCOUNT}:workgroup/primary",
        ),
        (["glue:GetDatabase"], [f"{GLUE}:catalog", f"{GLUE}:database/default"]),
        (
            ["glue:GetDatabase", "glue:GetTable", "glue:GetPartition", "glue:GetPartitions", "glue:BatchGetPartition"],
            [f"{GLUE}:catalog", f"{GLUE}:database/demo_f959b00b", f"{GLUE}:table/demo_f959b00b/weekly"],
        ),
    ]


def test_grants_the_bucket_of_query_results(
    stack: cdk.Stack, workflow: BatchSegmentWorkflow, analyst: iam.Role
) -> None:
    key = kms.Key.from_key_arn(stack, "Key", f"arn:aws:kms:{REGION}:{ACCOUNT}:key/01234567-89ab-cdef-0123-456789abcdef")
    results = s3.Bucket(stack, "Results", encryption_key=key)
    SegmentsTable(stack, "Table", workflow=workflow).grant_query(
        analyst, work_group="marketing", results_bucket=results, results_prefix="team/"
    )
    found = allowed(stack)
    arn = {"Fn::GetAtt": [stack.get_logical_id(results.node.default_child), "Arn"]}  # type: ignore[arg-type]
    assert found[2] == (["kms:GenerateDataKey", "kms:Decrypt"], key.key_arn)
    assert found[3][1] == f"arn:aws:athena:{REGION}:{ACCOUNT}:workgroup/marketing"
    assert found[6:] == [
        (["s3:GetBucketLocation", "s3:ListBucket", "s3:ListBucketMultipartUploads"], arn),
        (
            ["s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"],
            {"Fn::Join": ["", [arn, "/team/*"]]},
        ),
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"results_prefix": "team/"}, "results_prefix: got 'team/' without results_bucket, expected both"),
        (
            {"results_prefix": "team"},
            "results_prefix: got 'team', expected a prefix that ends in '/': without the '/', 'team_test/' "
            "would match as "
            "well",
        ),
        (
            {"work_group": "*"},
            "work_group: got '*', expected a value without '*', '?' and '${', which are wildcards and variables in "
            "IAM policies",
        ),
    ],
)
def test_rejects_a_bad_grant(
    stack: cdk.Stack, workflow: BatchSegmentWorkflow, analyst: iam.Role, options: dict[str, str], message: str
) -> None:
    table = SegmentsTable(stack, "Table", workflow=workflow)
    with pytest.raises(ValueError) as refused:  # noqa: PT011
        table.grant_query(analyst, **options)  # type: ignore[arg-type]
    assert str(refused.value) == message
