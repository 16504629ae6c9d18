"""Measures what one more day costs: a long history built fully, a day appended, and only what changed built again.

``python -m benchmarks.refresh --rows 2160000 --tables 30``; ``--stages run`` takes whole runs, with checks and
publication, and more disk. Exit code 1 where a bar is missed.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from argparse import Namespace
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.folders import PAIR
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
own processes. Before the second build the training file is removed, for the sake of the disk; each build writes it
whole in any case. Pieces are files of the checkpoints that were written."""


@dataclass(frozen=True, slots=True)
class _Build:
    """The measures of one build, and what the plan said before it."""

    name: str
    plan: dict[str, Any]
    seconds: float
    cpu_seconds: float
    pieces: int
    piece_bytes: int

    @property
    def read_bytes(self) -> int:
        """The bytes that the plan expected to read."""
        return int(self.plan["read_bytes"])

    def cells(self) -> list[str]:
        """Return the row of the results' table."""
        periods: dict[str, int | list[str]] = self.plan.get("periods", {})
        counts = (f"{state} {each if isinstance(each, int) else len(each)}" for state, each in periods.items())
        return [
            self.name,
            f"{self.read_bytes / 1e9:.2f}",
            f"{self.plan.get('total_bytes', 0) / 1e9:.2f}",
            ", ".join(counts),
            f"{self.pieces:,}",
            f"{self.piece_bytes / 1e9:.2f}",
            f"{self.seconds:.1f}",
            f"{self.cpu_seconds:.1f}",
        ]


def main() -> None:
    """Make the warehouse, build, append a day, build again, and write the results."""
    parser = parser_of(__doc__)
    parser.add_argument("--rows", type=int, default=2_160_000)
    parser.add_argument("--tables", type=int, default=30)
    parser.add_argument("--bars", type=int, default=1_440)
    parser.add_argument("--period", default=os.environ.get("BQX_PERIOD", "quarter"), choices=[*_PERIODS_A_YEAR, "none"])
    parser.add_argument("--stages", nargs="+", default=["extract", "merge"], help="commands of bqx; run: all of them")
    asked = parser.parse_args()
    what = f"{asked.tables} tables and targets x {asked.rows:,} rows, then {asked.bars:,} bars more"
    cells = asked.rows * (asked.tables * _COLUMNS_PER_TABLE + 60)
    with workplace(asked, (5 if "run" in asked.stages else 3.2) * _BYTES_PER_CELL * 0.8 * cells, what) as home:
        warehouse = home / "warehouse"
        make = ["warehouse", "create", str(warehouse), "--pairs", PAIR.name]
        _bqx(home, asked, *make, "--rows", str(asked.rows), "--tables", str(asked.tables))
        full = _build("full build", home, asked)
        for file in (home / "training").glob("*.parquet"):
            file.unlink()
        _bqx(home, asked, "warehouse", "advance", str(warehouse), "--bars", str(asked.bars))
        day = _build("after one more day", home, asked)
    _write(what, full, day, asked)


def _build(name: str, home: Path, asked: Namespace) -> _Build:
    plan, *_ = _bqx(home, asked, "plan", PAIR.name)
    before, seconds, cpu_seconds = _checkpoints(home), 0.0, 0.0
    for stage in asked.stages:
        _, wall, cpu = _bqx(home, asked, stage, PAIR.name)
        seconds, cpu_seconds = seconds + wall, cpu_seconds + cpu
    written = {path: size for path, (size, mark) in _checkpoints(home).items() if before.get(path) != (size, mark)}
    found = _Build(name, plan, seconds, cpu_seconds, len(written), sum(written.values()))
    print(f"  {name}: {found.read_bytes / 1e9:.2f} GB, {seconds:.1f} s, {cpu_seconds:.1f} CPU s, {len(written)} pieces")
    return found


def _checkpoints(home: Path) -> dict[Path, tuple[int, tuple[int, int]]]:
    """Return size, inode and time of each file of the checkpoints."""
    stats = {path: path.stat() for path in (home / "checkpoints").rglob("*.parquet")}
    return {path: (stat.st_size, (stat.st_ino, stat.st_mtime_ns)) for path, stat in stats.items()}


def _bqx(home: Path, asked: Namespace, *words: str) -> tuple[dict[str, Any], float, float]:
    """Run a command; return its JSON answer, wall seconds, and CPU seconds with those of its own processes."""
    own = {"BQX_WAREHOUSE": str(home / "warehouse"), "BQX_PERIOD": asked.period}
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
    head = ["", "GB to read", "GB in all", "periods by the plan", "pieces written", "GB of them", "seconds", "CPU s"]
    total_bytes = day.plan.get("total_bytes", full.read_bytes)
    read, cpu = day.read_bytes / total_bytes, day.cpu_seconds / full.cpu_seconds
    claims = {
        f"one more day reads {read:.1%} of the bytes (bar {READ_SHARE:.0%})": read <= READ_SHARE,
        f"it takes {cpu:.1%} of the CPU seconds of the full build (bar {CPU_SHARE:.0%})": cpu <= CPU_SHARE,
    }
    text = f"{what}; periods: {asked.period}; stages: {', '.join(asked.stages)}. {_NOTES}"
    fleet = _fleet(total_bytes / int(full.plan["columns"]), asked)
    parts = ["## A refresh", text, table(head, [full.cells(), day.cells()]), bars(claims), fleet]
    write_section("refresh", "\n\n".join(parts))
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
