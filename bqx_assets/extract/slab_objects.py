"""Slabs as objects: uploaded as they are made, trusted by the store's own CRC32C; no file stays behind.

Belongs here: the object store's side of ``SlabStore``. Does not: folders (``slabs``), the merge.
"""

from __future__ import annotations

import hashlib
import io
import tempfile
from collections.abc import Collection, Generator, Iterable, Sequence
from contextlib import contextmanager
from pathlib import Path

import polars as pl

from bqx_assets.base.artifacts import EXTRACTION_FILE, ExtractionRecord, SlabRecord
from bqx_assets.base.checksums import sums_of_files
from bqx_assets.base.content import Contents
from bqx_assets.base.errors import CheckpointCorrupt
from bqx_assets.base.frame_files import TAIL_BYTES, parquet_end_bytes
from bqx_assets.base.names import check_identifier
from bqx_assets.base.pairs import Pair
from bqx_assets.base.store.lease import LEASE_SECONDS, lease
from bqx_assets.base.store.protocol import Condition, ObjectInfo, ObjectStore, version_of
from bqx_assets.base.store.records import load_record, save_record
from bqx_assets.base.store.staged import SLABS
from bqx_assets.base.threads import in_threads
from bqx_assets.extract.object_file import ObjectFile, read_columns
from bqx_assets.extract.slab_file import ProvenanceAtEnd, encode_slab
from bqx_assets.extract.slabs import SPINE_FILE, SpineRecord, content_of

FOOTER_BYTES_KEY = "footer-bytes"
"""Metadata of a slab object: how many of its last bytes are its footer, so that one read fetches it."""
_FINGERPRINT_KEY = "fingerprint"
_GENERATION_KEY = "slab-generation"
"""Metadata of a record's object: the generation of the slab object that it speaks of."""
_REMOVERS = 16
_PIECE_BYTES = 8 << 20


def slabs_prefix(pair: Pair) -> str:
    """Return what the names of a pair's slab objects begin with. Compose works inside one bucket: the output's own."""
    return f"{SLABS}{pair}/"


def has_recorded_bytes(store: ObjectStore, info: ObjectInfo, record: SlabRecord, beside: ObjectInfo | None) -> bool:
    """Return whether an object holds a slab's recorded bytes; ``beside`` is the object that the record lies in.

    Size and CRC32C are the store's own, and so is the generation, which the record's object names: while it is the one
    that was written, nobody wrote there since. Bytes under another one may have a forged CRC32C, and are read for their
    SHA-256. Slabs that were copied here from a folder have none named: the deep validation reads their bytes.
    """
    if (info.size_bytes, info.crc32c) != (record.size_bytes, record.crc32c):
        return False
    written = beside.metadata.get(_GENERATION_KEY) if beside is not None else None
    if record.sha256 is None or written in (None, info.version):
        return True
    sha = hashlib.sha256()
    for start in range(0, info.size_bytes, _PIECE_BYTES):
        sha.update(store.read(info.name, start, _PIECE_BYTES))
    return sha.hexdigest() == record.sha256


