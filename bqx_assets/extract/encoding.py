"""The encoding of columns as Parquet: zstd, statistics, and dictionaries for columns whose values repeat.

Slabs and the pieces that a merge encodes itself are written in this one way. The join and the frames of other Dagster
assets are written as Polars does by default.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

COMPRESSION: Final = "zstd"
COMPRESSION_LEVEL: Final = 1
"""Of every table that the package encodes itself. Whoever changes it raises ``slabs.CODE_VERSION``, or slabs that are
fresh keep the earlier one."""
_SAMPLE_ROWS = 2_048
_LEAST_VALUES = 64
"""Least number of values, without nulls, from which a sample decides."""
_DISTINCT_SHARE = 0.97
"""Largest share of distinct values in the sample; it corresponds to some 45,000 distinct values in 180,000 rows. Up to
this share a dictionary saves a quarter of the bytes of rounded numbers and half of the time to decode them. If all
values differ, a dictionary takes four times as long to encode and a fifth more bytes (docs/performance.md)."""
_DISTINCT_SHARE_OF_INTEGERS = 0.85
"""The same for whole numbers, which zstd compresses well without a dictionary."""


def parquet_writer(path: Path, frame: pl.DataFrame) -> pq.ParquetWriter:
    """Return an open writer for row groups with the columns of ``frame``, whose values decide on dictionaries."""
    return pq.ParquetWriter(
        path,
        as_arrow(frame.clear()).schema,
        compression=COMPRESSION,
        compression_level=COMPRESSION_LEVEL,
        use_dictionary=repeating(frame),  # pyright: ignore[reportArgumentType] -- names as well
        store_schema=False,
    )


def as_arrow(frame: pl.DataFrame) -> pa.Table:
    """Return the frame's rows and columns as Arrow. Nothing is copied, and equal texts are still stored once.

    As plain texts, 22 columns of 220 characters took 1 GB instead of 20 kB of dictionaries, and 12 times as long.
    """
    return frame.to_arrow(compat_level=pl.CompatLevel.newest())


def repeating(frame: pl.DataFrame) -> list[str]:
    """Return the names of the columns whose values repeat so often that a dictionary saves bytes.

    **Shape**: any rows x any columns. **Cost**: looks at 2,048 rows, spread evenly; a fiftieth of the encoding's time.
    """
    # Rows are taken by index, since gather_every takes four times as long.
    sample = frame[np.arange(0, frame.height, max(1, frame.height // _SAMPLE_ROWS))]
    return [column.name for column in sample if _repeats(column.drop_nulls())]


def _repeats(known: pl.Series) -> bool:
    if known.len() < _LEAST_VALUES or known.dtype == pl.Boolean:
        return False
    share = _DISTINCT_SHARE_OF_INTEGERS if known.dtype.is_integer() else _DISTINCT_SHARE
    # numpy sorts two thousand numbers eight times as fast as Polars counts them.
    distinct = np.unique(known.to_numpy()).size if known.dtype.is_numeric() else known.n_unique()
    return distinct <= share * known.len()
