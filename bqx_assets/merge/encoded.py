"""A raw checkpoint's columns as pieces of a slab: cast, encoded, and recorded.

Belongs here: the temporary files of a merge, and what is said of where they come from. Does not: reading or aligning
rows (``raw_table``).
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import polars as pl

from bqx_assets.base.artifacts import Column, Quarantined, RowAccount, SlabProvenance, SlabRecord, SourceTable, Spine
from bqx_assets.base.checksums import Sums
from bqx_assets.base.content import Contents, Periods
from bqx_assets.base.files import TEMP_MARK
from bqx_assets.base.pairs import Pair
from bqx_assets.extract.columns import KEY_TYPE
from bqx_assets.extract.encoding import as_arrow, parquet_writer
from bqx_assets.extract.slabs import slab_fingerprint
from bqx_assets.merge.footer import read_footer
from bqx_assets.merge.parts import Piece
from bqx_assets.merge.raw_source import RawSource

RAW_DATASET = "raw"
"""Of a source that is a file of a raw folder, and no table of a warehouse."""
_TYPES: dict[str, Callable[[], pl.DataType]] = {
    "INT64": pl.Int64,
    "FLOAT64": pl.Float64,
    "STRING": pl.String,
    "BOOL": pl.Boolean,
    "TIMESTAMP": lambda: KEY_TYPE,
}


def encode(frame: pl.DataFrame, columns: Sequence[Column], scratch: Path, table: str, spine: Spine) -> Piece:
    """Write the frame's ``columns`` under their output names as a file in ``scratch``, to be spliced and removed."""
    # A name that remove_partials knows: a killed merge's leavings go at the next one.
    path = scratch / f".{table}.parquet{TEMP_MARK}{os.getpid()}-{secrets.token_hex(4)}"
    kept = frame.select(cast(column) for column in columns)
    with parquet_writer(path, kept) as writer:
        writer.write_table(as_arrow(kept), row_group_size=max(spine.row_groups))
    return Piece(path, read_footer(path, table))


def digests(frame: pl.DataFrame, columns: Sequence[Column], periods: Periods) -> dict[str, str]:
    """Return the content digests of the frame's ``columns`` by their output names, in the types they are encoded in."""
    kept = frame.select(cast(column) for column in columns)
    contents = Contents(periods)
    contents.add(as_arrow(kept))
    return dict(zip(kept.columns, contents.digests(kept.columns), strict=True))


def record_of(sums: Sums, provenance: SlabProvenance, content: Mapping[str, str]) -> SlabRecord:
    """Return the record of a slab of bytes with these checksums."""
    name = f"{provenance.source.table}.parquet"
    known = tuple(content[column.name] for column in provenance.columns)
    return SlabRecord(provenance=provenance, object_name=name, content=known, **sums._asdict())


def cast(column: Column) -> pl.Expr:
    """Return the column in the type that its BigQuery type is read as, under its output name."""
    return pl.col(column.source).cast(_TYPES[column.type]()).alias(column.name)


def provenance_of(  # noqa: PLR0913 -- one parameter a fact
    raw: RawSource,
    pair: Pair,
    spine: Spine,
    *,
    role: Literal["spine", "feature"],
    family: str,
    columns: tuple[Column, ...],
    rows: RowAccount,
    policy: str,
    quarantined: tuple[Quarantined, ...] = (),
) -> SlabProvenance:
    """Return the provenance of a raw file's slab: the file itself is its source."""
    source = SourceTable(
        dataset=RAW_DATASET,
        table=raw.table,
        last_modified=raw.modified,
        etag=raw.etag,
        rows=rows.read,
        size_bytes=raw.size_bytes,
    )
    mark = slab_fingerprint(source, columns, spine_fingerprint=spine.fingerprint, filters={}, policy=policy)
    return SlabProvenance(
        pair=pair.name,
        role=role,
        family=family,
        fingerprint=mark,
        spine_fingerprint=spine.fingerprint,
        source=source,
        snapshot_time=raw.modified,
        rows=rows,
        duplicate_policy=policy,
        columns=columns,
        quarantined=quarantined,
    )
