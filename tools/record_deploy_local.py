"""Records `make deploy-local` as a picture, docs/pictures/deploy-local.svg.

Usage: python tools/record_deploy_local.py [COMMAND…]

Runs `make deploy-local`, or the command, as in a narrow terminal. Each line of the picture appears when the run printed
it; long waits are shortened.
"""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from xml.sax.saxutils import escape

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs" / "pictures" / "deploy-local.svg"
_COMMAND = ("make", "deploy-local")
# So that the text is readable on a phone.
_COLUMNS = 60
_MAX_WAIT_SECONDS = 1.5
_FONT_SIZE, _CHAR_WIDTH, _LINE_HEIGHT, _PADDING = 15, 9, 20, 12
_SVG = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" \
font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, monospace" font-size="{font_size}" role="img" \
aria-labelledby="title">
  <title id="title">A terminal runs make deploy-local: it starts a local AWS, deploys, and shows three segments.</title>
  <style>
    .ground {{ fill: #f6f8fa }}
    text {{ fill: #1d2530 }}
    .message {{ fill: #4a5563 }}
    .command {{ font-weight: bold }}
    .line {{ animation: appear 1ms both }}
    @keyframes appear {{ from {{ opacity: 0 }} }}
    @media (prefers-color-scheme: dark) {{
      .ground {{ fill: #0d1117 }}
      text {{ fill: #e8edf3 }}
      .message {{ fill: #b6bfca }}
    }}
    @media (prefers-reduced-motion: reduce) {{
      .line {{ animation: none }}
    }}
  </style>
  <!-- Written by tools/record_deploy_local.py. -->
  <rect class="ground" width="{width}" height="{height}" rx="10"/>
{lines}
</svg>
"""

# The time in seconds at which a line is printed, and the line.
Line = tuple[float, str]


def record(command: Sequence[str]) -> list[Line]:
    """Runs a command and returns its lines.

    Raises:
        SystemExit: The command fails.
    """
    environment = {**os.environ, "COLUMNS": str(_COLUMNS)}
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        start = time.monotonic()
        lines = [(time.monotonic() - start, line.rstrip()) for line in process.stdout]
    if process.returncode:
        sys.exit("\n".join([*(line for _, line in lines), f"{command[0]} failed, so no picture is written"]))
    return lines


def shorten_waits(lines: Iterable[Line]) -> Iterator[Line]:
    """Limits the time between two lines."""
    shown_at = printed_at = 0.0
    for at, line in lines:
        shown_at += min(at - printed_at, _MAX_WAIT_SECONDS)
        printed_at = at
        yield shown_at, line


def picture(lines: Iterable[Line]) -> str:
    """Returns the picture of a run."""
    rows = [
        (at, row, _style(line))
        for at, line in [(0.0, f"$ {' '.join(_COMMAND)}"), *lines]
        # A terminal wraps a line at its last column.
        for row in re.findall(f".{{1,{_COLUMNS}}}", line) or [""]
    ]
    shown = [_row(number, at, row, style) for number, (at, row, style) in enumerate(rows)]
    return _SVG.format(
        width=_COLUMNS * _CHAR_WIDTH + 2 * _PADDING,
        height=len(rows) * _LINE_HEIGHT + 2 * _PADDING,
        font_size=_FONT_SIZE,
        lines="\n".join(filter(None, shown)),
    )


def _style(line: str) -> str:
    if line.startswith("$ "):
        return "command"
    return "message" if line.startswith("personalize-local: ") else ""


def _row(number: int, at: float, row: str, style: str) -> str:
    """Returns a row. Each word group has its place and its width, so that columns align in every font."""
    y = _PADDING + number * _LINE_HEIGHT + _FONT_SIZE
    groups = [
        f'<text x="{_PADDING + found.start() * _CHAR_WIDTH}" y="{y}" textLength="{len(found[0]) * _CHAR_WIDTH}">'
        f"{escape(found[0])}</text>"
        for found in re.finditer(r"\S+(?: \S+)*", row)
    ]
    if not groups:
        return ""
    texts = "".join(group.replace("<text ", f'<text class="{style}" ') if style else group for group in groups)
    return f'  <g class="line" style="animation-delay: {at:.1f}s">{texts}</g>'


def main(command: Sequence[str]) -> None:
    """Records a command and writes the picture."""
    PICTURE.write_text(picture(shorten_waits(record(command))))
    print(PICTURE.relative_to(ROOT))


if __name__ == "__main__":
    main(sys.argv[1:] or _COMMAND)
