"""Measures an extraction whose shared tables another pair has read already, against one alone and the first of 28.

``python -m benchmarks.shared``; smaller with ``--tables 40 --rows 60000``.
"""

from __future__ import annotations

import os
import time
from argparse import Namespace
from dataclasses import dataclass
from pathlib import Path

from benchmarks.beside import Beside, Counts, beside
from benchmarks.folders import BYTES_PER_VALUE, PAIR, chosen_tables, column_count
from benchmarks.gcs_disk import gcs_server
from benchmarks.place import parser_of, workplace
from benchmarks.reads_server import reads_server
from benchmarks.report import PAIR_DOCUMENT, table, write_section
from benchmarks.served import ServedWarehouse, home_of, job
from bqx_assets.base.store.open_store import open_store
from bqx_assets.extract.pair import extract_features, extract_spine
from bqx_assets.extract.staging import StagedWarehouse
from bqx_assets.pipeline import Pipeline

_BUCKET = "gs://bqx-ml-output"
_WRITES = ("insert", "start", "chunk", "compose", "list")
_READS = ("get", "media")
_PAIR_TABLES, _SHARED_TABLES = 667, 411
_NOTES = """\
"One of 28" reads the shared tables from the objects that the first pair left, and its own tables from BigQuery; its
slabs are its own. Writes and reads are the bucket's calls by class: each piece of an upload counts as a write, a
deletion as none. The servers take turns with the extraction on the same processors, and there is no network between:
compare the rows with each other."""


@dataclass(frozen=True, slots=True)
class _Pass:
    """The measures of one extraction."""

    name: str
    seconds: float
    cpu_seconds: float
    counts: Counts

    def calls(self, kinds: tuple[str, ...]) -> float:
        """Return the number of the bucket's calls of these kinds."""
        ends = tuple(f".{kind} requests" for kind in kinds)
        return sum(count for name, count in self.counts.items() if name.endswith(ends))


def main() -> None:
    """Start the servers, extract three times, and write the results."""
    parser = parser_of(__doc__)
    parser.add_argument("--rows", type=int, default=177_748)
    parser.add_argument("--tables", type=int, default=100)
    parser.add_argument("--batch-bytes", type=int, default=4 << 20, help="of an answer, decoded")
    asked = parser.parse_args()
    columns = column_count(chosen_tables(asked.tables))
    what = f"{asked.tables} tables and targets, {columns:,} columns x {asked.rows:,} rows"
    with (
        workplace(asked, 5 * BYTES_PER_VALUE * columns * asked.rows, what) as home,
        beside(reads_server, str(home), asked.tables, asked.rows, asked.batch_bytes) as reads,
        beside(gcs_server, str(home)) as bucket,
    ):
        os.environ["STORAGE_EMULATOR_HOST"] = bucket.address
        staged = StagedWarehouse(_warehouse(reads, asked), open_store(home_of(str(home), _BUCKET)), "staging/shared/")
        passes = [
            _extract("alone", _warehouse(reads, asked), home, asked, (reads, bucket)),
            _extract("the first of 28", staged, home, asked, (reads, bucket)),
            _extract("one of 28", staged, home, asked, (reads, bucket)),
        ]
    _write(passes, asked, columns)


def _warehouse(reads: Beside, asked: Namespace) -> ServedWarehouse:
    return ServedWarehouse(reads.address, asked.tables, asked.rows)


def _extract(
    name: str,
    warehouse: ServedWarehouse | StagedWarehouse,
    home: Path,
    asked: Namespace,
    servers: tuple[Beside, Beside],
) -> _Pass:
    own = name.replace(" ", "-")
    settings = home_of(str(home / own), f"{_BUCKET}/{own}")
    work = job(warehouse, settings, asked.tables, asked.rows, Pipeline(settings).slabs(PAIR))
    before, began, cpu = _counts(*servers), time.perf_counter(), sum(os.times()[:2])
    extract_spine(work)
    extract_features(work)
    seconds, cpu_seconds = time.perf_counter() - began, sum(os.times()[:2]) - cpu
    counts = {key: value - before.get(key, 0) for key, value in _counts(*servers).items()}
    print(f"  {name}: {seconds:.1f} s, {cpu_seconds:.1f} CPU s", flush=True)
    return _Pass(name, seconds, cpu_seconds, counts)


def _counts(reads: Beside, bucket: Beside) -> Counts:
    return {f"read {name}": value for name, value in reads.counts().items()} | bucket.counts()


def _write(passes: list[_Pass], asked: Namespace, columns: int) -> None:
    shared = sum(each.shared for each in chosen_tables(asked.tables))
    lines = [
        [
            each.name,
            f"{each.seconds:,.1f}",
            f"{each.cpu_seconds:,.1f}",
            f"{each.counts['read sessions']:,.0f}",
            f"{each.counts['read decoded_bytes'] / 1e6:,.0f}",
            f"{each.calls(_WRITES):,.0f}",
            f"{each.calls(_READS):,.0f}",
            f"{each.counts['uploaded_bytes'] / 1e6:,.0f}",
            f"{each.counts['downloaded_bytes'] / 1e6:,.0f}",
        ]
        for each in passes
    ]
    head = ["", "wall s", "CPU s", "reads", "Arrow MB", "writes", "bucket reads", "uploaded MB", "downloaded MB"]
    alone, _, later = passes
    more_reads = (later.calls(_READS) - alone.calls(_READS)) / shared
    more_writes = (later.calls(_WRITES) - alone.calls(_WRITES)) / shared
    text = (
        f"## Shared tables read once\n\n{asked.tables} of {_PAIR_TABLES} tables, {shared} of them shared by all pairs, "
        f"{columns:,} columns x {asked.rows:,} rows, each time in a new place."
    )
    wall, cpu = later.seconds / alone.seconds, later.cpu_seconds / alone.cpu_seconds
    found = (
        f"One of 28 takes {wall:.2f} of the wall and {cpu:.2f} of the processor time of a pair alone. Of each shared "
        f"table it makes {more_reads:.1f} reads of the bucket and {more_writes:.1f} writes more: "
        f"{more_reads * _SHARED_TABLES:,.0f} and {more_writes * _SHARED_TABLES:,.0f} for all {_SHARED_TABLES}."
    )
    write_section("shared", "\n\n".join((text, table(head, lines), found, _NOTES)), PAIR_DOCUMENT)


if __name__ == "__main__":
    main()
