"""Glue and Athena in the local AWS: a table of segments, its partitions, queries, and their permissions."""

import json
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError
from personalize_local.gateway import LocalAws
from support.local import wait_until

SERDE = "org.openx.data.jsonserde.JsonSerDe"
COLUMNS = [
    {"Name": "input", "Type": "struct<itemattributes:string,itemid:string,filtervalues:map<string,string>>"},
    {"Name": "output", "Type": "struct<userslist:array<string>,recommendedusers:array<string>>"},
    {"Name": "error", "Type": "string"},
]


class TableFixture:
    """A table of segments with two audiences and two runs, and a user with permission to query it."""

    def __init__(self, client: Callable[..., Any], aws: LocalAws) -> None:
        self.name = f"t{uuid.uuid4().hex[:12]}"
        self.aws, self.client = aws, client
        self.bucket, self.glue, self.s3, self.iam = self.name, client("glue"), client("s3"), client("iam")
        self.s3.create_bucket(Bucket=self.bucket, CreateBucketConfiguration={"LocationConstraint": aws.region})
        self.glue.create_database(DatabaseInput={"Name": self.name})
        self.glue.create_table(DatabaseName=self.name, TableInput=self.table())
        self.write("comedy", "20261123T030000Z", "j1", [["u1", "u2"]])
        self.write("comedy", "20261130T030000Z", "j2", [["u2", "u3"], None])
        self.write("drama", "20261130T030000Z", "j3", [["u3", "u4"]])
        for run, job in (("20261123T030000Z", "j1"), ("20261130T030000Z", "j2"), ("latest", "j2")):
            self.add("comedy", run, f"audience=comedy/run={run.replace('latest', '20261130T030000Z')}/{job}")
        self.add("drama", "latest", "audience=drama/run=20261130T030000Z/j3")

    def storage(self, path: str = "") -> dict[str, Any]:
        return {
            "Columns": COLUMNS,
            "Location": f"s3://{self.bucket}/segments/{path}",
            "InputFormat": "org.apache.hadoop.mapred.TextInputFormat",
            "OutputFormat": "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat",
            "SerdeInfo": {"SerializationLibrary": SERDE},
        }

    def table(self) -> dict[str, Any]:
        keys = [{"Name": "audience", "Type": "string"}, {"Name": "run", "Type": "string"}]
        return {
            "Name": "segments",
            "TableType": "EXTERNAL_TABLE",
            "PartitionKeys": keys,
            "StorageDescriptor": self.storage(),
        }

    def write(self, audience: str, run: str, job: str, segments: list[list[str] | None]) -> None:
        records = [
            {
                "input": {"itemAttributes": 'ITEMS.GENRES = "Comedy"', "filterValues": {"COUNTRY": "Japan"}},
                "output": None if users is None else {"usersList": users},
                "error": "no users" if users is None else None,
            }
            for users in segments
        ]
        body = "".join(f"{json.dumps(record)}\n" for record in records).encode()
        folder = f"segments/audience={audience}/run={run}/{job}"
        self.s3.put_object(Bucket=self.bucket, Key=f"{folder}/queries.jsonl.out", Body=body)
        self.s3.put_object(Bucket=self.bucket, Key=f"{folder}/_CHECK", Body=b"")

    def partition(self, audience: str, run: str, path: str) -> dict[str, Any]:
        return {"Values": [audience, run], "StorageDescriptor": self.storage(path)}

    def add(self, audience: str, run: str, path: str) -> None:
        self.glue.create_partition(
            DatabaseName=self.name, TableName="segments", PartitionInput=self.partition(audience, run, path)
        )

    def statements(self) -> dict[str, dict[str, Any]]:
        prefix = f"arn:aws:glue:{self.aws.region}:{self.aws.account}"
        objects = f"arn:aws:s3:::{self.bucket}"
        catalog = [f"{prefix}:catalog", f"{prefix}:database/{self.name}", f"{prefix}:table/{self.name}/segments"]
        given = {
            "athena": (["athena:StartQueryExecution", "athena:GetQueryExecution", "athena:GetQueryResults"], ["*"]),
            "glue:GetTable": (["glue:GetTable"], catalog),
            "glue:GetPartitions": (["glue:GetPartitions"], catalog),
            "s3:ListBucket": (["s3:ListBucket"], [objects]),
            "s3:GetObject": (["s3:GetObject"], [f"{objects}/segments/*"]),
            "results": (["s3:PutObject", "s3:GetObject"], [f"{objects}/results/*"]),
        }
        return {
            name: {"Effect": "Allow", "Action": actions, "Resource": resources}
            for name, (actions, resources) in given.items()
        }

    def user(self, statements: list[dict[str, Any]], service: str = "athena") -> Any:
        name = f"user-{uuid.uuid4().hex[:12]}"
        self.iam.create_user(UserName=name)
        policy = json.dumps({"Version": "2012-10-17", "Statement": statements})
        self.iam.put_user_policy(UserName=name, PolicyName="own", PolicyDocument=policy)
        key = self.iam.create_access_key(UserName=name)["AccessKey"]
        return self.client(service, aws_access_key_id=key["AccessKeyId"], aws_secret_access_key=key["SecretAccessKey"])

    def query(self, sql: str, athena: Any = None) -> list[list[str | None]]:
        """Runs a query and returns its rows. Raises an AssertionError with the reason if it fails."""
        athena = athena or self.client("athena")
        started = athena.start_query_execution(
            QueryString=sql,
            QueryExecutionContext={"Database": self.name},
            ResultConfiguration={"OutputLocation": f"s3://{self.bucket}/results/"},
        )["QueryExecutionId"]
        status: dict[str, Any] = {}

        def has_ended() -> bool:
            status.update(athena.get_query_execution(QueryExecutionId=started)["QueryExecution"]["Status"])
            return status["State"] not in ("QUEUED", "RUNNING")

        wait_until(has_ended, interval=0.02)
        assert status["State"] == "SUCCEEDED", status.get("StateChangeReason")
        rows = athena.get_query_results(QueryExecutionId=started)["ResultSet"]["Rows"][1:]
        return [[cell.get("VarCharValue") for cell in row["Data"]] for row in rows]


