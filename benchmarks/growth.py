"""Measures how cost grows with tables, rows and columns, and writes ``docs/growth.svg`` and a table.

``python -m benchmarks.growth``. Exit code 1 where our peak memory grows with the number of tables.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks import contestants, readers
from benchmarks.folders import BYTES_PER_VALUE, chosen_tables, column_count, make_folders
from benchmarks.measured import Apart, Run
from benchmarks.place import parser_of, workplace
from benchmarks.plot import Panel, svg
from benchmarks.report import DOCUMENT, bars, table, write_section
from bqx_assets.base.files import write_atomic

MEMORY_BAR = 1.3
"""Greatest ratio of the peak memory with four times the tables to that with the tables."""
_FACTORS = (1, 2, 4)
_AXES = ("tables", "rows", "columns of a table")
_CONTESTANTS = ("splice", "deep check", "raw merge", "eager joins")


def main() -> None:
    """Run every contestant at every size, draw the curves, and write the results."""
    parser = parser_of(__doc__)
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--tables", type=int, default=40)
    asked = parser.parse_args()
    base = column_count(chosen_tables(asked.tables))
    needed_bytes = 5 * max(_FACTORS) * BYTES_PER_VALUE * base * asked.rows
    what = f"from {asked.tables} tables, {base:,} columns x {asked.rows:,} rows, to {max(_FACTORS)} times each"
    found: dict[tuple[str, int, str], Run] = {}
    with workplace(asked, needed_bytes, what) as home:
        for axis in _AXES:
            for factor in _FACTORS:
                if axis != _AXES[0] and factor == 1:
                    found |= {(axis, 1, name): found[_AXES[0], 1, name] for name in _CONTESTANTS}
                else:
                    runs = _size(home / f"{axis}{factor}".replace(" ", ""), axis, factor, asked.tables, asked.rows)
                    found |= {(axis, factor, name): run for name, run in runs.items()}
    sizes = {"tables": asked.tables, "rows": asked.rows, "columns of a table": round((base - 50) / asked.tables)}
    write_atomic(DOCUMENT.parent / "growth.svg", svg(_panels(found, sizes)).encode())
    claims = _claims(found)
    head = ["", *(f"{axis} x{factor}" for axis in _AXES for factor in _FACTORS)]
    rows = [[name, *(_cell(found[a, f, name]) for a in _AXES for f in _FACTORS)] for name in _CONTESTANTS]
    text = f"## How cost grows\n\n{what[:1].upper()}{what[1:]}. Cells: seconds / peak MB.\n\n![growth](growth.svg)"
    write_section("growth", "\n\n".join((text, table(head, rows), bars(claims))))
    sys.exit(0 if all(claims.values()) else 1)


def _size(home: Path, axis: str, factor: int, tables: int, rows: int) -> dict[str, Run]:
    chosen = chosen_tables(
        tables * (factor if axis == "tables" else 1), wider=factor if axis == "columns of a table" else 1
    )
    make_folders(home, chosen, rows * (factor if axis == "rows" else 1))
    output = home / "training_eurusd.parquet"
    calls: dict[str, tuple[Callable[..., object], tuple[object, ...]]] = {
        "splice": (contestants.splice, (home / "slabs", output)),
        "deep check": (readers.deep, (output,)),
        "raw merge": (contestants.raw_merge, (home / "raw", output)),
        "eager joins": (contestants.eager_joins, (home / "raw", output)),
    }
    runs: dict[str, Run] = {}
    for name, (function, arguments) in calls.items():
        best = [Apart().run(function, *arguments) for _ in range(2)]
        runs[name] = min(best, key=lambda run: run.seconds)
        print(f"  {axis} x{factor}, {name}: {_cell(runs[name])}", flush=True)
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
    for name in _CONTESTANTS[:3]:
        ratio = found["tables", _FACTORS[-1], name].peak_bytes / found["tables", 1, name].peak_bytes
        claims[f"{name}: peak memory at 4 times the tables is {ratio:.2f}x (bar {MEMORY_BAR}x)"] = ratio <= MEMORY_BAR
    return claims


def _cell(run: Run) -> str:
    return run.outcome or f"{run.seconds:.2f} / {run.peak_bytes / 1e6:,.0f}"


if __name__ == "__main__":
    main()
