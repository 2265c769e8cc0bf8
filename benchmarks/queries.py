"""Speed and memory of checking and splitting query files, on one core of a Linux machine.

The peers are Python's `json` and the fastest JSON readers, which ``make bench`` installs.
"""

import io
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from random import Random
from typing import Any

from batch_segment_handler.queries import Quota, check_queries, split_queries

Row = tuple[str, str, str]

_MILLION = 1_000_000
_CONDITION = re.compile(r'ITEMS\.(\w+) = "([^"]*)"')


def run(records: int = 5 * _MILLION) -> list[Row]:
    """Measures everything.

    Args:
        records: The number of ``itemId`` queries to check. The tests of constant memory use ten times as many.

    Returns:
        The name, the result and the expected result of each measurement.
    """
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cores)})
    try:
        return [
            *_item_ids(records),
            *_attributes(records // 5),
            *_any_spelling(records // 5),
            *_refused(),
            *_streams(records),
        ]
    finally:
        os.sched_setaffinity(0, cores)


def _item_ids(records: int) -> Iterator[Row]:
    content = b"".join(b'{"itemId": "%d"}\n' % i for i in range(records))

    def count_lines() -> None:
        assert sum(1 for _ in io.BytesIO(content)) == records

    def count_newlines() -> None:
        file = io.BytesIO(content)
        assert sum(block.count(b"\n") for block in iter(lambda: file.read(2**18), b"")) == records

    def with_orjson() -> None:
        import orjson

        loads = orjson.loads
        for line in io.BytesIO(content):
            loads(line)["itemId"]

    def with_msgspec() -> None:
        import msgspec

        query = msgspec.defstruct("Query", [("itemId", str)], forbid_unknown_fields=True)
        msgspec.json.Decoder(query).decode_lines(content)

    def with_polars() -> None:
        import polars as pl

        pl.scan_ndjson(file.name, schema={"itemId": pl.String}).select(pl.col("itemId").count()).collect()

    with tempfile.NamedTemporaryFile(suffix=".jsonl") as file:
        file.write(content)
        file.flush()
        yield from _compare(
            f"check {records:,} itemId queries",
            lambda: _check(content),
            ("/ counting lines, one by one", count_lines, "≤ 3.5x"),
            ("/ counting newlines in blocks", count_newlines, ""),
            ("speed-up over json.loads of each line", lambda: _load_each(content), "≥ 15x"),
            ("speed-up over orjson.loads of each line", with_orjson, "≥ 2.5x"),
            ("speed-up over msgspec decode_lines", with_msgspec, "≥ 1x"),
            ("speed-up over polars scan_ndjson", with_polars, "≥ 2.5x"),
        )


def _attributes(records: int) -> Iterator[Row]:
    content = b"".join(
        rb'{"itemAttributes": "ITEMS.genres = \"Comedy %d\" AND ITEMS.year = \"1999\""}' % i + b"\n"
        for i in range(records)
    )

    def naive() -> None:
        for line in io.BytesIO(content):
            for condition in json.loads(line)["itemAttributes"].split(" AND "):
                if not _CONDITION.fullmatch(condition):
                    raise ValueError(condition)

    yield from _compare(
        f"check {records:,} itemAttributes queries",
        lambda: _check(content),
        ("speed-up over json.loads and a naive parse", naive, "≥ 8x"),
    )


def _any_spelling(records: int) -> Iterator[Row]:
    """Checks lines with random white space and key order, of which every tenth has escapes."""
    random = Random(1)
    spaces = [b" " * count for count in range(6)]

    def line(number: int) -> bytes:
        gaps = iter(random.choices(spaces, k=15))
        item = rb"\u00e9\"%d" % number if number % 10 == 0 else b"%d" % number
        values = b"%b{%b" % (next(gaps), next(gaps)) + rb'"GENRE":%b"\"Comedy\""%b}' % (next(gaps), next(gaps))
        members = [
            b'%b"%b"%b:%b%b%b' % (next(gaps), key, next(gaps), next(gaps), value, next(gaps))
            for key, value in ((b"itemId", b'"%b"' % item), (b"filterValues", values))
        ]
        random.shuffle(members)
        return b"{%b}%b\n" % (b",".join(members), next(gaps))

    content = b"".join(map(line, range(records)))
    yield from _compare(
        f"check {records:,} queries of random spacing and key order, a tenth with escapes",
        lambda: _check(content, placeholders={"GENRE": True}),
        ("speed-up over json.loads of each line", lambda: _load_each(content), "≥ 5x"),
    )


def _refused() -> Iterator[Row]:
    line = rb'{"itemAttributes": "ITEMS.genres = \"Comedy\""}' b"\n"

    def check() -> None:
        with tempfile.TemporaryFile() as file:
            file.write(line * 20_000)
            file.truncate(1024**3)
            file.seek(0)
            report = check_queries([("queries.jsonl", file)], quota=Quota())
            assert not report.complete

    yield "refuse 1 GiB of itemAttributes queries by the quota of a job", f"{_seconds(check):.2f} s", "≤ 2 s"


def _streams(records: int) -> Iterator[Row]:
    for work in ("check", "split"):
        first = None
        for count in (records // 5, records, records * 10):
            # In a separate process, whose peak memory is only that of this work.
            command = [sys.executable, __file__, work, str(count)]
            seconds, mebibytes = map(float, subprocess.check_output(command, text=True).split())
            each = seconds / count
            first = first or each
            yield f"{work} a stream of {count:,} queries", f"{seconds:.2f} s", ""
            yield "  seconds for each query / those of the first stream", f"{each / first:.2f}x", "≤ 1.2x"
            yield "  memory over the interpreter", f"{mebibytes:.1f} MiB", "≤ 64 MiB"


class _Stream:
    """A file of similar queries of 20 bytes each, which is generated while it is read."""

    def __init__(self, records: int) -> None:
        self._block = b"".join(b'{"itemId":"%06d"}\n' % i for i in range(50_000))
        self._left = records * 20
        self._at = 0

    def read(self, size: int) -> bytes:
        data = self._block[self._at : self._at + min(size, self._left)]
        self._left -= len(data)
        self._at = (self._at + len(data)) % len(self._block)
        return data


def _measure_stream(work: str, records: int) -> None:
    stream: Any = _Stream(records)
    before = _memory("VmRSS")
    start = time.perf_counter()
    if work == "check":
        report = check_queries([("stream", stream)])
        report.raise_if_faulty()
        assert report.queries == records
    else:
        parts = split_queries(stream, 50_000)
        assert sum(len(chunk) for part in parts for chunk in part) == records * 20
    seconds = time.perf_counter() - start
    print(seconds, _memory("VmHWM") - before)


def _memory(field: str) -> float:
    """Returns the memory of this process in MiB, now (``VmRSS``) or at its peak (``VmHWM``)."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition(f"{field}:")[2].split()[0]) / 1024


def _load_each(content: bytes) -> None:
    for line in io.BytesIO(content):
        json.loads(line)["itemId"]


def _check(content: bytes, **options: Any) -> None:
    report = check_queries([("queries.jsonl", io.BytesIO(content))], **options)
    assert report.fault_count == report.warning_count == 0


def _compare(what: str, library: Callable[[], None], *peers: tuple[str, Callable[[], None], str]) -> Iterator[Row]:
    """Measures in turns, so that other work on the machine affects all measurements alike.

    Args:
        what: The name of the library's work.
        library: The library's work.
        peers: Name, work and expected ratio of each peer. If the name starts with "/", the peer's time is the divisor.
    """
    works = [library, *(work for _, work, _ in peers)]
    best = [float("inf")] * len(works)
    for attempt in range(5):
        for number, work in enumerate(works):
            if attempt == 0 or best[number] < 5:
                best[number] = min(best[number], _seconds(work))
    yield what, f"{best[0]:.2f} s", ""
    for (name, _, expected), seconds in zip(peers, best[1:], strict=True):
        ratio = best[0] / seconds if name.startswith("/") else seconds / best[0]
        yield f"  {name}, {seconds:.2f} s", f"{ratio:.1f}x", expected


def _seconds(work: Callable[[], None]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _print(rows: Iterable[Row]) -> None:
    for what, measured, expected in rows:
        print(f"{what:<58}{measured:>12}  {expected}")


if __name__ == "__main__":
    if len(sys.argv) == 3:
        _measure_stream(sys.argv[1], int(sys.argv[2]))
    else:
        _print(run())
