"""The local AWS with the user's own data: jobs with seeded ARNs, and resources that a stack creates."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from personalize_local.environment import Connection, program_environment, shell_commands
from personalize_local.errors import ServiceError, UsageError
from personalize_local.own_data.engine import OwnData
from personalize_local.own_data.samples import RETAIL, write_sample
from personalize_local.own_data.stand_in import OwnDataStandIn
from personalize_local.seeds import SEEDS
from unit.local.own_data_folder import schema as avro
from unit.local.own_data_folder import write_folder

TESTS = Path(__file__).parents[2]
ARN = "arn:aws:personalize:eu-west-1:123456789012"


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("retail")
    write_sample(folder, RETAIL)
    # A process can have only one local AWS, and the other tests use it with the sample films.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")])}
    ran = subprocess.run(
        [sys.executable, "-m", "unit.local.own_data_program", str(folder)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ran.returncode == 0, ran.stderr
    with (folder / "users.csv").open(newline="") as file:
        users = {row["USER_ID"]: row for row in csv.DictReader(file)}
    return {**json.loads(ran.stdout.splitlines()[-1]), "users": users}


def test_runs_jobs_with_the_seeded_arns(answers: dict[str, Any]) -> None:
    status, (first, missing, attributes, nonsense, second) = answers["item"]
    assert status == "ACTIVE"
    for record, item in ((first, "1"), (second, "2")):
        users = record["output"]["usersList"]
        assert record == {"input": {"itemId": item}, "output": {"usersList": users}, "error": None}
        assert len(users) == 5
        assert all(int(answers["users"][user]["AGE"]) >= 40 for user in users)
    assert missing == {"input": {"itemId": "none"}, "output": None, "error": "the item none is not in the data"}
    assert attributes == {"input": {"itemAttributes": "x"}, "output": None, "error": "the line has no itemId"}
    assert nonsense == {"input": {"line": "nonsense"}, "output": None, "error": "the line is not JSON"}


def test_runs_jobs_with_a_solution_and_a_filter_of_the_stack(answers: dict[str, Any]) -> None:
    status, (record,) = answers["attributes"]
    assert status == "ACTIVE"
    assert record["error"] is None
    assert len(record["output"]["usersList"]) == 5
    assert {answers["users"][user]["MEMBERSHIP_STATUS"] for user in record["output"]["usersList"]} == {"gold"}


def test_describes_resources_of_the_stack(answers: dict[str, Any]) -> None:
    group = f"{ARN}:dataset-group/shop"
    assert answers["solution"]["datasetGroupArn"] == answers["filter"]["datasetGroupArn"] == group
    assert answers["solution"]["solutionArn"] == f"{ARN}:solution/shop-attributes"
    assert answers["filter"]["status"] == "ACTIVE"
    assert answers["dataset"] == {
        "name": "shop-Items",
        "datasetArn": f"{ARN}:dataset/shop/ITEMS",
        "datasetGroupArn": group,
        "datasetType": "ITEMS",
        "schemaArn": f"{ARN}:schema/shop-Items",
        "status": "ACTIVE",
    }


def test_fails_a_stack_whose_schema_has_other_columns(answers: dict[str, Any]) -> None:
    expected = (
        "items.csv and the schema shop-Items differ in the columns CATEGORY_L1, CATEGORY_L2, GENDER, GENRES, PRICE"
    )
    assert len(answers["reasons"]) >= 1
    assert expected in answers["reasons"][0]


def test_seeds_the_variables_of_the_films(answers: dict[str, Any]) -> None:
    assert answers["seeds"] == {
        "PERSONALIZE_LOCAL_ITEM_AFFINITY_VERSION_ARN": f"{ARN}:solution/own-item-affinity/0002",
        "PERSONALIZE_LOCAL_ITEM_AFFINITY_SOLUTION_ARN": f"{ARN}:solution/own-item-affinity",
        "PERSONALIZE_LOCAL_ITEM_ATTRIBUTE_AFFINITY_VERSION_ARN": f"{ARN}:solution/own-item-attribute-affinity/0002",
        "PERSONALIZE_LOCAL_ITEM_ATTRIBUTE_AFFINITY_SOLUTION_ARN": f"{ARN}:solution/own-item-attribute-affinity",
        "PERSONALIZE_LOCAL_VERSION_IN_PROGRESS_ARN": f"{ARN}:solution/own-item-affinity/0003",
        "PERSONALIZE_LOCAL_USER_PERSONALIZATION_VERSION_ARN": f"{ARN}:solution/own-user-personalization/0001",
        "PERSONALIZE_LOCAL_FILTER_ARN": f"{ARN}:filter/own",
    }


class Catalog:
    """The attributes of the catalog that stacks change."""

    def __init__(self) -> None:
        self.versions: list[Any] = []
        self.filters: list[Any] = []
        self.groups: dict[str, str] = {}


def test_refuses_invalid_requests_as_the_service_does(tmp_path: Path) -> None:
    from personalize_local.own_data.stack_resources import StackResources

    with OwnData.load(write_folder(tmp_path / "data", {"users.csv": None})) as data:
        resources = StackResources(data, Catalog())  # type: ignore[arg-type]
        group = f"{ARN}:dataset-group/g"
        resources.create_group(group, {"Name": "g"})

        def refused(create: Any, **properties: Any) -> str:
            with pytest.raises(ServiceError) as raised:
                create(f"{ARN}:x/{properties['Name']}", {"DatasetGroupArn": group, **properties})
            return str(raised.value)

        def schema(name: str, text: str) -> None:
            resources.create_schema(f"{ARN}:schema/{name}", {"Name": name, "Schema": text})

        with pytest.raises(ServiceError, match=f"^ResourceAlreadyExistsException: Another resource with Arn {group}"):
            resources.create_group(group, {"Name": "g"})
        assert refused(resources.create_schema, Name="s", Schema="[") == (
            "InvalidInputException: the schema s is not a JSON object"
        )
        assert refused(resources.create_schema, Name="s", Schema='{"name": "Actions"}') == (
            "InvalidInputException: the schema s: name: got 'Actions', expected one of Interactions, Items, Users"
        )
        assert refused(resources.create_schema, Name="s", Schema='{"name": "Items"}').startswith(
            'InvalidInputException: schema s: expected an Avro schema with "type": "record"; see the example'
        )
        schema("users", avro("Users", USER_ID="string", AGE="int"))
        dataset = {"Name": "d", "SchemaArn": f"{ARN}:schema/users"}
        assert refused(resources.create_dataset, **dataset, DatasetType="Users") == (
            "InvalidInputException: the data has no users.csv"
        )
        assert refused(resources.create_dataset, **dataset, DatasetType="Items") == (
            "InvalidInputException: the dataset has the type Items, and its schema is Users"
        )
        assert refused(resources.create_dataset, Name="d", SchemaArn=f"{ARN}:schema/no", DatasetType="Items") == (
            f"ResourceNotFoundException: Schema {ARN}:schema/no does not exist."
        )
        recipe = "arn:aws:personalize:::recipe/"
        assert refused(resources.create_solution, Name="s", RecipeArn=f"{recipe}aws-item-affinity") == (
            "InvalidInputException: the dataset group g has no dataset of the type Interactions"
        )
        assert refused(resources.create_solution, Name="s", RecipeArn=f"{recipe}aws-sims") == (
            "InvalidInputException: the recipe of s is not part of the local Personalize, which supports "
            "aws-item-affinity, aws-item-attribute-affinity, aws-user-personalization"
        )
        assert refused(resources.create_filter, Name="f", FilterExpression="INCLUDE UserID WHERE Users.AGE > 1") == (
            "InvalidInputException: the filter f: column 22: the data has no users.csv: add it or use "
            "Interactions.EVENT_TYPE"
        )


def test_refuses_a_filter_of_the_command_line(tmp_path: Path) -> None:
    from personalize_local import cli

    folder = write_folder(tmp_path / "data")
    assert cli.main(["run", "--data", str(folder), "--filter", "INCLUDE UserID WHERE Users.AG > 1", "true"]) == 2
    assert cli.main(["run", "--filter", "x", "true"]) == 2
    assert cli.main(["serve", "--data", str(tmp_path / "none")]) == 2
    with OwnData.load(folder) as data:
        assert OwnDataStandIn(data).filters == []


def test_the_commands_of_serve_have_the_seeds_that_exist(tmp_path: Path) -> None:
    connection = Connection("http://127.0.0.1:1", "123456789012", "eu-west-1", "key", "secret", tmp_path)
    with OwnData.load(write_folder(tmp_path / "data")) as data:
        of_films = dict.fromkeys(SEEDS, "of the sample films")
        environment = program_environment(connection, of_films, "/bin", OwnDataStandIn(data).seeds)
    assert "of the sample films" not in environment.values()
    unset, *exports = shell_commands(environment, [])
    filters = {name for name in SEEDS if "FILTER" in name}
    assert filters <= set(unset.split())
    exported = {line.partition("=")[0].removeprefix("export ") for line in exports}
    assert exported & SEEDS.keys() == SEEDS.keys() - filters


def test_imports_no_engine_without_data() -> None:
    # MiniStack imports DuckDB itself for its Athena.
    program = (
        "import sys; from personalize_local import cli; from personalize_local.gateway import LocalAws\n"
        "cli.build_parser()\n"
        "print('duckdb' in sys.modules)\n"
        "with LocalAws() as aws: pass\n"
        "print('lark' in sys.modules)\n"
        "print([name for name in sys.modules if name.startswith('personalize_local.own_data')])"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert ran.stdout.splitlines() == ["False", "False", "[]"], ran.stderr


def test_names_the_missing_package_and_its_installation(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from personalize_local import data_options

    for name in [name for name in sys.modules if name.startswith("personalize_local.own_data")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "duckdb", None)
    with pytest.raises(UsageError, match=r"^--data: duckdb is missing; install it: pip install 'cdk-personalize-seg"):
        data_options.load_data(write_folder(tmp_path / "data"))
