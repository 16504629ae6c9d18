"""Measures what dictionaries are worth: the slabs' writer against Polars, and against none and all.

``python -m benchmarks.encoding``. The rule itself is in ``extract.encoding``.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq

from benchmarks.columns import keys, pool
from benchmarks.measured import alternating
from benchmarks.place import parser_of, workplace
from benchmarks.report import table, write_section
from bqx_assets.extract.encoding import as_arrow, parquet_writer

_COLUMNS = 16
"""Number of columns of each kind."""


def main() -> None:
    """Write and read every kind of column by every writer in turn, and write the results."""
    parser = parser_of(__doc__)
    parser.add_argument("--rows", type=int, default=177_748)
    asked = parser.parse_args()
    kinds = _kinds(asked.rows)
    lines: list[list[str]] = []
    with workplace(asked, 10 * _COLUMNS * asked.rows, f"{len(kinds)} kinds of column x {asked.rows:,} rows") as home:
        path = home / "columns.parquet"
        for kind, frame in kinds.items():
            found: dict[str, list[tuple[float, float]]] = {name: [] for name in _WRITERS}
            sizes: dict[str, int] = {}
            for name in alternating(list(_WRITERS), 2 + asked.rounds):
                write = _cpu_seconds(_WRITERS[name], frame, path)
                sizes[name] = path.stat().st_size
                found[name].append((write, _cpu_seconds(pl.read_parquet, path)))
            values = frame.height * frame.width
            for name, times in found.items():
                write, read = (statistics.median(part) / (8 * values / 1e9) for part in zip(*times, strict=True))
                lines.append([f"{kind}: {name}", f"{sizes[name] / values:.2f}", f"{write:.2f}", f"{read:.2f}"])
            print(f"  {kind}", flush=True)
    head = ["", "bytes per value", "encoding, CPU s/GB", "decoding by Polars, CPU s/GB"]
    text = f"{_COLUMNS} columns of each kind x {asked.rows:,} rows, zstd level 1; a GB is of decoded values."
    write_section("encoding", "\n\n".join(("## Dictionaries", text, table(head, lines))))


def _kinds(rows: int) -> dict[str, pl.DataFrame]:
    rng, made = np.random.default_rng(23), pool(rows)
    kinds = {
        "prices of five digits": made[:8],
        "indicators of five digits": made[8:13],
        "changes of five digits": made[13:15],
        "quotients, all digits": made[15:],
        "minutes of the day": [rng.integers(0, 1_440, rows)],
        "times": [keys(rows).to_physical().to_numpy()],
    }
    return {
        kind: pl.DataFrame([pl.Series(f"c{n}", np.roll(of[n % len(of)], 1_000 * n)) for n in range(_COLUMNS)])
        for kind, of in kinds.items()
    }


def _cpu_seconds(function: Callable[..., object], *arguments: object) -> float:
    began = time.process_time()
    function(*arguments)
    return time.process_time() - began


def _by_polars(frame: pl.DataFrame, path: Path) -> None:
    frame.write_parquet(path, compression="zstd", compression_level=1, statistics=True, row_group_size=frame.height)


def _by_pyarrow(frame: pl.DataFrame, path: Path, *, dictionaries: bool) -> None:
    pq.write_table(
        as_arrow(frame),
        path,
        compression="zstd",
        compression_level=1,
        use_dictionary=dictionaries,
        row_group_size=frame.height,
        store_schema=False,
    )


def _by_ours(frame: pl.DataFrame, path: Path) -> None:
    with parquet_writer(path, frame) as writer:
        writer.write_table(as_arrow(frame), row_group_size=frame.height)


_WRITERS: dict[str, Callable[[pl.DataFrame, Path], None]] = {
    "Polars": _by_polars,
    "a dictionary for none": lambda frame, path: _by_pyarrow(frame, path, dictionaries=False),
    "a dictionary for all": lambda frame, path: _by_pyarrow(frame, path, dictionaries=True),
    "the product": _by_ours,
}


if __name__ == "__main__":
    main()
