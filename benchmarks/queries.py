"""Speed and memory of checking and splitting query files, on one core of a Linux machine, as ratios from one run.

Measured against Python's `json` and the fastest readers there are, which ``make bench`` installs.
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
        records: How many ``itemId`` queries to check; ten times as many for what must not grow with their number.

    Returns:
        What was measured, the result, and what it should be.
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
    ours = _seconds(lambda: _check(content))
    yield f"check {records:,} itemId queries", f"{ours:.2f} s", ""

    def count_newlines() -> None:
        file = io.BytesIO(content)
        assert sum(block.count(b"\n") for block in iter(lambda: file.read(2**18), b"")) == records

    newlines = _seconds(count_newlines)
    yield f"  to counting newlines in blocks, {newlines:.2f} s", f"{ours / newlines:.1f}x", "≤ 3.5x"

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
        yield _against("json.loads of each line", lambda: _load_each(content), ours, "≥ 15x")
        yield _against("orjson.loads of each line", with_orjson, ours, "≥ 2.5x")
        yield _against("msgspec decode_lines", with_msgspec, ours, "≥ 1x")
        yield _against("polars scan_ndjson", with_polars, ours, "≥ 2.5x")


def _attributes(records: int) -> Iterator[Row]:
    content = b"".join(
        rb'{"itemAttributes": "ITEMS.genres = \"Comedy %d\" AND ITEMS.year = \"1999\""}' % i + b"\n"
        for i in range(records)
    )
    ours = _seconds(lambda: _check(content))

    def naive() -> None:
        for line in io.BytesIO(content):
            for condition in json.loads(line)["itemAttributes"].split(" AND "):
                if not _CONDITION.fullmatch(condition):
                    raise ValueError(condition)

    yield f"check {records:,} itemAttributes queries", f"{ours:.2f} s", ""
    yield _against("json.loads and a naive parse", naive, ours, "≥ 8x")


def _any_spelling(records: int) -> Iterator[Row]:
    """Lines as nobody writes them: white space and order of keys at random, escapes in every tenth."""
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
    ours = _seconds(lambda: _check(content, placeholders={"GENRE": True}))
    yield f"check {records:,} queries of random spacing and key order, a tenth with escapes", f"{ours:.2f} s", ""
    yield _against("json.loads of each line", lambda: _load_each(content), ours, "≥ 5x")


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
            # A process of its own: its peak of memory is that of nothing else.
            command = [sys.executable, __file__, work, str(count)]
            seconds, mebibytes = map(float, subprocess.check_output(command, text=True).split())
            each = seconds / count
            first = first or each
            yield f"{work} a stream of {count:,} queries", f"{seconds:.2f} s", ""
            yield "  seconds for each query, to the first of these", f"{each / first:.2f}x", "≤ 1.2x"
            yield "  memory over the interpreter", f"{mebibytes:.1f} MiB", "≤ 64 MiB"


class _Stream:
    """A file of alike queries, 20 bytes each, made while it is read."""

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
    """Memory of this process in MiB, now (``VmRSS``) or at its peak (``VmHWM``)."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition(f"{field}:")[2].split()[0]) / 1024


def _load_each(content: bytes) -> None:
    for line in io.BytesIO(content):
        json.loads(line)["itemId"]


def _check(content: bytes, **options: Any) -> None:
    report = check_queries([("queries.jsonl", io.BytesIO(content))], **options)
    assert report.fault_count == report.warning_count == 0


def _against(name: str, peer: Callable[[], None], ours: float, expected: str) -> Row:
    seconds = _seconds(peer)
    return f"  to {name}, {seconds:.2f} s", f"{seconds / ours:.1f}x", expected


def _seconds(work: Callable[[], None]) -> float:
    """The best of three, or the only one if it takes long."""
    best = float("inf")
    for _ in range(3):
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
        if best > 5:
            break
    return best


def _print(rows: Iterable[Row]) -> None:
    for what, measured, expected in rows:
        print(f"{what:<58}{measured:>12}  {expected}")


if __name__ == "__main__":
    if len(sys.argv) == 3:
        _measure_stream(sys.argv[1], int(sys.argv[2]))
    else:
        _print(run())
