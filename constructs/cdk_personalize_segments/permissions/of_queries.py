"""The statements of the app's own principals that query a table of segments with Athena.

Sources:
    ATHENA: https://docs.aws.amazon.com/athena/latest/ug/example-policies-workgroup.html
    GLUE: https://docs.aws.amazon.com/athena/latest/ug/fine-grained-access-to-glue-resources.html
    RESULTS: https://docs.aws.amazon.com/aws-managed-policy/latest/reference/AmazonAthenaFullAccess.html, its statement
        for query results without CreateBucket.
"""

from ..buckets import BucketInfo
from ..naming import StackFacts
from .of_readers import GrantOptions


def run_queries(facts: StackFacts, work_group: str) -> GrantOptions:
    """The grant to run queries in a workgroup, to stop them, and to read their results (ATHENA)."""
    return {
        "actions": [
            "athena:StartQueryExecution",
            "athena:StopQueryExecution",
            "athena:GetQueryExecution",
            "athena:GetQueryResults",
        ],
        "resource_arns": [f"arn:{facts.partition}:athena:{facts.region}:{facts.account}:workgroup/{work_group}"],
    }


def read_default_database(facts: StackFacts) -> GrantOptions:
    """The grant that Athena needs whichever database a query names (GLUE)."""
    glue = f"arn:{facts.partition}:glue:{facts.region}:{facts.account}"
    return {"actions": ["glue:GetDatabase"], "resource_arns": [f"{glue}:catalog", f"{glue}:database/default"]}


def read_table(facts: StackFacts, database_name: str, table_name: str) -> GrantOptions:
    """The grant to read a table and its partitions, for which Glue asks on the table and on what it is in (GLUE)."""
    glue = f"arn:{facts.partition}:glue:{facts.region}:{facts.account}"
    return {
        "actions": [
            "glue:GetDatabase",
            "glue:GetTable",
            "glue:GetPartition",
            "glue:GetPartitions",
            "glue:BatchGetPartition",
        ],
        "resource_arns": [
            f"{glue}:catalog",
            f"{glue}:database/{database_name}",
            f"{glue}:table/{database_name}/{table_name}",
        ],
    }


def find_results(info: BucketInfo) -> GrantOptions:
    """The grant to find the bucket of query results (RESULTS)."""
    actions = ["s3:GetBucketLocation", "s3:ListBucket", "s3:ListBucketMultipartUploads"]
    return {"actions": actions, "resource_arns": [info.arn]}


def write_results(info: BucketInfo, prefix: str) -> GrantOptions:
    """The grant to write query results and to read them (RESULTS)."""
    return {
        "actions": ["s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"],
        "resource_arns": [f"{info.arn}/{prefix}*"],
    }
