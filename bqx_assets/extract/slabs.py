"""One pair's slabs: written as a whole, each recorded beside it, trusted by fingerprint and checksum only."""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterable, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Self

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
    fingerprint,
    load_record,
    save_record,
)
from bqx_assets.base.checksums import crc32c_of_file, may_be_same, sha256_of_file, sums_of_blocks, sums_of_files
from bqx_assets.base.content import Contents
from bqx_assets.base.errors import CheckpointCorrupt, NewerFormat
from bqx_assets.base.frame_files import read_parquet
from bqx_assets.base.names import check_identifier
from bqx_assets.base.pairs import Pair
from bqx_assets.base.store.lease import LEASE_SECONDS, exclusive
from bqx_assets.base.store.local import LocalObjectStore
from bqx_assets.base.store.protocol import Condition, ObjectInfo, ObjectStore, version_of
from bqx_assets.base.store.staging_names import SLABS
from bqx_assets.base.threads import in_threads
from bqx_assets.catalogue.discovery import TableDescription
from bqx_assets.extract.object_file import ObjectFile, read_columns
from bqx_assets.extract.slab_file import ProvenanceAtEnd, encode_slab, footer_bytes

CODE_VERSION = "1"
"""Part of every fingerprint: raise it when the same rows would give another slab."""

FOOTER_BYTES_KEY = "footer-bytes"
"""Metadata of a slab: how many of its last bytes are its footer, so that one read fetches it."""
_FINGERPRINT_KEY = "fingerprint"
_VERSION_KEY = "slab-generation"
"""Metadata of a slab's record: the version of the slab object that it was written for."""
_REMOVERS = 16
_PIECE_BYTES = 8 << 20

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


def file_holds(path: Path, record: SlabRecord) -> bool:
    """Return whether a file has the slab's recorded bytes, by SHA-256 or, in older records, by CRC32C. Reads it."""
    return crc32c_of_file(path) == record.crc32c if record.sha256 is None else sha256_of_file(path) == record.sha256


def object_holds(store: ObjectStore, info: ObjectInfo, record: SlabRecord, beside: ObjectInfo | None) -> bool:
    """Return whether an object has the slab's recorded bytes; ``beside`` is the object that the record lies in.

    Where the store states the CRC32C, nothing is read while the object is the version that its record's object names:
    nobody wrote there since. A slab of another version may have a forged CRC32C, and is read for its SHA-256. Slabs
    that were copied here name no version; the deep validation reads their bytes.
    """
    if not may_be_same(info, record):
        return False
    path = store.local_path(info.name)
    if info.crc32c is not None:
        written = beside.metadata.get(_VERSION_KEY) if beside is not None else None
        if record.sha256 is None or written in (None, info.version):
            return True
    elif path is not None:
        return file_holds(path, record)
    pieces = (store.read(info.name, start, _PIECE_BYTES) for start in range(0, info.size_bytes, _PIECE_BYTES))
    sums = sums_of_blocks(pieces)
    return sums.crc32c == record.crc32c if record.sha256 is None else sums.sha256 == record.sha256


def content_of(provenance: SlabProvenance, contents: Contents | None) -> tuple[str, ...]:
    """Return the digests of a slab's columns as its record keeps them; none where nobody took any."""
    return contents.digests(column.name for column in provenance.columns) if contents is not None else ()


def slabs_prefix(pair: Pair) -> str:
    """Return what the names of a pair's slabs begin with in the store that its training file is published to.

    There, because compose puts together only objects of one bucket.
    """
    return f"{SLABS}{pair}/"


