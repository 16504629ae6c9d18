"""The damage that ``spoil`` does to one table.

Belongs here: from a whole table to a damaged one, deterministic. Does not: which table (``spoil``).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import polars as pl

from bqx_assets.base.files import write_atomic
from bqx_assets.base.names import KEY
from bqx_assets.base.pairs import Pair

Damaged = tuple[pl.DataFrame, str]

_REPEATED = 76
"""As many minutes as once made 177,748 rows of 100,000."""


def repeat_rows(frame: pl.DataFrame, _column: str) -> Damaged:
    """Repeat rows from the middle."""
    middle = frame.slice(frame.height // 2, _REPEATED)
    return pl.concat([frame, middle]), f"{middle.height} of {frame.height:,} rows stand twice"


def forget_keys(frame: pl.DataFrame, _column: str) -> Damaged:
    """Take the key from three rows in the middle."""
    rows = pl.int_range(pl.len()).is_between(frame.height // 2, frame.height // 2 + 2)
    return frame.with_columns(pl.when(~rows).then(KEY)), f"3 of {frame.height:,} rows without {KEY}"


def empty(frame: pl.DataFrame, _column: str) -> Damaged:
    """Keep no row."""
    return frame.clear(), f"all {frame.height:,} rows removed"


def cut(frame: pl.DataFrame, _column: str) -> Damaged:
    """Keep the first three fifths of the rows in time order."""
    kept = frame.sort(KEY).head(frame.height * 3 // 5)
    return kept, f"the last {frame.height - kept.height:,} of {frame.height:,} rows removed"


def retype(frame: pl.DataFrame, column: str) -> Damaged:
    """Make text of the column's numbers."""
    return frame.with_columns(pl.col(column).cast(pl.String)), f"{column} is STRING"


def drop_column(frame: pl.DataFrame, column: str) -> Damaged:
    """Leave the column out."""
    return frame.drop(column), f"{column} removed"


def add_column(frame: pl.DataFrame, column: str) -> Damaged:
    """Add a column under a name of no grammar."""
    return frame.with_columns((pl.col(column) * 2).alias("appeared_today")), "appeared_today added"


def add_target_column(frame: pl.DataFrame, column: str) -> Damaged:
    """Add a column that looks forward and says so, as ``base_bqx`` does."""
    return frame.with_columns(pl.col(column).shift(-45).alias("target_45")), "target_45 added"


def set_nan(frame: pl.DataFrame, column: str) -> Damaged:
    """Make each tenth value of the column's second half NaN."""
    return _in_second_half(frame, column, float("nan")), f"each tenth late value of {column} is NaN"


def set_infinite(frame: pl.DataFrame, column: str) -> Damaged:
    """Make each tenth value of the column's second half infinite."""
    return _in_second_half(frame, column, float("inf")), f"each tenth late value of {column} is infinite"


def set_constant(frame: pl.DataFrame, column: str) -> Damaged:
    """Give the column one value."""
    return frame.with_columns(pl.lit(1.0).alias(column)), f"{column} is 1.0 on every row"


def set_null(frame: pl.DataFrame, column: str) -> Damaged:
    """Take the column's values."""
    return frame.with_columns(pl.lit(None, frame.schema[column]).alias(column)), f"{column} is null on every row"


def gap(frame: pl.DataFrame, column: str) -> Damaged:
    """Take a tenth of the column's values, from the middle."""
    rows = pl.int_range(pl.len()).is_between(frame.height // 2, frame.height * 3 // 5)
    return frame.with_columns(pl.when(~rows).then(column)), f"{column} is null on {frame.height // 10:,} rows"


def shift(frame: pl.DataFrame, column: str) -> Damaged:
    """Give each row the next row's value."""
    return frame.with_columns(pl.col(column).shift(-1)), f"{column} is one bar later than its name says"


def leak(frame: pl.DataFrame, column: str, known: pl.DataFrame, target: str) -> Damaged:
    """Put a target's values under the column's name. **Shape**: ``known`` holds the key and ``leak``."""
    joined = frame.join(known, on=KEY, how="left", maintain_order="left")
    return joined.with_columns(pl.col("leak").alias(column)).drop("leak"), f"{column} holds {target}"


def _in_second_half(frame: pl.DataFrame, column: str, value: float) -> pl.DataFrame:
    row = pl.int_range(pl.len())
    struck = (row >= frame.height // 2) & (row % 10 == 0)
    return frame.with_columns(pl.when(struck).then(value).otherwise(pl.col(column)).alias(column))


def _remove(path: Path, _pair: Pair) -> str:
    path.unlink()
    return f"{path.stem}: removed"


def _add_table(path: Path, pair: Pair) -> str:
    added = path.with_stem(f"agg_appeared_{pair}")
    write_atomic(added, path.read_bytes())
    return f"{added.stem}: added, a copy of {path.stem}"


def _cut_off(path: Path, _pair: Pair) -> str:
    data = path.read_bytes()
    write_atomic(path, data[: len(data) * 2 // 3])
    return f"{path.stem}: cut off after {len(data) * 2 // 3:,} of {len(data):,} bytes"


def _blank(path: Path, _pair: Pair) -> str:
    data = bytearray(path.read_bytes())
    start, size = len(data) // 3, min(4_096, len(data) // 3)
    data[start : start + size] = bytes(size)
    write_atomic(path, bytes(data))
    return f"{path.stem}: {size:,} bytes from {start:,} on are zero"


FILE_DAMAGE: dict[str, Callable[[Path, Pair], str]] = {
    "missing-table": _remove,
    "extra-table": _add_table,
    "corrupt-file": _cut_off,
    "corrupt-page": _blank,
}
"""Damage to a file and not to a frame."""
