"""Writes a frame as the product does, as it did before it chose an encoding for each column, and as Polars does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq

from bqx_assets.extract.choose import choose
from bqx_assets.extract.encoding import as_arrow, parquet_writer
from bqx_assets.extract.encodings import Encoding


def as_the_product(frame: pl.DataFrame, path: Path) -> None:
    """Write each column in the encoding that is chosen for it."""
    encoded(frame, path, choose(frame, "balanced", {}))


def encoded(frame: pl.DataFrame, path: Path, encodings: dict[str, Encoding]) -> None:
    """Write each column in the given encoding, in one row group."""
    with parquet_writer(path, frame, encodings) as writer:
        writer.write_table(as_arrow(frame), row_group_size=frame.height)


def as_polars(frame: pl.DataFrame, path: Path) -> None:
    """Write all columns by the defaults of Polars, in one row group."""
    frame.write_parquet(path, row_group_size=frame.height)


def as_before(frame: pl.DataFrame, path: Path) -> None:
    """Write a frame as the product did until November 2026: zstd 1, and dictionaries where sampled values repeat."""
    sample = frame[np.arange(0, frame.height, max(1, frame.height // 2_048))]
    repeating = [column.name for column in sample if _repeats(column.drop_nulls())]
    pq.write_table(
        as_arrow(frame),
        path,
        compression="zstd",
        compression_level=1,
        use_dictionary=repeating,  # pyright: ignore[reportArgumentType] -- names as well
        row_group_size=frame.height,
        store_schema=False,
    )


def _repeats(known: pl.Series) -> bool:
    if known.len() < 64 or known.dtype == pl.Boolean:  # noqa: PLR2004 -- the earlier rule's own numbers
        return False
    return known.n_unique() <= (0.85 if known.dtype.is_integer() else 0.97) * known.len()