@pytest.fixture(scope="module")
def table(client: Callable[..., Any], local_aws: LocalAws) -> TableFixture:
    return TableFixture(client, local_aws)


USERS = "FROM segments CROSS JOIN UNNEST(output.userslist) AS t(user_id)"


def test_lists_the_users_of_an_audience(table: TableFixture) -> None:
    sql = f"SELECT user_id {USERS} WHERE audience = 'comedy' AND run = 'latest' ORDER BY 1"
    assert table.query(sql) == [["u2"], ["u3"]]


def test_a_query_can_start_with_comments(table: TableFixture) -> None:
    sql = f"-- Counts: users FROM nowhere.\n/* of\none audience */ SELECT count(*) {USERS} WHERE audience = 'drama'"
    assert table.query(sql) == [["2"]]
    with pytest.raises(AssertionError, match="CREATE is not part of the local AWS"):
        table.query("-- SELECT\nCREATE VIEW v AS SELECT 1")


def test_finds_the_overlap_and_new_users(table: TableFixture) -> None:
    def users(audience: str, run: str) -> str:
        return f"SELECT user_id {USERS} WHERE audience = '{audience}' AND run = '{run}'"

    assert table.query(f"{users('comedy', 'latest')} INTERSECT {users('drama', 'latest')}") == [["u3"]]
    assert table.query(f"{users('comedy', 'latest')} EXCEPT {users('comedy', '20261123T030000Z')}") == [["u3"]]


def test_groups_by_partition_and_reads_members(table: TableFixture) -> None:
    counted = table.query(f"SELECT audience, run, count(*) {USERS} GROUP BY 1, 2 ORDER BY 1, 2")
    assert counted == [
        ["comedy", "20261123T030000Z", "2"],
        ["comedy", "20261130T030000Z", "2"],
        ["comedy", "latest", "2"],
        ["drama", "latest", "2"],
    ]
    sql = "SELECT input.itemattributes, error FROM segments WHERE run = 'latest' AND error IS NOT NULL"
    assert table.query(sql) == [['ITEMS.GENRES = "Comedy"', "no users"]]
    assert table.query(f"SELECT count(*) FROM {table.name}.segments s WHERE s.run = 'latest'") == [["3"]]


def test_moves_latest_to_another_run(table: TableFixture) -> None:
    partition = table.partition("drama", "latest", "audience=comedy/run=20261123T030000Z/j1")
    key = {"DatabaseName": table.name, "TableName": "segments"}
    sql = f"SELECT user_id {USERS} WHERE audience = 'drama' AND run = 'latest' ORDER BY 1"
    original = table.partition("drama", "latest", "audience=drama/run=20261130T030000Z/j3")
    try:
        table.glue.update_partition(**key, PartitionValueList=["drama", "latest"], PartitionInput=partition)
        assert table.query(sql) == [["u1"], ["u2"]]
    finally:
        table.glue.update_partition(**key, PartitionValueList=["drama", "latest"], PartitionInput=original)
    assert table.query(sql) == [["u3"], ["u4"]]


