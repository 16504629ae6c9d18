"""A slab's file: frames go in one below another, and no more than a row group of them is held.

Belongs here: encoding. Does not: where a slab lies and how it is recorded (``slabs``).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import polars as pl
import pyarrow as pa

from bqx_assets.base.artifacts import SLAB_METADATA_KEY, SlabProvenance
from bqx_assets.base.content import Contents
from bqx_assets.base.frame_files import TAIL_BYTES, parquet_end_bytes
from bqx_assets.extract.encoding import as_arrow, parquet_writer

ProvenanceAtEnd = Callable[[], SlabProvenance]
"""Asked once, after the last frame: only then is known where all rows went."""


def encode_slab(
    frames: Iterable[pl.DataFrame],
    path: Path,
    row_groups: Sequence[int],
    provenance: ProvenanceAtEnd,
    contents: Contents | None = None,
) -> SlabProvenance:
    """Write frames of the same columns as a slab's file, its provenance in its own metadata; return that.

    **Shape**: ``sum(row_groups)`` rows x the provenance's columns; a frame may end anywhere in a row group.
    ``contents`` takes all values on their way. **Cost**: a row group, decoded, a frame, and one column, encoded.

    Raises what ``frames`` raises, as it is.
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
                # Arrow's allocator keeps what it once had: 270 MB after a spine of 2.16 million rows.
                pa.default_memory_pool().release_unused()
        next(coming, None)  # whatever the frames say at their end
        told = provenance()
        writer.add_key_value_metadata({SLAB_METADATA_KEY: told.model_dump_json()})
    return told


def _of_at_least(rows: int, waiting: pl.DataFrame, coming: Iterator[pl.DataFrame]) -> pl.DataFrame:
    while waiting.height < rows:
        waiting = pl.concat([waiting, next(coming)], rechunk=False)
    return waiting


def footer_bytes(path: Path) -> int:
    """Return how many of a slab's last bytes a reader needs to find every column: footer, its length and the magic."""
    with path.open("rb") as file:
        file.seek(-TAIL_BYTES, os.SEEK_END)
        return parquet_end_bytes(file.read())
