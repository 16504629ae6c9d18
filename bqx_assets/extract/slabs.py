"""Keeps one pair's slabs as pieces, one a period, and a record of each table; a piece is trusted only by it.

A piece counts if its record states the wanted fingerprint and its bytes have the recorded checksum.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, defaultdict
from collections.abc import Collection, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import polars as pl

from bqx_assets.base.artifacts import (
    EXTRACTION_FILE,
    ExtractionRecord,
    Piece,
    SlabRecord,
    load_record,
    save_record,
)
from bqx_assets.base.checksums import crc32c_of_file, may_be_same, sha256_of_file, sums_of_blocks
from bqx_assets.base.errors import CheckpointCorrupt, NewerFormat
from bqx_assets.base.files import remove_partials
from bqx_assets.base.frame_files import read_parquet
from bqx_assets.base.names import check_identifier
from bqx_assets.base.pairs import Pair
from bqx_assets.base.settings import EncodingPolicy
from bqx_assets.base.store.lease import LEASE_SECONDS, exclusive
from bqx_assets.base.store.local import LocalObjectStore
from bqx_assets.base.store.protocol import Condition, ObjectInfo, ObjectStore, version_of
from bqx_assets.base.store.staging_names import SLABS
from bqx_assets.base.threads import in_threads
from bqx_assets.extract.encoding import EncodedPiece
from bqx_assets.extract.object_file import ObjectFile, read_columns
from bqx_assets.extract.slab_records import KeptPiece, SpineRecord, TableRecord

FOOTER_BYTES_KEY = "footer-bytes"
"""Metadata key of a piece: the number of its last bytes that are its footer, so that one read fetches it."""
_FINGERPRINT_KEY = "fingerprint"
_VERSIONS_KEY = "versions"
"""Metadata key of a table's record: the versions of its pieces' objects that it was written for."""
_EARLIER_VERSION_KEY = "slab-generation"
"""The same key in records made before slabs were cut: the version of the slab's only object."""
_REMOVERS = 16
_PARSED = 8
"""Records that are kept: those of the tables that are in work."""
_READ_BYTES = 8 << 20

SPINE_FILE = "spine.json"
"""Name of the :class:`SpineRecord` beside the slabs."""


def file_holds(path: Path, piece: Piece) -> bool:
    """Return whether a file has the piece's recorded bytes, by SHA-256 or, in older records, by CRC32C. Reads it."""
    return crc32c_of_file(path) == piece.crc32c if piece.sha256 is None else sha256_of_file(path) == piece.sha256


def object_holds(store: ObjectStore, info: ObjectInfo, piece: Piece, written: str | None) -> bool:
    """Return whether an object has the piece's recorded bytes; ``written`` is the version that the record names.

    If the store states the CRC32C, an object of that version is not read: nobody wrote it since. A piece of another
    version may have a forged CRC32C, and is read for its SHA-256. Pieces that were copied here name no version; the
    deep validation reads their bytes.
    """
    if not may_be_same(info, piece):
        return False
    path = store.local_path(info.name)
    if info.crc32c is not None:
        if piece.sha256 is None or written in (None, info.version):
            return True
    elif path is not None:
        return file_holds(path, piece)
    blocks = (store.read(info.name, start, _READ_BYTES) for start in range(0, info.size_bytes, _READ_BYTES))
    sums = sums_of_blocks(blocks)
    return sums.crc32c == piece.crc32c if piece.sha256 is None else sums.sha256 == piece.sha256


def versions_in(record: ObjectInfo | None) -> dict[str, str]:
    """Return the versions of a table's pieces by period, as the store's facts of the table's record state them."""
    metadata: Mapping[str, str] = record.metadata if record is not None else {}
    if _EARLIER_VERSION_KEY in metadata:
        return {"": metadata[_EARLIER_VERSION_KEY]}
    stated = metadata.get(_VERSIONS_KEY, "")
    return {period: version for period, _, version in (each.partition("=") for each in stated.split())}


def slabs_prefix(pair: Pair) -> str:
    """Return the prefix of a pair's slabs in the store that its training file is published to.

    They lie in that store, because compose joins only objects of one bucket.
    """
    return f"{SLABS}{pair}/"


class _Listing:
    """The objects below a prefix: those of one listing, and since then what this process writes. Safe from threads."""

    def __init__(self, infos: Iterable[ObjectInfo]) -> None:
        self._lock = threading.Lock()
        self._folders: defaultdict[str, dict[str, ObjectInfo]] = defaultdict(dict)
        """By the part of the name before its last slash: a long history's 16,000 pieces are searched for each table."""
        for info in infos:
            self.add(info)

    def add(self, info: ObjectInfo) -> None:
        with self._lock:
            self._folders[info.name.rpartition("/")[0]][info.name] = info

    def remove(self, name: str) -> None:
        with self._lock:
            del self._folders[name.rpartition("/")[0]][name]

    def get(self, name: str) -> ObjectInfo | None:
        with self._lock:
            return self._folders[name.rpartition("/")[0]].get(name)

    def of_folder(self, folder: str) -> list[ObjectInfo]:
        with self._lock:
            return list(self._folders[folder].values())


