"""Slabs: written whole, recorded beside, trusted by fingerprint and checksum only.

Belongs here: what keeps a pair's slabs, as protocol and as folder. Does not: where a slab's rows come from, object
stores (``slab_objects``).
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterable, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Protocol

import polars as pl

from bqx_assets.base.artifacts import (
    EXTRACTION_FILE,
    Column,
    ExtractionRecord,
    Record,
    SlabProvenance,
    SlabRecord,
    SourceTable,
    Spine,
)
from bqx_assets.base.checksums import crc32c_of_file, sha256_of_file, sums_of_files
from bqx_assets.base.content import Contents
from bqx_assets.base.errors import CheckpointCorrupt
from bqx_assets.base.files import atomic_path, locked, remove_partials
from bqx_assets.base.fingerprints import fingerprint
from bqx_assets.base.frame_files import read_parquet
from bqx_assets.base.names import check_identifier
from bqx_assets.catalogue.tables import TableDescription
from bqx_assets.extract.slab_file import ProvenanceAtEnd, encode_slab

CODE_VERSION = "1"
"""Part of every fingerprint: raise it when the same rows would give another slab."""

SPINE_FILE = "spine.json"
"""Name of the :class:`SpineRecord` beside the slabs."""


class SpineRecord(Record):
    """What the spine step leaves for the feature step: rows, slab, and the run's snapshot."""

    spine: Spine
    slab: SlabRecord
    snapshot_time: datetime
    span: str = ""
    """The range that it was asked for, in words; empty for the whole history."""


def source_of(description: TableDescription) -> SourceTable:
    """Return a table's identity as fingerprints and manifests keep it."""
    return SourceTable(
        dataset=description.dataset,
        table=description.table,
        last_modified=description.last_modified,
        etag=description.etag,
        rows=description.rows,
        size_bytes=description.size_bytes,
    )


def slab_fingerprint(
    source: SourceTable, columns: Sequence[Column], *, spine_fingerprint: str, filters: dict[str, str], policy: str
) -> str:
    """Return what a slab's content follows from.

    The snapshot time is no part: a table last modified before two snapshots has the same rows at both.
    """
    return fingerprint(
        {
            "source": source.model_dump(mode="json"),
            "columns": [column.model_dump() for column in columns],
            "spine": spine_fingerprint,
            "filters": filters,
            "duplicates": policy,
            "code": CODE_VERSION,
        }
    )


def has_recorded_bytes(path: Path, record: SlabRecord) -> bool:
    """Return whether a file holds a slab's recorded bytes: by SHA-256, where none was recorded by CRC32C.

    **Cost**: reads the file once.
    """
    if record.sha256 is None:
        return crc32c_of_file(path) == record.crc32c
    return sha256_of_file(path) == record.sha256


def content_of(provenance: SlabProvenance, contents: Contents | None) -> tuple[str, ...]:
    """Return the digests of a slab's columns as its record keeps them; none where nobody took any."""
    return contents.digests(column.name for column in provenance.columns) if contents is not None else ()


class SlabStore(Protocol):
    """Where one pair's slabs and their records are kept. Safe to use from several threads."""

    @property
    def place(self) -> str:
        """Its folder or URI."""
        ...

    def exclusive(self) -> AbstractContextManager[None]:
        """Hold it for one extraction. Raises FolderBusy."""
        ...

    def fresh(self, table: str, expected_fingerprint: str) -> SlabRecord | None:
        """Return the record of a finished slab with this fingerprint whose bytes are intact; None otherwise."""
        ...

    def recorded_fingerprint(self, table: str) -> str | None:
        """Return the fingerprint of the slab that is there, its bytes unchecked; None if there is no finished one."""
        ...

    def record(self, table: str) -> SlabRecord | None:
        """Return the finished slab's own record, its bytes unchecked; None if there is no finished one."""
        ...

    def there(self, table: str) -> bool:
        """Return whether a slab of the table is there, whichever."""
        ...

    def holds(self, record: SlabRecord) -> bool:
        """Return whether a slab as long as the recorded one is there. Reads none of it."""
        ...

    def intact(self, record: SlabRecord) -> bool:
        """Return whether the slab that is there has the recorded bytes."""
        ...

    def remove(self, records: Collection[SlabRecord]) -> None:
        """Delete these slabs, their records, and the outcome that lists them."""
        ...

    def write(
        self,
        table: str,
        frames: Iterable[pl.DataFrame],
        row_groups: Sequence[int],
        provenance: ProvenanceAtEnd,
        contents: Contents | None = None,
    ) -> SlabRecord:
        """Write frames, one below another, as the table's slab, then its record: without one it is not finished.

        **Shape**, **Cost** and what it raises as ``encode_slab``.
        """
        ...

    def frame(self, record: SlabRecord, columns: Sequence[str]) -> pl.DataFrame:
        """Return columns of a slab, decoded. **Shape**: the spine's rows x ``columns``."""
        ...

    def save_spine(self, record: SpineRecord) -> None:
        """Write the spine's record."""
        ...

    def load_spine(self) -> SpineRecord:
        """Return the spine's record. Raises CheckpointCorrupt when no spine was extracted."""
        ...

    def save_extraction(self, record: ExtractionRecord) -> None:
        """Write the outcome of an extraction."""
        ...

    def load_extraction(self) -> ExtractionRecord:
        """Return the last outcome. Raises CheckpointCorrupt when there is none."""
        ...


