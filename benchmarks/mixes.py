"""Makes mixes of columns that no rule is tuned to: kinds, parameters and places of nulls are drawn anew by a seed.

A mix serves as a frame, for encodings, or as tables in another order than the spine, for merges. ``ISSUED`` is one
fixed mix: walks of six digits, normals of four and of all digits, signs and counts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from benchmarks.columns import keys
from bqx_assets.base.names import KEY
from bqx_assets.catalogue.families import ExpectedTable

BYTES_PER_VALUE = 7.0
"""Bytes per value on disk, by which the needed disk space is estimated; of some mixes it is less."""
_EXTRA_DAYS = 3_650
_MOST_LOST = 0.05
"""Largest share of a table's rows that are missing, and of those that are not on the spine."""
_DAY_ROWS = 1_440

Values = npt.NDArray[Any]


class Kind(NamedTuple):
    """A kind of column: its BigQuery type, and the function that makes values of ``rows`` rows."""

    type: str
    make: Callable[[np.random.Generator, int], Values | pl.Series]


def _steps(rng: np.random.Generator, rows: int) -> Values:
    return np.cumsum(rng.normal(0, 10 ** rng.uniform(-4, 0), rows))


def _walk(rng: np.random.Generator, rows: int, digits: int | None = None) -> Values:
    return _steps(rng, rows).round(rng.integers(3, 9) if digits is None else digits)


def _price(rng: np.random.Generator, rows: int) -> Values:
    size = 10 ** rng.uniform(-1, 2)
    return (size * np.exp(np.cumsum(rng.normal(0, 1e-4, rows)))).round(rng.integers(3, 7))


def _normal(rng: np.random.Generator, rows: int, digits: int | None = None) -> Values:
    scale = 10 ** rng.uniform(-1, 2) if digits is None else 1.0
    return rng.normal(0, scale, rows).round(rng.integers(2, 6) if digits is None else digits)


def _sum(rng: np.random.Generator, rows: int) -> Values:
    """Sums of rounded changes, whose last bits differ with the order of the additions."""
    return np.cumsum(rng.normal(0, 10 ** rng.uniform(-5, -2), rows).round(5))


def _variance(rng: np.random.Generator, rows: int) -> pl.Series:
    return pl.Series(_price(rng, rows)).rolling_var(int(2 ** rng.uniform(3, 8)), min_samples=2)


def _z_score(rng: np.random.Generator, rows: int) -> Values:
    return rng.normal(0, 1, rows)


def _mean(rng: np.random.Generator, rows: int) -> pl.Series:
    return pl.Series(_steps(rng, rows)).rolling_mean(int(2 ** rng.uniform(2, 12)), min_samples=1)


