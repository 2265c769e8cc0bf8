"""Checks the wheel and the source distribution in a folder; called by ``make release``. ``twine check`` runs first."""

import argparse
import email
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
# The packages in the wheel, and their folders.
PACKAGES = {
    "batch_segment_handler": "lambda",
    "cdk_personalize_segments": "constructs",
    "personalize_local": "local",
    "personalize_segments_reader": "lambda",
}
# Files that `make test` and `make check` need. They work in an unpacked source distribution too.
IN_SOURCE = (".ci/run", "CHANGELOG.md", "LICENSE", "Makefile", "README.md", "package-lock.json", "requirements.txt")


def check_wheel(wheel: Path, version: str) -> Iterator[str]:
    """Yields the faults of a wheel: extra or missing files, a wrong version, no README."""
    archive = zipfile.ZipFile(wheel)
    info = f"cdk_personalize_segments-{version}.dist-info"
    files = {name for name in archive.namelist() if not name.startswith(f"{info}/")}
    expected = {
        file.relative_to(ROOT / folder).as_posix()
        for package, folder in PACKAGES.items()
        for file in (ROOT / folder / package).rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    yield from (f"{wheel.name}: {name} does not belong in the wheel" for name in sorted(files - expected))
    yield from (f"{wheel.name}: {name} is missing" for name in sorted(expected - files))
    metadata = email.message_from_bytes(archive.read(f"{info}/METADATA"))
    if metadata["Version"] != version:
        yield f"{wheel.name}: got version {metadata['Version']}, expected {version}"
    if not str(metadata.get_payload()).startswith(f"# {metadata['Name']}\n"):
        yield f"{wheel.name}: the description does not start with the README's title"


def check_source(source: Path, version: str) -> Iterator[str]:
    """Yields the faults of a source distribution: missing or generated files."""
    folder = f"cdk_personalize_segments-{version}/"
    with tarfile.open(source) as archive:
        files = {name.removeprefix(folder) for name in archive.getnames()}
    yield from (f"{source.name}: {name} is missing" for name in IN_SOURCE if name not in files)
    generated = ("node_modules", "__pycache__", ".venv", ".pythons", ".floor", "cdk.out")
    for name in sorted(files):
        if any(part in generated for part in name.split("/")):
            yield f"{source.name}: {name} is a generated file"


def main() -> int:
    """Prints the faults, or the files of the release."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args().folder
    version: str = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    names = {f"cdk_personalize_segments-{version}-py3-none-any.whl", f"cdk_personalize_segments-{version}.tar.gz"}
    files = {file.name for file in folder.iterdir()}
    if files != names:
        print(f"{folder}: got {', '.join(sorted(files)) or 'no files'}, expected {', '.join(sorted(names))}")
        return 1
    wheel, source = sorted(folder.iterdir())
    faults = [*check_wheel(wheel, version), *check_source(source, version)]
    print("\n".join(faults) or f"checked {wheel} and {source}; nothing was tagged or published")
    if f"\n## [{version}]" not in (ROOT / "CHANGELOG.md").read_text():
        print(f"before you publish: CHANGELOG.md has no section [{version}] yet")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
