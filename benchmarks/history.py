"""Measures a pair over its whole history: 2.16 million minutes, fewer tables, each stage in a process of its own.

``python -m benchmarks.history --rows 2160000 --tables 30``. Exit code 1 where a bar is missed.
"""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path
from typing import get_args

from benchmarks import stages, uses
from benchmarks.folders import BYTES_PER_VALUE, PAIR, chosen_tables, column_count, make_warehouse
from benchmarks.measured import Apart, Run, make_cold
from benchmarks.place import parser_of, workplace
from benchmarks.report import bars, table, write_section
from bqx_assets.base.process import worker_count
from bqx_assets.base.settings import PeriodUnit
from bqx_assets.merge.footer import read_footer
from bqx_assets.quality.scan import stated_groups

WHOLE_COLUMNS = 17_031
PEAK_BYTES = 1 << 30
_WINDOW_COLUMNS = 600
_WINDOW_DAYS = 395


def main() -> None:
    """Make the warehouse, run the stages, read a window, and write the results."""
    parser = parser_of(__doc__)
    parser.add_argument("--rows", type=int, default=2_160_000)
    parser.add_argument("--tables", type=int, default=30)
    parser.add_argument("--period", choices=get_args(PeriodUnit), default="half-year")
    asked = parser.parse_args()
    chosen = chosen_tables(asked.tables)
    columns = column_count(chosen)
    what = f"{asked.tables} tables and targets, {columns:,} columns x {asked.rows:,} rows"
    apart = Apart(limit_seconds=1_800)
    with workplace(asked, 3.2 * BYTES_PER_VALUE * columns * asked.rows, what) as home:
        make_warehouse(home / "warehouse", chosen, asked.rows)
        calls = {
            "extract and align": (stages.extract, (home, asked.period, 1)),
            "splice": (stages.splice, (home, asked.period)),
            "deep check": (stages.check, (home,)),
        }
        found: dict[str, Run] = {}
        for name, (function, arguments) in calls.items():
            found[name] = apart.run(function, *arguments)
            print(f"  {name}: {_cell(found[name])} {found[name].result or ''}", flush=True)
        file = stages.settings_of(str(home)).training_file(PAIR)
        for state in ("cold", "warm"):
            if state == "cold":
                make_cold([file])
            name = f"read {min(_WINDOW_COLUMNS, columns)} columns over the last {_WINDOW_DAYS} days, {state}"
            found[name] = apart.run(uses.read_window, file, _WINDOW_COLUMNS, _WINDOW_DAYS)
        read_bytes, groups = _window_bytes(file)
        size_bytes = file.stat().st_size
    _write(what, found, columns, asked.rows, (size_bytes, read_bytes, groups))


def _window_bytes(file: Path) -> tuple[int, str]:
    """Return the bytes of a window's columns in the row groups that overlap it, and the share of those groups."""
    footer = read_footer(file)
    groups = stated_groups(footer)
    last = max(int(group.high[0] or 0) for group in groups)  # the key comes first
    since = last - int(timedelta(days=_WINDOW_DAYS).total_seconds()) * 1_000_000
    wanted = [group for group in groups if int(group.high[0] or 0) > since]
    every = max(1, (len(footer.columns) - 1) // _WINDOW_COLUMNS)
    places = [0, *range(1, len(footer.columns), every)][: _WINDOW_COLUMNS + 1]
    size = sum(group.end[place] - group.start[place] for group in wanted for place in places)
    return size, f"{len(wanted)} of {len(groups)}"


def _write(what: str, found: dict[str, Run], columns: int, rows: int, read: tuple[int, int, str]) -> None:
    size_bytes, read_bytes, groups = read
    scale = WHOLE_COLUMNS / columns
    per_column = scale / 60 / worker_count()
    lines = [
        [name, *_figures(run), f"{run.cpu_seconds * per_column:.0f} to {run.seconds * scale / 60:.0f} min"]
        for name, run in found.items()
    ]
    for line in lines[3:]:
        line[-1] = "the same for as many columns"
    head = ["", "seconds", "CPU s", "peak MB", f"{WHOLE_COLUMNS:,} columns: by CPU, by seconds"]
    text = (
        f"{what}: {size_bytes / 1e9:.2f} GB ({size_bytes / columns / rows:.2f} bytes per value; at {WHOLE_COLUMNS:,} "
        f"columns about {size_bytes * scale / 1e9:.0f} GB), row groups of the same rows in every slab. The reader of "
        f"the last {_WINDOW_DAYS} days needs {groups} row groups, "
        f"{read_bytes / 1e9:.2f} GB: the others are skipped by the statistics of `interval_time`."
    )
    claims = {
        f"{name} peaks at {found[name].peak_bytes / 1e6:,.0f} MB (bar 1,074 MB)": found[name].peak_bytes < PEAK_BYTES
        for name in ("extract and align", "splice", "deep check")
    }
    write_section("history", "\n\n".join(("## Any history", text, table(head, lines), bars(claims))))
    sys.exit(0 if all(claims.values()) else 1)


def _figures(run: Run) -> list[str]:
    if run.outcome:
        return [run.outcome, "", ""]
    return [f"{run.seconds:.1f}", f"{run.cpu_seconds:.1f}", f"{run.peak_bytes / 1e6:,.0f}"]


def _cell(run: Run) -> str:
    return run.outcome or f"{run.seconds:.1f} s, {run.peak_bytes / 1e6:,.0f} MB"


if __name__ == "__main__":
    main()