def _held(rng: np.random.Generator, rows: int) -> Values:
    """Values that change once in many rows, as daily ones do."""
    length = int(2 ** rng.uniform(3, 11))
    return rng.normal(0, 1, rows // length + 1).repeat(length)[:rows]


def _sign(rng: np.random.Generator, rows: int) -> Values:
    return rng.integers(-1, 2, rows).astype(np.float64)


def _flag(rng: np.random.Generator, rows: int) -> Values:
    return rng.random(rows) < rng.uniform(0.001, 0.5)


def _mark(rng: np.random.Generator, rows: int) -> Values:
    return _flag(rng, rows).astype(np.float64)


def _count(rng: np.random.Generator, rows: int, most: int | None = None) -> Values:
    return rng.integers(0, int(10 ** rng.uniform(0.5, 7)) if most is None else most, rows)


def _code(rng: np.random.Generator, rows: int) -> Values:
    return rng.choice(rng.integers(0, 2**40, rng.integers(2, 300)), rows)


def _identifier(rng: np.random.Generator, rows: int) -> Values:
    return rng.integers(0, 2**62, rows)


def _time(rng: np.random.Generator, rows: int) -> pl.Series:
    late = rng.integers(0, 60 * rng.integers(1, 500), rows) * 1_000_000 * rng.integers(0, 2)
    return pl.Series(keys(rows).to_physical().to_numpy() - late).cast(keys(1).dtype)


def _text(rng: np.random.Generator, rows: int) -> Values:
    words = [f"state_{number:0{rng.integers(1, 12)}}" for number in range(rng.integers(2, 60))]
    length = int(2 ** rng.uniform(0, 8))
    return np.array(words)[rng.integers(0, len(words), rows // length + 1).repeat(length)[:rows]]


def _one_text(rng: np.random.Generator, rows: int) -> Values:
    return np.full(rows, f"pair_{rng.integers(100)}")


def _constant(rng: np.random.Generator, rows: int) -> Values:
    return np.full(rows, rng.normal())


def _sparse(rng: np.random.Generator, rows: int) -> Values:
    return np.where(rng.random(rows) < 10 ** rng.uniform(-4, -1), rng.normal(0, 1, rows), np.nan)


KINDS: dict[str, Kind] = {
    "walk": Kind("FLOAT64", _walk),
    "price": Kind("FLOAT64", _price),
    "normal": Kind("FLOAT64", _normal),
    "mean": Kind("FLOAT64", _mean),
    "z_score": Kind("FLOAT64", _z_score),
    "sum": Kind("FLOAT64", _sum),
    "variance": Kind("FLOAT64", _variance),
    "held": Kind("FLOAT64", _held),
    "sign": Kind("FLOAT64", _sign),
    "mark": Kind("FLOAT64", _mark),
    "sparse": Kind("FLOAT64", _sparse),
    "constant": Kind("FLOAT64", _constant),
    "flag": Kind("BOOL", _flag),
    "count": Kind("INT64", _count),
    "code": Kind("INT64", _code),
    "identifier": Kind("INT64", _identifier),
    "time": Kind("TIMESTAMP", _time),
    "text": Kind("STRING", _text),
    "one_text": Kind("STRING", _one_text),
}
ISSUED: dict[str, Kind] = {
    "walk_of_six": Kind("FLOAT64", partial(_walk, digits=6)),
    "normal_of_four": Kind("FLOAT64", partial(_normal, digits=4)),
    "z_score": KINDS["z_score"],
    "sign": KINDS["sign"],
    "count": Kind("INT64", partial(_count, most=500)),
}


def mix(seed: int, columns: int, kinds: Sequence[str] = tuple(KINDS)) -> list[tuple[str, str]]:
    """Return name and BigQuery type of ``columns`` columns, each of one of ``kinds``; the name tells which."""
    chosen = np.random.default_rng(seed).choice(list(kinds), columns).tolist()
    return [(f"{kind}_{number}", (KINDS | ISSUED)[kind].type) for number, kind in enumerate(chosen)]


def column(name: str, rows: int, rng: np.random.Generator) -> pl.Series:
    """Return the values of a column whose name ``mix`` has given; every second begins with nulls or has some."""
    made = (KINDS | ISSUED)[name.rpartition("_")[0]].make(rng, rows)
    values = pl.Series(name, made, nan_to_null=True)
    match int(rng.integers(6)):
        case 0 | 1:
            known = np.arange(rows) >= rng.integers(1, max(2, rows // 20))
        case 2:
            known = rng.random(rows) >= 10 ** rng.uniform(-4, -0.5)
        case _:
            return values
    return values.zip_with(pl.Series(known), pl.Series([None], dtype=values.dtype))


def frame(seed: int, columns: int, rows: int, kinds: Sequence[str] = tuple(KINDS)) -> pl.DataFrame:
    """Return a mix as a frame, without a key."""
    rng = np.random.default_rng([seed, 1])
    return pl.DataFrame([column(name, rows, rng) for name, _ in mix(seed, columns, kinds)])


def tables(seed: int, count: int, columns: int, kinds: Sequence[str] = tuple(KINDS)) -> list[ExpectedTable]:
    """Return ``count`` tables of ``columns`` columns each."""
    return [
        ExpectedTable(f"mix{n:03}_eurusd", "other", False, "mix", tuple(mix(seed + n, columns, kinds)), (KEY,))  # noqa: FBT003
        for n in range(count)
    ]


def disordered(table: pl.DataFrame, rng: np.random.Generator) -> tuple[pl.DataFrame, pl.Series]:
    """Return a table as other programs may leave it, and which of its rows are still there.

    Up to a twentieth of the rows is missing, as many are not on the spine, and the order is another one.
    """
    rows = table.height
    share = rng.uniform(0.001, _MOST_LOST)
    there = rng.random(rows) >= share if rng.integers(2) else np.arange(rows) >= share * rows
    extra = table.head(int(rng.uniform(0.001, _MOST_LOST) * rows))
    extra = extra.with_columns(pl.col(KEY) - pl.duration(days=_EXTRA_DAYS))
    found = pl.concat([table.filter(pl.Series(there)), extra])
    order = np.arange(found.height)
    match int(rng.integers(4)):
        case 0 | 1:
            order = rng.permutation(found.height)
        case 2:  # days in any order
            order = order[np.argsort(rng.random(rows)[order // _DAY_ROWS], kind="stable")]
        case _:
            order = order[::-1]
    return found[order], pl.Series(there)
