"""Keeps one pair's slabs and a record beside each; a slab is trusted only by its fingerprint and checksum."""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterable, Mapping, Sequence
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
from bqx_assets.base.frame_files import end_bytes_of, read_parquet
from bqx_assets.base.names import check_identifier
from bqx_assets.base.pairs import Pair
from bqx_assets.base.settings import EncodingPolicy
from bqx_assets.base.store.lease import LEASE_SECONDS, exclusive
from bqx_assets.base.store.local import LocalObjectStore
from bqx_assets.base.store.protocol import Condition, ObjectInfo, ObjectStore, version_of
from bqx_assets.base.store.staging_names import SLABS
from bqx_assets.base.threads import in_threads
from bqx_assets.catalogue.discovery import TableDescription
from bqx_assets.extract.choose import choose
from bqx_assets.extract.encoding import ProvenanceAtEnd, encode_slab
from bqx_assets.extract.encodings import Encoding
from bqx_assets.extract.object_file import ObjectFile, read_columns

CODE_VERSION = "1"
"""Part of every fingerprint; to be raised when the same rows would give another slab."""

FOOTER_BYTES_KEY = "footer-bytes"
"""Metadata key of a slab: the number of its last bytes that are its footer, so that one read fetches it."""
_FINGERPRINT_KEY = "fingerprint"
_VERSION_KEY = "slab-generation"
"""Metadata key of a slab's record: the version of the slab object that it was written for."""
_REMOVERS = 16
_PIECE_BYTES = 8 << 20

SPINE_FILE = "spine.json"
"""Name of the :class:`SpineRecord` beside the slabs."""


class SpineRecord(Record):
    """The result of the spine step for the feature step: rows, slab, and the run's snapshot."""

    spine: Spine
    slab: SlabRecord
    snapshot_time: datetime
    span: str = ""
    """The requested range in words; empty for the whole history."""


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
    """Return the fingerprint of everything that determines a slab's content.

    The snapshot time is not part of it: a table that was last modified before two snapshots has the same rows at both.
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
    """Return whether an object has the slab's recorded bytes; ``beside`` is the object that contains the record.

    If the store states the CRC32C, an object of the version that its record's object names is not read: nobody wrote it
    since. A slab of another version may have a forged CRC32C, and is read for its SHA-256. Slabs that were copied here
    name no version; the deep validation reads their bytes.
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
    """Return the digests of a slab's columns as its record keeps them; none if none were computed."""
    return contents.digests(column.name for column in provenance.columns) if contents is not None else ()


def encodings_of(record: SlabRecord | None, encoding: EncodingPolicy) -> dict[str, Encoding]:
    """Return the encodings of a slab's columns by name, as far as they are known and were chosen by the same setting.

    None of a record that does not state one for each column: an encoding is advice, no reason to refuse a good slab.
    """
    if record is None or record.encoding != encoding or len(record.encodings) != len(record.provenance.columns):
        return {}
    named = zip(record.provenance.columns, map(Encoding.parse, record.encodings), strict=True)
    return {column.name: known for column, known in named if known is not None}


def texts_of(provenance: SlabProvenance, encodings: Mapping[str, Encoding]) -> tuple[str, ...]:
    """Return the encodings of a slab's columns as its record keeps them; none if none were chosen."""
    return tuple(str(encodings[column.name]) for column in provenance.columns) if encodings else ()


def slabs_prefix(pair: Pair) -> str:
    """Return the prefix of a pair's slabs in the store that its training file is published to.

    They lie in that store, because compose joins only objects of one bucket.
    """
    return f"{SLABS}{pair}/"


