"""Measures what each kind of column costs in each encoding, and what the product chooses: bytes, encoding, decoding.

``python -m benchmarks.encoding``. Polars' default and the product stand beside all encodings; then mixes of columns
(``benchmarks.mixes``) are written by the product, as it did before it chose, and by Polars. All values come from
generators with new seeds in each run (``--seed`` repeats one), so that no rule is tuned to one file. Exit code 1 where
a bar is missed.
"""

from __future__ import annotations

import secrets
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow.parquet as pq

from benchmarks import mixes, writers
from benchmarks.columns import keys
from benchmarks.measured import alternating
from benchmarks.place import parser_of, workplace
from benchmarks.report import DOCUMENT, bars, table, write_section
from bqx_assets.extract.choose import choose
from bqx_assets.extract.encodings import Codec, Encoding, Kind

_DOCUMENT = DOCUMENT.with_name("performance-encoding.md")
_COLUMNS = 8
"""Number of columns of each kind."""

Write = Callable[[pl.DataFrame, Path], None]
_CODECS: tuple[tuple[Codec, int | None], ...] = (("zstd", 1), ("zstd", 3), ("lz4", None), ("none", None))
_TOTAL_BAR, _KIND_BAR, _CHOICE_BAR = 0.9, 1.0, 0.03


def main() -> None:
    """Write and read every kind of column by every writer in turn, then the mixes, and write the results."""
    parser = parser_of(__doc__)
    parser.add_argument("--rows", type=int, default=177_748)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**32), help="of the values; default a new one")
    parser.add_argument("--mixes", type=int, default=8, help="number of mixes, each with a seed of its own")
    parser.add_argument("--columns", type=int, default=60, help="of a mix")
    parser.add_argument("--part", choices=["kinds", "mixes"], help="run this part alone")
    asked = parser.parse_args()
    what = f"{asked.mixes} mixes of {asked.columns} columns x {asked.rows:,} rows, seed {asked.seed}"
    holds = True
    with workplace(asked, 10 * max(_COLUMNS, asked.columns) * asked.rows, what) as home:
        if asked.part != "mixes":
            _write_kinds(asked.rows, asked.seed, asked.rounds, home / "columns.parquet")
        if asked.part != "kinds":
            frames = (mixes.frame(asked.seed + number, asked.columns, asked.rows) for number in range(asked.mixes))
            holds = _write_mixes(what, frames, home / "mix.parquet")
    sys.exit(0 if holds else 1)


def _write_kinds(rows: int, seed: int, rounds: int, path: Path) -> None:
    lines: list[list[str]] = []
    for kind, frame in _kinds(rows, np.random.default_rng(seed)).items():
        lines += _measured(kind, frame, path, rounds)
        print(f"  {kind}", flush=True)
    head = ["", "bytes a value", "encoding", "decoding, Polars", "decoding, pyarrow"]
    text = (
        f"{_COLUMNS} columns of each kind x {rows:,} rows, seed {seed}. Encoding and decoding are in CPU "
        "seconds for 125 million values, which is 1 GB of numbers. Polars writes with its defaults; the product's "
        "encoding includes the choice of it, which stands in brackets."
    )
    write_section("encoding", "\n\n".join(("## Encodings", text, table(head, lines))), _DOCUMENT)