class SlabObjects:
    """A pair's slabs in an object store. Implements ``SlabStore``.

    What is there is listed once, and known from its own writes after that: within ``exclusive`` nobody else writes.
    **Cost**: one request a thousand slabs; a fresh slab one more, for its record.
    """

    def __init__(self, store: ObjectStore, pair: Pair, *, lease_seconds: float = LEASE_SECONDS) -> None:
        self.store = store
        self.prefix = slabs_prefix(pair)
        self._lease_seconds = lease_seconds
        self._known: dict[str, ObjectInfo] | None = None

    @property
    def place(self) -> str:
        """The URI that its objects' names begin with."""
        return self.store.uri(self.prefix.rstrip("/"))

    @contextmanager
    def exclusive(self) -> Generator[None]:
        """Hold the pair's slabs for one extraction. Raises FolderBusy."""
        with lease(self.store, f"{self.prefix}lease.json", seconds=self._lease_seconds):
            self._known = self._listed()  # before any thread asks
            try:
                yield
            finally:
                self._known = None

    def fresh(self, table: str, expected_fingerprint: str) -> SlabRecord | None:
        """Return the record of a finished slab with this fingerprint whose bytes, by the store, are intact."""
        if self.recorded_fingerprint(table) != expected_fingerprint:
            return None
        record = self.record(table)
        fresh = record is not None and record.provenance.fingerprint == expected_fingerprint and self.intact(record)
        return record if fresh else None

    def recorded_fingerprint(self, table: str) -> str | None:
        """Return the fingerprint of the slab that is there with its record; None if there is no finished one."""
        info = self._there().get(self._slab_name(table))
        finished = info is not None and self._record_name(table) in self._there()
        return info.metadata.get(_FINGERPRINT_KEY) if info is not None and finished else None

    def record(self, table: str) -> SlabRecord | None:
        """Return the finished slab's own record; None if there is no finished one. **Cost**: one request."""
        if self._record_name(table) not in self._there():
            return None
        try:
            record = load_record(self.store, self._record_name(table), SlabRecord)
        except CheckpointCorrupt:
            return None
        return record if record.table == table and self.holds(record) else None

    def there(self, table: str) -> bool:
        """Return whether a slab of the table is there, whichever."""
        return self._slab_name(table) in self._there()

    def holds(self, record: SlabRecord) -> bool:
        """Return whether the store has the recorded bytes, by its own CRC32C. Reads none."""
        info = self._there().get(self._slab_name(record.table))
        return info is not None and (info.size_bytes, info.crc32c) == (record.size_bytes, record.crc32c)

    def intact(self, record: SlabRecord) -> bool:
        """Return whether the store has the recorded bytes. **Cost**: reads them where the slab was written anew."""
        info = self._there().get(self._slab_name(record.table))
        beside = self._there().get(self._record_name(record.table))
        return info is not None and has_recorded_bytes(self.store, info, record, beside)

    def remove(self, records: Collection[SlabRecord]) -> None:
        """Delete these slabs, their records, and the outcome that lists them, by the generations that were seen."""
        names = [self._slab_name(each.table) for each in records]
        names += [name for each in records if (name := self._record_name(each.table)) in self._there()]
        names += [name for name in [f"{self.prefix}{EXTRACTION_FILE}"] if name in self._there()]
        list(in_threads(self._remove, names, _REMOVERS, "remove"))

    def write(
        self,
        table: str,
        frames: Iterable[pl.DataFrame],
        row_groups: Sequence[int],
        provenance: ProvenanceAtEnd,
        contents: Contents | None = None,
    ) -> SlabRecord:
        """Encode, upload and forget a slab, then upload its record: a slab without one is not finished.

        **Shape** and what it raises as ``encode_slab``. **Cost**: as there, and one file in the temporary folder, gone
        when this returns. On Cloud Run that folder is memory: 4 to 5 bytes a value.
        """
        with tempfile.TemporaryDirectory(prefix="bqx-slab-") as folder:
            path = Path(folder) / f"{table}.parquet"
            known = encode_slab(frames, path, row_groups, provenance, contents)
            sums = sums_of_files([(path, 0)])
            metadata = {_FINGERPRINT_KEY: known.fingerprint, FOOTER_BYTES_KEY: str(_footer_bytes(path))}
            name = self._slab_name(table)
            info = self.store.put_file(name, path, metadata=metadata, only_if=self._version(name))
        record = SlabRecord(
            provenance=known,
            object_name=f"{table}.parquet",
            size_bytes=info.size_bytes,
            crc32c=sums.crc32c,
            sha256=sums.sha256,
            content=content_of(known, contents),
        )
        self._there()[info.name] = info
        name = self._record_name(table)
        data = record.model_dump_json(indent=1).encode()
        written = {_GENERATION_KEY: info.version}
        self._there()[name] = self.store.put_bytes(name, data, metadata=written, only_if=self._version(name))
        return record

    def frame(self, record: SlabRecord, columns: Sequence[str]) -> pl.DataFrame:
        """Return columns of a slab, decoded.

        **Shape**: the spine's rows x ``columns``. **Cost**: reads those columns alone, by range.
        """
        name = self._slab_name(record.table)
        return read_columns(ObjectFile(self.store, name, record.size_bytes), columns)

    def save_spine(self, record: SpineRecord) -> None:
        """Write the spine's record."""
        save_record(self.store, f"{self.prefix}{SPINE_FILE}", record)

    def load_spine(self) -> SpineRecord:
        """Return the spine's record. Raises CheckpointCorrupt when no spine was extracted."""
        return load_record(self.store, f"{self.prefix}{SPINE_FILE}", SpineRecord)

    def save_extraction(self, record: ExtractionRecord) -> None:
        """Write the outcome."""
        save_record(self.store, f"{self.prefix}{EXTRACTION_FILE}", record)

    def load_extraction(self) -> ExtractionRecord:
        """Return the last outcome. Raises CheckpointCorrupt when there is none."""
        return load_record(self.store, f"{self.prefix}{EXTRACTION_FILE}", ExtractionRecord)

    def _remove(self, name: str) -> None:
        self.store.delete(name, only_if=self._version(name))
        del self._there()[name]

    def _there(self) -> dict[str, ObjectInfo]:
        if self._known is None:
            self._known = self._listed()
        return self._known

    def _version(self, name: str) -> Condition:
        """What a write of ``name`` must find: nobody else writes here, and if somebody did it is an error."""
        return version_of(self._there().get(name))

    def _listed(self) -> dict[str, ObjectInfo]:
        return {info.name: info for info in self.store.list_objects(self.prefix)}

    def _slab_name(self, table: str) -> str:
        return f"{self.prefix}{check_identifier(table, 'table')}.parquet"

    def _record_name(self, table: str) -> str:
        return f"{self.prefix}{check_identifier(table, 'table')}.slab.json"


def _footer_bytes(path: Path) -> int:
    """Footer, its length and the magic: what a reader must fetch to find every column."""
    with path.open("rb") as file:
        file.seek(-TAIL_BYTES, io.SEEK_END)
        return parquet_end_bytes(file.read())
