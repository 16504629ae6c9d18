"""Encodes aligned columns of a raw checkpoint in memory, computes their content digests, and makes their record.

As a temporary file, encoded columns passed through the page cache three times: to write, to hash, to copy. That took a
twelfth of a merge's processor time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from bqx_assets.base.artifacts import Column, Piece, SlabProvenance, SlabRecord, Spine
from bqx_assets.base.checksums import Sums
from bqx_assets.base.column_types import COLUMN_TYPES
from bqx_assets.base.content import Contents, Periods
from bqx_assets.extract.encoding import END_BLOCKS, as_arrow, encoded_blocks
from bqx_assets.extract.encodings import Encoding
from bqx_assets.extract.slab_records import texts_of
from bqx_assets.merge.footer import parse_footer
from bqx_assets.merge.plan import Encoded


def encode(frame: pl.DataFrame, table: str, spine: Spine, encodings: Mapping[str, Encoding]) -> Encoded:
    """Return the frame's columns as a parquet file in memory; ``table`` is its subject in errors."""
    blocks = encoded_blocks(frame, encodings, max(spine.row_groups))
    return Encoded(tuple(blocks), parse_footer(b"".join(blocks[-END_BLOCKS:]), sum(map(len, blocks)), table))


def digests(frame: pl.DataFrame, periods: Periods) -> dict[str, str]:
    """Return the content digests of the frame's columns by name. **Cost**: as of ``Contents``."""
    contents = Contents(periods)
    contents.add(as_arrow(frame))
    return dict(zip(frame.columns, contents.digests(frame.columns), strict=True))


def stored(frame: pl.DataFrame, columns: Sequence[Column]) -> pl.DataFrame:
    """Return ``columns`` of the frame under their output names, in the types that their BigQuery types are read as."""
    named = ((frame.get_column(each.source), COLUMN_TYPES[each.type].polars, each.name) for each in columns)
    return pl.DataFrame(
        [(found if found.dtype == kind else found.cast(kind)).alias(name) for found, kind, name in named]
    )


def record_of(
    sums: Sums, provenance: SlabProvenance, content: Mapping[str, str], chosen: Mapping[str, Encoding], setting: str
) -> SlabRecord:
    """Return the record of a slab whose bytes have these checksums; ``chosen`` is empty where they lie as they were."""
    known = tuple(content[column.name] for column in provenance.columns)
    piece = Piece(
        period="",
        fingerprint=provenance.fingerprint,
        spine_fingerprint=provenance.spine_fingerprint,
        snapshot_time=provenance.snapshot_time,
        rows=provenance.rows,
        object_name=f"{provenance.source.table}.parquet",
        **sums._asdict(),
    )
    return SlabRecord(
        provenance=provenance,
        pieces=(piece,),
        content=known,
        encoding=setting if chosen else "",
        encodings=texts_of(provenance, chosen),
    )
