"""Writes tables of an embedded warehouse as Parquet files, a calendar month in a row group.

So what comes later leaves the row groups of earlier months as they are, byte by byte, and readers of a period skip the
others.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import polars as pl

from bqx_assets.base.names import KEY
from bqx_assets.extract.encoding import as_arrow, parquet_writer
from bqx_assets.extract.encodings import COMPRESSION, COMPRESSION_LEVEL, Encoding


def by_month(frame: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """Yield the rows in their order, cut wherever one is of another calendar month (UTC) than the row before it.

    A row without a key goes with the row before it. A table without keys, or without rows, is one part.
    """
    if KEY not in frame.columns or frame.is_empty():
        yield frame
        return
    month = frame.get_column(KEY).dt.truncate("1mo").forward_fill()
    starts = (month != month.shift()).fill_null(value=False).arg_true()
    for start, end in pairwise((0, *starts, frame.height)):
        yield frame[start:end]


_REPEATED = (pl.String, pl.Int64)
"""Types of columns with few different values, which are stored in dictionaries."""


def write_table(path: Path, frame: pl.DataFrame) -> None:
    """Write a frame (any rows x columns) as Parquet, not atomically: pass a temporary path if others may read it.

    **Cost**: a column of a month, encoded.
    """
    encodings = {
        name: Encoding("dictionary" if type(kind) in _REPEATED else "plain", COMPRESSION, COMPRESSION_LEVEL)
        for name, kind in frame.schema.items()
    }
    with parquet_writer(path, frame, encodings) as writer:
        for month in by_month(frame):
            writer.write_table(as_arrow(month), row_group_size=max(1, month.height))
