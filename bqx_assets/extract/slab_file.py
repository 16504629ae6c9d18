"""A slab's file: frames go in one below another, and no more than a row group of them is held.

Belongs here: encoding. Does not: where a slab lies and how it is recorded (``slabs``, ``slab_objects``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from bqx_assets.base.artifacts import SLAB_METADATA_KEY, SlabProvenance

ProvenanceAtEnd = Callable[[], SlabProvenance]
"""Asked once, after the last frame: only then is known where all rows went."""


def encode_slab(
    frames: Iterable[pl.DataFrame], path: Path, row_groups: Sequence[int], provenance: ProvenanceAtEnd
) -> SlabProvenance:
    """Write frames of the same columns as a slab's file, its provenance in its own metadata; return that.

    **Shape**: ``sum(row_groups)`` rows x the provenance's columns; a frame may end anywhere in a row group.
    **Cost**: of several row groups one, decoded, and a frame; a single one is held whole, encoded as well.

    Raises what ``frames`` raises, as it is.
    """
    if len(row_groups) > 1:
        return _encode_groups(iter(frames), path, row_groups, provenance)
    frame = pl.concat(frames, rechunk=False)
    told = provenance()
    metadata = {SLAB_METADATA_KEY: told.model_dump_json()}
    frame.write_parquet(
        path,
        compression="zstd",
        compression_level=1,
        statistics=True,
        row_group_size=row_groups[0],
        metadata=metadata,
    )
    return told


def _encode_groups(
    coming: Iterator[pl.DataFrame], path: Path, row_groups: Sequence[int], provenance: ProvenanceAtEnd
) -> SlabProvenance:
    """Polars' sink would make the next frames while it encodes, and hold two groups more: 200 MB at 64 columns."""
    waiting = next(coming)
    # Dictionaries of numbers are time for little; Polars keeps them for texts, and leaves out those that do not pay.
    texts = [name for name, dtype in waiting.schema.items() if dtype == pl.String]
    with pq.ParquetWriter(
        path,
        _arrow(waiting).schema,
        compression="zstd",
        compression_level=1,
        use_dictionary=texts,  # pyright: ignore[reportArgumentType] -- names as well
        store_schema=False,
    ) as writer:
        for rows in row_groups:
            while waiting.height < rows:
                waiting = pl.concat([waiting, next(coming)], rechunk=False)
            writer.write_table(_arrow(waiting.head(rows)), row_group_size=rows)
            waiting = waiting.slice(rows)
            # Arrow's allocator keeps what it once had: 270 MB after a spine of 2.16 million rows.
            pa.default_memory_pool().release_unused()
        next(coming, None)  # whatever the frames say at their end
        told = provenance()
        writer.add_key_value_metadata({SLAB_METADATA_KEY: told.model_dump_json()})
    return told


def _arrow(frame: pl.DataFrame) -> pa.Table:
    return frame.to_arrow(compat_level=pl.CompatLevel.oldest())
