"""Measures what each kind of column costs in each encoding: bytes, encoding, decoding by Polars and by pyarrow.

``python -m benchmarks.encoding``. Polars' default and the product's writer stand beside them. The values come from a
generator with a new seed in each run (``--seed`` repeats one), so that no rule is tuned to one file.
"""

from __future__ import annotations

import secrets
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import polars as pl
import pyarrow.parquet as pq

from benchmarks.columns import keys
from benchmarks.measured import alternating
from benchmarks.place import parser_of, workplace
from benchmarks.report import DOCUMENT, table, write_section
from bqx_assets.extract.encoding import as_arrow, parquet_writer

_DOCUMENT = DOCUMENT.with_name("performance-encoding.md")
_COLUMNS = 8
"""Number of columns of each kind."""

Encoding = Literal["PLAIN", "DICTIONARY", "BYTE_STREAM_SPLIT", "DELTA_BINARY_PACKED"]
Write = Callable[[pl.DataFrame, Path], None]


class Codec(NamedTuple):
    """A compression as pyarrow names it, and its level."""

    name: Literal["zstd", "lz4", "none"]
    level: int | None = None

    def __str__(self) -> str:
        return self.name + ("" if self.level is None else f" {self.level}")


_CODECS = (Codec("zstd", 1), Codec("zstd", 3), Codec("lz4"), Codec("none"))


def main() -> None:
    """Write and read every kind of column by every writer in turn, and write the results."""
    parser = parser_of(__doc__)
    parser.add_argument("--rows", type=int, default=177_748)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**32), help="of the values; default a new one")
    asked = parser.parse_args()
    kinds = _kinds(asked.rows, np.random.default_rng(asked.seed))
    lines: list[list[str]] = []
    with workplace(asked, 10 * _COLUMNS * asked.rows, f"{len(kinds)} kinds of column x {asked.rows:,} rows") as home:
        for kind, frame in kinds.items():
            lines += _measured(kind, frame, home / "columns.parquet", asked.rounds)
            print(f"  {kind}", flush=True)
    head = ["", "bytes a value", "encoding", "decoding, Polars", "decoding, pyarrow"]
    text = (
        f"{_COLUMNS} columns of each kind x {asked.rows:,} rows, seed {asked.seed}. Encoding and decoding are in CPU "
        "seconds for 125 million values, which is 1 GB of numbers. Polars writes with its defaults."
    )
    write_section("encoding", "\n\n".join(("## Encodings", text, table(head, lines))), _DOCUMENT)


def _measured(kind: str, frame: pl.DataFrame, path: Path, rounds: int) -> Iterator[list[str]]:
    writers = _writers(frame)
    found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in writers}
    sizes: dict[str, int] = {}
    for name in alternating(list(writers), rounds):
        write = _cpu_seconds(writers[name], frame, path)
        sizes[name] = path.stat().st_size
        found[name].append((write, _cpu_seconds(pl.read_parquet, path), _cpu_seconds(_read_by_pyarrow, path)))
    values = frame.height * frame.width
    for name, times in found.items():
        costs = [statistics.median(part) * 125e6 / values for part in zip(*times, strict=True)]
        yield [f"{kind}: {name}", f"{sizes[name] / values:.2f}", *(f"{cost:.2f}" for cost in costs)]


def _writers(frame: pl.DataFrame) -> dict[str, Write]:
    """Return Polars' writer, the product's, and one for each encoding that the frame's type has and each codec."""
    encodings: list[Encoding] = ["PLAIN", "DICTIONARY"]
    kind = frame.dtypes[0]
    if kind.is_numeric():
        encodings.append("BYTE_STREAM_SPLIT")
    if kind.is_integer() or kind.is_temporal():
        encodings.append("DELTA_BINARY_PACKED")
    writers: dict[str, Write] = {"Polars": _by_polars, "the product": _by_ours}
    for encoding in encodings:
        for codec in _CODECS:
            writers[f"{encoding}, {codec}"] = partial(_by_pyarrow, encoding=encoding, codec=codec)
    return writers


def _kinds(rows: int, rng: np.random.Generator) -> dict[str, pl.DataFrame]:
    def walk() -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        return 1.1 * np.exp(np.cumsum(rng.normal(0, 5e-5, rows)))

    def smooth() -> pl.Series:
        return pl.Series(walk()).rolling_mean(int(rng.integers(45, 1_440)), min_samples=1)

    makers: dict[str, Callable[[], Any]] = {
        "price, 5 digits": lambda: walk().round(5),
        "walk, 6 digits": lambda: np.cumsum(rng.normal(0, 0.05, rows)).round(6),
        "normal, 4 digits": lambda: rng.normal(0, 1, rows).round(4),
        "smooth mean, all digits": smooth,
        "z-score, all digits": lambda: rng.normal(0, 1, rows),
        "z-score with warm-up nulls": lambda: pl.Series(rng.normal(0, 1, rows)).shift(2_880),
        "signs": lambda: rng.integers(-1, 2, rows).astype(np.float64),
        "counts": lambda: rng.integers(0, 500, rows),
        "identifiers": lambda: rng.integers(0, 2**62, rows),
        "times": lambda: keys(rows),
        "texts of three values": lambda: np.array(["expanding", "contracting", "neutral"])[rng.integers(0, 3, rows)],
        "one text": lambda: ["eurusd"] * rows,
    }
    return {
        kind: pl.DataFrame([pl.Series(f"c{number}", make()) for number in range(_COLUMNS)])
        for kind, make in makers.items()
    }


def _cpu_seconds(function: Callable[..., object], *arguments: object) -> float:
    began = time.process_time()
    function(*arguments)
    return time.process_time() - began


def _read_by_pyarrow(path: Path) -> int:
    return pq.read_table(path).num_rows


def _by_polars(frame: pl.DataFrame, path: Path) -> None:
    frame.write_parquet(path, row_group_size=frame.height)


def _by_pyarrow(frame: pl.DataFrame, path: Path, *, encoding: Encoding, codec: Codec) -> None:
    rows = as_arrow(frame)
    chosen = None if encoding == "DICTIONARY" else dict.fromkeys(rows.column_names, encoding)
    pq.write_table(
        rows,
        path,
        compression=codec.name,
        compression_level=codec.level,
        use_dictionary=chosen is None,
        column_encoding=chosen,
        row_group_size=frame.height,
        store_schema=False,
    )


def _by_ours(frame: pl.DataFrame, path: Path) -> None:
    with parquet_writer(path, frame) as writer:
        writer.write_table(as_arrow(frame), row_group_size=frame.height)


if __name__ == "__main__":
    main()
