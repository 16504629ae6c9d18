"""Reads 500 columns spread over a file that the product wrote, and over files of the same values written otherwise.

``python -m benchmarks.reading``. The others are the product's encodings before it chose one for each column (plain or a
dictionary, zstd level 1), and Polars' default. Polars, pyarrow and DuckDB read, each in a process of its own.
"""

from __future__ import annotations

import secrets
import sys
from collections.abc import Callable
from itertools import product
from pathlib import Path

import polars as pl

from benchmarks import mixes, selections, writers
from benchmarks.measured import Apart, Runs, alternating, make_cold, make_warm
from benchmarks.place import parser_of, workplace
from benchmarks.report import DOCUMENT, bars, table, write_section

_READERS: dict[str, Callable[[str, str], int]] = {
    "Polars": selections.by_polars,
    "pyarrow": selections.by_pyarrow,
    "DuckDB": selections.by_duckdb,
}
_STATES = {"warm": make_warm, "cold": make_cold}
_MEASURES: dict[str, Callable[[Runs], float]] = {"s": lambda runs: runs.seconds, "CPU s": lambda runs: runs.cpu_seconds}
_BAR = 1.05
"""Reading takes no longer than from files written as before; files of the same bytes differ by up to 5% in a run."""
_OF_THE_BAR = ("Polars", "pyarrow")


def main() -> None:
    """Write the files, read them in turn, and write the results."""
    parser = parser_of(__doc__)
    parser.add_argument("--rows", type=int, default=177_748)
    parser.add_argument("--columns", type=int, default=2_000, help="of the file")
    parser.add_argument("--read", type=int, default=500, help="columns that are read")
    parser.add_argument(
        "--kinds", nargs="+", default=list(mixes.KINDS), help="of the columns, as benchmarks.mixes has them"
    )
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**32), help="of the values; default a new one")
    asked = parser.parse_args()
    what = f"{asked.read} of {asked.columns:,} columns x {asked.rows:,} rows"
    found: dict[tuple[str, str, str], Runs] = {}
    needed_bytes = 3 * mixes.BYTES_PER_VALUE * asked.columns * asked.rows
    with workplace(asked, needed_bytes, what) as home:
        files = _files(mixes.frame(asked.seed, asked.columns, asked.rows, asked.kinds), home)
        _refuse_other_values(list(files.values()), asked.read)
        sizes = [f"{name} {path.stat().st_size / 1e6:,.0f} MB" for name, path in files.items()]
        apart = Apart()
        for reader, state in product(_READERS, _STATES):
            for name in alternating(list(files), asked.rounds):
                _STATES[state]([files[name]])
                run = apart.run(_READERS[reader], files[name], asked.read)
                found.setdefault((reader, state, name), Runs()).runs.append(run)
            print(f"  {reader}, {state}", flush=True)
    lines = [
        [f"{reader}, {state}, {unit}", *(f"{of(found[reader, state, name]):.2f}" for name in files)]
        for reader, state in product(_READERS, _STATES)
        for unit, of in _MEASURES.items()
    ]
    kinds = "all kinds" if asked.kinds == list(mixes.KINDS) else ", ".join(asked.kinds)
    text = f"{what}, spread evenly, seed {asked.seed}, {kinds} of `benchmarks/mixes.py`. Files: {', '.join(sizes)}."
    claims = _claims(found)
    parts = ["## Reading a selection", text, table(["", *files], lines), bars(claims)]
    write_section("reading", "\n\n".join(parts), DOCUMENT.with_name("performance-encoding.md"))
    sys.exit(0 if all(claims.values()) else 1)


def _files(frame: pl.DataFrame, home: Path) -> dict[str, Path]:
    files = {"the product": writers.as_the_product, "as before": writers.as_before, "Polars": writers.as_polars}
    for number, write in enumerate(files.values()):
        write(frame, home / f"{number}.parquet")
    return {name: home / f"{number}.parquet" for number, name in enumerate(files)}


def _refuse_other_values(files: list[Path], columns: int) -> None:
    """End the program unless the files have the same values in the columns that are read."""
    chosen = selections.spread(pl.read_parquet_schema(files[0]), columns)
    first, *others = (pl.read_parquet(file, columns=chosen) for file in files)
    if not all(first.equals(other, null_equal=True) for other in others):
        raise SystemExit("not equal: the files have other values")


def _claims(found: dict[tuple[str, str, str], Runs]) -> dict[str, bool]:
    claims: dict[str, bool] = {}
    for reader, state in product(_OF_THE_BAR, _STATES):
        ours, before = found[reader, state, "the product"], found[reader, state, "as before"]
        ratio, cpu = ours.seconds / before.seconds, ours.cpu_seconds / before.cpu_seconds
        claims[f"{reader}, {state}: {ratio:.2f}x the time of files as before, {cpu:.2f}x the CPU (bar {_BAR}x)"] = (
            max(ratio, cpu) <= _BAR
        )
    return claims


if __name__ == "__main__":
    main()
