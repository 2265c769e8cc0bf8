"""The recording of ``make deploy-local``, and the script that writes it."""

import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "tools" / "record_deploy_local.py"
PICTURE = ROOT / "docs" / "pictures" / "deploy-local.svg"
# Runs the script with another place for the picture.
PROGRAM = """
import pathlib, sys
sys.path.insert(0, sys.argv[1])
import record_deploy_local as script
script.ROOT, script.PICTURE = pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[2], "made.svg")
script.main(sys.argv[3:])
"""
_SVG = "{http://www.w3.org/2000/svg}"


def rows(svg: str) -> list[tuple[float, list[str]]]:
    """The time of each row, and its words in their places."""
    found = []
    for group in ET.fromstring(svg).iter(f"{_SVG}g"):
        delay = re.fullmatch(r"animation-delay: (\d+\.\d)s", group.attrib["style"])
        assert delay is not None
        found.append((float(delay[1]), [text.text or "" for text in group]))
    return found


def run(folder: Path, shell_script: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", PROGRAM, str(SCRIPT.parent), str(folder), "sh", "-c", shell_script]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_shows_what_the_command_prints_now() -> None:
    recorded = rows(PICTURE.read_text())
    shown = [" ".join(texts) for _, texts in recorded]
    assert shown[0] == "$ make deploy-local"
    progress = re.findall(r'^echo "(.*)"$', (ROOT / "tools" / "deploy-local").read_text(), re.M)
    assert len(progress) == 2
    start = shown.index(progress[0])
    assert shown[start + 1] == progress[1]
    assert re.fullmatch(r"PersonalizeS-\S+-Job-\S+ ACTIVE", shown[start + 2])
    # The words of the README's table, whose columns are wider.
    (table,) = re.findall(r"^```text\n(.*?)^```$", (ROOT / "README.md").read_text(), re.M | re.S)
    words = sorted(re.sub("─+", "", table).split())
    heading = shown.index("query users the first 5")
    assert sorted(re.sub("─+", "", " ".join(shown[heading:-1])).split()) == words


def test_the_recording_respects_reduced_motion_and_is_short() -> None:
    text = PICTURE.read_text()
    assert re.search(r"@media \(prefers-reduced-motion: reduce\) \{\s*\.line \{ animation: none \}\s*\}", text)
    times = [time for time, _ in rows(text)]
    assert times == sorted(times)
    assert times[-1] < 20


def test_the_script_writes_a_picture_with_short_waits(tmp_path: Path) -> None:
    ran = run(tmp_path, "echo $COLUMNS; sleep 3; echo 'a  <b> & c' >&2; echo; printf %070d 0")
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "made.svg\n", "")
    svg = (tmp_path / "made.svg").read_text()
    (command_at, command), (_, columns), (at, words), (_, first), (_, rest) = rows(svg)
    assert (command_at, command) == (0.0, ["$ make deploy-local"])
    assert (columns, words, first, rest) == (["60"], ["a", "<b> & c"], ["0" * 60], ["0" * 10])
    assert 1.5 <= at < 2.5
    # The second group starts in the fourth column.
    assert re.findall(r'x="(\d+)" y="67"', svg) == ["12", "39"]


def test_the_script_writes_no_picture_of_a_failure(tmp_path: Path) -> None:
    ran = run(tmp_path, "echo broken; exit 3")
    assert (ran.returncode, ran.stdout, ran.stderr) == (1, "", "broken\nsh failed, so no picture is written\n")
    assert list(tmp_path.iterdir()) == []
