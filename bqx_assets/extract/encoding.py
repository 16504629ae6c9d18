"""Encodes columns as Parquet: with zstd, statistics, and dictionaries for columns whose values repeat.

Slabs and the pieces that a merge encodes itself are written in this one way. The join and the frames of other Dagster
assets are written as Polars does by default.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from bqx_assets.base.artifacts import SLAB_METADATA_KEY, SlabProvenance
from bqx_assets.base.content import Contents

COMPRESSION: Final = "zstd"
COMPRESSION_LEVEL: Final = 1
"""The codec and level of every table that the package encodes itself. A change must raise ``slabs.CODE_VERSION``: fresh
slabs would otherwise keep the earlier one."""
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


ProvenanceAtEnd = Callable[[], SlabProvenance]
"""Called once, after the last frame: only then the account of all rows is complete."""


def encode_slab(
    frames: Iterable[pl.DataFrame],
    path: Path,
    row_groups: Sequence[int],
    provenance: ProvenanceAtEnd,
    contents: Contents | None = None,
) -> SlabProvenance:
    """Write frames of the same columns as a slab's file with its provenance as metadata; return the provenance.

    **Shape**: ``sum(row_groups)`` rows x the provenance's columns; a frame may end anywhere in a row group.
    ``contents`` gets all values. **Cost**: memory for a decoded row group, a frame, and one encoded column.

    Raises what ``frames`` raises, unchanged.
    """
    coming = iter(frames)
    waiting = _of_at_least(row_groups[0], next(coming), coming)
    with parquet_writer(path, waiting) as writer:
        for rows in row_groups:
            waiting = _of_at_least(rows, waiting, coming)
            group = as_arrow(waiting.head(rows))
            if contents is not None:
                contents.add(group)
            writer.write_table(group, row_group_size=rows)
            del group
            waiting = waiting.slice(rows)
            if len(row_groups) > 1:
                # Arrow's allocator keeps freed memory: 270 MB after a spine of 2.16 million rows.
                pa.default_memory_pool().release_unused()
        next(coming, None)  # runs the generator to its end, where it may raise
        told = provenance()
        writer.add_key_value_metadata({SLAB_METADATA_KEY: told.model_dump_json()})
    return told


def _of_at_least(rows: int, waiting: pl.DataFrame, coming: Iterator[pl.DataFrame]) -> pl.DataFrame:
    """Return ``waiting``, extended by the coming frames to at least ``rows`` rows."""
    while waiting.height < rows:
        waiting = pl.concat([waiting, next(coming)], rechunk=False)
    return waiting
