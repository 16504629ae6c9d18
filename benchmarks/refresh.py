"""Measures what one more day costs: a long history built fully, a day appended, and only what changed built again.

``python -m benchmarks.refresh --rows 2160000 --tables 30``. Slabs and training file lie in a bucket, whose server runs
beside the product; with ``--place folder`` on the disk, where every fresh piece is read for its checksum. ``--anew``
makes the longer warehouse after the shorter one is removed, for the sake of the disk: its tables are the same. Exit
code 1 where a bar is missed.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.beside import Counts, beside
from benchmarks.folders import PAIR
from benchmarks.gcs_disk import READS, WRITES, calls_of, gcs_server
from benchmarks.place import parser_of, workplace
from benchmarks.report import bars, table, write_section
from bqx_assets.base.costs import storage_read_usd
from bqx_assets.base.pairs import ALL_PAIRS
from bqx_assets.catalogue.families import expected_tables

READ_SHARE, CPU_SHARE = 0.06, 0.10
_BYTES_PER_CELL = 8
_COLUMNS_PER_TABLE = 27
_WEEK_ROWS = 5 * 1440
_YEAR_WEEKS = 365.25 / 7
_PERIODS_A_YEAR = {"month": 12, "quarter": 4, "half-year": 2, "year": 1}
_MOST_WEEKS = 14
"""Number of weeks of a period that are shown one by one."""
_NOTES = """\
Bytes are those that `bqx plan` expects to read, as BigQuery bills them. CPU and wall seconds are those of the stages'
own processes, without the bucket's server. Calls are the bucket's, by class; composing reads and sends no piece."""


@dataclass(frozen=True, slots=True)
class _Build:
    """The measures of one build, and what the plan said before it."""

    name: str
    plan: dict[str, Any]
    stages: dict[str, tuple[float, float]]
    """Wall and CPU seconds of each command."""
    counts: Counts
    """Of the bucket."""

    @property
    def read_bytes(self) -> int:
        """The bytes that the plan expected to read."""
        return int(self.plan["read_bytes"])

    @property
    def cpu_seconds(self) -> float:
        """The processor time of all stages."""
        return sum(cpu for _, cpu in self.stages.values())

    def cells(self) -> list[str]:
        """Return the row of the results' table."""
        return [
            self.name,
            f"{self.read_bytes / 1e9:.2f}",
            f"{self.plan['total_bytes'] / 1e9:.2f}",
            ", ".join(f"{count} {state}" for state, count in self.plan["periods"].items()),
            f"{sum(each['stale_tables'] for each in self.plan['by_period']):,}",
            *(f"{wall:.1f} / {cpu:.1f}" for wall, cpu in self.stages.values()),
            *(f"{calls_of(self.counts, kinds):,.0f}" for kinds in (WRITES, READS)),
            *(f"{self.counts.get(f'{way}_bytes', 0) / 1e6:,.0f}" for way in ("uploaded", "downloaded")),
        ]


def main() -> None:
    """Make the warehouse, build, append a day, build again, and write the results."""
    parser = parser_of(__doc__)
    parser.add_argument("--rows", type=int, default=2_160_000)
    parser.add_argument("--tables", type=int, default=30)
    parser.add_argument("--bars", type=int, default=1_440)
    parser.add_argument("--period", default=os.environ.get("BQX_PERIOD", "quarter"), choices=[*_PERIODS_A_YEAR, "none"])
    parser.add_argument("--stages", nargs="+", default=["extract", "merge"], help="commands of bqx; run: all of them")
    parser.add_argument("--place", choices=["bucket", "folder"], default="bucket", help="of slabs and training file")
    parser.add_argument("--anew", action="store_true", help="make the longer warehouse in place of the shorter one")
    asked = parser.parse_args()
    what = f"{asked.tables} tables and targets x {asked.rows:,} rows, then {asked.bars:,} bars more"
    cells = asked.rows * (asked.tables * _COLUMNS_PER_TABLE + 60)
    copies = (1 if asked.anew else 2) - _warehouse(Path(), asked).exists() + (1.5 if asked.place == "folder" else 0.7)
    with workplace(asked, copies * _BYTES_PER_CELL * 0.8 * cells, what) as home, _place(home, asked) as counts:
        _made(home, asked, asked.rows)
        full = _build("full build", home, asked, counts)
        for file in (home / "training").glob("*.parquet"):
            file.unlink()
        if asked.anew:
            shutil.rmtree(_warehouse(home, asked))
            _made(home, asked, asked.rows + asked.bars)
        else:
            _bqx(home, asked, "warehouse", "advance", str(_warehouse(home, asked)), "--bars", str(asked.bars))
        day = _build("after one more day", home, asked, counts)
    _write(what, full, day, asked)


@contextmanager
def _place(home: Path, asked: Namespace) -> Generator[Callable[[], Counts]]:
    """Give the function that counts the bucket's calls; the product finds the bucket by the environment."""
    if asked.place == "folder":
        yield dict
        return
    with beside(gcs_server, str(home)) as bucket:
        os.environ |= {"STORAGE_EMULATOR_HOST": bucket.address, "BQX_OUTPUT": "gs://bqx-ml-output"}
        yield bucket.counts


