"""Records `make deploy-local` as an animated picture, docs/pictures/deploy-local.svg.

The lines and their times are those of a real run; waits are shortened to `_LONGEST_WAIT`. Run it after a change of the
output, in a clone in which `make install` has run: ``python tools/record_deploy_local.py``.
"""

import os
import re
import subprocess
import time
from io import StringIO
from pathlib import Path

from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs" / "pictures" / "deploy-local.svg"
COMMAND = ["make", "--no-print-directory", "deploy-local"]
# Wide enough for the table, and narrow enough for a phone.
_COLUMNS = 72
_LONGEST_WAIT = 1.5
# Without the web fonts of rich's own format: a picture in a README loads nothing.
_FORMAT = """<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg" role="img">
<title>A terminal: make deploy-local deploys the app and prints the users of each segment</title>
<style>
.{unique_id}-matrix {{ font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, monospace;
  font-size: {char_height}px; line-height: {line_height}px; font-variant-east-asian: full-width; }}
@keyframes appear {{ from {{ opacity: 0 }} to {{ opacity: 1 }} }}
@media (prefers-reduced-motion: no-preference) {{ .line {{ animation: appear 0.01s both; }} }}
{styles}
</style>
<defs><clipPath id="{unique_id}-clip-terminal"><rect x="0" y="0" width="{terminal_width}" height="{terminal_height}"/>
</clipPath>{lines}</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


def record() -> list[tuple[float, str]]:
    """Runs the command, and returns its lines with the seconds at which they were printed."""
    environment = {**os.environ, "COLUMNS": str(_COLUMNS), "NO_COLOR": "1"}
    started = time.monotonic()
    with subprocess.Popen(
        COMMAND, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        lines = [(time.monotonic() - started, line.rstrip("\n")) for line in process.stdout]
    if process.returncode:
        raise SystemExit("\n".join(line for _, line in lines))
    return lines


def shortened(lines: list[tuple[float, str]]) -> list[tuple[float, str]]:
    """Shortens the waits between lines."""
    shown, now, before = [], 0.5, 0.0
    for at, line in lines:
        now += min(at - before, _LONGEST_WAIT)
        before = at
        shown.append((now, line))
    return shown


def draw(lines: list[tuple[float, str]]) -> str:
    """Draws the lines, each of which appears at its time."""
    console = Console(width=_COLUMNS, record=True, file=StringIO(), legacy_windows=False)
    times = []
    for at, line in [(0.0, "$ make deploy-local"), *lines]:
        text = Text(line)
        for _ in text.wrap(console, _COLUMNS):
            times.append(at)
        console.print(text)
    picture = console.export_svg(title="make deploy-local", code_format=_FORMAT, unique_id="recording")

    def delayed(match: re.Match[str]) -> str:
        return f'<text class="line {match[1]}" style="animation-delay: {times[int(match[3])]:.1f}s"{match[2]}'

    return re.sub(r'<text class="([^"]+)"([^>]*clip-path="url\(#recording-line-(\d+)\)")', delayed, picture)


if __name__ == "__main__":
    PICTURE.write_text(draw(shortened(record())))
    print(PICTURE.relative_to(ROOT))