class Slabs:
    """One pair's slabs, their records, and the records of its spine and extraction: objects below one prefix.

    Safe to use from several threads, of which only one at a time writes pieces of the same table. A store of local
    files is asked each time. A remote store is listed once, and then only the writes of this process are added, because
    within ``exclusive`` nobody else writes.
    **Cost** there: one request for a thousand objects, and one for the record of each table.
    """

    def __init__(self, store: ObjectStore, prefix: str, *, lease_seconds: float = LEASE_SECONDS) -> None:
        self.store = store
        self.prefix = prefix
        path = store.local_path(f"{prefix}{SPINE_FILE}")
        self.folder = path.parent if path is not None else None
        """The local folder of the slabs; None if they are remote."""
        self._lease_seconds = lease_seconds
        self._known: _Listing | None = None
        self._parsed: OrderedDict[str, tuple[ObjectInfo, TableRecord]] = OrderedDict()
        """The last records that were read or written, with the facts of their objects: a long history's takes 50 ms."""
        self._lock = threading.Lock()
        self._anew: set[str] = set()

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
        with exclusive(self.store, self.prefix, seconds=self._lease_seconds):
            for folder in [self.folder, *self.folder.glob("*/")] if self.folder is not None else ():
                remove_partials(folder)
            self._known = None
            self._is_there(f"{self.prefix}{SPINE_FILE}")  # listed before any thread asks
            try:
                yield
            finally:
                self._known = None

    def kept(self, table: str) -> TableRecord | None:
        """Return the record of a table's finished pieces, their bytes unchecked; None if there is none."""
        info = self._info(self._record_name(table))
        if info is None or table in self._anew:
            return None
        with self._lock:
            seen, parsed = self._parsed.get(table, (None, None))
        if seen == info:
            return parsed
        try:
            found = load_record(self.store, info.name, TableRecord)
        except NewerFormat:
            raise  # it is not damaged, and must not be overwritten
        except CheckpointCorrupt:
            return None
        if found.table != table:
            return None
        self._remember(info, found)
        return found

    def record(self, table: str) -> SlabRecord | None:
        """Return the record of a finished slab, its bytes unchecked; None if there is none."""
        found = self.kept(table)
        slab = found.slab if found is not None else None
        return slab if slab is not None and self.holds(slab) else None

    def recorded_fingerprints(self, table: str) -> dict[str, str]:
        """Return the fingerprints of a table's pieces by period, their bytes unchecked.

        **Cost**: nothing where the store's listing states them, else the table's record is read.
        """
        if self.folder is None and table not in self._anew and self._is_there(self._record_name(table)):
            stated = {
                info.name.removesuffix(".parquet").rpartition("/")[2]: info.metadata.get(_FINGERPRINT_KEY)
                for info in self._pieces(table)
            }
            if stated and None not in stated.values():
                return {period: mark for period, mark in stated.items() if mark is not None}
        found = self.kept(table)
        return {kept.piece.period: kept.piece.fingerprint for kept in found.pieces} if found is not None else {}

    def is_intact(self, kept: KeptPiece) -> bool:
        """Return whether a piece has the recorded bytes. **Cost**: reads it, unless the store's facts prove them."""
        table = kept.piece.object_name.partition("/")[0]
        return self._holds_piece(table, kept.piece, self._versions(table))

    def there(self, record: SlabRecord) -> SlabRecord:
        """Return a slab with those of its pieces that exist, whatever their bytes."""
        found = [piece for piece in record.pieces if self._piece_info(record.table, piece) is not None]
        return record.model_copy(update={"pieces": tuple(found)})

    def others(self, table: str, pieces: Iterable[Piece]) -> list[str]:
        """Return the names of the table's pieces besides these."""
        known = {f"{self.prefix}{piece.object_name}" for piece in pieces}
        return [info.name for info in self._pieces(table) if info.name not in known]

    def holds(self, record: SlabRecord) -> bool:
        """Return whether pieces of the recorded sizes and, if stated, CRC32C exist. They are not read."""
        infos = [(self._piece_info(record.table, piece), piece) for piece in record.pieces]
        return all(info is not None and may_be_same(info, piece) for info, piece in infos)

    def intact(self, record: SlabRecord) -> bool:
        """Return whether the existing slab has the recorded bytes. **Cost**: as of ``is_intact`` for each piece."""
        versions = self._versions(record.table)
        return all(self._holds_piece(record.table, piece, versions) for piece in record.pieces)

    def remove(self, records: Collection[SlabRecord]) -> None:
        """Delete these slabs, their records, and the extraction's record that lists them, by the versions seen."""
        pieces = [f"{self.prefix}{piece.object_name}" for each in records for piece in each.pieces]
        names = [*pieces, *(self._record_name(each.table) for each in records), f"{self.prefix}{EXTRACTION_FILE}"]
        list(in_threads(self._remove, names, _REMOVERS, "remove"))

    def object_name(self, table: str, period: str) -> str:
        """Return the name of a piece's object, relative to the prefix; without a period that of an earlier version."""
        below = f"/{period}" if period else ""
        return f"{check_identifier(table, 'table')}{below}.parquet"

    def put(self, kept: KeptPiece, encoded: EncodedPiece, encoding: EncodingPolicy) -> None:
        """Store a piece, then the record of its table with it, without which it is not finished.

        **Cost**: two writes, and a read of the table's record.
        """
        table = encoded.provenance.source.table
        name = f"{self.prefix}{kept.piece.object_name}"
        metadata = {_FINGERPRINT_KEY: kept.piece.fingerprint, FOOTER_BYTES_KEY: str(encoded.end_bytes)}
        info = self.store.put_blocks(
            name, encoded.blocks, metadata=metadata, only_if=self._version(name), crc=encoded.sums.crc32c
        )
        self._keep(info)
        before = self.kept(table)
        others = before.by_period() if before is not None else {}
        pieces = (others | {kept.piece.period: kept}).values()
        ordered = tuple(sorted(pieces, key=lambda each: each.piece.period))
        versions = self._versions(table) | {kept.piece.period: info.version}
        self._save(TableRecord(table=table, encoding=encoding, pieces=ordered), versions)
        self._anew.discard(table)

    def make_anew(self, tables: Iterable[str]) -> None:
        """Take every piece of these tables for stale. Their records stay until the first new piece replaces them."""
        self._anew.update(tables)

    def finish(self, record: TableRecord) -> None:
        """Remove the other pieces of a table that lacks none, and an older version's slab; then write its record.

        In this order, because a merge refuses pieces that no record has: if the run is killed in between, the record
        has no slab yet, and the next run removes them.
        """
        others = self.others(record.table, (kept.piece for kept in record.pieces))
        for name in [*others, f"{self.prefix}{self.object_name(record.table, '')}"]:
            self._remove(name)
        if record != self.kept(record.table):
            self._save(record, self._versions(record.table))

    def piece_frame(self, piece: Piece, columns: Sequence[str]) -> pl.DataFrame:
        """Return columns of a piece, decoded: its period's rows of the spine x ``columns``."""
        name = f"{self.prefix}{piece.object_name}"
        path = self.store.local_path(name)
        if path is not None:
            return read_parquet(path, columns)
        return read_columns(ObjectFile(self.store, name, piece.size_bytes), columns)

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

    def _save(self, record: TableRecord, versions: Mapping[str, str]) -> None:
        name = self._record_name(record.table)
        stated = " ".join(f"{each}={versions[each]}" for each in record.by_period() if each in versions)
        metadata = {_VERSIONS_KEY: stated}
        info = self.store.put_bytes(name, record.as_json(), metadata=metadata, only_if=self._version(name))
        self._keep(info)
        self._remember(info, record)

    def _remember(self, info: ObjectInfo, record: TableRecord) -> None:
        """Keep a record as long as few others follow. It counts only while the store states the same of its object."""
        with self._lock:
            self._parsed[record.table] = info, record
            self._parsed.move_to_end(record.table)
            if len(self._parsed) > _PARSED:
                self._parsed.popitem(last=False)

    def _versions(self, table: str) -> dict[str, str]:
        return versions_in(self._info(self._record_name(table)))

    def _piece_info(self, table: str, piece: Piece) -> ObjectInfo | None:
        """Return the store's facts of a piece. A record may come from anywhere: it names no other object."""
        name = self.object_name(table, piece.period)
        return self._info(f"{self.prefix}{name}") if name == piece.object_name else None

    def _holds_piece(self, table: str, piece: Piece, versions: Mapping[str, str]) -> bool:
        info = self._piece_info(table, piece)
        return info is not None and object_holds(self.store, info, piece, versions.get(piece.period))

    def _pieces(self, table: str) -> list[ObjectInfo]:
        """Return the objects of a table's pieces, finished or not."""
        folder = f"{self.prefix}{check_identifier(table, 'table')}"
        if self.folder is not None:
            found: Iterable[ObjectInfo] = self.store.list_objects(f"{folder}/")
        else:
            found = self._listed().of_folder(folder)
        return [info for info in found if info.name.endswith(".parquet")]

    def _remove(self, name: str) -> None:
        info = self._info(name)
        if info is not None:
            self.store.delete(name, only_if=info.version)
            if self._known is not None:
                self._known.remove(name)

    def _keep(self, info: ObjectInfo) -> None:
        if self._known is not None:
            self._known.add(info)

    def _version(self, name: str) -> Condition | None:
        """Return the condition of a write: the known version, so that a write by anybody else is an error.

        None in a folder, whose lock keeps everybody else out; a condition would take another lock for each piece.
        """
        return None if self.folder is not None else version_of(self._info(name))

    def _is_there(self, name: str) -> bool:
        return self._info(name) is not None

    def _info(self, name: str) -> ObjectInfo | None:
        return self.store.head(name) if self.folder is not None else self._listed().get(name)

    def _listed(self) -> _Listing:
        if self._known is None:
            self._known = _Listing(self.store.list_objects(self.prefix))
        return self._known

    def _record_name(self, table: str) -> str:
        return f"{self.prefix}{check_identifier(table, 'table')}.slab.json"
