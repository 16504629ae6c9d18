"""Measures the checks of a training file: the shallow pass, and the deep one against decoding the file once by Polars.

``python -m benchmarks.checks --tables 667``. Exit code 1 where a bar is missed.
"""

from __future__ import annotations

import sys
from typing import get_args

from benchmarks import contestants, uses
from benchmarks.columns import keys
from benchmarks.folders import BYTES_PER_VALUE, chosen_tables, column_count, make_folders
from benchmarks.measured import Apart, Runs, alternating, make_cold, make_warm
from benchmarks.place import parser_of, workplace
from benchmarks.report import bars, table, write_section
from bqx_assets.base.settings import PeriodUnit
from bqx_assets.extract.periods import periods_in

SHALLOW_BAR_SECONDS = 3.0
DEEP_BAR = 1.3
PEAK_BYTES = 1 << 30
_CALLS = {"shallow": uses.shallow, "deep": uses.deep, "decode once, Polars": uses.decode_all}


def main() -> None:
    """Make a spliced file, check it and decode it in turn, and write the results."""
    parser = parser_of(__doc__)
    parser.add_argument("--rows", type=int, default=177_748)
    parser.add_argument("--tables", type=int, default=667)
    parser.add_argument("--period", choices=get_args(PeriodUnit), default="none")
    asked = parser.parse_args()
    chosen = chosen_tables(asked.tables)
    file_bytes = BYTES_PER_VALUE * column_count(chosen) * asked.rows
    groups = len(periods_in(keys(asked.rows), asked.period))
    what = f"{asked.tables} tables and targets, {column_count(chosen):,} columns x {asked.rows:,} rows"
    what += f" in {groups} row groups" * (groups > 1)
    found = {name: Runs() for name in _CALLS}
    apart = Apart(limit_seconds=1_800)
    with workplace(asked, (1.1 if asked.data and asked.data.exists() else 3.1) * file_bytes, what) as home:
        whole = asked.data or home / "whole"
        if not whole.exists():
            make_folders(whole, chosen, asked.rows, asked.period)
        file = home / "training_eurusd.parquet"
        apart.run(contestants.splice, whole / "slabs", file)
        for name in alternating(list(_CALLS), asked.rounds):
            (make_warm if name == "shallow" else make_cold)([file])
            found[name].runs.append(apart.run(_CALLS[name], file))
            last = found[name].runs[-1]
            print(f"  {name}: {last.outcome or f'{last.seconds:.2f} s'}, {last.peak_bytes / 1e6:,.0f} MB", flush=True)
        size_bytes = file.stat().st_size
    claims = _claims(found)
    rows = [
        [name, f"{runs.seconds:.2f}", runs.spread, f"{runs.cpu_seconds:.2f}", f"{runs.peak_bytes / 1e6:,.0f}"]
        for name, runs in found.items()
    ]
    head = ["", "median s", "from-to s", "CPU s", "peak MB"]
    name = "checks" + " of several row groups" * (groups > 1)
    facts = f"{what}, {size_bytes / 1e9:.2f} GB, not in the page cache but for the shallow pass."
    write_section(name, "\n\n".join((f"## {name.capitalize()}", facts, table(head, rows), bars(claims))))
    sys.exit(0 if all(claims.values()) else 1)


def _claims(found: dict[str, Runs]) -> dict[str, bool]:
    shallow, deep, decode = found.values()
    ratio, cpu = deep.seconds / decode.seconds, deep.cpu_seconds / decode.cpu_seconds
    return {
        f"shallow checks take {shallow.seconds:.2f} s (bar 3 s)": shallow.seconds < SHALLOW_BAR_SECONDS,
        f"the deep pass takes {ratio:.2f}x decoding once, {cpu:.2f}x its CPU (bar {DEEP_BAR}x)": ratio <= DEEP_BAR,
        f"the deep pass peaks at {deep.peak_bytes / 1e6:,.0f} MB (bar 1,074 MB)": deep.peak_bytes < PEAK_BYTES,
    }


if __name__ == "__main__":
    main()
