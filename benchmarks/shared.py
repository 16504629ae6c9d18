"""Measures a small fleet that reads the shared tables once, each pair in a container of 2 GiB, against pairs alone.

``python -m benchmarks.shared``: one pair alone, three one after another, two at once where nothing is staged yet.
Smaller with ``--tables 40 --rows 60000``; ``--cases alone,two`` leaves the three out, and writes a section of its own.
``--by "nice -n 5"`` is put before each container's command.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import tempfile
from argparse import Namespace
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.beside import Beside, Counts, beside
from benchmarks.folders import chosen_tables, column_count
from benchmarks.gcs_disk import READS, WRITES, calls_of, gcs_server
from benchmarks.place import parser_of, workplace
from benchmarks.reads_server import reads_server
from benchmarks.report import PAIR_DOCUMENT, table, write_section
from bqx_assets.cli.entry import ENVIRONMENT
from bqx_assets_tests.extract.wide import emptied
from bqx_assets_tests.servers.cloud_run.memory import GroupCap, memory_cap

_CAP_BYTES = 2 << 30
_ROOT = Path(__file__).parent.parent
_PAIR_TABLES, _SHARED_TABLES = 667, 411
_NOTES = """\
Each pair is a process of its own under a hard limit of 2 GiB that includes its files (HOME and TMPDIR lie in memory).
Pairs after the first read the shared tables from the objects that it left, and their own tables from BigQuery; their
slabs are their own. The peak is the container's (`memory.max_usage_in_bytes`), the greatest of its row. CPU is that of
the extraction alone, by all threads of its process. Writes and reads are the bucket's calls by class: each piece of an
upload counts as a write, a deletion as none. Arrow is what BigQuery sends, decoded. The servers take turns with the
pairs on the same processors, and there is no network between: trust CPU seconds, bytes, calls and peaks."""


@dataclass(frozen=True, slots=True)
class _Case:
    """The measures of one pair, or of pairs at once together."""

    name: str
    pairs: int
    seconds: float
    cpu_seconds: float
    peak_bytes: int
    counts: Counts


def main() -> None:
    """Start the servers, extract the pairs of each case, and write the results."""
    parser = parser_of(__doc__)
    parser.add_argument("--rows", type=int, default=177_748)
    parser.add_argument("--tables", type=int, default=667)
    parser.add_argument("--batch-bytes", type=int, default=4 << 20, help="of an answer, decoded")
    parser.add_argument("--cases", default="alone,row,two", help="of alone, row, two")
    parser.add_argument("--by", default="", help="a command that starts each container's command")
    asked = parser.parse_args()
    columns = column_count(chosen_tables(asked.tables))
    what = f"{asked.tables} tables and targets, {columns:,} columns x {asked.rows:,} rows"
    with (
        workplace(asked, 3 * 8 * asked.rows * 1_500, what) as home,  # 50 kinds of tables have 1,500 columns together
        beside(reads_server, str(home), asked.tables, asked.rows, asked.batch_bytes) as reads,
        beside(gcs_server, str(home)) as bucket,
    ):
        fleet = _Fleet(asked, reads, bucket)
        cases: list[_Case] = []
        if "alone" in asked.cases:
            cases.append(fleet.extract("alone, nothing shared"))
        if "row" in asked.cases:
            for number, name in enumerate(("first", "second", "third")):
                cases.append(fleet.extract(f"{name} of three, one after another", staging="row"))
                if number:
                    _write(cases, asked, columns)
        if "two" in asked.cases:
            cases.append(fleet.extract("two at once, nothing staged before", staging="two", pairs=2))
        _write(cases, asked, columns)


class _Fleet:
    """Containers that extract pairs from one read server into one bucket server."""

    def __init__(self, asked: Namespace, reads: Beside, bucket: Beside) -> None:
        self._asked, self._reads, self._bucket = asked, reads, bucket

    def extract(self, name: str, staging: str = "", pairs: int = 1) -> _Case:
        """Extract pairs at once, each into a new bucket; return the measures of them together."""
        places = [f"gs://{name.partition(',')[0].replace(' ', '-')}-{number}" for number in range(pairs)]
        staged = [f"gs://shared-{staging}"] if staging else []
        containers = [_container(self._command(place, staged), self._bucket.address) for place in places]
        opened = [next(each) for each in containers]
        before = self._counts()
        for process, _ in opened:
            _say(process, "go")
        told = [json.loads(_line(process)) for process, _ in opened]
        peaks = [cap.peak_bytes() for _, cap in opened]
        counts = {key: value - before.get(key, 0) for key, value in self._counts().items()}
        for each in containers:
            next(each, None)
        seconds = max(each["seconds"] for each in told)
        cpu_seconds = sum(each["cpu_seconds"] for each in told)
        load = os.getloadavg()[0]
        print(
            f"  {name}: {seconds:.1f} s, {cpu_seconds:.1f} CPU s, {max(peaks) / 1e6:,.0f} MB, load {load:.1f}",
            flush=True,
        )
        return _Case(name, pairs, seconds, cpu_seconds, max(peaks), counts)

    def _command(self, place: str, staged: list[str]) -> list[str]:
        asked = self._asked
        words = [self._reads.address, asked.tables, asked.rows, "HOME", place, *staged]
        return [*shlex.split(asked.by), sys.executable, "-m", "benchmarks.shared_process", *map(str, words)]

    def _counts(self) -> Counts:
        return {f"read {name}": value for name, value in self._reads.counts().items()} | self._bucket.counts()


def _container(command: list[str], bucket: str) -> Generator[tuple[subprocess.Popen[str], GroupCap]]:
    """Start a process under the cap and yield both once it is ready; end it when asked to go on."""
    files = Path(tempfile.mkdtemp(prefix="bqx-shared-", dir="/dev/shm"))
    cap = memory_cap(_CAP_BYTES, files)
    if not isinstance(cap, GroupCap):
        sys.exit("without a cap of the kernel this benchmark says nothing")
    own = {"HOME": str(files), "TMPDIR": str(files), "STORAGE_EMULATOR_HOST": bucket, "CLOUD_RUN_JOB": "bqx-pair"}
    words = [str(files / "home") if word == "HOME" else word for word in command]
    process = subprocess.Popen(
        cap.wrapped(words),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=_ROOT,
        env=ENVIRONMENT | os.environ | own,
    )
    try:
        _line(process)
        yield process, cap
    finally:
        process.kill()
        process.wait()
        cap.close()
        emptied(files)


def _say(process: subprocess.Popen[str], word: str) -> None:
    if process.stdin is None:
        raise RuntimeError("no pipe")
    process.stdin.write(f"{word}\n")
    process.stdin.flush()


def _line(process: subprocess.Popen[str]) -> str:
    line = process.stdout.readline() if process.stdout else ""
    if not line:
        sys.exit(f"a container ended with exit code {process.wait()}")
    return line


def _write(cases: list[_Case], asked: Namespace, columns: int) -> None:
    shared = sum(each.shared for each in chosen_tables(asked.tables))
    title = "Shared tables read once" if "row" in asked.cases else "Shared tables read once, two pairs at once"
    text = (
        f"## {title}\n\n{asked.tables} of {_PAIR_TABLES} tables, {shared} of them shared by all pairs, "
        f"{columns:,} columns x {asked.rows:,} rows, each pair in a container of 2 GiB and into a new bucket."
    )
    head = ["", "wall s", "CPU s", "peak MB", "reads", "Arrow MB", "writes", "bucket reads", "up MB", "down MB"]
    parts = [text, table(head, [_cells(each) for each in cases])]
    by_name = {each.name.partition(",")[0]: each for each in cases}
    alone, row = by_name.get("alone"), [each for each in cases if "of three" in each.name]
    if alone is not None and len(row) > 1:
        parts.append(_found(alone, row, shared))
    if alone is not None and (two := by_name.get("two at once")) is not None:
        parts.append(
            f"Each of two at once takes {two.cpu_seconds / 2 / alone.cpu_seconds:.2f} of the processor time of a pair "
            f"alone and reads "
            f"{two.counts['read decoded_bytes'] / 2 / alone.counts['read decoded_bytes']:.2f} of its bytes."
        )
    section = "shared" if "row" in asked.cases else "shared at once"
    write_section(section, "\n\n".join((*parts, _NOTES)), PAIR_DOCUMENT)


def _found(alone: _Case, row: list[_Case], shared: int) -> str:
    first, later = row[0], row[1:]
    cpu = sum(each.cpu_seconds for each in later) / len(later) / alone.cpu_seconds
    wire = sum(each.counts["read decoded_bytes"] for each in later) / len(later) / alone.counts["read decoded_bytes"]
    more_reads, more_writes = (
        (sum(calls_of(each.counts, kinds) for each in later) / len(later) - calls_of(alone.counts, kinds)) / shared
        for kinds in (READS, WRITES)
    )
    staging_writes = (calls_of(first.counts, WRITES) - calls_of(alone.counts, WRITES)) / shared
    together = sum(each.cpu_seconds for each in row) / len(row) / alone.cpu_seconds
    return (
        f"A later pair takes {cpu:.2f} of the processor time of a pair alone and reads {wire:.2f} of its bytes from "
        f"BigQuery; the first takes {first.cpu_seconds / alone.cpu_seconds:.2f} of the time and reads "
        f"{first.counts['read decoded_bytes'] / alone.counts['read decoded_bytes']:.2f}. The {len(row)} together take "
        f"{together:.2f} of the processor time of as many alone. Of each shared table a later pair makes "
        f"{more_reads:.1f} reads of the bucket and {more_writes:.1f} writes more than a pair alone, the first "
        f"{staging_writes:.1f} writes: {more_reads * _SHARED_TABLES:,.0f}, {more_writes * _SHARED_TABLES:,.0f} and "
        f"{staging_writes * _SHARED_TABLES:,.0f} for all {_SHARED_TABLES}."
    )


def _cells(case: _Case) -> list[str]:
    counts = case.counts
    return [
        case.name,
        f"{case.seconds:,.1f}",
        f"{case.cpu_seconds:,.1f}",
        f"{case.peak_bytes / 1e6:,.0f}",
        f"{counts['read sessions']:,.0f}",
        f"{counts['read decoded_bytes'] / 1e6:,.0f}",
        f"{calls_of(case.counts, WRITES):,.0f}",
        f"{calls_of(case.counts, READS):,.0f}",
        f"{counts['uploaded_bytes'] / 1e6:,.0f}",
        f"{counts['downloaded_bytes'] / 1e6:,.0f}",
    ]


if __name__ == "__main__":
    main()
