"""What an engine reports of the file it wrote, and what it writes into its metadata.

Belongs here: the engine's protocol and result. Does not: an engine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

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
from bqx_assets.base.progress import Progress
from bqx_assets.merge.plan import MergePlan


@dataclass(frozen=True, slots=True)
class MergeResult:
    """A finished file: its bytes, and the slabs it is made of, in column order."""

    size_bytes: int
    crc32c: int
    end_sha256: str
    """As ``TrainingFile`` has it."""
    columns: int
    slabs: tuple[SlabRecord, ...]


class Engine(Protocol):
    """A way from a plan to one wide parquet."""

    @property
    def name(self) -> str:
        """As ``--engine`` takes it."""
        ...

    def memory_bytes(self, plan: MergePlan) -> int:
        """Return the memory that the merge needs."""
        ...

    def write(self, plan: MergePlan, target: Path, progress: Progress) -> MergeResult:
        """Write the file; tell one step of stage "merge" a part."""
        ...


def content_digest(slabs: Sequence[SlabRecord]) -> str | None:
    """Return the digest of all the slabs' values; None where a slab's record has none, an earlier version's."""
    if any(len(slab.content) != len(slab.provenance.columns) for slab in slabs):
        return None
    names = (column.name for slab in slabs for column in slab.provenance.columns)
    return file_digest(zip(names, (digest for slab in slabs for digest in slab.content), strict=True))


def own_metadata(extraction: ExtractionRecord, engine: str, slabs: Sequence[SlabRecord]) -> dict[str, str]:
    """Return the training file's key-value metadata: small, for the manifest holds the rest."""
    content = content_digest(slabs)
    known = {PAIR_KEY: extraction.pair, SPINE_KEY: extraction.spine.fingerprint, ENGINE_KEY: engine}
    return known | ({CONTENT_KEY: content} if content else {})


def manifest_of(extraction: ExtractionRecord, name: str, engine: str, written: MergeResult) -> Manifest:
    """Return the manifest of a finished file: what it holds, and the slabs it is made of."""
    return Manifest(
        pair=extraction.pair,
        created_at=datetime.now(UTC),
        engine=engine,
        file=TrainingFile(
            name=name,
            size_bytes=written.size_bytes,
            crc32c=written.crc32c,
            rows=extraction.spine.rows,
            columns=written.columns,
            end_sha256=written.end_sha256,
            content_digest=content_digest(written.slabs),
        ),
        extraction=extraction.model_copy(update={"slabs": written.slabs}),
        versions=library_versions(),
    )