def _warehouse(home: Path, asked: Namespace) -> Path:
    """Return the folder of the warehouse; one that is there already, by ``--data``, is used and then lengthened."""
    return asked.data or home / "warehouse"


def _made(home: Path, asked: Namespace, rows: int) -> None:
    folder = _warehouse(home, asked)
    if not folder.exists():
        make = ["warehouse", "create", str(folder), "--pairs", PAIR.name, "--tables", str(asked.tables)]
        _bqx(home, asked, *make, "--rows", str(rows))


def _build(name: str, home: Path, asked: Namespace, counts: Callable[[], Counts]) -> _Build:
    plan, *_ = _bqx(home, asked, "plan", PAIR.name)
    before, stages = counts(), dict[str, tuple[float, float]]()
    for stage in asked.stages:
        _, wall, cpu = _bqx(home, asked, stage, PAIR.name)
        stages[stage] = wall, cpu
        print(f"  {name}, {stage}: {wall:.1f} s, {cpu:.1f} CPU s", flush=True)
    return _Build(name, plan, stages, {key: value - before.get(key, 0) for key, value in counts().items()})


def _bqx(home: Path, asked: Namespace, *words: str) -> tuple[dict[str, Any], float, float]:
    """Run a command; return its JSON answer, wall seconds, and CPU seconds with those of its own processes."""
    own = {"BQX_WAREHOUSE": str(_warehouse(home, asked)), "BQX_PERIOD": asked.period}
    command = [str(Path(sys.executable).with_name("bqx")), "--home", str(home), *words, "--json"]
    began = time.perf_counter()
    with (home / "answer.json").open("w+b") as answer:
        process = subprocess.Popen(command, stdout=answer, env=os.environ | own)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            sys.exit(f"bqx {' '.join(words)} ended with exit code {process.returncode}")
        answer.seek(0)
        return json.load(answer), time.perf_counter() - began, used.ru_utime + used.ru_stime


def _write(what: str, full: _Build, day: _Build, asked: Namespace) -> None:
    stages = [f"{stage}, s / CPU s" for stage in asked.stages]
    ends = ["writes", "reads", "uploaded MB", "downloaded MB"]
    head = ["", "GB to read", "GB in all", "periods by the plan", "pieces made", *stages, *ends]
    total_bytes = day.plan["total_bytes"]
    read, cpu = day.read_bytes / total_bytes, day.cpu_seconds / full.cpu_seconds
    claims = {
        f"one more day reads {read:.1%} of the bytes (bar {READ_SHARE:.0%})": read <= READ_SHARE,
        f"it takes {cpu:.1%} of the CPU seconds of the full build (bar {CPU_SHARE:.0%})": cpu <= CPU_SHARE,
    }
    text = f"{what}; periods: {asked.period}; in a {asked.place}. {_NOTES}"
    fleet = _fleet(total_bytes / int(full.plan["columns"]), asked)
    title = "## A refresh" if asked.place == "bucket" else "## A refresh in a folder"
    parts = [title, text, table(head, [full.cells(), day.cells()]), bars(claims), fleet]
    write_section("refresh" if asked.place == "bucket" else "refresh in a folder", "\n\n".join(parts))
    sys.exit(0 if all(claims.values()) else 1)


def _fleet(column_bytes: float, asked: Namespace) -> str:
    """Return the cost of 28 pairs, refreshed every week: a week reads its period again, from the period's beginning."""
    tables = expected_tables(PAIR)
    shared, own = (sum(len(each.columns) for each in tables if each.shared is kind) for kind in (True, False))
    history_bytes = column_bytes * (len(ALL_PAIRS) * own + shared)
    weeks: float = asked.rows / _WEEK_ROWS
    period: str = asked.period
    period_weeks = min(weeks, _YEAR_WEEKS / _PERIODS_A_YEAR.get(period, _YEAR_WEEKS / weeks))
    again = [min(week, period_weeks) / weeks * history_bytes for week in range(1, math.ceil(period_weeks) + 1)]
    shown = {f"week {number} of a period": size for number, size in enumerate(again[:_MOST_WEEKS], 1)}
    shown |= {"mean of a period's weeks": sum(again) / len(again), "the whole history each week": history_bytes}
    head = ["28 pairs, every week", "GB to read", "USD", "USD a year"]
    dollars = {name: storage_read_usd(int(size)) for name, size in shown.items()}
    rows = [
        [name, f"{size / 1e9:,.0f}", f"{dollars[name]:.2f}", f"{dollars[name] * _YEAR_WEEKS:,.0f}"]
        for name, size in shown.items()
    ]
    note = (
        f"28 pairs by columns, from the bytes of this one: {own:,} columns are a pair's own, and {shared:,} are shared "
        f"by all and read once. Prices are those of the Storage Read API."
    )
    return f"{note}\n\n{table(head, rows)}"


if __name__ == "__main__":
    main()
