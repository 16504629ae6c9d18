"""Compares a merge of raw checkpoints in a bucket with one from a folder: bytes, requests, time and memory.

``python -m benchmarks.raw_bucket``; smaller with ``--tables 20 --rows 60000``. Exit code 1 where a bar is missed.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from benchmarks.beside import Beside, Counts, beside
from benchmarks.folders import BYTES_PER_VALUE, PAIR, chosen_tables, column_count, make_folders
from benchmarks.gcs_disk import gcs_server
from benchmarks.place import parser_of, workplace
from benchmarks.report import PAIR_DOCUMENT, bars, table, write_section
from bqx_assets.base.process import PeakMemory
from bqx_assets.base.progress import Silent
from bqx_assets.base.settings import Settings
from bqx_assets.base.store.local import working_folder
from bqx_assets.base.store.open_store import open_store
from bqx_assets.merge.engine import merge, plan_merge
from bqx_assets.merge.plan import MergePlan
from bqx_assets.quality.stored_file import StoredFile

_PLACE = "gs://bqx-ml-output/eurusd_checkpoints_validated"
_NOTES = """\
Every second table is shuffled, lacks 1% of its rows and holds as many others: it is aligned; the other ones are copied
as they lie. The bucket is the tests' strict server in a process of its own, with its objects on disk, on the same
processors and without a network. Each merge has the peak of its own process beyond what stood there before it."""


@dataclass(frozen=True, slots=True)
class _Merge:
    """The measures of one merge."""

    name: str
    seconds: float
    cpu_seconds: float
    peak_bytes: int
    file: Path
    counts: Counts


def main() -> None:
    """Make the tables, merge them from both places, and write the results."""
    parser = parser_of(__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--tables", type=int, default=100)
    asked = parser.parse_args()
    columns = column_count(chosen_tables(asked.tables))
    what = f"{asked.tables} tables and targets, {columns:,} columns x {asked.rows:,} rows"
    with (
        workplace(asked, 8 * BYTES_PER_VALUE * columns * asked.rows, what) as home,
        beside(gcs_server, str(home)) as bucket,
    ):
        os.environ["STORAGE_EMULATOR_HOST"] = bucket.address
        make_folders(home, chosen_tables(asked.tables), asked.rows)
        store = open_store(Settings(output=_PLACE))
        for path in (home / "raw").iterdir():
            store.put_file(path.name, path)
        _merge(
            "once before", home, bucket, lambda: plan_merge(PAIR, working_folder(home / "raw"), Settings())
        )  # loads libraries
        of_folder = _merge("folder", home, bucket, lambda: plan_merge(PAIR, working_folder(home / "raw"), Settings()))
        of_bucket = _merge("bucket", home, bucket, lambda: plan_merge(PAIR, store, Settings()))
        _write(home, what, of_folder, of_bucket)


def _merge(name: str, home: Path, bucket: Beside, plan: Callable[[], MergePlan]) -> _Merge:
    file = home / f"{name}.parquet"
    before, began, cpu = bucket.counts(), time.perf_counter(), sum(os.times()[:2])
    with PeakMemory() as memory:
        stood_bytes = memory.peak_bytes
        merge(plan(), *StoredFile.at(file), progress=Silent())
    seconds, cpu_seconds = time.perf_counter() - began, sum(os.times()[:2]) - cpu
    counts = {key: value - before.get(key, 0) for key, value in bucket.counts().items()}
    print(f"  {name}: {seconds:.1f} s, {cpu_seconds:.1f} CPU s", flush=True)
    return _Merge(name, seconds, cpu_seconds, memory.peak_bytes - stood_bytes, file, counts)


def _write(home: Path, what: str, of_folder: _Merge, of_bucket: _Merge) -> None:
    sizes = {path.stem: path.stat().st_size for path in (home / "raw").iterdir()}
    asked_bytes, stored_bytes = of_bucket.counts["downloaded_bytes"], sum(sizes.values())
    twice = asked_bytes / (stored_bytes + sizes["targets"])
    lines = [
        [
            each.name,
            f"{each.seconds:,.1f}",
            f"{each.cpu_seconds:,.1f}",
            f"{each.peak_bytes / 1e6:,.0f}",
            f"{each.counts.get('downloaded_bytes', 0) / 1e6:,.0f}",
            f"{each.counts.get('requests', 0):,.0f}",
        ]
        for each in (of_folder, of_bucket)
    ]
    head = ["merged from", "wall s", "CPU s", "peak MB", "asked for MB", "requests"]
    text = (
        f"## Raw checkpoints from a bucket\n\n{what}, {stored_bytes / 1e6:,.0f} MB in {len(sizes):,} files: "
        f"{asked_bytes / stored_bytes:.3f} times their bytes were asked for; the targets, "
        f"{sizes['targets'] / 1e6:,.0f} MB, are read twice. "
        f"{of_bucket.counts['requests'] / len(sizes):.1f} requests a file."
    )
    claims = {
        "both files hold equal columns, rows and values": _equal(of_folder.file, of_bucket.file),
        f"{twice:.3f} times the bytes are asked for, the targets' counted twice, of at most 1.05": twice < 1.05,  # noqa: PLR2004
    }
    write_section("raw bucket", "\n\n".join((text, table(head, lines), bars(claims), _NOTES)), PAIR_DOCUMENT)
    sys.exit(0 if all(claims.values()) else 1)


def _equal(a: Path, b: Path) -> bool:
    names = pq.read_schema(a).names
    return names == pq.read_schema(b).names and all(
        pq.read_table(a, columns=names[first : first + 500]).equals(
            pq.read_table(b, columns=names[first : first + 500])
        )
        for first in range(0, len(names), 500)
    )


if __name__ == "__main__":
    main()
