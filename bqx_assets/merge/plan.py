"""What a merge will do: its parts in column order, each checked before a byte is copied.

Belongs here: a checkpoint folder held against its own record. Does not: folders without one (``raw``), or copying.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import polars as pl

from bqx_assets.base.artifacts import (
    EXTRACTION_FILE,
    SLAB_METADATA_KEY,
    ExtractionRecord,
    SlabProvenance,
    SlabRecord,
    Spine,
)
from bqx_assets.base.direct import Span, prefetch
from bqx_assets.base.errors import CheckpointMismatch, MergeRefused, NotEnoughDisk, NotEnoughMemory
from bqx_assets.base.files import TEMP_MARK
from bqx_assets.base.frame_files import read_parquet
from bqx_assets.base.limits import disk_free_bytes, memory_free_bytes
from bqx_assets.base.names import refuse_same_names
from bqx_assets.base.pairs import Pair
from bqx_assets.extract.slabs import has_recorded_bytes
from bqx_assets.merge.footer import Footer, read_footer


@dataclass(frozen=True, slots=True)
class Piece:
    """A parquet file from byte ``start`` on, and the footer by which its columns are found there."""

    path: Path
    footer: Footer
    start: int = 0

    @property
    def span(self) -> Span:
        """Its bytes."""
        return self.path, self.start


@dataclass(frozen=True, slots=True)
class Slab:
    """One table, ready to be spliced: its columns in one file, or in several side by side."""

    pieces: tuple[Piece, ...]
    record: SlabRecord
    note: str = ""
    temporary: bool = False
    """To be removed once its bytes are copied."""

    def remove(self) -> None:
        """Remove its files if they are temporary."""
        for piece in self.pieces if self.temporary else ():
            piece.path.unlink(missing_ok=True)


class Part(Protocol):
    """One table of a merge, spine or feature."""

    @property
    def path(self) -> Path | None:
        """The checkpoint that it is read from; None where it is an object."""
        ...

    @property
    def table(self) -> str:
        """The source table's name."""
        ...

    @property
    def size_bytes(self) -> int:
        """What it will add to the output; an estimate where it is yet to be encoded."""
        ...

    @property
    def column_count(self) -> int:
        """Columns it gives at most."""
        ...

    @property
    def memory_bytes(self) -> int:
        """What preparing it takes."""
        ...

    def prepare(self, scratch: Path) -> Slab:
        """Return the table as a slab, made in folder ``scratch`` where it must be made."""
        ...

    def frame(self) -> tuple[pl.DataFrame, SlabRecord]:
        """Return the table's columns under their output names, and its record; for the oracle."""
        ...


@dataclass(frozen=True, slots=True)
class SlabPart:
    """A slab that extraction left, its footer read and found in order."""

    path: Path
    record: SlabRecord
    footer: Footer

    @property
    def table(self) -> str:
        """The warehouse table."""
        return self.record.table

    @property
    def size_bytes(self) -> int:
        """The file's size."""
        return self.record.size_bytes

    @property
    def column_count(self) -> int:
        """The recorded columns."""
        return len(self.record.provenance.columns)

    @property
    def memory_bytes(self) -> int:
        """None: its bytes are only copied."""
        return 0

    def prepare(self, scratch: Path) -> Slab:  # noqa: ARG002 -- made already
        """Return the slab as it lies there. **Cost**: reads it once for its SHA-256, while another one is copied.

        Raises CheckpointMismatch when it was changed since it was planned, or recorded.
        """
        size_bytes = self.path.stat().st_size if self.path.is_file() else -1
        if size_bytes != self.record.size_bytes or read_footer(self.path, self.footer.subject) != self.footer:
            raise CheckpointMismatch(
                self.footer.subject,
                got="changed since the merge was planned",
                expected=f"{self.record.size_bytes:,} bytes as recorded",
                cure="Merge again.",
            )
        prefetch(self.path)
        self._refuse_other_bytes()
        return Slab((Piece(self.path, self.footer),), self.record)

    def frame(self) -> tuple[pl.DataFrame, SlabRecord]:
        """Return the slab, decoded: the spine's rows x the part's columns."""
        self._refuse_other_bytes()
        return read_parquet(self.path), self.record

    def _refuse_other_bytes(self) -> None:
        if not has_recorded_bytes(self.path, self.record):
            raise not_recorded(self.record, "other bytes of the same length", "the recorded SHA-256")


