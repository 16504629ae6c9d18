"""Measures a float32 edition of a training file: bytes by encoding, the seconds to make it, and what it loses.

``python -m benchmarks.narrow``. Columns of each kind of ``benchmarks.mixes`` that holds FLOAT64, or those of a training
file (``--data``), are written as float64 and as float32 in each encoding. No byte of one is a byte of the other, so an
edition costs at least decoding, casting and encoding of every value.
"""

from __future__ import annotations

import secrets
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import numpy as np
import polars as pl
import pyarrow.parquet as pq

from benchmarks import mixes
from benchmarks.place import parser_of, workplace
from benchmarks.report import DOCUMENT, table, write_section
from benchmarks.selections import spread
from bqx_assets.extract.encoding import as_arrow, parquet_writer
from bqx_assets.extract.encodings import Encoding

_ENCODINGS = (Encoding("split", "zstd", 1), Encoding("plain", "zstd", 1), Encoding("dictionary", "zstd", 1))
_TYPES = (pl.Float64, pl.Float32)
T = TypeVar("T")


def main() -> None:
    """Write each column in every way, and write the results."""
    parser = parser_of(__doc__)
    parser.add_argument("--rows", type=int, default=93_000, help="of a column: a quarter's")
    parser.add_argument("--columns", type=int, default=20, help="of each kind, or 12 times as many of a training file")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**32), help="of the values; default a new one")
    asked = parser.parse_args()
    sizes: dict[tuple[str, str, str], float] = defaultdict(float)
    seconds: dict[str, float] = defaultdict(float)
    losses: dict[str, list[float]] = defaultdict(list)
    values: dict[str, int] = defaultdict(int)
    with workplace(asked, 1e9, f"{asked.columns} columns of a kind x {asked.rows:,} rows, seed {asked.seed}") as home:
        for kind, column in _columns(asked.data, asked.columns, asked.rows, asked.seed):
            values[kind] += column.len()
            losses[kind].append(_loss(column))
            for dtype in _TYPES:
                held = _timed(seconds, f"cast to {dtype}", lambda to=dtype, of=column: of.cast(to))
                found = {str(each): _written(held, each, home / "one.parquet", seconds) for each in _ENCODINGS}
                for name, size in (found | {"best": min(found.values())}).items():
                    sizes[kind, str(dtype), name] += size
    _write(sizes, seconds, losses, values, f"{asked.rows:,} rows, seed {asked.seed}")


def _columns(file: Path | None, count: int, rows: int, seed: int) -> Iterator[tuple[str, pl.Series]]:
    """Give the columns with their kinds; those of a training file, spread over it, are of one kind."""
    if file is not None:
        names = [name for name, dtype in pl.read_parquet_schema(file).items() if dtype == pl.Float64]
        for column in pl.read_parquet(file, columns=spread(names, 12 * count), n_rows=rows).get_columns():
            yield file.stem, column
        return
    rng = np.random.default_rng(seed)
    for kind, each in mixes.KINDS.items():
        if each.type == "FLOAT64":
            for number in range(count):
                yield kind, mixes.column(f"{kind}_{number}", rows, rng)


def _written(column: pl.Series, encoding: Encoding, path: Path, seconds: dict[str, float]) -> int:
    """Write and read the column; return the bytes that its values take."""
    frame = column.to_frame()

    def write() -> None:
        with parquet_writer(path, frame, {column.name: encoding}) as writer:
            writer.write_table(as_arrow(frame), row_group_size=frame.height)

    _timed(seconds, f"encode {column.dtype} as {encoding}", write)
    read = _timed(seconds, f"decode {column.dtype} of {encoding}", lambda: pl.read_parquet(path))
    if not read.equals(frame, null_equal=True):
        raise SystemExit(f"{column.name}, {encoding}: other values")
    return int(pq.read_metadata(path).row_group(0).column(0).total_compressed_size)


def _timed(seconds: dict[str, float], name: str, work: Callable[[], T]) -> T:
    began = time.process_time()
    result = work()
    seconds[name] += time.process_time() - began
    return result


def _loss(column: pl.Series) -> float:
    """Return the share of a column's different values that float32 does not tell apart."""
    known = column.drop_nulls()
    different = known.n_unique()
    return 1 - known.cast(pl.Float32).n_unique() / different if different else 0.0


def _write(
    sizes: dict[tuple[str, str, str], float],
    seconds: dict[str, float],
    losses: dict[str, list[float]],
    values: dict[str, int],
    what: str,
) -> None:
    for (_, dtype, name), size in list(sizes.items()):
        sizes["all", dtype, name] += size
    losses["all"] = [each for found in losses.values() for each in found]
    counts = values | {"all": sum(values.values())}
    ways = [(dtype, name) for name in (str(_ENCODINGS[0]), "best") for dtype in ("Float64", "Float32")]
    lines = [
        [
            kind,
            *(f"{sizes[kind, *way] / counts[kind]:.2f}" for way in ways),
            f"{sizes[kind, 'Float32', 'best'] / sizes[kind, 'Float64', 'best']:.2f}",
            f"{sum(losses[kind]) / len(losses[kind]):.1%}",
        ]
        for kind in counts
    ]
    head = ["kind", *(f"{dtype}, {name}" for dtype, name in ways), "ratio of the best", "values that fall together"]
    gigabytes = 8 * sum(values.values()) / 1e9
    costs = [[name, f"{each / gigabytes:.2f}"] for name, each in sorted(seconds.items())]
    parts = [
        "## Float32", f"{what}. Bytes per value:", table(head, lines),
        "Processor seconds for 1 GB of decoded float64, 125 million values:", table(["", "CPU s"], costs),
    ]  # fmt: skip
    source = "a training file" if len(values) == 1 else "mixes"
    write_section(f"narrow of {source}", "\n\n".join(parts), DOCUMENT.with_name("performance-encoding.md"))


if __name__ == "__main__":
    main()
