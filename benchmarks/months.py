"""Measures what an embedded warehouse needs to tell the states of months, against reading its tables once.

``python -m benchmarks.months --tables 30 --rows 2160000``
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import polars as pl

from benchmarks.columns import column, keys
from benchmarks.folders import BYTES_PER_VALUE, chosen_tables, column_count
from benchmarks.place import parser_of, workplace
from benchmarks.report import table, write_section
from bqx_assets.catalogue.families import FEATURES_DATASET
from bqx_assets.extract.embedded import LocalWarehouse
from bqx_assets.extract.embedded_layout import table_path
from bqx_assets.extract.warehouse import ReadRequest
from bqx_assets.sandbox.table_files import write_table


def main() -> None:
    """Make the tables, ask for their months and read them in turn, and write the result."""
    parser = parser_of(__doc__)
    parser.add_argument("--rows", type=int, default=500_000)
    parser.add_argument("--tables", type=int, default=10)
    asked = parser.parse_args()
    chosen = chosen_tables(asked.tables)
    what = f"{asked.tables} tables, {column_count(chosen):,} columns x {asked.rows:,} rows"
    with workplace(asked, 2 * BYTES_PER_VALUE * column_count(chosen) * asked.rows, what) as home:
        rng = np.random.default_rng(1)
        for each in chosen:
            path = table_path(home, FEATURES_DATASET, each.table)
            path.parent.mkdir(exist_ok=True)
            features = [column(name, kind, asked.rows, rng) for name, kind in each.columns]
            write_table(path, pl.DataFrame([keys(asked.rows), *features]))
        rounds = [(_cpu_seconds(_months, home), _cpu_seconds(_read, home)) for _ in range(asked.rounds)]
        size_bytes = sum(path.stat().st_size for path in home.rglob("*.parquet"))
    months, read = (median(seconds) for seconds in zip(*rounds, strict=True))
    head = ["", "CPU s", "CPU s a GB", "of reading once"]
    found = {"states of months": months, "reading all rows once": read}
    rows = [[name, f"{cpu:.2f}", f"{cpu / size_bytes * 1e9:.2f}", f"{cpu / read:.1%}"] for name, cpu in found.items()]
    facts = f"{what}, {size_bytes / 1e9:.2f} GB in the page cache; the medians of {asked.rounds} rounds."
    write_section("states of months", f"## States of months\n\n{facts}\n\n{table(head, rows)}")


def _cpu_seconds(work: Callable[[LocalWarehouse], None], home: Path) -> float:
    began = time.process_time()
    work(LocalWarehouse(home))
    return time.process_time() - began


def _months(warehouse: LocalWarehouse) -> None:
    warehouse.months(warehouse.describe())


def _read(warehouse: LocalWarehouse) -> None:
    for each in warehouse.describe():
        for _ in warehouse.read(ReadRequest(each, tuple(each.types()), warehouse.snapshot())):
            pass


if __name__ == "__main__":
    main()
