"""How columns become Parquet: zstd, statistics, and dictionaries for the columns that repeat themselves.

Belongs here: the one writer of slabs and of a merge's own pieces. Does not: which rows, and where files lie.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

_SAMPLE_ROWS = 2_048
_LEAST_VALUES = 64
"""Fewer known values in the sample tell nothing."""
_DISTINCT_SHARE = 0.97
"""Of the sample: some 45,000 different values in 180,000 rows. Up to there a dictionary takes a quarter off the bytes
of rounded numbers and half off the time to decode them. Where every value is another, encoding would take four times
as long, and a fifth more bytes (docs/performance.md)."""
_DISTINCT_SHARE_OF_INTEGERS = 0.85
"""zstd packs whole numbers well without one."""


def parquet_writer(path: Path, frame: pl.DataFrame) -> pq.ParquetWriter:
    """Return an open writer for row groups with the columns of ``frame``, whose values decide on dictionaries."""
    return pq.ParquetWriter(
        path,
        as_arrow(frame.clear()).schema,
        compression="zstd",
        compression_level=1,
        use_dictionary=repeating(frame),  # pyright: ignore[reportArgumentType] -- names as well
        store_schema=False,
    )


def as_arrow(frame: pl.DataFrame) -> pa.Table:
    """Return the frame's rows and columns as Arrow. Nothing is copied, equal texts stay one.

    As plain texts, 22 columns of 220 characters took 1 GB where their dictionaries are 20 kB, and 12 times as long.
    """
    return frame.to_arrow(compat_level=pl.CompatLevel.newest())


def repeating(frame: pl.DataFrame) -> list[str]:
    """Return the columns whose values repeat so often that a dictionary of them pays.

    **Shape**: any rows x any columns. **Cost**: 2,048 rows, spread evenly, are looked at; a fiftieth of encoding.
    """
    # By index: gather_every takes four times as long.
    sample = frame[np.arange(0, frame.height, max(1, frame.height // _SAMPLE_ROWS))]
    return [column.name for column in sample if _repeats(column.drop_nulls())]


def _repeats(known: pl.Series) -> bool:
    if known.len() < _LEAST_VALUES or known.dtype == pl.Boolean:
        return False
    share = _DISTINCT_SHARE_OF_INTEGERS if known.dtype.is_integer() else _DISTINCT_SHARE
    # numpy sorts two thousand numbers eight times as fast as Polars counts them.
    distinct = np.unique(known.to_numpy()).size if known.dtype.is_numeric() else known.n_unique()
    return distinct <= share * known.len()