class Slabs:
    """One pair's slabs, their records, and the records of its spine and extraction: objects below one prefix.

    Safe to use from several threads. A store of local files is asked each time. A remote store is listed once, and then
    only the writes of this process are added, because within ``exclusive`` nobody else writes.
    **Cost** there: one request for a thousand slabs, and one for the record of each fresh slab.
    """

    def __init__(self, store: ObjectStore, prefix: str, *, lease_seconds: float = LEASE_SECONDS) -> None:
        self.store = store
        self.prefix = prefix
        path = store.local_path(f"{prefix}{SPINE_FILE}")
        self.folder = path.parent if path is not None else None
        """The local folder of the slabs; None if they are remote."""
        self._lease_seconds = lease_seconds
        self._known: dict[str, ObjectInfo] | None = None
        self._scratch: Path | None = None

    @classmethod
    def in_folder(cls, folder: Path) -> Self:
        """Return the slabs of a local folder, which are kept as working files without sidecars."""
        return cls(LocalObjectStore(folder, sidecars=False), "")

    @property
    def place(self) -> str:
        """The folder or URI of the slabs."""
        return self.store.uri(f"{self.prefix}{SPINE_FILE}").removesuffix(f"/{SPINE_FILE}")

    @contextmanager
    def exclusive(self) -> Generator[None]:
        """Lock the slabs for one extraction, and remove half-written files of dead ones. Raises FolderBusy."""
        with exclusive(self.store, self.prefix, seconds=self._lease_seconds), self._scratch_folder() as scratch:
            self._known, self._scratch = None, scratch
            self._is_there(f"{self.prefix}{SPINE_FILE}")  # listed before any thread asks
            try:
                yield
            finally:
                self._known = self._scratch = None

    def info(self, table: str) -> ObjectInfo | None:
        """Return the store's facts of a table's slab, fresh or not; None if there is none."""
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
            raise  # it is not damaged, and must not be overwritten
        except CheckpointCorrupt:
            return None
        return record if record.table == table and self.holds(record) else None

    def there(self, table: str) -> bool:
        """Return whether the table has a slab, fresh or not."""
        return self.info(table) is not None

    def holds(self, record: SlabRecord) -> bool:
        """Return whether a slab of the recorded size and, if stated, CRC32C exists. It is not read."""
        info = self.info(record.table)
        return info is not None and may_be_same(info, record)

    def intact(self, record: SlabRecord) -> bool:
        """Return whether the existing slab has the recorded bytes.

        **Cost**: reads it once, unless the store's facts prove its bytes (``object_holds``).
        """
        info, beside = self.info(record.table), self._record_name(record.table)
        return info is not None and object_holds(self.store, info, record, self._info(beside))

    def remove(self, records: Collection[SlabRecord]) -> None:
        """Delete these slabs, their records, and the extraction's record that lists them, by the versions seen."""
        names = [name for each in records for name in (self._slab_name(each.table), self._record_name(each.table))]
        list(in_threads(self._remove, [*names, f"{self.prefix}{EXTRACTION_FILE}"], _REMOVERS, "remove"))

    def write(
        self,
        table: str,
        frames: Iterable[pl.DataFrame],
        row_groups: Sequence[int],
        provenance: ProvenanceAtEnd,
        contents: Contents | None = None,
        encoding: EncodingPolicy = "balanced",
    ) -> SlabRecord:
        """Write frames, one below another, as the table's slab, then its record, without which it is not finished.

        A column keeps the encoding that it has in the table's present slab, unless another is a tenth cheaper.
        **Shape** and errors as ``encode_slab``. **Cost**: as there; for a remote store also a file in the temporary
        folder, removed before this returns. On Cloud Run that folder is memory: 4 to 5 bytes a value.
        """
        name, beside = self._slab_name(table), self._record_name(table)
        before = encodings_of(self.record(table), encoding)
        with self._scratch_folder() as folder:
            path = folder / f"{table}.parquet"
            try:
                known, encodings = encode_slab(
                    frames, path, row_groups, provenance, lambda rows: choose(rows, encoding, before), contents
                )
                sums = sums_of_files([(path, 0)])
                with path.open("rb") as file:
                    metadata = {_FINGERPRINT_KEY: known.fingerprint, FOOTER_BYTES_KEY: str(end_bytes_of(file))}
                self._remove(beside)  # a new slab with an old record must never count as a finished slab
                info = self.store.put_file(
                    name, path, metadata=metadata, only_if=self._version(name), move=True, crc=sums.crc32c
                )
            finally:
                path.unlink(missing_ok=True)  # the folder lives as long as the extraction, and may be memory
        self._keep(info)
        record = SlabRecord(
            provenance=known,
            object_name=f"{table}.parquet",
            content=content_of(known, contents),
            encoding=encoding,
            encodings=texts_of(known, encodings),
            **sums._asdict(),
        )
        data = record.as_json()
        written = {_VERSION_KEY: info.version}
        self._keep(self.store.put_bytes(beside, data, metadata=written, only_if=self._version(beside)))
        return record

    def frame(self, record: SlabRecord, columns: Sequence[str]) -> pl.DataFrame:
        """Return columns of a slab, decoded.

        **Shape**: the spine's rows x ``columns``. **Cost**: reads only those columns, of a remote slab by ranges.
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
        """Return the spine's record. Raises CheckpointCorrupt if no spine was extracted."""
        return load_record(self.store, f"{self.prefix}{SPINE_FILE}", SpineRecord)

    def save_extraction(self, record: ExtractionRecord) -> None:
        """Write the record of an extraction."""
        save_record(self.store, f"{self.prefix}{EXTRACTION_FILE}", record)

    def load_extraction(self) -> ExtractionRecord:
        """Return the record of the last extraction. Raises CheckpointCorrupt if there is none."""
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
        """Give the folder in which slabs are encoded: one for a whole extraction, else one for a single slab."""
        if self._scratch is not None:
            yield self._scratch
            return
        with self.store.scratch(self.prefix) as folder:
            yield folder

    def _version(self, name: str) -> Condition | None:
        """Return the condition of a write: the known version, so that a write by anybody else is an error.

        None in a folder, whose lock keeps everybody else out; a condition would take another lock for each slab.
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