def not_recorded(record: SlabRecord, got: str, expected: str) -> CheckpointMismatch:
    """Return the error for a slab that is not the recorded one."""
    pair, role = record.provenance.pair, record.provenance.role
    table = "" if role == "spine" else f" --table {record.table}"
    return CheckpointMismatch(
        f"{pair}/{record.table}", got=got, expected=expected, cure=f"Extract again: bqx extract {pair}{table}"
    )


_DISK_MARGIN = 1.05
_DISK_MARGIN_BYTES = 64 << 20
"""For the footer and the manifest: 1.5 MB and 6 MB at 17,031 columns."""
_CHUNK_MEMORY_BYTES = 6_000
"""A column chunk's share of the footer as Python holds it, twice."""


def footers_memory_bytes(columns: int, row_groups: int) -> int:
    """Return what the footers of a merge take: the parts' and the merged one as Python holds them."""
    return (64 << 20) + columns * row_groups * _CHUNK_MEMORY_BYTES


def check_disk(folder: Path, output_bytes: int, subject: str) -> None:
    """Raise NotEnoughDisk unless the output and a margin of 5% and 64 MiB fit beside what is there."""
    needed_bytes = int(output_bytes * _DISK_MARGIN) + _DISK_MARGIN_BYTES
    free_bytes = disk_free_bytes(folder)
    if free_bytes < needed_bytes:
        raise NotEnoughDisk(
            subject,
            got=f"{free_bytes / 1e6:,.0f} MB free in {folder}",
            expected=f"{needed_bytes / 1e6:,.0f} MB",
            cure="Free disk space, or choose another place with --output.",
        )


def check_memory(needed_bytes: int, subject: str, *, also: str = "") -> None:
    """Raise NotEnoughMemory unless this process may still take that much, by its container's own limit.

    ``also``: what would help besides more memory.
    """
    free_bytes = memory_free_bytes()
    if free_bytes < needed_bytes:
        raise NotEnoughMemory(
            subject,
            got=f"{free_bytes / 1e6:,.0f} MB of memory free",
            expected=f"{needed_bytes / 1e6:,.0f} MB",
            cure=f"Give the container more memory{also}.",
        )


_NAMED = 10


@dataclass(frozen=True, slots=True)
class MergePlan:
    """One pair's merge. ``extraction`` holds no slab yet where the parts are raw checkpoints."""

    pair: Pair
    extraction: ExtractionRecord
    parts: tuple[Part, ...]
    """In column order, the spine first."""
    left_out: tuple[str, ...] = ()
    """What lies beside raw checkpoints and is none of them."""

    @property
    def size_bytes(self) -> int:
        """Bytes of the output, without its footer."""
        return sum(part.size_bytes for part in self.parts)

    @property
    def column_count(self) -> int:
        """Columns of the output at most: a raw checkpoint's may yet be quarantined."""
        return sum(part.column_count for part in self.parts)


