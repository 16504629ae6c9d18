"""Measures how cost grows with tables, history, periods and columns, and writes ``docs/growth.svg`` and a table.

``python -m benchmarks.growth``. History grows in months, each a period; periods grow by cutting the same rows shorter.
Exit code 1 where our peak memory grows with tables, history or periods.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks import contestants, stages, uses
from benchmarks.folders import BYTES_PER_VALUE, chosen_tables, column_count, make_folders, make_warehouse
from benchmarks.measured import Apart, Run
from benchmarks.place import parser_of, workplace
from benchmarks.plot import Panel, svg
from benchmarks.report import DOCUMENT, bars, table, write_section
from bqx_assets.base.files import write_atomic
from bqx_assets.base.settings import PeriodUnit

MEMORY_BAR = 1.3
"""Greatest ratio of the peak memory at four times a size to that at the size."""
_FACTORS = (1, 2, 4)
_UNITS: tuple[PeriodUnit, ...] = ("half-year", "quarter", "month")
"""Units that cut the rows of ``periods`` into 1, 2 and 4."""
_BARRED = ("tables", "rows of history", "periods")
_AXES = (*_BARRED, "columns of a table")
_OURS = ("extract", "splice", "deep check", "raw merge")
_CONTESTANTS = (*_OURS, "eager joins")


@dataclass(frozen=True, slots=True)
class _Size:
    """What is built at one point of an axis."""

    tables: int
    rows: int
    wider: int = 1
    period: PeriodUnit = "month"


def main() -> None:
    """Run every contestant at every size, draw the curves, and write the results."""
    parser = parser_of(__doc__)
    parser.add_argument("--rows", type=int, default=60_000)
    parser.add_argument("--tables", type=int, default=40)
    asked = parser.parse_args()
    base = column_count(chosen_tables(asked.tables))
    needed_bytes = 6 * max(_FACTORS) * BYTES_PER_VALUE * base * asked.rows
    what = f"from {asked.tables} tables, {base:,} columns x {asked.rows:,} rows, to {max(_FACTORS)} times each"
    found, runs = dict[tuple[str, int, str], Run](), dict[_Size, dict[str, Run]]()
    with workplace(asked, needed_bytes, what) as home:
        for axis in _AXES:
            for factor in _FACTORS:
                size = _size(axis, factor, asked.tables, asked.rows)
                if size not in runs:
                    runs[size] = _runs(home / str(len(runs)), size, f"{axis} x{factor}")
                found |= {(axis, factor, name): run for name, run in runs[size].items()}
    columns = round((base - 50) / asked.tables)
    sizes: dict[str, int] = dict(zip(_AXES, (asked.tables, asked.rows, 1, columns), strict=True))
    write_atomic(DOCUMENT.parent / "growth.svg", svg(_panels(found, sizes)).encode())
    claims = _claims(found)
    head = ["", *(f"{axis} x{factor}" for axis in _AXES for factor in _FACTORS)]
    rows = [[name, *(_cell(found[a, f, name]) for a in _AXES for f in _FACTORS)] for name in _CONTESTANTS]
    text = f"## How cost grows\n\n{what[:1].upper()}{what[1:]}. Cells: seconds / peak MB.\n\n![growth](growth.svg)"
    write_section("growth", "\n\n".join((text, table(head, rows), bars(claims))))
    sys.exit(0 if all(claims.values()) else 1)


def _size(axis: str, factor: int, tables: int, rows: int) -> _Size:
    """Return what is built at ``factor`` times the least size of an axis; all others stay at their least."""
    if axis == "tables":
        return _Size(tables * factor, rows)
    if axis == "rows of history":
        return _Size(tables, rows * factor)
    if axis == "periods":
        return _Size(tables, 2 * rows, period=_UNITS[_FACTORS.index(factor)])
    return _Size(tables, rows, wider=factor)


def _runs(home: Path, size: _Size, label: str) -> dict[str, Run]:
    """Make the tables of a size, and run every contestant twice; return the faster run of each."""
    chosen = chosen_tables(size.tables, size.wider)
    make_folders(home, chosen, size.rows, size.period)
    make_warehouse(home / "warehouse", chosen, size.rows)
    output = home / "training_eurusd.parquet"
    calls: dict[str, tuple[Callable[..., object], tuple[object, ...]]] = {
        "extract": (stages.extract_anew, (home, size.period)),
        "splice": (contestants.splice, (home / "slabs", output)),
        "deep check": (uses.deep, (output,)),
        "raw merge": (contestants.raw_merge, (home / "raw", output)),
        "eager joins": (contestants.eager_joins, (home / "raw", output)),
    }
    runs: dict[str, Run] = {}
    for name, (function, arguments) in calls.items():
        best = [Apart().run(function, *arguments) for _ in range(2)]
        runs[name] = min(best, key=lambda run: run.seconds)
        print(f"  {label}, {name}: {_cell(runs[name])}", flush=True)
    for path in sorted(home.rglob("*")):
        if path.is_file():
            path.unlink()
    return runs


def _panels(found: dict[tuple[str, int, str], Run], sizes: dict[str, int]) -> list[list[Panel]]:
    measures: dict[str, Callable[[Run], float]] = {
        "seconds": lambda run: run.seconds,
        "peak memory, MB": lambda run: run.peak_bytes / 1e6,
    }
    return [
        [
            Panel(
                f"{title} by {axis}",
                axis,
                {
                    name: [(sizes[axis] * factor, measure(found[axis, factor, name])) for factor in _FACTORS]
                    for name in _CONTESTANTS
                },
            )
            for axis in _AXES
        ]
        for title, measure in measures.items()
    ]


def _claims(found: dict[tuple[str, int, str], Run]) -> dict[str, bool]:
    claims: dict[str, bool] = {}
    for axis in _BARRED:
        for name in _OURS:
            ratio = found[axis, _FACTORS[-1], name].peak_bytes / found[axis, 1, name].peak_bytes
            text = f"{name}: peak memory at {_FACTORS[-1]} times the {axis} is {ratio:.2f}x (bar {MEMORY_BAR}x)"
            claims[text] = ratio <= MEMORY_BAR
    return claims


def _cell(run: Run) -> str:
    return run.outcome or f"{run.seconds:.2f} / {run.peak_bytes / 1e6:,.0f}"


if __name__ == "__main__":
    main()
