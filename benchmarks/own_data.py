"""Speed and memory of the local AWS with 10 million interactions, 100,000 items and 1 million users."""

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

Row = tuple[str, str, str]
_ITEMS, _USERS, _INTERACTIONS, _QUERIES = 100_000, 1_000_000, 10_000_000, 1_000_000


def run() -> list[Row]:
    """Measures in a separate process, whose memory is only that of the data."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, folder]
        found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return [
        (f"load {_INTERACTIONS:,} interactions", f"{found['load']:.0f} s", "≤ 30 s"),
        ("total memory of the process", f"{found['memory']:.0f} MiB", "≤ 2048 MiB"),
        ("one itemAttributes query of 20% of the items", f"{found['attribute']:.2f} s", "≤ 1 s"),
        ("500 itemId queries", f"{found['items']:.2f} s", "≤ 10 s"),
        ("500 itemId queries with a filter", f"{found['filtered']:.2f} s", "≤ 10 s"),
        (f"personalize-local check of {_QUERIES:,} itemId queries", f"{found['check']:.2f} s", ""),
        ("with loaded data / without", f"{(found['check'] + found['reach']) / found['check']:.1f}x", "≤ 2x"),
        (f"reach of {_QUERIES:,} itemAttributes queries, 675 different", f"{found['attributes']:.1f} s", ""),
    ]


def _seconds(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def _measure(folder: Path) -> None:
    from personalize_local.own_data.engine import OwnData

    genres = ["Action", "Adventure", "Animation", "Comedy", "Crime", "Documentary", "Drama", "Fantasy", "Romance"]
    expressions = [f'ITEMS.GENRES = "{genres[i % 9]}" AND ITEMS.YEAR = "{1950 + i // 9}"' for i in range(675)]
    items = [{"itemId": str(item)} for item in range(1, 501)]
    item_queries, attribute_queries = folder / "items.jsonl", folder / "attributes.jsonl"
    item_queries.write_text("".join(f'{{"itemId": "{1 + i % _ITEMS}"}}\n' for i in range(_QUERIES)))
    lines = [json.dumps({"itemAttributes": expression}) + "\n" for expression in expressions]
    attribute_queries.write_text("".join(lines[i % 675] for i in range(_QUERIES)))
    program = "import sys; from personalize_local import cli; sys.exit(cli.main(sys.argv[1:]))"
    check = [sys.executable, "-c", program, "check", str(item_queries)]
    found = {"check": min(_seconds(lambda: subprocess.run(check, check=True, capture_output=True)) for _ in range(3))}
    # Write the sample in another process, so that its memory is not measured.
    write = "import sys; from pathlib import Path; from personalize_local.own_data.samples import *; "
    write += f"write_sample(Path(sys.argv[1]), FILMS, {_ITEMS}, {_USERS}, {_INTERACTIONS})"
    subprocess.run([sys.executable, "-c", write, str(folder / "data")], check=True)
    started = time.perf_counter()
    with OwnData.load(folder / "data") as data:
        found["load"] = time.perf_counter() - started
        query = {"itemAttributes": 'ITEMS.GENRES = "Drama"'}
        found["attribute"] = _seconds(lambda: list(data.segments([query])))
        found["items"] = _seconds(lambda: list(data.segments(items)))
        user_filter = data.filter('INCLUDE UserID WHERE Users.AGE >= 40 AND Users.COUNTRY IN ("Japan", "Kenya")')
        found["filtered"] = _seconds(lambda: list(data.segments(items, user_filter)))
        found["reach"] = min(_seconds(lambda: list(data.reach([item_queries], "itemId").rows(20))) for _ in range(3))
        found["attributes"] = _seconds(lambda: list(data.reach([attribute_queries], "itemAttributes").rows(20)))
        found["memory"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps(found))


if __name__ == "__main__":
    _measure(Path(sys.argv[1]))