def _write_mixes(what: str, frames: Iterator[pl.DataFrame], path: Path) -> bool:
    """Write the table of the mixes; return whether all bars hold."""
    ways: dict[str, Write] = {
        "the product": writers.as_the_product,
        "before": writers.as_before,
        "Polars": writers.as_polars,
    }
    sizes: dict[str, dict[str, int]] = defaultdict(lambda: dict.fromkeys(ways, 0))
    seconds = dict.fromkeys((*ways, "choice"), 0.0)
    columns: dict[str, int] = defaultdict(int)
    values = 0
    for frame in frames:
        values += frame.height * frame.width
        seconds["choice"] += _cpu_seconds(choose, frame, "balanced", {})
        for kind, names in _by_kind(frame).items():
            columns[kind] += len(names)
            for way, write in ways.items():
                seconds[way] += _cpu_seconds(write, frame.select(names), path)
                sizes[kind][way] += path.stat().st_size
        print(f"  {frame.width} columns", flush=True)
    total = {way: sum(of[way] for of in sizes.values()) for way in ways}
    lines = [
        [
            kind,
            str(columns[kind]),
            *(f"{of[way] / columns[kind] / (values / sum(columns.values())):.3f}" for way in ways),
            f"{of['the product'] / of['before']:.3f}",
            f"{of['the product'] / of['Polars']:.3f}",
        ]
        for kind, of in sorted(sizes.items())
    ]
    claims = {
        f"{kind}: {of['the product'] / of['Polars']:.3f}x the bytes of Polars (bar {_KIND_BAR}x)": of["the product"]
        <= _KIND_BAR * of["Polars"]
        for kind, of in sorted(sizes.items())
    }
    ratio, choice = total["the product"] / total["before"], seconds["choice"] / seconds["the product"]
    claims |= {
        f"all: {ratio:.3f}x the bytes of before (bar {_TOTAL_BAR}x)": ratio <= _TOTAL_BAR,
        f"the choice takes {choice:.1%} of encoding (bar {_CHOICE_BAR:.0%})": choice <= _CHOICE_BAR,
    }
    cpu = ", ".join(f"{way} {seconds[way] / (values / 125e6):.2f}" for way in ways)
    megabytes = ", ".join(f"{way} {size / 1e6:,.0f} MB" for way, size in total.items())
    text = (
        f"{what}. Each kind is a file of its own, and bytes a value are of whole files; before means zstd 1, with "
        f"a dictionary where a sample repeats. In all: {megabytes}. Encoding, CPU s for 125 million values: {cpu}."
    )
    head = ["kind", "columns", *ways, "product / before", "product / Polars"]
    write_section("mixes", "\n\n".join(("## Mixes", text, table(head, lines), bars(claims))), _DOCUMENT)
    return all(claims.values())


def _by_kind(frame: pl.DataFrame) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for name in frame.columns:
        found[name.rpartition("_")[0]].append(name)
    return found


def _measured(kind: str, frame: pl.DataFrame, path: Path, rounds: int) -> Iterator[list[str]]:
    ways = _ways(frame)
    found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in ways}
    sizes: dict[str, int] = {}
    for name in alternating(list(ways), rounds):
        write = _cpu_seconds(ways[name], frame, path)
        sizes[name] = path.stat().st_size
        found[name].append((write, _cpu_seconds(pl.read_parquet, path), _cpu_seconds(_read_by_pyarrow, path)))
    values = frame.height * frame.width
    for name, times in found.items():
        costs = [statistics.median(part) * 125e6 / values for part in zip(*times, strict=True)]
        yield [f"{kind}: {name}", f"{sizes[name] / values:.2f}", *(f"{cost:.2f}" for cost in costs)]


def _ways(frame: pl.DataFrame) -> dict[str, Write]:
    """Return Polars' writer, the product's, and one for each encoding that the frame's type has and each codec."""
    kinds: list[Kind] = ["plain", "dictionary"]
    kind = frame.dtypes[0]
    if kind.is_numeric() or kind.is_temporal():
        kinds.append("split")
    if kind.is_integer() or kind.is_temporal():
        kinds.append("delta")
    chosen = choose(frame, "balanced", {})[frame.columns[0]]
    found: dict[str, Write] = {"Polars": writers.as_polars, f"the product ({chosen})": writers.as_the_product}
    for encoding in (Encoding(each, *codec) for each in kinds for codec in _CODECS):
        found[str(encoding)] = partial(writers.encoded, encodings=dict.fromkeys(frame.columns, encoding))
    return found


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


if __name__ == "__main__":
    main()
