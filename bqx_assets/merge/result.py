"""Describes a merged file: the checksums that the engine computed, its metadata, and its manifest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from bqx_assets.base.artifacts import (
    CONTENT_KEY,
    ENGINE_KEY,
    PAIR_KEY,
    SPINE_KEY,
    ExtractionRecord,
    Manifest,
    SlabRecord,
    TrainingFile,
    library_versions,
)
from bqx_assets.base.content import file_digest


@dataclass(frozen=True, slots=True)
class MergeResult:
    """A finished file: its size and checksums, and the slabs that it consists of, in column order."""

    size_bytes: int
    crc32c: int
    end_sha256: str
    """The SHA-256 of the bytes behind the last slab, as ``TrainingFile`` records it."""
    columns: int
    slabs: tuple[SlabRecord, ...]


def content_digest(slabs: Sequence[SlabRecord]) -> str | None:
    """Return the digest of the values of all slabs; None where a slab's record, of an earlier version, has none."""
    if any(len(slab.content) != len(slab.provenance.columns) for slab in slabs):
        return None
    names = (column.name for slab in slabs for column in slab.provenance.columns)
    return file_digest(zip(names, (digest for slab in slabs for digest in slab.content), strict=True))


def own_metadata(extraction: ExtractionRecord, engine: str, slabs: Sequence[SlabRecord]) -> dict[str, str]:
    """Return the key-value metadata of the training file. It is small: everything else is in the manifest."""
    content = content_digest(slabs)
    known = {PAIR_KEY: extraction.pair, SPINE_KEY: extraction.spine.fingerprint, ENGINE_KEY: engine}
    return known | ({CONTENT_KEY: content} if content else {})


def manifest_of(extraction: ExtractionRecord, name: str, engine: str, result: MergeResult) -> Manifest:
    """Return the manifest of a finished file: what it contains, and the slabs that it consists of."""
    return Manifest(
        pair=extraction.pair,
        created_at=datetime.now(UTC),
        engine=engine,
        file=TrainingFile(
            name=name,
            size_bytes=result.size_bytes,
            crc32c=result.crc32c,
            rows=extraction.spine.rows,
            columns=result.columns,
            end_sha256=result.end_sha256,
            content_digest=content_digest(result.slabs),
        ),
        extraction=extraction.model_copy(update={"slabs": result.slabs}),
        versions=library_versions(),
    )
