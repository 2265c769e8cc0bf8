"""The content of the wheel, and apps that use it."""

import importlib.metadata
import json
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import boto3
import pytest
from packaging.requirements import Requirement
from personalize_local.gateway import LocalAws
from support.cdk_cli import Cdk
from support.local import seeded_arn
from support.templates import resource_names

ROOT = Path(__file__).parents[2]
APP = """\
import aws_cdk as cdk
import batch_segment_handler, cdk_personalize_segments
from cdk_personalize_segments import BatchSegmentInput, BatchSegmentJob, SegmentQuery

app = cdk.App()
stack = cdk.Stack(app, "Mine")
job = BatchSegmentJob(
    stack,
    "ComedyFans",
    solution_version_arn=cdk.Fn.import_value("version"),
    job_input=BatchSegmentInput.from_queries([SegmentQuery.where(GENRES="Comedy")]),
)
print(cdk_personalize_segments.__file__, batch_segment_handler.__file__, sep="\\n")
app.synth()
"""


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    pip(*["wheel", "--no-deps", "--no-build-isolation", "--wheel-dir"], str(folder), str(ROOT))
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="session")
def clean(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of packages with only the wheel and its requirements."""
    folder = tmp_path_factory.mktemp("clean")
    pip(*["install", "--no-deps", "--target"], str(folder), str(wheel))
    expected = requirements_of("cdk-personalize-segments")
    seen: set[str] = set()
    while expected - seen:
        name = (expected - seen).pop()
        seen.add(name)
        expected |= requirements_of(name)
        distribution = importlib.metadata.distribution(name)
        # A script's path starts with "..".
        for top in {file.parts[0] for file in distribution.files or []} - {".."}:
            if not (folder / top).exists():
                (folder / top).symlink_to(Path(str(distribution.locate_file(top))))
    return folder


def requirements_of(name: str) -> set[str]:
    """Returns the requirements of a distribution without its extras."""
    requirements = [Requirement(one) for one in importlib.metadata.distribution(name).requires or []]
    return {one.name for one in requirements if one.marker is None or one.marker.evaluate({"extra": ""})}


def pip(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "pip", "--quiet", *arguments], check=True, stdin=subprocess.DEVNULL)


def test_the_wheel_has_exactly_the_three_packages(wheel: Path) -> None:
    files = zipfile.ZipFile(wheel).namelist()
    packages = {"cdk_personalize_segments", "batch_segment_handler", "personalize_local", "personalize_segments_reader"}
    info = f"{wheel.name.split('-')[0]}-{importlib.metadata.version('cdk-personalize-segments')}.dist-info"
    assert {name.split("/")[0] for name in files} == packages | {info}
    assert "constructs/__init__.py" not in files
    for package, folder in zip(sorted(packages), ("lambda", "constructs", "local", "lambda"), strict=True):
        sources = {
            file.relative_to(ROOT / folder).as_posix()
            for file in (ROOT / folder / package).rglob("*")
            if file.is_file() and file.suffix != ".pyc"
        }
        assert {name for name in files if name.startswith(f"{package}/")} == sources


def test_the_source_distribution_builds_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "--target", "sdist", "--directory", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (source,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(source) as archive:
        files = {name.partition("/")[2] for name in archive.getnames()}
    for needed in (
        "README.md",
        "CHANGELOG.md",
        "Makefile",
        "requirements.txt",
        "package-lock.json",
        ".ci/run",
        "app.py",
    ):
        assert needed in files
    for folder in ("benchmarks", "constructs", "docs", "examples", "lambda", "local", "tests", "tools"):
        # Deployments and `make docs` generate files in these folders.
        sources = [file for file in (ROOT / folder).rglob("*.py") if not {"cdk.out", "_build"} & {*file.parts}]
        present = {file.relative_to(ROOT).as_posix() for file in sources}
        assert {name for name in files if name.startswith(f"{folder}/") and name.endswith(".py")} == present
    pip(*["wheel", "--no-deps", "--no-build-isolation", "--wheel-dir"], str(tmp_path), str(source))
    (built,) = tmp_path.glob("*.whl")
    assert contents(built) == contents(wheel)


def contents(wheel: Path) -> dict[str, int]:
    return {info.filename: info.CRC for info in zipfile.ZipFile(wheel).infolist()}


def test_the_package_description_has_no_relative_links(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    (metadata,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
    fields, _, description = archive.read(metadata).decode().partition("\n\n")
    assert "Description-Content-Type: text/markdown" in fields.splitlines()
    # The longest label: https://packaging.python.org/en/latest/specifications/well-known-project-urls/
    labels = re.findall(r"^Project-URL: (.*), https:", fields, re.M)
    assert [label for label in labels if not 0 < len(label) <= 32] == []
    assert labels != []
    readme = (ROOT / "README.md").read_text()
    assert re.findall(r"^#+ .*$", description, re.M) == re.findall(r"^#+ .*$", readme, re.M)
    assert re.findall(r"\]\((?!https:)[^)]*\)", readme) != []
    assert re.findall(r"\]\((?!https:)[^)]*\)", description) == []
    before_try = re.sub(r"```.*?```", "", description.partition("## Try it")[0], flags=re.S)
    assert "[" not in before_try


def test_a_clean_environment_has_only_required_packages(clean: Path) -> None:
    packages = {path.name for path in clean.iterdir()}
    assert packages >= {"aws_cdk", "constructs", "jsii"}
    assert packages >= {"cdk_personalize_segments", "batch_segment_handler", "personalize_segments_reader"}
    assert packages & {"boto3", "botocore", "ministack", "rich", "pytest"} == set()


def test_a_stack_synthesizes_from_the_wheel_with_the_handler(clean: Path, tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "app.py").write_text(APP)
    done = subprocess.run(
        # -S excludes the packages of this Python.
        [sys.executable, "-S", "app.py"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(clean), "CDK_OUTDIR": "out", "CDK_VALIDATION": "false"},
        check=True,
        capture_output=True,
        text=True,
    )
    assert all(Path(line).is_relative_to(clean) for line in done.stdout.splitlines()[:2]), done.stdout
    template = json.loads((folder / "out" / "Mine.template.json").read_text())
    (handler,) = resource_names(template, "AWS::Lambda::Function", "ProviderHandler")
    key = str(template["Resources"][handler]["Properties"]["Code"]["S3Key"]).removesuffix(".zip")
    asset = folder / "out" / f"asset.{key}"
    assert sorted(file.name for file in asset.iterdir()) == ["batch_segment_handler"]

    def files(folder: Path) -> set[Path]:
        return {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}

    package = ROOT / "lambda" / "batch_segment_handler"
    handlers_own = {path.relative_to(package) for path in package.rglob("*.py")}
    assert files(asset / "batch_segment_handler") == handlers_own

    # The asset needs only the standard library and boto3.
    site_packages = Path(boto3.__file__).parents[1]
    only = tmp_path / "only"
    only.mkdir()
    for name in ("boto3", "botocore", "s3transfer", "jmespath", "dateutil", "urllib3", "six.py"):
        (only / name).symlink_to(site_packages / name)
    program = (
        f"import sys; sys.path += [{str(asset)!r}, {str(only)!r}]; import batch_segment_handler.handler as handler"
    )
    subprocess.run([sys.executable, "-I", "-S", "-c", f"{program}; handler.on_event, handler.is_complete"], check=True)


def test_deploys_a_stack_from_the_wheel_in_another_folder(clean: Path, cdk: Callable[..., Cdk], aws: LocalAws) -> None:
    version = seeded_arn(aws, "ITEM_ATTRIBUTE_AFFINITY_VERSION")
    made = cdk(f"env PYTHONPATH={clean} {sys.executable} -S app.py", "Mine")
    deployable = APP.replace('cdk.Fn.import_value("version")', f'"{version}"').replace(
        "app.synth()", 'cdk.CfnOutput(stack, "Site", value=cdk_personalize_segments.__file__)\napp.synth()'
    )
    (made.folder / "app.py").write_text(deployable)
    outputs = made.deploy()
    assert Path(outputs["Site"]).is_relative_to(clean)
    assert len([arn for arn in aws.personalize.jobs if "/Mine-" in arn]) == 1