class SlabFolder:
    """One pair's checkpoint folder. Implements ``SlabStore``."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @property
    def place(self) -> str:
        """The folder."""
        return str(self.root)

    @contextmanager
    def exclusive(self) -> Generator[None]:
        """Hold the folder for one extraction; clears what dead ones left half-written. Raises FolderBusy."""
        self.root.mkdir(parents=True, exist_ok=True)
        with locked(self.root, busy="in use by another extraction"):
            remove_partials(self.root)
            yield

    def slab_path(self, table: str) -> Path:
        """Return where a table's slab lies. Raises BadSetting for a name that is no table's."""
        return self.root / f"{check_identifier(table, 'table')}.parquet"

    def fresh(self, table: str, expected_fingerprint: str) -> SlabRecord | None:
        """Return the record of a finished slab with this fingerprint whose bytes are intact; None otherwise.

        **Cost**: reads the slab once for its SHA-256, decodes nothing.
        """
        record = self.record(table)
        fresh = record is not None and record.provenance.fingerprint == expected_fingerprint and self.intact(record)
        return record if fresh else None

    def recorded_fingerprint(self, table: str) -> str | None:
        """Return the fingerprint of the slab that is there, its bytes unchecked; None if there is no finished one."""
        record = self.record(table)
        return record.provenance.fingerprint if record is not None else None

    def record(self, table: str) -> SlabRecord | None:
        """Return the finished slab's own record, its bytes unchecked; None if there is no finished one."""
        path = self._record_path(table)
        try:
            record = SlabRecord.load(path) if path.is_file() else None
        except CheckpointCorrupt:
            return None
        return record if record is not None and record.table == table and self.holds(record) else None

    def there(self, table: str) -> bool:
        """Return whether a slab of the table is there, whichever."""
        return self.slab_path(table).is_file()

    def holds(self, record: SlabRecord) -> bool:
        """Return whether a slab as long as the recorded one is there. Reads none of it."""
        path = self.slab_path(record.table)
        return path.is_file() and path.stat().st_size == record.size_bytes

    def intact(self, record: SlabRecord) -> bool:
        """Return whether the slab that is there has the recorded bytes. **Cost**: reads it once."""
        return self.holds(record) and has_recorded_bytes(self.slab_path(record.table), record)

    def remove(self, records: Collection[SlabRecord]) -> None:
        """Delete these slabs, their records, and the outcome that lists them."""
        for record in records:
            self.slab_path(record.table).unlink()
            self._record_path(record.table).unlink(missing_ok=True)
        (self.root / EXTRACTION_FILE).unlink(missing_ok=True)

    def write(
        self,
        table: str,
        frames: Iterable[pl.DataFrame],
        row_groups: Sequence[int],
        provenance: ProvenanceAtEnd,
        contents: Contents | None = None,
    ) -> SlabRecord:
        """Write frames, one below another, as the table's slab, then its record: without one it is not finished.

        **Shape**, **Cost** and what it raises as ``encode_slab``.
        """
        path = self.slab_path(table)
        self._record_path(table).unlink(missing_ok=True)
        with atomic_path(path) as temp:
            known = encode_slab(frames, temp, row_groups, provenance, contents)
            sums, content = sums_of_files([(temp, 0)]), content_of(known, contents)
            record = SlabRecord(provenance=known, object_name=path.name, content=content, **sums._asdict())
        record.save(self._record_path(table))
        return record

    def frame(self, record: SlabRecord, columns: Sequence[str]) -> pl.DataFrame:
        """Return columns of a slab, decoded. **Shape**: the spine's rows x ``columns``."""
        return read_parquet(self.slab_path(record.table), columns)

    def save_spine(self, record: SpineRecord) -> None:
        """Write the spine's record."""
        record.save(self.root / SPINE_FILE)

    def load_spine(self) -> SpineRecord:
        """Return the spine's record. Raises CheckpointCorrupt when no spine was extracted."""
        return SpineRecord.load(self.root / SPINE_FILE)

    def save_extraction(self, record: ExtractionRecord) -> None:
        """Write the outcome of an extraction."""
        record.save(self.root / EXTRACTION_FILE)

    def load_extraction(self) -> ExtractionRecord:
        """Return the last outcome. Raises CheckpointCorrupt when there is none."""
        return ExtractionRecord.load(self.root / EXTRACTION_FILE)

    def _record_path(self, table: str) -> Path:
        return self.slab_path(table).with_suffix(".slab.json")