def test_an_empty_table_has_its_columns(table: TableFixture) -> None:
    table.glue.create_table(DatabaseName=table.name, TableInput={**table.table(), "Name": "empty"})
    assert table.query("SELECT user_id FROM empty CROSS JOIN UNNEST(output.userslist) AS t(user_id)") == []


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("SELECT * FROM nothing", "TABLE_NOT_FOUND: Table 'awsdatacatalog."),
        ("CREATE VIEW v AS SELECT 1", "CREATE is not part of the local AWS"),
        ("SELECT nonsense FROM segments", "nonsense"),
    ],
)
def test_reports_why_a_query_fails(table: TableFixture, sql: str, reason: str) -> None:
    with pytest.raises(AssertionError, match=reason):
        table.query(sql)


def test_queries_with_exactly_the_permissions(table: TableFixture) -> None:
    allowed = table.user(list(table.statements().values()))
    assert table.query(f"SELECT count(*) {USERS} WHERE run = 'latest'", allowed) == [["4"]]


@pytest.mark.parametrize("missing", ["glue:GetTable", "glue:GetPartitions", "s3:ListBucket", "s3:GetObject", "results"])
def test_a_query_needs_each_permission(table: TableFixture, missing: str) -> None:
    statements = table.statements()
    del statements[missing]
    action = {"results": "s3:PutObject"}.get(missing, missing)
    with pytest.raises(AssertionError, match=rf"is not authorized to perform: {action} on resource"):
        table.query("SELECT count(*) FROM segments", table.user(list(statements.values())))


def test_partitions_require_permissions_on_three_resources(table: TableFixture) -> None:
    prefix = f"arn:aws:glue:{table.aws.region}:{table.aws.account}"
    resources = [f"{prefix}:catalog", f"{prefix}:database/{table.name}", f"{prefix}:table/{table.name}/segments"]
    for number in range(4):
        granted = [resource for index, resource in enumerate(resources) if index != number]
        statement = {"Effect": "Allow", "Action": ["glue:CreatePartition", "glue:UpdatePartition"], "Resource": granted}
        glue = table.user([statement], "glue")
        key = {"DatabaseName": table.name, "TableName": "segments"}
        partition = table.partition("thriller", f"r{number}", "audience=drama")
        if number < 3:
            with pytest.raises(ClientError, match="AccessDeniedException"):
                glue.create_partition(**key, PartitionInput=partition)
            continue
        glue.create_partition(**key, PartitionInput=partition)
        with pytest.raises(ClientError, match="AlreadyExistsException"):
            glue.create_partition(**key, PartitionInput=partition)
        glue.update_partition(**key, PartitionValueList=partition["Values"], PartitionInput=partition)
        table.glue.delete_partition(**key, PartitionValues=partition["Values"])


def test_partitions_fit_their_table(table: TableFixture) -> None:
    partition = {"Values": ["one"], "StorageDescriptor": table.storage()}
    key = {"DatabaseName": table.name, "TableName": "segments"}
    with pytest.raises(ClientError, match="number of partition keys do not match"):
        table.glue.create_partition(**key, PartitionInput=partition)
    with pytest.raises(ClientError, match="EntityNotFoundException"):
        table.glue.create_partition(DatabaseName=table.name, TableName="none", PartitionInput=partition)
    with pytest.raises(ClientError, match="EntityNotFoundException"):
        table.glue.update_partition(
            **key, PartitionValueList=["x", "y"], PartitionInput=table.partition("x", "y", "nowhere")
        )


def test_a_stack_creates_a_database_and_a_table(table: TableFixture) -> None:
    name = f"{table.name}s"
    resources = {
        "Database": {
            "Type": "AWS::Glue::Database",
            "Properties": {"CatalogId": {"Ref": "AWS::AccountId"}, "DatabaseInput": {"Name": name}},
        },
        "Table": {
            "Type": "AWS::Glue::Table",
            "Properties": {
                "CatalogId": {"Ref": "AWS::AccountId"},
                "DatabaseName": {"Ref": "Database"},
                "TableInput": table.table(),
            },
        },
    }
    cloudformation = table.client("cloudformation")

    def status() -> str:
        return str(cloudformation.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"])

    cloudformation.create_stack(StackName=name, TemplateBody=json.dumps({"Resources": resources}))
    wait_until(lambda: status() == "CREATE_COMPLETE", interval=0.1)
    created = table.glue.get_table(DatabaseName=name, Name="segments")["Table"]
    assert created["StorageDescriptor"]["SerdeInfo"]["SerializationLibrary"] == SERDE
    changed = json.loads(json.dumps(resources))
    changed["Table"]["Properties"]["TableInput"]["Description"] = "changed"
    cloudformation.update_stack(StackName=name, TemplateBody=json.dumps({"Resources": changed}))
    wait_until(lambda: status() == "UPDATE_COMPLETE", interval=0.1)
    assert table.glue.get_table(DatabaseName=name, Name="segments")["Table"]["Description"] == "changed"
