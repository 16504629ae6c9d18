"""The provenance of a benchmark's slab: made up, in the shape that extraction writes.

Belongs here: that record. Does not: data.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal

from bqx_assets.base.artifacts import Column, RowAccount, SlabProvenance, SourceTable, Spine

_MODIFIED = datetime(2024, 1, 1, tzinfo=UTC)


def provenance_of(
    table: str, role: Literal["spine", "feature"], columns: tuple[Column, ...], spine: Spine
) -> SlabProvenance:
    """Return a slab's provenance, every row matched."""
    return SlabProvenance(
        pair="eurusd",
        role=role,
        family="targets" if role == "spine" else "pair_specific",
        fingerprint=f"benchmark of {table}",
        spine_fingerprint=spine.fingerprint,
        source=SourceTable(
            dataset="benchmark", table=table, last_modified=_MODIFIED, etag="", rows=spine.rows, size_bytes=0
        ),
        snapshot_time=_MODIFIED,
        rows=RowAccount(read=spine.rows, matched=spine.rows, missing=0, extra=0, duplicates=0),
        duplicate_policy="refuse",
        columns=columns,
    )