def plan_slabs(pair: Pair, folder: Path) -> MergePlan:
    """Return the merge of the slabs in a checkpoint folder, by their record.

    Raises:
        MergeRefused: a table is missing, failed or superfluous, or the folder holds another pair.
        ColumnCollision, CheckpointMismatch, CheckpointCorrupt, FooterError: as they say.
    """
    extraction = ExtractionRecord.load(folder / EXTRACTION_FILE)
    if extraction.pair != pair.name:
        raise MergeRefused(
            str(folder), got=f"slabs of {extraction.pair}", expected=f"of {pair}", cure=f"bqx extract {pair}"
        )
    there = {path.name for path in folder.glob("*.parquet") if TEMP_MARK not in path.name}
    refuse_incomplete(pair, str(folder), extraction, there)
    refuse_collisions(pair, extraction.slabs)
    return MergePlan(pair, extraction, tuple(_slab_part(pair, folder, extraction, slab) for slab in extraction.slabs))


def refuse_incomplete(pair: Pair, place: str, extraction: ExtractionRecord, there: Collection[str]) -> None:
    """Raise MergeRefused unless the slabs ``there`` are the recorded ones, table by table.

    A threshold once let 93% of the tables go missing.
    """
    recorded = {slab.object_name: slab.table for slab in extraction.slabs}
    failed = [each.table for each in extraction.failed]
    # A table that failed may still have an older slab: it is named once, as failed.
    superfluous = sorted(set(there) - recorded.keys() - {f"{name}.parquet" for name in failed})
    missing = [table for name, table in recorded.items() if name not in there]
    problems = [
        f"{len(names):,} {word}: {', '.join(names[:_NAMED])}{', ...' if len(names) > _NAMED else ''}"
        for word, names in (("failed or not extracted", failed), ("missing", missing), ("superfluous", superfluous))
        if names
    ]
    if not problems:
        return
    again = " ".join(f"--table {name}" for name in [*failed, *missing][:_NAMED])
    cures = [f"Extract again: bqx extract {pair} {again}."] if again else []
    cures += [f"Remove from {place} what is superfluous."] if superfluous else []
    raise MergeRefused(
        f"{pair}",
        got="; ".join(problems),
        expected=f"exactly {len(recorded) + len(failed):,} slabs",
        cure=" ".join(cures),
    )


def refuse_collisions(pair: Pair, slabs: Sequence[SlabRecord]) -> None:
    """Refuse slabs that give one column name twice. Raises ColumnCollision."""
    refuse_same_names(f"{pair}", ((slab.table, each.name) for slab in slabs for each in slab.provenance.columns))


def _slab_part(pair: Pair, folder: Path, extraction: ExtractionRecord, record: SlabRecord) -> SlabPart:
    path = folder / record.object_name
    size_bytes = path.stat().st_size
    if size_bytes != record.size_bytes:
        raise not_recorded(record, f"{size_bytes:,} bytes", f"{record.size_bytes:,}")
    footer = read_footer(path, f"{pair}/{record.table}")
    check_slab(extraction.spine, record, footer)
    return SlabPart(path, record, footer)


def check_slab(spine: Spine, record: SlabRecord, footer: Footer) -> None:
    """Compare a slab's provenance, columns and row groups, by its footer, with the record and the spine.

    Raises:
        CheckpointMismatch: one of them differs.
    """
    provenance = record.provenance
    if _carried(footer) != provenance:
        raise not_recorded(record, "another provenance in its metadata", "the recorded one")
    if provenance.spine_fingerprint != spine.fingerprint:
        raise not_recorded(record, f"spine {provenance.spine_fingerprint}", spine.fingerprint)
    columns = list(zip(footer.columns, footer.types, strict=True))
    if columns != [(column.name, column.type) for column in provenance.columns]:
        raise not_recorded(record, f"{len(columns)} other columns", "the recorded ones")
    if footer.row_groups != spine.row_groups:
        raise not_recorded(record, f"row groups {footer.row_groups}", f"{spine.row_groups}")


def _carried(footer: Footer) -> SlabProvenance | None:
    """Return a slab's provenance by its own metadata: as facts, for an older version wrote fewer of them."""
    try:
        return SlabProvenance.model_validate_json(footer.metadata().get(SLAB_METADATA_KEY, ""))
    except ValueError:
        return None
