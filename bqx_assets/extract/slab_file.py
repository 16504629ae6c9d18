"""A slab's file: frames go in one below another, and no more than a row group of them is held.

Belongs here: encoding. Does not: where a slab lies and how it is recorded (``slabs``, ``slab_objects``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import polars as pl
import pyarrow as pa
from polars.io.plugins import register_io_source

from bqx_assets.base.artifacts import SLAB_METADATA_KEY, SlabProvenance

ProvenanceAtEnd = Callable[[], SlabProvenance]
"""Asked once, after the last frame: only then is known where all rows went."""


def encode_slab(
    frames: Iterable[pl.DataFrame], path: Path, row_groups: Sequence[int], provenance: ProvenanceAtEnd
) -> SlabProvenance:
    """Write frames of the same columns as a slab's file, its provenance in its own metadata; return that.

    **Shape**: ``sum(row_groups)`` rows x the provenance's columns; a frame may end anywhere in a row group.
    **Cost**: about a row group, decoded and encoded, and two frames: the next one is made while a group is encoded.
    The bytes are those of ``DataFrame.write_parquet`` for all rows at once.

    Raises what ``frames`` raises, as it is.
    """
    coming = iter(frames)
    held = [next(coming)]
    told: list[SlabProvenance] = []

    def source(*_: object) -> Iterator[pl.DataFrame]:
        yield held.pop()
        for frame in coming:
            _release()
            yield frame

    def metadata(_: object) -> dict[str, str]:
        told.append(provenance())
        return {SLAB_METADATA_KEY: told[0].model_dump_json()}

    register_io_source(source, schema=held[0].schema, validate_schema=True).sink_parquet(
        path,
        compression="zstd",
        compression_level=1,
        statistics=True,
        row_group_size=max(row_groups),
        metadata=metadata,
    )
    if len(row_groups) > 1:
        _release()
    return told[0]


def _release() -> None:
    """Give back what Arrow's allocator keeps of memory it once had: 270 MB after a spine of 2.16 million rows."""
    pa.default_memory_pool().release_unused()