class Slabs:
    """One pair's slabs, their records, and the records of its spine and extraction: objects below one prefix.

    Safe to use from several threads. A store that keeps objects as local files is asked each time. Another one is
    listed once, and what this process writes is known after that: within ``exclusive`` nobody else writes.
    **Cost** there: one request a thousand slabs; for a fresh slab one more, for its record.
    """

    def __init__(self, store: ObjectStore, prefix: str, *, lease_seconds: float = LEASE_SECONDS) -> None:
        self.store = store
        self.prefix = prefix
        path = store.local_path(f"{prefix}{SPINE_FILE}")
        self.folder = path.parent if path is not None else None
        """The local folder that they lie in; None where they are remote."""
        self._lease_seconds = lease_seconds
        self._known: dict[str, ObjectInfo] | None = None
        self._scratch: Path | None = None

    @classmethod
    def in_folder(cls, folder: Path) -> Self:
        """Return the slabs that a local folder keeps, as working files without sidecars."""
        return cls(LocalObjectStore(folder, sidecars=False), "")

    @property
    def place(self) -> str:
        """The folder or URI that they lie in."""
        return self.store.uri(f"{self.prefix}{SPINE_FILE}").removesuffix(f"/{SPINE_FILE}")

    @contextmanager
    def exclusive(self) -> Generator[None]:
        """Hold them for one extraction; clears what dead ones left half-written. Raises FolderBusy."""
        with exclusive(self.store, self.prefix, seconds=self._lease_seconds), self._scratch_folder() as scratch:
            self._known, self._scratch = None, scratch
            self._is_there(f"{self.prefix}{SPINE_FILE}")  # listed before any thread asks
            try:
                yield
            finally:
                self._known = self._scratch = None

    def info(self, table: str) -> ObjectInfo | None:
        """Return the facts of a table's slab, whichever is there; None where there is none."""
        return self._info(self._slab_name(table))

    def fresh(self, table: str, expected_fingerprint: str) -> SlabRecord | None:
        """Return the record of a finished slab with this fingerprint whose bytes are intact; None otherwise.

        **Cost**: as ``intact``; decodes nothing.
        """
        info = self.info(table)
        if info is None or info.metadata.get(_FINGERPRINT_KEY, expected_fingerprint) != expected_fingerprint:
            return None
        record = self.record(table)
        fresh = record is not None and record.provenance.fingerprint == expected_fingerprint and self.intact(record)
        return record if fresh else None

    def recorded_fingerprint(self, table: str) -> str | None:
        """Return the fingerprint of the slab that is there, its bytes unchecked; None if there is no finished one."""
        info = self.info(table)
        if info is None or not self._is_there(self._record_name(table)):
            return None
        if (stated := info.metadata.get(_FINGERPRINT_KEY)) is not None:
            return stated
        record = self.record(table)
        return record.provenance.fingerprint if record is not None else None

    def record(self, table: str) -> SlabRecord | None:
        """Return the finished slab's own record, its bytes unchecked; None if there is no finished one."""
        if not self._is_there(self._record_name(table)):
            return None
        try:
            record = load_record(self.store, self._record_name(table), SlabRecord)
        except NewerFormat:
            raise  # it is no damage, and not to be written over
        except CheckpointCorrupt:
            return None
        return record if record.table == table and self.holds(record) else None

    def there(self, table: str) -> bool:
        """Return whether a slab of the table is there, whichever."""
        return self.info(table) is not None

    def holds(self, record: SlabRecord) -> bool:
        """Return whether a slab like the recorded one is there, by its size and stated CRC32C. Reads none of it."""
        info = self.info(record.table)
        return info is not None and may_be_same(info, record)

    def intact(self, record: SlabRecord) -> bool:
        """Return whether the slab that is there has the recorded bytes.

        **Cost**: reads it once, where the store does not vouch for its bytes (``object_holds``).
        """
        info, beside = self.info(record.table), self._record_name(record.table)
        return info is not None and object_holds(self.store, info, record, self._info(beside))

    def remove(self, records: Collection[SlabRecord]) -> None:
        """Delete these slabs, their records, and the outcome that lists them, by the versions that were seen."""
        names = [name for each in records for name in (self._slab_name(each.table), self._record_name(each.table))]
        list(in_threads(self._remove, [*names, f"{self.prefix}{EXTRACTION_FILE}"], _REMOVERS, "remove"))

    def write(
        self,
        table: str,
        frames: Iterable[pl.DataFrame],
        row_groups: Sequence[int],
        provenance: ProvenanceAtEnd,
        contents: Contents | None = None,
    ) -> SlabRecord:
        """Write frames, one below another, as the table's slab, then its record: without one it is not finished.

        **Shape** and what it raises as ``encode_slab``. **Cost**: as there, and for a remote store one file in the
        temporary folder, gone when this returns. On Cloud Run that folder is memory: 4 to 5 bytes a value.
        """
        name, beside = self._slab_name(table), self._record_name(table)
        with self._scratch_folder() as folder:
            path = folder / f"{table}.parquet"
            try:
                known = encode_slab(frames, path, row_groups, provenance, contents)
                sums = sums_of_files([(path, 0)])
                metadata = {_FINGERPRINT_KEY: known.fingerprint, FOOTER_BYTES_KEY: str(footer_bytes(path))}
                self._remove(beside)  # a slab and the record of an earlier one must never pass for a finished slab
                info = self.store.put_file(name, path, metadata=metadata, only_if=self._version(name), move=True)
            finally:
                path.unlink(missing_ok=True)  # the folder lives as long as the extraction, and may be memory
        self._keep(info)
        record = SlabRecord(
            provenance=known,
            object_name=f"{table}.parquet",
            content=content_of(known, contents),
            **sums._asdict(),
        )
        data = record.model_dump_json(indent=1).encode()
        written = {_VERSION_KEY: info.version}
        self._keep(self.store.put_bytes(beside, data, metadata=written, only_if=self._version(beside)))
        return record

    def frame(self, record: SlabRecord, columns: Sequence[str]) -> pl.DataFrame:
        """Return columns of a slab, decoded.

        **Shape**: the spine's rows x ``columns``. **Cost**: reads those columns alone, a remote slab by range.
        """
        name = self._slab_name(record.table)
        path = self.store.local_path(name)
        if path is not None:
            return read_parquet(path, columns)
        return read_columns(ObjectFile(self.store, name, record.size_bytes), columns)

    def save_spine(self, record: SpineRecord) -> None:
        """Write the spine's record."""
        save_record(self.store, f"{self.prefix}{SPINE_FILE}", record)

    def load_spine(self) -> SpineRecord:
        """Return the spine's record. Raises CheckpointCorrupt when no spine was extracted."""
        return load_record(self.store, f"{self.prefix}{SPINE_FILE}", SpineRecord)

    def save_extraction(self, record: ExtractionRecord) -> None:
        """Write the outcome of an extraction."""
        save_record(self.store, f"{self.prefix}{EXTRACTION_FILE}", record)

    def load_extraction(self) -> ExtractionRecord:
        """Return the last outcome. Raises CheckpointCorrupt when there is none."""
        return load_record(self.store, f"{self.prefix}{EXTRACTION_FILE}", ExtractionRecord)

    def _remove(self, name: str) -> None:
        info = self._info(name)
        if info is not None:
            self.store.delete(name, only_if=info.version)
            if self._known is not None:
                del self._known[name]

    def _keep(self, info: ObjectInfo) -> None:
        if self._known is not None:
            self._known[info.name] = info

    @contextmanager
    def _scratch_folder(self) -> Generator[Path]:
        """Give the folder in which slabs are made: one for all of an extraction, otherwise one for a single slab."""
        if self._scratch is not None:
            yield self._scratch
            return
        with self.store.scratch(self.prefix) as folder:
            yield folder

    def _version(self, name: str) -> Condition | None:
        """Return what a write must find: nobody else writes here, and if somebody did it is an error.

        None in a folder, whose lock holds everybody else off: a condition would cost another lock a slab.
        """
        return None if self.folder is not None else version_of(self._info(name))

    def _is_there(self, name: str) -> bool:
        return self._info(name) is not None

    def _info(self, name: str) -> ObjectInfo | None:
        if self.folder is not None:
            return self.store.head(name)
        if self._known is None:
            self._known = {info.name: info for info in self.store.list_objects(self.prefix)}
        return self._known.get(name)

    def _slab_name(self, table: str) -> str:
        return f"{self.prefix}{check_identifier(table, 'table')}.parquet"

    def _record_name(self, table: str) -> str:
        return f"{self.prefix}{check_identifier(table, 'table')}.slab.json"
